"""ICMP: errors about connections in both directions, packets too big for the way, echo, and the settings about ICMP."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import (
    LOOK,
    LOOK_ALL,
    TCP,
    UDP,
    add,
    clients,
    remove,
    scenario,
    service,
    table,
    talk,
    weigh,
)
from tests.uml.scenario import (
    AddDestination,
    AddService,
    Destination,
    Echo,
    Look,
    Open,
    Scenario,
    Send,
    SendError,
    ServerSend,
    Service,
    SetMark,
    SetMtu,
    SetOption,
    Step,
)

ERRORS = ("unreachable-net", "unreachable-host", "unreachable-port", "too-big", "time-exceeded")
SIX = "tcp [fd09::1]:80"
SIX_CLIENT = "2001:db8:c::1"
METHODS: dict[str, dict[str, Any]] = {
    "masquerade": {},
    "direct": {"method": "direct"},
    "ipip": {"method": "tunnel"},
    "gue": {"method": "tunnel", "tunnel": "gue", "tunnel_port": 6080},
    "gue-csum": {"method": "tunnel", "tunnel": "gue", "tunnel_port": 6080, "tunnel_option": "csum"},
    "gre": {"method": "tunnel", "tunnel": "gre"},
    "gre-csum": {"method": "tunnel", "tunnel": "gre", "tunnel_option": "csum"},
}
TUNNELS = tuple(name for name, values in METHODS.items() if values.get("method") == "tunnel")
STALE_MTU = (
    "a fault of the kernel: the first report of a smaller MTU in a tunnel it hands on with the MTU that it knew before, which"
    " tells the client nothing; from the next packet on both planes answer with the smaller one"
)
UNVERIFIED = (
    "the kernel checks an ICMPv6 error from a server without the pseudo header and drops it, unless the network card has"
    " vouched for it; errors about IPv6 in tunnels it does not follow"
)
DNS = {"protocol": "udp", "endpoint": "10.9.0.1:53"}


def six(**values: Any) -> list[Step]:
    server = Destination(endpoint="[fd02::1]:80", **values)
    return [AddService(service=Service(label="six", protocol="tcp", endpoint="[fd09::1]:80")),
            AddDestination(label="six", destination=server)]  # fmt: skip


SCENARIOS: tuple[Scenario, ...] = (
    *(
        scenario(
            f"error-{name}",
            f"errors about {name} packets",
            table("rr", {1: 1}, each=values),
            clients(1, establish=True),
            *(SendError(to=TCP, error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
            talk("C:ACK", states=True),
            talk("C:ACK", size=1400),
            LOOK,
            differs=STALE_MTU if name in TUNNELS else "",
        )
        for name, values in METHODS.items()
    ),
    *(
        scenario(
            f"error-client-{name}",
            f"the client's errors about answers of a {name} service",
            table("rr", {1: 1}, each=values),
            clients(1, establish=True),
            *(SendError(to=TCP, side="C", error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
            Look(counters=True),
        )
        for name, values in METHODS.items()
        if "csum" not in name
    ),
    scenario("error-udp", "errors about datagrams", table("rr", {1: 1}, **DNS, each={"port": 5353}), clients(1, to=UDP),
             *(SendError(to=UDP, error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
             *(SendError(to=UDP, side="C", error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
             Look(counters=True)),
    scenario("error-six", "a server's errors, IPv6", six(), Open(to=SIX, client=SIX_CLIENT, establish=True),
             *(SendError(to=SIX, client=SIX_CLIENT, error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
             differs=UNVERIFIED),
    scenario("error-client-six", "a client's errors, IPv6", six(), Open(to=SIX, client=SIX_CLIENT, establish=True),
             *(SendError(to=SIX, client=SIX_CLIENT, side="C", error=error, mtu=1300 * (error == "too-big")) for error in ERRORS)),
    scenario("error-six-tunnel", "IPv6 in a tunnel", six(method="tunnel"), Open(to=SIX, client=SIX_CLIENT, establish=True),
             *(SendError(to=SIX, client=SIX_CLIENT, error=error, mtu=1300 * (error == "too-big")) for error in ERRORS),
             differs=UNVERIFIED),
    scenario("error-unknown", "an error about no connection of ours", table("rr", {1: 1}),
             SendError(to=TCP, side="C", error="unreachable-port"), SendError(to="tcp 10.9.0.1:81", side="C", error="too-big", mtu=1300)),
    scenario("schedule-icmp", "schedule_icmp: an error begins a connection", SetOption(name="schedule_icmp", value="1"),
             table("rr", {1: 1}), SendError(to=TCP, side="C", error="unreachable-host"), Look(connections=True)),
    scenario("schedule-icmp-kinds", "schedule_icmp: datagrams, persistence, a quiesced server, no service",
             SetOption(name="schedule_icmp", value="1"), table("rr", {1: 1}, **DNS, each={"port": 5353}, persistent_s=100),
             AddService(service=service("rr", label="empty", endpoint="10.9.0.1:81")), add(2, 0, label="empty", port=81),
             AddService(service=service("rr", label="calls", protocol="udp", endpoint="10.9.0.1:5060", persistent_s=100, engine="sip")),
             add(3, label="calls", port=5060),
             SendError(to=UDP, side="C", error="unreachable-port"), SendError(to="tcp 10.9.0.1:81", side="C", error="unreachable-port"),
             SendError(to="tcp 10.9.0.1:82", side="C", error="unreachable-port"),
             SendError(to="udp 10.9.0.1:5060", side="C", error="unreachable-port"), LOOK_ALL, clients(1, to=UDP), LOOK_ALL),
    scenario("schedule-icmp-methods", "schedule_icmp: not only masqueraded", SetOption(name="schedule_icmp", value="1"),
             table("rr", {1: 1}, each={"method": "direct"}),
             AddService(service=service("rr", label="tunnel", endpoint="10.9.0.1:81")), add(2, label="tunnel", port=81, method="tunnel"),
             SendError(to=TCP, side="C", error="unreachable-port"), SendError(to="tcp 10.9.0.1:81", side="C", error="unreachable-port"),
             LOOK_ALL, clients(1), LOOK_ALL),
    scenario("schedule-icmp-six", "schedule_icmp: IPv6", SetOption(name="schedule_icmp", value="1"), six(),
             SendError(to=SIX, client=SIX_CLIENT, side="C", error="unreachable-port"), LOOK_ALL),
    scenario("echo", "the director answers for its VIPs", table("rr", {1: 1}), Echo(to="10.9.0.1"),
             Echo(to="fd09::1", client=SIX_CLIENT)),
    *(
        scenario(
            f"too-big-{name}",
            f"a packet too big for the servers' side, by {name}",
            SetMtu(side="S", mtu=1400),
            table("rr", {1: 1}, each=values),
            clients(1, establish=True),
            *(talk("C:ACK", size=size) for size in (1280, 1300, 1310, 1320, 1340, 1350, 1360, 1361, 1380, 1440)),
        )
        for name, values in METHODS.items()
    ),
    *(
        scenario(
            f"too-big-six-{name}",
            f"an IPv6 packet too big, by {name}",
            SetMtu(side="S", mtu=1400),
            six(**values),
            Open(to=SIX, client=SIX_CLIENT, establish=True),
            *(Send(to=SIX, client=SIX_CLIENT, packets=("C:ACK",), size=size) for size in (1290, 1300, 1320, 1340, 1341, 1400)),
        )
        for name, values in METHODS.items()
        if name in ("masquerade", "direct", "ipip")
    ),
    scenario("too-big-may-fragment", "without DF a packet is fragmented", SetMtu(side="S", mtu=1400), table("rr", {1: 1}),
             add(2, method="direct"), add(3, method="tunnel"), clients(3, establish=True),
             *(talk("C:ACK", port=port, size=1400, may_fragment=True) for port in (1000, 1001, 1002))),
    scenario("too-big-pmtu-disc-off", "pmtu_disc off: a tunnel takes what is too big", SetOption(name="pmtu_disc", value="0"),
             SetMtu(side="S", mtu=1400), table("rr", {1: 1}, each={"method": "tunnel"}), clients(1, establish=True),
             *(talk("C:ACK", size=size) for size in (1330, 1350, 1370))),
    scenario("too-big-back", "an answer too big for the clients' side", SetMtu(side="C", mtu=1400), table("rr", {1: 1}),
             clients(1, establish=True), talk("S:ACK", size=1440)),
    scenario("nat-icmp-send", "nat_icmp_send: a server's stray answer is refused", table("rr", {1: 1}), clients(1, establish=True),
             ServerSend(source="tcp 10.2.0.1:80", to="10.1.0.1:9999", word="ACK"), SetOption(name="nat_icmp_send", value="1"),
             ServerSend(source="tcp 10.2.0.1:80", to="10.1.0.1:9999", word="ACK"),
             ServerSend(source="tcp 10.2.0.1:81", to="10.1.0.1:9999", word="ACK"),
             ServerSend(source="tcp 10.2.0.1:80", to="10.1.0.1:1000", word="ACK")),
    scenario("nat-icmp-send-kinds", "nat_icmp_send: who is told, and about what", SetOption(name="nat_icmp_send", value="1"),
             table("rr", {1: 1}, **DNS, each={"port": 5353}),
             AddService(service=service("rr", label="direct", endpoint="10.9.0.1:81")), add(2, label="direct", port=81, method="direct"),
             AddService(service=service("rr", label="mark", mark=5)), add(3, label="mark", port=80),
             ServerSend(source="udp 10.2.0.1:5353", to="10.1.0.1:1000"), ServerSend(source="tcp 10.2.0.1:5353", to="10.1.0.1:1000", word="ACK"),
             ServerSend(source="tcp 10.2.0.2:81", to="10.1.0.1:1000", word="ACK"),
             ServerSend(source="tcp 10.2.0.3:80", to="10.1.0.1:1000", word="SYN"),
             ServerSend(source="tcp 10.2.0.3:80", to="10.1.0.1:1000", word="RST"),
             ServerSend(source="udp 10.2.0.3:80", to="10.1.0.1:1000"), weigh(3, 0, label="mark"),
             ServerSend(source="udp 10.2.0.3:80", to="10.1.0.1:1000"), remove(3, label="mark"),
             ServerSend(source="udp 10.2.0.3:80", to="10.1.0.1:1000")),
    scenario("nat-icmp-send-six", "nat_icmp_send: IPv6", SetOption(name="nat_icmp_send", value="1"), six(),
             ServerSend(source="tcp [fd02::1]:80", to=f"[{SIX_CLIENT}]:1000", word="ACK"),
             ServerSend(source="tcp [fd02::1]:81", to=f"[{SIX_CLIENT}]:1000", word="ACK")),
    scenario("server-begins", "a server's own connection goes out untouched", table("rr", {1: 1}),
             ServerSend(source="tcp 10.2.0.1:4000", to="10.1.0.1:80", word="SYN"),
             ServerSend(source="tcp 10.2.0.1:80", to="10.1.0.1:80", word="SYN"),
             ServerSend(source="udp 10.2.0.1:53", to="10.1.0.1:53")),
    scenario("answer-after-removal", "a removed server's answers", table("rr", {1: 1, 2: 1}), clients(2, establish=True), remove(1),
             ServerSend(source="tcp 10.2.0.1:80", to="10.1.0.1:1001", word="ACK"), weigh(2, 0),
             ServerSend(source="tcp 10.2.0.2:80", to="10.1.0.1:1000", word="ACK")),
    scenario("cache-bypass", "cache_bypass: a mark without servers lets packets go where they were going",
             SetOption(name="cache_bypass", value="1"), AddService(service=service("rr", mark=5)),
             SetMark(mark=5, address="10.8.0.0/16"), clients(2, to="tcp 10.8.0.1:80"), Look(connections=True), add(1, port=0),
             clients(2, to="tcp 10.8.0.1:80", first=1100), clients(1, to="udp 10.8.0.1:80"), Look(connections=True)),
    scenario("cache-bypass-life", "a bypassed connection's states, and what is asked of it again",
             SetOption(name="cache_bypass", value="1"), AddService(service=service("rr", mark=5)),
             SetMark(mark=5, address="10.8.0.0/16"), clients(1, to="tcp 10.8.0.1:80"),
             talk("C:ACK", "C:FIN+ACK", "C:ACK", "C:SYN", "C:RST", "C:SYN", to="tcp 10.8.0.1:80", states=True),
             clients(1, to="udp 10.8.0.1:53", first=1200), Look(connections=True)),
    scenario("cache-bypass-kinds", "quiesced servers, one packet at a time, persistence",
             SetOption(name="cache_bypass", value="1"), AddService(service=service("rr", mark=5, one_packet=True)),
             SetMark(mark=5, address="10.8.0.0/16"), add(1, 0, port=0), clients(2, to="udp 10.8.0.1:53"),
             clients(1, to="tcp 10.8.0.1:80"), AddService(service=service("rr", label="more", mark=6, persistent_s=100)),
             SetMark(mark=6, address="10.7.0.0/16"), clients(2, to="tcp 10.7.0.1:80", first=1100), Look(connections=True)),
    scenario("cache-bypass-off", "without it they are refused", AddService(service=service("rr", mark=5)),
             SetMark(mark=5, address="10.8.0.0/16"), clients(1, to="tcp 10.8.0.1:80")),
    scenario("cache-bypass-local", "cache_bypass does nothing for the director's own addresses",
             SetOption(name="cache_bypass", value="1"), AddService(service=service("rr", mark=5)),
             SetMark(mark=5, address="10.9.0.1"), clients(1)),
)  # fmt: skip
