"""Keeping the plane's sync daemons as `lvs.cf` and the role say, on whichever plane: eBPF's are ours, IPVS's the kernel's."""

from __future__ import annotations

import logging
from dataclasses import replace

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import DataPlane, Operation, StartDaemon, StopDaemon, SyncDaemon, SyncRole
from piranha.sync.multicast import DEFAULT_GROUP
from piranha.sync.role import RoleSource
from piranha.sync.settings import SyncSettings

logger = logging.getLogger(__name__)


def plan(actual: tuple[SyncDaemon, ...], wanted: tuple[SyncDaemon, ...]) -> list[Operation]:
    """What makes the daemons as they should be: the other role's stops before this one's starts. Pure."""
    due = {daemon.role: daemon for daemon in wanted}
    stays = {daemon.role for daemon in actual if daemon.role in due and _same(daemon, due[daemon.role])}
    stops: list[Operation] = [
        StopDaemon(role=daemon.role, sync_id=daemon.sync_id) for daemon in actual if daemon.role not in stays
    ]
    return stops + [StartDaemon(daemon=daemon) for daemon in wanted if daemon.role not in stays]


def _role(operation: Operation) -> SyncRole:
    if isinstance(operation, StartDaemon):
        return operation.daemon.role
    assert isinstance(operation, StopDaemon)
    return operation.role


def _same(actual: SyncDaemon, wanted: SyncDaemon) -> bool:
    """A plane settles on a length by itself where none is asked for."""
    length = actual.max_length if not wanted.max_length else wanted.max_length
    group = None if actual.group == DEFAULT_GROUP else actual.group
    asked = None if wanted.group == DEFAULT_GROUP else wanted.group
    return replace(actual, group=group) == replace(wanted, max_length=length, group=asked)


class Conductor:
    """`converge` may be called at any time. With `syncdaemon = 0` it leaves alone what others started."""

    def __init__(self, plane: DataPlane, settings: SyncSettings, roles: RoleSource) -> None:
        self.problem = ""
        self._plane = plane
        self._settings = settings
        self._roles = roles
        self._conducts = False

    def configure(self, settings: SyncSettings) -> None:
        self._settings = settings

    def converge(self) -> None:
        """Make the daemons right. Never raises for what the plane refuses: `problem` says it, and the next call tries again."""
        if not (self._settings.enabled or self._conducts):
            return
        roles = self._roles.role.daemons if self._settings.enabled else frozenset[SyncRole]()
        wanted = tuple(self._settings.daemon(role) for role in SyncRole if role in roles)
        problem = ""
        try:
            operations = plan(self._plane.daemons(), wanted)
            self._plane.apply(operations)
            for operation in operations:
                verb = "started" if isinstance(operation, StartDaemon) else "stopped"
                logger.info("sync daemon %s role=%s", verb, _role(operation))
        except PiranhaError as error:
            problem = str(error)
        if problem and problem != self.problem:
            logger.warning('connection sync is not as it should be error="%s"', problem)
        self.problem = problem
        self._conducts = self._settings.enabled
