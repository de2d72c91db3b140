"""Reading the connection table: columns of a memory-mapped array, never entry by entry.

The table changes while it is read. A row that is written at that very moment may show a mix of two connections; it is a
picture for people, never a basis for a change of a single entry; `expire` may meet one that passed to another
destination a moment ago, whose client then begins anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.tables import SLOTS_PER_CONNECTION, Tables
from piranha.dataplane.port import Connection, ConnectionFilter, ConnectionPage
from piranha.model.address import IPAddress
from piranha.model.service import Protocol

_WORDS = abi.CONN.itemsize // 8
_CADDR, _VADDR = 0, 2  # in 64-bit words from the start of an entry
_RETIRED_PORT = 0xFFFF  # in the place of both ports, as IPVS shows it
_STATES = {Protocol.TCP: abi.TCP_STATES, Protocol.SCTP: abi.SCTP_STATES}


class ConnectionTable:
    """Live connections as numpy columns and as rows for people."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._words: NDArray[np.uint64] = tables.conns.view(np.uint64).reshape(-1, _WORDS)

    @property
    def capacity(self) -> int:
        """Connections that the table was made for (see tables.SLOTS_PER_CONNECTION)."""
        return len(self._tables.conns) // SLOTS_PER_CONNECTION

    def _alive(self) -> tuple[NDArray[np.intp], int]:
        """Slots of live connections, and the kernel's clock now."""
        now = self._tables.jiffies()
        slots = np.flatnonzero((self._tables.tags & 3) == abi.TAG_VALID)
        left = (self._tables.conns["expires"][slots] - np.uint32(now)).view(np.int32)
        return slots[left > 0], now

    def count(self) -> int:
        return len(self._connections())

    def _connections(self) -> NDArray[np.intp]:
        """Slots of live connections without the templates among them."""
        slots = self._alive()[0]
        template = (self._tables.conns["life"][slots] >> np.uint32(16)) & abi.CONN_TEMPLATE
        return np.asarray(slots[template == 0], np.intp)

    def counts(self) -> NDArray[np.int64]:
        """Shape (2, 2): rows TCP, UDP and SCTP; columns active, inactive."""
        life = self._tables.conns["life"][self._connections()]
        other = (life & 0xFF) != int(Protocol.TCP)
        inactive = ((life >> np.uint32(16)) & abi.CONN_INACTIVE) != 0
        cells = np.bincount(other.astype(np.intp) * 2 + inactive, minlength=4)
        return cells.reshape(2, 2).astype(np.int64)

    def by_destination(self) -> NDArray[np.int64]:
        """Connections counted anew from the entries, shape (destinations, 2): active, inactive. For audits."""
        slots = self._connections()
        dest = self._tables.conns["dest"][slots].astype(np.intp)
        inactive = ((self._tables.conns["life"][slots] >> np.uint32(16)) & abi.CONN_INACTIVE) != 0
        size = len(self._tables.dests)
        return np.bincount(dest * 2 + inactive, minlength=size * 2).reshape(size, 2).astype(np.int64)

    def expire(self, dest: int) -> int:
        """Have every connection and template of one destination expire now; how many.

        Dead for packets at once, and freed and counted off by the kernel's next sweep, as those of `drop_entry` are.
        """
        slots, now = self._alive()
        theirs = slots[self._tables.conns["dest"][slots] == dest]
        self._tables.conns["expires"][theirs] = np.uint32(now)
        return len(theirs)

    def page(self, wanted: ConnectionFilter) -> ConnectionPage:
        slots, now = self._alive()
        slots = self._matching(slots, wanted)
        shown = slots if wanted.limit < 0 else slots[: wanted.limit]
        return ConnectionPage(total=len(slots), rows=tuple(self._row(int(slot), now) for slot in shown))

    def _matching(self, slots: NDArray[np.intp], wanted: ConnectionFilter) -> NDArray[np.intp]:
        conns = self._tables.conns
        if wanted.protocol is not None:
            slots = slots[(conns["life"][slots] & 0xFF) == int(wanted.protocol)]
        if wanted.virtual_port is not None:
            slots = slots[conns["vport"][slots] == wanted.virtual_port]
        if wanted.state is not None:
            slots = slots[self._in_state(slots, wanted.state.upper())]
        if wanted.client is not None:
            slots = slots[self._address_is(slots, _CADDR, wanted.client)]
        if wanted.virtual is not None:
            slots = slots[self._address_is(slots, _VADDR, wanted.virtual)]
        if wanted.destination is not None:
            packed = np.frombuffer(abi.pack_address(wanted.destination), "u1")
            theirs = (self._tables.dests["addr"] == packed).all(axis=1)
            slots = slots[theirs[conns["dest"][slots]]]
        return slots

    def _in_state(self, slots: NDArray[np.intp], state: str) -> NDArray[np.bool_]:
        life = self._tables.conns["life"][slots]
        if state == "UDP":
            return np.asarray((life & 0xFF) == int(Protocol.UDP), np.bool_)
        wanted = [
            int(protocol) | number << 8
            for protocol, states in _STATES.items()
            for number, (name, _) in enumerate(states)
            if name == state
        ]
        return np.isin(life & np.uint32(0xFFFF), np.array(wanted, np.uint32))

    def _address_is(self, slots: NDArray[np.intp], word: int, address: IPAddress) -> NDArray[np.bool_]:
        low, high = np.frombuffer(abi.pack_address(address), np.uint64)
        both = (self._words[slots, word] == low) & (self._words[slots, word + 1] == high)
        return np.asarray(both, np.bool_)

    def _row(self, slot: int, now: int) -> Connection:
        entry = self._tables.conns[slot]
        dest = self._tables.dests[entry["dest"]]
        life = int(entry["life"])
        protocol, number, flags = Protocol(life & 0xFF), life >> 8 & 0xFF, life >> 16
        left = (int(entry["expires"]) - now + 2**31) % 2**32 - 2**31
        template = bool(flags & abi.CONN_TEMPLATE)
        virtual = abi.unpack_address(entry["vaddr"])
        if flags & abi.CONN_RETIRED:
            port = _RETIRED_PORT
        elif not entry["dest"]:
            port = 0  # a bypassed connection, which IPVS shows so
        else:
            port = _destination_port(flags, int(entry["vport"]), int(dest["port"]))
        return Connection(
            protocol=protocol,
            client=abi.unpack_address(entry["caddr"]),
            client_port=int(entry["cport"]),
            virtual=virtual,
            virtual_port=int(entry["vport"]),
            destination=abi.unpack_address(dest["addr"]) if entry["dest"] else type(virtual)(0),
            destination_port=port,
            state=_state_name(protocol, number, template),
            expires_s=max(0.0, left / self._tables.hz),
            is_template=template,
            is_synced=bool(flags & abi.CONN_SYNCED),
            engine="sip" if flags & abi.CONN_CALL else "",
            engine_data=self._call_id(slot) if flags & abi.CONN_CALL else "",
            # In a mark's template the mark stands in the place of the VIP.
            mark=int(virtual) & 0xFFFFFFFF if template and protocol is Protocol.IP else 0,
        )

    def _call_id(self, slot: int) -> str:
        """Empty for a template that is just being made or removed."""
        raw = self._tables.maps["calls"].lookup(slot.to_bytes(4, "little"))
        return raw[1 : 1 + raw[0]].decode("latin-1") if raw else ""


def _destination_port(flags: int, virtual_port: int, port: int) -> int:
    """As `conn_dport` in `bpf/conn_life.h` has it; that of a template of all ports is 0."""
    all_ports = flags & abi.CONN_TEMPLATE and not virtual_port
    if flags & abi.CONN_KEEP_PORT or not port or all_ports:
        return virtual_port
    return port - 1 if flags & abi.CONN_PORT_BELOW else port


def _state_name(protocol: Protocol, number: int, template: bool) -> str:
    if template:
        return "ASSURED" if number else "NONE"
    if protocol is Protocol.UDP:
        return "UDP"
    states = _STATES[protocol]
    return states[min(number, len(states) - 1)][0]
