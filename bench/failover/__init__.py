"""What a takeover costs the clients: pulse, and keepalived beside it, under the same faults in the same network.

Open `faults.py` first. `python -m bench.failover` runs it; `make bench-failover` fetches keepalived before.
"""
