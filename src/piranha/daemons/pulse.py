"""pulse: builds keys, links, gate, addresses and the failover machine, and runs the loop until it may stop."""

from __future__ import annotations

import logging
import os
import secrets
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import piranha
from piranha.base.errors import PiranhaError
from piranha.base.lock import FileLock, LockedError
from piranha.base.paths import Paths
from piranha.cluster.heartbeat import BOOT_BYTES
from piranha.cluster.keys import PairKeys, node_id, read_pair_keys
from piranha.cluster.settings import Settings
from piranha.cluster.timing import SECOND, choose
from piranha.model.address import IPAddress
from piranha.model.configuration import ProfileChoice
from piranha.pulse.child import Lvsd, Reader
from piranha.pulse.control import ControlServer
from piranha.pulse.heartbeat_link import HeartbeatLink
from piranha.pulse.links import Links
from piranha.pulse.reading import PulseConfiguration
from piranha.pulse.realtime import Realtime, become_realtime
from piranha.pulse.shell import Shell
from piranha.pulse.voice import OriginalVoice, SealedVoice, Voice, boot_now
from piranha.pulse.who import LinkPlan, Who, who_are_we
from piranha.pulse.wire import HostWire

logger = logging.getLogger(__name__)

_READ_WAIT_S = 60.0
_LVSD_ENDS_S = 10.0
_LOCK_WAIT_S = 1.0


def run_pulse(paths: Paths, *, with_lvsd: bool = True) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    Raises PiranhaError for whatever prevents a start: a bad file, no address of this host in it, no key
    (`KeyFileError`, exit code 78), no gate.
    """
    try:
        lock = FileLock(paths.pulse_lock, wait_s=_LOCK_WAIT_S)
    except LockedError as error:
        raise PiranhaError(
            f"pulse is running already (process {error.pid or '?'})", mend="change it with `piranha reload`"
        ) from None
    with lock:
        pulse = _Pulse(paths, with_lvsd=with_lvsd)
        try:
            pulse.run()
        finally:
            pulse.close()


def read_configuration(paths: Paths) -> PulseConfiguration:
    """Pulse's part of the file, by a process of its own. Raises PiranhaError with what is wrong with it."""
    reader = Reader(paths.config)
    while True:
        if not select.select([reader.fileno()], [], [], _READ_WAIT_S)[0]:
            reader.close()
            raise PiranhaError(f"{paths.config} was not read within {_READ_WAIT_S:g} s")
        outcome = reader.read()
        if outcome is not None:
            document, error = outcome
            if not document:
                raise PiranhaError(error)
            return PulseConfiguration.from_json(document)


class _Pulse:
    """The parts of one pulse and what a reload does to them."""

    def __init__(self, paths: Paths, *, with_lvsd: bool) -> None:
        self._paths = paths
        self._node = node_id(paths.state)
        self._boot = secrets.token_bytes(BOOT_BYTES)
        self._configuration = read_configuration(paths)
        self._links = Links()
        self._who = self._find_ourselves(self._configuration)
        self._voice = self._make_voice()
        self._realtime = Realtime(scheduling_refused="not asked for yet")
        self._wire = HostWire(paths, self._links)
        self._control = ControlServer(paths.pulse_socket)
        self._reader: Reader | None = None
        self._tells_lvsd = False
        wakeups, self._waker = socket.socketpair()
        for end in (wakeups, self._waker):
            end.setblocking(False)
        self._wakeups = wakeups
        lvsd: Lvsd | None = None
        if with_lvsd:
            fos = self._configuration.mode == "fos"
            lvsd = Lvsd(
                [sys.executable, "-m", "piranha", "fos" if fos else "lvsd"],
                lock=paths.fos_lock if fos else paths.lvsd_lock,
                start_at=boot_now(),
            )
        if lvsd is not None:
            os.environ["PIRANHA_CONFIG"] = str(paths.config)
        links = [_open_link(plan, self._configuration.heartbeat_port) for plan in self._who.links]
        # Last of all: what is allocated from here on is locked, and the clock of the fuse runs.
        self._realtime = become_realtime()
        self._configure_wire()
        self._shell = Shell(
            settings=self._settings(),
            voice=self._voice,
            links=links,
            wire=self._wire,
            control=self._control,
            lvsd=lvsd,
            clock=boot_now,
            wakeups=self._wakeups,
            syncs=self._configuration.syncdaemon and bool(self._who.links),
            facts=self._facts,
            ask_reload=self._reload,
        )
        self._lvsd = lvsd

    def run(self) -> None:
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._later(self._stop))
        signal.signal(signal.SIGHUP, self._later(self._hang_up))
        signal.signal(signal.SIGXCPU, self._fuse)
        logger.info(
            "started version=%s place=%s links=%d realtime=%s",
            piranha.__version__,
            self._who.place.name.lower(),
            len(self._who.links),
            "yes" if self._realtime.granted else f'no reason="{self._realtime.scheduling_refused}"',
        )
        self._shell.run()
        logger.info("stopped")

    def close(self) -> None:
        """Stop lvsd too. The kernel goes on forwarding; the VIPs are gone already."""
        signal.set_wakeup_fd(-1)
        shell = getattr(self, "_shell", None)
        if shell is not None and self._lvsd is not None:
            self._lvsd.end(_LVSD_ENDS_S)
        self._control.close()
        self._wire.close()
        self._links.close()
        if shell is not None:
            shell.use_links([])

    # ---- from the configuration ----

    def _find_ourselves(self, configuration: PulseConfiguration) -> Who:
        device_of: dict[IPAddress, str] = {}
        for held in self._links.addresses:
            name = self._links.name(held.index)
            if name is not None:
                device_of.setdefault(held.address, name)
        return who_are_we(configuration, device_of)

    def _make_voice(self) -> Voice:
        if not self._who.links or not self._configuration.sealed:
            return OriginalVoice(self._who.place, fos=self._configuration.mode == "fos")
        return SealedVoice(
            read_pair_keys(self._paths.etc),
            node=self._node,
            boot=self._boot,
            place=self._who.place,
            name=socket.gethostname()[:64],
        )

    def _settings(self) -> Settings:
        configuration = self._configuration
        original = bool(self._who.links) and not configuration.sealed
        timing = choose(
            ProfileChoice(configuration.profile),
            realtime=self._realtime.granted,
            keepalive_s=configuration.keepalive_s,
            deadtime_s=configuration.deadtime_s,
            original=original,
        )
        return Settings(
            timing=timing,
            place=self._who.place,
            node=self._node,
            boot=self._boot,
            alone=not self._who.links,
            original=original,
            links=frozenset(self._devices()) if self._who.links else frozenset(),
            vip_links=frozenset(one.interface for one in configuration.floating) if self._who.links else frozenset(),
            monitor_links=configuration.monitor_links,
            failback=configuration.failback,
            failback_delay_ns=round(configuration.failback_delay_s * SECOND),
            start_delay_ns=round(configuration.start_delay_s * SECOND),
        )

    def _devices(self) -> list[str]:
        """Where the gate hangs and carrier counts: the devices of VIPs and of heartbeats."""
        floating = (one.interface for one in self._configuration.floating)
        return list(dict.fromkeys([*floating, *(plan.device for plan in self._who.links)]))

    def _configure_wire(self) -> None:
        configuration = self._configuration
        self._wire.configure(
            floating=configuration.floating,
            devices=self._devices(),
            peer=tuple(plan.theirs for plan in self._who.links),
            active_word=self._voice.active_word,
            heartbeat_port=configuration.heartbeat_port,
            lease_ns=self._settings().timing.lease_ns,
            alone=not self._who.links,
            active_cmd=configuration.active_cmd,
            inactive_cmd=configuration.inactive_cmd,
            now=boot_now(),
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "name": socket.gethostname()[:64],
            "version": piranha.__version__,
            "pid": os.getpid(),
            "realtime": self._realtime.granted,
            "realtime_refused": self._realtime.scheduling_refused,
            "memory_locked": not self._realtime.locking_refused,
            "service": self._configuration.mode,
            "sealed": self._configuration.sealed,
        }

    # ---- signals and reload ----

    def _later(self, action: Callable[[], None]) -> Callable[[int, object], None]:
        def handler(number: int, frame: object) -> None:
            self._shell.soon(action)

        return handler

    def _stop(self) -> None:
        self._shell.ask_to_stop()

    def _fuse(self, number: int, frame: object) -> None:
        """SIGXCPU: the loop has computed for longer than it ever may. Ordinary scheduling, so that the host stays usable."""
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        logger.error("the loop computed without a pause for longer than its fuse; real-time scheduling is given up")
        self._realtime = Realtime(scheduling_refused="given up: the loop ran too long without a pause")
        self._shell.soon(lambda: self._shell.change(self._settings(), syncs=self._configuration.syncdaemon))

    def _hang_up(self) -> None:
        """SIGHUP is for all of us; a request over the control socket comes from lvsd, which has read the file."""
        self._tells_lvsd = True
        self._reload()

    def _reload(self) -> None:
        if self._reader is None:
            self._reader = Reader(self._paths.config)
            self._shell.watch(self._reader.number, self._read)

    def _read(self) -> None:
        reader = self._reader
        outcome = reader.read() if reader is not None else None
        if reader is None or outcome is None:
            return
        self._shell.watch(reader.number, None)
        self._reader = None
        document, error = outcome
        try:
            if not document:
                raise PiranhaError(error)
            self._use(PulseConfiguration.from_json(document))
        except (PiranhaError, ValueError) as refused:
            logger.error('reload refused error="%s"; pulse goes on as before', refused)
            return
        logger.info("reloaded")
        if self._lvsd is not None and self._tells_lvsd:
            self._lvsd.reload()
        self._tells_lvsd = False

    def _use(self, configuration: PulseConfiguration) -> None:
        if configuration.ipvs != self._configuration.ipvs or configuration.sealed != self._configuration.sealed:
            logger.warning("a change of dataplane or heartbeat_auth takes effect when pulse is started anew")
        who = self._find_ourselves(configuration)
        keys: PairKeys | None = read_pair_keys(self._paths.etc) if who.links and self._configuration.sealed else None
        port_changed = configuration.heartbeat_port != self._configuration.heartbeat_port
        held = {} if port_changed else {(link.ours, link.theirs): link for link in self._shell.links}
        links = [
            held.get((plan.ours, plan.theirs)) or _open_link(plan, configuration.heartbeat_port) for plan in who.links
        ]
        self._configuration, self._who = configuration, who
        if keys is not None:
            self._voice.use_keys(keys)
        self._shell.use_links(links)
        self._configure_wire()
        self._shell.change(self._settings(), syncs=configuration.syncdaemon and bool(who.links))


def _open_link(plan: LinkPlan, port: int) -> HeartbeatLink:
    return HeartbeatLink(plan.ours, plan.theirs, port, device=plan.device)
