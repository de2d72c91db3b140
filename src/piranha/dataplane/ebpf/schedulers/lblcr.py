"""Locality-based least connection with replication: as lblc, with a set of servers for each address."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("lblcr", 6)
