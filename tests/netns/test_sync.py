"""Two directors of ours in step: by multicast and by the pair link; connections outlive a director."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.lab import wait_until
from tests.netns.pair import LINK_PORT, Pair, pair_up

PREFIX = f"psy{os.getpid() % 10000}-"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="piranha-sync-") as home, pair_up(PREFIX, Path(home)) as pair:
        pair.start("lb1")
        pair.start("lb2")
        yield pair


def state_at(pair: Pair, director: str, port: int) -> str | None:
    row = pair.connections(director).get(port)
    return None if row is None else row["state"]


def test_a_connection_goes_on_through_the_partner_and_back(pair: Pair) -> None:
    talk = pair.connect()
    server = talk.ask()
    assert state_at(pair, "lb1", talk.port) == "ESTABLISHED"
    wait_until(lambda: state_at(pair, "lb2", talk.port) == "ESTABLISHED", WAIT_S)
    copy = pair.connections("lb2")[talk.port]
    assert copy["destination"] == pair.connections("lb1")[talk.port]["destination"]
    pair.hold_addresses("lb2")
    assert talk.ask() == server
    pair.hold_addresses("lb1")
    assert talk.ask() == server
    talk.end()
    wait_until(lambda: state_at(pair, "lb2", talk.port) == state_at(pair, "lb1", talk.port) != "ESTABLISHED", WAIT_S)


def test_short_connections_are_told_too(pair: Pair) -> None:
    ports = []
    for _ in range(30):
        talk = pair.connect()
        assert talk.ask()
        talk.end()
        ports.append(talk.port)
    wait_until(lambda: set(ports) <= set(pair.connections("lb2")), WAIT_S)
    sync = pair.sync("lb2")
    assert sync["outcomes"].get("made", 0) >= 30
    assert (sync["faults"], sync["foreign"], sync["problems"]) == (0, 0, [])


def test_the_status_shows_both_ends(pair: Pair) -> None:
    first, second = pair.sync("lb1"), pair.sync("lb2")
    assert (first["state"], first["role"], first["daemons"]) == ("in step", "standalone", ["backup", "master"])
    assert first["told_entries"] > 0
    assert second["heard_entries"] > 0
    assert 0 <= first["lag_s"] < 30
    text = pair.command("lb1", "status").stdout
    assert "sync           in step (standalone, backup and master), by multicast, told " in text


def test_nothing_is_told_back(pair: Pair) -> None:
    talk = pair.connect()
    talk.ask()
    wait_until(lambda: state_at(pair, "lb2", talk.port) == "ESTABLISHED", WAIT_S)
    assert pair.sync("lb1")["outcomes"].get("updated", 0) <= 2, "the two changes of owner in the first test"


def test_ipvsadm_shows_and_stops_the_daemons(pair: Pair) -> None:
    listed = pair.command("lb1", "ipvsadm", "-L", "--daemon").stdout.splitlines()
    assert listed == [
        f"{role} sync daemon (mcast=in0, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
        for role in ("master", "backup")
    ]
    again = pair.command("lb1", "ipvsadm", "--start-daemon", "master", "--mcast-interface", "in0")
    assert "Daemon has already run" in again.stderr
    assert pair.command("lb1", "ipvsadm", "--stop-daemon", "master").returncode == 0
    # lvs.cf says that it runs: it is back within seconds.
    wait_until(lambda: "master" in pair.sync("lb1")["daemons"], WAIT_S)


def test_a_director_that_returns_copies_the_whole_table_first(pair: Pair) -> None:
    for director in ("lb1", "lb2"):
        pair.configure(director, f"syncd_link_port = {LINK_PORT}")
    assert pair.command("lb1", "reload").returncode == 0
    talks = [pair.connect() for _ in range(40)]
    servers = [talk.ask() for talk in talks]
    pair.stop("lb2", forget=True)
    pair.start("lb2")
    wait_until(lambda: pair.sync("lb2")["state"] == "in step", WAIT_S)
    # Entries wait for servers that lb2 has not checked yet.
    wait_until(lambda: {talk.port for talk in talks} <= set(pair.connections("lb2")), WAIT_S)
    (listener,) = pair.sync("lb1")["listeners"]
    assert (listener["peer"], listener["copied"]) == ("10.77.2.2", True)
    assert listener["entries"] >= 40
    new = pair.connect()
    new_server = new.ask()
    wait_until(lambda: state_at(pair, "lb2", new.port) == "ESTABLISHED", WAIT_S)
    pair.hold_addresses("lb2")
    assert [talk.ask() for talk in talks] == servers
    assert new.ask() == new_server
    pair.hold_addresses("lb1")


def test_a_director_whose_partner_is_dead_waits_for_nobody(pair: Pair) -> None:
    pair.stop("lb1", forget=True)
    wait_until(lambda: pair.sync("lb2")["state"] == "alone", WAIT_S)
    pair.start("lb1")
    wait_until(lambda: pair.sync("lb1")["state"] == "in step", WAIT_S)
    wait_until(lambda: pair.sync("lb2")["state"] == "in step", WAIT_S)
    wait_until(lambda: len(pair.connections("lb1")) >= 40, WAIT_S)
