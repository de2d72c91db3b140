"""Deterministic simulation of a pair of directors: the real failover machine in a virtual world, one seed a scenario.

`python -m tests.simulation --seeds 1000` runs many; `test_simulation.py` runs a few, and every seed that once failed. Begin with
`world.py`, the clock and the wires; `host.py` is a director; `faults.py` what befalls it; `watch.py` what must hold all the time.
"""
