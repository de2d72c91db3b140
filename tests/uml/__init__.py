"""The kernel's own IPVS for tests: a user-mode Linux guest, what runs inside it, and what it recorded.

`guest.py` boots the guest and runs a command in it; `agent.py` is that command. Open `guest.py` first.
"""
