"""Runs the `quorum_up` and `quorum_down` commands: bounded, one at a time for a service, never in the way of verdicts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from piranha.director.admission import QuorumChange
from piranha.model.service import ServiceKey

LONGEST_S = 30.0
MOST_AT_ONCE = 8

logger = logging.getLogger(__name__)


class QuorumCommands:
    """`take` notes a change; `run` carries commands out. Of changes that come while a command runs the last counts.

    A command gets no shell and no input; its environment says which service and what happened. `tell(subject, text,
    bad)` hears of every change and of commands that fail.
    """

    def __init__(self, tell: Callable[[str, str, bool], None] = lambda subject, text, bad: None) -> None:
        self.tell = tell
        self._waiting: dict[ServiceKey, QuorumChange] = {}
        self._news = asyncio.Event()

    def take(self, change: QuorumChange) -> None:
        virtual = change.service.virtual
        text = "quorum reached" if change.reached else "quorum lost"
        logger.log(
            logging.INFO if change.reached else logging.WARNING,
            '%s service="%s" virtual="%s" quorum=%d',
            text,
            change.service.service.key,
            virtual.name,
            virtual.quorum,
        )
        self.tell(virtual.name, text, not change.reached)
        if _words(change):
            self._waiting[change.service.service.key] = change
            self._news.set()

    async def run(self) -> None:
        """Until cancelled; a command at work is ended then."""
        running: dict[ServiceKey, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                await self._news.wait()
                self._news.clear()
                running = {key: task for key, task in running.items() if not task.done()}
                for key in [key for key in self._waiting if key not in running]:
                    if len(running) >= MOST_AT_ONCE:
                        break
                    change = self._waiting.pop(key)
                    running[key] = group.create_task(self._carry_out(change), name=f"quorum command of {key}")
                    running[key].add_done_callback(lambda task: self._news.set())

    async def _carry_out(self, change: QuorumChange) -> None:
        words, name = _words(change), change.service.virtual.name
        trouble = ""
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env={
                    **os.environ,
                    "PIRANHA_VIRTUAL": name,
                    "PIRANHA_SERVICE": str(change.service.service.key),
                    "PIRANHA_QUORUM": "up" if change.reached else "down",
                },
            )
        except (OSError, ValueError) as error:
            trouble = f"cannot be run ({error})"
        else:
            try:
                async with asyncio.timeout(LONGEST_S):
                    status = await process.wait()
                trouble = f"ended with status {status}" if status else ""
            except TimeoutError:
                trouble = f"did not end within {LONGEST_S:g} s and was killed"
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await process.wait()
        if trouble:
            logger.warning('quorum command virtual="%s" command="%s" %s', name, " ".join(words), trouble)
            self.tell(name, f"the command `{' '.join(words)}` {trouble}", True)


def _words(change: QuorumChange) -> list[str]:
    virtual = change.service.virtual
    text = virtual.quorum_up if change.reached else virtual.quorum_down
    return [] if text is None else text.strip("\"'").split()
