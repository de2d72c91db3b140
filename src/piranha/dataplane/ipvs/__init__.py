"""The kernel's IPVS as a data plane: generic netlink for the table, /proc for connections, nftables for firewall marks.

Knows nothing of files of configuration, health or roles. Open `plane.py` first; the wire begins at `netlink.py`.
"""
