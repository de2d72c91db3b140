"""What must hold at every moment, and what is measured. Looks at the kernels' gates, never at what the machines believe."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from piranha.cluster.timing import MILLISECOND, PROBE_NS, Timing
from tests.simulation.host import Host
from tests.simulation.world import PUBLIC, World

GRACE_NS = 10 * MILLISECOND
LOSSY_DUAL_BEATS = 20
COPIED_DUAL_BEATS = 3
"""For how many heartbeats two gates may be open, beyond the one that it takes to meet: 1 s in the fast profile under loss."""


@dataclass(slots=True)
class Findings:
    """What one scenario showed. Times in nanoseconds."""

    calendar: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    dual_ns: int = 0
    lossy_dual_ns: int = 0
    outage_ns: int = 0
    claims: int = 0


class Watch:
    """Two gates open while the public wire works both ways (`dual`); no gate open while somebody could serve (`outage`)."""

    def __init__(self, world: World, timing: Timing) -> None:
        self.world = world
        self.timing = timing
        self.findings = Findings()
        self.client_believes: Host | None = None
        self._dual_since: dict[tuple[int, int], int] = {}
        self._dual_lossy: set[tuple[int, int]] = set()
        self._dual_excused: dict[tuple[int, int], int] = {}
        self._outage_since: int | None = None

    def note(self, text: str) -> None:
        """What is going to happen."""
        self.findings.calendar.append(text)

    def broke(self, text: str) -> None:
        if len(self.findings.broken) < 20:
            self.findings.broken.append(f"{self.world.now / 1e9:.4f} s: {text}")

    def check(self, host: Host) -> None:
        """After each step of a machine."""
        if host.machine is not None:
            try:
                host.machine.check_invariants()
            except AssertionError as error:
                self.broke(f"host {host.index}: {error}")

    def announced(self, host: Host) -> None:
        self.client_believes = host

    def look(self) -> None:
        """After anything that opens or shuts a gate, cuts or joins a wire, or makes a host able to serve."""
        hosts = self.world.hosts
        for pair in combinations(hosts, 2):
            self._look_at_pair(*pair)
        self._look_for_outage(hosts)

    def _look_at_pair(self, one: Host, other: Host) -> None:
        world = self.world
        key = (one.index, other.index)
        is_dual = (
            one.is_open and other.is_open and world.carries(PUBLIC, one, other) and world.carries(PUBLIC, other, one)
        )
        since = self._dual_since.get(key)
        if is_dual:
            if since is None:
                self._dual_since[key] = world.now
                self._dual_excused[key] = 0
            if world.now <= world.lossy_until:
                self._dual_lossy.add(key)
            if not (one.runs and other.runs):
                self._dual_excused[key] = self.timing.lease_ns
        elif since is not None:
            self._end_dual(key, world.now - since)

    def _end_dual(self, key: tuple[int, int], lasted: int) -> None:
        lossy = key in self._dual_lossy or self.world.now <= self.world.lossy_until
        excused = self._dual_excused[key]
        del self._dual_since[key]
        self._dual_lossy.discard(key)
        findings = self.findings
        if lossy:
            findings.lossy_dual_ns = max(findings.lossy_dual_ns, lasted)
        else:
            findings.dual_ns = max(findings.dual_ns, lasted)
        copied = any(host.copied_until > self.world.now for host in self.world.hosts)
        heartbeat_ns = self.timing.heartbeat_ns
        filtered = self.world.deaf or self.world.now <= self.world.filtered_until
        if filtered:
            # Who hears nothing believes the last it has heard for a dead time.
            excused = max(excused, self.timing.dead_ns)
        bound = heartbeat_ns * (LOSSY_DUAL_BEATS if lossy else COPIED_DUAL_BEATS if copied else 1) + GRACE_NS
        if lasted > bound + excused:
            self.broke(f"{key} both open for {lasted / 1e6:.1f} ms{' under loss' if lossy else ''}")

    def _look_for_outage(self, hosts: list[Host]) -> None:
        now = self.world.now
        for host in hosts:
            able = (
                host.runs and host.lvsd_ready and host.carrier[PUBLIC] and host.may_serve and host.copied_until <= now
            )
            if not able:
                host.able_since = None
            elif host.able_since is None:
                host.able_since = now
        is_served = any(host.is_open and host.carrier[PUBLIC] for host in hosts)
        since = self._outage_since
        if since is not None:
            self._judge_outage(hosts, since)
        if is_served:
            self._outage_since = None
        elif since is None:
            self._outage_since = now

    def _judge_outage(self, hosts: list[Host], since: int) -> None:
        """How long nobody served although this host could have."""
        world, timing = self.world, self.timing
        for host in hosts:
            if host.able_since is None or host.machine is None:
                continue
            lasted = world.now - max(since, host.able_since)
            self.findings.outage_ns = max(self.findings.outage_ns, lasted)
            bound = host.machine.needed_silence_ns() + PROBE_NS + 4 * timing.heartbeat_ns + 150 * MILLISECOND
            if world.now <= world.lossy_until or any(other.copied_until > world.now for other in hosts):
                bound += 2 * timing.dead_ns
            if lasted > bound:
                self.broke(f"nobody served for {lasted / 1e6:.0f} ms though host {host.index} could")
                host.able_since = world.now

    def end(self) -> None:
        """All faults are over and time has passed: one active, whom the client believes, and nobody else."""
        self.look()
        hosts = self.world.hosts
        serving = [host for host in hosts if host.is_open]
        active = [host for host in hosts if host.machine is not None and host.machine.role != "backup"]
        for key, since in self._dual_since.copy().items():
            self._end_dual(key, self.world.now - since)
        if len(serving) != 1 or active != serving:
            self.broke(f"at the end {[h.index for h in active]} are active and {[h.index for h in serving]} open")
        elif self.client_believes is not serving[0]:
            believed = self.client_believes.index if self.client_believes else None
            self.broke(f"at the end {serving[0].index} is active and the clients believe {believed}")
        self.findings.claims = sum(host.claims for host in hosts)
