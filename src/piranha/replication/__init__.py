"""Configuration replication: both directors of a pair have the same `lvs.cf`, whichever of them it is changed on.

Decides in `agreement.py`, which knows neither files nor the network; `host.py` is its shell. Must not know how packets are
switched, nor who becomes active and why. Open `agreement.py` first, then `generation.py`.
"""
