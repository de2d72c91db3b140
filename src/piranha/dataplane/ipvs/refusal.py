"""The kernel's error numbers as the port's refusals, in the words of the operation that met them."""

from __future__ import annotations

import errno

from piranha.base.errors import PiranhaError
from piranha.dataplane.ipvs.netlink import NetlinkError
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
    ZeroCounters,
)


class KernelRefusedError(RefusedError):
    """A refusal by the kernel's IPVS. `errno` is its number, for programs that print the kernel's own words."""

    def __init__(self, kind: RefusalKind, message: str, number: int, *, mend: str = "") -> None:
        super().__init__(kind, message, mend=mend)
        self.errno = number


_KINDS = {
    errno.EEXIST: RefusalKind.EXISTS,
    errno.ESRCH: RefusalKind.NO_SERVICE,
    errno.EINVAL: RefusalKind.INVALID,
    errno.ENODEV: RefusalKind.INVALID,
    errno.ENETUNREACH: RefusalKind.INVALID,
    errno.EADDRNOTAVAIL: RefusalKind.INVALID,
    errno.ERANGE: RefusalKind.RANGE,
    errno.ENOMEM: RefusalKind.FULL,
    errno.ENOBUFS: RefusalKind.FULL,
    errno.EAFNOSUPPORT: RefusalKind.UNSUPPORTED,
    errno.EPROTONOSUPPORT: RefusalKind.UNSUPPORTED,
    errno.EOPNOTSUPP: RefusalKind.UNSUPPORTED,
}


def refusal(operation: Operation, error: NetlinkError) -> PiranhaError:
    """What to raise where the kernel answered `operation` with `error`: a KernelRefusedError, or the error itself."""
    number, what = error.errno, describe(operation)
    kind = _KINDS.get(number)
    if number == errno.ENOENT:
        is_service = isinstance(operation, AddService | EditService)
        kind = RefusalKind.NO_SCHEDULER if is_service else RefusalKind.NO_DESTINATION
    if kind is None:
        return PiranhaError(f"{what}: {error.message}", mend=error.mend)
    reason, mend = _explain(operation, kind, number)
    return KernelRefusedError(kind, f"{what}: {reason or error.message}", number, mend=mend)


def describe(operation: Operation) -> str:
    """The operation as a person would say it: `add service tcp 10.0.0.1:80`."""
    match operation:
        case AddService(service=service):
            return f"add service {service.key}"
        case EditService(service=service):
            return f"edit service {service.key}"
        case DeleteService(key=key):
            return f"delete service {key}"
        case AddDestination(service=key, destination=destination):
            return f"add destination {destination.key} to {key}"
        case EditDestination(service=key, destination=destination):
            return f"edit destination {destination.key} of {key}"
        case DeleteDestination(service=key, key=gone):
            return f"delete destination {gone} of {key}"
        case SetTimeouts():
            return "set the timeouts"
        case SetMarkRules():
            return "set the firewall marks"
        case SetSettings():
            return "set the rules of connections"
        case ZeroCounters(key=None):
            return "zero all counters"
        case ZeroCounters(key=key):
            return f"zero the counters of {key}"
        case Clear():
            return "clear the table"
        case StartDaemon(daemon=daemon):
            return f"start the sync {daemon.role} daemon on {daemon.interface}"
        case StopDaemon(role=role):
            return f"stop the sync {role} daemon"


def _explain(operation: Operation, kind: RefusalKind, number: int) -> tuple[str, str]:
    """(reason, mend) in words; empty where the kernel's own have to do."""
    match operation, kind:
        case StartDaemon(), RefusalKind.EXISTS:
            return "one runs already", "stop it first"
        case StopDaemon(), RefusalKind.NO_SERVICE:
            return "none runs", ""
        case StartDaemon(daemon=daemon), RefusalKind.INVALID if number == errno.ENODEV:
            return f"there is no interface {daemon.interface}", "name one that `ip link` shows"
        case StartDaemon(daemon=daemon), RefusalKind.INVALID if number in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
            return f"{daemon.interface} cannot send to the group", "give it an address of the group's family"
        case StartDaemon(), RefusalKind.INVALID:
            return (
                "the kernel does not take these values",
                "none runs while a destination has another family than its service",
            )
        case _, RefusalKind.EXISTS:
            return "it exists already", ""
        case _, RefusalKind.NO_SERVICE:
            return "no such service", ""
        case _, RefusalKind.NO_DESTINATION:
            return "no such destination", ""
        case AddService(service=service) | EditService(service=service), RefusalKind.NO_SCHEDULER:
            names = f"scheduler {service.scheduler}" + (f" or engine {service.engine}" if service.engine else "")
            return f"the kernel has no {names}", f"`modprobe ip_vs_{service.scheduler}`, or choose another"
        case AddDestination(service=key, destination=destination), RefusalKind.INVALID:
            if key.address.version != destination.key.address.version:
                return "its family is not its service's", "that needs the tunnel method, and no sync daemon running"
            return "the kernel does not take it", "its address must be a unicast one, and a gue tunnel needs a port"
        case AddDestination() | EditDestination(), RefusalKind.RANGE:
            return "the lower threshold is above the upper one", "set it below"
    return "", ""
