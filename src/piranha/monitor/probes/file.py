"""The file check: a number that somebody keeps in a file of ours; above 0 is up."""

from __future__ import annotations

import asyncio
import os
import re
from functools import partial

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.monitor.outcome import CheckImpossibleError, Outcome

MOST_WEIGHT = 2**31 - 1
_READ_BYTES = 64
_NUMBER = re.compile(rb"\s*([+-]?[0-9]{1,18})\s*\Z")


class FileCheck:
    """Reads the files. One that hangs (a dead file server) is waited for by one thread, however often it is due."""

    def __init__(self) -> None:
        self._reading: dict[str, asyncio.Future[bytes]] = {}

    async def check(self, probe: Probe, clock: Clock) -> Outcome:
        """Raises CheckImpossibleError when there is no such file, or it holds no number: nothing was learnt."""
        options = probe.options
        assert options is not None
        path = options.path or ""
        began_at = clock.now()
        reading = self._reading.get(path)
        if reading is None or reading.done():
            loop = asyncio.get_running_loop()
            reading = self._reading[path] = loop.run_in_executor(None, partial(_read, path))
        try:
            async with asyncio.timeout(probe.timeout_s):
                data = await asyncio.shield(reading)
        except TimeoutError as error:
            raise CheckImpossibleError(f"cannot read {path}: it hangs") from error
        except OSError as error:
            raise CheckImpossibleError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
        match = _NUMBER.match(data)
        if match is None:
            raise CheckImpossibleError(f"{path} holds no whole number")
        number = int(match[1])
        weight = min(number, MOST_WEIGHT) if options.dynamic_weight and number > 0 else None
        duration_s = clock.now() - began_at
        return Outcome(ok=number > 0, reason=f"holds {number}", duration_s=duration_s, answered=True, weight=weight)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)
