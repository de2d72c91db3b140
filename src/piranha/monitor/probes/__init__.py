"""One check kind a file: `async check(probe, clock) -> Outcome`, with one total deadline and bounded memory.

They find out and decide nothing.
Open `tcp.py` first.
"""
