"""One check carried out over real sockets, without the rest of the nanny."""

from __future__ import annotations

import asyncio

from piranha.base.clock import MonotonicClock
from piranha.model.check import Probe
from piranha.monitor.checks.kinds import conversation_of
from piranha.monitor.outcome import Outcome
from piranha.monitor.probes.wire import Wire


async def carried(probe: Probe) -> Outcome:
    """Raises what the wire reports as our own trouble."""
    done: asyncio.Future[Outcome | Exception] = asyncio.get_running_loop().create_future()
    wire = Wire(MonotonicClock(), lambda probe, began_at, result: done.set_result(result), conversation_of)
    wire.open()
    try:
        wire.start(probe, MonotonicClock().now())
        result = await done
    finally:
        wire.close()
    if isinstance(result, Exception):
        raise result
    return result
