"""ldirectord.cf: `settings.py` reads the text, `translate.py` makes virtual servers of it."""
