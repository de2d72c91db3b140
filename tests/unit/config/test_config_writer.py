"""What is written is read back as the same."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.config.configuration_strategies import configurations, noisy

from piranha.base.errors import PiranhaError
from piranha.config.names import FixedNames
from piranha.config.parser import parse
from piranha.config.writer import quoted, write
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, VirtualServer

NAMES = FixedNames()


@given(configurations(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_parse_of_write_is_the_same(configuration: Configuration, with_defaults: bool) -> None:
    parsed = parse(write(configuration, with_defaults=with_defaults), names=NAMES)
    assert parsed.errors == ()
    assert parsed.configuration == configuration


@given(configurations(original=True))
@settings(max_examples=100, deadline=None)
def test_the_original_reads_what_uses_its_own_language(configuration: Configuration) -> None:
    parsed = parse(write(configuration), strict=True, names=NAMES)
    assert parsed.problems == ()
    assert parsed.configuration == configuration


@given(configurations(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_comments_blanks_and_line_ends_change_nothing(configuration: Configuration, seed: int) -> None:
    text = noisy(write(configuration), random.Random(seed))
    parsed = parse(text, names=NAMES)
    assert parsed.errors == ()
    assert parsed.configuration == configuration
    assert parsed.document.text == text


def test_a_fresh_file_has_the_gui_order_and_indentation() -> None:
    server = RealServer(name="web1", address=ip_address("10.0.0.11"), active=True)
    virtual = VirtualServer(
        name="farm",
        active=True,
        address=DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:0"),
        send=r"GET / HTTP/1.0\r\n\r\n",
        servers=(server, replace(server, name="web2", port=8080)),
    )
    configuration = Configuration(serial_no=3, primary=ip_address("10.0.0.1"), virtuals=(virtual,))
    assert (
        write(configuration)
        == r"""serial_no = 3
primary = 10.0.0.1
service = lvs
backup_active = 0
heartbeat_port = 539
network = nat
virtual farm {
     active = 1
     address = 10.0.0.100 eth0:0
     port = 80
     send = "GET / HTTP/1.0\r\n\r\n"
     scheduler = wlc
     protocol = tcp
     timeout = 10
     reentry = 180
     server web1 {
         address = 10.0.0.11
         active = 1
         weight = 1
     }
     server web2 {
         address = 10.0.0.11
         active = 1
         port = 8080
         weight = 1
     }
}
"""
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("word", "word"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "hi" now', "'say \"hi\" now'"),
        ("#x", '"#x"'),
        ("{", '"{"'),
        ('a"b', 'a"b'),
        ("it's", "it's"),
        ('"quoted"', "'\"quoted\"'"),
    ],
)
def test_quotes_only_where_needed(text: str, written: str) -> None:
    assert quoted(text) == written


@pytest.mark.parametrize("text", ["two\nlines", "a\rb", "nul\0", "both \" and ' "])
def test_a_text_that_the_language_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(PiranhaError):
        quoted(text)
