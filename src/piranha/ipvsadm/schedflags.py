"""Scheduler flags and their words: `-b sh-port,sh-fallback`."""

from __future__ import annotations

from piranha.ipvsadm.failure import CommandLineError
from piranha.model.service import NO_FLAGS, SchedulerFlag

_ANY = {"flag-1": SchedulerFlag.SCHED1, "flag-2": SchedulerFlag.SCHED2, "flag-3": SchedulerFlag.SCHED3}
_OF_SCHEDULER = {
    "sh": {"sh-fallback": SchedulerFlag.SCHED1, "sh-port": SchedulerFlag.SCHED2},
    "mh": {"mh-fallback": SchedulerFlag.SCHED1, "mh-port": SchedulerFlag.SCHED2},
}
_SPECIAL = {word for words in _OF_SCHEDULER.values() for word in words}


def read_flags(text: str, scheduler: str) -> SchedulerFlag:
    """The flags of a comma-separated list. `scheduler` is what `-s` said, "" for the default.

    Raises CommandLineError for a word that is no flag, or not one of this scheduler.
    """
    flags = NO_FLAGS
    known = _ANY | _OF_SCHEDULER.get(scheduler, {})
    for word in text.split(","):
        if word in known:
            flags |= known[word]
        elif word in _SPECIAL:
            raise CommandLineError(f"incompatible scheduler flag `{word}'")
        elif word:
            raise CommandLineError(f"invalid scheduler flag `{word}'")
    return flags


def write_flags(flags: SchedulerFlag, scheduler: str) -> str:
    """The words of `flags`; a flag that sh or mh has no word for is left out, as ipvsadm does."""
    return ",".join(word for word, flag in _OF_SCHEDULER.get(scheduler, _ANY).items() if flags & flag)
