"""Connection sync: keeps the partner's connection table in step with ours, in the kernel's own protocol.

It owns the datagrams and the stream to the partner, and who is told of what and when. It must not know how a table is
laid out (`dataplane/ebpf/departures.py`, `arrivals.py`), nor who decides the role. Open `engine.py` first; on the IPVS
plane the kernel's own daemons do the work, and `conductor.py` only starts and stops them.
"""
