"""Error numbers of the kernel as refusals: the kind, and a sentence that says what and how to mend it."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from piranha.dataplane.ipvs.netlink import NetlinkError
from piranha.dataplane.ipvs.refusal import KernelRefusedError, describe, refusal
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    RefusalKind,
    RefusedError,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
    StartDaemon,
    StopDaemon,
    SyncDaemon,
    SyncRole,
    ZeroCounters,
)
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceKey,
    Timeouts,
)

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.1.0.1"), port=80)
SERVER = Destination(
    key=DestinationKey(address=ip_address("10.2.0.1"), port=80), method=ForwardingMethod.DIRECT, weight=1
)
SERVER6 = Destination(key=DestinationKey(address=ip_address("fd00::9"), port=80), method=ForwardingMethod.DIRECT)
MASTER = StartDaemon(daemon=SyncDaemon(role=SyncRole.MASTER, interface="eth9"))

CASES: list[tuple[Operation, int, RefusalKind, str]] = [
    (AddService(service=Service(key=WEB)), errno.EEXIST, RefusalKind.EXISTS,
     "add service tcp 10.1.0.1:80: it exists already"),
    (AddService(service=Service(key=WEB, scheduler="zzz")), errno.ENOENT, RefusalKind.NO_SCHEDULER,
     "add service tcp 10.1.0.1:80: the kernel has no scheduler zzz: `modprobe ip_vs_zzz`, or choose another"),
    (EditService(service=Service(key=WEB, engine="sip")), errno.ENOENT, RefusalKind.NO_SCHEDULER,
     "edit service tcp 10.1.0.1:80: the kernel has no scheduler wlc or engine sip: "
     "`modprobe ip_vs_wlc`, or choose another"),
    (DeleteService(key=WEB), errno.ESRCH, RefusalKind.NO_SERVICE, "delete service tcp 10.1.0.1:80: no such service"),
    (AddService(service=Service(key=WEB)), errno.EAFNOSUPPORT, RefusalKind.UNSUPPORTED,
     "add service tcp 10.1.0.1:80: IPVS: Address family not supported by protocol"),
    (AddDestination(service=WEB, destination=SERVER), errno.ESRCH, RefusalKind.NO_SERVICE,
     "add destination 10.2.0.1:80 to tcp 10.1.0.1:80: no such service"),
    (DeleteDestination(service=WEB, key=SERVER.key), errno.ENOENT, RefusalKind.NO_DESTINATION,
     "delete destination 10.2.0.1:80 of tcp 10.1.0.1:80: no such destination"),
    (EditDestination(service=WEB, destination=SERVER), errno.ERANGE, RefusalKind.RANGE,
     "edit destination 10.2.0.1:80 of tcp 10.1.0.1:80: the lower threshold is above the upper one: set it below"),
    (AddDestination(service=WEB, destination=SERVER6), errno.EINVAL, RefusalKind.INVALID,
     "add destination [fd00::9]:80 to tcp 10.1.0.1:80: its family is not its service's: "
     "that needs the tunnel method, and no sync daemon running"),
    (AddDestination(service=WEB, destination=SERVER), errno.ENOMEM, RefusalKind.FULL,
     "add destination 10.2.0.1:80 to tcp 10.1.0.1:80: IPVS: Cannot allocate memory"),
    (MASTER, errno.EEXIST, RefusalKind.EXISTS, "start the sync master daemon on eth9: one runs already: stop it first"),
    (MASTER, errno.ENODEV, RefusalKind.INVALID,
     "start the sync master daemon on eth9: there is no interface eth9: name one that `ip link` shows"),
    (StopDaemon(role=SyncRole.BACKUP), errno.ESRCH, RefusalKind.NO_SERVICE, "stop the sync backup daemon: none runs"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "number", "kind", "text"), CASES, ids=[case[3][:40] for case in CASES])
def test_kind_and_words(operation: Operation, number: int, kind: RefusalKind, text: str) -> None:
    error = refusal(operation, NetlinkError("IPVS", number))
    assert isinstance(error, KernelRefusedError)
    assert (error.kind, error.errno) == (kind, number)
    assert str(error) == text


def test_missing_rights_are_no_refusal_of_the_plane() -> None:
    error = refusal(Clear(), NetlinkError("IPVS", errno.EPERM))
    assert not isinstance(error, RefusedError)
    assert str(error) == "clear the table: IPVS: Operation not permitted: this needs root or CAP_NET_ADMIN"


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (SetTimeouts(timeouts=Timeouts()), "set the timeouts"),
        (SetMarkRules(rules=()), "set the firewall marks"),
        (SetSettings(settings=PlaneRules()), "set the rules of connections"),
        (ZeroCounters(), "zero all counters"),
        (ZeroCounters(key=ServiceKey.of_mark(5, 6)), "zero the counters of fwmark 5 ipv6"),
    ],
)
def test_operations_have_words(operation: Operation, text: str) -> None:
    assert describe(operation) == text
