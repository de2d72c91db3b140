"""The text that Prometheus reads: its form, its names, and numbers that are those of the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.asking import ask
from tests.unit.director_world import LISTING, World

from piranha.metrics.exposition import Exposition, Kind
from piranha.metrics.families import exposition
from piranha.model.health import Health

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (-?[\d.e+-]+|NaN)\Z', re.ASCII)
LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\[\\n"])*)"')


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample; fails on what is no exposition: an unknown line, a family twice, a sample twice or without a type."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    types: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} twice"
            types[name] = kind
            assert (kind == "counter") == name.endswith("_total"), name
        elif not line.startswith("# HELP "):
            match = SAMPLE.match(line)
            assert match, line
            assert match[1] in types, line
            key = (match[1], frozenset(LABEL.findall(match[2] or "")))
            assert key not in found, line
            found[key] = float(match[3])
    return found


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_the_text_of_a_director(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        world.nanny.say("10.0.0.12", Health.DOWN, "refused")
        await world.until(lambda: len(world.pool()) == 1)
        answer = await ask(world, "GET", "metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(answer.document)
        backend = {
            "local_address": "10.0.0.100",
            "local_port": "80",
            "local_mark": "",
            "proto": "TCP",
            "remote_address": "10.0.0.11",
            "remote_port": "80",
        }
        assert value(found, "node_ipvs_backend_weight", **backend) == 3
        assert value(found, "node_ipvs_connections_total") == 0
        web1 = {"service": "HTTP", "server": "web1", "address": "10.0.0.11", "port": "80"}
        web2 = {"service": "HTTP", "server": "web2", "address": "10.0.0.12", "port": "80"}
        assert [value(found, "piranha_server_up", **server) for server in (web1, web2)] == [1, 0]
        assert value(found, "piranha_service_state", service="HTTP", state="degraded") == 1
        assert value(found, "piranha_service_up", service="HTTP") == 1
        assert value(found, "piranha_director_role", role="standalone") == 1
        assert value(found, "piranha_configuration_serial") == 7


async def test_a_server_without_a_verdict_is_neither_up_nor_down(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        found = samples((await ask(world, "GET", "metrics")).document)
        assert not any(name == "piranha_server_up" for name, _ in found)


async def test_services_of_marks_have_no_address(tmp_path: Path) -> None:
    from piranha.dataplane.memory import MemoryPlane

    text = LISTING.replace("    port = 80\n", "    port = 80\n    fwmark = 255\n")
    async with World(tmp_path, text, MemoryPlane(firewall_marks=True)).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: len(world.pool()) == 1)
        found = samples((await ask(world, "GET", "metrics")).document)
        (labels,) = (dict(labels) for name, labels in found if name == "node_ipvs_backend_weight")
        assert (labels["local_address"], labels["local_mark"], labels["proto"]) == ("", "000000FF", "FWM")


def test_the_pair_s_numbers(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.director.start()
    pair = {
        "links": [
            {"device": "eth0", "theirs": "10.0.0.2", "heard_s": 0.05, "sent": 9, "heard": 8, "rejected": {"replay": 2}},
            {"device": "eth1", "theirs": "10.1.0.2", "heard_s": None, "sent": 9, "heard": 0, "rejected": {}},
        ],
        "lag": {"p50_ms": 0.1, "p99_ms": 1.0, "worst_ms": 20.0},
        "lease": {"enabled": True, "for_ever": False, "left_ms": 250.0, "dropped": 3},
    }
    documents = (world.director.status(), world.director.services(), world.director.figures())
    found = samples(exposition(*documents, pair=pair))
    assert value(found, "piranha_heartbeat_age_seconds", device="eth0", address="10.0.0.2") == 0.05
    assert value(found, "piranha_heartbeats_rejected_total", device="eth0", address="10.0.0.2", reason="replay") == 2
    assert value(found, "piranha_lease_left_seconds") == 0.25
    assert value(found, "piranha_pulse_lag_seconds", quantile="1") == 0.02
    assert samples(exposition(*documents, pair={})), "an older pulse says less"


@given(st.text(), st.sampled_from((0.0, 1, 2.5, 1e30, 2**70, float("nan"))))
def test_no_label_breaks_the_text(label: str, number: float) -> None:
    out = Exposition()
    out.add("piranha_test", Kind.GAUGE, "A test.", [({"name": label}, number)])
    assert len(samples(out.text())) == 1


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    out = Exposition()
    out.add("piranha_test", Kind.GAUGE, "A test.", [({"name": "gr\udcfcn"}, 1)])
    assert 'name="gr?n"' in out.text()


@pytest.mark.parametrize("resource", ["../../metrics", "metrics"])
async def test_it_stands_where_prometheus_looks(tmp_path: Path, resource: str) -> None:
    import http.client
    import socket

    def get(world: World) -> int:
        connection = http.client.HTTPConnection("piranha")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(world.socket))
        connection.request("GET", "/metrics" if ".." in resource else f"/api/v1/{resource}")
        return connection.getresponse().status

    import asyncio

    async with World(tmp_path).running() as world:
        assert await asyncio.to_thread(get, world) == 200
