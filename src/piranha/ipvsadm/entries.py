"""The listing of connection entries, `-L -c`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

from piranha.dataplane.port import Connection
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.model.address import IPAddress

HEADER = "IPVS connection entries\npro expire state       source             virtual            destination\n"
ENGINE_HEADER = (
    "IPVS connection entries\n"
    "pro expire state       source             virtual            destination        pe name          pe_data\n"
)


def entry_lines(connections: Iterable[Connection], writer: EndpointWriter, *, engines: bool) -> Iterator[str]:
    """One line an entry, in the table's order; `engines` adds name and data of the persistence engine where one is."""
    for entry in connections:
        protocol = entry.protocol
        client = writer.write(entry.client, entry.client_port, protocol)
        virtual = writer.write(virtual_of(entry), entry.virtual_port, protocol)
        destination = writer.write(entry.destination, entry.destination_port, protocol)
        minutes, seconds = divmod(int(entry.expires_s), 60)
        start = f"{protocol.name:<3} {f'{minutes:02}:{seconds:02}':<6} {entry.state:<11} {client:<18} {virtual:<18}"
        if engines and entry.engine:
            yield f"{start} {destination:<16} {entry.engine:<18} {entry.engine_data}\n"
        else:
            yield f"{start} {destination}\n"


def virtual_of(entry: Connection) -> IPAddress:
    """The virtual address as IPVS has it: the template of a mark has the mark in the first four bytes."""
    if entry.mark and entry.is_template and entry.virtual.version == 6:
        return IPv6Address(entry.mark << 96)
    return entry.virtual
