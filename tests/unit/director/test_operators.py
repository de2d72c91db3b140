"""The operators' desk: words about servers, their file, their end by time and by draining."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError, UsageError
from piranha.dataplane.memory import MemoryPlane
from piranha.director.layout import Layout, lay_out
from piranha.director.operators import OperatorDesk
from piranha.director.overridefile import OverrideFile, document_of, overrides_of
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, VirtualServer
from piranha.model.override import Act, Override, Overrides
from piranha.model.service import Destination, DestinationStatus, ServiceStatus

WEB1, WEB2 = ip_address("10.0.0.11"), ip_address("10.0.0.12")


def farm(name: str = "HTTP", port: int = 80, **rest: object) -> VirtualServer:
    servers = (
        RealServer(name="web1", address=WEB1, active=True, weight=3),
        RealServer(name="web2", address=WEB2, active=True),
    )
    address = DeviceAddress(address=ip_address("10.0.0.100"), device="eth0:1")
    return VirtualServer(name=name, active=True, address=address, port=port, servers=servers, **rest)  # type: ignore[arg-type]


def layout_of(*virtuals: VirtualServer) -> Layout:
    return lay_out(Configuration(virtuals=virtuals or (farm(),)), MemoryPlane().capabilities)


def table(layout: Layout, weight: int, connections: int) -> list[ServiceStatus]:
    """The first member of every service, as the plane has it."""
    found = []
    for service in layout.services:
        fit = service.members[0].fit
        destination = Destination(key=fit.key, method=fit.method, weight=weight)
        status = DestinationStatus(destination=destination, active_connections=connections)
        found.append(ServiceStatus(service=service.service, destinations=(status,)))
    return found


class Desk:
    """A desk on a file, with a wall clock that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall = 1_000_000.0
        self.news: list[tuple[str, str, str]] = []
        self.desk = self.open()

    def open(self) -> OperatorDesk:
        return OperatorDesk(OverrideFile(self.path), wall=lambda: self.wall, tell=lambda *news: self.news.append(news))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "state" / "servers.json")


def test_a_word_outlives_a_restart_with_who_when_and_why(desk: Desk) -> None:
    layout = layout_of()
    desk.desk.take(layout, "web1", Act.DISABLE, who="root", why="new disk", duration_s=60)
    (word,) = desk.open().overrides.entries
    assert (word.act, word.server, word.service) == (Act.DISABLE, WEB1, "")
    assert (word.who, word.why, word.at, word.until) == ("root", "new disk", 1_000_000.0, 1_000_060.0)
    assert desk.news == [("10.0.0.11 in every service", "disabled: new disk", "root")]
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_what_is_over_is_as_if_it_had_never_been(desk: Desk) -> None:
    layout = layout_of()
    desk.desk.take(layout, "10.0.0.11", Act.WEIGHT, weight=9, duration_s=60)
    desk.wall += 59
    assert not desk.desk.look(layout, ())
    desk.wall += 1
    assert desk.desk.look(layout, ())
    assert not desk.desk.overrides
    assert not desk.open().overrides


def test_a_drain_ends_when_the_connections_have(desk: Desk) -> None:
    layout = layout_of()
    desk.desk.take(layout, "web1", Act.DRAIN)
    assert not desk.desk.look(layout, table(layout, weight=3, connections=0)), "the table has not followed yet"
    assert not desk.desk.look(layout, table(layout, weight=0, connections=2))
    assert desk.desk.look(layout, table(layout, weight=0, connections=0))
    assert desk.desk.overrides.of("x", WEB1).admission == desk.open().overrides.of("x", WEB1).admission
    assert desk.desk.overrides.entries[0].drained
    desk.desk.take(layout, "web1", Act.ENABLE)
    assert not desk.desk.overrides


def test_a_drain_ends_at_its_deadline_which_may_be_the_files(desk: Desk) -> None:
    layout = layout_of(farm(drain_timeout_s=600), farm("OTHER", 81, drain_timeout_s=60))
    desk.desk.take(layout, "web1", Act.DRAIN)
    desk.desk.take(layout, "web2", Act.DRAIN, service="OTHER")
    assert [word.until for word in desk.desk.overrides.entries] == [1_000_600.0, 1_000_060.0]
    desk.wall += 600
    desk.desk.look(layout, table(layout, weight=0, connections=5))
    assert all(word.drained for word in desk.desk.overrides.entries)
    assert (
        "10.0.0.11 in every service",
        "taken out at the end of its drain, with 10 connections left",
        "",
    ) in desk.news


def test_names_that_are_none_or_several(desk: Desk) -> None:
    layout = layout_of(farm(), farm("OTHER", 81))
    with pytest.raises(UsageError, match=r"no active real server is named web9.*web1, web2"):
        desk.desk.take(layout, "web9", Act.DISABLE)
    with pytest.raises(UsageError, match="no active virtual server is named X"):
        desk.desk.take(layout, "web1", Act.DISABLE, service="X")
    desk.desk.take(layout, "web1", Act.DISABLE, service="tcp 10.0.0.100:81")
    assert desk.desk.overrides.of("tcp 10.0.0.100:81", WEB1)
    assert not desk.desk.overrides.of("tcp 10.0.0.100:80", WEB1)
    with pytest.raises(UsageError, match="no active real server"):
        desk.desk.take(Layout(), "web1", Act.DISABLE)
    desk.desk.take(Layout(), "10.0.0.11", None)
    assert not desk.desk.overrides, "what was said of a server that is gone can be taken back"


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = OperatorDesk(OverrideFile(tmp_path / "file" / "servers.json"))
    with pytest.raises(PiranhaError, match=r"cannot (read|write)"):
        desk.take(layout_of(), "web1", Act.DISABLE)
    assert not desk.overrides


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format":1,"digest":"","entries":[]}', '{"format":2,"entries":[]}', "[" * 100_000]
)
def test_a_document_that_is_none_is_put_aside_and_told(desk: Desk, text: str) -> None:
    desk.path.parent.mkdir()
    desk.path.write_text(text)
    fresh = desk.open()
    assert not fresh.overrides
    assert "cannot be understood" in fresh.trouble
    assert desk.path.with_name("servers.json.unreadable").read_text() == text
    fresh.take(layout_of(), "web1", Act.DISABLE)
    assert (fresh.trouble, bool(desk.open().overrides)) == ("", True)


ENTRIES = st.builds(
    Override,
    act=st.sampled_from(Act),
    server=st.sampled_from((WEB1, WEB2, ip_address("2001:db8::1"))),
    service=st.sampled_from(("", "tcp 10.0.0.100:80", "fwmark 5 ipv6")),
    weight=st.integers(0, 2**31 - 1),
    who=st.text(max_size=5),
    why=st.text(max_size=5),
    at=st.floats(0, 2e9),
    until=st.none() | st.floats(0, 2e9),
    drained=st.booleans(),
)


@given(st.lists(ENTRIES, max_size=8))
def test_the_document_comes_back_as_it_was(entries: list[Override]) -> None:
    overrides = Overrides(tuple(entries))
    document = json.loads(json.dumps(document_of(overrides)))
    assert overrides_of(document) == overrides
    if entries:
        document["entries"][0]["weight"] += 1
        with pytest.raises(PiranhaError, match="digest"):
            overrides_of(document)


@given(st.lists(ENTRIES, max_size=12))
def test_of_a_kind_and_place_the_last_word_counts(entries: list[Override]) -> None:
    overrides = Overrides()
    for entry in entries:
        overrides = overrides.with_entry(entry)
        service = entry.service or "tcp 10.9.9.9:1"
        got = getattr(overrides.of(service, entry.server), entry.act.kind)
        assert got is entry or (got is None and entry.act is Act.ENABLE)
    places = [entry.place for entry in overrides.entries]
    assert len(places) == len(set(places))
