"""What the standard library lacks: clock, tasks, errors, run paths. Knows no load balancing.

Open `errors.py` first: every error a person may see is built there.
"""
