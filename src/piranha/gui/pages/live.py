"""The live stream: one WebSocket a page, the same frame for all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from piranha.base.errors import PiranhaError
from piranha.gui import show
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
    """One frame: what the pages show, by the keys of their rows."""
    status = await lvsd.get("status", OWN)
    services = (await lvsd.get("services", OWN))["services"]
    connections = status["plane"]["connections"]
    return {
        "cluster": status["cluster"],
        "problems": status["problems"],
        "summary": status["summary"],
        "serial": status["configuration"]["serial_no"],
        "changed": status["configuration"]["changed_on_disk"],
        "sync": None
        if status["sync"] is None
        else {"state": status["sync"]["state"], "lag_s": status["sync"]["lag_s"]},
        "totals": {
            "active": connections["tcp_active"] + connections["udp_active"],
            "inactive": connections["tcp_inactive"] + connections["udp_inactive"],
            **_totals(services),
        },
        "services": {show.service_key(service): row_of(service) for service in services},
    }


def row_of(service: Mapping[str, Any]) -> list[Any]:
    """State, each server's health as a letter, active connections, connections/s, bits/s in and out.

    Out is None where no answer passes this director (direct, tunnel).
    """
    rates = service["rates"]
    seen = any(server["method"] == "nat" for server in service["servers"])
    return [
        service["state"],
        "".join(letter_of(server) for server in service["servers"]),
        service["active_connections"],
        rates["connections_per_s"],
        8 * rates["in_bytes_per_s"],
        8 * rates["out_bytes_per_s"] if seen else None,
    ]


def letter_of(server: Mapping[str, Any]) -> str:
    """u up, d down, q quiesced (weight 0), s sorry server, ? not known yet."""
    if server["role"] == "sorry":
        return "s"
    if server["weight"] == 0 or (server["health"] == "up" and server["configured_weight"] == 0):
        return "q"
    return {"up": "u", "down": "d"}.get(str(server["health"]), "?")


def _totals(services: list[Mapping[str, Any]]) -> dict[str, float]:
    total = {"cps": 0.0, "pps": 0.0, "in_bps": 0.0, "out_bps": 0.0}
    for service in services:
        rates = service["rates"]
        total["cps"] += rates["connections_per_s"]
        total["pps"] += rates["in_packets_per_s"] + rates["out_packets_per_s"]
        total["in_bps"] += 8 * rates["in_bytes_per_s"]
        total["out_bps"] += 8 * rates["out_bytes_per_s"]
    return {name: round(value, 1) for name, value in total.items()}
