"""The text of `ipvsadm -S` (and of scripts of ipvsadm commands) as a draft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from piranha.config.names import Names
from piranha.dataplane.port import AddDestination, AddService, Clear, SetTimeouts, StartDaemon
from piranha.importers.draft import Draft, DraftServer, DraftVirtual
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.source import Source
from piranha.importers.values import SCHEDULERS, Values
from piranha.ipvsadm.command import Change
from piranha.ipvsadm.failure import CommandLineError
from piranha.ipvsadm.parse import parse
from piranha.model.address import IPAddress, format_endpoint
from piranha.model.configuration import SchedulerFlagWord
from piranha.model.service import Destination, Protocol, SchedulerFlag, Service, ServiceKey

MAX_WORDS = 100
_FLAGS = {
    SchedulerFlag.SCHED1: ("fallback", "flag-1"),
    SchedulerFlag.SCHED2: ("port", "flag-2"),
    SchedulerFlag.SCHED3: ("", "flag-3"),
}


class _TableNames:
    """The names of an import, as ipvsadm's parser asks for them."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def address(self, host: str) -> IPv4Address | None:
        found = self._names.host(host) if host else None
        return found if isinstance(found, IPv4Address) else None

    def host(self, address: IPAddress) -> str | None:
        return None

    def port(self, name: str, protocol: Protocol) -> int | None:
        return self._names.port(name) if name else None

    def service(self, port: int, protocol: Protocol) -> str | None:
        return None


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Fill the draft from the files, as if one were restored after the other."""
    names, values = _TableNames(options.names), Values(ledger, options)
    services: dict[ServiceKey, DraftVirtual] = {}
    for file in files:
        for number, raw in enumerate(source.text(file).split("\n"), start=1):
            place = Place(file, number)
            text = raw.partition(" #")[0].strip().removeprefix("\ufeff").strip()
            if not text or text.startswith("#"):
                continue
            words = text.split()[: MAX_WORDS + 1]
            if words[0].rpartition("/")[2] == "ipvsadm":
                words = words[1:]
            if not words or len(words) > MAX_WORDS:
                ledger.error(place, "this is no command of ipvsadm")
                continue
            try:
                command = parse("ipvsadm", words, names)
            except CommandLineError as failure:
                ledger.error(place, f"ipvsadm refuses this line: {failure.text.strip()}")
                continue
            if not isinstance(command, Change):
                ledger.left(place, "this command changes nothing")
                continue
            match command.operation:
                case AddService(service=service):
                    if service.key in services:
                        ledger.error(place, f"{service.key} is there already")
                        continue
                    made = _virtual(place, service, values)
                    services[service.key] = made
                    draft.virtuals.append(made)
                    ledger.carried(place)
                case AddDestination(service=key, destination=destination):
                    if key not in services:
                        ledger.error(place, f"there is no service {key} before this line")
                        continue
                    services[key].servers.append(_server(place, destination))
                    ledger.carried(place)
                case SetTimeouts(timeouts=timeouts):
                    draft.pair = replace(
                        draft.pair,
                        tcp_timeout_s=timeouts.tcp_s,
                        tcpfin_timeout_s=timeouts.tcp_fin_s,
                        udp_timeout_s=timeouts.udp_s,
                    )
                    ledger.carried(place)
                case StartDaemon(daemon=daemon):
                    draft.pair = replace(
                        draft.pair,
                        syncdaemon=True,
                        syncd_iface=daemon.interface,
                        syncd_id=daemon.sync_id,
                        syncd_group=daemon.group,
                        syncd_port=daemon.port,
                        syncd_ttl=daemon.ttl,
                        syncd_maxlen=daemon.max_length,
                    )
                    ledger.changed(place, "becomes syncdaemon = 1; which half runs follows the director's role")
                case Clear():
                    ledger.carried(place, "lvs.cf describes a whole table")
                case _:
                    ledger.left(place, "lvs.cf describes a table, it does not change one: import `ipvsadm -S -n`")


def _virtual(place: Place, service: Service, values: Values) -> DraftVirtual:
    key = service.key
    name = f"fwmark-{key.mark}" if key.mark else format_endpoint(key.address, key.port)
    if key.mark and key.address.version == 6:
        name += "-ipv6"
    if key.protocol in (Protocol.UDP, Protocol.SCTP):
        name += f"/{key.protocol.word}"
    values.scheduler(place, service.scheduler)
    return DraftVirtual(
        place=place,
        name=name,
        vip=None if key.mark else key.address,
        port=key.port,
        mark=key.mark,
        version=key.address.version,
        protocol=Protocol.TCP if key.mark else key.protocol,
        scheduler=service.scheduler if service.scheduler in SCHEDULERS else "wlc",
        flags=_flag_words(service),
        one_packet=service.one_packet,
        persistent_s=service.persistent_s,
        pmask=service.persistence_prefix,
        engine=service.engine or None,
        unchecked="ipvsadm checks no servers: here a connect to the port is checked",
    )


def _flag_words(service: Service) -> tuple[SchedulerFlagWord, ...]:
    words = []
    for flag, (suffix, plain) in _FLAGS.items():
        if service.flags & flag:
            named = service.scheduler in ("sh", "mh") and suffix
            words.append(SchedulerFlagWord(f"{service.scheduler}-{suffix}" if named else plain))
    return tuple(words)


def _server(place: Place, destination: Destination) -> DraftServer:
    return DraftServer(
        place=place,
        address=destination.key.address,
        port=destination.key.port or None,
        weight=destination.weight,
        method=destination.method,
        upper_threshold=destination.upper_threshold,
        lower_threshold=destination.lower_threshold,
        tunnel=destination.tunnel,
        tunnel_port=destination.tunnel_port,
        tunnel_checksum=destination.tunnel_checksum,
    )
