"""The API over its real socket, asked with the real client."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.unit.director_world import LISTING, World

from piranha.api.server import open_socket
from piranha.base.errors import PiranhaError, UsageError
from piranha.client.http import Client, RefusedError
from piranha.dataplane.port import Connection
from piranha.model.health import Health
from piranha.model.service import Protocol


async def get(world: World, resource: str, query: dict[str, str] | None = None) -> Any:
    return await asyncio.to_thread(Client(world.socket).get, resource, query)


async def raw(world: World, method: str, target: str) -> tuple[int, str, dict[str, Any]]:
    """Status, media type and document of any request."""

    def ask() -> tuple[int, str, dict[str, Any]]:
        connection = http.client.HTTPConnection("piranha")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(world.socket))
        connection.request(method, target)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers["content-type"], json.loads(body)

    return await asyncio.to_thread(ask)


def connection(port: int) -> Connection:
    return Connection(
        protocol=Protocol.TCP,
        client=ip_address("10.0.0.50"),
        client_port=port,
        virtual=ip_address("10.0.0.100"),
        virtual_port=80,
        destination=ip_address("10.0.0.11" if port % 2 else "10.0.0.12"),
        destination_port=80,
        state="ESTABLISHED",
        expires_s=899.96,
    )


async def test_only_root_may_open_the_socket(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        assert stat.S_IMODE(world.socket.stat().st_mode) == 0o600


async def test_a_socket_left_by_a_dead_lvsd_is_replaced(tmp_path: Path) -> None:
    open_socket(tmp_path / "run" / "api.sock").close()
    async with World(tmp_path).running() as world:
        assert (await get(world, "status"))["pid"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["api.sock"]


async def test_status_and_services(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.nanny.say("10.0.0.11", Health.UP)
        await world.until(lambda: len(world.pool()) == 1)
        assert (await get(world, "status"))["summary"]["servers_up"] == 1
        services = (await get(world, "services"))["services"]
        assert [s["health"] for s in services[0]["servers"]] == ["up", "unknown"]


async def test_services_of_a_name_alone(tmp_path: Path) -> None:
    text = LISTING + LISTING[LISTING.index("virtual") :].replace("HTTP", "mail").replace("port = 80", "port = 25")
    async with World(tmp_path, text).running() as world:
        assert [s["name"] for s in (await get(world, "services", {"name": "mail"}))["services"]] == ["mail"]
        assert (await get(world, "services", {"name": "nobody"}))["services"] == []
        assert len((await get(world, "services"))["services"]) == 2
        with pytest.raises(UsageError, match="unknown word nmae"):
            await get(world, "services", {"nmae": "mail"})


async def test_configuration_comes_as_it_was_read(tmp_path: Path) -> None:
    async with World(tmp_path, LISTING + "# caf\xe9\n").running() as world:
        document = await get(world, "configuration")
        assert document["text"] == LISTING + "# caf\xe9\n"
        assert (document["serial_no"], document["in_force"], document["awaits"]) == (7, True, None)
        assert document["values"]["virtuals"][0]["name"] == "HTTP"


async def test_bytes_that_are_no_text_do_not_break_an_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running():
        world.config.write_bytes(b"# \xff\n" + LISTING.encode())
        await asyncio.to_thread(Client(world.socket).post, "reload")
        assert (await get(world, "configuration"))["text"].startswith("# \ufffd\n")


async def test_connections_are_filtered_in_the_plane(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        for port in range(1, 11):
            world.plane.inject_connection(connection(port))
        document = await get(
            world,
            "connections",
            {"server": "10.0.0.11", "limit": "2", "protocol": "tcp", "state": "established", "vip": "10.0.0.100"},
        )
        assert document["total"] == 5
        assert document["connections"][0] == {
            "protocol": "tcp",
            "client": "10.0.0.50",
            "client_port": 1,
            "virtual": "10.0.0.100",
            "virtual_port": 80,
            "destination": "10.0.0.11",
            "destination_port": 80,
            "state": "ESTABLISHED",
            "expires_s": 900.0,
        }
        assert len(document["connections"]) == 2
        assert (await get(world, "connections", {"port": "81"}))["total"] == 0
        assert (await get(world, "connections", {"limit": "0"})) == {"total": 10, "connections": []}


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"client": "nobody"}, "client=nobody is not an address"),
        ({"protocol": "ip"}, "protocol=ip is not tcp, udp or sctp"),
        ({"port": "65536"}, "port=65536 is not a port number"),
        ({"limit": "-1"}, "limit=-1 is not a number"),
        ({"limit": "1" * 400}, "is not a number"),
        ({"color": "red"}, "unknown filter color: filters are protocol, client"),
    ],
)
async def test_a_wrong_filter_is_named(tmp_path: Path, query: dict[str, str], complaint: str) -> None:
    async with World(tmp_path).running() as world:
        with pytest.raises(UsageError, match=complaint):
            await get(world, "connections", query)


async def test_reload_answers_with_its_changes(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.config.write_text(LISTING.replace("scheduler = rr", "scheduler = wlc"))
        document = await asyncio.to_thread(Client(world.socket).post, "reload")
        assert document["accepted"]
        assert document["changes"] == ["edit tcp 10.0.0.100:80 scheduler rr -> wlc"]


async def test_a_bad_file_is_a_problem_document_with_every_finding(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.config.write_text(LISTING.replace("scheduler", "shceduler").replace("port = 80", "port = x y"))
        status, media_type, document = await raw(world, "POST", "/api/v1/reload")
        assert (status, media_type) == (422, "application/problem+json")
        assert document["type"] == "urn:piranha:problem:configuration"
        errors = [p for p in document["problems"] if p["severity"] == "error"]
        assert [p["line"] for p in errors] == [10, 12]
        assert "scheduler" in errors[1]["suggestion"]
        with pytest.raises(RefusedError, match="has 2 errors and is not used"):
            await asyncio.to_thread(Client(world.socket).post, "reload")


async def test_an_unreadable_file_is_a_conflict(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        world.config.unlink()
        status, _, document = await raw(world, "POST", "/api/v1/reload")
        assert status == 409
        assert "cannot read" in document["detail"]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/api/v1/nothing", 404), ("GET", "/api/v1/reload", 405), ("POST", "/api/v1/status", 405)],
)
async def test_wrong_pages_and_methods_are_problem_documents(
    tmp_path: Path, method: str, target: str, status: int
) -> None:
    async with World(tmp_path).running() as world:
        got, media_type, document = await raw(world, method, target)
        assert (got, media_type) == (status, "application/problem+json")
        assert document["status"] == status


async def test_a_crash_tells_no_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with World(tmp_path).running() as world:

        def crash() -> None:
            raise KeyError("secret")

        monkeypatch.setattr(world.plane, "status", crash)
        status, _, document = await raw(world, "GET", "/api/v1/status")
        assert status == 500
        assert "secret" not in json.dumps(document)


async def test_health_says_ok(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:

        def ask() -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(world.socket))
                client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: client.recv(4096), b""))

        answer = await asyncio.to_thread(ask)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"ok\n")


def test_a_socket_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PiranhaError, match="cannot open the API socket"):
        open_socket(tmp_path / "file" / "api.sock")
    with pytest.raises(PiranhaError, match="AF_UNIX path too long"):
        open_socket(tmp_path / ("x" * 120) / "api.sock")


async def test_the_bare_table_and_its_edits(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:

        def work() -> list[Any]:
            client = Client(world.socket)
            edits = [
                {"do": "add service", "service": {"key": [0, "0.0.0.0", 0, 7], "scheduler": "rr"}},
                {"do": "delete service", "key": [0, "0.0.0.0", 0, 8]},
            ]
            answers = [client.post("table", edits)]
            return [*answers, *(client.get(name) for name in ("table", "table/state", "table/connections"))]

        world.plane.inject_connection(connection(1))
        applied, table, state, connections = await asyncio.to_thread(work)
        assert [outcome and outcome["kind"] for outcome in applied["outcomes"]] == [None, "no service"]
        assert [(s["service"]["key"], s.get("foreign")) for s in table["services"]] == [
            ([6, "10.0.0.100", 80, 0], None),
            ([0, "0.0.0.0", 0, 7], True),
        ]
        assert (state["plane"], state["timeouts"], state["daemons"]) == ("memory", [900.0, 120.0, 300.0], [])
        assert connections["total"] == len(connections["connections"]) == 1


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([{"do": "explode"}], "operation 0 is none"),
        ({"do": "clear"}, "a list of operations is needed"),
        (["x" * (5 << 20)], "is longer than"),
    ],
)
async def test_a_wrong_edit_changes_nothing(tmp_path: Path, document: object, complaint: str) -> None:
    async with World(tmp_path).running() as world:
        with pytest.raises(UsageError, match=complaint):
            await asyncio.to_thread(Client(world.socket).post, "table", document)
        status, _, answer = await raw(world, "POST", "/api/v1/table")
        assert (status, answer["detail"]) == (400, "the request is no JSON")
        assert len(world.plane.snapshot()) == 1


async def test_the_machine_is_examined(tmp_path: Path) -> None:
    from dataclasses import replace

    from piranha.api.resources.doctor import DoctorDocument
    from piranha.api.schema import read
    from piranha.daemons.lvsd import _examine

    world = World(tmp_path)
    async with world.running():
        with pytest.raises(RefusedError, match="does not examine"):
            await get(world, "doctor")
    world.context = replace(world.context, examine=_examine)
    async with world.running():
        document = read(DoctorDocument, await get(world, "doctor"))
        assert any(finding["subject"] for finding in document["findings"])
