"""The kernel's IPVS as a plane of the conformance suite, in the calling thread's network namespace."""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.uml import ipvs_netlink as nl
from tests.uml import scenario as sc
from tests.uml.packets import PROTOCOLS, WORDS, Endpoint
from tests.uml.play import Edit
from tests.uml.wire import CLIENT_SIDE, set_kernel

REFUSALS = {errno.EEXIST: "exists", errno.ESRCH: "no-service", errno.ENOENT: "not-found", errno.EINVAL: "invalid",
            errno.ERANGE: "out-of-range", errno.EAFNOSUPPORT: "family", errno.EOPNOTSUPP: "unsupported"}  # fmt: skip
FLAGS = {"sh-fallback": 8, "mh-fallback": 8, "sh-port": 16, "mh-port": 16}
PERSISTENT, ONE_PACKET, FLAG_MASK = 1, 4, 0x3D
METHODS = {"masquerade": 0, "local": 1, "tunnel": 2, "direct": 3}
METHOD_WORDS = {number: word for word, number in METHODS.items()}
TUNNELS = {"ipip": 0, "gue": 1, "gre": 2}
TUNNEL_OPTIONS = {"nocsum": 0, "csum": 1, "remcsum": 2}
ESTIMATOR_S = 2.0
EXPIRY_S = 0.04  # an entry that was replaced is removed by its timer, two or three ticks of 10 ms later
MARKED_TABLE = 100
COUNTERS = Path("/proc/thread-self/net/ip_vs_stats_percpu")
CONNECTIONS = Path("/proc/thread-self/net/ip_vs_conn")


class KernelPlane:
    """Implements `play.Plane`."""

    def __init__(self) -> None:
        self._ipvs = nl.IpvsSocket()
        self._keys: dict[str, bytes] = {}
        self._marks = 0

    def close(self) -> None:
        self._ipvs.close()

    def edit(self, step: Edit) -> str:
        try:
            self._edit(step)
        except OSError as error:
            return REFUSALS.get(error.errno or 0, f"error {error.errno}")
        return "ok"

    def _edit(self, step: Edit) -> None:
        change = self._ipvs.change
        match step:
            case sc.AddService(service=service):
                self._keys[service.label] = service_key(service)
                change(nl.NEW_SERVICE, nl.attribute(nl.SERVICE, service_attributes(service)))
            case sc.EditService(service=service):
                change(nl.SET_SERVICE, nl.attribute(nl.SERVICE, service_attributes(service)))
            case sc.DeleteService():
                change(nl.DELETE_SERVICE, self._service(step.label))
            case sc.AddDestination():
                change(nl.NEW_DESTINATION, self._service(step.label) + destination_payload(step.destination))
            case sc.EditDestination():
                change(nl.SET_DESTINATION, self._service(step.label) + destination_payload(step.destination))
            case sc.DeleteDestination():
                key = nl.attribute(nl.DESTINATION, destination_key(Endpoint.parse(step.endpoint)))
                change(nl.DELETE_DESTINATION, self._service(step.label) + key)
            case sc.Flush():
                change(nl.FLUSH)
            case sc.Zero():
                change(nl.ZERO, self._service(step.label) if step.label else b"")
            case sc.SetTimeouts():
                values = (
                    (nl.TIMEOUT_TCP, step.tcp_s),
                    (nl.TIMEOUT_TCP_FIN, step.tcp_fin_s),
                    (nl.TIMEOUT_UDP, step.udp_s),
                )
                change(nl.SET_CONFIG, b"".join(nl.attribute(kind, nl.u32(value)) for kind, value in values))
            case sc.SetOption():
                set_kernel(f"net.ipv4.vs.{step.name}", step.value)
            case sc.SetMark():
                self._set_mark(step)

    def _service(self, label: str) -> bytes:
        return nl.attribute(nl.SERVICE, self._keys[label])

    def _set_mark(self, step: sc.SetMark) -> None:
        """A mark on what the clients send, by tc: this kernel has no nftables. Marked packets are ours whatever their target."""
        if not self._marks:
            subprocess.run(["tc", "qdisc", "add", "dev", CLIENT_SIDE, "clsact"], check=True)
        self._marks += 1
        version6 = ":" in step.address
        lines = (f"route replace local default dev lo table {MARKED_TABLE}", f"rule add fwmark {step.mark} table {MARKED_TABLE}"
                 f" pref {self._marks}")  # fmt: skip
        subprocess.run(["ip", "-6" if version6 else "-4", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        match = ["protocol", "ipv6" if version6 else "ip", "flower", "dst_ip", step.address]
        if step.protocol:
            match += ["ip_proto", step.protocol]
        if step.low:
            match += ["dst_port", str(step.low) if step.low == step.high else f"{step.low}-{step.high}"]
        command = ["tc", "filter", "add", "dev", CLIENT_SIDE, "ingress", "pref", str(self._marks), *match]
        subprocess.run([*command, "action", "skbedit", "mark", str(step.mark)], check=True)

    def services(self, *, counters: bool) -> list[dict[str, Any]]:
        time.sleep(EXPIRY_S)
        if not counters:
            return self._services(counters=False)
        # The kernel sums its counters up every two seconds; zeroed totals never look summed up, so time decides too.
        shown, since = self._services(counters=True), time.monotonic()
        while not summed_up(COUNTERS.read_text()) and time.monotonic() - since < ESTIMATOR_S + 0.2:
            time.sleep(0.05)
            again = self._services(counters=True)
            if again != shown:
                shown, since = again, time.monotonic()
        return self._services(counters=True)

    def _services(self, *, counters: bool) -> list[dict[str, Any]]:
        found = []
        for message in self._ipvs.read(nl.GET_SERVICE):
            attributes = nl.read_attributes(message[nl.SERVICE])
            found.append(read_service(attributes, counters))
            key = b"".join(nl.attribute(kind, attributes[kind]) for kind in range(1, 6) if kind in attributes)
            messages = self._ipvs.read(nl.GET_DESTINATION, nl.attribute(nl.SERVICE, key))
            dests = [nl.read_attributes(item[nl.DESTINATION]) for item in messages]
            found[-1]["destinations"] = [read_destination(item, counters) for item in dests]
        return sorted(found, key=lambda item: str(item["service"]))

    def connections(self) -> list[dict[str, Any]]:
        until = time.monotonic() + 2 * EXPIRY_S
        rows = read_connections(CONNECTIONS.read_text())
        while any(row["timeout_s"] == 0 for row in rows) and time.monotonic() < until:  # one that is just going
            time.sleep(EXPIRY_S / 4)
            rows = read_connections(CONNECTIONS.read_text())
        return rows


def summed_up(listing: str) -> bool:
    """Whether the totals in /proc/net/ip_vs_stats_percpu (its line `~`) are those of its processors together."""
    rows = [line.split() for line in listing.splitlines()[2:] if line.strip()]
    each = [[int(value, 16) for value in row[1:6]] for row in rows if row and row[0].isalnum() and len(row) == 6]
    total = next((row for row in rows if row[0] == "~"), None)
    return total is not None and [sum(column) for column in zip(*each, strict=True)] == [
        int(value, 16) for value in total[1:6]
    ]


def service_key(service: sc.Service) -> bytes:
    if service.mark:
        family = socket.AF_INET6 if service.version == 6 else socket.AF_INET
        return nl.attribute(1, nl.u16(family)) + nl.attribute(5, nl.u32(service.mark))
    endpoint = Endpoint.parse(service.endpoint)
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    return (
        nl.attribute(1, nl.u16(family)) + nl.attribute(2, nl.u16(PROTOCOLS[service.protocol]))
        + nl.attribute(3, endpoint.address.packed.ljust(16, b"\0")) + nl.attribute(4, struct.pack("!H", endpoint.port))
    )  # fmt: skip


def service_attributes(service: sc.Service) -> bytes:
    version = service.version if service.mark else Endpoint.parse(service.endpoint).address.version
    flags = sum(FLAGS[name] for name in service.flags)
    flags += PERSISTENT * bool(service.persistent_s) + ONE_PACKET * service.one_packet
    if version == 4:
        length = 32 if service.prefix is None else service.prefix
        mask = struct.pack("!I", (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF)
        if service.mask:
            mask = ip_address(service.mask).packed
    else:
        mask = nl.u32(128 if service.prefix is None else service.prefix)
    attributes = service_key(service) + nl.attribute(6, nl.text(service.scheduler))
    attributes += nl.attribute(7, nl.u32(flags) + nl.u32(FLAG_MASK)) + nl.attribute(8, nl.u32(service.persistent_s))
    attributes += nl.attribute(9, mask)
    return attributes + (nl.attribute(11, nl.text(service.engine)) if service.engine else b"")


def destination_key(endpoint: Endpoint) -> bytes:
    family = socket.AF_INET6 if endpoint.address.version == 6 else socket.AF_INET
    return (
        nl.attribute(11, nl.u16(family)) + nl.attribute(1, endpoint.address.packed.ljust(16, b"\0"))
        + nl.attribute(2, struct.pack("!H", endpoint.port))
    )  # fmt: skip


def destination_payload(destination: sc.Destination) -> bytes:
    attributes = destination_key(Endpoint.parse(destination.endpoint))
    for kind, value in ((3, METHODS[destination.method]), (4, destination.weight), (5, destination.upper), (6, destination.lower)):  # fmt: skip
        attributes += nl.attribute(kind, nl.u32(value))
    if destination.method == "tunnel":
        attributes += nl.attribute(13, bytes([TUNNELS[destination.tunnel]]))
        attributes += nl.attribute(14, struct.pack("!H", destination.tunnel_port))
        attributes += nl.attribute(15, nl.u16(TUNNEL_OPTIONS[destination.tunnel_option]))
    return nl.attribute(nl.DESTINATION, attributes)


def _u16(data: bytes) -> int:
    return int(struct.unpack("=H", data)[0])


def _u32(data: bytes) -> int:
    return int(struct.unpack("=I", data)[0])


def _endpoint(family: int, address: bytes, port: bytes) -> str:
    raw = address[:4] if family == socket.AF_INET else address[:16]
    return str(Endpoint(address=ip_address(raw), port=struct.unpack("!H", port)[0]))


def _counters(attributes: nl.Attributes) -> dict[str, int]:
    names = ("conns", "inpkts", "outpkts", "inbytes", "outbytes")
    return {name: struct.unpack("=Q", attributes[number])[0] for number, name in enumerate(names, 1)}


def read_service(attributes: nl.Attributes, counters: bool) -> dict[str, Any]:
    """Keys: service (`tcp 10.9.0.1:80`, `mark 5`, `mark 5 ipv6`), scheduler, flags (kernel's bits 0x3d), persistent_s."""
    family = _u16(attributes[1])
    if 5 in attributes:
        name = f"mark {_u32(attributes[5])}" + (" ipv6" if family == socket.AF_INET6 else "")
    else:
        name = f"{WORDS[_u16(attributes[2])]} {_endpoint(family, attributes[3], attributes[4])}"
    shown: dict[str, Any] = {
        "service": name,
        "scheduler": attributes[6].rstrip(b"\0").decode(),
        "flags": _u32(attributes[7][:4]) & FLAG_MASK,
        "persistent_s": _u32(attributes[8]),
    }
    if counters:
        shown["counters"] = _counters(nl.read_attributes(attributes[12]))
    return shown


def read_destination(attributes: nl.Attributes, counters: bool) -> dict[str, Any]:
    """Keys: destination, method (`masquerade`, `local`, `tunnel`, `direct`), weight, upper, lower, active, inactive,
    persistent."""
    family = _u16(attributes[11])
    shown: dict[str, Any] = {
        "destination": _endpoint(family, attributes[1], attributes[2]),
        "method": METHOD_WORDS[_u32(attributes[3]) & 7],
    }
    for name, kind in (("weight", 4), ("upper", 5), ("lower", 6), ("active", 7), ("inactive", 8), ("persistent", 9)):
        shown[name] = _u32(attributes[kind])
    if counters:
        shown["counters"] = _counters(nl.read_attributes(attributes[12]))
    return shown


def read_connections(listing: str) -> list[dict[str, Any]]:
    """The rows of /proc/net/ip_vs_conn. A template's client has port 0; one of a mark has protocol `ip`."""
    rows = []
    for line in listing.splitlines()[1:]:
        protocol, *ends = line.split()
        client, virtual, destination = (
            str(Endpoint(address=_proc_address(ends[at]), port=int(ends[at + 1], 16))) for at in (0, 2, 4)
        )
        rows.append({"protocol": protocol.lower(), "client": client, "virtual": virtual, "destination": destination,
                     "state": ends[6], "timeout_s": int(ends[7])})  # fmt: skip
    return sorted(rows, key=lambda row: [str(row[key]) for key in row if key != "timeout_s"])


def _proc_address(text: str) -> Any:
    return ip_address(text.strip("[]")) if ":" in text else ip_address(int(text, 16))
