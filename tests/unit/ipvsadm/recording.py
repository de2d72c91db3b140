"""What Debian's ipvsadm 1.31 over the kernel's IPVS said, and a memory plane to say the same with."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import Capabilities
from piranha.ipvsadm.execute import Session
from piranha.ipvsadm.programs import restore_program, save_program
from piranha.ipvsadm.table import PlaneTable
from piranha.model.address import IPAddress
from piranha.model.service import Protocol, TunnelType

RECORDED = Path(__file__).parents[2] / "conformance" / "recorded" / "ipvsadm.json"
SIZE = 4096
KERNEL_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "none")
"""What the recorded kernel had: `twos` was not built for it."""


@cache
def recording() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


class FileNames:
    """Names from texts in the form of `/etc/hosts` and `/etc/services`."""

    def __init__(self, hosts: str = "", services: str = "") -> None:
        self._hosts: dict[IPAddress, str] = {}
        self._addresses: dict[str, IPv4Address] = {}
        self._ports: dict[tuple[str, str], int] = {}
        for line in hosts.splitlines():
            text, *names = line.split()
            address = ip_address(text)
            self._hosts.setdefault(address, names[0])
            if isinstance(address, IPv4Address):
                self._addresses.update((name, address) for name in names)
        for line in services.splitlines():
            name, where = line.split()
            number, _, protocol = where.partition("/")
            self._ports[name, protocol] = int(number)

    def address(self, host: str) -> IPv4Address | None:
        return self._addresses.get(host)

    def host(self, address: IPAddress) -> str | None:
        return self._hosts.get(address)

    def port(self, name: str, protocol: Protocol) -> int | None:
        return self._ports.get((name, protocol.word))

    def service(self, port: int, protocol: Protocol) -> str | None:
        wanted = (port, protocol.word)
        return next((n for (n, p), number in self._ports.items() if (number, p) == wanted), None)


def recorded_names() -> FileNames:
    names: Mapping[str, str] = recording()["names"]
    return FileNames(names["hosts"], names["services"])


def kernel_like_plane() -> MemoryPlane:
    return MemoryPlane(
        capabilities=Capabilities(
            schedulers=frozenset(KERNEL_SCHEDULERS),
            persistence=True,
            firewall_marks=True,
            protocols=frozenset((Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
            engines=frozenset(("sip",)),
            tunnels=frozenset(TunnelType),
        ),
        interfaces=("server0", "dm0"),
    )


class Run:
    """Command lines on one memory plane; each leaves exit code, stdout and stderr."""

    def __init__(self, plane: MemoryPlane | None = None, names: FileNames | None = None) -> None:
        self.plane = plane or kernel_like_plane()
        self._names = names or FileNames()

    def __call__(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        session = Session(PlaneTable(self.plane, SIZE), self._names, out, err)
        burst = [stdin.split("\n")]
        match argv[0]:
            case "ipvsadm":
                code = session.run(argv[1:], burst)
            case "ipvsadm-save":
                code = save_program(session, argv[1:], err)
            case "ipvsadm-restore":
                code = restore_program(session, burst)
        return code, out.getvalue(), err.getvalue()

    def line(self, text: str) -> tuple[int, str, str]:
        return self(["ipvsadm", *text.split()])
