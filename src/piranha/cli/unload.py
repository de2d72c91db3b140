"""`piranha unload`: what the data plane put into the kernel comes out again."""

from __future__ import annotations

from pathlib import Path

import click

from piranha.base.errors import ExitCode, PiranhaError
from piranha.base.lock import FileLock, LockedError
from piranha.base.paths import Paths
from piranha.cli.options import set_run_dir
from piranha.cli.output import note


@click.command("unload")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory of lvsd (PIRANHA_RUN_DIR).")
@click.option("--force", is_flag=True, help="Also while lvsd runs; it will then fail.")
def unload_command(run_dir: Path | None, force: bool) -> int:
    """Take the data plane out of the kernel: programs, tables, the gate of the VIPs, and our services and marks in IPVS.

    Forwarding ends and every connection entry of eBPF is lost. Services of others stay. lvsd need not run, and should not.
    """
    set_run_dir(run_dir)
    paths = Paths.from_environment()
    lock: FileLock | None = None
    try:
        lock = FileLock(paths.lvsd_lock)
    except LockedError as error:
        if not force:
            raise PiranhaError(
                f"lvsd runs (process {error.pid or '?'}) and would lose its data plane",
                mend="stop it first, or use --force",
            ) from None
    try:
        from piranha.dataplane.ebpf.plane import unload as unload_ebpf
        from piranha.dataplane.ipvs.plane import unload as unload_ipvs
        from piranha.pulse.gate import unload as unload_gate
        from piranha.pulse.gate_nft import unload as unload_gate_rules

        # Whatever the file says now, all may be there from before. The gate's links lie in the plane's bpffs.
        was_there = unload_gate(paths)
        was_there = unload_gate_rules() or was_there
        was_there = unload_ebpf(paths) or was_there
        was_there = unload_ipvs(paths) or was_there
    finally:
        if lock is not None:
            lock.close()
    note("the data plane is out of the kernel" if was_there else "no data plane was in the kernel")
    return ExitCode.DONE
