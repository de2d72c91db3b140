"""Daemons of the eBPF plane: refused as the kernel refuses them, with the kernel's lengths (tests/uml compares those)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.dataplane.ebpf.syncdaemons import SyncDaemons
from piranha.dataplane.port import (
    NoDeviceError,
    RefusalKind,
    RefusedError,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
)

MASTER = SyncDaemon(role=SyncRole.MASTER, interface="lo", sync_id=7)
BACKUP = SyncDaemon(role=SyncRole.BACKUP, interface="lo")


def hosted() -> tuple[SyncDaemons, list[int]]:
    daemons, changes = SyncDaemons(), list[int]()
    daemons.host(lambda: changes.append(len(daemons())))
    return daemons, changes


def test_nobody_hosts_them_without_lvsd() -> None:
    with pytest.raises(RefusedError, match="lvsd") as refused:
        SyncDaemons().apply(StartDaemon(daemon=MASTER))
    assert refused.value.kind is RefusalKind.UNSUPPORTED


def test_each_role_once() -> None:
    daemons, changes = hosted()
    daemons.apply(StartDaemon(daemon=MASTER))
    daemons.apply(StartDaemon(daemon=BACKUP))
    with pytest.raises(RefusedError) as refused:
        daemons.apply(StartDaemon(daemon=MASTER))
    assert refused.value.kind is RefusalKind.EXISTS
    daemons.apply(StopDaemon(role=SyncRole.MASTER))
    with pytest.raises(RefusedError) as refused:
        daemons.apply(StopDaemon(role=SyncRole.MASTER))
    assert refused.value.kind is RefusalKind.NO_SERVICE
    assert [daemon.role for daemon in daemons()] == [SyncRole.BACKUP]
    assert changes == [1, 2, 1]


@pytest.mark.parametrize(
    ("daemon", "fields", "length"),
    [
        (MASTER, {}, 1472),
        (BACKUP, {}, 65507),
        (MASTER, {"group": ip_address("ff02::51")}, 1452),
        (MASTER, {"max_length": 1100}, 1100),
        (MASTER, {"max_length": 100}, 1024),
    ],
)
def test_lengths_are_the_kernels(daemon: SyncDaemon, fields: dict[str, object], length: int) -> None:
    daemons, _ = hosted()
    wanted = SyncDaemon(role=daemon.role, interface="lo", **fields)  # type: ignore[arg-type]
    daemons.apply(StartDaemon(daemon=wanted))
    assert [started.max_length for started in daemons()] == [length]


def test_an_interface_that_is_not_there() -> None:
    daemons, changes = hosted()
    with pytest.raises(NoDeviceError, match="nowhere0"):
        daemons.apply(StartDaemon(daemon=SyncDaemon(role=SyncRole.MASTER, interface="nowhere0")))
    assert changes == []
