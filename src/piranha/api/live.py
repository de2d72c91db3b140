"""The live stream: one frame a second, encoded once and sent to whoever watches. Nobody watches: no work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from piranha.api.render import render
from piranha.director.live import LiveFrame, changes_between

INTERVAL_S = 1.0
MOST_WATCHERS = 500
_QUEUED = 5
"""Frames that may wait for a slow reader, before it is sent away to begin anew."""
_TOO_SLOW, _TOO_MANY = 1013, 1013

logger = logging.getLogger(__name__)


class LiveHub:
    """`frame` makes a full frame; called at most once an interval, however many watch."""

    def __init__(self, frame: Callable[[int], LiveFrame], *, interval_s: float = INTERVAL_S) -> None:
        self._frame = frame
        self._interval_s = interval_s
        self._watchers: set[asyncio.Queue[str | None]] = set()
        self._arrived = asyncio.Event()
        self._last: LiveFrame | None = None
        self._full = ""
        self.encoded = 0
        """How many texts were made so far."""

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    async def run(self) -> None:
        """Make frames while somebody watches. Ends by cancellation alone."""
        while True:
            if not self._watchers:
                self._last, self._full = None, ""
                self._arrived.clear()
                await self._arrived.wait()
            await asyncio.sleep(self._interval_s)
            if self._watchers:
                self._send_round()

    async def watch(self, socket: WebSocket) -> None:
        """Send frames to one watcher until it goes: first a full one, then changes."""
        if len(self._watchers) >= MOST_WATCHERS:
            await socket.close(_TOO_MANY, "too many watch already")
            return
        await socket.accept()
        queue: asyncio.Queue[str | None] = asyncio.Queue(_QUEUED)
        queue.put_nowait(self._full_text())
        self._watchers.add(queue)
        self._arrived.set()
        listening = asyncio.create_task(_until_gone(socket), name="live listener")
        try:
            while True:
                waiting = asyncio.create_task(queue.get(), name="live frame")
                await asyncio.wait((waiting, listening), return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    waiting.cancel()
                    return
                text = waiting.result()
                if text is None:
                    await socket.close(_TOO_SLOW, "frames are not taken in time")
                    return
                await socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            logger.debug('a watcher is gone error="%s"', error)
        finally:
            self._watchers.discard(queue)
            listening.cancel()

    def _send_round(self) -> None:
        before = self._last
        after = self._frame(1 if before is None else before["sequence"] + 1)
        text = self._encoded(after if before is None else changes_between(before, after))
        self._last, self._full = after, ""
        for queue in list(self._watchers):
            if queue.full():
                self._watchers.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(text)

    def _full_text(self) -> str:
        """The frame that the next changes follow; made once an interval for all who arrive in it."""
        if self._last is None:
            self._last = self._frame(1)
        if not self._full:
            self._full = self._encoded(self._last)
        return self._full

    def _encoded(self, frame: LiveFrame) -> str:
        self.encoded += 1
        return render(frame).decode()


async def _until_gone(socket: WebSocket) -> None:
    """What a watcher says is of no interest; that it goes is."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive_text()
