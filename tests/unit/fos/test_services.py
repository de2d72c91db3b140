from __future__ import annotations

import asyncio
import time
from pathlib import Path

from piranha.fos.gateway import default_gateway
from piranha.fos.services import ServiceCommands, start_all, stop_all
from piranha.model.configuration import VirtualServer


def program(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_service_is_stopped_before_it_is_started(tmp_path: Path) -> None:
    record = tmp_path / "record"
    write = program(tmp_path, "write", f'echo "$@" >> {record}; [ "$1" != stop ]')
    services = [
        ServiceCommands.of(VirtualServer(name="one", start_cmd=f'"{write} start one"', stop_cmd=f'"{write} stop one"')),
        ServiceCommands.of(VirtualServer(name="two", start_cmd=f"{write} start $(two)")),
    ]
    assert [one.trouble for one in await start_all(services)] == ["", ""]
    # No shell has seen the words.
    assert record.read_text().splitlines() == ["stop one", "start one", "start $(two)"]
    await stop_all(services)
    assert record.read_text().splitlines()[3:] == ["stop one"]


async def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    services = [
        ServiceCommands(name="fails", start=(program(tmp_path, "fails", "echo no disk; exit 3"),), stop=()),
        ServiceCommands(name="missing", start=("/nonexistent/program",), stop=()),
        ServiceCommands(name="killed", start=(program(tmp_path, "killed", "kill -9 $$"),), stop=()),
    ]
    troubles = [one.trouble for one in await start_all(services)]
    assert troubles[0] == "start_cmd ended with 3: no disk"
    assert "cannot be started: No such file" in troubles[1]
    assert troubles[2] == "start_cmd was ended by signal 9"


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    hangs = program(tmp_path, "hangs", f"sleep 600 & echo $! > {pid_file}; wait")
    (started,) = await start_all([ServiceCommands(name="hangs", start=(hangs,), stop=())], limit_s=1.0)
    assert "longer than 1 s" in started.trouble
    child = int(pid_file.read_text())
    async with asyncio.timeout(10):
        while is_alive(child):  # noqa: ASYNC110 - a stranger process has no event
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_service_that_stays_holds_nobody_up(tmp_path: Path) -> None:
    stays = program(tmp_path, "stays", "sleep 5 & exit 0")
    began_at = time.monotonic()
    (started,) = await start_all([ServiceCommands(name="stays", start=(stays,), stop=())])
    assert started.trouble == ""
    assert time.monotonic() - began_at < 4


def test_the_default_gateway(tmp_path: Path) -> None:
    route4, route6 = tmp_path / "route", tmp_path / "route6"
    assert default_gateway(route4, route6) is None
    route6.write_text(
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
        "fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth1\n"
    )
    found = default_gateway(route4, route6)
    assert found is not None
    assert (str(found[0]), found[1]) == ("fe80::1", "eth1")
    route4.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth2\t00000000\t0101A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    found = default_gateway(route4, route6)
    assert found is not None
    assert (str(found[0]), found[1]) == ("192.0.2.1", "eth0")
