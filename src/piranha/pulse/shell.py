"""pulse's loop: one `select`, everything that lies on the sockets, then the clock. The failover machine decides, this acts.

After each wake-up the sockets are drained before any timer is looked at, so a director that was held up hears its peer before it
takes it for dead. Nothing in here waits, computes for long, or writes to a disk but the log.
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from piranha.base.notify import Notifier
from piranha.cluster import commands as do
from piranha.cluster.commands import Command, Role
from piranha.cluster.events import (
    Ask,
    Event,
    GateState,
    LvsdReady,
    Question,
    ReadyToServe,
    SettingsChanged,
    Started,
    Tick,
    Woke,
)
from piranha.cluster.failover import Failover
from piranha.cluster.heartbeat import NO_FLAGS, Flag
from piranha.cluster.seal import RejectedError
from piranha.cluster.settings import Settings
from piranha.pulse.child import Lvsd
from piranha.pulse.control import ControlClient, ControlServer
from piranha.pulse.heartbeat_link import HeartbeatLink
from piranha.pulse.lag import LagMeter
from piranha.pulse.voice import Voice

logger = logging.getLogger(__name__)

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
LONGEST_SLEEP_NS = SECOND
"""The loop wakes this often whatever happens: the watchdog wants to hear of it."""
LATE_NS = 50 * MILLISECOND
SWITCHES_KEPT = 32
UNAUTHENTICATED = "unauthenticated_peer"
UNAUTHENTICATED_FOR_NS = 10 * SECOND

_QUESTIONS = {
    "switch": Question.SWITCH,
    "maintenance_on": Question.MAINTENANCE_ON,
    "maintenance_off": Question.MAINTENANCE_OFF,
    "stop": Question.STOP,
}


class Wire(Protocol):
    """The gate, the addresses and the frames of this host: `pulse/wire.py`, and a fake."""

    def claim(self, until: int) -> None: ...
    def drop(self) -> None: ...
    def renew(self, now: int) -> None:
        """After an active heartbeat: only a gate that the kernel does not renew has anything to do."""

    def open_until(self) -> int: ...
    def raise_addresses(self, now: int) -> None: ...
    def lower_addresses(self, now: int) -> None: ...
    def announce(self, now: int) -> None: ...
    def stop_announcing(self) -> None: ...
    def probe(self, now: int) -> None: ...
    def run_command(self, *, active: bool, now: int) -> None: ...
    def note_peer(self, macs: tuple[bytes, ...]) -> None: ...
    def macs(self) -> tuple[bytes, ...]: ...
    def descriptors(self) -> Iterator[int]: ...
    def receive(self, now: int) -> list[Event]:
        """What the kernel and the wire said since the last call."""

    def tick(self, now: int) -> None: ...
    def next_at(self) -> int | None: ...
    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A change of the role, for the status."""

    at: int
    role: Role
    term: int
    cause: str


@dataclass(slots=True)
class PeerHeard:
    """What is known of the other director."""

    name: str = ""
    heard_at: int = 0
    role: str = ""
    place: str = ""
    term: int = 0
    flags: Flag = NO_FLAGS
    version: int = 0
    age_ns: int | None = None


class Shell:
    """One running pulse. Everything that it works with is handed in; `run` ends after `Stopped`."""

    def __init__(
        self,
        *,
        settings: Settings,
        voice: Voice,
        links: list[HeartbeatLink],
        wire: Wire,
        control: ControlServer,
        lvsd: Lvsd | None,
        clock: Callable[[], int],
        wakeups: socket.socket,
        syncs: bool,
        facts: Callable[[], dict[str, Any]],
        ask_reload: Callable[[], None],
        notifier: Notifier | None = None,
    ) -> None:
        """`wakeups`: a socket that is readable after a signal. `facts`: what the status says beside what is known here."""
        self._voice, self._links, self._wire = voice, links, wire
        self._control, self._lvsd, self._clock = control, lvsd, clock
        self._wakeups, self._facts, self._ask_reload = wakeups, facts, ask_reload
        self._notifier = notifier or Notifier()
        now = clock()
        self._settings = settings
        self._machine = Failover(settings, now)
        self._started_at = now
        self._timer_at = now
        self._stopped = False
        self._syncs = syncs
        self._lag = LagMeter()
        self._late = 0
        self._role, self._term, self._since = Role.BACKUP, 0, now
        self._alarms: dict[str, str] = {}
        self._switches: list[Switch] = []
        self._peer = PeerHeard()
        self._asked: dict[int, ControlClient] = {}
        self._number = 0
        self._lvsd_ready: tuple[bool, str] = (False, "lvsd has not reported yet")
        self._unauthenticated_until = 0
        self._services: dict[str, Any] | None = None
        self._actions: list[Callable[[], None]] = []
        self._watched: dict[int, Callable[[], None]] = {}

    # ---- the loop ----

    def run(self) -> None:
        now = self._clock()
        self._handle(Started(gate_open_until=self._wire.open_until()), now)
        if not self._syncs:
            self._handle(ReadyToServe(), now)
        self._notifier.ready(f"{self._role.value}")
        while not self._stopped:
            self.turn()
        self._notifier.stopping()

    def turn(self) -> None:
        """One wait and what follows."""
        wanted_at = self._next_at()
        now = self._clock()
        readable = self._wait(max(0, wanted_at - now))
        now = self._clock()
        lag = max(0, now - wanted_at)
        if lag and not readable:
            self._lag.note(lag)
        if lag > LATE_NS:
            self._late += 1
        self._handle(Woke(lag_ns=lag), now)
        self._drain(readable, now)
        now = self._clock()
        self._wire.tick(now)
        if self._lvsd is not None:
            self._lvsd.tick(now)
        self._end_alarms(now)
        self._handle(Tick(), self._clock())
        self._notifier.alive()

    def soon(self, action: Callable[[], None]) -> None:
        """Have the loop do something at its next turn. For signal handlers, whose wake-up the loop has already."""
        self._actions.append(action)

    def watch(self, descriptor: int, action: Callable[[], None] | None) -> None:
        """Call `action` whenever the descriptor is readable; None ends it."""
        if action is None:
            self._watched.pop(descriptor, None)
        else:
            self._watched[descriptor] = action

    def ask_to_stop(self) -> None:
        self._handle(Ask(question=Question.STOP), self._clock())

    def change(self, settings: Settings, *, syncs: bool) -> None:
        """A reload has brought other settings."""
        self._settings = settings
        self._handle(SettingsChanged(settings=settings), self._clock())
        if self._syncs and not syncs:
            self._handle(ReadyToServe(), self._clock())
        self._syncs = syncs

    def use_links(self, links: list[HeartbeatLink]) -> None:
        """Speak over these from now on; the former ones are closed unless they are among them."""
        for link in self._links:
            if link not in links:
                link.close()
        self._links = links

    def use_lvsd(self, lvsd: Lvsd | None) -> None:
        self._lvsd = lvsd

    @property
    def links(self) -> list[HeartbeatLink]:
        return self._links

    @property
    def role(self) -> Role:
        return self._role

    def _next_at(self) -> int:
        """When to wake at the latest."""
        times = [self._timer_at, self._clock() + LONGEST_SLEEP_NS]
        wire_at = self._wire.next_at()
        if wire_at is not None:
            times.append(wire_at)
        if self._lvsd is not None and self._lvsd.pid == 0 and self._lvsd.start_at is not None:
            times.append(self._lvsd.start_at)
        return min(times)

    def _wait(self, sleep_ns: int) -> set[int]:
        descriptors = [self._wakeups.fileno(), self._control.fileno(), *self._wire.descriptors()]
        descriptors += [*(link.fileno() for link in self._links), *self._watched]
        descriptors += [client.fileno() for client in self._control.clients]
        if self._lvsd is not None and self._lvsd.fileno() >= 0:
            descriptors.append(self._lvsd.fileno())
        # select has microseconds where poll has milliseconds; there are never a thousand descriptors here.
        readable, _, _ = select.select(descriptors, [], [], sleep_ns / SECOND)
        return set(readable)

    def _drain(self, readable: set[int], now: int) -> None:
        for event in self._wire.receive(now):
            self._handle(event, now)
        for link in self._links:
            for message in link.receive():
                self._hear(link, message, now)
        if self._wakeups.fileno() in readable:
            self._wakeups.recv(4096)
        actions, self._actions = self._actions, []
        for action in actions:
            action()
        for descriptor, action in list(self._watched.items()):
            if descriptor in readable:
                action()
        if self._control.fileno() in readable:
            self._control.accept()
        for client in list(self._control.clients):
            if client.fileno() in readable:
                self._serve(client, now)
        if self._lvsd is not None:
            how = self._lvsd.reap(now)
            if how is not None:
                logger.warning('lvsd ended how="%s"; the kernel goes on forwarding', how)
                if not any(client.attached for client in self._control.clients):
                    self._report_lvsd(False, f"lvsd ended with {how}", now)

    # ---- heartbeats ----

    def _hear(self, link: HeartbeatLink, message: bytes, now: int) -> None:
        try:
            understood = self._voice.hear(link.name, message, now)
        except RejectedError as error:
            rejected = link.counters.rejected
            rejected[error.reason.value] = rejected.get(error.reason.value, 0) + 1
            if error.reason.value in ("forged", "unknown_key"):
                self._unauthenticated(str(error), now)
            return
        link.counters.heard += 1
        link.heard_at = now
        event = understood.event
        if not event.is_clone:
            peer = self._peer
            peer.name, peer.heard_at = understood.name, now
            peer.role = (Role.ACTIVE if event.active else Role.BACKUP).value
            peer.place, peer.term, peer.flags = event.place.name.lower(), event.term, event.flags
            peer.version, peer.age_ns = event.version, event.age_ns
            self._wire.note_peer(understood.macs)
        self._handle(event, now)

    def _unauthenticated(self, text: str, now: int) -> None:
        if UNAUTHENTICATED not in self._alarms:
            alarm = f"the peer's address sends heartbeats that our key does not open ({text}): pair the directors anew"
            self._alarms[UNAUTHENTICATED] = alarm
            logger.warning('alarm code=%s text="%s"', UNAUTHENTICATED, alarm)
        self._unauthenticated_until = now + UNAUTHENTICATED_FOR_NS

    def _end_alarms(self, now: int) -> None:
        if UNAUTHENTICATED in self._alarms and now >= self._unauthenticated_until:
            del self._alarms[UNAUTHENTICATED]
            logger.info("alarm over code=%s", UNAUTHENTICATED)

    def _send(self, command: do.SendHeartbeats) -> None:
        macs = self._wire.macs()
        for link in self._links:
            now = self._clock()
            message = self._voice.say(active=command.active, term=command.term, flags=command.flags, macs=macs, now=now)
            link.send(message)
            if command.active and self._nobody_is_heard(now):
                link.send_widely(message)
        if command.active:
            self._wire.renew(self._clock())

    def _nobody_is_heard(self, now: int) -> bool:
        return all(now - link.heard_at > self._settings.timing.dead_ns for link in self._links)

    # ---- the machine ----

    def _handle(self, event: Event, now: int) -> None:
        if self._stopped:
            return
        spoke = False
        for command in self._machine.handle(event, now):
            self._act(command, now)
            spoke = spoke or (isinstance(command, do.SendHeartbeats) and command.active)
        if spoke:
            # Not amid the list: the timer that the machine sets now must not be replaced by the one it set before.
            self._handle(GateState(open_until=self._wire.open_until()), self._clock())

    def _act(self, command: Command, now: int) -> None:
        wire = self._wire
        match command:
            case do.SetTimer(at=at):
                self._timer_at = at
            case do.SendHeartbeats():
                self._send(command)
            case do.ClaimLease(until=until):
                wire.claim(until)
            case do.DropLease():
                wire.drop()
            case do.RaiseAddresses():
                wire.raise_addresses(now)
            case do.LowerAddresses():
                wire.lower_addresses(now)
            case do.Announce():
                wire.announce(now)
            case do.StopAnnouncing():
                wire.stop_announcing()
            case do.SendProbe():
                wire.probe(now)
            case do.RunCommand(active=active):
                wire.run_command(active=active, now=now)
            case do.TellLvsd():
                self._change_role(command, now)
            case do.Alarm(code=code, text=text):
                self._alarms[code.value] = text
                logger.warning('alarm code=%s text="%s"', code.value, text)
            case do.AlarmOver(code=code):
                self._alarms.pop(code.value, None)
                logger.info("alarm over code=%s", code.value)
            case do.Answer():
                self._answer(command)
            case do.Stopped():
                self._stopped = True

    def _change_role(self, command: do.TellLvsd, now: int) -> None:
        if command.role is not self._role:
            self._since = now
            self._switches.append(Switch(at=now, role=command.role, term=command.term, cause=command.cause))
            del self._switches[:-SWITCHES_KEPT]
        self._role, self._term = command.role, command.term
        logger.info('role=%s term=%d cause="%s"', command.role.value, command.term, command.cause)
        self._control.tell(self._role_document(now))

    # ---- lvsd and people ----

    def _serve(self, client: ControlClient, now: int) -> None:
        messages = client.receive()
        if messages is None:
            self._lose(client, now)
            return
        for message in messages:
            self._respond(client, message, now)

    def _lose(self, client: ControlClient, now: int) -> None:
        self._asked = {number: asker for number, asker in self._asked.items() if asker is not client}
        self._control.drop(client)
        if client.attached and not any(other.attached for other in self._control.clients):
            self._report_lvsd(False, "lvsd does not talk to pulse", now)

    def _respond(self, client: ControlClient, message: dict[str, Any], now: int) -> None:
        request = message.get("request")
        if request == "status":
            client.send(self.status())
        elif request == "attach":
            client.attached = True
            client.send(self._role_document(now))
        elif request == "reload":
            self._ask_reload()
            client.send({"done": True, "text": "lvs.cf is being read"})
        elif isinstance(request, str) and request in _QUESTIONS:
            self._number += 1
            self._asked[self._number] = client
            self._handle(Ask(question=_QUESTIONS[request], number=self._number), now)
        elif client.attached and message.keys() & {"ready", "synced", "services"}:
            if "ready" in message:
                self._report_lvsd(bool(message["ready"]), str(message.get("why", ""))[:200], now)
            if "synced" in message and self._syncs:
                self._handle(ReadyToServe(synced=bool(message["synced"])), now)
            if isinstance(message.get("services"), dict):
                self._services = message["services"]
        else:
            client.send({"done": False, "text": f"pulse does not know the request {str(request)[:40]!r}"})

    def _report_lvsd(self, ready: bool, why: str, now: int) -> None:
        self._lvsd_ready = (ready, why)
        self._handle(LvsdReady(ready=ready, why=why), now)

    def _answer(self, answer: do.Answer) -> None:
        client = self._asked.pop(answer.number, None)
        if client is not None and client in self._control.clients:
            client.send({"done": answer.done, "text": answer.text})
        elif answer.text:
            logger.info('answer done=%s text="%s"', answer.done, answer.text)

    # ---- the status ----

    def _role_document(self, now: int) -> dict[str, Any]:
        return {
            "role": self._role.value,
            "term": self._term,
            "since_s": round((now - self._since) / SECOND, 3),
            "place": self._settings.place.name.lower(),
            "peer": self._peer_document(now),
            "alarms": dict(self._alarms),
        }

    def _peer_document(self, now: int) -> dict[str, Any] | None:
        peer = self._peer
        if self._settings.alone:
            return None
        return {
            "name": peer.name,
            "role": peer.role,
            "place": peer.place,
            "term": peer.term,
            "heard_s": round((now - peer.heard_at) / SECOND, 3) if peer.heard_at else None,
            "flags": [flag.name.lower() for flag in Flag if flag in peer.flags and flag.name],
            "version": peer.version,
            "round_trip_ms": round(peer.age_ns / MILLISECOND, 3) if peer.age_ns is not None else None,
        }

    def status(self) -> dict[str, Any]:
        """Everything that `piranha status`, the API and the GUI show of the pair."""
        now = self._clock()
        timing, lag = self._settings.timing, self._lag.figures()
        ready, why = self._lvsd_ready
        return {
            **self._role_document(now),
            "up_s": round((now - self._started_at) / SECOND, 3),
            "timing": {
                "profile": timing.profile.value,
                "asked": timing.asked.value,
                "heartbeat_ms": timing.heartbeat_ns / MILLISECOND,
                "lease_ms": timing.lease_ns / MILLISECOND,
                "dead_ms": timing.dead_ns / MILLISECOND,
                "notes": list(timing.notes),
            },
            "key": self._voice.key_in_use,
            "links": [self._link_document(link, now) for link in self._links],
            "lag": {
                "p50_ms": lag.p50_ms,
                "p99_ms": lag.p99_ms,
                "max_ms": lag.max_ms,
                "worst_ms": lag.worst_ms,
                "late": self._late,
            },
            "lvsd": {
                "ready": ready,
                "why": why,
                "pid": self._lvsd.pid if self._lvsd is not None else 0,
                "restarts": self._lvsd.restarts if self._lvsd is not None else 0,
            },
            "switches": [
                {
                    "ago_s": round((now - switch.at) / SECOND, 3),
                    "role": switch.role.value,
                    "term": switch.term,
                    "cause": switch.cause,
                }
                for switch in self._switches
            ],
            **({"fos": self._services} if self._services is not None else {}),
            **self._wire.status(),
            **self._facts(),
        }

    @staticmethod
    def _link_document(link: HeartbeatLink, now: int) -> dict[str, Any]:
        counters = link.counters
        return {
            "name": link.name,
            "device": link.device,
            "ours": str(link.ours),
            "theirs": str(link.theirs),
            "heard_s": round((now - link.heard_at) / SECOND, 3) if link.heard_at else None,
            "sent": counters.sent,
            "failed": counters.failed,
            "heard": counters.heard,
            "rejected": dict(counters.rejected),
            "error": link.last_error,
        }
