"""The IPVS data plane: the port of `dataplane/port.py` on the tables of the kernel's own IPVS."""

from __future__ import annotations

import errno
import logging
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.dataplane.ipvs import messages
from piranha.dataplane.ipvs.capabilities import EVERYTHING, ask_kernel
from piranha.dataplane.ipvs.conntable import ConnectionTable
from piranha.dataplane.ipvs.marks import MarkTable
from piranha.dataplane.ipvs.messages import ServiceReading
from piranha.dataplane.ipvs.netlink import GenericNetlink, NetlinkError
from piranha.dataplane.ipvs.ownership import Ownership, table_identity
from piranha.dataplane.ipvs.refusal import describe, refusal
from piranha.dataplane.ipvs.sysctls import Sysctls
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    ConnectionFilter,
    ConnectionPage,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    PlaneStatus,
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
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Destination,
    DestinationStatus,
    ForwardingMethod,
    Protocol,
    ServiceKey,
    ServiceStatus,
    Timeouts,
)

if TYPE_CHECKING:
    # A command that lists or edits the table starts without it.
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

STATE_FILE = "ipvs.json"
_ROUND_S = 5.0
_MODPROBE_TIMEOUT_S = 30.0
_NO_MODULE_MEND = (
    "load it with `modprobe ip_vs`; where there is none install the package with the rest of the kernel's modules "
    "(Ubuntu: linux-modules-extra-`uname -r`, Fedora and RHEL: kernel-modules, Debian: linux-image-amd64); "
    "or write `dataplane = ebpf`"
)


class IpvsPlane:
    """The IPVS of the network namespace of the thread that opened it.

    What it puts into the kernel stays and forwards on when the process is gone. Services of others are shown and, unless
    `touch_foreign`, never changed. `touch_foreign` is for ipvsadm: it changes every service, and what it makes counts
    as made by hand.
    """

    def __init__(
        self,
        socket: GenericNetlink,
        connections: ConnectionTable,
        sysctls: Sysctls,
        ownership: Ownership,
        *,
        touch_foreign: bool = False,
    ) -> None:
        # ipvsadm asks the kernel by trying; to find everything out beforehand costs a network namespace.
        self.capabilities = EVERYTHING if touch_foreign else ask_kernel()
        self._socket = socket
        self._connections = connections
        self._ownership = ownership
        self._sysctls = sysctls
        self._touch_foreign = touch_foreign
        self._marks = MarkTable()
        self._seen: dict[tuple[ServiceKey, bytes], DestinationStatus] = {}

    @staticmethod
    def open(paths: Paths, *, touch_foreign: bool = False) -> IpvsPlane:
        """Load the module where it is missing and take up our services. Raises PiranhaError with the mend."""
        with ExitStack() as opened:
            socket = _open_family()
            opened.callback(socket.close)
            socket.get(messages.GET_INFO)
            connections = ConnectionTable()
            opened.callback(connections.close)
            sysctls = Sysctls()
            opened.callback(sysctls.close)
            ownership = Ownership(paths.state / STATE_FILE, table_identity())
            plane = IpvsPlane(socket, connections, sysctls, ownership, touch_foreign=touch_foreign)
            plane._adopt()
            opened.pop_all()
            return plane

    # ---- the port ----

    def snapshot(self) -> tuple[ServiceStatus, ...]:
        """Ours in the order they were made, then those of others in ipvsadm's order."""
        readings = self._services()
        self._ownership.keep_only(readings.keys())
        if not self._touch_foreign:
            self._ownership.save()
        ours = [readings[key] for key in self._ownership.keys]
        others = sorted((key for key in readings if key not in self._ownership), key=_listing_order)
        seen: dict[tuple[ServiceKey, bytes], DestinationStatus] = {}
        table = tuple(self._status(reading, seen) for reading in (*ours, *(readings[key] for key in others)))
        self._seen = seen
        return table

    def apply(self, operations: Sequence[Operation]) -> None:
        adding = [operation.service.key for operation in operations if isinstance(operation, AddService)]
        if adding and not self._touch_foreign:
            self._ownership.intend(adding)
        try:
            for operation in operations:
                self._carry_out(operation)
        finally:
            if not self._touch_foreign:
                self._ownership.save()

    def timeouts(self) -> Timeouts:
        return messages.read_timeouts(self._socket.get(messages.GET_CONFIG))

    def mark_rules(self) -> tuple[MarkRule, ...]:
        return self._marks.rules()

    def rules(self) -> PlaneRules:
        return self._sysctls.read()

    def daemons(self) -> tuple[SyncDaemon, ...]:
        return tuple(messages.read_daemon(message) for message in self._socket.dump(messages.GET_DAEMON))

    def connections(self, wanted: ConnectionFilter) -> ConnectionPage:
        return self._connections.page(wanted)

    def connection_counts(self) -> NDArray[np.int64]:
        """Counted from the destinations, as /proc is too slow for it: without those of destinations that are removed.

        SCTP counts with UDP; a firewall mark does not say what its connections are, they count with TCP.
        """
        import numpy as np

        counts = np.zeros((2, 2), dtype=np.int64)
        for status in self.snapshot():
            row = 0 if status.service.key.protocol in (Protocol.TCP, Protocol.IP) else 1
            for destination in status.destinations:
                counts[row] += (destination.active_connections, destination.inactive_connections)
        return counts

    def status(self) -> PlaneStatus:
        """IPVS's table of connections grows as it must: it has no capacity."""
        return PlaneStatus(
            name="ipvs",
            connections=int(self.connection_counts().sum()),
            notes=(str(self.information()),),
        )

    def close(self) -> None:
        self._socket.close()
        self._connections.close()
        self._sysctls.close()

    # ---- beyond the port ----

    def take_over(self, keys: Sequence[ServiceKey]) -> None:
        """Count services of others as ours from now on: they may be changed and removed."""
        for key in keys:
            self._ownership.add(key)
        self._ownership.save()

    def information(self) -> messages.Information:
        """Version and size of the module, as ipvsadm prints them."""
        return messages.read_information(self._socket.get(messages.GET_INFO))

    async def run(self) -> None:
        """Keep the marks in place until cancelled: other programs flush all of nftables."""
        import asyncio

        while True:
            await asyncio.sleep(_ROUND_S)
            try:
                await asyncio.to_thread(self._marks.keep)
            except PiranhaError as error:
                logger.warning('firewall marks not kept error="%s"', error)

    # ---- inside ----

    def _adopt(self) -> None:
        """Forget what went while no one watched; a first write proves that the file can be written."""
        self._ownership.keep_only(self._services().keys())
        if not self._touch_foreign:
            self._ownership.intend(())

    def _services(self) -> dict[ServiceKey, ServiceReading]:
        readings = map(messages.read_service, self._socket.dump(messages.GET_SERVICE))
        return {reading.service.key: reading for reading in readings if reading is not None}

    def _status(
        self, reading: ServiceReading, seen: dict[tuple[ServiceKey, bytes], DestinationStatus]
    ) -> ServiceStatus:
        """The service with its destinations; those whose message did not change since last time are not read anew."""
        key = reading.service.key
        destinations: dict[object, DestinationStatus] = {}
        for message in self._socket.dump(messages.GET_DEST, messages.pack_key(key)):
            status = self._seen.get((key, message)) or messages.read_destination(message, key)
            seen[key, message] = status
            destinations[status.destination.key] = status
        return ServiceStatus(
            service=reading.service,
            # The kernel lists the newest first.
            destinations=tuple(reversed(destinations.values())),
            counters=reading.counters,
            rates=reading.rates,
            foreign=key not in self._ownership,
        )

    def _carry_out(self, operation: Operation) -> None:
        try:
            match operation:
                case AddService(service=service):
                    self._socket.call(messages.NEW_SERVICE, messages.pack_service(service))
                    if not self._touch_foreign:
                        self._ownership.add(service.key)
                case EditService(service=service):
                    self._require_ours(service.key, operation)
                    self._socket.call(messages.SET_SERVICE, messages.pack_service(service))
                case DeleteService(key=key):
                    self._require_ours(key, operation)
                    self._socket.call(messages.DEL_SERVICE, messages.pack_key(key))
                    self._ownership.discard(key)
                case AddDestination(service=key, destination=destination):
                    self._change_destination(messages.NEW_DEST, key, destination, operation)
                case EditDestination(service=key, destination=destination):
                    self._change_destination(messages.SET_DEST, key, destination, operation)
                case DeleteDestination(service=key, key=gone):
                    self._require_ours(key, operation)
                    payload = messages.pack_key(key) + messages.pack_destination_key(gone)
                    self._socket.call(messages.DEL_DEST, payload)
                case SetTimeouts(timeouts=timeouts):
                    _require_whole(timeouts, operation)
                    self._socket.call(messages.SET_CONFIG, messages.pack_timeouts(timeouts))
                case SetMarkRules(rules=rules):
                    self._marks.install(rules)
                case SetSettings(settings=settings):
                    self._sysctls.write(settings)
                case ZeroCounters(key=None):
                    self._for_all(messages.ZERO)
                case ZeroCounters(key=ServiceKey() as key):
                    self._require_ours(key, operation)
                    self._socket.call(messages.ZERO, messages.pack_key(key))
                case Clear():
                    self._for_all(messages.DEL_SERVICE)
                case StartDaemon(daemon=daemon):
                    self._socket.call(messages.NEW_DAEMON, messages.pack_daemon(daemon))
                case StopDaemon(role=role):
                    self._stop_daemon(role)
        except NetlinkError as error:
            raise refusal(operation, error) from error

    def _change_destination(
        self, command: int, key: ServiceKey, destination: Destination, operation: Operation
    ) -> None:
        self._require_ours(key, operation)
        if destination.method is not ForwardingMethod.MASQUERADE and destination.key.port != key.port:
            # The kernel takes it, but only masquerading rewrites ports: every connection would meet the wrong one.
            raise RefusedError(
                RefusalKind.INVALID,
                f"{describe(operation)}: the {destination.method} method cannot change the port",
                mend=f"give it port {key.port}, or use the {ForwardingMethod.MASQUERADE} method",
            )
        self._socket.call(command, messages.pack_key(key) + messages.pack_destination(destination))

    def _stop_daemon(self, role: SyncRole) -> None:
        try:
            self._socket.call(messages.DEL_DAEMON, messages.pack_role(role))
        except NetlinkError as error:
            # A thread that was stopped before it ever ran: the kernel stops it and says "interrupted".
            if error.errno != errno.EINTR or any(daemon.role is role for daemon in self.daemons()):
                raise

    def _for_all(self, command: int) -> None:
        """The command for every service that is ours to touch."""
        if self._touch_foreign:
            self._socket.call(messages.FLUSH if command == messages.DEL_SERVICE else command)
            if command == messages.DEL_SERVICE:
                self._ownership.keep_only(())
            return
        present = self._services()
        for key in self._ownership.keys:
            if key in present:
                self._socket.call(command, messages.pack_key(key))
            if command == messages.DEL_SERVICE:
                self._ownership.discard(key)

    def _require_ours(self, key: ServiceKey, operation: Operation) -> None:
        """Refuse to touch a service of others. One that does not exist is the kernel's to refuse."""
        if self._touch_foreign or key in self._ownership:
            return
        self._socket.get(messages.GET_SERVICE, messages.pack_key(key))
        raise RefusedError(
            RefusalKind.INVALID,
            f"{describe(operation)}: another program made this service",
            mend="remove it with `ipvsadm -D`, or give yours another address or port",
        )


def unload(paths: Paths) -> bool:
    """Take our services and our firewall marks out of the kernel. False when there was nothing."""
    marks = MarkTable()
    found = bool(marks.rules())
    if found:
        marks.install(())
    if Ownership(paths.state / STATE_FILE, table_identity()).keys:
        plane = IpvsPlane.open(paths)
        try:
            found = found or any(not status.foreign for status in plane.snapshot())
            plane.apply([Clear()])
        finally:
            plane.close()
    return found


def _require_whole(timeouts: Timeouts, operation: Operation) -> None:
    for seconds in (timeouts.tcp_s, timeouts.tcp_fin_s, timeouts.udp_s):
        if seconds != int(seconds):
            mend = f"write {max(1, round(seconds))}"
            text = f"{describe(operation)}: IPVS keeps whole seconds, not {seconds:g}"
            raise RefusedError(RefusalKind.RANGE, text, mend=mend)


def _listing_order(key: ServiceKey) -> tuple[int, int, int, bytes, int]:
    return key.mark, key.address.version, key.protocol, key.address.packed, key.port


def _open_family() -> GenericNetlink:
    try:
        return GenericNetlink(messages.FAMILY)
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
    reason = _load_module()
    try:
        return GenericNetlink(messages.FAMILY)
    except NetlinkError as error:
        raise PiranhaError(
            f"this kernel has no IPVS ({reason or 'ip_vs is not there'})", mend=_NO_MODULE_MEND
        ) from error


def _load_module() -> str:
    """Try `modprobe ip_vs`; why it failed, or nothing."""
    program = shutil.which("modprobe") or shutil.which("modprobe", path="/usr/sbin:/sbin")
    if program is None:
        return "there is no modprobe to load ip_vs with"
    try:
        done = subprocess.run(
            [program, "ip_vs"], capture_output=True, text=True, timeout=_MODPROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"modprobe: {error}"
    return " ".join(done.stderr.split())
