"""Piranha: a highly available layer-4 load balancer for Linux, configured by `lvs.cf`.

Start reading in `docs/architecture.md`; the floors (who may import whom) are listed in `pyproject.toml`.
"""

__version__ = "1.0.0.dev0"
