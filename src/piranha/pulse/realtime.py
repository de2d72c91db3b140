"""Being in time: real-time scheduling with a fuse, locked memory, no garbage collector.

SCHED_FIFO is refused to a process in a CPU cgroup of a kernel with RT_GROUP_SCHED, and to one without CAP_SYS_NICE; it is tried, not
assumed. Niceness is not a substitute (measured: no gain at all).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
from dataclasses import dataclass
from pathlib import Path

PRIORITY = 50
FUSE_US = 100_000
"""Of uninterrupted computing, after which the kernel sends SIGXCPU: a loop gone mad must not take the processor."""
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_OOM_PROTECTED = "-1000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Realtime:
    """What was granted. `scheduling_refused` and `locking_refused` are empty where all went well."""

    scheduling_refused: str = ""
    locking_refused: str = ""

    @property
    def granted(self) -> bool:
        return not self.scheduling_refused


def become_realtime() -> Realtime:
    """Lock the memory, take SCHED_FIFO, freeze the collector. Call it when everything is imported and open."""
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_PROTECTED)
    return Realtime(scheduling_refused=_schedule(), locking_refused=_lock_memory())


def release_child(pid: int) -> None:
    """Let the kernel end a child when memory is short; its scheduling is ordinary already (SCHED_RESET_ON_FORK)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("0")


def _schedule() -> str:
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, (FUSE_US, hard))
        # Children start with ordinary scheduling unless they ask for more.
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except (OSError, ValueError) as error:
        return _reason(error)
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK != os.SCHED_FIFO:
        return "the kernel did not keep SCHED_FIFO"
    return ""


def _reason(error: OSError | ValueError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    if Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists():
        return f"{text}: a CPU cgroup without real-time budget, or no CAP_SYS_NICE"
    return f"{text}: no CAP_SYS_NICE, or LimitRTPRIO is 0"


def _lock_memory() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        return os.strerror(ctypes.get_errno())
    return ""
