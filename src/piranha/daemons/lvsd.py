"""lvsd: builds plane, nanny, director and API and runs them until a signal. Stopping leaves the kernel forwarding."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import Any

from starlette.applications import Starlette

import piranha
from piranha.api.app import create_app
from piranha.api.live import LiveHub
from piranha.api.operation import Context
from piranha.api.rights import Policy
from piranha.api.server import MODE, OPEN_MODE, open_socket, serve
from piranha.base.clock import Clock, MonotonicClock
from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock, LockedError
from piranha.base.notify import Notifier
from piranha.base.paths import Paths
from piranha.cluster.identity import host_name
from piranha.config.store import ConfigurationStore
from piranha.daemons.pair_security import PairSecurity
from piranha.dataplane.editsfile import EditsFile
from piranha.dataplane.ipvs.ownership import Ownership, table_identity
from piranha.dataplane.port import DataPlane
from piranha.director.addresses import host_addresses
from piranha.director.byhand import EditStore, Ledger, MemoryEdits, MemoryLedger
from piranha.director.chronicle import Chronicle
from piranha.director.confirmation import ConfirmationFile
from piranha.director.director import Director
from piranha.director.editing import Editing
from piranha.director.eventfile import EventFile
from piranha.director.events import EventKind
from piranha.director.health import HealthBook
from piranha.director.loading import Loads
from piranha.director.operators import OperatorDesk
from piranha.director.overridefile import OverrideFile
from piranha.director.pulse_link import PulseLink
from piranha.director.source import Reading, read_configuration
from piranha.doctor.gather import gather
from piranha.doctor.judge import fit, judge
from piranha.model.configuration import Configuration, DataPlaneChoice
from piranha.monitor.engine import Nanny
from piranha.monitor.load.monitor import LoadMonitor
from piranha.replication.host import ReplicationHost
from piranha.sync.host import SyncHost
from piranha.sync.role import PairRole, SettableRole

MEMORY = "memory"
_LOCK_WAIT_S = 1.0

logger = logging.getLogger(__name__)


def run_lvsd(paths: Paths, *, dataplane: str | None = None) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reloads. `dataplane` overrides the file's choice.

    Raises `ConfigurationError` for a bad file and PiranhaError for everything else that prevents a start; the table
    in the kernel is then untouched.
    """
    reading = read_configuration(paths.config)
    try:
        # An ipvsadm at work holds it for moments.
        lock = FileLock(paths.lvsd_lock, wait_s=_LOCK_WAIT_S)
    except LockedError as error:
        raise PiranhaError(
            f"lvsd is running already (process {error.pid or '?'})", mend="change it with `piranha reload`"
        ) from None
    with lock:
        plane = open_plane(paths, reading.configuration, dataplane)
        try:
            asyncio.run(_Daemon(paths, reading, plane).run())
        except BaseExceptionGroup as group:
            raise _reason_of(group) from group
        finally:
            plane.close()


def open_plane(paths: Paths, configuration: Configuration, choice: str | None = None) -> DataPlane:
    """The data plane that the file, or `choice` above it, asks for. Raises PiranhaError with the mend."""
    wanted = choice or configuration.dataplane.value
    if wanted == MEMORY:
        from piranha.dataplane.memory import MemoryPlane

        return MemoryPlane()
    if wanted == DataPlaneChoice.IPVS:
        from piranha.dataplane.ipvs.plane import IpvsPlane

        return IpvsPlane.open(paths)
    from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings

    return EbpfPlane.open(paths, PlaneSettings.of(configuration))


class _Daemon:
    """The tasks of one lvsd and the signals that steer them."""

    def __init__(self, paths: Paths, reading: Reading, plane: DataPlane) -> None:
        self._paths = paths
        self._reading = reading
        self._plane = plane
        self._notifier = Notifier()
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()
        self._pulse = PulseLink(paths.pulse_socket)
        self._role = SettableRole()
        self._pulse.on_change(lambda view: self._role.set(PairRole(view.role)))
        self._chronicle = Chronicle(EventFile(paths.events))
        self._pulse.on_change(self._chronicle.cluster)
        self._replication = ReplicationHost(
            paths, name=host_name(), addresses=host_addresses, tell_pulse=self._spread, noted=self._note_replication
        )
        self._pulse.on_change(lambda view: self._replication.assumed(view.role, view.term))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        clock, health = MonotonicClock(), HealthBook(self._chronicle.health)
        loads = Loads()
        director = Director(
            self._reading,
            self._plane,
            Nanny(clock, health.note, on_weight=health.weigh),
            health,
            clock,
            addresses=host_addresses,
            beat=self._notifier.alive,
            by_hand=self._by_hand(),
            edits=self._edits(),
            loads=loads,
            load_monitor=LoadMonitor(clock, loads.read),
            operators=OperatorDesk(OverrideFile(self._paths.overrides)),
            sync=self._sync(clock),
            replication=self._replication,
            cluster=lambda: self._pulse.view,
            chronicle=self._chronicle,
        )
        editing = Editing(
            ConfigurationStore(self._paths.config, self._paths.state),
            director,
            ConfirmationFile(self._paths.unconfirmed),
            spread=self._spread,
        )
        policy = Policy.of_this_host(self._reading.configuration.api_group)
        # The socket comes first: where it cannot be made nothing in the kernel has been touched yet.
        listener = open_socket(self._paths.api_socket, mode=OPEN_MODE if policy.is_open else MODE)
        try:
            difference = director.start()
            logger.info(
                "started version=%s config=%s dataplane=%s changes=%d",
                piranha.__version__,
                self._reading.path,
                self._plane.status().name,
                len(difference),
            )
            version, name = piranha.__version__, self._plane.status().name
            self._chronicle.add(EventKind.DAEMON, f"lvsd {version} started on the {name} data plane")
            context = Context(
                director=director,
                editing=editing,
                live=LiveHub(director.live),
                pulse=self._pulse,
                replication=self._replication,
                examine=_examine,
            )
            await self._work(context, create_app(context, policy), listener)
        finally:
            self._paths.api_socket.unlink(missing_ok=True)
            listener.close()

    def _sync(self, clock: Clock) -> SyncHost:
        """Connection sync, by pulse's role; pulse hears whether we have the other director's connections."""
        host = SyncHost(
            self._plane,
            self._reading.configuration,
            self._role,
            clock,
            addresses=host_addresses,
            security=PairSecurity(self._paths.etc),
        )
        host.on_change(lambda: self._pulse.report_synced(host.state.is_synced))
        self._pulse.report_synced(host.state.is_synced)
        return host

    def _by_hand(self) -> Ledger:
        """Where it is kept which services ipvsadm made; IPVS's plane knows itself, the memory plane forgets all."""
        if self._plane.status().name != "ebpf":
            return MemoryLedger()
        return Ownership(self._paths.by_hand, table_identity())

    def _edits(self) -> EditStore:
        """Where it is kept what ipvsadm changed of ours; the memory plane forgets all."""
        if self._plane.status().name == MEMORY:
            return MemoryEdits()
        return EditsFile(self._paths.edits_by_hand, table_identity())

    def _note_replication(self, text: str) -> None:
        self._chronicle.add(EventKind.CONFIGURATION, text, who="replication")

    async def _spread(self) -> None:
        """Have pulse read the file and the keys again, where it runs."""
        if self._pulse.view.attached:
            await self._pulse.ask("reload")

    async def _work(self, context: Context, app: Starlette, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(context.director.run(), name="director"),
                group.create_task(serve(app, listener), name="api"),
                group.create_task(context.editing.run(), name="editing"),
                group.create_task(context.live.run(), name="live"),
                group.create_task(self._reload_on_hangup(context), name="hangup"),
                group.create_task(self._pulse.run(), name="pulse"),
                group.create_task(self._replication.run(context.director), name="replication"),
            ]
            self._pulse.report_ready(True)
            self._notifier.ready(f"switching by {self._reading.path}")
            await self._stop.wait()
            self._notifier.stopping()
            self._chronicle.add(EventKind.DAEMON, "lvsd stops, the kernel goes on forwarding")
            for task in tasks:
                task.cancel()
        logger.info("stopped, the kernel goes on forwarding; `piranha unload` takes the data plane out")

    async def _reload_on_hangup(self, context: Context) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            self._notifier.reloading()
            try:
                await context.editing.reload(who="SIGHUP")
            except PiranhaError as error:
                logger.error('reload failed error="%s"', error)
                for problem in getattr(error, "problems", ()):
                    logger.error("%s", problem)
            self._notifier.ready(f"switching by {context.director.configuration_path}")


def _examine() -> dict[str, Any]:
    """What `piranha doctor` finds, for whoever asks the API."""
    findings = judge(gather(), director=True)
    words = ("subject", "found", "meaning", "mend")
    return {
        "fit": fit(findings),
        "findings": [
            {"verdict": finding.verdict.value, **{word: getattr(finding, word) for word in words}}
            for finding in findings
        ],
    }


def _reason_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The operating error that ended the tasks, or the group itself where it was a programmer's."""
    operating, rest = group.split(PiranhaError)
    if operating is None or rest is not None:
        return group
    error: BaseException = operating
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
