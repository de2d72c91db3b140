"""Which connection-sync daemons the eBPF plane is to have. lvsd's sync engine carries them out."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable
from dataclasses import replace

from piranha.dataplane.port import (
    NoDeviceError,
    RefusalKind,
    RefusedError,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
)

_SIOCGIFMTU = 0x8921
_LONGEST = {SyncRole.MASTER: 1500, SyncRole.BACKUP: 65_535}
_SHORTEST = 1024
_HEADERS = {4: 28, 6: 48}


class SyncDaemons:
    """As the kernel keeps them: one of each role. Refuses until somebody hosts them."""

    def __init__(self) -> None:
        self._wanted: dict[SyncRole, SyncDaemon] = {}
        self._changed: Callable[[], None] | None = None

    def host(self, changed: Callable[[], None]) -> None:
        """From now on daemons can be started; `changed` is called after each start and stop."""
        self._changed = changed

    def __call__(self) -> tuple[SyncDaemon, ...]:
        """Those that are to run."""
        return tuple(self._wanted.values())

    def of(self, role: SyncRole) -> SyncDaemon | None:
        return self._wanted.get(role)

    def apply(self, operation: StartDaemon | StopDaemon) -> None:
        """Raises RefusedError as the kernel would: it runs already, does not run, has no such interface."""
        if self._changed is None:
            raise RefusedError(
                RefusalKind.UNSUPPORTED,
                "connection sync of the eBPF data plane is a part of lvsd, which does not run",
                mend="start lvsd; with `syncdaemon = 1` in lvs.cf it syncs by itself",
            )
        match operation:
            case StartDaemon(daemon=daemon):
                if daemon.role in self._wanted:
                    raise RefusedError(RefusalKind.EXISTS, f"start daemon {daemon.role}: it runs already")
                self._wanted[daemon.role] = replace(daemon, max_length=_length(daemon))
            case StopDaemon(role=role):
                if role not in self._wanted:
                    raise RefusedError(RefusalKind.NO_SERVICE, f"stop daemon {role}: it does not run")
                del self._wanted[role]
        self._changed()


def _length(daemon: SyncDaemon) -> int:
    """The longest message: what was asked for, at least 1024 bytes, else what fits into the interface's packet."""
    headers = _HEADERS[4 if daemon.group is None else daemon.group.version]
    longest = min(_mtu(daemon.interface), _LONGEST[daemon.role]) - headers
    return max(daemon.max_length, _SHORTEST) if daemon.max_length else max(longest, _SHORTEST)


def _mtu(interface: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFMTU, struct.pack("16si", interface.encode()[:15], 0))
        except OSError as error:
            raise NoDeviceError(interface) from error
    return int(struct.unpack("16si", answer)[1])
