"""`piranha proc`: the texts of IPVS's files under /proc/net, for programs that read those."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from piranha.base.paths import Paths
from piranha.ipvsadm.access import FoundTable
from piranha.ipvsadm.proc import format_ip_vs, format_ip_vs_conn, format_ip_vs_conn_sync, format_ip_vs_stats

FILES = ("ip_vs", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats")


@click.command("proc")
@click.argument("file", type=click.Choice(FILES))
def proc_command(file: str) -> None:
    """The text of /proc/net/FILE as IPVS would show it.

    Times of persistence are in hundredths of a second, where the kernel has its own ticks.
    """
    with FoundTable(Paths.from_environment()) as table:
        if table.is_kernels:
            sys.stdout.write(Path("/proc/thread-self/net", file).read_text())
        else:
            sys.stdout.writelines(_text(file, table))


def _text(file: str, table: FoundTable) -> Iterable[str]:
    match file:
        case "ip_vs":
            return format_ip_vs(table.snapshot(), size=table.size, hz=os.sysconf("SC_CLK_TCK"))
        case "ip_vs_conn":
            return format_ip_vs_conn(table.connections())
        case "ip_vs_conn_sync":
            return format_ip_vs_conn_sync(table.connections())
    return [format_ip_vs_stats(table.snapshot())]
