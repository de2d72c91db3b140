"""Is this machine fit to be a director: facts gathered at the edge, judged purely.

Knows `base` only, so that it also runs where the rest does not. Open `facts.py` first, then `judge.py`.
"""
