"""Command lines as commands, beyond what is recorded: values, limits and the order of judging.

Every text and exit code here was seen from ipvsadm 1.31.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    Operation,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.ipvsadm.command import Change, Save, Say, Show, Subject, View
from piranha.ipvsadm.failure import CommandLineError
from piranha.ipvsadm.parse import parse
from piranha.model.address import IPAddress, parse_address
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    SchedulerFlag,
    Service,
    ServiceKey,
    Timeouts,
    TunnelChecksum,
    TunnelType,
)
from tests.unit.ipvsadm.recording import FileNames

NAMES = FileNames("10.0.0.1 web\n::7 six", "http 80/tcp\ndomain 53/udp")
WEB = ServiceKey(protocol=Protocol.TCP, address=IPv4Address("10.0.0.1"), port=80)
WEB6 = ServiceKey(protocol=Protocol.TCP, address=IPv6Address("2001:db8::1"), port=80)
TRY = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"


def operation(line: str) -> Operation:
    command = parse("ipvsadm", line.split(), NAMES)
    assert isinstance(command, Change)
    return command.operation


def failure(words: list[str]) -> tuple[int, str]:
    with pytest.raises(CommandLineError) as failed:
        parse("ipvsadm", words, NAMES)
    return failed.value.exit_code, failed.value.text


def server(address: str, port: int = 80, method: ForwardingMethod = ForwardingMethod.DIRECT) -> Destination:
    return Destination(key=DestinationKey(address=parse_address(address), port=port), method=method)


@pytest.mark.parametrize(
    ("line", "service"),
    [
        ("-A -t web:http", Service(key=WEB)),
        ("-A -t 10.1:80 -s rr", Service(key=WEB, scheduler="rr")),
        ("-A -t 0x0a000001:080 -s averyveryverylongname", Service(key=WEB, scheduler="averyveryverylo")),
        ("-A -t [2001:db8::1]:80 -p -M 64", Service(key=WEB6, persistent_s=360, persistence_prefix=64)),
        ("-A -M 64 -t [2001:db8::1]:80 -p", Service(key=WEB6, persistent_s=360)),
        ("-A -t [2001:db8::1]:80 -p -M 64x", Service(key=WEB6, persistent_s=360, persistence_prefix=64)),
        ("-A -t 10.0.0.1:80 -p 9 -M 255.255.0.0", Service(key=WEB, persistent_s=9, persistence_prefix=16)),
        ("-A -t 10.0.0.1:80 -p 9 -M 24", Service(key=WEB, persistent_s=9, persistence_prefix=IPv4Address("0.0.0.24"))),
        (
            "-A -t 10.0.0.1:80 -p 9 -M 255.255.0.255",
            Service(key=WEB, persistent_s=9, persistence_prefix=IPv4Address("255.255.0.255")),
        ),
        ("-A -t 10.0.0.1:80 -p 9 -M 0.0.0.0", Service(key=WEB, persistent_s=9, persistence_prefix=0)),
        ("-A -t 10.0.0.1:80 -M 255.255.0.0", Service(key=WEB)),
        ("-A -f 010", Service(key=ServiceKey.of_mark(10))),
        ("-A -f 4294967295 -6 -o", Service(key=ServiceKey.of_mark(2**32 - 1, 6), one_packet=True)),
        ("-A -f 9 -M 0.0.0.64 -6 -p", Service(key=ServiceKey.of_mark(9, 6), persistent_s=360)),
        (
            "-A -t 10.0.0.1:80 -s sh -b ,sh-port,,flag-3",
            Service(key=WEB, scheduler="sh", flags=SchedulerFlag.SCHED2 | SchedulerFlag.SCHED3),
        ),
        ("-A -t 10.0.0.1:80 -b ,", Service(key=WEB)),
        (
            "-A -u 10.0.0.1:domain --pe sip -p +5",
            Service(
                key=ServiceKey(protocol=Protocol.UDP, address=IPv4Address("10.0.0.1"), port=53),
                persistent_s=5,
                engine="sip",
            ),
        ),
    ],
)
def test_services(line: str, service: Service) -> None:
    assert operation(line) == AddService(service=service)


@pytest.mark.parametrize(
    ("line", "key", "destination"),
    [
        ("-a -t 10.0.0.1:80 -r 10.0.0.2", WEB, server("10.0.0.2")),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:8080", WEB, server("10.0.0.2")),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:8080 -m", WEB, server("10.0.0.2", 8080, ForwardingMethod.MASQUERADE)),
        ("-a -r 10.0.0.2 -t 10.0.0.1:80 -m", WEB, server("10.0.0.2", 0, ForwardingMethod.MASQUERADE)),
        ("-a -r 10.0.0.2 -t 10.0.0.1:80 -i", WEB, server("10.0.0.2", 80, ForwardingMethod.TUNNEL)),
        ("-a -f 5 -r 10.0.0.2:81", ServiceKey.of_mark(5), server("10.0.0.2", 81)),
        ("-a -t 10.0.0.1:80 -r fd00::2 -i", WEB, server("fd00::2", 80, ForwardingMethod.TUNNEL)),
        (
            "-a -t 10.0.0.1:80 -r 10.0.0.2 -i --tun-port 7 --tun-type gue --tun-remcsum -w 2147483647 -x 9 -y 3",
            WEB,
            Destination(
                key=DestinationKey(address=IPv4Address("10.0.0.2"), port=80),
                method=ForwardingMethod.TUNNEL,
                weight=2**31 - 1,
                upper_threshold=9,
                lower_threshold=3,
                tunnel=TunnelType.GUE,
                tunnel_port=7,
                tunnel_checksum=TunnelChecksum.REMOTE,
            ),
        ),
    ],
)
def test_servers(line: str, key: ServiceKey, destination: Destination) -> None:
    assert operation(line) == AddDestination(service=key, destination=destination)


def daemon(group: IPAddress | None = None, port: int = 8848, ttl: int = 1, length: int = 0) -> SyncDaemon:
    return SyncDaemon(
        role=SyncRole.MASTER, interface="eth0", sync_id=7, group=group, port=port, ttl=ttl, max_length=length
    )


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("-C", Clear()),
        ("-Z", ZeroCounters()),
        ("-Z -f 3", ZeroCounters(key=ServiceKey.of_mark(3))),
        (
            "-d -t 10.0.0.1:80 -r 10.0.0.2:8080",
            DeleteDestination(service=WEB, key=DestinationKey(address=IPv4Address("10.0.0.2"), port=8080)),
        ),
        ("--set 0 -- 20 30", SetTimeouts(timeouts=Timeouts(tcp_s=0, tcp_fin_s=20, udp_s=30))),
        ("--start-daemon master --syncid 7", StartDaemon(daemon=daemon())),
        (
            "--start-daemon=master --syncid 07 --mcast-group ff02::51 --mcast-port 9 --mcast-ttl 3 --sync-maxlen 65507",
            StartDaemon(daemon=daemon(IPv6Address("ff02::51"), 9, 3, 65507)),
        ),
        ("--stop-daemon backup --syncid 9", StopDaemon(role=SyncRole.BACKUP, sync_id=9)),
    ],
)
def test_other_changes(line: str, wanted: Operation) -> None:
    assert operation(line) == wanted


def test_listings() -> None:
    def shown(line: str) -> object:
        return parse("ipvsadm", line.split(), NAMES)

    assert shown("") == shown("-L") == Show()
    assert shown("-Lnc --persistent-conn") == Show(
        subject=Subject.CONNECTIONS, view=View(numeric=True, persistent=True)
    )
    assert shown("-L -X --nosort --rate -t web:80") == Show(
        subject=Subject.SERVICE, key=WEB, view=View(exact=True, sort=False, rate=True)
    )
    assert shown("-Sn") == Save(numeric=True)
    assert isinstance(shown("-h and more"), Say)


@pytest.mark.parametrize(
    ("line", "exit_code", "text"),
    [
        ("--set=1", 255, TRY),
        ("-L --start-daemon master", 2, "invalid option `master'\n"),
        ("-L -list", 2, "invalid option `-list'\n"),
        ("--set 1 2 3 -L", 2, "invalid option `-L'\n"),
        ("--set 1 2 -- 3 4", 2, "unexpected argument 4\n"),
        ("--set -n", 2, "--set option requires 3 timeout values\n"),
        ("-A -z -q", 255, "-z: unknown option\n"),
        ("-A -- -t 10.0.0.1:9", 2, "unexpected argument -t\n"),
        ("-A -t --ops", 2, "illegal virtual server address[:port] specified\n"),
        ("-A -t [2001:db8::1]80", 2, "illegal virtual server address[:port] specified\n"),
        ("-A -t [10.0.0.1]:90", 2, "Zero port specified for non-persistent service\n"),
        ("-A -t 10", 2, "illegal virtual server address[:port] specified\n"),
        ("-A -t 10.0.0.1:80:80", 2, "illegal virtual server address[:port] specified\n"),
        ("-A -f 99999999999999999999", 2, "invalid fwmark value `99999999999999999999' specified\n"),
        ("-A -f 5x", 2, "invalid fwmark value `5x' specified\n"),
        ("-A -t 10.0.0.1:80 -M 300.1.1.1", 2, "illegal virtual server persistent mask specified\n"),
        ("-A -t 10.0.0.1:80 --persistent=", 2, "invalid timeout value `' specified\n"),
        ("-A -t 10.0.0.1:80 -b sh-port -s mh", 2, "incompatible scheduler flag `sh-port'\n"),
        ("-A -t 10.0.0.1:80 -b mh-port", 2, "incompatible scheduler flag `mh-port'\n"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 -w 2147483648", 2, "illegal weight specified\n"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 -w 0x10", 2, "illegal weight specified\n"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 -y 2147483648", 2, "illegal l_threshold specified\n"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 --tun-nocsum", 2, "Tunnel options conflict with forward method\n"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 -i --tun-type IPIP", 2, "illegal tunnel type specified\n"),
        (
            "-a -t 10.0.0.1:80 -r 10.0.0.2 -i --tun-type gue --tun-port 5 --tun-remcsum --tun-csum",
            2,
            "The option 'tun-remcsum' conflicts with the 'tun-csum' option in the 'gue' tunnel type\n",
        ),
        (
            "-a -f 5 -r 10.0.0.1 -6",
            2,
            "Different address family is allowed only for tunneling servers\n",
        ),
        ("--start-daemon master --mcast-group 2001:db8::1", 2, "invalid IPv6 mcast-group `2001:db8::1'\n"),
        ("--start-daemon master --mcast-group 240.0.0.1", 2, "invalid IPv4 mcast-group `240.0.0.1'\n"),
        ("--start-daemon master --sync-maxlen 65508", 2, "illegal sync-maxlen specified\n"),
        ("-L -c --persistent-conn --stats", 2, "options conflicts in the list command\n"),
        ("-L --timeout --persistent-conn", 2, "options conflicts in the list command\n"),
        ("-S --nosort", 2, "Illegal 'nosort' option with the 'save' command\n"),
    ],
)
def test_failures(line: str, exit_code: int, text: str) -> None:
    assert failure(line.split()) == (exit_code, text)


@pytest.mark.parametrize("weight", ["7 ", "", "1e3", "1" * 5000])
def test_a_number_has_nothing_after_it(weight: str) -> None:
    words = ["-a", "-t", "10.0.0.1:80", "-r", "10.0.0.2", "-w", weight]
    assert failure(words) == (2, "illegal weight specified\n")


def test_help_names_the_program() -> None:
    shown = parse("/sbin/ipvsadm", ["-h"], NAMES)
    assert isinstance(shown, Say)
    assert shown.text.startswith("Usage: /sbin/ipvsadm -A|-E ")
    assert all(len(line) <= 110 for line in shown.text.splitlines())
