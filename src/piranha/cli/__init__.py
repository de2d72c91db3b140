"""One command a file; a client of the API."""
