"""The live stream: one WebSocket a page, the same frame for all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from piranha.base.errors import PiranhaError
from piranha.gui.context import Context
from piranha.gui.guard import is_own_origin
from piranha.gui.lvsd import Lvsd
from piranha.gui.page import Who
from piranha.gui.role import Role
from piranha.gui.sessions import COOKIE

PATH = "/live"
LEAST = Role.VIEWER
LOG_IN, FOREIGN, FULL = 4401, 4403, 4429
"""Close codes: the session is over; another site asks; too many look."""
OWN = Who(name="piranha-gui", role=Role.VIEWER)
"""As whom the hub asks, for all who look."""


async def live(websocket: WebSocket) -> None:
    """Frames until the page goes away, or its session is over."""
    context: Context = websocket.app.state.context
    # Accepted first: only then does a browser learn the close code.
    await websocket.accept()
    if not is_own_origin(websocket):
        await websocket.close(FOREIGN)
        return
    if not _may_look(context, websocket):
        await websocket.close(LOG_IN)
        return
    try:
        async with context.hub.watching(), asyncio.TaskGroup() as group:
            reading = group.create_task(_read(websocket), name="live-read")
            writing = group.create_task(_write(context, websocket), name="live-write")
            reading.add_done_callback(lambda _: writing.cancel())
            writing.add_done_callback(lambda _: reading.cancel())
    except PiranhaError:
        await websocket.close(FULL)


async def _read(websocket: WebSocket) -> None:
    """Pages say nothing; this notices when they go away."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_bytes()


async def _write(context: Context, websocket: WebSocket) -> None:
    async for frame in context.hub.frames():
        if not _may_look(context, websocket):
            await websocket.close(LOG_IN)
            return
        try:
            await websocket.send_text(frame)
        except (WebSocketDisconnect, RuntimeError):
            return


def _may_look(context: Context, connection: HTTPConnection) -> bool:
    """Whether the session still holds; looking alone does not prolong it."""
    session = context.sessions.find(connection.cookies.get(COOKIE, ""), touch=False)
    account = context.accounts.account(session.user) if session is not None else None
    if session is None or account is None:
        return False
    return session.stamp == context.sessions.stamp_of(account) and account.role >= LEAST


async def document_of(lvsd: Lvsd) -> Mapping[str, Any]:
    """One frame: what the pages show, services by their keys."""
    status = await lvsd.get("status", OWN)
    lines = status["services"]
    return {
        "cluster": status["cluster"],
        "problems": status["problems"],
        "summary": status["summary"],
        "serial": status["configuration"]["serial_no"],
        "changed": status["configuration"]["changed_on_disk"],
        "sync": None
        if status["sync"] is None
        else {"state": status["sync"]["state"], "lag_s": status["sync"]["lag_s"]},
        "totals": totals_of(lines),
        "services": {line["key"]: row_of(line) for line in lines},
    }


def row_of(line: Mapping[str, Any]) -> list[Any]:
    """State, real servers, those that are up, connections, connections/s, bits/s in and out.

    Out is None where nothing was seen of it: with direct routing and tunnels the answers do not pass this director.
    """
    return [
        line["state"],
        line["servers"],
        line["servers_up"],
        line["connections"],
        line["connections_per_s"],
        line["in_bits_per_s"],
        line["out_bits_per_s"] or None,
    ]


def totals_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "connections": sum(line["connections"] for line in lines),
        "cps": round(sum(line["connections_per_s"] for line in lines), 1),
        "pps": round(sum(line["packets_per_s"] for line in lines), 1),
        "in_bps": round(sum(line["in_bits_per_s"] for line in lines), 1),
        "out_bps": round(sum(line["out_bits_per_s"] for line in lines), 1),
    }
