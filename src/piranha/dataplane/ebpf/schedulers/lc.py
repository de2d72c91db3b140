"""Least connection: the destination with the lowest load, an active connection counting as 256 inactive ones."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("lc", 3)
