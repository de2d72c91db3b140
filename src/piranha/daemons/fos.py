"""fos: builds the nanny, the keeper of the failover services and the link to pulse, and runs them until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from piranha.base.clock import MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock, LockedError
from piranha.base.paths import Paths
from piranha.director.pulse_link import ACTIVE, STANDALONE, ClusterView, PulseLink
from piranha.director.source import Reading, read_configuration
from piranha.fos.keeper import Keeper
from piranha.model.configuration import ServiceMode
from piranha.monitor.engine import Nanny

logger = logging.getLogger(__name__)


def run_fos(paths: Paths) -> None:
    """Run until SIGTERM; then the services are stopped. Raises PiranhaError for whatever prevents a start."""
    reading = read_configuration(paths.config)
    if reading.configuration.service is not ServiceMode.FOS:
        raise PiranhaError(f"{paths.config} says `service = lvs`", mend="write `service = fos`, or start lvsd")
    try:
        lock = FileLock(paths.fos_lock)
    except LockedError as error:
        raise PiranhaError(f"fos is running already (process {error.pid or '?'})") from None
    with lock:
        asyncio.run(_run(paths, reading))


async def _run(paths: Paths, reading: Reading) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hangup = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    clock = MonotonicClock()
    nanny = Nanny(clock, lambda key, health, reason: None)
    pulse = PulseLink(paths.pulse_socket)

    async def switch() -> None:
        answer = await pulse.ask("switch")
        if not answer.get("done"):
            raise PiranhaError(str(answer.get("text", "pulse refused")))

    keeper = Keeper(reading.configuration, nanny, clock, switch=switch, report=pulse.report_services)

    def role(view: ClusterView) -> None:
        keeper.take_role(
            serving=view.attached and view.role in (ACTIVE, STANDALONE), peer_heard=_peer_is_heard(view.document)
        )

    async def reload() -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            try:
                await keeper.reconfigure((await asyncio.to_thread(read_configuration, paths.config)).configuration)
            except PiranhaError as error:
                logger.error('reload refused error="%s"', error)

    pulse.on_change(role)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(nanny.run(), name="nanny"),
            group.create_task(pulse.run(), name="pulse"),
            group.create_task(keeper.run(lambda: pulse.report_ready(True)), name="keeper"),
            group.create_task(reload(), name="reload"),
        ]
        await stop.wait()
        for task in tasks:
            task.cancel()
    await keeper.stop()
    logger.info("stopped, and the services with it")


def _peer_is_heard(document: dict[str, Any]) -> bool:
    peer = document.get("peer")
    return peer is not None and peer.get("heard_s") is not None and peer["heard_s"] < 1.0
