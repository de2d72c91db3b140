"""HTTP on the unix socket, no decisions. Open `app.py` first."""
