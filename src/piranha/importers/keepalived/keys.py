"""What selects the packets of a virtual server in keepalived.conf: an address and a port, a range of them, or a mark."""

from __future__ import annotations

from ipaddress import ip_network

from piranha.config.values import parse_ip
from piranha.importers.draft import DraftVirtual
from piranha.importers.keepalived.blocks import Statement
from piranha.importers.ledger import Ledger
from piranha.importers.values import Values
from piranha.model.address import IPAddress, format_endpoint

MAX_RANGE = 256
"""Virtual servers that one range of addresses may become; beyond that a firewall mark is the better way."""


def keys_of(statement: Statement, words: tuple[str, ...], values: Values, ledger: Ledger) -> tuple[DraftVirtual, ...]:
    """What selects the packets: addresses, one for each of a range, or a mark."""
    place = statement.place
    if words[:1] == ("fwmark",) and len(words) > 1:
        mark = values.number(place, words[1], "a firewall mark", 1, 2**32 - 1)
        version = 6 if words[2:3] == ("inet6",) else 4
        return () if mark is None else (DraftVirtual(place=place, name=f"fwmark-{mark}", mark=mark, version=version),)
    if not words:
        ledger.error(place, "an address and a port are missing")
        return ()
    text, port = words[0], 0
    if len(words) > 1:
        found = values.port(place, words[1])
        if found is None:
            return ()
        port = found
    return tuple(
        DraftVirtual(place=place, name=format_endpoint(vip, port), vip=vip, port=port, version=vip.version)
        for vip in _addresses(statement, text, values, ledger)
    )


def _addresses(statement: Statement, text: str, values: Values, ledger: Ledger) -> list[IPAddress]:
    place = statement.place
    first, dash, last = text.partition("-")
    if "/" in text:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            ledger.error(place, f"`{text}` is no network")
            return []
        if network.num_addresses > MAX_RANGE:
            return _too_many(statement, network.num_addresses, ledger)
        return list(network)
    if not dash:
        found = values.address(place, text)
        return [] if found is None else [found]
    begin = values.address(place, first)
    if begin is None:
        return []
    end = parse_ip(last)
    if end is None:
        separator = "." if begin.version == 4 else ":"
        end = parse_ip(str(begin).rpartition(separator)[0] + separator + last)
    if end is None or end.version != begin.version or int(end) < int(begin):
        ledger.error(place, f"`{text}` is no range of addresses")
        return []
    count = int(end) - int(begin) + 1
    if count > MAX_RANGE:
        return _too_many(statement, count, ledger)
    return [begin + offset for offset in range(count)]


def _too_many(statement: Statement, count: int, ledger: Ledger) -> list[IPAddress]:
    message = f"{count} addresses would become as many virtual servers"
    ledger.error(statement.place, f"{message}: use a firewall mark for them (at most {MAX_RANGE} are written)")
    return []
