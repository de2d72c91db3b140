"""lvsd: desired state, reconciliation, status read model. Open `desired.py` first."""
