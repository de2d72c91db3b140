"""What moves on the pages: asked of lvsd once a second while anybody looks, encoded once, given to all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from piranha.base.errors import PiranhaError

PERIOD_S = 1.0
MOST_WATCHERS = 500

logger = logging.getLogger(__name__)

Ask = Callable[[], Awaitable[Mapping[str, Any]]]


class Hub:
    """One frame a second for every watcher. `ask` makes the document of one; a slow watcher misses frames, never delays
    others."""

    def __init__(self, ask: Ask, *, period_s: float = PERIOD_S) -> None:
        self._ask = ask
        self._period_s = period_s
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._number = 0
        self._last: Mapping[str, Any] = {}
        self._changes = ""
        self._whole = ""

    @property
    def watchers(self) -> int:
        return self._watchers

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While inside, `frames` has news. Without watchers nothing is asked. Raises PiranhaError when there are too many."""
        if self._watchers >= MOST_WATCHERS:
            raise PiranhaError(f"{MOST_WATCHERS} pages look already")
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="live")
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None
                self._last, self._changes, self._whole = {}, "", ""

    async def frames(self) -> AsyncIterator[str]:
        """A whole frame, then each new one with the services that changed; a whole one again for who missed any."""
        seen = -1
        if self._last:
            seen = self._number
            yield self._whole_text()
        while True:
            await self._news.wait()
            missed, seen = seen != self._number - 1, self._number
            yield self._whole_text() if missed else self._changes

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while True:
            before, self._last = self._last, await self._document()
            self._number += 1
            self._changes, self._whole = _text(changes_between(before, self._last)), ""
            news, self._news = self._news, asyncio.Event()
            news.set()
            # A late round is not made up for.
            due_at = max(due_at + self._period_s, loop.time() + self._period_s / 2)
            await asyncio.sleep(due_at - loop.time())

    def _whole_text(self) -> str:
        """Made once a round, for all who need it."""
        self._whole = self._whole or _text({**self._last, "whole": True})
        return self._whole

    async def _document(self) -> Mapping[str, Any]:
        try:
            return {"at": round(time.time(), 3), **await self._ask()}
        except PiranhaError as error:
            return {"at": round(time.time(), 3), "error": error.message, "mend": error.mend}
        except Exception:
            logger.exception("a live frame could not be made")
            return {"at": round(time.time(), 3), "error": "internal error, see the log of piranha-gui", "mend": ""}


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """`after` without the services that are as they were; `gone` are the keys of those that are no more."""
    if "services" not in after:
        return dict(after)
    known = before.get("services")
    if known is None:
        return {**after, "whole": True}
    changed = {key: row for key, row in after["services"].items() if known.get(key) != row}
    return {**after, "services": changed, "gone": [key for key in known if key not in after["services"]]}


def _text(frame: Mapping[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
