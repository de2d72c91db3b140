"""ipvsadm 1.31 word for word: command lines in, listings and messages out, over any data plane.

All of it is pure but `access.py`, which finds the plane: through lvsd where it runs, else directly under lvsd's lock.
Knows nothing of lvsd's decisions. Open `parse.py` for what a line means, `execute.py` for what then happens.
"""
