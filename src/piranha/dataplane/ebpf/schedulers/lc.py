"""Least connection: the destination with the lowest load, active connections counting 257 times."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("lc", 3)
