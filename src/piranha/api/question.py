"""Query strings and bodies as values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request

from piranha.base.errors import UsageError
from piranha.dataplane.port import ConnectionFilter
from piranha.model.address import parse_address
from piranha.model.service import Protocol

MAX_LIMIT = 100_000
"""Rows in one answer: making them takes about 10 µs each, in which nothing else in lvsd moves."""
_DEFAULT_LIMIT = 1000
MAX_BODY_BYTES = 4 << 20
_KNOWN = ("protocol", "client", "vip", "port", "server", "state", "limit")

T = TypeVar("T")


def connection_filter(query: Mapping[str, str]) -> ConnectionFilter:
    """`?protocol=tcp&client=&vip=&port=&server=&state=&limit=`; raises UsageError naming what is wrong."""
    unknown = sorted(set(query) - set(_KNOWN))
    if unknown:
        raise UsageError(f"unknown filter {unknown[0][:80]}", mend=f"filters are {', '.join(_KNOWN)}")
    state = query.get("state")
    return ConnectionFilter(
        protocol=_value(query, "protocol", _protocol, "tcp, udp or sctp"),
        client=_value(query, "client", parse_address, "an address"),
        virtual=_value(query, "vip", parse_address, "an address"),
        virtual_port=_value(query, "port", _number(65535), "a port number"),
        destination=_value(query, "server", parse_address, "an address"),
        state=state.upper() if state else None,
        limit=_limit(query),
    )


async def body_of(request: Request) -> Any:
    """The JSON that came with the request. Raises UsageError when it is none, or too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"the request is longer than {MAX_BODY_BYTES} bytes", mend="send it in parts")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("the request is no JSON") from None


def known_words(request: Request, known: Iterable[str]) -> None:
    """Raises UsageError for a word of the query that is none of these."""
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise UsageError(f"unknown word {unknown[0][:80]} in the query", mend=f"known are {', '.join(known)}")


def whole_number(request: Request, name: str, default: int | None, *, most: int = 999_999_999) -> int:
    """A number of the query. Raises UsageError for what is none, or is missing without a default."""
    value = _value(request.query_params, name, _number(most), f"a number up to {most}")
    if value is None:
        if default is None:
            raise UsageError(f"{name} is missing in the query")
        return default
    return value


def _limit(query: Mapping[str, str]) -> int:
    limit = _value(query, "limit", _number(MAX_LIMIT), f"a number up to {MAX_LIMIT}")
    return _DEFAULT_LIMIT if limit is None else limit


def _value(query: Mapping[str, str], name: str, read: Callable[[str], T], expected: str) -> T | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return read(text)
    except (ValueError, KeyError):
        raise UsageError(f"{name}={text[:80]} is not {expected}") from None


def _protocol(text: str) -> Protocol:
    protocol = Protocol[text.upper()]
    if protocol is Protocol.IP:
        raise KeyError(text)
    return protocol


def _number(highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > highest:
            raise ValueError(text)
        return int(text)

    return read
