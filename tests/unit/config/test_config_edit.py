"""An edit changes what it is about, and no other byte."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.config.configuration_strategies import TEXTS, configurations, noisy

from piranha.base.errors import PiranhaError
from piranha.config.directives import BY_SCOPE, Scope
from piranha.config.edit import (
    BlockPath,
    add_server,
    add_virtual,
    raise_serial_no,
    remove_block,
    remove_directive,
    rename_block,
    set_value,
)
from piranha.config.names import FixedNames
from piranha.config.parser import parse
from piranha.config.syntax import split
from piranha.config.writer import write
from piranha.model.configuration import Configuration, RealServer, VirtualServer

NAMES = FixedNames(hosts={"lb1": "10.0.0.1"}, ports={"http": 80})
FARM = BlockPath("virtual", 0)
TEXT = """# the front
primary=10.0.0.1   # left one
keepalive = 6\t
virtual farm {
  # who
  active = 1
  address = 10.0.0.100 eth0:0
  send = 'GET /'
  server web1 {
      address = 10.0.0.11
      weight = 1
  }
  quiesce_server = 1
}
"""


def edited(text: str, path: BlockPath | None, name: str, value: object) -> str:
    return set_value(split(text), path, name, value, names=NAMES).text


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines between the common beginning and the common end."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new


@pytest.mark.parametrize(
    ("path", "name", "value", "old", "new"),
    [
        (None, "primary", ip_address("10.0.0.9"), "primary=10.0.0.1   # left one", "primary=10.0.0.9   # left one"),
        (None, "keepalive", 0.5, "keepalive = 6\t", "keepalive = 500ms\t"),
        (FARM, "send", "HEAD /", "  send = 'GET /'", "  send = 'HEAD /'"),
        (FARM, "send", "it's", "  send = 'GET /'", '  send = "it\'s"'),
        (BlockPath("virtual", 0, 0), "weight", 5, "      weight = 1", "      weight = 5"),
        (FARM, "quiesce_server", False, "  quiesce_server = 1", "  quiesce_server = 0"),
    ],
)
def test_a_value_changes_in_its_place(path: BlockPath | None, name: str, value: object, old: str, new: str) -> None:
    assert edited(TEXT, path, name, value) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("path", "name", "value", "after"),
    [
        (None, "serial_no", 1, "# the front\n"),
        (None, "deadtime", 18, "keepalive = 6\t\n"),
        (FARM, "port", 8080, "  address = 10.0.0.100 eth0:0\n"),
        (FARM, "expect", "HTTP", "  send = 'GET /'\n"),
        (BlockPath("virtual", 0, 0), "active", True, "      address = 10.0.0.11\n"),
    ],
)
def test_a_new_directive_stands_where_the_gui_wrote_it(
    path: BlockPath | None, name: str, value: object, after: str
) -> None:
    result = edited(TEXT, path, name, value)
    old, new = changed_lines(TEXT, result)
    assert (old, len(new)) == ([], 1)
    at = result.index(new[0])
    assert result[:at].endswith(after)
    assert new[0].lstrip(" ").startswith(f"{name} = ")
    indent = len(after) - len(after.lstrip(" "))
    assert new[0] == " " * indent + new[0].lstrip(" ")


@pytest.mark.parametrize(
    ("line", "value", "result"),
    [
        ("primary =\n", "10.0.0.1", "primary = 10.0.0.1\n"),
        ("primary = \n", "10.0.0.1", "primary = 10.0.0.1\n"),
        ("primary\n", "10.0.0.1", "primary = 10.0.0.1\n"),
        ("primary 10.0.0.2\n", "10.0.0.1", "primary = 10.0.0.1\n"),
        ('primary = "10.0.0.2"\r\n', "10.0.0.1", 'primary = "10.0.0.1"\r\n'),
        ("primary = lb1\n", "10.0.0.1", "primary = lb1\n"),
        ("primary = 1.1.1.1\nprimary = 2.2.2.2", "10.0.0.1", "primary = 1.1.1.1\nprimary = 10.0.0.1"),
    ],
)
def test_missing_odd_and_named_values(line: str, value: str, result: str) -> None:
    assert edited(line, None, "primary", ip_address(value)) == result


def test_a_file_without_a_line_end_gets_one_only_when_a_line_follows() -> None:
    assert edited("keepalive = 6", None, "keepalive", 7) == "keepalive = 7"
    assert edited("keepalive = 6", None, "deadtime", 7) == "keepalive = 6\ndeadtime = 7\n"
    assert edited("keepalive = 6\r\nnetwork = nat", None, "profile", None) == "keepalive = 6\r\nnetwork = nat"


def test_a_comment_above_the_first_block_stays_with_it() -> None:
    text = "# the farm\nvirtual farm {\n}\n"
    assert edited(text, None, "keepalive", 6) == "keepalive = 6\n# the farm\nvirtual farm {\n}\n"
    assert edited(text, FARM, "active", True) == "# the farm\nvirtual farm {\n     active = 1\n}\n"


def test_every_line_of_a_directive_is_removed() -> None:
    text = "keepalive = 6\n# note\nkeepalive = 7\n"
    assert remove_directive(split(text), None, "keepalive").text == "# note\n"
    assert edited(TEXT, FARM, "send", None) == TEXT.replace("  send = 'GET /'\n", "")


def test_blocks_are_added_in_the_document_s_own_indentation() -> None:
    server = RealServer(name="web2", address=ip_address("10.0.0.12"), active=True)
    document = add_server(split(TEXT), FARM, server)
    block = "  server web2 {\n      address = 10.0.0.12\n      active = 1\n      weight = 1\n  }\n"
    assert document.text == TEXT.replace("  quiesce_server", block + "  quiesce_server")
    document = add_virtual(split(TEXT + "# end\n"), VirtualServer(name="other", active=True, servers=(server,)))
    assert document.text.startswith(TEXT)
    assert document.text.endswith("}\n# end\n")
    assert "  server web2 {\n      address" in document.text


def test_blocks_are_removed_and_renamed() -> None:
    document = remove_block(split(TEXT), BlockPath("virtual", 0, 0))
    removed = "  server web1 {\n      address = 10.0.0.11\n      weight = 1\n  }\n"
    assert document.text == TEXT.replace(removed, "")
    assert remove_block(split(TEXT), FARM).text == TEXT[: TEXT.index("virtual farm")]
    assert rename_block(split(TEXT), FARM, "big farm").text == TEXT.replace("virtual farm {", 'virtual "big farm" {')
    assert rename_block(split("virtual {\n}\n"), FARM, "farm").text == "virtual farm {\n}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("serial_no = 40\n", "serial_no = 41\n"),
        ("serial_no = 0x10 # hex\n", "serial_no = 17 # hex\n"),
        ("# mine\n", "# mine\nserial_no = 1\n"),
        (f"serial_no = {2**63 - 1}\n", "serial_no = 1\n"),
        ("serial_no =\n", "serial_no = 1\n"),
    ],
)
def test_the_serial_number_rises(before: str, after: str) -> None:
    assert raise_serial_no(split(before)).text == after


@pytest.mark.parametrize(
    ("path", "name"), [(None, "weight"), (FARM, "primary"), (BlockPath("virtual", 7), "port"), (None, "nonsense")]
)
def test_a_directive_or_block_that_is_not_there_is_refused(path: BlockPath | None, name: str) -> None:
    with pytest.raises(PiranhaError):
        set_value(split(TEXT), path, name, 1, names=NAMES)


@given(configurations(), configurations(), st.integers(0, 2**32), st.data())
@settings(max_examples=100, deadline=None)
def test_setting_a_value_changes_one_line_and_means_that_value(
    configuration: Configuration, other: Configuration, seed: int, data: st.DataObject
) -> None:
    text = noisy(write(configuration), random.Random(seed))
    directive = data.draw(st.sampled_from([d for d in BY_SCOPE[Scope.GLOBAL].values() if d.field]))
    assert directive.field is not None
    value = getattr(other, directive.field)
    assume(value is not None)
    result = edited(text, None, directive.name, value)
    parsed = parse(result, names=NAMES)
    assert parsed.errors == ()
    old, new = changed_lines(text, result)
    assert len(old) <= 1
    assert len(new) <= (1 if text.endswith("\n") or not text else 2)
    expected = edited(write(configuration), None, directive.name, value)
    assert parsed.configuration == parse(expected, names=NAMES).configuration
    if directive.name not in ("backup", "backup_private", "backup_active"):
        assert getattr(parsed.configuration, directive.field) == value


@given(configurations(), st.integers(0, 2**32), TEXTS, st.integers(1, 65535))
@settings(max_examples=60, deadline=None)
def test_setting_values_of_blocks(configuration: Configuration, seed: int, send: str, weight: int) -> None:
    assume(configuration.virtuals and configuration.virtuals[-1].servers)
    last = len(configuration.virtuals) - 1
    virtual = configuration.virtuals[last]
    text = noisy(write(configuration), random.Random(seed))
    result = edited(text, BlockPath("virtual", last), "send", send)
    result = edited(result, BlockPath("virtual", last, 0), "weight", weight)
    servers = (replace(virtual.servers[0], weight=weight), *virtual.servers[1:])
    expected = replace(virtual, send=send, servers=servers)
    assert parse(result, names=NAMES).configuration == replace(
        configuration, virtuals=(*configuration.virtuals[:last], expected)
    )


@given(configurations(), configurations(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_adding_and_removing_blocks(configuration: Configuration, other: Configuration, seed: int) -> None:
    assume(other.virtuals)
    added = other.virtuals[0]
    text = noisy(write(configuration), random.Random(seed))
    document = add_virtual(split(text), added)
    parsed = parse(document.text, names=NAMES)
    assert parsed.configuration == replace(configuration, virtuals=(*configuration.virtuals, added))
    document = remove_block(document, BlockPath("virtual", len(configuration.virtuals)))
    gained = changed_lines(text, document.text)[1]
    assert "".join(gained).strip("\r\n") in ("", text.rpartition("\n")[2]), "at most line ends are left behind"
