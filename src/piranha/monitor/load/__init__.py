"""Load of real servers: asks them for it and keeps the latest value with its age. Knows nothing of weights; open `source.py`."""
