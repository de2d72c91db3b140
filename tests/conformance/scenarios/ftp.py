"""FTP through masquerading: passive and active, plain and extended, and the service with persistence."""

from __future__ import annotations

from typing import Any

from tests.conformance.scenarios.build import LOOK, LOOK_ALL, clients, scenario, table, talk
from tests.uml.scenario import (
    AddDestination,
    AddService,
    Await,
    Destination,
    Look,
    Open,
    Say,
    Scenario,
    Send,
    ServerSend,
    Service,
    SetTimeouts,
    Step,
)

CONTROL = "tcp 10.9.0.1:21"
LONG_VIP = "10.9.100.100"
SIX, SIX_CLIENT, SIX_SERVER = "[fd09::1]", "2001:db8:c::1", "[fd02::1]"


def farm(*hosts: int, vip: str = "10.9.0.1", port: int = 21, **more: Any) -> list[Step]:
    """A service on FTP's port."""
    each = {"port": port, **more.pop("each", {})}
    return table("rr", dict.fromkeys(hosts or (1,), 1), each=each, endpoint=f"{vip}:21", **more)


def farm_six() -> list[Step]:
    return [AddService(service=Service(label="web", protocol="tcp", endpoint=f"{SIX}:21")),
            AddDestination(label="web", destination=Destination(endpoint=f"{SIX_SERVER}:21"))]  # fmt: skip


def say(*lines: str, to: str = CONTROL, **more: Any) -> Say:
    return Say(to=to, lines=lines, **more)


def say_six(*lines: str, port: int = 21, **more: Any) -> Say:
    return Say(to=f"tcp {SIX}:{port}", lines=lines, client=SIX_CLIENT, **more)


def passive(text: str) -> tuple[str, str]:
    return "C:PASV\r\n", f"S:227 Entering Passive Mode ({text})\r\n"


def extended(text: str, command: str = "EPSV") -> tuple[str, str]:
    return f"C:{command}\r\n", f"S:229 Entering Extended Passive Mode ({text})\r\n"


SCENARIOS: tuple[Scenario, ...] = (
    scenario("ftp-passive", "the client is told the virtual address, its data connection reaches the same server", farm(1, 2),
             say(*passive("10,2,0,2,200,13")), LOOK_ALL,
             Say(to="tcp 10.9.0.1:51213", port=1100, lines=("C:give", "S:data")), LOOK_ALL, clients(3, to=CONTROL, first=1200),
             say("S:226 Done\r\n", "C:QUIT\r\n"), Look(counters=True)),
    scenario("ftp-passive-longer", "a reply that grows shifts the server's sequence numbers", farm(vip=LONG_VIP),
             say(*passive("10,2,0,1,4,1"), "S:150 Here\r\n", "C:NOOP\r\n", "S:200 Yes\r\n", to=f"tcp {LONG_VIP}:21"),
             say(*passive("10,2,0,1,4,2"), "S:150 Here\r\n", "C:NOOP\r\n", "S:200 Yes\r\n", to=f"tcp {LONG_VIP}:21"),
             Say(to=f"tcp {LONG_VIP}:1026", port=1100, lines=("S:data",)),
             Say(to=f"tcp {LONG_VIP}:1025", port=1101, lines=("S:data",)), Look(connections=True, counters=True)),
    scenario("ftp-passive-shorter", "one that shrinks does too", farm(),
             say(*passive("010,002,000,001,004,001"), "S:150 Here\r\n", "C:NOOP\r\n"),
             say(*passive("10,2,0,1,4,2"), "S:150 Here\r\n", "C:NOOP\r\n"),
             say(*passive("010,002,000,001,004,003"), "S:150 Here\r\n", "C:NOOP\r\n"), LOOK_ALL),
    scenario("ftp-passive-text", "the forms of a reply", farm(),
             say("C:pasv\r\n", "S:227 10,2,0,1,4,1\r\n"), say("C:TYPE I\r\nPASV\r\n", "S:227 =((10,2,0,1,4,2) and more\r\n"),
             say("C:PASV\r\n", "S:227-No (10,2,0,1,4,3)\r\n", "S:227 No (10,2,0,1,4)\r\n", "S:227 Late (10,2,0,1,4,4)\r\n"),
             say("S:227 Not asked (10,2,0,1,4,5)\r\n"), say("C:PASV \r\n", "S:227 Nor so (10,2,0,1,4,6)\r\n"), LOOK_ALL),
    scenario("ftp-passive-same-port", "a port that is told twice", farm(), say(*passive("10,2,0,1,4,1")), LOOK_ALL,
             say(*passive("10,2,0,1,4,1")), LOOK_ALL),
    scenario("ftp-passive-other-address", "a server that tells an address which is not its own", farm(), say(*passive("198,51,100,7,4,1")),
             LOOK_ALL, say("S:150 Here\r\n", "C:NOOP\r\n"),
             differs="IPVS sends the data connection to the address that the server tells, whosever it is; the eBPF plane to the"
             " server itself"),
    scenario("ftp-extended-passive", "EPSV: the port alone", farm(), say(*extended("|||1025|")), say(*extended("|||1026|", "epsv 1")),
             say(*extended("!!!1027!")), say(*extended("|1|10.2.0.1|1028|")),
             say(*extended("|||1029|", "EPSV 2")), say(*extended("|||1030|", "EPSV ALL")), say(*extended("|||0|")), LOOK_ALL,
             Say(to="tcp 10.9.0.1:1026", port=1100, lines=("C:give", "S:data")), say("S:226 Done\r\n", "C:NOOP\r\n"), LOOK_ALL),
    scenario("ftp-extended-passive-six", "the same over IPv6, where there is no PASV", farm_six(), say_six(*extended("|||1025|")),
             say_six(*extended("|2|fd02::1|1026|", "EPSV 2")), say_six(*passive("10,2,0,1,4,1")), LOOK_ALL,
             Say(to=f"tcp {SIX}:1026", client=SIX_CLIENT, port=1100, lines=("C:give", "S:data")),
             say_six("S:226 Done\r\n", "C:NOOP\r\n"), LOOK_ALL),
    scenario("ftp-active", "the server's connection leaves from the virtual address", farm(), say("C:PORT 10,1,0,1,7,208\r\n", "S:200 Good\r\n"),
             LOOK_ALL, ServerSend(source="tcp 10.2.0.1:20", to="10.1.0.1:2000", word="SYN"), LOOK_ALL,
             talk("C:SYN+ACK", port=2000, to="tcp 10.9.0.1:20", states=True),
             ServerSend(source="tcp 10.2.0.1:20", to="10.1.0.1:2000", word="ACK"), LOOK_ALL,
             ServerSend(source="tcp 10.2.0.1:20", to="10.1.0.1:2000", word="FIN+ACK"),
             Send(to="tcp 10.9.0.1:20", port=2000, packets=("C:FIN+ACK",), states=True), LOOK_ALL),
    scenario("ftp-active-text", "the forms of a command", farm(),
             say("C:port 10,1,0,1,7,209\r\n", "C:PORT  10,1,0,1,7,210\r\n", "C:PORT 10,1,0,1,7\r\n", "C:PORT 10,1,0,1,7,211",
                 "C: PORT 10,1,0,1,7,212\r\n"), LOOK_ALL,
             say("C:EPRT |1|10.1.0.1|2005|\r\n", "C:eprt !1!10.1.0.1!2006!\r\n", "C:EPRT |2|fd01::1|2007|\r\n",
                 "C:EPRT |1|10.1.0.1|2008\r\n", "C:EPRT |1|10.1.0|2009|\r\n", "C:EPRT ||||2010|\r\n"), LOOK_ALL),
    scenario("ftp-active-six", "EPRT over IPv6", farm_six(), say_six("C:EPRT |2|2001:db8:c::1|2000|\r\n", "S:200 Good\r\n"),
             say_six("C:PORT 10,1,0,1,7,208\r\n", "C:EPRT |1|10.1.0.1|2001|\r\n", "C:EPRT |2|2001:DB8:c:0:0:0::1|2002|\r\n",
                     "C:EPRT |2|:1|2003|\r\n", "C:EPRT |2|1:2:3|2004|\r\n"), LOOK_ALL,
             ServerSend(source=f"tcp {SIX_SERVER}:20", to=f"[{SIX_CLIENT}]:2000", word="SYN"), LOOK),
    scenario("ftp-active-other-port", "a server with another control port has its data port below that", farm(port=2121),
             say("C:PORT 10,1,0,1,7,208\r\n"), LOOK_ALL, ServerSend(source="tcp 10.2.0.1:20", to="10.1.0.1:2000", word="SYN"),
             ServerSend(source="tcp 10.2.0.1:2120", to="10.1.0.1:2000", word="SYN"), LOOK_ALL),
    scenario("ftp-active-again", "the same port again", farm(), say("C:PORT 10,1,0,1,7,208\r\n", "C:PORT 10,1,0,1,7,208\r\n"), LOOK_ALL),
    scenario("ftp-not-masqueraded", "other methods are not read", farm(each={"method": "direct"}),
             Open(to=CONTROL, establish=True), talk("C:PSH+ACK", to=CONTROL, payload="PORT 10,1,0,1,7,208\r\n"), LOOK_ALL),
    scenario("ftp-other-service", "nor other ports", table("rr", {1: 1}, each={"port": 2121}, endpoint="10.9.0.1:2121"),
             say(*passive("10,2,0,1,4,1"), to="tcp 10.9.0.1:2121"), LOOK_ALL),
    scenario("ftp-control-held", "a control connection waits for its data connections", farm(), say(*passive("10,2,0,1,4,1")),
             SetTimeouts(tcp_s=1), say("C:NOOP\r\n"), Await(client="10.1.0.1", port=1000, within_s=3), say("C:NOOP\r\n"),
             LOOK),
    scenario("ftp-persistent", "data ports follow a persistent client, other ports are not the service's",
             farm(1, 2, persistent_s=300), Open(to=CONTROL), Open(to="tcp 10.9.0.1:20", port=1100), Open(to="tcp 10.9.0.1:1024", port=1200),
             Open(to="tcp 10.9.0.1:50000", port=1300), Open(to="tcp 10.9.0.1:80", port=1400), LOOK_ALL),
    scenario("ftp-persistent-passive", "announced data connections belong to the control connection, it to the template",
             farm(1, 2, persistent_s=300), say(*passive("10,2,0,2,4,1")), say(*passive("10,2,0,2,4,2")), LOOK_ALL,
             Say(to="tcp 10.9.0.1:1025", port=1100, lines=("S:data",)), LOOK_ALL),
    scenario("ftp-persistent-direct", "the same without masquerading", farm(1, 2, each={"method": "direct"}, persistent_s=300),
             Open(to=CONTROL), Open(to="tcp 10.9.0.1:50000", port=1100, count=2), LOOK_ALL),
    scenario("ftp-without-persistence", "a data port that nobody announced", farm(1, 2), Open(to="tcp 10.9.0.1:50000"), LOOK_ALL),
    scenario("ftp-client-of-port-20", "is never scheduled", farm(), Open(to=CONTROL, port=20), LOOK_ALL),
)  # fmt: skip
