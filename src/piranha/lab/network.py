"""Builds a topology from namespaces, bridges and veth pairs, and removes it."""

from __future__ import annotations

import array
import fcntl
import socket
import struct

from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab.topology import BACK, FRONT, SWITCH, SWITCH_ONLY, Node, Port, Topology, is_lab_namespace
from piranha.model.address import IPAddress

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_ETHTOOL_SGRO = 0x2C


def build(topology: Topology, *, checksum_offload: bool = True) -> None:
    """Make every namespace, cable and address. Nothing of that name may exist; a failure leaves parts for `remove`."""
    switch = topology.namespace(SWITCH)
    netns.add(switch)
    with netns.entered(switch):
        netns.write_sysctls(SWITCH_ONLY)
    netns.ip_batch(
        switch, ["link set lo up", *(line for network in topology.networks for line in bridge_lines(network))]
    )
    for node in topology.nodes:
        build_node(topology, node, checksum_offload=checksum_offload)


def build_node(topology: Topology, node: Node, *, checksum_offload: bool) -> None:
    """Make one namespace and lay its cables to the switch."""
    switch, name = topology.namespace(SWITCH), topology.namespace(node.name)
    netns.add(name)
    with netns.entered(name):
        netns.write_sysctls(node.sysctls)
    netns.ip_batch(switch, [line for port in node.ports for line in cable_lines(node, port, name)])
    netns.ip_batch(name, node_lines(node))
    if not checksum_offload:
        with netns.entered(name):
            for port in node.ports:
                _set_offload(port.device, _ETHTOOL_STXCSUM, False)
        with netns.entered(switch):
            for port in node.ports:
                _set_offload(switch_end(node, port), _ETHTOOL_SGRO, True)
                _set_offload(switch_end(node, port), _ETHTOOL_STXCSUM, False)


def unplug(topology: Topology, node: Node) -> None:
    """Pull the node's cables out of the switch; the node itself sees nothing of it."""
    netns.ip_batch(topology.namespace(SWITCH), [f"link set {switch_end(node, port)} nomaster" for port in node.ports])


def remove_node(topology: Topology, node: Node) -> None:
    """Take one namespace away with its cables; the kernel would take those away too, but some time later."""
    netns.ip_batch(topology.namespace(SWITCH), [f"link del {switch_end(node, port)}" for port in node.ports])
    netns.delete(topology.namespace(node.name))


def plug(topology: Topology, node: Node) -> None:
    """Put them back. Harmless where they are in."""
    lines = [f"link set {switch_end(node, port)} master {port.network}" for port in node.ports]
    netns.ip_batch(topology.namespace(SWITCH), lines)


def bridge_lines(network: str) -> list[str]:
    """`ip` commands that make a network in the switch."""
    return [f"link add {network} type bridge stp_state 0 mcast_snooping 0", f"link set {network} up"]


def cable_lines(node: Node, port: Port, node_namespace: str) -> list[str]:
    """`ip` commands that lay the cable of a port, given in the switch."""
    end = switch_end(node, port)
    return [
        f"link add {end} type veth peer name {port.device} netns {node_namespace}",
        f"link set {end} master {port.network} up",
    ]


def switch_end(node: Node, port: Port) -> str:
    """The name of a cable's other end, in the switch: `web1`, or `lb1b` for the port on the back network."""
    return node.name + {FRONT: "", BACK: "b" if len(node.ports) > 1 else ""}[port.network]


def node_lines(node: Node) -> list[str]:
    """`ip` commands that give a node its addresses and routes, given in the node."""
    lines = ["link set lo up"]
    for port in node.ports:
        lines.append(f"link set {port.device} up")
        lines += [f"addr add {i} dev {port.device}{_nodad(i.ip)}" for i in port.addresses]
        lines += [_vip_line(vip, port.device) for vip in port.vips]
        if node.route_mss_bytes is not None:
            lines += [
                f"route change {i.network} dev {port.device} advmss {node.route_mss_bytes}"
                f"{f' proto kernel scope link src {i.ip}' if i.version == 4 else ' proto kernel metric 256'}"
                for i in port.addresses
            ]
    lines += [f"route add default via {gateway}" for gateway in node.gateways]
    return lines


def _vip_line(vip: IPAddress, device: str) -> str:
    # A deprecated IPv6 address is not chosen as source: the director's own checks must not come from the VIP.
    label = f" label {device}:0" if vip.version == 4 else " nodad preferred_lft 0"
    return f"addr add {vip}/{vip.max_prefixlen} dev {device}{label}"


def _nodad(address: IPAddress) -> str:
    return " nodad" if address.version == 6 else ""


def _set_offload(device: str, command: int, on: bool) -> None:
    """What `ethtool -K DEVICE ...` does.

    `tx off`, as XDP takes partial checksums of a local stack for final ones; `gro on`, as a veth takes frames from XDP
    only while its other end polls.
    """
    value = array.array("B", struct.pack("=II", command, int(on)))
    request = struct.pack("@16sP", device.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)


def leftovers(prefix: str) -> list[str]:
    """Namespaces of a lab with this prefix that exist now."""
    return [name for name in netns.names() if is_lab_namespace(name, prefix)]


def remove(prefix: str) -> list[str]:
    """Remove every namespace of the lab, whatever state it is in; the names removed.

    Goes on after a failure and raises PiranhaError at the end with all that failed.
    """
    removed, failures = [], []
    for name in leftovers(prefix):
        try:
            netns.delete(name)
            removed.append(name)
        except PiranhaError as error:
            failures.append(str(error))
    if failures:
        raise PiranhaError("; ".join(failures))
    return removed
