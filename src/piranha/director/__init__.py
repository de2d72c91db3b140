"""lvsd: desired state, reconciliation, status read model. Open `director.py` first."""
