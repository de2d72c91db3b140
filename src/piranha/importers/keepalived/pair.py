"""VRRP and the global definitions of keepalived.conf as the settings of a pair of directors, as far as they go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from piranha.config.values import parse_ip
from piranha.importers.draft import Draft, VipDevice
from piranha.importers.keepalived.blocks import Statement
from piranha.importers.keepalived.reasons import GLOBAL_LEFT, INSTANCE_LEFT, NO_TRACKING
from piranha.importers.keepalived.walk import Handler, walk
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.values import Values, mask_of
from piranha.model.address import IPAddress
from piranha.model.configuration import DeviceAddress
from piranha.model.service import ForwardingMethod

_SCRIPTS = ("notify_master", "notify_backup", "notify")


@dataclass(slots=True)
class Vip:
    """A virtual address of an instance. `used` once a virtual server has it."""

    place: Place
    address: IPAddress
    device: str
    bits: int | None


@dataclass(slots=True)
class _Instance:
    place: Place
    name: str
    master: bool | None = None
    device: str = ""
    number: int = 0
    own: tuple[Place, IPAddress] | None = None
    peers: list[tuple[Place, IPAddress]] = field(default_factory=list)
    vips: list[Vip] = field(default_factory=list)


class PairReader:
    """Reads the VRRP half of a file into `draft.pair` and `draft.devices`."""

    def __init__(self, draft: Draft, ledger: Ledger, values: Values, options: ImportOptions) -> None:
        self._draft = draft
        self._ledger = ledger
        self._values = values
        self._options = options
        self._instances: list[_Instance] = []
        self._commands: dict[str, Place] = {}
        self._sync_place: Place | None = None
        self._sync_instance = ""
        self._places: dict[str, Place] = {}

    def take_globals(self, statement: Statement) -> None:
        self._ledger.carried(statement.place)
        handlers = {
            "lvs_sync_daemon": self._take_sync,
            "lvs_timeouts": self._take_timeouts,
            "lvs_flush": self._take_flush,
            "vrrp_startup_delay": self._take_startup,
        }
        walk(statement.inner, handlers, GLOBAL_LEFT, self._ledger)

    def take_group(self, statement: Statement) -> None:
        """A vrrp_sync_group: all VIPs of the pair move together, always."""
        self._ledger.changed(statement.place, "all VIPs of a pair move together, always")

        def members(inner: Statement) -> None:
            self._ledger.carried(inner.place)
            for member in inner.inner:
                self._ledger.carried(member.place)

        instance = _Instance(statement.place, " ".join(statement.arguments))
        handlers = {
            "group": members,
            "track_interface": self._take_links,
            **{word: self._command_taker(instance, "GROUP") for word in _SCRIPTS},
        }
        walk(statement.inner, handlers, {**INSTANCE_LEFT, "global_tracking": NO_TRACKING}, self._ledger)

    def take_instance(self, statement: Statement) -> None:
        instance = _Instance(statement.place, " ".join(statement.arguments))
        self._instances.append(instance)
        self._ledger.changed(statement.place, "becomes the settings of the pair of directors")
        device = statement.first("interface")
        if device is not None:
            instance.device = _one(device)
            self._ledger.changed(device.place, "is the device of the VIPs")
        handlers = {
            "interface": lambda inner: None,
            "state": lambda inner: self._take_state(instance, inner),
            "virtual_router_id": lambda inner: self._take_number(instance, inner),
            "priority": lambda inner: self._take_priority(instance, inner),
            "advert_int": self._take_rhythm,
            "nopreempt": lambda inner: self._take_preemption(inner, failback=False),
            "preempt": lambda inner: self._take_preemption(inner, failback=True),
            "preempt_delay": self._take_delay,
            "unicast_src_ip": lambda inner: self._take_own(instance, inner),
            "mcast_src_ip": lambda inner: self._take_own(instance, inner),
            "unicast_peer": lambda inner: self._take_peers(instance, inner),
            "virtual_ipaddress": lambda inner: self._take_vips(instance, inner),
            "virtual_ipaddress_excluded": lambda inner: self._take_vips(instance, inner),
            "track_interface": self._take_links,
            "lvs_sync_daemon_interface": lambda inner: self._take_old_sync(instance, inner),
            "lvs_sync_daemon_inteface": lambda inner: self._take_old_sync(instance, inner),
            **{word: self._command_taker(instance, "INSTANCE") for word in _SCRIPTS},
        }
        if statement.first("nopreempt", "preempt") is None and self._draft.pair.failback is False:
            self._set(failback=True)
            self._ledger.changed(statement.place, "failback = 1: a VRRP master takes its addresses back by itself")
        walk(statement.inner, handlers, INSTANCE_LEFT, self._ledger)
        authentication = statement.first("authentication")
        for inner in authentication.inner if authentication is not None else ():
            for word in inner.arguments if inner.keyword in ("auth_pass", "auth_hmac_key", "auth_key") else ():
                self._ledger.hide(word)

    def finish(self) -> None:
        """Once everything is read: who is primary, and which VIPs nobody uses."""
        for instance in self._instances:
            for vip in instance.vips:
                mask = None if vip.bits is None else mask_of(vip.address, vip.bits)
                self._draft.devices.setdefault(vip.address, VipDevice(device=vip.device, mask=mask))
        self._settle_vips()
        self._settle_directors()
        for instance in self._instances:
            if self._sync_instance and instance.name == self._sync_instance and self._sync_place is not None:
                self._set(syncd_id=instance.number)
                self._ledger.changed(self._sync_place, f"syncd_id = {instance.number}, the number of {instance.name}")
        pair = self._draft.pair
        if pair.syncdaemon and not pair.backup_active and self._sync_place is not None:
            self._ledger.changed(self._sync_place, "has no effect until a backup is named")
        if pair.monitor_links and not pair.backup_active:
            self._set(monitor_links=0)
            if "links" in self._places:
                self._ledger.left(
                    self._places["links"], "links are watched for a pair alone: name --primary and --backup"
                )

    def _settle_vips(self) -> None:
        """VIPs that no virtual server has: one of them may be the real servers' gateway."""
        used = {virtual.vip for virtual in self._draft.virtuals}
        used |= {
            network.network_address
            for block in self._draft.marks
            for network in block.addresses
            if network.num_addresses == 1
        }
        spare = [vip for instance in self._instances for vip in instance.vips if vip.address not in used]
        hidden = [
            server.address
            for virtual in self._draft.virtuals
            for server in virtual.servers
            if server.method is ForwardingMethod.MASQUERADE
        ]
        for instance in self._instances:
            for vip in instance.vips:
                if vip.address in used:
                    self._ledger.carried(vip.place)
        gateways = [vip for vip in spare if any(_same_network(vip, server) for server in hidden)]
        for vip in spare:
            if vip is (gateways[0] if gateways else None):
                mask = mask_of(vip.address, vip.bits) if vip.bits is not None else None
                self._set(nat_router=DeviceAddress(address=vip.address, device=vip.device), nat_nmask=mask)
                message = (
                    "becomes nat_router: no virtual server has it, and it is in the network of masqueraded servers"
                )
                self._ledger.changed(vip.place, message)
                continue
            message = "no virtual server has this address, and lvs.cf brings up the VIPs of virtual servers alone"
            if hidden:
                message += "; if masqueraded servers use it as gateway, write it as nat_router"
            self._ledger.left(vip.place, message)

    def _settle_directors(self) -> None:
        """primary and backup, by the addresses that VRRP goes between."""
        primary, backup = self._options.primary, self._options.backup
        states = {instance.master for instance in self._instances if instance.master is not None}
        if len(states) > 1:
            message = "instances have different masters: in a pair one director is active for all VIPs"
            for instance in self._instances:
                self._ledger.changed(instance.place, message)
        leading = next((one for one in self._instances if one.own is not None or one.peers), None)
        if leading is not None and primary is None and backup is None:
            own = leading.own[1] if leading.own is not None else None
            other = leading.peers[0][1] if leading.peers else None
            for place, _ in leading.peers[1:]:
                self._ledger.left(place, "a pair has two directors: the first peer is kept")
            is_master = leading.master is not False
            primary, backup = (own, other) if is_master else (other, own)
            where = {own: leading.own, other: leading.peers[0] if leading.peers else None}
            for address, role in ((primary, "primary"), (backup, "backup")):
                pair = where.get(address)
                if address is not None and pair is not None:
                    self._ledger.changed(pair[0], f"becomes {role}")
        for instance in self._instances:
            for place, address in (*((instance.own,) if instance.own else ()), *instance.peers):
                if address not in (primary, backup):
                    self._ledger.left(place, "the directors are those of the first instance, or of the command line")
                self._ledger.carried(place)
        if primary is not None and backup is not None:
            self._set(primary=primary, backup=backup, backup_active=True)
        elif self._instances:
            missing = "VRRP by multicast does not name the other director"
            self._ledger.changed(
                self._instances[0].place, f"{missing}: name both with --primary ADDRESS --backup ADDRESS"
            )
            self._set(keepalive_s=None, deadtime_s=None, failback=False, failback_delay_s=30)
            for setting in ("rhythm", "preemption", "delay"):
                if setting in self._places:
                    self._ledger.left(self._places[setting], "counts for a pair alone: name --primary and --backup")

    def _take_state(self, instance: _Instance, statement: Statement) -> None:
        word = _one(statement).upper()
        if word not in ("MASTER", "BACKUP"):
            self._ledger.error(statement.place, f"`{_one(statement)}` is neither MASTER nor BACKUP")
            return
        instance.master = word == "MASTER"
        self._ledger.changed(statement.place, "says which director is primary: both have the same lvs.cf")

    def _take_number(self, instance: _Instance, statement: Statement) -> None:
        instance.number = self._values.number(statement.place, _one(statement), "virtual_router_id", 1, 255) or 0
        self._ledger.left(statement.place, "there is no VRRP: the pair knows itself by its key (`piranha pair`)")

    def _take_priority(self, instance: _Instance, statement: Statement) -> None:
        priority = self._values.number(statement.place, _one(statement), "a priority", 1, 255)
        if instance.master is None and priority is not None:
            instance.master = priority > 100
        self._ledger.left(statement.place, "there are no priorities: primary and backup are named")

    def _take_rhythm(self, statement: Statement) -> None:
        seconds = self._values.seconds(statement.place, _one(statement), "advert_int", least=0.01, most=255)
        if seconds is None:
            return
        if self._draft.pair.keepalive_s is not None and seconds >= self._draft.pair.keepalive_s:
            self._ledger.changed(statement.place, "the pair has one rhythm: the shortest is kept")
            return
        self._set(keepalive_s=seconds, deadtime_s=round(seconds * 4, 3))
        self._places["rhythm"] = statement.place
        message = "becomes keepalive, and deadtime after VRRP's rule (3 intervals and the skew)"
        self._ledger.changed(statement.place, f"{message}; without both, the profile's 100 ms and 400 ms")

    def _take_preemption(self, statement: Statement, *, failback: bool) -> None:
        self._set(failback=failback)
        self._places["preemption"] = statement.place
        self._ledger.changed(statement.place, f"becomes failback = {int(failback)}")

    def _take_delay(self, statement: Statement) -> None:
        seconds = self._values.seconds(statement.place, _one(statement), "preempt_delay", most=1000)
        if seconds is not None:
            self._set(failback_delay_s=seconds)
            self._places["delay"] = statement.place
            self._ledger.changed(statement.place, "becomes failback_delay")

    def _take_own(self, instance: _Instance, statement: Statement) -> None:
        address = self._values.address(statement.place, _one(statement))
        if address is not None:
            instance.own = (statement.place, address)

    def _take_peers(self, instance: _Instance, statement: Statement) -> None:
        self._ledger.carried(statement.place)
        for inner in statement.inner:
            address = self._values.address(inner.place, inner.keyword)
            if address is not None:
                instance.peers.append((inner.place, address))

    def _take_vips(self, instance: _Instance, statement: Statement) -> None:
        self._ledger.carried(statement.place)
        for inner in statement.inner:
            text, _, bits_text = inner.keyword.partition("/")
            address = self._values.address(inner.place, text)
            if address is None:
                continue
            bits = None
            if bits_text:
                bits = self._values.number(inner.place, bits_text, "a prefix", 1, address.max_prefixlen)
            device, rest = instance.device, list(inner.arguments)
            while rest:
                word = rest.pop(0)
                if (word == "dev" and rest) or (word == "label" and rest):
                    device = rest.pop(0)
                elif word in ("brd", "broadcast", "scope", "peer", "track_group", "preferred_lft") and rest:
                    self._ledger.left(inner.place, f"`{word} {rest.pop(0)}` has no place in lvs.cf")
                elif parse_ip(word.partition("/")[0]) is not None:
                    self._ledger.error(inner.place, f"`{word}`: write one address a line")
                else:
                    self._ledger.left(inner.place, f"`{word}` has no place in lvs.cf")
            device = device or self._options.device
            if not device:
                self._ledger.error(inner.place, f"no device is named for {address}: name it with --device eth0")
                continue
            instance.vips.append(Vip(inner.place, address, device, bits))

    def _take_links(self, statement: Statement) -> None:
        self._set(monitor_links=1)
        self._places["links"] = statement.place
        self._ledger.changed(statement.place, "monitor_links = 1 watches all links that the directors use")
        for inner in statement.inner:
            if len(inner.words) > 1:
                self._ledger.left(inner.place, "a link has no weight: a director without its link gives way")
            self._ledger.carried(inner.place)

    def _command_taker(self, instance: _Instance, kind: str) -> Handler:
        def take(statement: Statement) -> None:
            command = _one(statement)
            if len(statement.arguments) > 1:
                self._ledger.left(statement.place, "the command runs as root, whatever user is named")
            match statement.keyword:
                case "notify_master":
                    self._command("active_cmd", command, statement.place)
                case "notify_backup":
                    self._command("inactive_cmd", command, statement.place)
                case _:
                    for name, state in (("active_cmd", "MASTER"), ("inactive_cmd", "BACKUP")):
                        if name not in self._commands:
                            whole = f"{command} {kind} {instance.name} {state} 100"
                            self._command(name, whole, statement.place)

        return take

    def _command(self, name: str, command: str, place: Place) -> None:
        if name in self._commands:
            self._ledger.left(place, f"a pair has one {name}: put both commands into one script")
            return
        if '"' in command and "'" in command:
            self._ledger.left(place, "a command with both kinds of quotes does not fit into lvs.cf: use a script")
            return
        self._commands[name] = place
        self._set(**{name: command})
        self._ledger.changed(place, f"becomes {name}")

    def _take_old_sync(self, instance: _Instance, statement: Statement) -> None:
        self._take_sync(statement)
        if len(statement.arguments) == 1:
            self._sync_instance = instance.name

    def _take_sync(self, statement: Statement) -> None:
        words = list(statement.arguments)
        if not words:
            self._ledger.error(statement.place, "the interface is missing")
            return
        self._sync_place, self._sync_instance = statement.place, ""
        self._set(syncdaemon=True, syncd_iface=words.pop(0))
        self._ledger.carried(statement.place, "becomes syncdaemon = 1")
        bounds = {"id": ("syncd_id", 0, 255), "maxlen": ("syncd_maxlen", 1, 65507), "port": ("syncd_port", 1, 65535)}
        bounds["ttl"] = ("syncd_ttl", 1, 255)
        while words:
            word = words.pop(0)
            if word in bounds and words:
                name, least, most = bounds[word]
                number = self._values.number(statement.place, words.pop(0), word, least, most)
                if number is not None:
                    self._set(**{name: number})
            elif word == "group" and words:
                self._set(syncd_group=self._values.address(statement.place, words.pop(0)))
            elif word == "inst" and words:
                self._sync_instance = words.pop(0)
            elif word.isdecimal():
                number = self._values.number(statement.place, word, "id", 0, 255)
                if number is not None:
                    self._set(syncd_id=number)
            else:
                self._sync_instance = word
        if "id" in statement.arguments:
            self._sync_instance = ""

    def _take_timeouts(self, statement: Statement) -> None:
        words = list(statement.arguments)
        while len(words) > 1:
            name, text = words.pop(0), words.pop(0)
            if name not in ("tcp", "tcpfin", "udp"):
                self._ledger.error(statement.place, f"`{name}` is not tcp, tcpfin or udp")
                return
            seconds = self._values.number(statement.place, text, name, 1, 2**31 - 1)
            if seconds is not None:
                self._set(**{f"{name}_timeout_s": seconds})
        self._ledger.carried(statement.place)

    def _take_flush(self, statement: Statement) -> None:
        self._ledger.left(
            statement.place,
            "lvsd makes the table equal to the file all the time; `table_edits = repair` removes what others made too",
        )

    def _take_startup(self, statement: Statement) -> None:
        seconds = self._values.seconds(statement.place, _one(statement), "vrrp_startup_delay")
        if seconds is not None:
            self._set(start_delay_s=seconds)
            self._ledger.changed(statement.place, "becomes start_delay")

    def _set(self, **values: object) -> None:
        self._draft.pair = replace(self._draft.pair, **values)  # type: ignore[arg-type]


def _same_network(vip: Vip, server: IPAddress) -> bool:
    if vip.bits is None or vip.address.version != server.version or vip.bits == vip.address.max_prefixlen:
        return False
    shift = vip.address.max_prefixlen - vip.bits
    return int(vip.address) >> shift == int(server) >> shift


def _one(statement: Statement) -> str:
    return statement.arguments[0] if statement.arguments else ""
