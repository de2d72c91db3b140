"""The user-space half of every scheduler, one file each; `base.py` says what a scheduler is.

`REGISTRY` finds them by name. A new scheduler is a file here and one in `bpf/sched/` (docs/extend/scheduler.md).
"""

from __future__ import annotations

import importlib
import pkgutil

from piranha.dataplane.ebpf.schedulers.base import Scheduler


def _find() -> dict[str, Scheduler]:
    found: dict[str, Scheduler] = {}
    numbers: dict[int, str] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        scheduler: Scheduler = importlib.import_module(f"{__name__}.{module.name}").SCHEDULER
        if numbers.setdefault(scheduler.number, scheduler.name) != scheduler.name:
            raise ValueError(f"schedulers {scheduler.name} and {numbers[scheduler.number]} have one number")
        found[scheduler.name] = scheduler
    return found


REGISTRY: dict[str, Scheduler] = _find()
