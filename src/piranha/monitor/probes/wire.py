"""Every check by sockets: many conversations at once over one epoll of our own, which the event loop watches.

A task and the loop's own sockets would cost two to three times as much a check.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.monitor.conversation import Conversation, Factory, Found, Reconnect, Silence, WrongAnswer
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.endpoint import ask_errors, bind, open_socket, our_fault, reason_of, socket_address

_READ_BYTES = 16_384
_DATAGRAM_BYTES = 65_536
_AT_ONCE = 64
"""So many events are worked on before the loop has its turn."""

MAX_RECEIVED_BYTES = 8 * 1024 * 1024
MAX_DATAGRAMS = 1000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PROGRESS = (errno.EINPROGRESS, errno.EAGAIN)

OnEnd = Callable[[Probe, float, Outcome | Exception], None]
"""A check has ended: its probe, when it began, and what it found. An exception is our own trouble."""


class _Flight:
    """One conversation under way. `fd` is -1 while it has no socket."""

    __slots__ = (
        "began_at",
        "closed",
        "connected",
        "deadline_at",
        "fd",
        "looking",
        "probe",
        "received_bytes",
        "received_times",
        "sock",
        "started",
        "talk",
        "unsent",
    )

    def __init__(self, probe: Probe, talk: Conversation, now: float) -> None:
        self.probe = probe
        self.talk = talk
        self.began_at = now
        self.deadline_at = now + probe.timeout_s
        self.sock: socket.socket | None = None
        self.fd = -1
        self.looking = 0
        self.connected = False
        self.started = False
        self.closed = False
        self.received_bytes = 0
        self.received_times = 0
        self.unsent = b""


class Wire:
    """Carries conversations out, each within its probe's `timeout_s`. `on_end` is called once for each that began."""

    def __init__(self, clock: Clock, on_end: OnEnd, factory_of: Callable[[Probe], Factory]) -> None:
        self._clock = clock
        self._on_end = on_end
        self._factory_of = factory_of
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoll: select.epoll | None = None
        self._flights: dict[int, _Flight] = {}
        self._deadlines: list[tuple[float, int, _Flight]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._own_ports = _local_port_range()

    def open(self) -> None:
        """Begin. Must be called in the loop that shall carry the checks."""
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._on_events)

    def close(self) -> list[Probe]:
        """Give up everything; the probes that were under way."""
        left = list(self._flights.values())
        for flight in left:
            self._hang_up(flight)
            flight.talk.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadlines.clear()
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        self._epoll = self._loop = None
        return [flight.probe for flight in left]

    def start(self, probe: Probe, now: float) -> None:
        """Begin one check. It may end before this returns."""
        try:
            talk = self._factory_of(probe)(probe, os.urandom(32))
        except Exception as error:
            self._on_end(probe, now, error)
            return
        flight = _Flight(probe, talk, now)
        self._guarded(flight, self._connect)
        if not flight.closed:
            heapq.heappush(self._deadlines, (flight.deadline_at, next(self._numbers), flight))
            self._arm()

    def _connect(self, flight: _Flight) -> None:
        probe = flight.probe
        flight.connected = False
        datagram = probe.is_datagram
        sock = open_socket(probe, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM)
        flight.sock = sock
        flight.fd = sock.fileno()
        flight.looking = 0
        self._flights[flight.fd] = flight
        if datagram:
            ask_errors(sock, probe)
        elif probe.options is None and not probe.send:
            # Nothing is owed to the server, so the connection need not linger in TIME_WAIT here.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        bind(sock, probe)
        number = sock.connect_ex(socket_address(probe))
        if number == 0:
            self._begin(flight)
        elif number in _PROGRESS and not datagram:
            self._look(flight, select.EPOLLOUT)
        else:
            raise OSError(number, os.strerror(number))

    def _begin(self, flight: _Flight) -> None:
        sock, probe = flight.sock, flight.probe
        assert sock is not None
        low, high = self._own_ports
        if low <= probe.port <= high and not probe.is_datagram and _is_connected_to_itself(sock, probe.port):
            # A closed port of this machine inside the local port range can be "connected" to itself.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
        flight.connected = True
        words = flight.talk.send(b"") if flight.started else next(flight.talk)
        flight.started = True
        self._say(flight, words, first=True)

    def _say(self, flight: _Flight, words: bytes | Reconnect, *, first: bool = False) -> None:
        if isinstance(words, Reconnect):
            self._hang_up(flight)
            self._connect(flight)
            return
        assert flight.sock is not None
        if flight.probe.is_datagram:
            if words or first:
                flight.sock.send(words)
        elif words:
            flight.unsent += words
            if not self._flush(flight):
                return
        self._look(flight, select.EPOLLIN)

    def _flush(self, flight: _Flight) -> bool:
        assert flight.sock is not None
        try:
            sent = flight.sock.send(flight.unsent)
        except BlockingIOError:
            sent = 0
        flight.unsent = flight.unsent[sent:]
        if flight.unsent:
            self._look(flight, select.EPOLLIN | select.EPOLLOUT)
            return False
        return True

    def _listen(self, flight: _Flight) -> None:
        assert flight.sock is not None
        try:
            data = flight.sock.recv(_DATAGRAM_BYTES if flight.probe.is_datagram else _READ_BYTES)
        except BlockingIOError:
            return
        flight.received_bytes += len(data)
        flight.received_times += 1
        if flight.received_bytes > MAX_RECEIVED_BYTES:
            raise WrongAnswer(f"an answer of more than {MAX_RECEIVED_BYTES // 1024 // 1024} MiB")
        if flight.received_times > MAX_DATAGRAMS and flight.probe.is_datagram:
            raise WrongAnswer(f"{MAX_DATAGRAMS} datagrams that are no answer")
        self._say(flight, flight.talk.send(data))

    def _guarded(self, flight: _Flight, step: Callable[[_Flight], None]) -> None:
        """Take one step of a conversation, and end it as the step says."""
        try:
            step(flight)
        except StopIteration as end:
            self._found(flight, end.value)
        except WrongAnswer as error:
            self._end(flight, ok=False, reason=str(error), answered=True)
        except OSError as error:
            self._failed(flight, error)
        except Exception as error:
            # A fault of ours, found by what a stranger sent, ends this check and no other.
            self._finish(flight, error)

    def _found(self, flight: _Flight, found: Found) -> None:
        if found.farewell and flight.sock is not None and not flight.probe.is_datagram:
            with suppress(OSError):
                flight.sock.send(found.farewell)
        self._end(flight, ok=True, reason=found.reason, answered=True, weight=found.weight)

    def _failed(self, flight: _Flight, error: OSError) -> None:
        datagram = flight.probe.is_datagram
        lack = our_fault(error)
        if lack is not None and (datagram or not flight.connected):
            what = "send" if datagram else "connect"
            self._finish(flight, CheckImpossibleError(f"cannot {what}: {lack}"))
            return
        reason, answered = reason_of(error)
        if datagram:
            reason = "port unreachable" if answered else reason
        elif flight.connected:
            reason = f"connected, then {reason}"
        self._end(flight, ok=False, reason=reason, answered=answered)

    def _silent(self, flight: _Flight) -> None:
        after = f"{flight.probe.timeout_s:g} s"
        try:
            if flight.connected:
                flight.talk.throw(Silence("the deadline"))
            reason = f"CONNECT timed out after {after}"
        except StopIteration as end:
            self._end(flight, ok=True, reason=end.value.reason, answered=False, weight=end.value.weight)
            return
        except Exception:
            if flight.probe.is_datagram:
                reason = f"no answer within {after}: READ timed out"
            else:
                what = "matching answer" if flight.received_bytes else "answer"
                reason = f"connected, no {what} within {after}: READ timed out"
        self._end(flight, ok=False, reason=reason, answered=False)

    def _end(self, flight: _Flight, *, ok: bool, reason: str, answered: bool, weight: int | None = None) -> None:
        duration_s = self._clock.now() - flight.began_at
        self._finish(flight, Outcome(ok=ok, reason=reason, duration_s=duration_s, answered=answered, weight=weight))

    def _finish(self, flight: _Flight, result: Outcome | Exception) -> None:
        self._hang_up(flight)
        flight.closed = True
        flight.talk.close()
        self._on_end(flight.probe, flight.began_at, result)

    def _hang_up(self, flight: _Flight) -> None:
        if flight.sock is not None:
            self._flights.pop(flight.fd, None)
            flight.sock.close()
            flight.sock, flight.fd = None, -1
            flight.unsent = b""

    def _look(self, flight: _Flight, mask: int) -> None:
        if flight.looking == mask:
            return
        assert self._epoll is not None
        if flight.looking:
            self._epoll.modify(flight.fd, mask)
        else:
            self._epoll.register(flight.fd, mask)
        flight.looking = mask

    def _on_events(self) -> None:
        assert self._epoll is not None
        for fd, events in self._epoll.poll(0, _AT_ONCE):
            flight = self._flights.get(fd)
            if flight is None:
                continue
            self._guarded(flight, self._writable if events & select.EPOLLOUT or not flight.connected else self._listen)
            if self._epoll is None:
                return

    def _writable(self, flight: _Flight) -> None:
        assert flight.sock is not None
        if flight.connected:
            if flight.unsent and self._flush(flight):
                self._look(flight, select.EPOLLIN)
            return
        number = flight.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        self._begin(flight)

    def _arm(self) -> None:
        """Have the timer ring at the earliest deadline."""
        while self._deadlines and self._deadlines[0][2].closed:
            heapq.heappop(self._deadlines)
        if len(self._deadlines) > 64 + 4 * len(self._flights):
            self._deadlines = [entry for entry in self._deadlines if not entry[2].closed]
            heapq.heapify(self._deadlines)
        if not self._deadlines or self._loop is None:
            return
        rings_at = self._loop.time() + self._deadlines[0][0] - self._clock.now()
        if self._timer is not None:
            if self._timer.when() <= rings_at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(rings_at, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        # What has come while we slept counts before the clock does.
        for _ in range(len(self._flights) // _AT_ONCE + 1):
            if self._epoll is not None:
                self._on_events()
        now = self._clock.now()
        while self._epoll is not None and self._deadlines and self._deadlines[0][0] <= now:
            flight = heapq.heappop(self._deadlines)[2]
            if not flight.closed:
                self._silent(flight)
        self._arm()


def _is_connected_to_itself(sock: socket.socket, port: int) -> bool:
    own = sock.getsockname()
    return bool(own[1] == port) and own == sock.getpeername()


def _local_port_range() -> tuple[int, int]:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 1, 65535
