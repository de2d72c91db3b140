"""The only reader and writer of configuration files: `lvs.cf` text <-> model. Knows `model` and `base`.

Open `parser.py` first.
"""
