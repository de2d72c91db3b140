"""Rules on the file as a whole: which half of it runs, what has no effect, masks and devices."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.directives import BY_SCOPE, Scope
from piranha.config.places import BlockPlaces, Places
from piranha.config.problem import Place
from piranha.config.rules.advice import Advice
from piranha.model.address import IPAddress, prefix_length
from piranha.model.configuration import Configuration, DataPlaneChoice, HookChoice, ServiceMode, VirtualServer

MAX_DEVICE_NAME = 15
_USUAL_CHECKER = "/usr/sbin/nanny"


def half_that_runs(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """`service` chooses between the `virtual` and the `failover` blocks."""
    place = places.of("service")
    if configuration.service is ServiceMode.FOS:
        if not any(block.active for block in configuration.failovers):
            message = "no active failover service: nothing in this file runs"
            yield Advice(place, message, "give a `failover` block with `active = 1`")
        for found in places.virtuals:
            message = "virtual servers do not run with `service = fos`"
            yield Advice(found.header, message, "write `service = lvs`")
        return
    if not any(virtual.active for virtual in configuration.virtuals):
        message = "no active virtual server: this director will switch nothing"
        yield Advice(place, message, "give a `virtual` block with `active = 1`")
    for found in places.failovers:
        yield Advice(found.header, "failover blocks run only with `service = fos`", "remove the block")


def inert_directives(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Directives that are read for the old files' sake."""
    yield from _inert(Scope.GLOBAL, configuration, places.values)
    virtuals = zip(configuration.virtuals, places.virtuals, strict=True)
    failovers = zip(configuration.failovers, places.failovers, strict=True)
    for virtual, found in (*virtuals, *failovers):
        if virtual.client_monitor == _USUAL_CHECKER:
            found = BlockPlaces(found.header, {n: p for n, p in found.values.items() if n != "client_monitor"})
        yield from _inert(Scope.VIRTUAL, virtual, found.values)


def _inert(scope: Scope, values: object, places: dict[str, Place]) -> Iterator[Advice]:
    for name, place in places.items():
        directive = BY_SCOPE[scope].get(name)
        if directive is None or not directive.inert:
            continue
        if directive.field is None or getattr(values, directive.field) != directive.default:
            yield Advice(place, f"{name} has no effect", f"{directive.inert}; the line may go")


def masks(configuration: Configuration, places: Places) -> Iterator[Advice]:
    router = configuration.nat_router
    yield from _mask("nat_nmask", configuration.nat_nmask, router.address if router else None, places.values)
    for virtual, found in zip(configuration.virtuals, places.virtuals, strict=True):
        vip = virtual.address.address if virtual.address else None
        yield from _mask("vip_nmask", virtual.vip_nmask, vip, found.values)


def _mask(name: str, mask: IPAddress | None, address: IPAddress | None, places: dict[str, Place]) -> Iterator[Advice]:
    place = places.get(name)
    if place is None:
        return
    if mask is None:
        if place.text.strip("\"'").startswith("0"):
            yield Advice(place, f"{name} 0.0.0.0 counts as not given", "write the network's mask, or remove the line")
        return
    if prefix_length(mask) is None:
        yield Advice(
            place, f"{name} {mask} is not a netmask: its one-bits are not in a row", "write a mask as 255.255.255.0"
        )
    if address is not None and mask.version != address.version:
        message = f"{name} is an IPv{mask.version} mask, but the address is IPv{address.version}"
        yield Advice(place, message, "write the mask in the family of the address")


def devices(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Device names that no kernel takes."""
    named: list[tuple[Place, str]] = [(places.of("syncd_iface"), configuration.syncd_iface)]
    if configuration.nat_router is not None:
        named.append((places.of("nat_router"), configuration.nat_router.device))
    named.extend((places.of("interfaces"), name) for name in configuration.interfaces)
    for virtual, found in zip(configuration.virtuals, places.virtuals, strict=True):
        if virtual.address is not None:
            named.append((found.of("address"), virtual.address.device))
    for place, name in named:
        if not name or len(name) > MAX_DEVICE_NAME or "/" in name or any(letter.isspace() for letter in name):
            message = f"`{name}` cannot be a device: names have 1 to {MAX_DEVICE_NAME} characters, no blank and no `/`"
            yield Advice(place, message, "write a name that `ip link` shows")
    seen: set[str] = set()
    for name in configuration.interfaces:
        if name in seen:
            yield Advice(places.of("interfaces"), f"interface {name} is listed twice", "list it once")
        seen.add(name)


def data_plane(configuration: Configuration, places: Places) -> Iterator[Advice]:
    if configuration.dataplane is not DataPlaneChoice.IPVS:
        return
    for name, is_set in (("hook", configuration.hook is not HookChoice.AUTO), ("interfaces", configuration.interfaces)):
        if is_set:
            yield Advice(places.of(name), f"{name} has no effect with `dataplane = ipvs`", "remove it")


def shared_keys(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """Virtual servers that claim the same packets, the same alias device or the same name."""
    owners: dict[object, tuple[VirtualServer, Place]] = {}
    devices_of: dict[str, tuple[IPAddress, int]] = {}
    device_of: dict[IPAddress, tuple[str, int]] = {}
    router = configuration.nat_router
    if router is not None and ":" in router.device:
        devices_of[router.device] = (router.address, places.of("nat_router").line)
    for virtual, found in zip(configuration.virtuals, places.virtuals, strict=True):
        if not virtual.active:
            continue
        yield from _same_packets(virtual, found, owners)
        if virtual.address is None:
            continue
        address, device, place = virtual.address.address, virtual.address.device, found.of("address")
        other, line = devices_of.setdefault(device, (address, place.line)) if ":" in device else (address, 0)
        if other != address:
            message = f"device {device} already carries {other} (line {line})"
            yield Advice(place, message, "give every VIP an alias of its own, as eth0:1, eth0:2")
        first, line = device_of.setdefault(address, (device, place.line))
        if first != device:
            message = f"{address} is on {first} already (line {line}), and stays there"
            yield Advice(place, message, f"write `address = {address} {first}`")


def _same_packets(
    virtual: VirtualServer, found: BlockPlaces, owners: dict[object, tuple[VirtualServer, Place]]
) -> Iterator[Advice]:
    name_key = ("name", virtual.name)
    _, before = owners.setdefault(name_key, (virtual, found.header))
    if before is not found.header:
        message = f"another virtual server is named `{virtual.name}` (line {before.line})"
        yield Advice(found.header, message, "give each a name of its own, so that commands can tell them apart")
    if virtual.fwmark:
        key: object = ("fwmark", virtual.fwmark, virtual.address.address.version if virtual.address else 4)
        what, place = f"firewall mark {virtual.fwmark}", found.of("fwmark")
    elif virtual.address is not None:
        key = (virtual.protocol, virtual.address.address, virtual.port)
        what, place = f"{virtual.protocol.word} {virtual.address.address} port {virtual.port}", found.of("address")
    else:
        return
    first, header = owners.setdefault(key, (virtual, found.header))
    if first is not virtual or header is not found.header:
        message = f"{what} belongs to virtual server `{first.name}` already (line {header.line})"
        yield Advice(place, message, "give one of them another address, port or protocol, or `active = 0`")


RULES = (half_that_runs, inert_directives, masks, devices, data_plane, shared_keys)
