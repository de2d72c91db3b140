"""nginx's `stream` block: `directives.py` reads the text, `translate.py` makes virtual servers of it."""
