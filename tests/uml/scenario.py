"""The scenario: edits, packets and looks in order, as pure data, to be played on every data plane and compared.

A `Scenario` is a name, one sentence about what it shows, and `steps`. Steps are frozen values; `to_json` and `from_json`
carry them between processes (each step is a dict with its class name under `step`). Playing a scenario (`play.py`) gives
one result per step, JSON-able too; two planes agree when their results are equal (`differences`).

    step                result
    AddService …        "ok", or the word of the refusal: exists, no-service, no-destination, no-scheduler, invalid, …
    SetOption           "ok"
    Open                a list with one *outcome* for each first packet (or for the whole handshake: see `establish`)
    Send                a list with one outcome for each packet; with `states`, "outcome = STATE" (the entry's state after)
    Say                 a list with one outcome for each line: who got it, sequence and acknowledgement, and the text as it came
    SendError, Echo     one outcome; an error sent on is "from SOURCE icmp ..." to the client, "to SERVER icmp ..." to a server
    Await               "gone", or "still there" when the bound passed
    Look                a dict: `services` and, where asked for, `connections`

An *outcome* is one line, what the director did with a packet:

    masquerade 10.2.0.1:80     to this real server, addresses and port rewritten
    direct 10.2.0.1            to this real server's MAC, packet unchanged
    ipip|gue|gre 10.2.0.1      inside a tunnel to it (`gre+csum`, `gue+csum` with a checksum outside)
    client 10.9.0.1:80         a server's packet, sent on to the client as coming from this endpoint
    forwarded                  sent on to the other side with its addresses untouched
    refused                    answered with ICMP port unreachable
    reset                      answered by the director's own TCP
    icmp T/C [mtu=N] [quoting FLOW > FLOW]     answered with this ICMP message about that flow
    dropped                    nothing came out
    several at once are joined with " & "; " (bad checksum)" is added where a checksum in it is wrong

Addresses: clients may have any; VIPs lie in 10.9.0.0/16 and fd09::/64, real servers in 10.2.0.0/16 and fd02::/64, the
director's own address among them (local node) is 10.2.0.254 and fd02::fffe. An endpoint is `10.9.0.1:80` or `[fd09::1]:80`;
a flow's text is its protocol and endpoint, `tcp 10.9.0.1:80`.

A service has a `label`, which later steps use. Time does not pass in a scenario, except in `Await`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A virtual service. Either `protocol` and `endpoint`, or a `mark` with its `version` (4 or 6).

    `flags`: sh-port, sh-fallback, mh-port, mh-fallback. `persistent_s` 0 is none. `prefix` is the persistence mask's
    length (of the address's family), `mask` an IPv4 mask instead. `engine` is a persistence engine (sip).
    """

    label: str
    scheduler: str = "rr"
    protocol: str = ""
    endpoint: str = ""
    mark: int = 0
    version: int = 4
    flags: tuple[str, ...] = ()
    persistent_s: int = 0
    prefix: int | None = None
    mask: str = ""
    one_packet: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A real server in a service. `method`: masquerade, direct, tunnel. `tunnel`: ipip, gue, gre; `tunnel_option`:
    nocsum, csum, remcsum.
    """

    endpoint: str
    method: str = "masquerade"
    weight: int = 1
    upper: int = 0
    lower: int = 0
    tunnel: str = "ipip"
    tunnel_port: int = 0
    tunnel_option: str = "nocsum"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddService:
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class EditService:
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteService:
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDestination:
    label: str
    destination: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class EditDestination:
    """Sets every value of an existing destination, as `ipvsadm -e` does."""

    label: str
    destination: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDestination:
    label: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """Remove all services, as `ipvsadm -C`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zero:
    """Zero the counters of one service, or of all with an empty label."""

    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimeouts:
    """As `ipvsadm --set`: 0 keeps a value."""

    tcp_s: int = 0
    tcp_fin_s: int = 0
    udp_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOption:
    """One of net.ipv4.vs.*, by its name there."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMark:
    """Packets of clients to this address or network (and protocol, and ports from `low` to `high`) carry `mark` from now on."""

    mark: int
    address: str
    protocol: str = ""
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """`count` first packets (SYN, datagram, INIT) to `to`, each from a new flow.

    The n-th comes from `client` plus n * `client_step`, port `port` plus n * `port_step`, to the virtual
    address plus n * `to_step`. With `establish` each masqueraded TCP flow goes on with SYN+ACK
    and ACK (other methods: ACK), `close` then with FIN+ACK from both sides and the last ACK; only the first packet's
    outcome is given.
    """

    to: str
    client: str = "10.1.0.1"
    port: int = 1000
    count: int = 1
    client_step: int = 0
    port_step: int = 1
    to_step: int = 0
    establish: bool = False
    close: bool = False
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Packets of one flow (`to`, `client`, `port`), in order.

    Each of `packets` is `C:WORD` from the client or `S:WORD` from the real server that got the flow's latest packet:
    `C:SYN`, `S:SYN+ACK`, `C:ACK`, `C:INIT`, `C:` (UDP). `S:` is only for masqueraded flows. `size` fills the payload up to
    that many bytes. The clients' packets come in fragments of `fragment` bytes each where that is not 0, without DF with
    `may_fragment`, and with an IPv6 destination-options header with `extended`.
    """

    to: str
    packets: tuple[str, ...]
    client: str = "10.1.0.1"
    port: int = 1000
    states: bool = False
    payload: str = ""
    size: int = 0
    ttl: int = 64
    fragment: int = 0
    may_fragment: bool = False
    extended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Text between the two ends of a masqueraded TCP flow, as two honest ends count it.

    Each of `lines` is `C:TEXT` from the client or `S:TEXT` from its real server. The first `Say` of a flow begins with the
    handshake. Each end numbers what it sends, from 1000 (client) and 5000 (server) on, and confirms what it got.
    """

    to: str
    lines: tuple[str, ...]
    client: str = "10.1.0.1"
    port: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSend:
    """One packet that a real server begins: from its endpoint to any other, as the flow text and target say."""

    source: str
    to: str
    word: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendError:
    """An ICMP error about the latest packet of a flow, which must have been sent before.

    `side` S: from the flow's real server, about what it received (masqueraded: to the client; tunnelled: from a router on
    the way to the server, to the director). `side` C: from the client, about the virtual service's answer.
    `error`: unreachable-net, unreachable-host, unreachable-port, too-big (with `mtu`), time-exceeded.
    """

    to: str
    error: str
    side: str = "S"
    client: str = "10.1.0.1"
    port: int = 1000
    mtu: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """An ICMP echo request from a client to this address."""

    to: str
    client: str = "10.1.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMtu:
    """The MTU of the director's interface on the clients' (C) or servers' (S) side."""

    side: str
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Wait until no connection entry of this client and port is left (port 0: template), at most `within_s` seconds."""

    client: str
    port: int
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the plane shows: services with destinations newest first, weights, active, inactive and persistent counts.

    `connections` adds every entry with its timeout in seconds; `counters` adds conns, packets and bytes in and out
    (a plane may need two seconds to have them ready).
    """

    connections: bool = False
    counters: bool = False


Step = (
    AddService | EditService | DeleteService | AddDestination | EditDestination | DeleteDestination | Flush | Zero
    | SetTimeouts | SetOption | SetMark | SetMtu | Open | Send | Say | ServerSend | SendError | Echo | Await | Look
)  # fmt: skip
STEPS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (AddService, EditService, DeleteService, AddDestination, EditDestination, DeleteDestination, Flush, Zero,
                 SetTimeouts, SetOption, SetMark, SetMtu, Open, Send, Say, ServerSend, SendError, Echo, Await, Look)
}  # fmt: skip
TIMEOUT_TOLERANCE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A named list of steps. Raises ValueError for a step that names a service nobody adds.

    `differs` says why the planes may give different results; empty, they must agree.
    """

    name: str
    about: str
    steps: tuple[Step, ...] = field(default=())
    differs: str = ""

    def __post_init__(self) -> None:
        labels = {step.service.label for step in self.steps if isinstance(step, AddService)}
        for step in self.steps:
            label = getattr(step, "label", "")
            if label and label not in labels:
                raise ValueError(f"{self.name}: no service is labelled {label}")

    def endpoints(self) -> tuple[str, ...]:
        """Every real server's endpoint that a step names."""
        found = [step.destination.endpoint for step in self.steps if isinstance(step, AddDestination | EditDestination)]
        return tuple(dict.fromkeys(found))

    def to_json(self) -> Json:
        steps = [{"step": type(step).__name__, **asdict(step)} for step in self.steps]
        return {"name": self.name, "about": self.about, "steps": steps, "differs": self.differs}

    @classmethod
    def from_json(cls, data: Json) -> Scenario:
        steps = tuple(_step(item) for item in data["steps"])
        return cls(name=data["name"], about=data["about"], steps=steps, differs=data["differs"])


def _step(data: Json) -> Step:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "step"}
    if "service" in values:
        values["service"] = Service(**{**data["service"], "flags": tuple(data["service"]["flags"])})
    if "destination" in values:
        values["destination"] = Destination(**data["destination"])
    step: Step = STEPS[data["step"]](**values)
    return step


def differences(expected: list[Json], observed: list[Json], path: str = "step") -> list[str]:
    """Where two results differ, each as one line; entries' timeouts may differ by TIMEOUT_TOLERANCE_S."""
    if len(expected) != len(observed):
        return [f"{path}: {len(expected)} results expected, {len(observed)} seen"]
    found = []
    for number, (one, other) in enumerate(zip(expected, observed, strict=True)):
        found += _difference(one, other, f"{path} {number}")
    return found


def _difference(one: Json, other: Json, path: str) -> list[str]:
    if isinstance(one, list) and isinstance(other, list):
        return differences(one, other, path)
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{path}: only one side has {key}" for key in sorted(one.keys() ^ other.keys())]
        for key in sorted(one.keys() & other.keys()):
            if key == "timeout_s" and abs(one[key] - other[key]) <= TIMEOUT_TOLERANCE_S:
                continue
            found += _difference(one[key], other[key], f"{path} {key}")
        return found
    return [] if one == other else [f"{path}: expected {one!r}, seen {other!r}"]
