"""HAProxy's sections in mode tcp: `sections.py` reads the text, `translate.py` makes virtual servers of it."""
