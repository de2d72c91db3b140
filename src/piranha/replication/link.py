"""The pair link: TCP with TLS between two directors, kept up over whichever of their networks works.

The director with the smaller node id dials, on all ways at once, and the first that answers is used; the other one listens, on its own
addresses, to the pair's addresses alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

from piranha.base.errors import PiranhaError
from piranha.cluster.keys import Peer
from piranha.model.address import IPAddress
from piranha.replication.ends import Ends
from piranha.replication.frames import FrameError, Hello, Kind
from piranha.replication.session import GREETING_S, Session

logger = logging.getLogger(__name__)

RETRY_S = 0.5
_LONGEST_RETRY_S = 5.0
_CONNECT_WITHIN_S = 1.0
_BIND_RETRY_S = 1.0
_MOST_SESSIONS = 4
_BACKLOG = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Where the ends are, who the other is, and what proves it."""

    ends: Ends
    peer: Peer
    server: ssl.SSLContext
    client: ssl.SSLContext


class Hearing(Protocol):
    """Who uses the link. Of several sessions the latest counts, and only it is heard."""

    def link_up(self, session: Session) -> None: ...

    async def heard(self, session: Session, kind: Kind, body: bytes) -> None:
        """Raises PiranhaError for what the other may not say; the session then ends."""
        ...

    def link_down(self, session: Session) -> None: ...


class PairLink:
    """`run` until cancelled; `configure` at any time. `trouble` says why there is no session, for people."""

    def __init__(self, ours: Hello, hearing: Hearing) -> None:
        self._ours = ours
        self._hearing = hearing
        self._settings: LinkSettings | None = None
        self._changed = asyncio.Event()
        self.session: Session | None = None
        self.trouble = ""

    def configure(self, settings: LinkSettings | None) -> None:
        """Other ends, another peer, other certificates; None closes the link. The same again changes nothing."""
        if settings != self._settings:
            self._settings = settings
            self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            work = asyncio.create_task(self._work(self._settings), name="pair link")
            changed = asyncio.create_task(self._changed.wait(), name="pair link changed")
            try:
                await asyncio.wait((work, changed), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    work.result()
            finally:
                for task in (work, changed):
                    task.cancel()
                await asyncio.gather(work, changed, return_exceptions=True)

    async def _work(self, settings: LinkSettings | None) -> None:
        if settings is None:
            await asyncio.get_running_loop().create_future()
            return
        async with asyncio.TaskGroup() as group:
            if self._ours.node < settings.peer.node.hex():
                group.create_task(self._dial(settings), name="pair link dial")
            else:
                for address in settings.ends.local:
                    group.create_task(self._listen(settings, address), name=f"pair link {address}")

    async def _dial(self, settings: LinkSettings) -> None:
        pause_s = RETRY_S
        while True:
            session, reasons = await _first_of([self._reach(settings, *way) for way in settings.ends.ways])
            if session is not None:
                session.choose()
                pause_s = RETRY_S if await self._talk(session) else min(2 * pause_s, _LONGEST_RETRY_S)
            else:
                self._say("; ".join(dict.fromkeys(str(reason) for reason in reasons)))
                is_hopeless = all(isinstance(reason, PiranhaError) for reason in reasons)
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S) if is_hopeless else RETRY_S
            await asyncio.sleep(pause_s)

    async def _reach(self, settings: LinkSettings, local: IPAddress, peer: IPAddress) -> Session:
        """A session over one way. Raises PiranhaError where somebody else answers, OSError where nobody does."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(_family(peer), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((str(local), 0))
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                await loop.sock_connect(sock, (str(peer), settings.ends.port))
        except TimeoutError:
            sock.close()
            raise OSError(f"{peer} does not answer on TCP port {settings.ends.port}") from None
        except OSError as error:
            sock.close()
            raise OSError(f"{peer}, TCP port {settings.ends.port}: {error.strerror or error}") from None
        except BaseException:
            sock.close()
            raise
        with _tls_reasons(str(peer)):
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=settings.client, server_hostname="", ssl_handshake_timeout=GREETING_S
            )
            return await Session.greet(reader, writer, str(peer), ours=self._ours, peer=settings.peer)

    async def _listen(self, settings: LinkSettings, address: IPAddress) -> None:
        """Answer the other director on one of our addresses; one that is not there yet is tried again."""
        while True:
            try:
                listener = _listener(address, settings.ends.port)
            except OSError as error:
                self._say(f"cannot listen on {address}, TCP port {settings.ends.port}: {error.strerror or error}")
            else:
                self.trouble = self.trouble or "the other director has not called yet"
                with listener:
                    await self._accept(settings, listener)
            await asyncio.sleep(_BIND_RETRY_S)

    async def _accept(self, settings: LinkSettings, listener: socket.socket) -> None:
        """Until the listener breaks."""
        loop = asyncio.get_running_loop()
        answers: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    sock, remote = await loop.sock_accept(listener)
                except OSError as error:
                    self._say(f"the listener broke: {error.strerror or error}")
                    return
                if ip_address(remote[0]) not in settings.ends.peer or len(answers) >= _MOST_SESSIONS:
                    sock.close()
                    continue
                task = group.create_task(self._answer(settings, sock, remote[0]), name="pair link answer")
                answers.add(task)
                task.add_done_callback(answers.discard)

    async def _answer(self, settings: LinkSettings, sock: socket.socket, remote: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            with _tls_reasons(remote):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, sock, ssl=settings.server, ssl_handshake_timeout=GREETING_S
                )
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                session = await Session.greet(reader, writer, remote, ours=self._ours, peer=settings.peer)
                await session.chosen()
        except (OSError, PiranhaError, TimeoutError) as error:
            sock.close()
            self._say(str(error) or f"{remote} does not greet in time")
            return
        await self._talk(session)

    async def _talk(self, session: Session) -> bool:
        """A session to its end -> whether it ended as connections do, not by what the other said."""
        former, self.session = self.session, session
        if former is not None:
            former.close()
        self.trouble = ""
        logger.info('pair link up peer="%s" name="%s"', session.remote, session.hello.name)
        self._hearing.link_up(session)

        async def hear(kind: Kind, body: bytes) -> None:
            if self.session is session:
                await self._hearing.heard(session, kind, body)

        try:
            await session.run(hear)
        except (OSError, TimeoutError) as error:
            self._end(session, str(error) or "the other director fell silent")
            return True
        except PiranhaError as error:
            self._end(session, str(error))
            return False
        finally:
            self._end(session, "")
        return True

    def _end(self, session: Session, reason: str) -> None:
        if self.session is session:
            self.session = None
            self._say(reason)
            self._hearing.link_down(session)

    def _say(self, trouble: str) -> None:
        if self.session is None and trouble != self.trouble:
            logger.warning('pair link down reason="%s"', trouble)
            self.trouble = trouble


async def _first_of(attempts: list[Coroutine[Any, Any, Session]]) -> tuple[Session | None, list[BaseException]]:
    """The first session that stands, and why the others do not; what comes later is closed."""
    pending = {asyncio.create_task(attempt, name="pair link reach") for attempt in attempts}
    stood: list[Session] = []
    reasons: list[BaseException] = []
    try:
        while pending and not stood:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    stood.append(task.result())
                except (OSError, PiranhaError, TimeoutError) as error:
                    reasons.append(error)
    finally:
        for task in pending:
            task.cancel()
        late = await asyncio.gather(*pending, return_exceptions=True)
        for session in (*stood[1:], *(result for result in late if isinstance(result, Session))):
            session.close()
    return (stood[0] if stood else None), reasons


@contextlib.contextmanager
def _tls_reasons(remote: str) -> Iterator[None]:
    """What TLS refuses, said for people."""
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise FrameError(
            f"{remote} is not the director of the pair: its certificate is another one", mend="pair the directors anew"
        ) from None
    except ssl.SSLError as error:
        raise FrameError(
            f"{remote} and we do not agree on TLS ({error.reason or error})", mend="pair the directors anew"
        ) from None


def _listener(address: IPAddress, port: int) -> socket.socket:
    listener = socket.socket(_family(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET
