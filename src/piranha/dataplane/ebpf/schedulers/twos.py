"""Power of two choices: two random draws by weight, and the less loaded of them."""

from __future__ import annotations

from piranha.dataplane.ebpf.schedulers.base import LoadScheduler, Scheduler

SCHEDULER: Scheduler = LoadScheduler("twos", 14)
