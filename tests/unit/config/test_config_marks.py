"""`mark` blocks: read, written, edited and put in order, without a byte of anything else."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.config.configuration_strategies import MARK_BLOCKS, configurations, noisy

from piranha.base.errors import PiranhaError
from piranha.config.edit import BlockPath, add_mark, remove_block, rename_block, set_value
from piranha.config.formatter import format_text
from piranha.config.names import FixedNames
from piranha.config.parser import Parsed, parse
from piranha.config.problem import Kind
from piranha.config.syntax import split
from piranha.config.writer import write
from piranha.model.configuration import Configuration
from piranha.model.mark import MarkBlock, PortRange
from piranha.model.service import Protocol

NAMES = FixedNames(ports={"http": 80, "http-alt": 8008})
FIRST = BlockPath("mark", 0)
TEXT = """keepalive = 6
mark 0x50 { # the web
  address = 10.0.0.100   # first
  # and the network
  address = 10.0.1.0/24
  protocol = tcp
  port = [ http 443 8000-8010 ]
}
virtual farm {
  fwmark = 80
}
"""


def read(text: str, *, strict: bool = False) -> Parsed:
    return parse(text, strict=strict, names=NAMES)


def in_mark(lines: str) -> str:
    return f"mark 5 {{\n{lines}}}\n"


def test_a_block_says_which_packets() -> None:
    parsed = read(TEXT)
    assert parsed.errors == ()
    assert parsed.configuration.marks == (
        MarkBlock(
            mark=80,
            addresses=(ip_network("10.0.0.100"), ip_network("10.0.1.0/24")),
            protocol=Protocol.TCP,
            ports=(PortRange(80, 80), PortRange(443, 443), PortRange(8000, 8010)),
        ),
    )
    (places,) = parsed.places.marks
    assert (places.header.line, places.of("port").line) == (2, 7)
    assert len(parsed.warnings) == 2, "the two comments behind something"


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("port = 80", [(80, 80)]),
        ("port = http-alt # by name", [(8008, 8008)]),
        ("port = [ 1-65535 ]", [(1, 65535)]),
        ("port = [http 90]", [(80, 80), (90, 90)]),
        ("port = [ ]", []),
        ("protocol = any", []),
    ],
)
def test_ports(line: str, ports: list[tuple[int, int]]) -> None:
    parsed = read(in_mark(f"{line}\n"))
    assert parsed.errors == ()
    assert [(p.first, p.last) for p in parsed.configuration.marks[0].ports] == ports


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (in_mark("port = [ 90-80 ]\n"), 2, "ends before it begins"),
        (in_mark("port = 0\n"), 2, "a port is from 1 to 65535"),
        (in_mark("port = [ 80-65536 ]\n"), 2, "a port is from 1 to 65535"),
        (in_mark("port = [ 80 nonsense ]\n"), 2, "takes numbers, service names"),
        (in_mark("port = 80 443\n"), 2, "takes a list in brackets"),
        (in_mark("address = 10.0.0.0/33\n"), 2, "neither an IP address nor a network"),
        (in_mark("address = 10.0.0.0/0.0.0.255/8\n"), 2, "neither an IP address nor a network"),
        (in_mark("address = www.example.org\n"), 2, "neither an IP address nor a network"),
        (in_mark("protocol = icmp\n"), 2, "`protocol` cannot be `icmp`"),
        (in_mark("weight = 1\n"), 2, "unknown directive `weight`"),
        ("mark 0 {\n}\n", 1, "a mark is a number from 1 to 4294967295"),
        ("mark 4294967296 {\n}\n", 1, "a mark is a number"),
        ("mark web {\n}\n", 1, "a mark is a number"),
        ('mark "" {\n}\n', 1, "a mark is a number"),
        ("mark {\n}\n", 1, "`mark` has no name"),
        ("mark 5 {\nserver web1 {\n}\n", 2, "`server` stands inside `mark 5`"),
        ("virtual a {\nmark 5 {\n}\n", 2, "`mark` stands inside `virtual a`"),
    ],
)
def test_what_no_block_can_say_is_an_error_at_its_line(text: str, line: int, part: str) -> None:
    parsed = read(text)
    assert any(part in error.message and error.line == line for error in parsed.errors), parsed.errors
    assert all(error.suggestion for error in parsed.errors)
    assert len(parsed.places.marks) == len(parsed.configuration.marks)


def test_the_original_did_not_know_marks() -> None:
    parsed = read(TEXT.replace(" # the web", ""), strict=True)
    assert [(error.line, error.kind) for error in parsed.errors] == [(2, Kind.UNKNOWN_COMMAND)]
    assert parsed.configuration.marks == ()
    assert len(parsed.configuration.virtuals) == 1


def edited(name: str, value: object, text: str = TEXT) -> str:
    return set_value(split(text), FIRST, name, value, names=NAMES).text


def test_addresses_change_line_by_line() -> None:
    first, second, third = ip_network("10.0.0.100"), ip_network("10.0.1.0/24"), ip_network("2001:db8::/64")
    assert edited("address", (first, second)) == TEXT
    assert edited("address", (first, third)) == TEXT.replace("10.0.1.0/24", "2001:db8::/64")
    assert edited("address", (third, second)) == TEXT.replace("10.0.0.100 ", "2001:db8::/64 ")
    assert edited("address", (first,)) == TEXT.replace("  address = 10.0.1.0/24\n", "")
    longer = TEXT.replace("10.0.1.0/24\n", "10.0.1.0/24\n  address = 2001:db8::/64\n")
    assert edited("address", (first, second, third)) == longer
    bare = "mark 5 {\n}\n"
    assert edited("address", (first, third), bare) == (
        "mark 5 {\n     address = 10.0.0.100\n     address = 2001:db8::/64\n}\n"
    )
    assert edited("address", None) == TEXT.replace("  address = 10.0.0.100   # first\n", "").replace(
        "  address = 10.0.1.0/24\n", ""
    )


def test_ports_and_the_number_change_in_place() -> None:
    same = read(TEXT).configuration.marks[0].ports
    assert edited("port", same) == TEXT
    assert edited("port", same[1:]) == TEXT.replace("http 443", "443")
    assert edited("port", same, in_mark("port = 80 # web\n")) == in_mark("port = [ 80 443 8000-8010 ] # web\n")
    assert edited("port", same[:1], in_mark('port = "443"\n')) == in_mark("port = [ 80 ]\n")
    assert rename_block(split(TEXT), FIRST, "81").text == TEXT.replace("0x50", "81")
    assert remove_block(split(TEXT), FIRST).text == TEXT[: TEXT.index("mark")] + TEXT[TEXT.index("virtual") :]
    with pytest.raises(PiranhaError):
        set_value(split(TEXT), BlockPath("mark", 1), "protocol", Protocol.UDP)


def test_the_formatter_knows_where_it_is() -> None:
    formatted = format_text(TEXT.replace("[ http", "[http").replace("8010 ]", "8010]"))
    assert formatted == (
        "keepalive = 6\n# the web\nmark 0x50 {\n     # first\n     address = 10.0.0.100\n     # and the network\n"
        "     address = 10.0.1.0/24\n     protocol = tcp\n     port = [ http 443 8000-8010 ]\n}\n"
        "virtual farm {\n     fwmark = 80\n}\n"
    )


@given(configurations(), MARK_BLOCKS, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_adding_a_block_adds_it_and_nothing_else(configuration: Configuration, block: MarkBlock, seed: int) -> None:
    text = noisy(write(configuration), random.Random(seed))
    parsed = read(add_mark(split(text), block).text)
    assert parsed.errors == ()
    assert parsed.configuration == replace(configuration, marks=(*configuration.marks, block))


@given(configurations(), MARK_BLOCKS, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_block_can_be_edited_into_any_other(configuration: Configuration, block: MarkBlock, seed: int) -> None:
    assume(configuration.marks)
    document = split(noisy(write(configuration), random.Random(seed)))
    document = set_value(document, FIRST, "address", block.addresses, names=NAMES)
    document = set_value(document, FIRST, "protocol", block.protocol, names=NAMES)
    document = set_value(document, FIRST, "port", block.ports, names=NAMES)
    document = rename_block(document, FIRST, str(block.mark))
    assert read(document.text).configuration == replace(configuration, marks=(block, *configuration.marks[1:]))
