"""The eBPF data plane: loads our programs, keeps their maps equal to the services, attaches them to interfaces.

Knows nothing of files of configuration, health or roles. Open `plane.py` first; the binding begins at `object.py`.
"""
