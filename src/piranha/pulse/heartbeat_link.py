"""A heartbeat link: one UDP socket between an address of ours and one of the other director's."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress

MAX_MESSAGE_BYTES = 2048
MESSAGES_AT_ONCE = 256
"""Read from a link in one turn; a flood does not keep the loop from its timers."""
_RECEIVE_BYTES = 256 * 1024
_PRIORITY = 7
_EVERYBODY4, _EVERYBODY6 = "255.255.255.255", "ff02::1"
_SO_PRIORITY = getattr(socket, "SO_PRIORITY", 12)


@dataclass(slots=True)
class LinkCounters:
    """Messages since the start. `rejected` counts by reason."""

    sent: int = 0
    failed: int = 0
    heard: int = 0
    foreign: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


class HeartbeatLink:
    """Sends to and hears from one address of the peer. Never waits.

    `sent_at`, `heard_at` (boot time, ns; 0 for never) and `last_error` are for the status. Raises PiranhaError where the socket
    cannot be had.
    """

    def __init__(self, ours: IPAddress, theirs: IPAddress, port: int, *, device: str = "") -> None:
        self.ours, self.theirs, self.port = ours, theirs, port
        self.device = device
        self.counters = LinkCounters()
        self.heard_at = 0
        self.last_error = ""
        family = socket.AF_INET if ours.version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_PRIORITY, _PRIORITY)
            self._socket.bind((str(ours), port))
            # The kernel then drops everybody else's datagrams before they cost us anything.
            self._socket.connect((str(theirs), port))
        except OSError as error:
            self._socket.close()
            raise PiranhaError(
                f"no heartbeats from {ours} to {theirs}, UDP port {port} ({error.strerror})",
                mend="is the address on an interface, and the port free?",
            ) from error
        self._wide: tuple[socket.socket, tuple[str, int]] | None = None

    @property
    def name(self) -> str:
        return f"{self.ours}-{self.theirs}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes) -> bool:
        """Whether it left. A full queue or a broken path is counted, not raised."""
        try:
            self._socket.send(message)
        except OSError as error:
            self.counters.failed += 1
            self.last_error = error.strerror or str(error)
            if error.errno == errno.ECONNREFUSED:
                # What an ICMP error said of an earlier message; this one has not been sent yet.
                return self._send_again(message)
            return False
        self.counters.sent += 1
        self.last_error = ""
        return True

    def send_widely(self, message: bytes) -> None:
        """To every host of the link: a message that leaves although nobody answers for the peer's address.

        The kernel keeps a unicast message back until it knows the peer's MAC, and a dead peer's nobody tells it: no heartbeat
        would leave, and the lease of the one director that is left would run out.
        """
        if not self.device:
            return
        try:
            if self._wide is None:
                self._wide = self._open_wide()
            wide, target = self._wide
            wide.sendto(message, target)
        except OSError as error:
            self.last_error = error.strerror or str(error)

    def _open_wide(self) -> tuple[socket.socket, tuple[str, int]]:
        wide = socket.socket(self._socket.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            wide.setsockopt(socket.SOL_SOCKET, _SO_PRIORITY, _PRIORITY)
            wide.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
            wide.bind((str(self.ours), 0))
            if self.ours.version == 4:
                wide.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                return wide, (_EVERYBODY4, self.port)
            wide.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            return wide, (_EVERYBODY6, self.port)
        except BaseException:
            wide.close()
            raise

    def receive(self) -> list[bytes]:
        """What has come, at most `MESSAGES_AT_ONCE`."""
        found: list[bytes] = []
        for _ in range(MESSAGES_AT_ONCE):
            try:
                found.append(self._socket.recv(MAX_MESSAGE_BYTES))
            except BlockingIOError:
                break
            except OSError as error:
                # An ICMP error of an earlier message is reported once, here.
                self.last_error = error.strerror or str(error)
        return found

    def close(self) -> None:
        self._socket.close()
        if self._wide is not None:
            self._wide[0].close()

    def _send_again(self, message: bytes) -> bool:
        try:
            self._socket.send(message)
        except OSError as error:
            self.last_error = error.strerror or str(error)
            return False
        self.counters.sent += 1
        return True
