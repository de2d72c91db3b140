"""Rules of other programs that set firewall marks, as `mark` blocks: `rules.py` is what both dialects come to."""
