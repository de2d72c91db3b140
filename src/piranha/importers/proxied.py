"""What importers of proxies share: durations, wildcard addresses, and what changes when a proxy goes."""

from __future__ import annotations

import re

from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.values import Values
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod

MAX_PORTS = 64
NO_TLS = "TLS passes through unopened: a layer-4 balancer neither ends nor begins it"
_UNIT_S = {"us": 0.000001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"([0-9]{1,12})(us|ms|s|m|h|d|w)?")


def duration_s(text: str, *, unit: str) -> float | None:
    """Seconds of `1m 30s` or `2000`; a bare number is in `unit`. None for anything else."""
    total, at = 0.0, 0
    bare = text.replace(" ", "")
    while at < len(bare):
        found = _DURATION.match(bare, at)
        if found is None or found.end() == at:
            return None
        total += int(found[1]) * _UNIT_S[found[2] or unit]
        at = found.end()
    if not bare:
        return None
    rounded = round(total, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def listening(
    place: Place, text: str, values: Values, ledger: Ledger, options: ImportOptions
) -> list[tuple[IPAddress, int]]:
    """The VIPs and ports of `80`, `:80`, `*:80`, `10.0.0.1:80-82` or `[::1]:80`; wrong ones go to the ledger."""
    if text.startswith(("unix:", "/")):
        ledger.left(place, "a unix socket has no packets")
        return []
    host, colon, ports = text.rpartition(":")
    if not colon:
        # A lone number is a port, and everything else an address without one.
        host, ports = ("", text) if text[:1].isdigit() and "." not in text else (text, "")
    host = host.strip("[]")
    first_text, dash, last_text = ports.partition("-")
    first = values.port(place, first_text, least=1)
    last = values.port(place, last_text, least=1) if dash else first
    if first is None or last is None:
        return []
    if not first <= last < first + MAX_PORTS:
        ledger.error(place, f"{ports} is a range of more than {MAX_PORTS} ports, or none: use a firewall mark for it")
        return []
    if host in ("", "*", "0.0.0.0"):
        if options.vip is None:
            ledger.error(place, "it listens on every address: name the VIP with --vip ADDRESS")
            return []
        ledger.changed(place, f"every address becomes the VIP {options.vip}")
        address = options.vip
    elif host == "::":
        if options.vip is None or options.vip.version != 6:
            ledger.left(place, "every IPv6 address: write a virtual server for the IPv6 VIP, or name it with --vip")
            return []
        address = options.vip
    else:
        found = values.host(place, host)
        if found is None:
            return []
        address = found
    ledger.carried(place)
    return [(address, port) for port in range(first, last + 1)]


def returning_packets(method: ForwardingMethod) -> str:
    """What must be true of the real servers from now on."""
    if method is ForwardingMethod.MASQUERADE:
        return "servers see the client's address now, and must have the director as gateway (network = nat)"
    return f"servers see the client's address now, and must have the VIP (piranha realserver setup; network = {method})"
