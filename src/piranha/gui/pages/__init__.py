"""The route table, a file a subject. `all_pages.py` has all of it."""
