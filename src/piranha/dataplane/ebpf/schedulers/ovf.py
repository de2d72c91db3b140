"""Weighted overflow: to the heaviest destination that has no more active connections than its weight."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("ovf", 12)
