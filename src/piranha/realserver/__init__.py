"""The real server's side of direct routing and tunnelling: it must own the VIP without answering ARP for it.

Owns the VIP on the loopback, the ARP settings, tunnel decapsulation, and making them last across boots. Knows `base`
and `model`, and in `decapsulation.py` alone the loader of BPF objects. Open `wanted.py` first: it says what a real
server needs.
"""
