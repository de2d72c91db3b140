"""The director's shell: brings file, health and plane together, and keeps the table right every second."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import piranha
from piranha.base.clock import Clock
from piranha.config.parser import Parsed
from piranha.dataplane.port import ConnectionFilter, DataPlane, EditDestination, EditService, Expiring, Operation
from piranha.dataplane.series import apply_each
from piranha.dataplane.wire import (
    connections_to_json,
    daemon_to_json,
    outcome_to_json,
    table_to_json,
    timeouts_to_json,
)
from piranha.director.addresses import missing_vips
from piranha.director.admission import Admitted
from piranha.director.aftermath import flows_to_end, news
from piranha.director.byhand import ByHand, EditStore, Ledger, MemoryLedger
from piranha.director.chronicle import Chronicle
from piranha.director.difference import describe
from piranha.director.events import EventKind, EventSeverity
from piranha.director.health import HealthBook, HealthSource, targets_of
from piranha.director.history import Figures, History, StatisticsDocument
from piranha.director.layout import Layout, lay_out
from piranha.director.live import LiveFrame, total_of
from piranha.director.loading import LoadAsker, Loads, load_sources
from piranha.director.operators import OperatorDesk
from piranha.director.overview import BriefService, Summary, overview
from piranha.director.planned import PlanView, plan_view
from piranha.director.pulse_link import ClusterView, cluster_document
from piranha.director.quorum_commands import QuorumCommands
from piranha.director.rates import RateMeter
from piranha.director.reconcile import Reconciler
from piranha.director.servers import ServersDocument, servers_document
from piranha.director.services import ServicesDocument, services_document
from piranha.director.source import ConfigurationError, Reading, changed_on_disk, read_configuration
from piranha.director.status import (
    ConfigurationView,
    ConnectionsDocument,
    ReloadDocument,
    StatusDocument,
    connections_document,
    plane_view,
    warnings_of,
)
from piranha.director.switch import Switch
from piranha.director.table import AppliedDocument, TableConnectionsDocument, TableDocument, TableStateDocument
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration
from piranha.model.override import Act
from piranha.model.service import ServiceKey
from piranha.monitor.load.monitor import LoadStatus
from piranha.monitor.target import TargetKey, TargetStatus
from piranha.replication.view import ReplicationView
from piranha.sync.tally import SyncView

TICK_S = 1.0
ADDRESSES_EVERY_S = 5.0
PROBLEMS_SHOWN = 100
MOST_CONNECTIONS = 100_000
"""Entries in one answer: making them takes about 10 µs each, in which nothing else moves."""
_LOGGED_AT_ONCE = 20
_SHARE = 4
"""After a comparison that took t seconds the next waits this many t: a storm of verdicts may not eat the loop."""

logger = logging.getLogger(__name__)


@runtime_checkable
class Running(Protocol):
    """A plane with work of its own, such as keeping next hops fresh."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...


@runtime_checkable
class Reconfigurable(Protocol):
    """A plane that itself has settings in the file, such as its interfaces."""

    def reconfigure(self, configuration: Configuration) -> None:
        """Take over what a reload changed. Raises PiranhaError and stays as it was when it cannot."""
        ...


class Synchronising(Protocol):
    """Connection sync (`sync/host.py`)."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    def configure(self, configuration: Configuration) -> None: ...

    def view(self) -> SyncView: ...


class Replicating(Protocol):
    """Configuration replication (`replication/host.py`)."""

    def noticed(self) -> None:
        """Called after each change of the configuration in force."""
        ...

    def view(self) -> ReplicationView: ...


class Director:
    """lvsd without its process: `start`, then `run` until cancelled; everything from one event loop.

    `addresses` lists this host's addresses and may block; `beat` is called once a tick, for a watchdog; `by_hand`
    remembers services that others make through `apply_by_hand`, and `edits` what they change of ours and may stay.
    """

    def __init__(
        self,
        reading: Reading,
        plane: DataPlane,
        nanny: HealthSource,
        health: HealthBook,
        clock: Clock,
        *,
        addresses: Callable[[], frozenset[IPAddress]],
        beat: Callable[[], None] = lambda: None,
        by_hand: Ledger | None = None,
        edits: EditStore | None = None,
        operators: OperatorDesk | None = None,
        loads: Loads | None = None,
        load_monitor: LoadAsker | None = None,
        sync: Synchronising | None = None,
        replication: Replicating | None = None,
        cluster: Callable[[], ClusterView] = ClusterView,
        chronicle: Chronicle | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        self._reading = reading
        self._opened_with = reading.configuration
        self._plane = plane
        self._nanny = nanny
        self._health = health
        self._clock = clock
        self._addresses = addresses
        self._beat = beat
        self._cluster = cluster
        self._tick_s = tick_s
        self._layout = Layout()
        self._named: frozenset[ServiceKey] = frozenset()
        self._by_hand = ByHand(by_hand or MemoryLedger(), edits)
        self._sync = sync
        self._replication = replication
        self.chronicle = chronicle or Chronicle()
        self.chronicle.name_of = self._name_of
        self._names: dict[TargetKey, str] = {}
        self._switch = Switch(plane, Reconciler(), self._by_hand, lambda text, bad: self.chronicle.table(text, bad=bad))
        self.operators = operators or OperatorDesk()
        self.operators.tell = self._tell_operator
        self._loads = loads or Loads()
        self._load_monitor = load_monitor
        self._quorum_commands = QuorumCommands(self._tell_quorum)
        self._meter = RateMeter()
        self._history = History()
        self._comparison_s = 0.0
        self._reloading = asyncio.Lock()
        self._present: frozenset[IPAddress] | None = None
        self._missing: tuple[str, ...] = ()
        self._started_at = clock.now()
        self._started_wall = datetime.now(UTC)
        self._loaded_wall = self._started_wall

    @property
    def configuration_path(self) -> Path:
        return self._reading.path

    def start(self) -> tuple[str, ...]:
        """Take the file into force and make the table right, adopting what it holds. Returns the difference."""
        return self._install(self._reading)

    async def run(self) -> None:
        """Keep everything right until cancelled. `start` comes first."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nanny.run(), name="nanny")
            tasks.create_task(self._converge_forever(), name="reconciler")
            tasks.create_task(self._watch_addresses(), name="addresses")
            tasks.create_task(self.chronicle.run(), name="events")
            tasks.create_task(self._quorum_commands.run(), name="quorum commands")
            if self._load_monitor is not None:
                tasks.create_task(self._load_monitor.run(), name="load monitor")
            if self._sync is not None:
                tasks.create_task(self._sync.run(), name="sync")
            if isinstance(self._plane, Running):
                tasks.create_task(self._plane.run(), name="plane")

    async def reload(self) -> ReloadDocument:
        """Read the file again and apply every change of it.

        Raises `ConfigurationError` or another PiranhaError when it is not usable; the old configuration then goes on.
        """
        async with self._reloading:
            path = self._reading.path
            try:
                # In a thread: a host name in the file may take seconds to look up.
                reading = await asyncio.to_thread(read_configuration, path)
                if isinstance(self._plane, Reconfigurable):
                    self._plane.reconfigure(reading.configuration)
                    self._opened_with = replace(
                        reading.configuration,
                        dataplane=self._opened_with.dataplane,
                        api_group=self._opened_with.api_group,
                    )
            except ConfigurationError as refused:
                logger.warning(
                    "reload refused, the old configuration goes on file=%s problems=%d", path, len(refused.problems)
                )
                raise
            changes = self._install(reading)
            logger.info("reloaded file=%s serial_no=%d changes=%d", path, reading.configuration.serial_no, len(changes))
            return ReloadDocument(
                accepted=True,
                serial_no=reading.configuration.serial_no,
                changes=list(changes),
                problems=list(self._problems(changed=False)),
                warnings=warnings_of(reading.problems),
            )

    def status(self) -> StatusDocument:
        changed = changed_on_disk(self._reading)
        summary, services = self._overview()
        return StatusDocument(
            version=piranha.__version__,
            pid=os.getpid(),
            started_at=_rfc3339(self._started_wall),
            uptime_s=round(self._clock.now() - self._started_at, 1),
            configuration=self._configuration_view(changed),
            plane=plane_view(self._plane.status(), self._plane.connection_counts()),
            summary=summary,
            services=services,
            sync=None if self._sync is None else self._sync.view(),
            replication=None if self._replication is None else self._replication.view(),
            problems=list(self._problems(changed)),
            cluster=cluster_document(self._cluster()),
        )

    def live(self, sequence: int) -> LiveFrame:
        """A full frame of the live stream."""
        summary, services = self._overview()
        view = self._cluster()
        return LiveFrame(
            sequence=sequence,
            full=True,
            at=round(time.time(), 3),
            role=view.role,
            attached=view.attached,
            peer=str((view.document.get("peer") or {}).get("role", "")),
            version=piranha.__version__,
            digest=self._reading.digest,
            event=self.chronicle.log.last,
            problems=len(self._problems(changed=changed_on_disk(self._reading))),
            summary=summary,
            total=total_of(services),
            services=services,
            gone=[],
        )

    def figures(self) -> Figures:
        """What only metrics show."""
        return Figures(
            totals=self._history.totals,
            events=self.chronicle.log.last,
            repairs=self._switch.repairs,
            comparison_s=self._comparison_s,
        )

    def statistics(self, name: str, seconds: int) -> StatisticsDocument | None:
        """The history of a service by its name or key, of all for an empty name; None for one that is not there."""
        if not name:
            return self._history.document(None, "", seconds)
        for service in self._switch.reconciler.layout.services:
            if name in (service.virtual.name, str(service.service.key)):
                return self._history.document(service.service.key, name, seconds)
        return None

    def services(self, names: Collection[str] = ()) -> ServicesDocument:
        """All services, or those of these names in lvs.cf alone."""
        now = self._clock.now()
        planned = self._switch.reconciler.layout.services
        actual = self._switch.snapshot()
        if names:
            planned = tuple(service for service in planned if service.virtual.name in names)
            keys = {service.service.key for service in planned}
            actual = [status for status in actual if status.service.key in keys]
        return services_document(
            planned,
            actual,
            checkup=self._checkup,
            held=self._switch.reconciler.held,
            errors=self._switch.errors,
            baseline=self._meter.baseline(now),
            now=now,
        )

    def servers(self) -> ServersDocument:
        """Every real server in every service: what it gets, why, and what operators said of it."""
        reconciler = self._switch.reconciler
        return servers_document(
            reconciler.layout,
            self._switch.snapshot(),
            admitted=reconciler.admitted,
            overrides=self.operators.overrides,
            checkup=self._checkup,
            loads=self._load_of,
            now=self._clock.now(),
            trouble=self.operators.trouble,
        )

    def say(
        self,
        server: str,
        act: Act | None,
        *,
        service: str = "",
        weight: int = 0,
        duration_s: float | None = None,
        who: str = "",
        why: str = "",
    ) -> ServersDocument:
        """An operator's word about a server (its name or address), in one service or in all; `act` None takes all back.

        A drain without a duration lasts at most the `drain_timeout` of its services. In force when this returns. Raises
        UsageError for what there is not, PiranhaError when it cannot be kept.
        """
        layout = self._switch.reconciler.layout
        self.operators.take(
            layout, server, act, service=service, weight=weight, duration_s=duration_s, who=who, why=why
        )
        self._converge()
        return self.servers()

    def table(self) -> TableDocument:
        """The table as the data plane has it, for programs that speak IPVS."""
        return TableDocument(services=table_to_json(self._switch.snapshot()))

    def table_state(self) -> TableStateDocument:
        status = self._plane.status()
        return TableStateDocument(
            plane=status.name,
            size=status.connection_capacity,
            timeouts=timeouts_to_json(self._plane.timeouts()),
            daemons=[daemon_to_json(daemon) for daemon in self._plane.daemons()],
        )

    def table_connections(self) -> TableConnectionsDocument:
        page = self._plane.connections(ConnectionFilter(limit=MOST_CONNECTIONS))
        return TableConnectionsDocument(total=page.total, connections=connections_to_json(page.rows))

    def apply_by_hand(self, operations: Sequence[Operation]) -> AppliedDocument:
        """What ipvsadm asks for, each operation on its own. The next tick repairs what lvs.cf says otherwise."""
        # Only edits have an old value to tell, and a table of thousands takes its time.
        edits = any(isinstance(operation, EditService | EditDestination) for operation in operations)
        before = self._switch.snapshot() if edits else ()
        outcomes = apply_each(self._plane, operations)
        done = [operation for operation, refused in zip(operations, outcomes, strict=True) if refused is None]
        if self._by_hand.note(done, self._named):
            self._switch.reconciler.keep_edits(self._by_hand.edits)
        for line in describe(done, before):
            logger.info('changed by hand difference="%s"', line)
        return AppliedDocument(outcomes=[outcome_to_json(outcome) for outcome in outcomes])

    def connections(self, wanted: ConnectionFilter) -> ConnectionsDocument:
        return connections_document(self._plane.connections(wanted))

    @property
    def reading(self) -> Reading:
        """The file in force, as it was read."""
        return self._reading

    def preview(self, parsed: Parsed) -> PlanView:
        """What a usable text would change in the table if it came into force now. Nothing is done."""
        configuration = parsed.configuration
        layout = lay_out(configuration, self._plane.capabilities, parsed.places)
        known = self._health.settle()
        health = {key: known[key] for key in targets_of(layout) if key in known}
        repair, actual, rules = self._switch.rehearse(layout, configuration, health, self._clock.now())
        return plan_view(layout, repair, actual, rules, health)

    def _install(self, reading: Reading) -> tuple[str, ...]:
        """The one place where a configuration comes into force."""
        now = self._clock.now()
        layout = lay_out(reading.configuration, self._plane.capabilities, reading.places)
        targets = targets_of(layout)
        self._nanny.set_targets(targets)
        self._loads.follow(layout)
        if self._load_monitor is not None:
            self._load_monitor.set_targets(load_sources(layout, reading.configuration))
        health = self._health.keep(targets)
        self._named = frozenset(service.service.key for service in layout.services)
        self._by_hand.follow(reading.configuration.table_edits, self._named)
        self._switch.reconciler.keep_edits(self._by_hand.edits)
        self._switch.reconciler.adopt(layout, reading.configuration, self._switch.snapshot(), health, now)
        self._reading, self._layout = reading, layout
        self._names = {
            member.key: f"{service.virtual.name} {member.server.name}"
            for service in layout.services
            for member in service.members
        }
        if self._sync is not None:
            self._sync.configure(reading.configuration)
        if self._replication is not None:
            self._replication.noticed()
        self._loaded_wall = datetime.now(UTC)
        _warn('not switched refusal="%s"', layout.refusals)
        _warn('switched otherwise warning="%s"', layout.warnings)
        difference = self._converge()
        self._look_for_vips()
        return difference

    def _converge(self) -> tuple[str, ...]:
        now = self._clock.now()
        self._health.changed.clear()
        reconciler = self._switch.reconciler
        reconciler.overrides = self.operators.overrides
        self._loads.age(now)
        reconciler.advised = self._loads.beside(self._health.advised)
        admitted = reconciler.admitted
        repair, before = self._switch.converge(self._health.settle(), now)
        self._follow_up(admitted, reconciler.admitted, now)
        for change in reconciler.take_quorum_changes():
            self._quorum_commands.take(change)
        if self.operators.look(reconciler.layout, before):
            self._health.changed.set()
        if before:
            self._meter.sample(before, now)
            self._history.sample(before, now, time.time())
        return repair.difference

    def _follow_up(self, before: Admitted, after: Admitted, now: float) -> None:
        """What a decision brings beside the table."""
        if isinstance(self._plane, Expiring):
            for key in flows_to_end(self._switch.reconciler.layout, before, after):
                ended = self._plane.expire(key.service, key.destination)
                if ended:
                    logger.info('flows of a server that is out ended server="%s" flows=%d', key, ended)
        for told in news(before, after, now):
            severity = EventSeverity.WARNING if told.is_bad else EventSeverity.INFO
            self.chronicle.add(EventKind.HEALTH, told.text, severity=severity, subject=self._name_of(told.key))

    async def _converge_forever(self) -> None:
        while True:
            spent_s = time.monotonic()
            self._converge()
            self._beat()
            spent_s = self._comparison_s = time.monotonic() - spent_s
            await asyncio.sleep(min(self._tick_s, _SHARE * spent_s))
            try:
                async with asyncio.timeout(self._tick_s):
                    await self._health.changed.wait()
            except TimeoutError:
                continue

    async def _watch_addresses(self) -> None:
        while True:
            try:
                self._present = await asyncio.to_thread(self._addresses)
            except OSError as error:
                logger.warning('cannot list the addresses of this host error="%s"', error)
                self._present = None
            self._look_for_vips()
            await asyncio.sleep(ADDRESSES_EVERY_S)

    def _look_for_vips(self) -> None:
        present = self._present
        # The backup has no VIPs, and pulse says so itself when the active one lacks one.
        looked_after = self._cluster().attached or self._cluster().expected
        missing = () if present is None or looked_after else tuple(missing_vips(self._layout.services, present))
        known = frozenset(self._missing)
        _warn("VIP missing: %s", [sentence for sentence in missing if sentence not in known])
        self._missing = missing

    def _checkup(self, key: TargetKey) -> TargetStatus | None:
        try:
            return self._nanny.status(key)
        except KeyError:
            return None

    def _overview(self) -> tuple[Summary, list[BriefService]]:
        return overview(
            self._switch.reconciler.layout.services,
            self._switch.snapshot(),
            health=self._health.settle(),
            held=self._switch.reconciler.held,
            baseline=self._meter.baseline(self._clock.now()),
        )

    def _load_of(self, key: TargetKey) -> LoadStatus | None:
        return None if self._load_monitor is None else self._load_monitor.status(key)

    def _tell_operator(self, subject: str, text: str, who: str) -> None:
        self.chronicle.add(EventKind.OPERATOR, text, subject=subject, who=who)

    def _tell_quorum(self, subject: str, text: str, bad: bool) -> None:
        severity = EventSeverity.WARNING if bad else EventSeverity.INFO
        self.chronicle.add(EventKind.HEALTH, text, severity=severity, subject=subject)

    def _name_of(self, key: TargetKey) -> str:
        return self._names.get(key) or str(key)

    def _problems(self, changed: bool) -> Sequence[str]:
        """What asks for a person, the worst first."""
        switch = self._switch
        sentences = [f"the data plane cannot be read: {switch.fault}"] if switch.fault else []
        sentences += [f"{key}: {error}" for key, error in switch.errors.items()]
        sentences += [f"{what}: {text}" for what, text in switch.shortfalls.items()]
        sentences += [str(refusal) for refusal in self._layout.refusals]
        sentences += [self.operators.trouble] if self.operators.trouble else []
        sentences += self._missing
        sentences += (
            [] if self._sync is None else [f"connection sync: {text}" for text in self._sync.view()["problems"]]
        )
        sentences += [] if self._replication is None else self._replication.view()["problems"]
        sentences += self._layout.warnings
        sentences += [
            f"{directive} was changed and waits for a restart of lvsd, which does not interrupt forwarding"
            for directive in ("dataplane", "interfaces", "hook", "api_group")
            if getattr(self._opened_with, directive) != getattr(self._reading.configuration, directive)
        ]
        if changed:
            sentences.append(f"{self._reading.path} was changed on disk and is not in force: run `piranha reload`")
        if len(sentences) > PROBLEMS_SHOWN:
            sentences[PROBLEMS_SHOWN:] = [f"and {len(sentences) - PROBLEMS_SHOWN} more problems"]
        return sentences

    def _configuration_view(self, changed: bool) -> ConfigurationView:
        configuration = self._reading.configuration
        return ConfigurationView(
            path=str(self._reading.path),
            serial_no=configuration.serial_no,
            service=configuration.service.value,
            loaded_at=_rfc3339(self._loaded_wall),
            changed_on_disk=changed,
            warnings=warnings_of(self._reading.problems),
        )


def _warn(text: str, things: Sequence[object]) -> None:
    """One warning for each of the first things, and how many more there are."""
    for thing in things[:_LOGGED_AT_ONCE]:
        logger.warning(text, thing)
    if len(things) > _LOGGED_AT_ONCE:
        logger.warning(text, f"and {len(things) - _LOGGED_AT_ONCE} more")


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
