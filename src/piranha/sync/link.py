"""The pair link: sockets, TLS and retries around `teller.py` and `copier.py`."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.sync.stream import ByteStream, SocketStream, StreamError

logger = logging.getLogger(__name__)

Session = Callable[[ByteStream, str], Awaitable[None]]

_MOST_SESSIONS = 4
_RETRY_S, _LONGEST_RETRY_S = 0.5, 5.0
_CONNECT_WITHIN_S = 3.0
_BIND_RETRY_S = 2.0
_BUFFER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnds:
    """Where we listen and whom we dial. Without TLS contexts the partner is known by its address alone."""

    local: IPAddress
    peer: IPAddress
    port: int
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None


async def serve(ends: LinkEnds, session: Session) -> None:
    """Answer the partner until cancelled. An address that is not there yet is tried again."""
    open_sessions: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = writer.get_extra_info("peername")[0]
        if ip_address(peer) != ends.peer or len(open_sessions) >= _MOST_SESSIONS:
            logger.warning('pair link refused peer="%s"', peer)
            writer.transport.abort()
            return
        open_sessions.add(task)
        try:
            await _guarded(SocketStream(reader, writer), session, peer, "serving")
        finally:
            open_sessions.discard(task)

    said = ""
    while True:
        try:
            server = await asyncio.start_server(
                answer, str(ends.local), ends.port, ssl=ends.server_tls, limit=_BUFFER_BYTES
            )
        except OSError as error:
            if str(error) != said:
                logger.warning('pair link cannot be served, trying on error="%s"', error)
            said = str(error)
            await asyncio.sleep(_BIND_RETRY_S)
            continue
        async with server:
            try:
                await server.serve_forever()
            finally:
                for task in open_sessions:
                    task.cancel()


async def dial(ends: LinkEnds, session: Session, failed: Callable[[], None]) -> None:
    """Be a session with the partner, again and again, until cancelled. `failed` is called after each end."""
    delay_s = _RETRY_S
    while True:
        try:
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                reader, writer = await asyncio.open_connection(
                    str(ends.peer),
                    ends.port,
                    ssl=ends.client_tls,
                    local_addr=(str(ends.local), 0),
                    limit=_BUFFER_BYTES,
                )
        except (OSError, TimeoutError) as error:
            logger.debug('pair link not reached peer="%s" error="%s"', ends.peer, error)
        else:
            began_at = asyncio.get_running_loop().time()
            await _guarded(SocketStream(reader, writer), session, str(ends.peer), "copying")
            if asyncio.get_running_loop().time() - began_at > _LONGEST_RETRY_S:
                delay_s = _RETRY_S
        failed()
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, _LONGEST_RETRY_S)


async def _guarded(opened: ByteStream, session: Session, peer: str, what: str) -> None:
    try:
        await session(opened, peer)
    except* (OSError, TimeoutError, StreamError, PiranhaError) as ended:
        logger.info('pair link ended doing="%s" peer="%s" reason="%s"', what, peer, ended.exceptions[0])
    finally:
        opened.close()
