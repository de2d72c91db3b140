"""The rules of the language, one by one (original: piranha 0.8.6)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.config.names import FixedNames
from piranha.config.parser import MAX_BYTES, MAX_LINES, Parsed, parse
from piranha.config.problem import MAX_PROBLEMS, Kind, Severity
from piranha.model.configuration import Configuration, DeviceAddress, ServiceMode
from piranha.model.configuration import SchedulerFlagWord as Flag
from piranha.model.service import ForwardingMethod, Protocol

NAMES = FixedNames(hosts={"lb1": "192.0.2.1", "six": "2001:db8::1"}, ports={"http": 80, "domain": 53})


def read(text: str, *, strict: bool = False) -> Parsed:
    return parse(text, strict=strict, names=NAMES)


def in_virtual(lines: str) -> str:
    return f"virtual farm {{\n{lines}}}\n"


def in_server(lines: str) -> str:
    return in_virtual(f"server web1 {{\n{lines}}}\n")


def kinds(parsed: Parsed) -> list[Kind | None]:
    return [problem.kind for problem in parsed.errors]


ADDED_TO_THE_LANGUAGE = ("2001:db8", "six", "250ms", "2m", "6.5", "sed", "none", "sctp", "rise", "dataplane", "mark")
STRICT_TABLE = [
    # text, the original's verdict (None: accepted), whether the tolerant mode accepts it
    ("serial_no = 1\n", None, True),
    ("  \tserial_no \t= \t1  \n", None, True),
    ("serial_no = 1", None, True),
    ("\n \t\n# only a comment\n", None, True),
    ("", Kind.EMPTY, False),
    ("\n", None, True),
    ("port = 80\n", Kind.UNKNOWN_COMMAND, False),
    ("PRIMARY = 192.0.2.1\n", Kind.UNKNOWN_COMMAND, False),
    ("keepalive=6\n", Kind.UNKNOWN_COMMAND, True),
    ("keepalive= 6\n", Kind.UNKNOWN_COMMAND, True),
    ("keepalive =6\n", Kind.EQUAL_EXPECTED, True),
    ("keepalive 6\n", Kind.EQUAL_EXPECTED, False),
    ("keepalive\n", Kind.MISSING_ARGUMENTS, False),
    ("backup =\n", Kind.MISSING_ARGUMENTS, False),
    ("keepalive = 6 7\n", Kind.UNEXPECTED_ARGUMENTS, False),
    ("keepalive = 6 # why\n", Kind.UNEXPECTED_ARGUMENTS, True),
    ("keepalive = # 6\n", Kind.UNEXPECTED_ARGUMENTS, False),
    ("keepalive = 6;\n", Kind.INTEGER_EXPECTED, False),
    ("debug_level = #\n", None, True),
    ("debug_level = a#b\n", None, True),
    ('keepalive = "6"\n', None, True),
    ("keepalive = '6'\n", None, True),
    ('keepalive = "6" \n', Kind.QUOTATION, True),
    ('active_cmd = "a b" \n', None, True),
    ('active_cmd = "a b\n', Kind.QUOTATION, False),
    ("active_cmd = 'a b\"\n", Kind.QUOTATION, False),
    ('active_cmd = "a" "b"\n', Kind.UNEXPECTED_ARGUMENTS, False),
    (in_virtual('send = "a \n'), Kind.MISSING_ARGUMENTS, False),
    (in_virtual('send = "a" \n'), Kind.MISSING_ARGUMENTS, True),
    (in_server('weight = "1\n'), Kind.MISSING_ARGUMENTS, False),
    ("virtual farm {\n}\n", None, True),
    ('virtual "my farm" {\n}\n', None, True),
    ('virtual "farm" {\n}\n', None, True),
    ("virtual = {\n}\n", None, True),
    ("virtual { {\n}\n", None, True),
    ("virtual farm {\n} anything at all\n", None, True),
    ("virtual farm {\n}# end\n", Kind.UNKNOWN_COMMAND, True),
    ("virtual farm {\n", None, True),
    ("virtual farm {\nserver a {\n", None, True),
    ("virtual farm {\n}\nvirtual farm {\n}\n", None, True),
    ("virtual farm{\n}\n", Kind.MISSING_ARGUMENTS, True),
    ("virtual {\n}\n", Kind.MISSING_ARGUMENTS, False),
    ("virtual{\n}\n", Kind.MISSING_ARGUMENTS, False),
    ("virtual farm\n{\n}\n", Kind.MISSING_ARGUMENTS, False),
    ("virtual\n}\n", Kind.MISSING_ARGUMENTS, False),
    ("virtual farm { # why\n}\n", Kind.UNEXPECTED_ARGUMENTS, True),
    ("virtual my farm {\n}\n", Kind.UNEXPECTED_ARGUMENTS, False),
    ("virtual farm { active = 1 }\n", Kind.UNEXPECTED_ARGUMENTS, False),
    ("}\n", Kind.UNKNOWN_COMMAND, False),
    ("{\n", Kind.UNKNOWN_COMMAND, False),
    ("server web1 {\n}\n", Kind.UNKNOWN_COMMAND, False),
    (in_virtual("virtual inner {\n}\n"), Kind.UNKNOWN_COMMAND, False),
    (in_server("server inner {\n}\n"), Kind.UNKNOWN_COMMAND, False),
    ("keepalive = 0x1f\n", None, True),
    ("keepalive = 010\n", None, True),
    ("keepalive = +6\n", None, True),
    ("keepalive = 08\n", Kind.INTEGER_EXPECTED, False),
    ("keepalive = 6.5\n", Kind.INTEGER_EXPECTED, True),
    ("keepalive = 250ms\n", Kind.INTEGER_EXPECTED, True),
    ("keepalive = 2m\n", Kind.INTEGER_EXPECTED, True),
    ("keepalive = soon\n", Kind.INTEGER_EXPECTED, False),
    ("keepalive = -5\n", None, False),
    ('keepalive = ""\n', None, False),
    ("syncd_id = 999\n", None, False),
    ("serial_no = 2013042401\n", None, True),
    ("heartbeat = 1\n", None, True),
    ("heartbeat = yes\n", Kind.INTEGER_EXPECTED, False),
    ("heartbeat = 2\n", Kind.BOOLEAN_EXPECTED, False),
    ("heartbeat = -1\n", Kind.BOOLEAN_EXPECTED, False),
    ("monitor_links = 3\n", None, True),
    ("heartbeat_port = http\n", None, True),
    ("heartbeat_port = 80x\n", Kind.INVALID_ARGUMENT, False),
    ("heartbeat_port = 70000\n", None, False),
    ("heartbeat_port = 0\n", None, False),
    (in_virtual("port = domain\nprotocol = udp\n"), None, True),
    (in_virtual("port = nonsense\n"), Kind.INVALID_ARGUMENT, False),
    (in_virtual("port = -1\n"), None, False),
    (in_server("port = http\n"), Kind.INTEGER_EXPECTED, True),
    (in_server("port = 80x\n"), Kind.INTEGER_EXPECTED, False),
    (in_server("weight = -1\n"), None, False),
    (in_server("address = 10.0.0.1 eth0\n"), Kind.UNEXPECTED_ARGUMENTS, False),
    (in_server("nmask = 255.0.0.0\n"), Kind.UNKNOWN_COMMAND, False),
    ("primary = lb1\n", None, True),
    ("primary = 10.1\n", None, True),
    ("primary = nowhere\n", Kind.INVALID_ARGUMENT, False),
    ("primary = 10.0.0.300\n", Kind.INVALID_ARGUMENT, False),
    ("primary = 0.0.0.0\n", Kind.INVALID_HOST, False),
    ("primary_private = 0.0.0.0\n", Kind.INVALID_HOST, False),
    ("backup = 0.0.0.0\n", None, True),
    ("primary = 2001:db8::1\n", Kind.INVALID_ARGUMENT, True),
    ("primary = [2001:db8::1]\n", Kind.INVALID_ARGUMENT, True),
    ("primary = six\n", Kind.INVALID_ARGUMENT, True),
    ("primary = 10.0.0.1/24\n", Kind.INVALID_ARGUMENT, False),
    (in_virtual("sorry_server = lb1\n"), Kind.INVALID_HOST, False),
    (in_virtual("address = 10.0.0.1 eth0:1\n"), None, True),
    (in_virtual("address = 10.0.0.1\n"), Kind.MISSING_ARGUMENTS, False),
    (in_virtual("address = eth0:1\n"), Kind.MISSING_ARGUMENTS, False),
    (in_virtual("address = 10.0.0.1 eth0:1 x\n"), Kind.UNEXPECTED_ARGUMENTS, False),
    (in_virtual("address = 10.0.0.1 eth0:1 # vip\n"), Kind.UNEXPECTED_ARGUMENTS, True),
    (in_virtual("address = 2001:db8::1 eth0:1\n"), Kind.INVALID_HOST, True),
    (in_virtual("address = lb1 eth0:1\n"), Kind.INVALID_HOST, False),
    (in_virtual("vip_nmask = wide\n"), Kind.BAD_MASK, False),
    (in_virtual("vip_nmask = /24\n"), Kind.BAD_MASK, False),
    (in_virtual("pmask = nonsense\n"), None, True),
    (in_virtual("dirs = [ /a /b ]\n"), None, True),
    (in_virtual("dirs = [ ]\n"), None, True),
    (in_virtual("dirs = [/a /b]\n"), Kind.LIST_EXPECTED, True),
    (in_virtual("dirs = /a\n"), Kind.LIST_EXPECTED, False),
    (in_virtual("dirs = [ /a /b ] # why\n"), Kind.UNEXPECTED_ARGUMENTS, True),
    (in_virtual("scheduler = sh\n"), None, True),
    (in_virtual("scheduler = sed\n"), Kind.INVALID_ARGUMENT, True),
    (in_virtual("scheduler = pcc\n"), Kind.INVALID_ARGUMENT, False),
    (in_virtual("scheduler = RR\n"), Kind.INVALID_ARGUMENT, False),
    (in_virtual("protocol = sctp\n"), Kind.INVALID_ARGUMENT, True),
    (in_virtual("protocol = icmp\n"), Kind.INVALID_ARGUMENT, False),
    (in_virtual("scheduler = none\n"), Kind.INVALID_ARGUMENT, True),
    ("mark 5 {\naddress = 10.0.0.100\n}\n", Kind.UNKNOWN_COMMAND, True),
    (in_virtual("send_program = /bin/check %h\n"), Kind.UNEXPECTED_ARGUMENTS, False),
    (in_virtual("expect_program = /bin/check\n"), Kind.UNKNOWN_COMMAND, False),
    (in_virtual("deadtime = 6\n"), Kind.UNKNOWN_COMMAND, False),
    (in_virtual("heartbeat = 1\n"), Kind.UNKNOWN_COMMAND, False),
    (in_virtual("rise = 2\n"), Kind.UNKNOWN_COMMAND, True),
    ("network = gate\n", Kind.INVALID_ARGUMENT, False),
    ("service = http\n", Kind.INVALID_ARGUMENT, False),
    ("reservation_conflict_action = preempt\n", None, True),
    ("dataplane = ebpf\n", Kind.UNKNOWN_COMMAND, True),
    ("dataplane = kernel\n", Kind.UNKNOWN_COMMAND, False),
    ("\ufeffserial_no = 1\n", Kind.UNKNOWN_COMMAND, True),
    ("serial_no = 1\rservice = lvs\r", None, True),
    ("serial_no = 1\nservice = lvs\rsync = 0\n", Kind.UNEXPECTED_ARGUMENTS, True),
    ("debug_level = größe\n", None, True),
    ("serial_no = 1 \x00\n", Kind.INVALID_ARGUMENT, False),
    (f"active_cmd = {'a ' * 97}\n", Kind.UNEXPECTED_ARGUMENTS, False),
    (f"# {'a ' * 200}\n", None, True),
    (f"}} {'a ' * 200}\n", Kind.UNKNOWN_COMMAND, False),
]


@pytest.mark.parametrize(("text", "verdict", "is_tolerated"), STRICT_TABLE)
def test_strict_is_the_original_and_tolerant_is_wider(text: str, verdict: Kind | None, is_tolerated: bool) -> None:
    strict = read(text, strict=True)
    assert (kinds(strict) or [None])[0] is verdict
    if verdict is not None:
        assert strict.errors[0].message.startswith(f"{verdict}: ")
    tolerant = read(text)
    assert tolerant.is_usable is is_tolerated
    is_ours = any(word in text for word in ADDED_TO_THE_LANGUAGE)
    if verdict is not None and is_tolerated and not is_ours:
        assert tolerant.warnings, "an odd form is never accepted without a word"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("serial_no = 40\n", "serial_no", 40),
        ("service = fos\n", "service", ServiceMode.FOS),
        ("primary = 192.0.2.7\n", "primary", ip_address("192.0.2.7")),
        ("primary = lb1\n", "primary", ip_address("192.0.2.1")),
        ("primary = 192.0.2.7 # left\n", "primary", ip_address("192.0.2.7")),
        ("primary = 10.1\n", "primary", ip_address("10.0.0.1")),
        ("primary = [2001:db8::7]\n", "primary", ip_address("2001:db8::7")),
        ("heartbeat_port = http\n", "heartbeat_port", 80),
        ("keepalive = 0x1f\n", "keepalive_s", 31),
        ("keepalive = 010\n", "keepalive_s", 8),
        ("keepalive = 250ms\n", "keepalive_s", 0.25),
        ("keepalive = 1.5m\n", "keepalive_s", 90),
        ("network = tunnel\n", "network", ForwardingMethod.TUNNEL),
        (
            "nat_router = 10.0.0.254 eth1:1\n",
            "nat_router",
            DeviceAddress(address=ip_address("10.0.0.254"), device="eth1:1"),
        ),
        ('active_cmd = "/bin/a b"\n', "active_cmd", "/bin/a b"),
        ("active_cmd = '/bin/a b'\n", "active_cmd", "/bin/a b"),
        ('debug_level = ""\n', "debug_level", ""),
        ("hard_shutdown = 0\n", "hard_shutdown", False),
        ("keepalive = 6\nkeepalive = 7\n", "keepalive_s", 7),
        ("interfaces = [ eth0 'eth 1' ]\n", "interfaces", ("eth0", "eth 1")),
        ("interfaces = [eth0 eth1]\n", "interfaces", ("eth0", "eth1")),
        ("interfaces = []\n", "interfaces", ()),
        ("nat_nmask = 0.0.0.0\n", "nat_nmask", None),
    ],
)
def test_global_values(text: str, field: str, value: object) -> None:
    parsed = read(text)
    assert parsed.errors == ()
    assert getattr(parsed.configuration, field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("protocol = udp", "protocol", Protocol.UDP),
        ("port = http", "port", 80),
        ("pmask = 255.255.255.0", "pmask", ip_address("255.255.255.0")),
        ("pmask = 255.255.255.255", "pmask", None),
        ("pmask = nonsense", "pmask", None),
        ("vip_nmask = 0.0.0.0", "vip_nmask", None),
        ('expect = ""', "expect", ""),
        ('expect = "*"', "expect", "*"),
        ("expect = HTTP", "expect", "HTTP"),
        (r'send = "GET / HTTP/1.0\r\n\r\n"', "send", r"GET / HTTP/1.0\r\n\r\n"),
        ('send = "# no comment"', "send", "# no comment"),
        ("expect = #x", "expect", "#x"),
        ("master = 10.0.0.1", "name", "farm"),
        ("fwmark = 80", "fwmark", 80),
        ("interval = 500ms", "interval_s", 0.5),
        ("protocol = sctp", "protocol", Protocol.SCTP),
        ("pmask = 24", "pmask", 24),
        ("pmask = /64", "pmask", 64),
        ("pmask = ffff:ffff::", "pmask", ip_address("ffff:ffff::")),
        ("scheduler = none", "scheduler", "none"),
        ("scheduler_flags = [ mh-port mh-fallback ]", "scheduler_flags", (Flag.MH_PORT, Flag.MH_FALLBACK)),
        ("scheduler_flags = sh-port # why", "scheduler_flags", (Flag.SH_PORT,)),
        ("scheduler_flags = [ ]", "scheduler_flags", ()),
        ("one_packet = 1", "one_packet", True),
        ("persistence_engine = sip", "persistence_engine", "sip"),
    ],
)
def test_virtual_values(line: str, field: str, value: object) -> None:
    for keyword in ("virtual", "failover"):
        parsed = read(f"{keyword} farm {{\n{line}\n}}\n")
        assert parsed.errors == ()
        (virtual,) = parsed.configuration.virtuals or parsed.configuration.failovers
        assert getattr(virtual, field) == value


def test_apostrophes_reach_the_check_only_in_the_original() -> None:
    text = in_virtual("send = 'GET /'\n")
    assert read(text, strict=True).configuration.virtuals[0].send == "'GET /'"
    tolerant = read(text)
    assert tolerant.configuration.virtuals[0].send == "GET /"
    assert "apostrophes" in tolerant.warnings[0].message


def test_a_server_has_the_port_that_the_virtual_has_at_that_place() -> None:
    text = "virtual a {\nserver s {\n}\nport = 81\nserver t {\n}\nserver u {\nport = 90\n}\nport = 82\n}\n"
    for strict in (True, False):
        (virtual,) = read(text, strict=strict).configuration.virtuals
        assert virtual.port == 82
        assert [server.port for server in virtual.servers] == [80, 81, 90]


def test_private_addresses_default_and_are_overwritten_together() -> None:
    def private(text: str) -> tuple[str, str]:
        configuration = read(text).configuration
        return str(configuration.primary_private), str(configuration.backup_private)

    assert private("primary = 1.1.1.1\nbackup = 2.2.2.2\n") == ("1.1.1.1", "2.2.2.2")
    assert private("primary = 1.1.1.1\nbackup = 2.2.2.2\nbackup_private = 3.3.3.3\n") == ("1.1.1.1", "2.2.2.2")
    assert private("primary = 1.1.1.1\nprimary_private = 4.4.4.4\nbackup = 2.2.2.2\n") == ("4.4.4.4", "2.2.2.2")
    assert private("primary_private = 4.4.4.4\nbackup_private = 3.3.3.3\n") == ("4.4.4.4", "3.3.3.3")


def test_without_a_backup_there_is_no_active_backup() -> None:
    assert not read("backup_active = 1\n").configuration.backup_active
    assert not read("backup_active = 1\nbackup = 0.0.0.0\n").configuration.backup_active
    assert read("backup_active = 1\nbackup = 2.2.2.2\n").configuration.backup_active


def test_left_out_means_the_model_s_default() -> None:
    assert read("# nothing\n", strict=True).configuration == Configuration()
    (virtual,) = read(in_server("")).configuration.virtuals
    assert (virtual.active, virtual.servers[0].active, virtual.servers[0].weight) == (False, False, 1)


def test_the_original_reads_the_first_line_of_a_crlf_file() -> None:
    text = "serial_no = 7\r\nnonsense here\r\n}\r\n"
    strict = read(text, strict=True)
    assert strict.is_usable
    assert strict.configuration.serial_no == 7
    assert "reads nothing from here" in strict.warnings[0].message
    assert strict.document.text == text
    tolerant = read(text.replace("nonsense here\r\n}\r\n", "keepalive = 9\r\n"))
    assert (tolerant.is_usable, tolerant.configuration.keepalive_s) == (True, 9)
    assert "carriage return" in tolerant.warnings[0].message


def test_all_problems_come_in_one_run_with_their_places() -> None:
    parsed = read("primry = 1\nkeepalive = x\nvirtual a {\n  scheduler = wcl\n  actve = 1\n}\n}\n")
    assert [(problem.line, problem.column, problem.text) for problem in parsed.errors] == [
        (1, 1, "primry"),
        (2, 13, "x"),
        (4, 15, "wcl"),
        (5, 3, "actve"),
        (7, 1, "}"),
    ]
    assert [problem.suggestion for problem in parsed.errors][:1] == ["did you mean `primary`?"]
    assert parsed.errors[2].suggestion == "did you mean `wlc`?"
    assert parsed.errors[3].suggestion == "did you mean `active`?"


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("weight = 1\n", "it is a directive of a `server` block"),
        (in_virtual("keepalive = 1\n"), "it is a global directive: move it out of the block"),
        ("Primary = 1.1.1.1\n", "did you mean `primary`?"),
        ("virtul a {\n", "did you mean `virtual`?"),
        ("debug = 1\n", "it is called `debug_level`"),
        ("heartbeat = yes\n", "write `heartbeat = 1`"),
        ("network = masq\n", "did you mean `nat`?"),
        (in_virtual("scheduler = pcc\n"), "did you mean `lc`?"),
        (in_virtual("address = eth0:0\n"), "write `address = 192.0.2.100 eth0:0`"),
        (in_virtual("address = 10.0.0.5\n"), "write `address = 10.0.0.5 eth0:0`"),
        (in_virtual("send_program = /bin/x %h\n"), 'quote a text that contains blanks: `send_program = "/bin/x %h"`'),
        ("virtual my farm {\n}\n", 'a name is one word; quote it: `virtual "my farm" {`'),
        ("interfaces = eth0\n", "write `interfaces = [ eth0 ]`"),
    ],
)
def test_every_problem_has_a_mend(text: str, suggestion: str) -> None:
    assert read(text).errors[0].suggestion == suggestion


def test_an_unclosed_block_does_not_swallow_the_next() -> None:
    parsed = read("virtual a {\n server s {\n  weight = 1\nvirtual b {\n active = 1\n}\n")
    assert [virtual.name for virtual in parsed.configuration.virtuals] == ["a", "b"]
    assert parsed.configuration.virtuals[1].active
    assert [problem.line for problem in parsed.errors] == [4, 4]


def test_bounds() -> None:
    for text in ("x" * (MAX_BYTES + 1), "\n" * (MAX_LINES + 1)):
        parsed = read(text)
        assert len(parsed.problems) == 1
        assert not parsed.is_usable
        assert parsed.document.lines == ()
    parsed = read("nonsense\n" * (MAX_PROBLEMS + 5))
    assert len(parsed.problems) == MAX_PROBLEMS + 1
    assert parsed.problems[-1].message == "5 more problems are not listed"
    assert parsed.problems[-1].severity is Severity.ERROR


def test_a_byte_that_is_not_utf8_is_shown_and_kept() -> None:
    text = b"debug_level = gr\xfcn\n".decode("utf-8", "surrogateescape")
    parsed = read(text)
    assert parsed.is_usable
    assert (parsed.warnings[0].line, parsed.warnings[0].column) == (1, 17)
    assert parsed.document.text == text
