"""The route table, a file a subject. `operations.py` has all of it."""
