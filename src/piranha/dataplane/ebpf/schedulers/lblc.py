"""Locality-based least connection: an address keeps its server, the kernel half has the memory; else as wlc."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("lblc", 5)
