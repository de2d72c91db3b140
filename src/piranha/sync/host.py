"""Connection sync as lvsd hosts it: one task, whatever the plane."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from piranha.base.clock import Clock
from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.synctable import SyncTable
from piranha.dataplane.port import DataPlane
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration
from piranha.sync.conductor import Conductor
from piranha.sync.engine import SyncEngine
from piranha.sync.link import LinkEnds
from piranha.sync.role import PairRole, RoleSource
from piranha.sync.settings import SyncSettings
from piranha.sync.tally import SyncState, SyncView

logger = logging.getLogger(__name__)

_CONVERGE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSecurity:
    """TLS of the pair link, for the two ends of it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


class SyncHost:
    """`run` until cancelled. `addresses` lists this host's addresses, by which it finds its place in the pair;
    it may block. `security` is asked now and then, in the event loop: the same object as long as the keys are the same;
    None is a link without TLS, and PiranhaError no link at all.

    On the IPVS plane there is no engine: the kernel's daemons do the work, and no table is copied.
    """

    def __init__(
        self,
        plane: DataPlane,
        configuration: Configuration,
        roles: RoleSource,
        clock: Clock,
        *,
        addresses: Callable[[], frozenset[IPAddress]],
        security: Callable[[], LinkSecurity | None] = lambda: None,
    ) -> None:
        self._addresses = addresses
        self._security = security
        self._link_problem = ""
        self._configuration = configuration
        self._settings = SyncSettings.of(configuration)
        self._plane = plane
        self._roles = roles
        self._due = asyncio.Event()
        self._conductor = Conductor(plane, self._settings, roles)
        table = getattr(plane, "sync_table", None)
        self._engine: SyncEngine | None = None
        if isinstance(table, SyncTable):
            self._engine = SyncEngine(table, self._settings, roles, clock)
        roles.on_change(self._due.set)

    @property
    def state(self) -> SyncState:
        if self._engine is not None:
            return self._engine.state
        if not self._plane.daemons():
            return SyncState.OFF
        return SyncState.SOURCE if self._roles.role is PairRole.ACTIVE else SyncState.IN_STEP

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called after each change of `state`; on the IPVS plane that follows the role alone."""
        if self._engine is not None:
            self._engine.on_change(call)
        else:
            self._roles.on_change(call)

    def configure(self, configuration: Configuration) -> None:
        """Take over what a reload changed."""
        self._configuration = configuration
        self._settings = SyncSettings.of(configuration)
        self._conductor.configure(self._settings)
        self._due.set()

    def view(self) -> SyncView:
        if self._engine is not None:
            view = self._engine.view()
        else:
            view = _view_of_the_kernels(self._plane, self._roles.role, self.state)
        view["problems"][:0] = [text for text in (self._conductor.problem, self._link_problem) if text]
        return view

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._engine is not None:
                self._engine.configure(self._settings, await self._ends())
                group.create_task(self._engine.run(), name="sync engine")
            while True:
                if self._engine is not None:
                    self._engine.configure(self._settings, await self._ends())
                self._conductor.converge()
                try:
                    async with asyncio.timeout(_CONVERGE_EVERY_S):
                        await self._due.wait()
                except TimeoutError:
                    continue
                self._due.clear()

    async def _ends(self) -> LinkEnds | None:
        """The pair link where both directors have addresses and this host has one of them (by now)."""
        port = self._settings.link_port
        if not port:
            return None
        try:
            own = await asyncio.to_thread(self._addresses)
        except OSError as error:
            logger.warning('the pair link waits for the addresses of this host error="%s"', error)
            return None
        pair = link_addresses(self._configuration, own)
        if pair is None:
            return None
        try:
            security = self._security()
        except PiranhaError as error:
            self._link_problem = f"no pair link: {error}"
            return None
        self._link_problem = ""
        return LinkEnds(
            local=pair[0],
            peer=pair[1],
            port=port,
            server_tls=security.server if security else None,
            client_tls=security.client if security else None,
        )


def link_addresses(configuration: Configuration, own: frozenset[IPAddress]) -> tuple[IPAddress, IPAddress] | None:
    """Our end and the partner's, by their private addresses where the file gives these; None where we are neither."""
    primary = configuration.primary_private or configuration.primary
    backup = configuration.backup_private or configuration.backup
    if primary is None or backup is None or primary == backup:
        return None
    if primary in own:
        return primary, backup
    return (backup, primary) if backup in own else None


def _view_of_the_kernels(plane: DataPlane, role: PairRole, state: SyncState) -> SyncView:
    """The kernel counts nothing of what its daemons do."""
    return SyncView(
        state=state.value,
        role=role.value,
        daemons=sorted(str(daemon.role) for daemon in plane.daemons()),
        transport="kernel",
        told_entries=0,
        told_datagrams=0,
        heard_entries=0,
        heard_datagrams=0,
        outcomes={},
        waiting=0,
        foreign=0,
        faults=0,
        send_failures=0,
        heard_ago_s=None,
        told_ago_s=None,
        lag_s=-1.0,
        listeners=[],
        problems=[],
    )
