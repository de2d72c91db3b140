"""Weighted failover: all to the destination with the highest weight."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("fo", 11)
