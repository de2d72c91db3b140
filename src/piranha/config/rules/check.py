"""Rules on how a virtual server's real servers are checked."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.config.values import format_time
from piranha.model.check import unknown_escapes
from piranha.model.service import Protocol

MAX_CHECK_TEXT = 255
_HTTP_PORT, _HTTPS_PORT = 80, 443
_POSIX_CLASS = re.compile(r"\[:[a-z]+:\]")
_ESCAPE = re.compile(r"""\\([\\rnt'"])""")
_MEANING = {"r": "\r", "n": "\n", "t": "\t"}


def times(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    interval = value.timeout_s if value.interval_s is None else value.interval_s
    name = "timeout" if value.interval_s is None else "interval"
    if value.rise is None and interval > value.reentry_s:
        message = (
            f"{name} ({format_time(interval)}) is longer than reentry ({format_time(value.reentry_s)}): "
            "a failed server comes back at its first good check"
        )
        mend = f"write `reentry = {format_time(interval * 2)}` or more"
        yield Advice(places.of("reentry" if "reentry" in places.values else name), message, mend)
    if value.rise is not None and "reentry" in places.values:
        yield Advice(places.of("reentry"), "reentry has no effect beside rise", "remove one of the two")
    if value.interval_s is not None and value.interval_s < value.timeout_s:
        message = "interval is shorter than timeout: while a check hangs, the next ones are left out"
        yield Advice(places.of("interval"), message, f"write `timeout = {format_time(value.interval_s)}` or less")


def protocol(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    if value.protocol is not Protocol.UDP or value.checks or all(server.checks for server in value.servers):
        return
    if value.expect is None and value.send_program is None and "expect" not in places.values:
        message = "without expect or send_program silence is good: a UDP server is down only when it is unreachable"
        yield Advice(places.of("protocol"), message, "write `send` and `expect`, `send_program`, or a `check` block")
    elif value.send is None and value.send_program is None and "send" not in places.values:
        message = "nothing is sent to the UDP server but an empty datagram, which few answer"
        yield Advice(places.of("expect"), message, "write `send` too, or `send_program`")


def program(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    if value.send_program is None:
        return
    if value.send is not None:
        yield Advice(places.of("send"), "send is ignored, because send_program is set", "remove one of the two")
    if value.use_regex:
        message = "use_regex has no effect on the output of send_program"
        yield Advice(places.of("use_regex"), message, "write `use_regex = 0`")
    if len(value.send_program) > MAX_CHECK_TEXT:
        message = f"send_program has {len(value.send_program)} characters, the original took {MAX_CHECK_TEXT - 1}"
        yield Advice(places.of("send_program"), message, "put the command into a script")
    if re.search(r"[^\s]%[hp]|%[hp][^\s]", value.send_program):
        message = "`%h` and `%p` are filled in only where they stand alone"
        yield Advice(places.of("send_program"), message, "give them to a script as words of their own")
    if re.search(r"[|;&><`$]", value.send_program):
        message = "send_program is not run by a shell: `|`, `;`, `&`, `>` and `$` have no meaning"
        yield Advice(places.of("send_program"), message, "put the command into a script")


def texts(virtual: PlacedVirtual) -> Iterator[Advice]:
    """Lengths and escapes of `send` and `expect`."""
    value = virtual.value
    for name, text in (("send", value.send), ("expect", value.expect)):
        if text is None:
            continue
        place = virtual.places.of(name)
        if len(text) > MAX_CHECK_TEXT:
            message = f"{name} has {len(text)} characters, the original took {MAX_CHECK_TEXT}"
            yield Advice(place, message, "shorten it, or use `send_program`")
        unknown = unknown_escapes(text)
        if unknown:
            listed = ", ".join(f"`{escape}`" for escape in unknown)
            message = f"{listed} in {name}: not an escape, and the original's nanny hung on it; it is taken literally"
            is_pattern = value.use_regex and name == "expect"
            mend = r"write `[.]` or `\\.` for a literal point" if is_pattern else r"write `\\` for a backslash"
            yield Advice(place, message, mend)


def expectation(virtual: PlacedVirtual) -> Iterator[Advice]:
    value, places = virtual.value, virtual.places
    is_unread = value.send is not None and value.expect is None and value.send_program is None
    if is_unread and value.protocol is Protocol.TCP and "expect" not in places.values:
        message = "without expect the answer to send is not read: a connect is all that is checked"
        yield Advice(places.of("send"), message, "write `expect` with the beginning of the answer")
    if value.expect == "" and value.send is None and value.port == _HTTP_PORT and value.send_program is None:
        message = "an empty expect waits until the server speaks first, which a web server never does"
        yield Advice(places.of("expect"), message, "remove `expect`, or write `send` too")
    if value.use_regex and value.expect is None and value.send_program is None and "expect" not in places.values:
        yield Advice(places.of("use_regex"), "use_regex has no effect without expect", "write `expect`")
    if value.use_regex and value.expect and value.send_program is None:
        error = pattern_error(value.expect)
        if error:
            message = f"expect is not a regular expression ({error}): every check would fail"
            yield Advice(places.of("expect"), message, "mend the expression, or write `use_regex = 0`")
    if value.send and value.port == _HTTPS_PORT and value.send.startswith(("GET ", "HEAD ")):
        message = "port 443 speaks TLS, and this check sends plain HTTP"
        yield Advice(places.of("send"), message, "use `send_program` with a client that speaks TLS")


def pattern_error(text: str) -> str:
    """Why a text is no regular expression; empty when it is one, or too long to judge here."""
    if len(text) > 4 * MAX_CHECK_TEXT:
        return ""
    plain = _ESCAPE.sub(lambda match: _MEANING.get(match[1], match[1]), text) if len(text) > 1 else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(_POSIX_CLASS.sub("a", plain))
    except re.error as error:
        return error.msg
    except (RecursionError, OverflowError):
        return "it is nested too deeply or repeats too often"
    return ""


RULES = (times, protocol, program, texts, expectation)
