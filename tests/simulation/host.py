"""A director in the simulation: a kernel that forwards and answers by its gate, and a daemon around the failover machine.

The two fail apart: a frozen or killed daemon leaves the kernel as it was, and only the lease ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from piranha.cluster import commands, events
from piranha.cluster.failover import Failover
from piranha.cluster.heartbeat import Flag, Place
from piranha.cluster.settings import Settings
from piranha.cluster.timing import MILLISECOND
from tests.simulation.world import PUBLIC, World

MEAN_LAG_NS = 200_000
STALL_CHANCE = 0.0005
STALL_NS = 120 * MILLISECOND
SOCKET_PACKETS = 400
VIP = "192.0.2.100"
LINKS = ("public", "private")


class Message(NamedTuple):
    """A heartbeat on a wire. Its echo is the sending time of the latest message that its sender has heard, by that one's clock."""

    node: bytes
    boot: bytes
    place: Place
    active: bool
    term: int
    flags: Flag
    sent_at: int
    echo_boot: bytes
    echo_sent_at: int


class Host:
    """One director. Its clock drifts by up to 200 ppm and starts anywhere."""

    def __init__(
        self, world: World, index: int, settings: Settings, machine: Callable[[Settings, int], Failover]
    ) -> None:
        self.world = world
        self.index = index
        self.settings = settings
        self.mac = f"02:00:00:00:00:0{index}"
        self.make = machine
        self._rate = 1.0 + world.random.uniform(-2e-4, 2e-4)
        self._offset = world.random.randrange(10**15)
        self.machine: Failover | None = None
        self.has_power = False
        self.is_frozen = False
        self.carrier = [True] * world.wires
        self.gate_until = 0
        self.revives = False
        """A gate that renews a lease which has run out: for the variants that must fail."""
        self.addresses_up = False
        self.lvsd_ready = False
        self.may_serve = True
        """False while a person forbids it, or it is a copy."""
        self.copy_of: Host | None = None
        self.boots_of_original = 0
        self.booted_at = 0
        self.isolated_at = -(2**62)
        """When it last came back from having no carrier at all, or from being frozen."""
        self.copied_until = 0
        """Until when this director may be in doubt whether it is the copy."""
        self.able_since: int | None = None
        self.claims = 0
        self.boots = 0
        self.answers: list[commands.Answer] = []
        self._queue: list[events.Event] = []
        self._timer_at = 0
        self._gate_watched = False
        self._gate_to_read = False
        self._heard_boot = b""
        self._heard_sent_at = 0
        self._acts: dict[type, Callable[[Any], None]] = {
            commands.SetTimer: self._set_timer,
            commands.SendHeartbeats: self._send_heartbeats,
            commands.SendProbe: self._send_probe,
            commands.Announce: self._announce,
            commands.ClaimLease: self._claim_lease,
            commands.DropLease: self._drop_lease,
            commands.RaiseAddresses: lambda _: self._set_addresses(True),
            commands.LowerAddresses: lambda _: self._set_addresses(False),
            commands.TellLvsd: self._tell,
            commands.Answer: self.answers.append,
            commands.Stopped: self._stopped,
        }

    # ---- clocks ----

    @property
    def clock(self) -> int:
        return int(self.world.now * self._rate) + self._offset

    def _true_time(self, clock: int) -> int:
        return int((clock - self._offset) / self._rate) + 1

    # ---- the kernel ----

    @property
    def is_open(self) -> bool:
        """Whether packets for the VIP are served."""
        return self.has_power and self.gate_until > self.clock

    def _claim_lease(self, command: commands.ClaimLease) -> None:
        self.gate_until = command.until
        self._watch_gate()
        self.world.watch.look()

    def _drop_lease(self, _: object) -> None:
        self.gate_until = 0
        self.world.watch.look()

    def _renew(self) -> None:
        """The hook at the egress: an active heartbeat leaves."""
        now = self.clock
        if self.gate_until <= now:
            self.world.watch.broke(f"host {self.index}: says that it is active, after its lease has run out")
        if any(self.carrier) and (self.gate_until > now or self.revives):
            was_open = self.gate_until > now
            if not was_open:
                self.world.watch.broke(f"host {self.index}: a lease that had run out was renewed")
            self.gate_until = now + self.settings.timing.lease_ns
            self._watch_gate()
            if not was_open:
                self.world.watch.look()

    def _watch_gate(self) -> None:
        """See the moment when the lease runs out; renewals only move it on."""
        if not self._gate_watched:
            self._gate_watched = True
            self.world.at(self._true_time(self.gate_until), self._gate_is_up)

    def _gate_is_up(self) -> None:
        self._gate_watched = False
        if self.gate_until > self.clock:
            self._watch_gate()
        else:
            self.world.watch.look()

    def _set_addresses(self, up: bool) -> None:
        self.addresses_up = up

    def _hear_question(self, asker: Host) -> None:
        if self.addresses_up and self.is_open:
            self.world.send(
                PUBLIC, self, asker, asker.hear, events.ProbeAnswered(address=VIP, mac=self.mac, is_peer=True)
            )

    # ---- the daemon ----

    @property
    def runs(self) -> bool:
        return self.has_power and self.machine is not None and not self.is_frozen

    def boot(self) -> None:
        """Power on, and start pulse."""
        self.has_power = True
        self.booted_at = self.world.now
        self.start()

    def start(self) -> None:
        """Start pulse on a kernel that is as it is."""
        if not self.has_power or self.machine is not None:
            return
        self.boots += 1
        self.is_frozen = False
        boot = bytes((self.index, self.boots & 255, self.boots >> 8))
        settings = self.settings
        self.settings = Settings(
            **{name: getattr(settings, name) for name in settings.__dataclass_fields__ if name != "boot"}, boot=boot
        )
        self._heard_boot, self._queue = b"", []
        self.machine = self.make(self.settings, self.clock)
        self.feed(events.Started(gate_open_until=self.gate_until))
        for wire, carrier in enumerate(self.carrier):
            if not carrier:
                self.feed(events.LinkChanged(link=LINKS[wire], carrier=False))
        random = self.world.random
        machine = self.machine
        ready_in = random.randrange(20, 200) * MILLISECOND
        self.world.after(ready_in, self._lvsd, machine, True)
        self.world.after(ready_in + random.randrange(20, 800) * MILLISECOND, self._sync, machine)

    def _lvsd(self, machine: Failover, ready: bool) -> None:
        if self.machine is machine:
            self.set_lvsd(ready)

    def set_lvsd(self, ready: bool) -> None:
        self.lvsd_ready = ready
        self.hear(events.LvsdReady(ready=ready))
        self.world.watch.look()

    def _sync(self, machine: Failover) -> None:
        if self.machine is machine:
            self.hear(events.ReadyToServe())

    def crash(self) -> None:
        """Power off."""
        self.kill()
        self.has_power = False
        self.gate_until = 0
        self.addresses_up = False
        self.world.watch.look()

    def kill(self) -> None:
        """The daemon dies; the kernel lives."""
        self.machine = None
        self.lvsd_ready = False
        self.world.watch.look()

    def freeze(self) -> None:
        self.is_frozen = True
        self.world.watch.look()

    def thaw(self) -> None:
        if not self.is_frozen:
            return
        self.is_frozen = False
        self.isolated_at = self.world.now
        if self.machine is not None:
            queue, self._queue = self._queue, []
            late = max(self.clock - self._timer_at, 0)
            self.feed(events.Woke(lag_ns=late))
            for event in queue:
                self.feed(event)
            self.feed(events.Tick())
        self.world.watch.look()

    def set_carrier(self, wire: int, carrier: bool) -> None:
        if wire >= len(self.carrier) or self.carrier[wire] == carrier:
            return
        if not any(self.carrier):
            self.isolated_at = self.world.now
        self.carrier[wire] = carrier
        self.hear(events.LinkChanged(link=LINKS[wire], carrier=carrier))
        self.world.watch.look()

    def ask(self, question: events.Question) -> None:
        self.hear(events.Ask(question=question))

    def hear(self, event: events.Event) -> None:
        """Something for the daemon: at once, or into its sockets while it is frozen."""
        if self.machine is None or not self.has_power:
            return
        if self.is_frozen:
            if len(self._queue) < SOCKET_PACKETS:
                self._queue.append(event)
        else:
            self.feed(event)

    def feed(self, event: events.Event) -> None:
        machine = self.machine
        if machine is None:
            return
        acts = self._acts
        for command in machine.handle(event, self.clock):
            act = acts.get(type(command))
            if self.world.tells is not None:
                self.world.tells(self, command)
            if act is not None:
                act(command)
        if self._gate_to_read:
            self._gate_to_read = False
            self.feed(events.GateState(open_until=self.gate_until))
        else:
            self.world.watch.check(self)

    def _set_timer(self, command: commands.SetTimer) -> None:
        self._timer_at = command.at
        lag = int(self.world.random.expovariate(1.0) * MEAN_LAG_NS)
        self.world.at(max(self._true_time(command.at) + lag, self.world.now), self._wake, self.machine, command.at)

    def _wake(self, machine: Failover, timer_at: int) -> None:
        if self.machine is not machine or self._timer_at != timer_at or self.is_frozen or not self.has_power:
            return
        world = self.world
        if world.random.random() < STALL_CHANCE:
            self.freeze()
            world.after(int(world.random.random() * STALL_NS), self._end_stall, machine)
            return
        lag = self.clock - timer_at
        if lag < 0:
            world.after(1000, self._wake, machine, timer_at)
            return
        if lag > MILLISECOND:
            self.feed(events.Woke(lag_ns=lag))
        self.feed(events.Tick())
        if self.machine is machine and self._timer_at <= self.clock:
            world.watch.broke(f"host {self.index}: the timer stays in the past after a tick")

    def _end_stall(self, machine: Failover) -> None:
        if self.machine is machine:
            self.thaw()

    def _stopped(self, _: object) -> None:
        self.machine = None
        self.lvsd_ready = False
        self.world.watch.look()

    # ---- packets ----

    def _send_heartbeats(self, command: commands.SendHeartbeats) -> None:
        world, settings, now = self.world, self.settings, self.clock
        message = Message(
            settings.node,
            settings.boot,
            settings.place,
            command.active,
            command.term,
            command.flags,
            now,
            self._heard_boot,
            self._heard_sent_at,
        )
        if command.active:
            self._renew()
            self._gate_to_read = True
        for other in world.hosts:
            if other is not self and (self.index, other.index) not in world.deaf:
                for wire in range(world.wires):
                    world.send(wire, self, other, other.hear_message, message, wire)

    def hear_message(self, message: Message, wire: int) -> None:
        if self.machine is None:
            return
        settings = self.settings
        is_clone = message.node == settings.node
        if not is_clone and (message.boot != self._heard_boot or message.sent_at > self._heard_sent_at):
            self._heard_boot, self._heard_sent_at = message.boot, message.sent_at
        self.hear(
            events.HeartbeatHeard(
                link=LINKS[wire],
                active=message.active,
                term=message.term,
                place=message.place,
                flags=message.flags,
                age_ns=self.clock - message.echo_sent_at if message.echo_boot == settings.boot else None,
                node=message.node,
                boot=message.boot,
                is_clone=is_clone,
            )
        )

    def _send_probe(self, _: object) -> None:
        for other in self.world.hosts:
            if other is not self:
                self.world.send(PUBLIC, self, other, other._hear_question, self)

    def _announce(self, _: object) -> None:
        if self.carrier[PUBLIC]:
            self.world.watch.announced(self)
        for other in self.world.hosts:
            if other is not self:
                seen = events.ConflictSeen(address=VIP, mac=self.mac, is_peer=True)
                self.world.send(PUBLIC, self, other, other.hear, seen)

    def _tell(self, command: commands.TellLvsd) -> None:
        if command.role is not commands.Role.BACKUP:
            self.claims += 1
            original = self.copy_of
            if original is None or self.world.now <= self.world.lossy_until:
                return
            was_first = original.boots == self.boots_of_original
            was_heard = any(original.carrier) and original.isolated_at < self.booted_at
            if was_first and was_heard and original.runs:
                self.world.watch.broke(f"the copy {self.index} of {original.index} became active")
