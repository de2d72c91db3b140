"""Changes asked for as data: a value stays one value, whatever is sent, or the whole request is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.config.configuration_strategies import configurations, noisy

from piranha.config.changes import Act, Change, RefusedChangesError, apply_changes
from piranha.config.names import FixedNames
from piranha.config.parser import parse
from piranha.config.writer import write
from piranha.model.configuration import Configuration

NAMES = FixedNames(hosts={"lb1": "10.0.0.1"}, ports={"http": 80})
TEXT = """\
# the front
keepalive = 6   # left
virtual web {
     active = 1
     # the VIP
     address = 10.0.0.100 eth0:1
     send = "GET /"
     server web1 {
         address = 10.0.0.11
         weight = 1
     }
     server web2 {
         address = 10.0.0.12
     }
}
"""
ANYTHING = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from("\"'#{}[]= \t\r\n\x00\\a1.:/%\u2028\x85"), max_size=12),
    st.sampled_from(
        ("}\nvirtual x {", "a\nprimary = 1.2.3.4", "a } server {", "\ud800", "\udcff", "virtual", "a#b", "")
    ),
)


def changed(text: str, *changes: Change) -> str:
    return apply_changes(text, changes, names=NAMES)


def faults(text: str, *changes: Change) -> list[tuple[str, str]]:
    with pytest.raises(RefusedChangesError) as caught:
        changed(text, *changes)
    return [(fault.pointer, fault.message) for fault in caught.value.faults]


def values(path: tuple[str | int, ...], **given: Any) -> Change:
    return Change(path=path, values=given)


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (values((), keepalive="9"), "keepalive = 6   # left", "keepalive = 9   # left"),
        (values((), keepalive=0.25), "keepalive = 6   # left", "keepalive = 250ms   # left"),
        (values(("virtual", "web", "server", "web1"), weight=5), "weight = 1", "weight = 5"),
        (values(("virtual", 0, "server", 0), weight="5"), "weight = 1", "weight = 5"),
        (values(("virtual", "web"), active=False), "active = 1", "active = 0"),
        (values(("virtual", "web"), address="10.0.0.101 eth1:1"), "10.0.0.100 eth0:1", "10.0.0.101 eth1:1"),
        (values(("virtual", "web"), send=None), '     send = "GET /"\n', ""),
        (Change(path=("virtual", "web"), remove=("send",)), '     send = "GET /"\n', ""),
        (Change(path=("virtual", "web"), act=Act.RENAME, name="big farm"), "virtual web {", 'virtual "big farm" {'),
        (
            Change(path=("virtual", "web", "server", "web2"), act=Act.DELETE),
            "     server web2 {\n         address = 10.0.0.12\n     }\n",
            "",
        ),
    ],
)
def test_a_change_leaves_the_rest_alone(change: Change, old: str, new: str) -> None:
    assert changed(TEXT, change) == TEXT.replace(old, new)


def test_blocks_are_added_with_their_values() -> None:
    text = changed(
        TEXT,
        Change(path=("virtual", "dns"), act=Act.ADD, values={"protocol": "udp", "port": 53, "active": True}),
        Change(path=("virtual", "dns", "server", "a"), act=Act.ADD, values={"address": "10.0.0.7", "weight": 2}),
        Change(path=("mark", 80), act=Act.ADD, values={"address": ["10.0.0.0/24", "10.1.0.0/24"], "port": "80 443"}),
    )
    configuration = parse(text, names=NAMES).configuration
    assert text.startswith(TEXT.rstrip("\n"))
    assert [virtual.name for virtual in configuration.virtuals] == ["web", "dns"]
    assert (configuration.virtuals[1].port, configuration.virtuals[1].servers[0].weight) == (53, 2)
    (mark,) = configuration.marks
    assert (mark.mark, len(mark.addresses), [str(p) for p in mark.ports]) == (80, 2, ["80", "443"])


@pytest.mark.parametrize(
    ("change", "pointer", "message"),
    [
        (values((), keepalve="9"), "/0/set/keepalve", "there is no global directive `keepalve`"),
        (values((), keepalive="soon"), "/0/set/keepalive", "takes a time"),
        (values(("virtual", "wbe"), port=80), "/0/path/1", "no block is named wbe"),
        (values(("virtual", 3), port=80), "/0/path/1", "there is no block 3"),
        (values(("server", "web1"), weight=1), "/0/path", "this names no block"),
        (values(("virtual", "web"), send="a\nb"), "/0/set/send", "no line can hold (U+000A)"),
        (values(("virtual", "web"), send="a \"'"), "/0/set/send", "both kinds of quotes"),
        (values(("virtual", "web"), send={"a": 1}), "/0/set/send", "a value is a text"),
        (values(("virtual", "web"), send="x" * 5000), "/0/set/send", "longer than 4096"),
        (values(("virtual", "web"), **{"a/b~c": 1}), "/0/set/a~1b~0c", "no virtual directive"),
        (Change(path=("virtual", "web"), act=Act.ADD), "/0/path/1", "a block named web already"),
        (Change(path=("virtual", "a\n}"), act=Act.ADD), "/0/path/1", "U+000A"),
        (Change(path=("virtual", " "), act=Act.ADD), "/0/path/1", "needs a name"),
        (Change(path=("mark", "x"), act=Act.ADD), "/0/path/1", "a mark is a number"),
        (Change(path=("mark", 1, "server", "x"), act=Act.ADD), "/0/path/1", "there is no block 1"),
        (Change(act=Act.DELETE), "/0/path", "the file itself cannot be delete"),
        (Change(path=("virtual", "web"), remove=("sned",)), "/0/remove", "no virtual directive `sned`"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(change: Change, pointer: str, message: str) -> None:
    ((found, text),) = faults(TEXT, change)
    assert found == pointer
    assert message in text


def test_all_faults_are_said_at_once() -> None:
    wrong = values((), keepalive="x")
    assert [place for place, _ in faults(TEXT, wrong, values((), deadtime=9), wrong)] == [
        "/0/set/keepalive",
        "/2/set/keepalive",
    ]


def test_blocks_with_one_name_are_told_apart_by_place() -> None:
    text = "virtual a {\n}\nvirtual a {\n}\n"
    assert faults(text, values(("virtual", "a"), port=1)) == [("/0/path/1", "2 blocks are named a")]
    assert parse(changed(text, values(("virtual", 1), port=1))).configuration.virtuals[1].port == 1


def test_an_unclosed_text_takes_no_harm() -> None:
    text = changed("virtual a {", Change(path=("virtual", "b"), act=Act.ADD))
    assert [virtual.name for virtual in parse(text).configuration.virtuals] == ["a", "b"]


def after(text: str, change: Change) -> Configuration | None:
    """What the changed text says; None where the change was refused."""
    try:
        return parse(changed(text, change), names=NAMES).configuration
    except RefusedChangesError:
        return None


@given(
    configurations(),
    st.integers(0, 2**32),
    ANYTHING,
    st.sampled_from(("send", "expect", "send_program", "load_monitor")),
)
@settings(max_examples=150, deadline=None)
@example(Configuration(), 0, '"', "send")
def test_nothing_sent_as_a_text_becomes_anything_else(
    configuration: Configuration, seed: int, sent: str, name: str
) -> None:
    text = noisy(write(configuration), random.Random(seed))
    if not configuration.virtuals:
        return
    result = after(text, values(("virtual", 0), **{name: sent}))
    first = replace(configuration.virtuals[0], **{name: sent})
    assert result in (None, replace(configuration, virtuals=(first, *configuration.virtuals[1:])))


@given(st.integers(0, 2**32), ANYTHING)
@settings(max_examples=150, deadline=None)
def test_nothing_sent_as_a_name_becomes_anything_else(seed: int, sent: str) -> None:
    text = noisy(TEXT, random.Random(seed))
    before = parse(text, names=NAMES).configuration
    (web,) = before.virtuals
    renamed = after(text, Change(path=("virtual", "web"), act=Act.RENAME, name=sent))
    assert renamed in (None, replace(before, virtuals=(replace(web, name=sent),)))
    added = after(text, Change(path=("virtual", "web", "server", sent), act=Act.ADD))
    assert added is None or [server.name for server in added.virtuals[0].servers] == ["web1", "web2", sent]
    assert added is None or added.virtuals[0].servers[:2] == web.servers


@given(
    st.integers(0, 2**32), ANYTHING, st.sampled_from(("keepalive", "primary", "nat_router", "interfaces", "profile"))
)
@settings(max_examples=150, deadline=None)
def test_nothing_sent_for_other_types_becomes_anything_else(seed: int, sent: str, name: str) -> None:
    text = noisy(TEXT, random.Random(seed))
    before = parse(text, names=NAMES).configuration
    result = after(text, values((), **{name: sent}))
    if result is not None:
        field = "keepalive_s" if name == "keepalive" else name
        changed_field = {field: getattr(result, field)}
        if name == "primary":
            changed_field |= {"primary_private": result.primary_private}
        assert result == replace(before, **changed_field)
