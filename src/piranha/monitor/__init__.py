"""The nanny: probes, verdicts and the bounded engine that runs them. Knows neither `dataplane` nor `cluster`.

Open `engine.py` first, then `roster.py`, where everything is decided.
"""
