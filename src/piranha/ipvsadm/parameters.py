"""The parameters of one command line, taken word by word as ipvsadm does: what comes later may depend on what came first."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.ipvsadm.allowed import check_tunnel, has_tunnel_options
from piranha.ipvsadm.endpoint import Endpoint, read_endpoint
from piranha.ipvsadm.failure import CommandLineError
from piranha.ipvsadm.names import Names, colons, dotted
from piranha.ipvsadm.numbers import leading_number, number
from piranha.ipvsadm.schedflags import read_flags
from piranha.model.address import IPAddress
from piranha.model.service import (
    FULL_MASK,
    NO_FLAGS,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    TunnelChecksum,
    TunnelType,
    persistence_prefix,
)

DEFAULT_SCHEDULER = "wlc"
DEFAULT_PERSISTENT_S = 360
DEFAULT_INTERFACE = "eth0"
LONGEST_PERSISTENT_S = 31 * 24 * 3600
_LONGEST_NAME = 15
"""Of a scheduler, an engine or an interface; the rest of the word is dropped."""
_HIGHEST = 2**31 - 1
_LONGEST_SYNC = 65535 - 20 - 8

_PROTOCOLS = {"tcp-service": Protocol.TCP, "udp-service": Protocol.UDP, "sctp-service": Protocol.SCTP}
_METHODS = {
    "masquerading": ForwardingMethod.MASQUERADE,
    "ipip": ForwardingMethod.TUNNEL,
    "gatewaying": ForwardingMethod.DIRECT,
}
_CHECKSUMS = {
    "tun-nocsum": TunnelChecksum.NONE,
    "tun-csum": TunnelChecksum.FULL,
    "tun-remcsum": TunnelChecksum.REMOTE,
}
_GIVEN_AS = {
    **dict.fromkeys((*_PROTOCOLS, "fwmark-service"), "service-address"),
    **dict.fromkeys(_METHODS, "forwarding-method"),
}
"""Options that messages know by another name than the command line."""
_UNCOUNTED = frozenset(("sort", "ipv6"))


class Parameters:
    """`given` are the options so far, by the names of messages. `take` all of them, then `finish`, then ask."""

    def __init__(self, names: Names) -> None:
        self.given: set[str] = set()
        self.sync_id = 0
        self._names = names
        self._protocol = Protocol.IP
        self._mark = 0
        self._version = 4
        self._address: IPAddress = IPv4Address(0)
        self._port = 0
        self._mask = FULL_MASK
        self._scheduler = ""
        self._flag_words = ""
        self._flags = NO_FLAGS
        self._persistent_s = 0
        self._engine = ""
        self._server = Endpoint(IPv4Address(0), 0)
        self._server_port = 0
        self._method = ForwardingMethod.DIRECT
        self._numbers = {"weight": 1, "u-threshold": 0, "l-threshold": 0, "tun-port": 0}
        self._tunnel = TunnelType.IPIP
        self._checksum = TunnelChecksum.NONE
        self._interface = DEFAULT_INTERFACE
        self._group: IPAddress | None = None
        self._sync_numbers = {"mcast-port": 8848, "mcast-ttl": 1, "sync-maxlen": 0}

    def has(self, option: str) -> bool:
        return option in self.given

    def take(self, name: str, value: str | None) -> None:
        """One option with its value. Raises CommandLineError for one that is there already, or a wrong value."""
        if name not in _UNCOUNTED:
            given = _GIVEN_AS.get(name, name)
            if given in self.given:
                raise CommandLineError(f"multiple '{given}' options specified")
            self.given.add(given)
        text = value or ""
        match name:
            case "tcp-service" | "udp-service" | "sctp-service":
                self._take_service(_PROTOCOLS[name], text)
            case "fwmark-service":
                self._take_mark(text)
            case "ipv6":
                self._take_ipv6()
            case "netmask":
                self._take_mask(text)
            case "persistent":
                self._take_persistent(value)
            case "real-server":
                self._take_server(text)
            case "masquerading" | "ipip" | "gatewaying":
                self._method = _METHODS[name]
            case "scheduler":
                self._scheduler = text[:_LONGEST_NAME]
            case "pe":
                self._engine = text[:_LONGEST_NAME]
            case "sched-flags":
                self._flag_words = text
            case "weight" | "u-threshold" | "l-threshold":
                self._numbers[name] = _value(text, 0, _HIGHEST, name.replace("-", "_"))
            case "tun-port":
                self._numbers[name] = _value(text, 1, 65535, "tunnel port")
            case "tun-type":
                if text not in list(TunnelType):
                    raise CommandLineError("illegal tunnel type specified")
                self._tunnel = TunnelType(text)
            case "tun-nocsum" | "tun-csum" | "tun-remcsum":
                self._checksum = _CHECKSUMS[name]
            case _:
                self._take_sync(name, text)

    def finish(self) -> None:
        """What can be read only when all options are there. Raises CommandLineError."""
        self._flags = read_flags(self._flag_words, self._scheduler)

    def key(self) -> ServiceKey:
        if self._mark:
            return ServiceKey.of_mark(self._mark, self._version)
        return ServiceKey(protocol=self._protocol, address=self._address, port=self._port)

    def service(self) -> Service:
        """Raises CommandLineError for what cannot be."""
        persistent = self.has("persistent")
        if not self._mark and not self._port and not persistent:
            raise CommandLineError("Zero port specified for non-persistent service")
        if self.has("ops") and not self._mark and self._protocol is not Protocol.UDP:
            raise CommandLineError("One-Packet Scheduling is only for UDP virtual services")
        return Service(
            key=self.key(),
            scheduler=self._scheduler or DEFAULT_SCHEDULER,
            flags=self._flags,
            persistent_s=self._persistent_s,
            persistence_prefix=persistence_prefix(self._mask, self._version) if persistent else None,
            engine=self._engine,
            one_packet=self.has("ops"),
        )

    def destination(self) -> Destination:
        """Raises CommandLineError for what cannot be."""
        tunnelled = self._method is ForwardingMethod.TUNNEL
        port = self._server_port
        if not self._mark and self._method is not ForwardingMethod.MASQUERADE:
            port = self._port
        if self._server.address.version != self._version and not tunnelled:
            raise CommandLineError("Different address family is allowed only for tunneling servers")
        if not tunnelled and has_tunnel_options(self.given):
            raise CommandLineError("Tunnel options conflict with forward method")
        check_tunnel(self._tunnel, self.given)
        return Destination(
            key=DestinationKey(address=self._server.address, port=port),
            method=self._method,
            weight=self._numbers["weight"],
            upper_threshold=self._numbers["u-threshold"],
            lower_threshold=self._numbers["l-threshold"],
            tunnel=self._tunnel,
            tunnel_port=self._numbers["tun-port"],
            tunnel_checksum=self._checksum,
        )

    def destination_key(self) -> DestinationKey:
        return DestinationKey(address=self._server.address, port=self._server_port)

    def daemon(self, role: SyncRole) -> SyncDaemon:
        return SyncDaemon(
            role=role,
            interface=self._interface,
            sync_id=self.sync_id,
            group=self._group,
            port=self._sync_numbers["mcast-port"],
            ttl=self._sync_numbers["mcast-ttl"],
            max_length=self._sync_numbers["sync-maxlen"],
        )

    def _take_service(self, protocol: Protocol, text: str) -> None:
        self._protocol = protocol
        found = read_endpoint(text, protocol, self._names)
        if found is None:
            raise CommandLineError("illegal virtual server address[:port] specified")
        self._address, self._port = found.address, found.port or 0
        self._version = found.address.version
        if self._version == 6:
            self._mask = 128

    def _take_mark(self, text: str) -> None:
        # The protocol only says where names of ports are looked up.
        self._protocol = Protocol.TCP
        mark = number(text, 1, 2**32 - 1)
        if mark is None:
            raise CommandLineError(f"invalid fwmark value `{text}' specified")
        self._mark = mark

    def _take_ipv6(self) -> None:
        if not self._mark:
            raise CommandLineError("-6 used before -f\n")
        self._version, self._mask = 6, 128

    def _take_mask(self, text: str) -> None:
        if self._version == 6:
            self._mask = leading_number(text)
            if not 1 <= self._mask <= 128:
                raise CommandLineError("illegal ipv6 netmask specified")
            return
        mask = dotted(text)
        if mask is None:
            raise CommandLineError("illegal virtual server persistent mask specified")
        self._mask = int(mask)

    def _take_persistent(self, value: str | None) -> None:
        seconds = DEFAULT_PERSISTENT_S if value is None else number(value, 1, LONGEST_PERSISTENT_S)
        if seconds is None:
            raise CommandLineError(f"invalid timeout value `{value}' specified")
        self._persistent_s = seconds

    def _take_server(self, text: str) -> None:
        found = read_endpoint(text, self._protocol, self._names)
        if found is None:
            raise CommandLineError("illegal real server address[:port] specified")
        self._server = found
        # The service's port so far: with -r before -t that is 0.
        self._server_port = self._port if found.port is None else found.port

    def _take_sync(self, name: str, text: str) -> None:
        match name:
            case "mcast-interface":
                self._interface = text[:_LONGEST_NAME] or DEFAULT_INTERFACE
            case "syncid":
                self.sync_id = _value(text, 0, 255, "syncid")
            case "mcast-group":
                self._group = _group(text)
            case "mcast-port":
                self._sync_numbers[name] = _value(text, 1, 65535, name)
            case "mcast-ttl":
                self._sync_numbers[name] = _value(text, 1, 255, name)
            case "sync-maxlen":
                self._sync_numbers[name] = _value(text, 1, _LONGEST_SYNC, name)


def _value(text: str, lowest: int, highest: int, what: str) -> int:
    value = number(text, lowest, highest)
    if value is None:
        raise CommandLineError(f"illegal {what} specified")
    return value


def _group(text: str) -> IPAddress:
    is_ipv6 = ":" in text
    group: IPv4Address | IPv6Address | None = colons(text) if is_ipv6 else dotted(text)
    if group is None or not group.is_multicast:
        raise CommandLineError(f"invalid {'IPv6' if is_ipv6 else 'IPv4'} mcast-group `{text}'")
    return group
