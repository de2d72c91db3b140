"""Which destination record an entry from elsewhere belongs to: IPVS's look-up, for whole columns at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf.abi import DestFlag, ServiceFlag
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.exchange import MASQUERADE, METHOD_MASK

_KEY = np.dtype(
    [
        ("service", "u1", (16,)),
        ("server", "u1", (16,)),
        ("service_port", "<u2"),
        ("server_port", "<u2"),
        ("protocol", "<u4"),
        ("mark", "<u8"),
    ]
)
_WORDS = _KEY.itemsize // 8
# Odd numbers, one for each word; no secret, since the keys that are hashed are the configuration's.
_MULTIPLIERS = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
        0xE7037ED1A0B428DB,
    ],
    np.uint64,
)
_ANY = {4: np.frombuffer(b"\0" * 10 + b"\xff\xff" + b"\0" * 4, "u1"), 6: np.zeros(16, "u1")}


def _words(keys: NDArray[np.void]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(keys).view(np.uint64).reshape(-1, _WORDS)


def _hash(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (words * _MULTIPLIERS).sum(axis=1, dtype=np.uint64)
    return np.asarray(mixed ^ (mixed >> np.uint64(29)), np.uint64)


class DestinationIndex:
    """The destinations that are present, by service and server; a picture of the moment it was made."""

    def __init__(self, tables: Tables) -> None:
        dests, services = tables.dests, tables.services
        found = np.flatnonzero((dests["flags"] & DestFlag.PRESENT) != 0)
        of = dests["service"][found]
        present = (of != 0) & ((services["flags"][of] & ServiceFlag.PRESENT) != 0)
        found, of = found[present], of[present]
        keys = np.zeros(len(found), _KEY)
        service = services["key"][of]
        keys["service"], keys["service_port"] = service["addr"], service["port"]
        keys["protocol"], keys["mark"] = service["proto"], service["mark"]
        keys["server"], keys["server_port"] = dests["addr"][found], dests["port"][found]
        words = _words(keys)
        hashes = _hash(words)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._words, self._found = hashes[order], words[order], found[order].astype(np.uint32)

    def __len__(self) -> int:
        return len(self._found)

    def find(self, entries: NDArray[np.void]) -> NDArray[np.uint32]:
        """Indices into `dests` for rows of ENTRY; 0 where no destination fits.

        As IPVS does it (`ip_vs_find_dest`): the mark's service, that of address and port, that of the address alone;
        in each the server with the entry's port, then with none (a mark's server other than masqueraded: none first).
        """
        found = np.zeros(len(entries), np.uint32)
        if not len(self._found):
            return found
        for service in ("mark", "port", "address"):
            for with_port in (True, False):
                open_rows = np.flatnonzero(found == 0)
                if service == "mark":
                    open_rows = open_rows[entries["mark"][open_rows] != 0]
                if open_rows.size:
                    found[open_rows] = self._look(entries[open_rows], service, with_port)
        return found

    def _look(self, entries: NDArray[np.void], service: str, with_port: bool) -> NDArray[np.uint32]:
        keys = np.zeros(len(entries), _KEY)
        keys["server"] = entries["server"]
        ports = with_port
        if service == "mark":
            keys["mark"] = entries["mark"]
            for version, address in _ANY.items():
                keys["service"][entries["version"] == version] = address
            masqueraded = (entries["flags"] & METHOD_MASK) == MASQUERADE
            keys["server_port"] = np.where(masqueraded == ports, entries["server_port"], 0)
        else:
            keys["service"], keys["protocol"] = entries["virtual"], entries["protocol"]
            if service == "port":
                keys["service_port"] = entries["virtual_port"]
            if ports:
                keys["server_port"] = entries["server_port"]
        words = _words(keys)
        hashes = _hash(words)
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        same = (self._words[place] == words).all(axis=1)
        return np.where(same, self._found[place], np.uint32(0))


def keeps_port(tables: Tables, entries: NDArray[np.void], dests: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which connections go to the port that the client asked for, though their destination has one of its own."""
    own = tables.dests["port"][dests]
    port = entries["server_port"]
    return np.asarray((own != 0) & (own != port) & (port == entries["virtual_port"]), np.bool_)


def persistence(tables: Tables, dests: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Life of a template, in jiffies, of each destination's service; 0 where it is not persistent."""
    return np.asarray(tables.services["persistent"][tables.dests["service"][dests]], np.uint32)
