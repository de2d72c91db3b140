"""piranha-gui: HTTPS for people and programs, a client of lvsd's API. Knows only `base` and `client`.

Open `access.py` first: every route, its methods and who may use them.
"""
