"""The lease model: every order of events of two directors, checked by Spin. `lease.pml` is the model, `check.py` runs it."""
