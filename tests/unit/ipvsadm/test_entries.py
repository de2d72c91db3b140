"""Connection entries: what the kernel and ipvsadm showed, taken apart and written again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from piranha.dataplane.port import Connection
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.ipvsadm.entries import entry_lines
from piranha.ipvsadm.proc import format_ip_vs_conn, format_ip_vs_conn_sync
from piranha.model.address import IPAddress
from piranha.model.service import Protocol
from tests.unit.ipvsadm.recording import Run, recorded_names, recording

GROUPS = ("names", "counters", "sip", "large-counters")
TEMPLATES = ("NONE", "ASSURED")


def endpoint(text: str) -> tuple[IPAddress, int]:
    host, _, port = text.rpartition(":")
    return ip_address(host.strip("[]")), int(port)


def listed(text: str) -> Iterator[Connection]:
    """The entries of a numeric listing with engines."""
    for line in text.splitlines()[2:]:
        protocol, expires, state, client, virtual, destination, *engine = line.split()
        minutes, seconds = expires.split(":")
        yield make(
            protocol,
            (*endpoint(client), *endpoint(virtual), *endpoint(destination)),
            state,
            60 * int(minutes) + int(seconds),
            engine,
        )


def in_proc(text: str) -> Iterator[Connection]:
    """The entries of the kernel's file."""
    for line in text.splitlines()[1:]:
        protocol, client, client_port, virtual, virtual_port, destination, port, state, expires, *engine = line.split()
        ends = (
            *(packed(client), int(client_port, 16), packed(virtual), int(virtual_port, 16)),
            *(packed(destination), int(port, 16)),
        )
        yield make(protocol, ends, state, int(expires), engine)


def packed(text: str) -> IPAddress:
    return IPv6Address(text) if ":" in text else IPv4Address(int(text, 16))


def make(protocol: str, ends: tuple[object, ...], state: str, expires_s: int, engine: list[str]) -> Connection:
    client, client_port, virtual, virtual_port, destination, destination_port = ends
    name, data = engine or ("", "")
    return Connection(
        protocol=Protocol[protocol],
        client=client,  # type: ignore[arg-type]
        client_port=client_port,  # type: ignore[arg-type]
        virtual=virtual,  # type: ignore[arg-type]
        virtual_port=virtual_port,  # type: ignore[arg-type]
        destination=destination,  # type: ignore[arg-type]
        destination_port=destination_port,  # type: ignore[arg-type]
        state=state,
        expires_s=expires_s + 0.9,
        is_template=state in TEMPLATES,
        engine=name,
        engine_data=data,
    )


def outputs(group: str, *lines: str) -> list[str]:
    commands = recording()["groups"][group]["commands"]
    return [next(c["stdout"] for c in commands if c["line"] == line) for line in lines]


@pytest.mark.parametrize("group", ["counters", "sip"])
def test_the_listings_with_and_without_names(group: str) -> None:
    run = Run(names=recorded_names())
    numeric, engines = outputs(group, "-Lnc", "-Lnc --persistent-conn")
    entries = list(listed(engines))
    assert len(entries) > 4
    for entry in entries:
        run.plane.inject_connection(entry)
    assert run.line("-Lnc --persistent-conn")[1] == engines
    assert run.line("-L -c -n")[1] == numeric
    with_names = "-Lc" if group == "counters" else "-Lc --persistent-conn"
    assert [run.line(with_names)[1]] == outputs(group, with_names)


@pytest.mark.parametrize("group", GROUPS)
def test_the_kernels_files(group: str) -> None:
    proc = recording()["groups"][group]["proc"]
    entries = list(in_proc(proc["ip_vs_conn"]))
    assert entries
    assert "".join(format_ip_vs_conn(entries)) == proc["ip_vs_conn"]
    assert "".join(format_ip_vs_conn_sync(entries)) == proc["ip_vs_conn_sync"]
    told = [replace(entry, is_synced=True) for entry in entries]
    assert "".join(format_ip_vs_conn_sync(told)) == proc["ip_vs_conn_sync"].replace(" LOCAL ", " SYNC  ")


@pytest.mark.parametrize(("version", "virtual"), [(4, "0.0.0.5:0"), (6, "[0:5::]:0")])
def test_the_template_of_a_mark_has_the_mark_for_an_address(version: int, virtual: str) -> None:
    client = ip_address("10.0.0.9" if version == 4 else "fd00::9")
    vip = IPv4Address(5) if version == 4 else IPv6Address(5)
    entry = Connection(
        protocol=Protocol.IP,
        client=client,
        client_port=0,
        virtual=vip,
        virtual_port=0,
        destination=client,
        destination_port=0,
        state="NONE",
        expires_s=3599.5,
        is_template=True,
        mark=5,
    )
    (line,) = entry_lines([entry], EndpointWriter(None), engines=False)
    assert line.startswith("IP  59:59  NONE        ")
    assert line.split()[4] == virtual
