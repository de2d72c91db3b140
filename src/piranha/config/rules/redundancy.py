"""Rules on the pair of directors: addresses, heartbeats, connection synchronisation."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.places import Places
from piranha.config.rules.advice import Advice
from piranha.config.values import format_time, parse_integer
from piranha.model.configuration import Configuration, HeartbeatAuth
from piranha.model.service import ForwardingMethod


def dead_time(configuration: Configuration, places: Places) -> Iterator[Advice]:
    keepalive, deadtime = configuration.keepalive_s, configuration.deadtime_s
    if keepalive is None or deadtime is None:
        return
    place = places.of("deadtime") if "deadtime" in places.values else places.of("keepalive")
    mend = f"write `deadtime = {format_time(keepalive * 3)}`, three times `keepalive`"
    if deadtime <= keepalive:
        message = (
            f"deadtime ({format_time(deadtime)}) is not above keepalive ({format_time(keepalive)}): "
            "a healthy partner is taken for dead"
        )
        yield Advice(place, message, mend)
    elif deadtime < 2 * keepalive:
        yield Advice(place, "deadtime is below two times keepalive: one lost heartbeat is a takeover", mend)


def backup_switch(configuration: Configuration, places: Places) -> Iterator[Advice]:
    asked = parse_integer(places.of("backup_active").text.strip("\"'")) == 1
    if configuration.backup is not None and not configuration.backup_active:
        message = "backup is given but backup_active is 0: there will be no takeover"
        mend = "write `backup_active = 1`, or remove `backup`"
        yield Advice(places.of("backup_active" if "backup_active" in places.values else "backup"), message, mend)
    if (
        asked
        and configuration.backup is None
        and ("backup" not in places.values or places.of("backup").text.startswith("0"))
    ):
        message = "backup_active counts as 0, because no backup is given"
        yield Advice(places.of("backup_active"), message, "write `backup = ADDRESS`, or `backup_active = 0`")


def director_addresses(configuration: Configuration, places: Places) -> Iterator[Advice]:
    primary, backup = configuration.primary, configuration.backup
    if configuration.backup_active and primary is None and "primary" not in places.values:
        message = "primary is not given: both directors take themselves for the backup"
        yield Advice(places.of("backup"), message, "write `primary = ADDRESS`")
    if primary is not None and primary == backup:
        yield Advice(
            places.of("backup"), "backup has the same address as primary", "write the other director's address"
        )
    if "backup_private" in places.values and "primary_private" not in places.values and primary is not None:
        message = "backup_private is ignored, because primary_private is not given"
        yield Advice(places.of("backup_private"), message, "write `primary_private = ADDRESS` too")
    private, other = configuration.primary_private, configuration.backup_private
    if private is not None and private == other and private != primary:
        message = "backup_private has the same address as primary_private"
        yield Advice(places.of("backup_private"), message, "write the other director's address")


def needs_a_backup(configuration: Configuration, places: Places) -> Iterator[Advice]:
    """What has no effect on a director that stands alone."""
    if configuration.backup_active or "backup" in places.values:
        return
    if configuration.syncdaemon:
        message = "syncdaemon has no effect without a backup director"
        yield Advice(places.of("syncdaemon"), message, "write `backup = ADDRESS` and `backup_active = 1`")
    if configuration.monitor_links:
        message = "monitor_links has no effect without a backup director"
        yield Advice(places.of("monitor_links"), message, "write `monitor_links = 0`")


def sync_group(configuration: Configuration, places: Places) -> Iterator[Advice]:
    group = configuration.syncd_group
    if group is not None and not group.is_multicast:
        message = f"syncd_group {group} is no multicast address: no director can listen to it"
        yield Advice(places.of("syncd_group"), message, "write `syncd_group = 224.0.0.81`, or remove the line")
    if configuration.syncd_link_port and not configuration.syncdaemon:
        message = "syncd_link_port has no effect without syncdaemon"
        yield Advice(places.of("syncd_link_port"), message, "write `syncdaemon = 1`")


def flags_without_effect(configuration: Configuration, places: Places) -> Iterator[Advice]:
    if "heartbeat" in places.values and not configuration.heartbeat:
        message = "heartbeat = 0 does not switch the heartbeats off: nothing reads it"
        yield Advice(places.of("heartbeat"), message, "write `backup_active = 0` to stand alone, and `heartbeat = 1`")
    if configuration.monitor_links not in (0, 1):
        message = f"monitor_links = {configuration.monitor_links} counts as 1"
        yield Advice(places.of("monitor_links"), message, "write `monitor_links = 1`")


def unsealed_heartbeats(configuration: Configuration, places: Places) -> Iterator[Advice]:
    if configuration.heartbeat_auth is HeartbeatAuth.NONE and configuration.backup_active:
        message = "heartbeat_auth = none: whoever can send from the partner's address can start and stop this director"
        mend = (
            "write `heartbeat_auth = sealed` as soon as both directors are Piranha 1 or later, and run `piranha pair`"
        )
        yield Advice(places.of("heartbeat_auth"), message, mend)


def failback_without_effect(configuration: Configuration, places: Places) -> Iterator[Advice]:
    if "failback_delay" in places.values and not configuration.failback:
        message = "failback_delay has no effect without failback"
        yield Advice(places.of("failback_delay"), message, "write `failback = 1`, or remove it")


def one_port_twice(configuration: Configuration, places: Places) -> Iterator[Advice]:
    if configuration.backup_active and configuration.syncd_link_port == configuration.link_port:
        message = (
            f"syncd_link_port = {configuration.syncd_link_port} is the port of the pair link: only one of them works"
        )
        mend = f"write `syncd_link_port = {configuration.link_port % 65535 + 1}`"
        yield Advice(places.of("syncd_link_port"), message, mend)


def nat_router(configuration: Configuration, places: Places) -> Iterator[Advice]:
    forwards = {configuration.network} | {
        server.forward for virtual in configuration.virtuals for server in virtual.servers if server.forward is not None
    }
    masquerades = ForwardingMethod.MASQUERADE in forwards
    if configuration.nat_router is not None and not masquerades:
        message = f"nat_router has no effect with `network = {configuration.network}`"
        yield Advice(places.of("nat_router"), message, "remove it, or write `network = nat`")
    if configuration.nat_nmask is not None and configuration.nat_router is None and "nat_router" not in places.values:
        message = "nat_nmask has no effect without nat_router"
        yield Advice(places.of("nat_nmask"), message, "write `nat_router = ADDRESS DEVICE`")
    has_virtuals = any(virtual.active for virtual in configuration.virtuals)
    if configuration.backup_active and masquerades and has_virtuals and "nat_router" not in places.values:
        message = "network is nat and nat_router is not given: the real servers' gateway stays behind at a takeover"
        place = places.of("network") if "network" in places.values else places.of("backup_active")
        yield Advice(place, message, "write `nat_router = ADDRESS DEVICE` and make it the real servers' gateway")


RULES = (
    dead_time,
    backup_switch,
    director_addresses,
    needs_a_backup,
    sync_group,
    flags_without_effect,
    unsealed_heartbeats,
    failback_without_effect,
    one_port_twice,
    nat_router,
)
