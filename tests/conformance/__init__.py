"""The same scenarios on every data plane, compared: `scenarios/` is what is played, `recorded/` what the kernel's IPVS did.

`tests/uml/scenario.py` says what a scenario is; open `scenarios/build.py` next.
"""
