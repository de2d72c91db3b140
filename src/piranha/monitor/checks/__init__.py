"""One kind of check a file: a pure conversation with a server (see `monitor.conversation`), without I/O.

They know nothing of sockets, times and verdicts. `kinds.py` lists them.
"""
