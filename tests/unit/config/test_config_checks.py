"""`check` blocks: where they may stand, what each kind takes, what is wrong and what is only odd, and what is hidden."""

import json

import pytest

from piranha.config.edit import BlockPath, add_check, remove_block, set_value
from piranha.config.formatter import format_text
from piranha.config.names import FixedNames
from piranha.config.parser import Parsed
from piranha.config.plain import as_plain
from piranha.config.semantics import check_text
from piranha.config.syntax import split
from piranha.config.writer import write
from piranha.model.check_block import CheckBlock, CheckKind, ChecksNeeded, StatusRange

TEXT = """\
virtual web {
     active = 1
     address = 192.0.2.100 eth0:0
     checks_needed = any
     check http {
         path = /health
         status = [ 200 300-302 ]
         header = "A: b"
         header = "C: d"
     }
     check icmp {
     }
     server one {
         address = 10.0.0.11
         active = 1
         check smtp {
             port = 25
             password = "hush hush"
             login = me
             starttls = 1
         }
     }
}
"""


def read(text: str) -> Parsed:
    return check_text(text, names=FixedNames())


def inside(block: str) -> Parsed:
    return read(f"virtual web {{\nactive = 1\naddress = 192.0.2.100 eth0:0\n{block}\n}}\n")


def test_blocks_of_virtual_and_real_servers() -> None:
    parsed = read(TEXT)
    assert parsed.problems == ()
    virtual = parsed.configuration.virtuals[0]
    assert virtual.checks_needed is ChecksNeeded.ANY
    assert [check.kind for check in virtual.checks] == [CheckKind.HTTP, CheckKind.ICMP]
    assert virtual.checks[0].status == (StatusRange(200, 200), StatusRange(300, 302))
    assert virtual.checks[0].headers == ("A: b", "C: d")
    assert virtual.servers[0].checks[0].password == "hush hush"


def test_written_and_formatted_it_says_the_same() -> None:
    configuration = read(TEXT).configuration
    assert read(write(configuration)).configuration == configuration
    assert read(write(configuration, with_defaults=True)).configuration == configuration
    assert format_text(TEXT) == TEXT


@pytest.mark.parametrize(
    ("block", "line", "message"),
    [
        ("check htttp {\n}", 4, "there is no check of kind `htttp`: did you mean `http`?"),
        ("check tcp {\npath = /\n}", 5, "a check of kind `tcp` has no `path`: it belongs to file, http, https"),
        ("check program {\n}", 4, "a `program` check needs `command`"),
        ("check radius {\n}", 4, "a `radius` check needs `secret`"),
        ("check http {\npath = health\n}", 5, "`path` takes a path that begins with `/`"),
        ("check http {\nstatus = [ 200 700 ]\n}", 5, "`status` takes statuses from 100 to 599"),
        ("check http {\nstatus = 302-200\n}", 5, "`status` takes statuses from 100 to 599"),
        ("check http {\nheader = nonsense\n}", 5, "`header` takes `Name: value`"),
        ("check http {\ndigest = 123\n}", 5, "`digest` takes 32, 40 or 64 hexadecimal digits"),
        ("check udp {\nexpect_hex = 0g\n}", 5, "`expect_hex` takes pairs of hexadecimal digits or `?`"),
        ("check http {\nserver x {\n}\n}", 5, "`server` stands inside `check http` of line 4"),
    ],
)
def test_errors(block: str, line: int, message: str) -> None:
    found = [str(problem) for problem in inside(block).errors]
    assert any(text.startswith(f"lvs.cf:{line}:") and message in text for text in found), found


def test_a_check_outside_of_a_virtual_server_is_an_error() -> None:
    (problem,) = read("check http {\n}\n").errors
    assert "`check` stands outside of a virtual server" in problem.message
    strict = check_text("virtual v {\ncheck http {\n}\n}\n", strict=True, names=FixedNames())
    assert "unknown block `check`" in strict.errors[0].message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("send = x\ncheck icmp {\n}", "send has no effect beside `check` blocks"),
        ("checks_needed = any\ncheck icmp {\n}", "checks_needed has no effect with fewer than two"),
        ("check imap {\nca = /x\n}", "ca has no effect without TLS"),
        ("check imap {\ntls = 1\nstarttls = 1\n}", "starttls inside TLS"),
        ("check pop3 {\nlogin = a\npassword = b\n}", "the password goes over the wire in the clear"),
        ('check http {\nexpect = "("\nuse_regex = 1\n}', "expect is not a regular expression"),
        ("check http {\nmethod = HEAD\nexpect = x\n}", "a reply to HEAD has no body"),
        ("check mysql {\nquery = x\n}", "query has no effect without login"),
        ("check tcp {\ninterval = 1\ntimeout = 5\n}", "interval is shorter than timeout"),
        ("check none {\npacket_mark = 5\n}", "packet_mark has no effect on a `none` check"),
    ],
)
def test_what_is_odd(block: str, message: str) -> None:
    parsed = inside(block)
    assert parsed.errors == ()
    assert any(message in problem.message for problem in parsed.warnings), parsed.warnings


def test_secrets_are_shown_nowhere() -> None:
    plain = as_plain(read(TEXT).configuration)
    assert "hush" not in json.dumps(plain)
    assert '"password": "(hidden)"' in json.dumps(plain)
    for wrong in ("password = hush hush", "password hush", 'password = "hush'):
        problems = inside(f"check imap {{\nlogin = me\n{wrong}\n}}").problems
        assert problems
        assert not any("hush" in f"{problem}{problem.text}" for problem in problems)


def test_edits_leave_the_rest_alone() -> None:
    document = split(TEXT)
    path = BlockPath("virtual", 0, check=0)
    assert '         path = "/a b"\n' not in TEXT
    changed = set_value(document, path, "path", "/ready", names=FixedNames())
    assert changed.text == TEXT.replace("/health", "/ready")
    added = set_value(changed, BlockPath("virtual", 0, 0, 0), "helo", "a.b", names=FixedNames())
    assert read(added.text).configuration.virtuals[0].servers[0].checks[0].helo == "a.b"
    assert remove_block(document, BlockPath("virtual", 0, check=1)).text == TEXT.replace(
        "     check icmp {\n     }\n", ""
    )
    more = add_check(document, BlockPath("virtual", 0, 0), CheckBlock(kind=CheckKind.IMAP))
    more = add_check(more, BlockPath("virtual", 0), CheckBlock(kind=CheckKind.DNS, name="x"))
    virtual = read(more.text).configuration.virtuals[0]
    assert [check.kind for check in virtual.checks] == [CheckKind.HTTP, CheckKind.ICMP, CheckKind.DNS]
    assert [check.kind for check in virtual.servers[0].checks] == [CheckKind.SMTP, CheckKind.IMAP]
    assert format_text(more.text) == more.text
