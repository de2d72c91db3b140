"""Shortest expected delay: active connections and the new one, over the weight."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("sed", 9)
