"""The program check: `send_program`, its exit status and what it prints (spec section 5.3)."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.monitor.answer import MAX_ANSWER_BYTES, Answer, Match
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.cage import Cage, CageYard

DEFAULT_USER = "nobody"
MAX_UNDEAD = 16
"""With so many programs that a SIGKILL did not end (they hang in the kernel), no new ones are started."""

_WEIGHT_STATUS = 2
"""With `dynamic_weight` an exit status from here on is a weight, higher by this (keepalived's `misc_dynamic`)."""

_BURIAL_S = 0.15
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


class ProgramCheck:
    """Runs check programs as `user` (where we are root), each in its own session and, where possible, its own cgroup.

    A program gets no shell, no terminal, no input, nothing of our descriptors and environment, and does not outlive its
    check, nor does anything that it started.
    """

    def __init__(self, user: str = DEFAULT_USER) -> None:
        self._user = user
        self._yard = CageYard()
        self._undead: list[subprocess.Popen[bytes]] = []

    async def check(self, probe: Probe, clock: Clock) -> Outcome:
        """Run the program and judge it, within `timeout_s`.

        It must end with status 0; with `dynamic_weight` 2 to 255 are good too, and ask for the weight 0 to 253. With `expect`, what it printed less one line feed at the end must be equal to it, or
        with `use_regex` match it; `*` and no `expect` are content with the status.

        Raises CheckImpossibleError when the program cannot be started.
        """
        wants_output = probe.expect is not None and not probe.expect_any
        answer = Answer(probe) if wants_output and probe.use_regex else None
        began_at = clock.now()
        cage = self._yard.new()
        try:
            process = self._start(probe, wants_output, cage)
            try:
                run = _Run(process)
            except OSError as error:
                process.kill()
                self._undead.append(process)
                raise CheckImpossibleError(f"cannot watch {probe.program[0]}: {error}") from error
            try:
                async with asyncio.timeout(probe.timeout_s):
                    await run.over
            except TimeoutError:
                pass
            finally:
                run.stop()
                # The leader is not reaped yet, so its group's number cannot have passed to somebody else.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                if process.poll() is None:
                    self._undead.append(process)
        finally:
            if cage is not None:
                cage.close()
        ok, reason = _judge(probe, run, answer)
        weight = _weight_of(probe, run) if ok else None
        outcome = Outcome(ok=ok, reason=reason, duration_s=clock.now() - began_at, weight=weight)
        await self._bury(run)
        return outcome

    async def close(self) -> None:
        """Collect what was killed and remove our cgroups."""
        for process in self._undead:
            with suppress(TimeoutError):
                await _wait_dead(process, _BURIAL_S)
        self._collect()
        with suppress(TimeoutError):
            async with asyncio.timeout(_BURIAL_S):
                # An emptied cgroup goes within a millisecond or two; its events are not worth a watch.
                while not self._yard.clear():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    def _start(self, probe: Probe, wants_output: bool, cage: Cage | None) -> subprocess.Popen[bytes]:
        self._collect()
        if len(self._undead) >= MAX_UNDEAD:
            raise CheckImpossibleError(f"{len(self._undead)} killed check programs do not die")
        tokens = {"%h": str(probe.address), "%p": str(probe.port)}
        try:
            identity = _Identity.of(self._user)
            return subprocess.Popen(
                [tokens.get(word, word) for word in probe.program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if wants_output else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
                preexec_fn=None if cage is None else cage.enter,
                umask=0o077,
                user=identity.user,
                group=identity.group,
                extra_groups=identity.extra_groups,
            )
        except KeyError as error:
            raise CheckImpossibleError(f"cannot run {probe.program[0]}: there is no user {self._user}") from error
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise CheckImpossibleError(f"cannot run {probe.program[0]}: {error}") from error

    async def _bury(self, run: _Run) -> None:
        """Wait a moment for a killed leader; one that hangs in the kernel is collected later."""
        if run.process.poll() is None:
            with suppress(TimeoutError):
                await _wait_dead(run.process, _BURIAL_S)
        self._collect()

    def _collect(self) -> None:
        self._undead = [process for process in self._undead if process.poll() is None]


@dataclass(frozen=True, slots=True)
class _Identity:
    """Whom a program runs as; all None where we are nobody special ourselves."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None

    @staticmethod
    def of(name: str) -> _Identity:
        """Raises KeyError when there is no such user."""
        if os.geteuid() != 0:
            return _Identity()
        entry = pwd.getpwnam(name)
        return _Identity(entry.pw_uid, entry.pw_gid, [])


class _Run:
    """One running program: what it prints, and when it is over.

    `over` is done when the leader has died or has printed too much. Children that keep its output open do not matter.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.printed = bytearray()
        self.too_long = False
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_death)
        self._stdout = process.stdout
        if self._stdout is not None:
            os.set_blocking(self._stdout.fileno(), False)
            self._loop.add_reader(self._stdout.fileno(), self._on_output)

    def stop(self) -> None:
        """Look no further. May be called once."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._stdout is not None:
            self._loop.remove_reader(self._stdout.fileno())
            self._stdout.close()

    def _on_death(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self.ended = True
        while self._stdout is not None and not self.too_long and self._read():
            pass
        self._finish()

    def _on_output(self) -> None:
        assert self._stdout is not None
        if not self._read():
            self._loop.remove_reader(self._stdout.fileno())
        if self.too_long:
            self._finish()

    def _read(self) -> bool:
        """Take what is there; False when there is nothing (at the moment, or at the end of the output)."""
        assert self._stdout is not None
        data = self._stdout.read(MAX_ANSWER_BYTES + 2 - len(self.printed))
        if not data:
            return False
        self.printed += data
        self.too_long = len(self.printed) > MAX_ANSWER_BYTES + 1
        return True

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def _wait_dead(process: subprocess.Popen[bytes], at_most_s: float) -> None:
    """Raises TimeoutError."""
    if process.poll() is not None:
        return
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(process.pid)
    dead = asyncio.Event()
    loop.add_reader(pidfd, dead.set)
    try:
        async with asyncio.timeout(at_most_s):
            await dead.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    process.poll()


def _judge(probe: Probe, run: _Run, answer: Answer | None) -> tuple[bool, str]:
    status = run.process.returncode
    if run.too_long:
        return False, f"printed more than {MAX_ANSWER_BYTES} bytes"
    if not run.ended or status is None:
        return False, f"still running after {probe.timeout_s:g} s: killed"
    if status < 0:
        return False, f"ended by signal {-status}"
    if probe.dynamic_weight and status >= _WEIGHT_STATUS:
        return True, f"exit status {status}: weight {status - _WEIGHT_STATUS}"
    if status > 0:
        return False, f"exit status {status}"
    if probe.expect is None or probe.expect_any:
        return True, "exit status 0"
    printed = bytes(run.printed).removesuffix(b"\n")
    if answer is not None:
        match = answer.feed(printed) if printed else Match.MORE
        matches = (answer.end() if match is Match.MORE else match) is Match.YES
    else:
        matches = printed == probe.expect
    if matches:
        return True, "printed what was expected"
    return False, f"printed {printed[:40]!r}"[:120].replace("printed b", "printed ", 1)


def _weight_of(probe: Probe, run: _Run) -> int | None:
    status = run.process.returncode or 0
    return status - _WEIGHT_STATUS if probe.dynamic_weight and status >= _WEIGHT_STATUS else None
