"""The index of masqueraded servers: the last added is found, an earlier life's entries are mended."""

from __future__ import annotations

from ipaddress import ip_address
from typing import cast

from tests.unit.ebpf_tables import MemoryMap

from piranha.dataplane.ebpf.abi import pack_server_key
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.servers import ServerIndex
from piranha.model.service import DestinationKey, Protocol, ServiceKey

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.1"), port=80)
OTHER = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.2"), port=80)
DNS = ServiceKey(protocol=Protocol.UDP, address=ip_address("10.9.0.1"), port=53)
ONE = DestinationKey(address=ip_address("10.2.0.1"), port=8080)
TWO = DestinationKey(address=ip_address("10.2.0.2"), port=80)


def index(held: MemoryMap) -> ServerIndex:
    return ServerIndex(cast(BpfMap, held))


def shown(held: MemoryMap) -> dict[bytes, int]:
    return {key: int.from_bytes(value, "little") for key, value in held.entries.items()}


def test_the_last_added_is_found() -> None:
    held = MemoryMap()
    servers = index(held)
    servers.add(WEB, ONE, 3)
    servers.add(OTHER, ONE, 4)
    servers.add(WEB, ONE, 3)  # an edit of the first does not make it the last
    servers.add(DNS, ONE, 5)
    assert shown(held) == {pack_server_key(WEB, ONE): 4, pack_server_key(DNS, ONE): 5}
    servers.remove(OTHER, ONE, 4)
    servers.remove(OTHER, ONE, 4)
    assert shown(held)[pack_server_key(WEB, ONE)] == 3
    servers.remove(WEB, ONE, 3)
    servers.remove(DNS, ONE, 5)
    assert shown(held) == {}


def test_an_earlier_life_is_mended_before_the_first_change() -> None:
    held = MemoryMap()
    servers = index(held)
    servers.add(WEB, ONE, 3)
    servers.add(DNS, ONE, 9)  # removed by somebody who was interrupted
    again = index(held)
    again.adopt([(WEB, ONE, 3), (OTHER, ONE, 4), (WEB, TWO, 5)])
    assert shown(held)[pack_server_key(DNS, ONE)] == 9
    again.remove(OTHER, ONE, 4)
    assert shown(held) == {pack_server_key(WEB, ONE): 3, pack_server_key(WEB, TWO): 5}
    again.settle()
    assert len(shown(held)) == 2
