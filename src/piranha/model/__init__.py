"""What the product talks about: frozen values and their rules, no I/O. Knows only `base`.

`configuration.py` is what `lvs.cf` means; `service.py` what a data plane switches; `check.py` what the nanny probes.
"""
