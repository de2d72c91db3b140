"""What IPVS's defences do just now, in words (`bpf/defence.h` decides it, once a second)."""

from __future__ import annotations

from piranha.dataplane.ebpf.abi import DefenceFlag
from piranha.dataplane.ebpf.tables import Tables
from piranha.model.rules import DEFENCES


def defences(tables: Tables) -> dict[str, str]:
    """A sentence for each defence that is not off; with one of them also `room`, what they are measured by."""
    row, force = tables.defence[0], DefenceFlag(int(tables.settings["defences"][0]))
    wanted = [name for name in DEFENCES if row[name]]
    said = {name: "on" if force & DefenceFlag[name.upper()] else "waiting: there is room" for name in wanted}
    if said.get("drop_packet") == "on":
        said["drop_packet"] = f"on: one new connection's packet in {int(row['drop_rate'])} is dropped"
    if row["entries_dropped"]:
        said["drop_entry"] = f"{said.get('drop_entry', 'off')}; {int(row['entries_dropped'])} entries dropped"
    if said:
        said["room"] = f"for {int(row['room'])} connections, short below {int(row['amemthresh'])}"
    return said
