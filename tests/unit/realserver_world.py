"""A machine in memory, for tests of what is done on real servers."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.realserver.request import HostFacts
from piranha.realserver.requirement import ArpRulesAre, Requirement, State, SysctlIs, identity

FACTS = HostFacts(
    interfaces=("eth0", "eth1"),
    rip=IPv4Address("10.0.0.11"),
    tunnel_kinds=frozenset({"ipip", "ip6tnl"}),
    has_nft=True,
    has_systemd=True,
    command="/usr/bin/piranha",
)


class FakeMachine:
    """States by identity. `fail_at` makes that many steps succeed and the next one fail, as a crash would."""

    def __init__(self, facts: HostFacts = FACTS) -> None:
        self.known = facts
        self.states: dict[tuple[str, str], State] = {}
        self.files: dict[Path, str] = {}
        self.steps = 0
        self.fail_at: int | None = None
        self.systemd_told = 0

    def facts(self, *, rip: IPv4Address | None = None, interfaces: tuple[str, ...] = ()) -> HostFacts:
        return self.known

    def read(self, requirement: Requirement) -> State:
        default = "0" if isinstance(requirement, SysctlIs) else None
        return self.states.get(identity(requirement), default)

    def make(self, requirement: Requirement) -> None:
        self._step()
        self._put(requirement, requirement.target)

    def restore(self, requirement: Requirement, before: State) -> None:
        self._step()
        self._put(requirement, before)

    def _put(self, requirement: Requirement, state: State) -> None:
        if state is None or (isinstance(requirement, SysctlIs) and state == "0"):
            self.states.pop(identity(requirement), None)
        else:
            self.states[identity(requirement)] = state

    def _step(self) -> None:
        if self.fail_at is not None and self.steps >= self.fail_at:
            raise PiranhaError("the machine went down")
        self.steps += 1

    def tell_systemd(self) -> None:
        self.systemd_told += 1

    def read_text(self, path: Path) -> str | None:
        return self.files.get(path)

    def write_record(self, path: Path, text: str | None) -> None:
        if text is None:
            self.files.pop(path, None)
        else:
            self.files[path] = text


def rules_of(requirements: tuple[Requirement, ...]) -> tuple[str, ...]:
    """The ARP rules among the requirements."""
    return next(r.rules for r in requirements if isinstance(r, ArpRulesAre))
