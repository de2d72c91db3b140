"""Reading an HTTP reply, bounded: its head, and its body part by part (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple

from piranha.monitor.checks.body import Body
from piranha.monitor.conversation import Inbox, Reconnect, WrongAnswer, shown

MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200
_MAX_INTERIM = 10
_PART_BYTES = 16_384

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: (.*))?\Z", re.DOTALL)
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?\Z", re.DOTALL)


class Head(NamedTuple):
    """Status, and the header lines as they came."""

    status: int
    phrase: str
    lines: bytes

    def headers(self) -> dict[str, str]:
        """Names in lower case; the last of the same name counts."""
        found: dict[str, str] = {}
        for line in self.lines.split(b"\n"):
            name, _, value = line.partition(b":")
            found[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
        return found


def read_head(inbox: Inbox, send: bytes) -> Generator[bytes | Reconnect, bytes, Head]:
    """Send a request and read the head of the reply to it; interim ones (1xx) are passed over."""
    for _ in range(_MAX_INTERIM):
        line = yield from inbox.line(send)
        send = b""
        match = _STATUS.match(line)
        if match is None:
            raise WrongAnswer(f"no HTTP reply: {shown(line)}")
        lines = yield from inbox.until_blank_line(most=MAX_HEAD_BYTES)
        if lines.count(b"\n") > MAX_HEADERS:
            raise WrongAnswer(f"more than {MAX_HEADERS} headers")
        status = int(match[1])
        if status >= 200:
            return Head(status, _readable(match[2] or b""), lines)
    raise WrongAnswer(f"more than {_MAX_INTERIM} interim replies")


def _readable(phrase: bytes) -> str:
    text = phrase[:60].decode("latin-1")
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def body_parts(inbox: Inbox, head: Head, body: Body, *, no_body: bool) -> Generator[bytes | Reconnect, bytes, None]:
    """Feed the body to whoever judges it, until it has seen enough or the body is over."""
    if no_body or head.status in (204, 304):
        return
    headers = head.headers()
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        yield from _chunks(inbox, body)
    elif (length := headers.get("content-length")) is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise WrongAnswer(f"a content length of {shown(length.encode('latin-1', 'replace'))}")
        yield from _counted(inbox, body, int(length))
    else:
        while not body.satisfied:
            data = yield from inbox.some(_PART_BYTES)
            if not data:
                return
            body.feed(data)


def _counted(inbox: Inbox, body: Body, count: int) -> Generator[bytes | Reconnect, bytes, None]:
    while count and not body.satisfied:
        data = yield from inbox.some(min(count, _PART_BYTES))
        if not data:
            raise WrongAnswer(f"closed with {count} bytes of the body missing")
        count -= len(data)
        body.feed(data)


def _chunks(inbox: Inbox, body: Body) -> Generator[bytes | Reconnect, bytes, None]:
    while not body.satisfied:
        line = yield from inbox.line()
        match = _SIZE.match(line)
        if match is None:
            raise WrongAnswer(f"no size of a chunk: {shown(line)}")
        size = int(match[1], 16)
        if size == 0:
            return
        yield from _counted(inbox, body, size)
        if not body.satisfied and (yield from inbox.line()):
            raise WrongAnswer("a chunk that does not end where it says")
