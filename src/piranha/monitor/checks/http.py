"""The HTTP and HTTPS checks: one request, its status, and its body where asked for (RFC 9110, 9112)."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urljoin, urlsplit

from piranha.model.check import Probe
from piranha.model.check_block import CheckBlock, CheckKind, StatusRange
from piranha.monitor.checks.body import Body, wants_body
from piranha.monitor.checks.http_reply import Head, body_parts, read_head
from piranha.monitor.checks.tls import secured
from piranha.monitor.conversation import RECONNECT, Conversation, Found, Inbox, WrongAnswer, shown

_GOOD = (StatusRange(200, 299),)
_REDIRECTIONS = (301, 302, 303, 307, 308)
_DEFAULT_PORT = {CheckKind.HTTP: 80, CheckKind.HTTPS: 443}


def converse(probe: Probe, token: bytes) -> Conversation:
    options = probe.options
    assert options is not None
    talk = _talk(probe, options, Body(options))
    return secured(probe, talk) if options.kind is CheckKind.HTTPS else talk


def _talk(probe: Probe, options: CheckBlock, body: Body) -> Conversation:
    host, path = host_of(probe, options), options.path or "/"
    for left in range(options.redirects, -1, -1):
        inbox = Inbox()
        head = yield from read_head(inbox, request(options, host, path))
        if head.status in _REDIRECTIONS and left:
            host, path = _elsewhere(options, host, path, head)
            yield RECONNECT
            continue
        break
    if not any(head.status in allowed for allowed in options.status or _GOOD):
        raise WrongAnswer(f"status {head.status} {head.phrase}".rstrip())
    if wants_body(options):
        yield from body_parts(inbox, head, body, no_body=options.method == "HEAD")
        body.judge()
    return Found(f"status {head.status}")


def request(options: CheckBlock, host: str, path: str) -> bytes:
    """The request's bytes. A header of the block takes the place of one of ours."""
    if options.login is None and not options.headers and _plain(host) and _plain(path):
        start = f"{options.method} {path} HTTP/{options.http_version.value}\r\nHost: {host}\r\n"
        return f"{start}User-Agent: piranha\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    headers = {"Host": host, "User-Agent": "piranha", "Accept": "*/*", "Connection": "close"}
    if options.login is not None:
        pair = f"{options.login}:{options.password or ''}".encode("utf-8", "surrogateescape")
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    for header in options.headers:
        name, _, value = header.partition(":")
        headers = {known: text for known, text in headers.items() if known.lower() != name.strip().lower()}
        headers[name.strip()] = value.strip()
    lines = [f"{options.method} {path} HTTP/{options.http_version}", *(f"{n}: {v}" for n, v in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise WrongAnswer("a redirection with a line break in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def host_of(probe: Probe, options: CheckBlock) -> str:
    """The `Host` that is asked for: the block's, else the server's address; its port where that is not the usual one."""
    if options.host is not None:
        return options.host
    name = options.sni or _literal(probe)
    return name if probe.port == _DEFAULT_PORT[options.kind] else f"{name}:{probe.port}"


def _literal(probe: Probe) -> str:
    return probe.address_text if probe.address.version == 4 else f"[{probe.address_text.partition('%')[0]}]"


def _elsewhere(options: CheckBlock, host: str, path: str, head: Head) -> tuple[str, str]:
    """Where a redirection leads: on this same server, whatever host it names."""
    location = head.headers().get("location", "")
    try:
        target = urlsplit(urljoin(f"{options.kind}://{host}{path}", location))
        netloc, where = target.netloc or host, target.path or "/"
    except ValueError as error:
        raise WrongAnswer(f"redirects to {shown(location.encode('utf-8', 'replace'))}") from error
    if not location or target.scheme != str(options.kind):
        raise WrongAnswer(f"redirects to {shown(location.encode('utf-8', 'replace'))}, which this check cannot follow")
    if not all(" " < letter < "\x7f" for letter in netloc + where + target.query):
        raise WrongAnswer("redirects to a place with strange letters")
    return netloc, f"{where}?{target.query}" if target.query else where
