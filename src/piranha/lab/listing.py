"""The lab's `lvs.cf`: the article's Listing 1 with the addresses filled in, and what the lab's options add to it."""

from __future__ import annotations

from ipaddress import IPv4Interface

from piranha.lab.options import ARTICLE, LabOptions
from piranha.lab.topology import BACK, GATEWAY_PART, UDP_PORT, VIP4, VIP6, Node, Topology
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod

BACKUP = "10.0.0.3"  # lb2's place, also where nobody is there
SYNC_LINK_PORT = 8849


def lvs_cf(topology: Topology, options: LabOptions) -> str:
    """The text of the directors' configuration file, the same for both."""
    blocks = [_virtual("web", VIP4, "tcp", options.virtual_port, topology, options)]
    if options.ipv6:
        blocks.append(_virtual("web6", VIP6, "tcp", options.virtual_port, topology, options))
    if options.udp:
        blocks.append(_virtual("echo", VIP4, "udp", UDP_PORT, topology, options))
        if options.ipv6:
            blocks.append(_virtual("echo6", VIP6, "udp", UDP_PORT, topology, options))
    return "\n".join([*_globals(topology, options), *blocks]) + "\n"


def _globals(topology: Topology, options: LabOptions) -> list[str]:
    director = topology.directors[0]
    lines = [
        "serial_no = 40",
        f"primary = {director.address(4)}",
        *_private("primary", director, options),
        "service = lvs",
        "backup_active = 1",
        f"backup = {BACKUP}",
        *(_private("backup", topology.directors[1], options) if options.is_pair else ()),
        "heartbeat = 1",
        "heartbeat_port = 539",
        *(("keepalive = 6", "deadtime = 18") if options.profile == ARTICLE else (f"profile = {options.profile}",)),
        f"network = {options.forward.value}",
    ]
    if options.forward is ForwardingMethod.MASQUERADE:
        inside = _inside(director)
        gateway = inside.network[GATEWAY_PART]
        lines += [f"nat_router = {gateway} {director.ports[-1].device}:1", f"nat_nmask = {inside.netmask}"]
    lines += ["debug_level = NONE", "monitor_links = 1", "syncdaemon = 1"]
    if options.is_pair:
        lines.append(f"syncd_link_port = {SYNC_LINK_PORT}")
    if options.hook != "auto":
        lines.append(f"hook = {options.hook}")
    return lines


def _inside(director: Node) -> IPv4Interface:
    """The director's address on the web servers' network."""
    port = next(port for port in director.ports if port.network == BACK)
    return next(i for i in port.addresses if isinstance(i, IPv4Interface))


def _private(place: str, director: Node, options: LabOptions) -> list[str]:
    """The second link of the heartbeats, where the lab has a second network."""
    if not options.is_pair or options.forward is not ForwardingMethod.MASQUERADE:
        return []
    return [f"{place}_private = {_inside(director).ip}"]


def _virtual(name: str, vip: IPAddress, protocol: str, port: int, topology: Topology, options: LabOptions) -> str:
    if protocol == "tcp":
        check = ['send = "GET / HTTP/1.0\\r\\n\\r\\n"', 'expect = "HTTP"']
        server_port = options.server_port
    else:
        check = ['send = "ping"', 'expect = "web"']
        server_port = port
    mask = "vip_nmask = 255.255.255.255" if vip.version == 4 else ""
    lines = [
        "active = 1",
        f"address = {vip} eth0:0",
        *([mask] if mask else []),
        f"port = {port}",
        *check,
        "use_regex = 0",
        "load_monitor = rup",
        f"scheduler = {options.scheduler}",
        f"protocol = {protocol}",
        f"timeout = {options.timeout_s}",
        f"reentry = {options.reentry_s}",
        "quiesce_server = 1",
    ]
    for node in topology.real_servers:
        own_port = [f"        port = {server_port}"] if server_port != port else []
        server = [f"    server {node.name} {{", f"        address = {node.address(vip.version)}", "        active = 1"]
        lines.append("\n".join([*server, *own_port, "        weight = 1", "    }"]).lstrip())
    return "\n".join([f"virtual {name} {{", *("    " + line for line in lines), "}"])
