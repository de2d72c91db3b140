"""What Prometheus reads. Knows the director's documents, nothing of HTTP. Open `families.py` first."""
