"""Starting and stopping the services: `start_cmd` and `stop_cmd`, words split at blanks, no shell, one after another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from piranha.model.configuration import VirtualServer
from piranha.monitor.escapes import strip_quotes

logger = logging.getLogger(__name__)

LIMIT_S = 60.0
_OUTPUT_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCommands:
    """One failover service. An empty command is none."""

    name: str
    start: tuple[str, ...]
    stop: tuple[str, ...]

    @staticmethod
    def of(block: VirtualServer) -> ServiceCommands:
        return ServiceCommands(name=block.name, start=_words(block.start_cmd), stop=_words(block.stop_cmd))


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Whether a service was started; `trouble` says why not."""

    name: str
    trouble: str = ""


async def start_all(services: Sequence[ServiceCommands], *, limit_s: float = LIMIT_S) -> list[Started]:
    """Stop each, whatever that says, then start it: so that it starts from a known state, as the original did."""
    done = []
    for service in services:
        await _run(service.name, "stop_cmd", service.stop, limit_s)
        trouble = await _run(service.name, "start_cmd", service.start, limit_s)
        if trouble:
            logger.error('service=%s not started trouble="%s"', service.name, trouble)
        else:
            logger.info("service=%s started", service.name)
        done.append(Started(name=service.name, trouble=trouble))
    return done


async def stop_all(services: Sequence[ServiceCommands], *, limit_s: float = LIMIT_S) -> None:
    """Stop each. What a stop command says is logged, and changes nothing."""
    for service in reversed(services):
        trouble = await _run(service.name, "stop_cmd", service.stop, limit_s)
        if trouble:
            logger.warning('service=%s stop_cmd trouble="%s"', service.name, trouble)


async def _run(service: str, what: str, command: tuple[str, ...], limit_s: float) -> str:
    """Run one command to its end; what went wrong, empty for nothing. Killed with its group when it lasts too long."""
    if not command:
        return ""
    loop = asyncio.get_running_loop()
    output = _Output()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output.write_end,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        output.close()
        return f"{command[0]} cannot be started: {error.strerror}"
    output.follow(loop)
    try:
        async with asyncio.timeout(limit_s):
            # The command's end counts, not the pipe's: a service that stays in the background may hold that open.
            code = await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return f"{what} ran longer than {limit_s:g} s and was stopped"
    finally:
        output.read()
        output.close()
    if code == 0:
        return ""
    said = " ".join(output.head.decode(errors="replace").split())[:200]
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    return f"{what} {how}: {said}" if said else f"{what} {how}"


class _Output:
    """The pipe that a command prints into; its head is kept, the rest is read and dropped."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.write_end, True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.head = bytearray()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """The command has its end: read ours from now on."""
        os.close(self.write_end)
        self.write_end = -1
        self._loop = loop
        loop.add_reader(self._read_end, self.read)

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._read_end, _OUTPUT_BYTES):
                self.head += data[: _OUTPUT_BYTES - len(self.head)]
            if self._loop is not None:
                self._loop.remove_reader(self._read_end)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._read_end)
        for end in (self._read_end, self.write_end):
            if end >= 0:
                os.close(end)


def _words(command: str | None) -> tuple[str, ...]:
    return tuple(strip_quotes(command).split()) if command else ()
