"""A plane's refusal in ipvsadm's words."""

from __future__ import annotations

import errno
import os

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DeleteDestination,
    EditDestination,
    Operation,
    RefusalKind,
    RefusedError,
    StartDaemon,
    StopDaemon,
)

MUST_BE_ROOT = "Permission denied (you must be root)"
_INVALID = "Invalid operation.  Possibly wrong module version, address not unicast, ..."
_WORDS = {
    RefusalKind.NO_DESTINATION: "No such destination",
    RefusalKind.NO_SCHEDULER: "Scheduler or persistence engine not found",
    RefusalKind.INVALID: _INVALID,
    RefusalKind.RANGE: os.strerror(errno.ERANGE),
}
_NUMBERED = {
    errno.EPERM: MUST_BE_ROOT,
    errno.EINVAL: _INVALID,
    errno.ENOPROTOOPT: "Protocol not available",
    errno.ENOMEM: "Memory allocation problem",
    errno.EOPNOTSUPP: "Operation not supported with IPv6",
    errno.EAFNOSUPPORT: "Operation not supported with specified address family",
}


def refusal_text(operation: Operation, error: PiranhaError) -> str:
    """One line. What IPVS has no words for is told in the plane's own."""
    if isinstance(error, RefusedError):
        match error.kind:
            case RefusalKind.EXISTS:
                return _exists(operation)
            case RefusalKind.NO_SERVICE:
                return _no_service(operation)
        # The kernel's IPVS says which of its numbers it was; EINVAL, ENODEV and others are one kind.
        number = getattr(error, "errno", 0)
        if number and error.kind not in (RefusalKind.NO_DESTINATION, RefusalKind.NO_SCHEDULER):
            return _NUMBERED.get(number) or os.strerror(number)
        if error.kind in _WORDS:
            return _WORDS[error.kind]
    return str(error)


def _exists(operation: Operation) -> str:
    match operation:
        case AddDestination():
            return "Destination already exists"
        case StartDaemon():
            return "Daemon has already run"
        case AddService():
            return "Service already exists"
    return os.strerror(errno.EEXIST)


def _no_service(operation: Operation) -> str:
    match operation:
        case AddDestination() | EditDestination() | DeleteDestination():
            return "Service not defined"
        case StopDaemon():
            return "No daemon is running"
    return "No such service"
