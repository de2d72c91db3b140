"""Weighted least connection: as lc, with each load divided by the weight."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("wlc", 4)
