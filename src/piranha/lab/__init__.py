"""Virtual networks on one machine (network namespaces); knows only `base`. Open `topology.py` first."""
