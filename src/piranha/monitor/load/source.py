"""Where the load of a server comes from, by `lvs.cf`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piranha.model.address import IPAddress
from piranha.model.configuration import RealServer, VirtualServer
from piranha.monitor.escapes import strip_quotes
from piranha.monitor.load.rpc import PORTMAP_PORT

AGENT_PORT, HTTP_PORT = 9777, 80
LONGEST_ASK_S = 10.0


class LoadKind(StrEnum):
    RUP = "rup"
    RUPTIME = "ruptime"
    UPTIME = "uptime"
    AGENT = "agent"
    HTTP = "http"
    COMMAND = "command"


_PORTS = {LoadKind.RUP: PORTMAP_PORT, LoadKind.AGENT: AGENT_PORT, LoadKind.HTTP: HTTP_PORT}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSource:
    """One server asked in one way. Equal sources are asked once. `name` is the server's in `lvs.cf`, which is its host
    name for rwhod; `command` is split, the address in its place."""

    kind: LoadKind
    address: IPAddress
    interval_s: float
    port: int = 0
    name: str = ""
    path: str = ""
    key: str = ""
    command: tuple[str, ...] = ()

    @property
    def timeout_s(self) -> float:
        return min(self.interval_s, LONGEST_ASK_S)


def source_of(virtual: VirtualServer, server: RealServer, rsh_command: str) -> LoadSource | None:
    """None where the file asks for no load. A word that is none of the kinds is a command."""
    text = strip_quotes(virtual.load_monitor or "").strip()
    if text in ("", "none") or server.address is None:
        return None
    kind = LoadKind(text) if text in (*LoadKind,) and text != LoadKind.COMMAND else LoadKind.COMMAND
    words: tuple[str, ...] = ()
    if kind is LoadKind.UPTIME:
        words = (*strip_quotes(rsh_command).split(), str(server.address), "uptime")
    elif kind is LoadKind.COMMAND:
        given = text.split()
        words = tuple(str(server.address) if word == "%h" else word for word in given)
        # As the original had it: the address comes last where it has no place.
        words += () if "%h" in given else (str(server.address),)
    is_http = kind is LoadKind.HTTP
    return LoadSource(
        kind=kind,
        address=server.address,
        interval_s=max(virtual.load_interval_s, 1.0),
        port=virtual.load_port or _PORTS.get(kind, 0),
        name=server.name if kind is LoadKind.RUPTIME else "",
        path=strip_quotes(virtual.load_path or "/") if is_http else "",
        key=strip_quotes(virtual.load_key or "") if is_http else "",
        command=words,
    )
