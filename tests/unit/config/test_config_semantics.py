"""Each rule on meaning speaks where it should, at the right line, and is silent where all is well."""

from __future__ import annotations

import pytest

from piranha.config.names import FixedNames
from piranha.config.problem import Severity
from piranha.config.semantics import check, check_text, warnings
from piranha.model.check import unknown_escapes

NAMES = FixedNames(hosts={"lb1": "10.0.0.1"})
SERVER = """     server web1 {
         address = 10.0.0.11
         active = 1
     }
"""
GOOD = f"""primary = 10.0.0.1
backup = 10.0.0.2
backup_active = 1
keepalive = 6
deadtime = 18
network = direct
virtual farm {{
     active = 1
     address = 10.0.0.100 eth0:1
     vip_nmask = 255.255.255.0
     port = 80
     timeout = 6
     reentry = 15
{SERVER}}}
"""


def farm(lines: str = "", *, servers: str = SERVER, head: str = "", address: str = "10.0.0.100 eth0:1") -> str:
    """A file with one good virtual server, and other lines in it; `lines` begin at the line after `address`."""
    return f"{head}virtual farm {{\nactive = 1\naddress = {address}\n{lines}{servers}}}\n"


def server(lines: str, name: str = "web1") -> str:
    return f"server {name} {{\nactive = 1\n{lines}}}\n"


RIP = "address = 10.0.0.11\n"
MARKED = farm("fwmark = 5\n").replace("farm", "marked")
OTHER = farm().replace("farm", "other")
RULES = [
    # text, line, part of the message
    ("keepalive = 30\ndeadtime = 18\n" + farm(), 2, "deadtime (18) is not above keepalive (30)"),
    (
        "heartbeat_auth = none\nbackup = 192.0.2.2\nprimary = 192.0.2.1\nbackup_active = 1\n" + farm(),
        1,
        "can start and stop this director",
    ),
    ("failback_delay = 5\n" + farm(), 1, "no effect without failback"),
    ("keepalive = 10\ndeadtime = 18\n" + farm(), 2, "one lost heartbeat"),
    ("primary = 10.0.0.1\nbackup = 10.0.0.2\n" + farm(), 2, "backup is given but backup_active is 0"),
    ("primary = 10.0.0.1\nbackup = 10.0.0.2\nbackup_active = 0\n" + farm(), 3, "backup_active is 0"),
    ("backup_active = 1\n" + farm(), 1, "backup_active counts as 0"),
    ("backup = 10.0.0.2\nbackup_active = 1\n" + farm(), 1, "primary is not given"),
    ("primary = 10.0.0.2\nbackup = 10.0.0.2\nbackup_active = 1\n" + farm(), 2, "same address as primary"),
    ("primary = 10.0.0.1\nbackup_private = 10.1.0.2\n" + farm(), 2, "backup_private is ignored"),
    ("primary_private = 10.1.0.2\nbackup_private = 10.1.0.2\n" + farm(), 2, "same address as primary_private"),
    ("syncdaemon = 1\n" + farm(), 1, "syncdaemon has no effect"),
    ("syncd_group = 192.0.2.9\n" + farm(), 1, "no multicast address"),
    ("syncd_link_port = 8849\n" + farm(), 1, "no effect without syncdaemon"),
    ("monitor_links = 1\n" + farm(), 1, "monitor_links has no effect"),
    ("monitor_links = 2\n" + farm(), 1, "counts as 1"),
    ("heartbeat = 0\n" + farm(), 1, "does not switch the heartbeats off"),
    ("network = direct\nnat_router = 10.0.0.254 eth1:1\n" + farm(), 2, "nat_router has no effect"),
    ("nat_nmask = 255.255.255.0\n" + farm(), 1, "nat_nmask has no effect without nat_router"),
    ("primary = 10.0.0.1\nbackup = 10.0.0.2\nbackup_active = 1\n" + farm(), 3, "gateway stays behind"),
    ("service = fos\n" + farm(), 1, "no active failover service"),
    ("service = fos\n" + farm(), 2, "do not run with `service = fos`"),
    ("keepalive = 1\n", 1, "no active virtual server"),
    (farm() + "failover f {\n}\n", 9, "run only with `service = fos`"),
    ("primary_shared = /dev/sdb\n" + farm(), 1, "primary_shared has no effect"),
    ("reservation_conflict_action = preempt\n" + farm(), 1, "reservation_conflict_action has no effect"),
    ("hard_shutdown = 0\n" + farm(), 1, "hard_shutdown has no effect"),
    (farm("client_monitor = /usr/bin/other\n"), 4, "client_monitor has no effect"),
    (farm("master = 10.0.0.1\n"), 4, "master has no effect"),
    (farm("dirs = [ /a ]\n"), 4, "dirs has no effect"),
    (farm("client_monitor = /bin/mine\n"), 4, "client_monitor has no effect"),
    ("nat_router = 10.0.0.254 eth1:1\nnat_nmask = 255.0.255.0\n" + farm(), 2, "not a netmask"),
    (farm("vip_nmask = 255.255.0.255\n"), 4, "not a netmask"),
    (farm("vip_nmask = 0.0.0.0\n"), 4, "counts as not given"),
    (farm("vip_nmask = ffff:ffff::\n"), 4, "is an IPv6 mask"),
    (farm("persistent = 300\npmask = 255.0.255.0\n"), 5, "are not in a row"),
    (farm("pmask = 255.255.255.0\n"), 4, "pmask has no effect without persistent"),
    (farm("pmask = rubbish\n"), 4, "counts for nothing"),
    ("interfaces = [ eth0 averyveryverylongname ]\n" + farm(), 1, "cannot be a device"),
    ("interfaces = [ eth0 eth0 ]\n" + farm(), 1, "listed twice"),
    ('syncd_iface = "eth 0"\n' + farm(), 1, "cannot be a device"),
    ("dataplane = ipvs\nhook = xdp\n" + farm(), 2, "hook has no effect"),
    ("dataplane = ipvs\ninterfaces = [ eth0 ]\n" + farm(), 2, "interfaces has no effect"),
    (
        farm() + farm().replace("farm", "other"),
        11,
        "tcp 10.0.0.100 port 80 belongs to virtual server `farm` already (line 1)",
    ),
    (
        farm("fwmark = 5\n") + farm("fwmark = 5\n", address="10.0.0.101 eth0:2").replace("farm", "o"),
        13,
        "firewall mark 5",
    ),
    (farm() + farm("port = 81\n"), 9, "another virtual server is named `farm`"),
    (farm() + farm(address="10.0.0.101 eth0:1").replace("farm", "o"), 11, "device eth0:1 already carries 10.0.0.100"),
    ("nat_router = 10.0.0.254 eth0:1\n" + farm(), 4, "device eth0:1 already carries 10.0.0.254"),
    (farm() + farm("port = 81\n", address="10.0.0.100 eth0:2").replace("farm", "o"), 11, "is on eth0:1 already"),
    ("virtual farm {\naddress = 10.0.0.100 eth0:1\n}\n", 1, "is off, because `active` is left out"),
    (farm(servers="server s {\naddress = 10.0.0.11\n}\n"), 4, "real server `s` is not used"),
    ("virtual farm {\nactive = 1\n" + SERVER + "}\n", 1, "has no address"),
    (farm(address="0.0.0.0 eth0:1"), 3, "the unspecified address"),
    (farm(address="224.0.0.5 eth0:1"), 3, "a multicast address"),
    (farm(address="127.0.0.1 lo"), 3, "a loopback address"),
    ("primary = 10.0.0.100\n" + farm(), 4, "a director's own address"),
    (farm(servers=""), 1, "has no active real server"),
    (farm(servers=server(RIP + "weight = 0\n")), 7, "every real server of `farm` has weight 0"),
    (farm(servers=server(RIP) + server("address = 10.0.0.12\n")), 8, "another real server is named `web1`"),
    (farm(servers=server(RIP) + server(RIP, "web2")), 10, "10.0.0.11 port 80 is listed twice"),
    (farm(servers=server("")), 4, "active real server `web1` has no address"),
    (farm(servers=server("address = 0.0.0.0\n")), 6, "cannot be a real server"),
    (farm(servers=server("address = 10.0.0.100\n")), 6, "has the VIP as its address"),
    (farm(servers=server("address = 2001:db8::1\n")), 6, "needs a tunnel, not nat"),
    (farm(servers=server(RIP) + "port = 8080\n"), 4, "the virtual server's port stands after it"),
    (
        "network = direct\n" + farm(servers=server(RIP + "port = 8080\n")),
        8,
        "with direct forwarding packets keep their port",
    ),
    (farm(servers=server(RIP + "port = 8080\nforward = tunnel\n")), 7, "with tunnel forwarding"),
    (
        farm("scheduler = rr\n", servers=server(RIP) + server("address = 10.0.0.12\nweight = 3\n", "web2")),
        12,
        "weights have no effect",
    ),
    (farm("sorry_server = 10.0.0.11\n"), 4, "is also real server `web1`"),
    (farm("sorry_server = 2001:db8::1\n"), 4, "sorry_server is IPv6"),
    (farm("timeout = 20\nreentry = 15\n"), 5, "timeout (20) is longer than reentry (15)"),
    (farm("interval = 20\nreentry = 15\n"), 5, "interval (20) is longer than reentry (15)"),
    (farm("rise = 2\nreentry = 15\n"), 5, "reentry has no effect beside rise"),
    (farm("interval = 1\n"), 4, "interval is shorter than timeout"),
    (farm("protocol = udp\n"), 4, "a UDP server is down only when it is unreachable"),
    (farm('protocol = udp\nexpect = "x"\n'), 5, "nothing is sent to the UDP server"),
    (farm('send = "x"\nsend_program = "/bin/x"\n'), 4, "send is ignored"),
    (farm('use_regex = 1\nsend_program = "/bin/x"\n'), 4, "use_regex has no effect on the output"),
    (farm(f'send_program = "/bin/{"x" * 300}"\n'), 4, "has 305 characters"),
    (farm('send_program = "/bin/x http://%h/"\n'), 4, "only where they stand alone"),
    (farm('send_program = "/bin/x %h | grep OK"\n'), 4, "not run by a shell"),
    (farm(f'send = "{"x" * 256}"\nexpect = "y"\n'), 4, "send has 256 characters"),
    (farm(f'expect = "{"x" * 256}"\n'), 4, "expect has 256 characters"),
    (farm(r'expect = "a\.b"' + "\n"), 4, r"`\.` in expect"),
    (farm('expect = "ab\\"\n'), 4, "`\\` in expect"),
    (farm('port = 8080\nsend = "x"\n'), 5, "the answer to send is not read"),
    (farm('expect = ""\n'), 4, "waits until the server speaks first"),
    (farm("use_regex = 1\n"), 4, "use_regex has no effect without expect"),
    (farm('use_regex = 1\nexpect = "(a"\n'), 5, "expect is not a regular expression"),
    (farm('use_regex = 1\nexpect = "a{99999999999}"\n'), 5, "expect is not a regular expression"),
    (farm('port = 443\nsend = "GET / HTTP/1.0"\nexpect = "HTTP"\n'), 5, "port 443 speaks TLS"),
    (farm("load_monitor = ruptime\n"), 4, "the original's formula hardly moves a weight of 1"),
    (farm("scheduler = rr\nload_monitor = rup\n"), 5, "weights, which have no effect with `scheduler = rr`"),
    (farm("scheduler = rr\nscheduler_flags = [ sh-port ]\n"), 5, "sh-port is a flag of scheduler sh, not of rr"),
    (farm("load_monitor = rup\nload_formula = bounded\n"), 5, "a single processor"),
    (farm("scheduler = none\n"), 4, "gives no new connections"),
    (farm("one_packet = 1\n", head="network = direct\n"), 5, "one_packet is for UDP"),
    (farm('protocol = udp\none_packet = 1\nsend = x\nexpect = "*"\n'), 8, "masqueraded replies"),
    (farm("port = 0\n", servers=server(RIP + "port = 80\n")), 4, "needs persistence"),
    (farm("port = 0\npersistent = 300\n"), 6, "no port that could be checked"),
    (farm("persistence_engine = sip\npersistent = 300\n"), 4, "persistence_engine = sip is for UDP"),
    (farm('protocol = udp\npersistence_engine = sip\nsend = x\nexpect = "*"\n'), 5, "needs persistence"),
    (farm("persistent = 300\npmask = 64\n"), 5, "not from 1 to 32 bits"),
    (farm("persistent = 300\npmask = ffff::\n"), 5, "is an IPv6 mask"),
    (farm("protocol = sctp\n"), 4, "checked by a TCP connect"),
    (farm(servers=server(RIP + "lower_threshold = 8\n")), 7, "stands without an upper_threshold"),
    (farm(servers=server(RIP + "upper_threshold = 7\nlower_threshold = 8\n")), 8, "is above upper_threshold = 7"),
    (farm(servers=server(RIP + "tunnel = gue\ntunnel_port = 6080\n")), 7, "tunnel has no effect on nat"),
    (farm(servers=server(RIP + "forward = tunnel\ntunnel = gue\n")), 8, "needs the UDP port"),
    (farm(servers=server(RIP + "forward = tunnel\ntunnel = gre\ntunnel_checksum = remcsum\n")), 9, "not for gre"),
    (farm(servers=server(RIP + "forward = tunnel\ntunnel_port = 6080\n")), 8, "tunnel_port has no effect on ipip"),
    (farm(servers=server(RIP + "forward = tunnel\ntunnel_checksum = csum\n")), 8, "has no checksum"),
    (farm("fwmark = 5\n"), 4, "no `mark` block gives mark 5"),
    ("mark 5 {\naddress = 2001:db8::1\n}\n" + farm("fwmark = 5\n"), 7, "have no IPv4 address"),
    ("mark 5 {\naddress = 10.0.0.9\n}\n" + farm(), 1, "no active virtual server has `fwmark = 5`"),
    ("mark 5 {\n}\n" + farm("fwmark = 5\n"), 1, "has no address and marks nothing"),
    (
        "mark 5 {\naddress = 10.0.0.0/24\n}\nmark 6 {\naddress = 10.0.0.9\nport = 80\nprotocol = tcp\n}\n" + farm(),
        4,
        "`mark 6: tcp 10.0.0.9 port 80` never counts: `mark 5: 10.0.0.0/24` (line 1) comes first",
    ),
    (
        "mark 5 {\naddress = 10.0.0.9\nport = [ 1-80 ]\n}\nmark 6 {\naddress = 10.0.0.9\nport = [ 80-90 ]\n}\n"
        + farm(),
        5,
        "counts only where that one does not match",
    ),
    ("mark 5 {\naddress = 10.0.0.100\n}\n" + MARKED + farm(), 15, "its packets get mark 5 (line 1)"),
    ("mark 5 {\naddress = 10.0.0.7/24\n}\n" + MARKED, 2, "is an address inside of the network 10.0.0.0/24"),
    ("primary = lb1\n" + farm(), 1, "is looked up whenever the file is read"),
    ("keepalive = 1\nkeepalive = 2\n" + farm(), 2, "given a second time"),
]


@pytest.mark.parametrize(("text", "line", "part"), RULES)
def test_a_rule_speaks_at_its_line(text: str, line: int, part: str) -> None:
    parsed = check_text(text, names=NAMES)
    assert parsed.errors == ()
    found = [problem for problem in parsed.warnings if part in problem.message]
    assert [problem.line for problem in found] == [line]
    assert found[0].suggestion
    assert found[0].column >= 1


SILENT = [
    GOOD,
    GOOD.replace("direct", "nat").replace("keepalive", "nat_router = 10.0.0.254 eth1:1\nkeepalive"),
    farm("quiesce_server = 1\nload_monitor = none\nclient_monitor = /usr/sbin/nanny\n"),
    farm("timeout = 6\nreentry = 6\n"),
    farm('send = "QUIT\\r\\n"\nexpect = "*"\n'),
    farm('use_regex = 1\nexpect = "[[:digit:]]+ OK|[.]"\n'),
    farm('use_regex = 1\nexpect = "\\\\\\\\."\n'),
    farm('send_program = "/bin/check %h %p"\nexpect = "OK"\n'),
    farm('protocol = udp\nport = 53\nsend = "x"\nexpect = "*"\n'),
    farm(servers=server(RIP + "port = 8080\n")),
    farm(servers=server("address = 127.0.0.1\n")),
    farm(servers=server(RIP) + server(RIP + "port = 81\n", "web2")),
    farm(servers=server("address = 2001:db8::1\nforward = tunnel\n")),
    farm() + farm("protocol = udp\nsend = x\nexpect = y\n").replace("farm", "other"),
    farm() + OTHER.replace("active = 1", "active = 0"),
    farm("scheduler = rr\n", servers=server(RIP) + server("address = 10.0.0.12\nweight = 0\n", "web2")),
    farm('port = 3306\nexpect = ""\n'),
    "network = tunnel\n" + farm(address="2001:db8::100 eth0"),
    "mark 5 {\naddress = 10.0.0.100\nprotocol = tcp\nport = [ 80 443 ]\n}\n" + MARKED + farm("port = 81\n"),
    "mark 5 {\naddress = 10.0.0.9\nport = 80\n}\nmark 5 {\naddress = 10.0.0.0/24\n}\n" + MARKED,
    "mark 5 {\naddress = 10.0.0.9\nport = 80\n}\nmark 6 {\naddress = 10.0.0.0/24\n}\n"
    + MARKED
    + farm("fwmark = 6\n", address="10.0.1.1 eth0"),
    "mark 5 {\naddress = ::/0\n}\n"
    + MARKED.replace("address = 10.0.0.100 eth0:1\n", "").replace("10.0.0.11", "2001:db8::1"),
    farm("port = 0\npersistent = 300\npmask = 24\n", servers=server(RIP + "port = 80\n")),
    farm("scheduler = mh\nscheduler_flags = [ mh-port mh-fallback flag-3 ]\n"),
    farm(servers=server(RIP + "upper_threshold = 100\nlower_threshold = 80\n")),
    farm(servers=server(RIP + "forward = tunnel\ntunnel = gue\ntunnel_port = 6080\ntunnel_checksum = remcsum\n")),
]


@pytest.mark.parametrize("text", SILENT)
def test_a_good_file_is_not_commented(text: str) -> None:
    assert check_text(text, names=NAMES).problems == ()


def test_warnings_never_refuse_and_rules_need_no_text() -> None:
    parsed = check_text("keepalive = 30\ndeadtime = 18\n" + farm(), names=NAMES)
    assert parsed.is_usable
    found = warnings(parsed.configuration, parsed.places, file="x")
    assert found
    assert {(problem.severity, problem.file) for problem in found} == {(Severity.WARNING, "x")}


def test_what_follows_from_an_error_is_not_repeated() -> None:
    text = "virtual farm {\nactive = 1\naddress = eth0:0\nserver a {\nactive = 1\naddress =\n}\n}\n"
    parsed = check_text(text, names=NAMES)
    assert [problem.line for problem in parsed.problems] == [3, 6]
    assert check(parsed) == ()


def test_problems_come_in_the_order_of_the_text() -> None:
    parsed = check_text("keepalive = 30\nnonsense = 1\nvirtual farm {\n}\n", names=NAMES)
    lines = [problem.line for problem in parsed.problems]
    assert lines == sorted(lines)
    assert len(set(lines)) > 2


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (r"GET / HTTP/1.0\r\n\r\n", ()),
        (r"""\\ \r \n \t \' \" """, ()),
        (r"a\.b\.c\d", (r"\.", r"\d")),
        ("\\", ()),
        ("ab\\", ("\\",)),
        (r"\\.", ()),
        (r"\x41\0", (r"\x", r"\0")),
        ("", ()),
    ],
)
def test_unknown_escapes(text: str, unknown: tuple[str, ...]) -> None:
    assert unknown_escapes(text) == unknown
