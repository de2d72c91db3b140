"""What a check says and hears, without any I/O: generators that are fed with what the server sends.

A conversation yields bytes to send and is given what came back; `b""` means that the server closed. In a conversation
by datagrams the first yield is sent even when empty, a later empty one only waits for the next datagram. It returns a
`Found` when all is well and raises `WrongAnswer` when the server answered badly. It is bounded by what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from piranha.base.errors import PiranhaError
from piranha.model.check import Probe

MAX_LINE_BYTES = 8192
MAX_LINES = 200


class WrongAnswer(PiranhaError):  # noqa: N818 - an answer, and no error of ours
    """The server answered, and not as a healthy one does."""


class Silence(PiranhaError):  # noqa: N818
    """Thrown into a conversation at its deadline. Whoever takes silence for health catches it."""


class Reconnect:
    """Yielded instead of bytes: close, and connect to the same server again. `b""` comes back."""


RECONNECT = Reconnect()


class Found(NamedTuple):
    """A healthy server: why, what to say before closing, and the weight that it asks for."""

    reason: str
    farewell: bytes = b""
    weight: int | None = None


Conversation = Generator[bytes | Reconnect, bytes, Found]
Part = Generator[bytes | Reconnect, bytes, bytes]

Factory = Callable[[Probe, bytes], Conversation]
"""Begins a conversation for a probe, given 32 random bytes. Raises CheckImpossibleError where that cannot be."""


class Inbox:
    """What has come and is not read yet. The readers are parts of a conversation: `line = yield from inbox.line()`."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._owed = b""
        self.closed = False

    @property
    def pending(self) -> bool:
        """Whether something has come that nobody has read."""
        return bool(self._held)

    def line(self, send: bytes = b"", *, most: int = MAX_LINE_BYTES) -> Part:
        """Read one line, and send before waiting for it; its end is taken off."""
        self._owed += send
        while (end := self._held.find(b"\n", 0, most)) < 0:
            if len(self._held) >= most:
                raise WrongAnswer(f"a line of more than {most} bytes that begins with {shown(self._held)}")
            yield from self._more()
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line.removesuffix(b"\r")

    def until_blank_line(self, *, most: int) -> Part:
        """Read lines up to and with a blank one, as they are."""
        while True:
            if self._held[:2] == b"\r\n" or self._held[:1] == b"\n":
                end = self._held.index(b"\n") + 1
                break
            end = self._held.find(b"\r\n\r\n", 0, most) + 4
            bare = self._held.find(b"\n\n", 0, most) + 2
            if bare >= 2 and (end < 4 or bare < end):
                end = bare
            if end >= 4 or bare >= 2:
                break
            if len(self._held) >= most:
                raise WrongAnswer(f"headers of more than {most} bytes")
            yield from self._more()
        lines = bytes(self._held[:end])
        del self._held[:end]
        return lines

    def exactly(self, count: int, send: bytes = b"") -> Part:
        """Read so many bytes, and send before waiting for them."""
        self._owed += send
        while len(self._held) < count:
            yield from self._more()
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    def some(self, most: int) -> Part:
        """Whatever has come, at most so much; b"" at the end."""
        if not self._held and not self.closed:
            yield from self._receive()
        data = bytes(self._held[:most])
        del self._held[: len(data)]
        return data

    def _more(self) -> Generator[bytes | Reconnect, bytes, None]:
        if not self.closed:
            yield from self._receive()
        if self.closed:
            if self._held:
                raise WrongAnswer(f"closed in the middle of an answer that begins with {shown(self._held)}")
            raise WrongAnswer("closed without an answer")

    def _receive(self) -> Generator[bytes | Reconnect, bytes, None]:
        send, self._owed = self._owed, b""
        data = yield send
        if data:
            self._held += data
        else:
            self.closed = True


def shown(data: bytes | bytearray) -> str:
    """The beginning of an answer, for a reason."""
    return repr(bytes(data[:40]))[1:]
