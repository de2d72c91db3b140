"""The lease gate without BPF: an nftables table of our own, for the IPVS plane and for kernels that refuse the programs.

The lease is a set whose elements (devices) time out. As in `gate.py` the kernel renews it, by a rule that sees an active
heartbeat leave; the rule asks for the lease before, so one that ran out is not revived. Packets of this kind need the
kernel's netdev egress hook (Linux 5.16). Same methods as `Gate`; what differs is told there.
"""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.pulse.gate import COUNTERS, FOREVER, WORD_BYTES, GateState, boot_time_ns
from piranha.pulse.rtnetlink import CREATE, NetlinkError, RouteSocket, attribute, attributes

TABLE = "piranha_gate"
_PRIORITY = -500  # before everybody's filters
_NFT_TIMEOUT_S = 20
_NETLINK_NETFILTER = 12
_NFPROTO_NETDEV = 5
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_DELTABLE, _NEWCHAIN, _GETCHAIN = _SUBSYSTEM | 2, _SUBSYSTEM | 3, _SUBSYSTEM | 4
_NEWSETELEM, _GETSETELEM, _DELSETELEM = _SUBSYSTEM | 12, _SUBSYSTEM | 13, _SUBSYSTEM | 14
_NEWOBJ, _GETOBJ = _SUBSYSTEM | 18, _SUBSYSTEM | 19
_TABLE_NAME, _CHAIN_TABLE, _CHAIN_NAME = 1, 1, 3
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS = 1, 2, 3
_ELEMENT, _KEY, _TIMEOUT, _EXPIRATION, _DATA_VALUE = 1, 1, 4, 5, 1
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_DATA, _COUNTER_PACKETS = 1, 2, 4, 2
_NESTED = 0x8000
_MILLISECOND = 1_000_000


class NftGate:
    """The gate of one director as nftables rules, in the network namespace of the thread that opened it.

    `enable`, `set_addresses`, `attach` and `disable` run `nft` (some ten milliseconds); claim, drop and state are netlink
    messages. The clock of the lease is the kernel's jiffies: time that a machine was suspended does not count.
    """

    def __init__(self) -> None:
        self._netlink = RouteSocket(protocol=_NETLINK_NETFILTER)
        self._addresses: frozenset[IPAddress] = frozenset()
        self._devices: dict[str, int] = {}
        self._enabled = False
        self._told = False
        self._word, self._port, self._lease_ns = bytes(WORD_BYTES), 0, 0
        self._installed = ""

    @staticmethod
    def open() -> NftGate:
        """Adopt what an earlier life left, lease and all. Raises PiranhaError without `nft` or the kernel's nftables."""
        gate = NftGate()
        try:
            _nft(_definitions())
            gate._adopt()
        except BaseException:
            gate.close()
            raise
        return gate

    def enable(self, *, active_word: bytes, heartbeat_port: int, lease_ns: int) -> None:
        """As `Gate.enable`; a lease has at least a millisecond."""
        if len(active_word) != WORD_BYTES:
            raise ValueError(f"the word of an active heartbeat has {WORD_BYTES} bytes, not {len(active_word)}")
        self._word, self._port, self._lease_ns = active_word, heartbeat_port, max(lease_ns, _MILLISECOND)
        self._enabled = self._told = True
        self._install()

    def disable(self) -> None:
        self.drop()
        self._enabled, self._told = False, True
        self._install()

    def set_addresses(self, addresses: Iterable[IPAddress]) -> None:
        self._addresses = frozenset(addresses)
        self._install()

    def claim(self, until_ns: int) -> None:
        remaining = (until_ns - boot_time_ns()) // _MILLISECOND
        if remaining <= 0:
            self.drop()
            return
        timeout = b"" if until_ns >= FOREVER else attribute(_TIMEOUT, struct.pack("!Q", remaining))
        elements = b"".join(
            attribute(_NESTED | _ELEMENT, attribute(_NESTED | _KEY, attribute(_DATA_VALUE, _index(index))) + timeout)
            for index in self._devices.values()
        )
        batch = [(_DELSETELEM, 0, _lease_set())]
        if elements:
            batch.append((_NEWSETELEM, CREATE, _lease_set() + attribute(_NESTED | _ELEMENTS, elements)))
        self._batch(batch, "cannot claim the lease")

    def drop(self) -> None:
        self._batch([(_DELSETELEM, 0, _lease_set())], "cannot drop the lease")

    def until_ns(self) -> int:
        """The end of the lease; asks the kernel."""
        until = 0
        for _, body in self._netlink.dump(_GETSETELEM, _lease_set()):
            for element in _list(attributes(body[4:]).get(_ELEMENTS, b"")):
                given = attributes(element)
                if _EXPIRATION not in given:
                    return FOREVER
                until = max(until, boot_time_ns() + struct.unpack("!Q", given[_EXPIRATION])[0] * _MILLISECOND)
        return until

    def state(self) -> GateState:
        counted = self._counters()
        return GateState(
            enabled=self._enabled,
            until_ns=self.until_ns(),
            lease_ns=self._lease_ns,
            renewals=counted.get("renewals", 0),
            renewed_ns=0,  # rules keep no time
            counters={name: counted.get(name, 0) for name in COUNTERS},
        )

    def attach(self, interfaces: Iterable[str]) -> list[str]:
        """As `Gate.attach`; a rule set that is as it should be is not written again."""
        failures: list[str] = []
        devices: dict[str, int] = {}
        for name in dict.fromkeys(interfaces):
            try:
                devices[name] = socket.if_nametoindex(name)
            except OSError:
                failures.append(f"{name}: there is no such interface; the gate is attached when it appears")
        self._devices = devices
        self._install()
        return failures

    def detach(self) -> None:
        self._devices = {}
        self._install()

    def attached(self) -> frozenset[str]:
        chains = self._chains()
        return frozenset(name for name, index in self._devices.items() if {f"in_{index}", f"out_{index}"} <= chains)

    def close(self) -> None:
        """Let go; the rules stay in force."""
        self._netlink.close()

    # ---- rules ----

    def _adopt(self) -> None:
        """Rules of an earlier life stay in force, where they are, until this one has been told its own."""
        names = dict(socket.if_nameindex())
        for chain in self._chains():
            side, _, number = chain.partition("_")
            if side == "in" and number.isdecimal() and int(number) in names:
                self._devices[names[int(number)]] = int(number)
        self._enabled = bool(self._devices)

    def _install(self) -> None:
        if not self._told:
            return
        present = self._chains()
        wanted = self._rules()
        expected = (
            {f"{side}_{index}" for index in self._devices.values() for side in ("in", "out")}
            if self._enabled
            else set()
        )
        if wanted == self._installed and present == expected:
            return
        old = [
            line for name in sorted(present) for line in (f"flush chain {_where(name)}", f"delete chain {_where(name)}")
        ]
        _nft("\n".join([_definitions(), *old, wanted]))
        self._installed = wanted

    def _rules(self) -> str:
        four = sorted(str(a) for a in self._addresses if isinstance(a, IPv4Address))
        six = sorted(a for a in self._addresses if isinstance(a, IPv6Address))
        lines = [f"flush set netdev {TABLE} vips4", f"flush set netdev {TABLE} vips6"]
        if four:
            lines.append(f"add element netdev {TABLE} vips4 {{ {', '.join(four)} }}")
        if six:
            lines.append(f"add element netdev {TABLE} vips6 {{ {', '.join(map(str, six))} }}")
        targets = f"@th,64,128 {{ {', '.join(f'0x{int(a):032x}' for a in six)} }}"
        # A device's name may hold what a chain's may not, so chains have its number.
        for name, index in self._devices.items() if self._enabled else ():
            into, out = _where(f"in_{index}"), _where(f"out_{index}")
            hook = f'device "{name}" priority {_PRIORITY}; policy accept;'
            active = f"udp dport {self._port} @th,64,32 0x{self._word.hex()}"
            renewals = " ".join(
                f'update @lease {{ "{device}" timeout {self._lease_ns // _MILLISECOND}ms }}' for device in self._devices
            )
            lines += [
                f"add chain {into} {{ type filter hook ingress {hook} }}",
                f"add chain {out} {{ type filter hook egress {hook} }}",
                f"add rule {into} iif @lease accept",
                # The peer's announcement (sender and target alike) asks nothing; ours is dropped on its way out.
                f"add rule {into} arp operation request arp daddr ip @vips4 arp saddr ip != @vips4"
                " counter name arp_dropped drop",
                f"add rule {into} ip daddr @vips4 counter name ipv4_dropped drop",
                f"add rule {into} ip6 daddr @vips6 counter name ipv6_dropped drop",
                # Packets that were only routed on have no socket, hence no user, and match neither line.
                f"add rule {out} meta skuid != 0 {active} counter name foreign_heartbeats accept",
                f"add rule {out} meta skuid 0 {active} oif != @lease counter name late_heartbeats accept",
                f"add rule {out} meta skuid 0 {active} {renewals} counter name renewals accept",
                f"add rule {out} oif @lease accept",
                f"add rule {out} arp saddr ip @vips4 counter name announcements_dropped drop",
                f"add rule {out} ip6 saddr @vips6 icmpv6 type 133-137 counter name announcements_dropped drop",
            ]
            if six:
                lines += [
                    f"add rule {into} icmpv6 type nd-neighbor-solicit {targets} counter name ndp_dropped drop",
                    f"add rule {out} icmpv6 type nd-neighbor-advert {targets} counter name announcements_dropped drop",
                ]
        return "\n".join(lines)

    # ---- netlink ----

    def _chains(self) -> set[str]:
        found = set()
        for kind, body in self._netlink.dump(_GETCHAIN, _generic()):
            given = attributes(body[4:])
            if kind == _NEWCHAIN and body[0] == _NFPROTO_NETDEV and _text(given.get(_CHAIN_TABLE, b"")) == TABLE:
                found.add(_text(given.get(_CHAIN_NAME, b"")))
        return found

    def _counters(self) -> dict[str, int]:
        found = {}
        for kind, body in self._netlink.dump(_GETOBJ, _generic() + attribute(_OBJECT_TABLE, _name(TABLE))):
            given = attributes(body[4:])
            packets = attributes(given.get(_OBJECT_DATA, b"")).get(_COUNTER_PACKETS, bytes(8))
            if kind == _NEWOBJ and body[0] == _NFPROTO_NETDEV and _text(given.get(_OBJECT_TABLE, b"")) == TABLE:
                found[_text(given.get(_OBJECT_NAME, b""))] = int(struct.unpack("!Q", packets)[0])
        return found

    def _batch(self, changes: list[tuple[int, int, bytes]], what: str) -> None:
        _commit(self._netlink, changes, what)


def unload() -> bool:
    """Take the table out of this network namespace; False when there was none."""
    try:
        netlink = RouteSocket(protocol=_NETLINK_NETFILTER)
    except OSError:
        return False
    try:
        _commit(netlink, [(_DELTABLE, 0, _generic() + attribute(_TABLE_NAME, _name(TABLE)))], "cannot remove the gate")
    except NetlinkError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):
            return False
        raise
    finally:
        netlink.close()
    return True


def _commit(netlink: RouteSocket, changes: list[tuple[int, int, bytes]], what: str) -> None:
    """One transaction: all of it or nothing."""
    frame = struct.pack("!BBH", 0, 0, _SUBSYSTEM >> 8)
    results = netlink.transact([(_BATCH_BEGIN, 0, frame), *changes, (_BATCH_END, 0, frame)])
    failed = next((number for number in results if number), 0)
    if failed:
        raise NetlinkError(what, failed)


def _definitions() -> str:
    """What a table of ours has, whatever is attached; harmless where it is there."""
    lines = [
        f"add table netdev {TABLE}",
        f"add set netdev {TABLE} vips4 {{ type ipv4_addr; }}",
        f"add set netdev {TABLE} vips6 {{ type ipv6_addr; }}",
        f"add set netdev {TABLE} lease {{ type iface_index; size 1024; flags dynamic,timeout; }}",
    ]
    return "\n".join([*lines, *(f"add counter netdev {TABLE} {name}" for name in (*COUNTERS, "renewals"))])


def _nft(text: str) -> None:
    """Run `nft` on one transaction. Raises PiranhaError with what it said."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"], input=text + "\n", capture_output=True, text=True, timeout=_NFT_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise PiranhaError("the command `nft` is missing", mend="install nftables, or use the eBPF plane") from None
    except subprocess.TimeoutExpired:
        raise PiranhaError(f"`nft` did not end within {_NFT_TIMEOUT_S} s") from None
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), "no reason given")
        raise PiranhaError(
            f"nft refuses the gate: {said}", mend="it needs root and Linux 5.16 with nftables (nf_tables)"
        )


def _where(chain: str) -> str:
    return f"netdev {TABLE} {chain}"


def _generic() -> bytes:
    """`struct nfgenmsg`."""
    return struct.pack("!BBH", _NFPROTO_NETDEV, 0, 0)


def _lease_set() -> bytes:
    return _generic() + attribute(_ELEMENTS_TABLE, _name(TABLE)) + attribute(_ELEMENTS_SET, _name("lease"))


def _index(index: int) -> bytes:
    return struct.pack("=I", index)


def _name(text: str) -> bytes:
    return text.encode() + b"\0"


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def _list(raw: bytes) -> list[bytes]:
    """Attributes of one kind, in order."""
    found, position = [], 0
    while position + 4 <= len(raw):
        (length,) = struct.unpack_from("=H", raw, position)
        if length < 4:
            break
        found.append(raw[position + 4 : position + length])
        position += (length + 3) & ~3
    return found
