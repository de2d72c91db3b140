"""Hypothesis strategies for whole configurations, and for texts as people leave them."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from hypothesis import strategies as st

from piranha.base.errors import PiranhaError
from piranha.config.check_directives import NEEDED
from piranha.config.directives import BY_SCOPE, Scope
from piranha.config.parser import resolve
from piranha.config.writer import quoted
from piranha.model.check_block import CheckBlock, CheckKind, ChecksNeeded, DnsRecord, HttpVersion, StatusRange
from piranha.model.configuration import (
    Configuration,
    DataPlaneChoice,
    DeviceAddress,
    HeartbeatAuth,
    HookChoice,
    ProfileChoice,
    RealServer,
    ReservationConflictAction,
    SchedulerFlagWord,
    ServiceMode,
    TableEdits,
    VirtualServer,
)
from piranha.model.mark import MOST_MARK, MarkBlock, PortRange
from piranha.model.service import ForwardingMethod, Protocol, TunnelChecksum, TunnelType

ORIGINAL_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh")
ALL_SCHEDULERS = (*ORIGINAL_SCHEDULERS, "sed", "nq", "fo", "ovf", "mh", "twos", "none")


def _is_writable(text: str) -> bool:
    try:
        quoted(text)
        quoted(text, always=True)
    except PiranhaError:
        return False
    return True


LETTERS = st.one_of(
    st.sampled_from(" \t\"'#{}[]=\\%*aAzZ09.:/-_"),
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\x00"),
)
TEXTS = st.text(LETTERS, max_size=12).filter(_is_writable)
PLAIN_TEXTS = st.text(st.sampled_from(" \t#{}[]=\\%*aAzZ09.:/-_"), max_size=12).filter(_is_writable)


NETWORKS = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: IPv4Network(pair, strict=False)),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda pair: IPv6Network(pair, strict=False)),
)
PORT_RANGES = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda ends: PortRange(min(ends), max(ends)))
MARK_BLOCKS = st.builds(
    MarkBlock,
    mark=st.integers(1, MOST_MARK),
    addresses=st.lists(NETWORKS, max_size=4).map(tuple),
    protocol=st.sampled_from(Protocol),
    ports=st.lists(PORT_RANGES, max_size=4).map(tuple),
)


def _check_blocks() -> st.SearchStrategy[CheckBlock]:
    """Blocks of every kind, with what each takes."""
    values: dict[str, st.SearchStrategy[object]] = {
        "address": st.none() | st.ip_addresses(),
        "port": st.none() | st.integers(1, 65535),
        "timeout_s": st.none() | st.integers(1, 86400),
        "rise": st.none() | st.integers(1, 99),
        "mark": st.integers(0, 2**32 - 1),
        "send": st.none() | TEXTS,
        "expect": st.none() | TEXTS,
        "use_regex": st.booleans(),
        "headers": st.lists(st.sampled_from(("Accept: a", "X-Two:  b c", "X:")), max_size=3).map(tuple),
        "status": st.lists(st.integers(100, 599).map(lambda n: StatusRange(n, min(n + 7, 599))), max_size=3).map(tuple),
        "http_version": st.sampled_from(HttpVersion),
        "record": st.sampled_from(DnsRecord),
        "login": st.none() | TEXTS,
        "password": st.none() | TEXTS,
        "tls": st.booleans(),
        "dynamic_weight": st.booleans(),
    }
    needed = {"command": TEXTS, "path": st.just("/run/health"), "secret": TEXTS}

    def of_kind(kind: CheckKind) -> st.SearchStrategy[CheckBlock]:
        taken = {one.field for one in BY_SCOPE[Scope.CHECK].values() if not one.kinds or kind in one.kinds}
        given = {name: strategy for name, strategy in values.items() if name in taken}
        given |= {name: needed[name] for name in NEEDED.get(kind, ())}
        return st.builds(CheckBlock, kind=st.just(kind), **given)

    return st.sampled_from(CheckKind).flatmap(of_kind)


def configurations(*, original: bool = False) -> st.SearchStrategy[Configuration]:
    """Resolved configurations; `original` keeps to what the original's language can say."""
    texts = PLAIN_TEXTS if original else TEXTS
    addresses = st.ip_addresses(v=4) if original else st.ip_addresses()
    specified = addresses.filter(lambda address: not address.is_unspecified)
    whole = st.integers(1, 86400)
    times = whole if original else st.one_of(whole, st.integers(1, 10**6).map(lambda ms: ms / 1000))
    idle = st.one_of(st.just(0), times)
    masks = specified.filter(lambda mask: int(mask) != 2**mask.max_prefixlen - 1)
    device_addresses = st.builds(DeviceAddress, address=addresses, device=texts)
    ports = st.integers(0, 65535)
    flags = st.booleans()
    ours = {
        "interval_s": st.none() if original else st.one_of(st.none(), times),
        "rise": st.none() if original else st.one_of(st.none(), st.integers(1, 99)),
        "fall": st.none() if original else st.one_of(st.none(), st.integers(1, 99)),
    }
    kind = {
        "scheduler_flags": st.lists(st.sampled_from(SchedulerFlagWord), max_size=3).map(tuple),
        "one_packet": flags,
        "persistence_engine": st.sampled_from((None, "sip")),
        "checks_needed": st.sampled_from(ChecksNeeded),
        "checks": st.lists(_check_blocks(), max_size=2).map(tuple),
    }
    threshold = st.integers(0, 2**31 - 1)
    server_kind = {
        "upper_threshold": threshold,
        "lower_threshold": threshold,
        "tunnel": st.sampled_from(TunnelType),
        "tunnel_port": ports,
        "tunnel_checksum": st.sampled_from(TunnelChecksum),
        "checks_needed": st.none() | st.sampled_from(ChecksNeeded),
        "checks": st.lists(_check_blocks(), max_size=2).map(tuple),
    }
    pmasks = st.one_of(st.none(), masks)
    servers = st.builds(
        RealServer,
        name=texts,
        address=st.one_of(st.none(), addresses),
        active=flags,
        weight=st.integers(0, 2**31 - 1),
        port=ports,
        forward=st.none() if original else st.one_of(st.none(), st.sampled_from(ForwardingMethod)),
        **({} if original else server_kind),
    )
    virtuals = st.builds(
        VirtualServer,
        name=texts,
        active=flags,
        address=st.one_of(st.none(), device_addresses),
        vip_nmask=st.one_of(st.none(), masks),
        sorry_server=st.one_of(st.none(), addresses),
        fwmark=st.integers(0, 2**32 - 1),
        protocol=st.sampled_from((Protocol.TCP, Protocol.UDP) if original else tuple(Protocol)[1:]),
        port=ports,
        scheduler=st.sampled_from(ORIGINAL_SCHEDULERS if original else ALL_SCHEDULERS),
        persistent_s=idle,
        pmask=pmasks if original else st.one_of(pmasks, st.integers(0, 128)),
        client_monitor=st.one_of(st.none(), texts),
        send=st.one_of(st.none(), texts),
        expect=st.one_of(st.none(), texts),
        use_regex=flags,
        send_program=st.one_of(st.none(), texts),
        timeout_s=times,
        reentry_s=idle,
        load_monitor=st.one_of(st.none(), texts),
        quiesce_server=flags,
        start_cmd=st.one_of(st.none(), texts),
        stop_cmd=st.one_of(st.none(), texts),
        servers=st.lists(servers, max_size=3).map(tuple),
        **ours,
        **({} if original else kind),
    )
    added = (
        {}
        if original
        else {
            "dataplane": st.sampled_from(DataPlaneChoice),
            "interfaces": st.lists(texts, max_size=3).map(tuple),
            "hook": st.sampled_from(HookChoice),
            "api_group": st.none() | texts,
            "table_edits": st.sampled_from(TableEdits),
            "profile": st.sampled_from(ProfileChoice),
            "heartbeat_auth": st.sampled_from(HeartbeatAuth),
            "pair_port": st.none() | st.integers(1, 65535),
            "failback": flags,
            "failback_delay_s": idle,
            "start_delay_s": idle,
            "marks": st.lists(MARK_BLOCKS, max_size=3).map(tuple),
            "syncd_group": st.none() | addresses,
            "syncd_port": st.integers(1, 65535),
            "syncd_ttl": st.integers(1, 255),
            "syncd_maxlen": st.integers(0, 65507),
            "syncd_link_port": st.integers(0, 65535),
            "sync_threshold": st.none() | st.integers(0, 1000),
            "sync_period": st.integers(0, 1000),
            "sync_refresh_period_s": idle,
            "sync_persist_mode": flags,
            "conn_reuse_mode": st.integers(0, 3),
            **dict.fromkeys(("expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp", "sloppy_sctp"), flags),
            **dict.fromkeys(("cache_bypass", "pmtu_disc", "nat_icmp_send", "schedule_icmp"), flags),
            **dict.fromkeys(("drop_entry", "drop_packet", "secure_tcp"), st.integers(0, 3)),
            **dict.fromkeys(("amemthresh", "am_droprate"), st.integers(0, 2**31 - 1)),
            **dict.fromkeys(("lblc_expiration", "lblcr_expiration"), st.integers(1, 10**6)),
        }
    )
    return st.builds(
        Configuration,
        serial_no=st.integers(0, 2**63 - 2),
        service=st.sampled_from(ServiceMode),
        primary=st.one_of(st.none(), specified),
        primary_private=st.one_of(st.none(), specified),
        primary_shared=st.one_of(st.none(), texts),
        backup=st.one_of(st.none(), addresses, st.just(IPv4Address("0.0.0.0"))),
        backup_private=st.one_of(st.none(), addresses),
        backup_shared=st.one_of(st.none(), texts),
        backup_active=flags,
        heartbeat=flags,
        heartbeat_port=st.integers(1, 65535),
        keepalive_s=st.one_of(st.none(), times),
        deadtime_s=st.one_of(st.none(), times),
        network=st.sampled_from(ForwardingMethod),
        nat_router=st.one_of(st.none(), device_addresses),
        nat_nmask=st.one_of(st.none(), masks),
        active_cmd=st.one_of(st.none(), texts),
        inactive_cmd=st.one_of(st.none(), texts),
        monitor_links=st.integers(0, 3),
        debug_level=texts,
        hard_shutdown=flags,
        ipvsadm=texts,
        rsh_command=texts,
        syncdaemon=flags,
        syncd_iface=texts,
        syncd_id=st.integers(0, 255),
        tcp_timeout_s=idle,
        tcpfin_timeout_s=idle,
        udp_timeout_s=idle,
        reservation_conflict_action=st.one_of(st.none(), st.sampled_from(ReservationConflictAction)),
        sync=flags,
        virtuals=st.lists(virtuals, max_size=3).map(tuple),
        failovers=st.lists(virtuals, max_size=2).map(tuple),
        **added,
    ).map(resolve)


def noisy(text: str, chance: random.Random, *, comments_behind: bool = True) -> str:
    """The same configuration as people leave it: comments, blank lines, odd indentation, CR LF, no last line end."""
    ending = chance.choice(("\n", "\n", "\r\n"))
    lines: list[str] = []
    for line in text.split("\n")[:-1]:
        while chance.random() < 0.2:
            lines.append(chance.choice(("", "  # a note", "#", "\t", '# "half a quote')))
        indent = chance.choice(("", " ", "\t", "     ", line[: len(line) - len(line.lstrip(" "))]))
        behind = "  # why" if comments_behind and chance.random() < 0.1 else ""
        lines.append(indent + line.lstrip(" ") + behind)
    body = ending.join(lines)
    return body if chance.random() < 0.2 else body + ending
