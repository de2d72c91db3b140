"""What few entries have beside their line in the table: the call of a SIP template, an FTP session's shifted numbers.

On the wire they are options of a record; here they lie in hashes of their own, and are read entry by entry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.exchange import Extra, SequenceAdjustment

SIP = b"sip"
_FLOW_BYTES = abi.FTP_KEY.itemsize  # the first bytes of an entry


def read(
    tables: Tables, slots: NDArray[np.intp], rows: NDArray[np.void], flags: NDArray[np.uint32]
) -> dict[int, Extra]:
    """The extras of these entries, by their places."""
    found: dict[int, Extra] = {}
    for place in np.flatnonzero((flags & (abi.CONN_CALL | abi.CONN_FTP)) != 0).tolist():
        if flags[place] & abi.CONN_CALL:
            extra = _call(tables, int(slots[place]))
        else:
            extra = _session(tables, rows[place].tobytes()[:_FLOW_BYTES])
        if extra is not None:
            found[place] = extra
    return found


def _call(tables: Tables, slot: int) -> Extra | None:
    raw = tables.maps["calls"].lookup(slot.to_bytes(4, "little"))
    return Extra(engine=SIP, engine_data=raw[1 : 1 + raw[0]]) if raw and raw[0] else None


def _session(tables: Tables, key: bytes) -> Extra | None:
    raw = tables.maps["ftp_controls"].lookup(key)
    if raw is None:
        return None
    session = np.frombuffer(raw, abi.FTP_CONTROL)[0]
    before, after = int(session["before"]), int(session["after"])
    if not before and not after:
        return None
    return Extra(
        sequence_out=SequenceAdjustment(
            initial=int(session["position"]), delta=after & 0xFFFFFFFF, previous_delta=before & 0xFFFFFFFF
        )
    )


def pack_call(engine_data: bytes) -> NDArray[np.void]:
    """A `struct call`."""
    call = np.zeros(1, abi.CALL)
    call["length"] = len(engine_data)
    call["id"][0, : len(engine_data)] = np.frombuffer(engine_data, "u1")
    return call


def write_session(tables: Tables, row: np.void, sequence: SequenceAdjustment) -> None:
    """Let the session of an entry that came in go on with the partner's numbers. `row` is one of ENTRY.

    Nothing is written where the session has seen replies of its own: it knows better. Raises BpfError when full.
    """
    ports = int(row["client_port"]).to_bytes(2, "big") + int(row["virtual_port"]).to_bytes(2, "big")
    key = row["client"].tobytes() + row["virtual"].tobytes() + ports
    sessions = tables.maps["ftp_controls"]
    old = sessions.lookup(key)
    session = np.zeros(1, abi.FTP_CONTROL) if old is None else np.frombuffer(old, abi.FTP_CONTROL).copy()
    if session["latest"][0]:
        return
    session["position"] = sequence.initial
    session["before"], session["after"] = (
        np.uint32(value).view(np.int32) for value in (sequence.previous_delta, sequence.delta)
    )
    sessions.update(key, session.tobytes())
