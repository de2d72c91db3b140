"""This host's gate, addresses, announcements, probes and commands, put together for the loop."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.cluster.commands import FOREVER
from piranha.cluster.events import ConflictSeen, Event, LinkChanged, ProbeAnswered
from piranha.model.address import IPAddress
from piranha.pulse.addresses import AddressChange, Addresses, CarriedAddress, Change, addresses_of
from piranha.pulse.announce import Announcer
from piranha.pulse.command_runner import CommandRunner, Outcome
from piranha.pulse.gate import GateState, boot_time_ns
from piranha.pulse.gate_choice import open_gate
from piranha.pulse.links import Links
from piranha.pulse.probe import Prober

logger = logging.getLogger(__name__)

SECOND = 1_000_000_000
MENDED_EVERY_NS = 5 * SECOND
"""How often it is looked whether the gate still hangs where it should."""
NEIGHBOURS_EVERY_NS = 5 * SECOND


class LeaseGate(Protocol):
    """What `pulse/gate.py` does. One that the kernel does not renew has `renew(now)` besides."""

    def enable(self, *, active_word: bytes, heartbeat_port: int, lease_ns: int) -> None: ...
    def disable(self) -> None: ...
    def set_addresses(self, addresses: Iterable[IPAddress]) -> None: ...
    def claim(self, until_ns: int) -> None: ...
    def drop(self) -> None: ...
    def until_ns(self) -> int: ...
    def state(self) -> GateState: ...
    def attach(self, interfaces: Iterable[str]) -> list[str]: ...
    def close(self) -> None: ...


class HostWire:
    """The `Wire` of the shell, on the real host."""

    def __init__(self, paths: Paths, links: Links) -> None:
        self._links = links
        self._gate: LeaseGate = open_gate(paths)
        self._renew = getattr(self._gate, "renew", None)
        self._addresses = Addresses(links)
        self._announcer = Announcer(links)
        self._prober = Prober(links)
        self._runner = CommandRunner()
        self._commands = {True: "", False: ""}
        self._devices: list[str] = []
        self._carrier: dict[str, bool] = {}
        self._peer: tuple[IPAddress, ...] = ()
        self._peer_macs: frozenset[bytes] = frozenset()
        self._heard_macs: frozenset[bytes] = frozenset()
        self._probed_at = 0
        self._mended_at = 0
        self._neighbours_at = 0
        self._alone = False
        self._troubles: list[str] = []

    def configure(
        self,
        *,
        floating: Sequence[CarriedAddress],
        devices: list[str],
        peer: tuple[IPAddress, ...],
        active_word: bytes,
        heartbeat_port: int,
        lease_ns: int,
        alone: bool,
        active_cmd: str,
        inactive_cmd: str,
        now: int,
    ) -> None:
        """At the start, and after each reload. Addresses that are up follow the new list at once."""
        self._commands = {True: active_cmd, False: inactive_cmd}
        self._devices, self._peer, self._alone = devices, peer, alone
        gate = self._gate
        gate.set_addresses(addresses_of(floating))
        if alone:
            # Nobody else could answer for the VIPs: there is nothing to guard.
            gate.disable()
        else:
            gate.enable(active_word=active_word, heartbeat_port=heartbeat_port, lease_ns=lease_ns)
        self._prober.watch(addresses_of(floating))
        self._log(self._addresses.set_wanted(floating, now))
        self._mend(now)

    # ---- commands of the machine ----

    def claim(self, until: int) -> None:
        if not self._alone:
            self._gate.claim(until)

    def drop(self) -> None:
        self._gate.drop()

    def renew(self, now: int) -> None:
        """The BPF gate renews itself, when the heartbeat leaves."""
        if self._renew is not None and not self._alone:
            self._renew(now)

    def open_until(self) -> int:
        if self._alone:
            return FOREVER
        return self._gate.until_ns()

    def raise_addresses(self, now: int) -> None:
        self._log(self._addresses.raise_all(now))

    def lower_addresses(self, now: int) -> None:
        self._announcer.stop()
        self._log(self._addresses.lower_all(now))

    def announce(self, now: int) -> None:
        self._announcer.announce(self._addresses.wanted)
        self._announcer.send()

    def stop_announcing(self) -> None:
        self._announcer.stop()

    def probe(self, now: int) -> None:
        self._probed_at = now
        self._troubles = self._prober.ask(_one_a_device(self._addresses.wanted))

    def run_command(self, *, active: bool, now: int) -> None:
        name = "active_cmd" if active else "inactive_cmd"
        self._tell(self._runner.start(name, self._commands[active], now))

    def note_peer(self, macs: tuple[bytes, ...]) -> None:
        if macs:
            self._heard_macs = frozenset(macs)

    def macs(self) -> tuple[bytes, ...]:
        found = (self._links.links.get(one.interface) for one in self._addresses.wanted)
        return tuple(dict.fromkeys(link.mac for link in found if link is not None and link.mac))

    # ---- what comes in ----

    def descriptors(self) -> Iterator[int]:
        yield self._links.fileno()
        yield from self._prober.filenos()
        yield from self._runner.filenos()

    def receive(self, now: int) -> list[Event]:
        events: list[Event] = []
        if self._links.read(now):
            self._log(self._addresses.converge(now))
            self._mend(now)
        for device in self._devices:
            carrier = self._links.carrier(device)
            if self._carrier.get(device, True) != carrier:
                events.append(LinkChanged(link=device, carrier=carrier))
            self._carrier[device] = carrier
        for sighting in self._prober.read():
            events.append(self._claimed(str(sighting.address), sighting.mac, answer=sighting.answer))
        self._tell(self._runner.read(now))
        return events

    def tick(self, now: int) -> None:
        due = self._addresses.due_ns()
        if due is not None and now >= due:
            self._log(self._addresses.converge(now, look=True))
        if self._announcer.pending:
            self._announcer.send()
        if now >= self._mended_at + MENDED_EVERY_NS:
            self._mend(now)
        if self._peer and now >= self._neighbours_at + NEIGHBOURS_EVERY_NS:
            self._neighbours_at = now
            self._peer_macs = self._links.neighbour_macs(self._peer)

    def next_at(self) -> int | None:
        if self._announcer.pending:
            return boot_time_ns()
        times = [self._addresses.due_ns(), self._links.due_ns(), self._runner.due_ns()]
        return min((at for at in times if at is not None), default=None)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "addresses": [
                {
                    "address": str(row.address),
                    "device": row.device,
                    "up": row.up,
                    "foreign": row.foreign,
                    "trouble": row.trouble,
                }
                for row in self._addresses.status()
            ],
            "announced": self._announcer.sent,
            "carrier": dict(self._carrier),
            "troubles": self._troubles + [f"{name}: {why}" for name, why in self._announcer.unsent.items()],
        }
        document["lease"] = _lease_document(self._gate.state(), boot_time_ns())
        return document

    def close(self) -> None:
        """Let go. The gate stays in force: without a lease it is shut."""
        self._runner.close()
        self._prober.close()
        self._announcer.close()
        self._gate.close()

    # ---- inside ----

    def _claimed(self, address: str, mac: bytes, *, answer: bool) -> Event:
        known = self._heard_macs | self._peer_macs
        text, is_peer = mac.hex(":"), not known or mac in known
        if answer:
            return ProbeAnswered(address=address, mac=text, is_peer=is_peer)
        return ConflictSeen(address=address, mac=text, is_peer=is_peer)

    def _mend(self, now: int) -> None:
        """Put the gate back where somebody took it off."""
        self._mended_at = now
        try:
            troubles = self._gate.attach([] if self._alone else self._devices)
        except PiranhaError as error:
            troubles = [str(error)]
        for trouble in troubles:
            if trouble not in self._troubles:
                logger.warning('gate trouble="%s"', trouble)
        self._troubles = troubles

    def _log(self, changes: list[AddressChange]) -> None:
        again = False
        for change in changes:
            if change.change is Change.FAILED:
                logger.warning('address=%s device=%s failed why="%s"', change.address, change.device, change.why)
            else:
                logger.info("address=%s device=%s %s", change.address, change.device, change.change.value)
            again = again or change.change is Change.RESTORED
        if again:
            self._announcer.announce(self._addresses.wanted)
            self._announcer.send()

    @staticmethod
    def _tell(outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            level = logging.WARNING if outcome.trouble else logging.INFO
            text = " ".join(outcome.output.split())
            logger.log(
                level, 'command=%s ended trouble="%s" output="%s"', outcome.name, outcome.trouble or "none", text
            )


def _one_a_device(addresses: Sequence[CarriedAddress]) -> list[CarriedAddress]:
    found: dict[tuple[str, int], CarriedAddress] = {}
    for one in addresses:
        found.setdefault((one.interface, one.address.version), one)
    return list(found.values())


def _lease_document(state: GateState, now: int) -> dict[str, Any]:
    for_ever = state.until_ns >= FOREVER
    return {
        "enabled": state.enabled,
        "for_ever": for_ever,
        "left_ms": 0 if for_ever else max(0, round((state.until_ns - now) / 1e6, 1)),
        "lease_ms": state.lease_ns / 1e6,
        "renewals": state.renewals,
        "dropped": sum(count for name, count in state.counters.items() if name.endswith("_dropped")),
        "counters": state.counters,
    }
