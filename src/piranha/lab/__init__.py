"""Virtual networks on one machine (network namespaces) in which the real daemons run: demo, tutorial and test bed.

Knows `base`, `model` and `realserver` (a real server of the lab is set up by the very code that sets up a real one);
must not know the director or a data plane: it starts them as processes and asks them over their socket. Open
`topology.py` first.
"""
