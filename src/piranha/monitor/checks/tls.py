"""The TLS check, and TLS under every other conversation: encrypts in memory, sends nothing itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from piranha.model.check import Probe
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.monitor.checks import tcp
from piranha.monitor.conversation import RECONNECT, Conversation, Found, Part, Reconnect, WrongAnswer
from piranha.monitor.outcome import CheckImpossibleError

_MAX_READ_BYTES = 65_536


def converse(probe: Probe, token: bytes) -> Conversation:
    """A handshake; with `send` and `expect` what the TCP check does, inside of it."""
    return secured(probe, tcp.converse(probe, token))


def secured(probe: Probe, inner: Conversation) -> Conversation:
    """The same conversation inside TLS. Raises CheckImpossibleError when the probe's certificates cannot be used."""
    options = probe.options
    assert options is not None
    return _Session(context_of(options), _server_name(probe, options), _protocols(options)).carry(inner)


def context_of(options: CheckBlock) -> ssl.SSLContext:
    """The context of a check; files that changed are read anew. Raises CheckImpossibleError."""
    names = (options.ca, options.certificate, options.key)
    try:
        changed = tuple(Path(name).stat().st_mtime_ns if name else 0 for name in names)
        return _context(options.verify or options.ca is not None, *names, _protocols(options), changed)
    except (OSError, ValueError) as error:
        raise CheckImpossibleError(f"cannot use the certificates of the check: {error}") from error


@lru_cache(maxsize=256)
def _context(
    verify: bool,
    ca: str | None,
    certificate: str | None,
    key: str | None,
    protocols: tuple[str, ...],
    changed: tuple[int, ...],
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = verify
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca is not None:
        context.load_verify_locations(ca)
    elif verify:
        context.load_default_certs()
    if certificate is not None:
        # Without a prompt: an encrypted key would otherwise ask lvsd's terminal for its pass phrase.
        context.load_cert_chain(certificate, key, password=lambda: "")
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _server_name(probe: Probe, options: CheckBlock) -> str:
    return options.sni or options.host or str(probe.address).partition("%")[0]


def _protocols(options: CheckBlock) -> tuple[str, ...]:
    return ("h2",) if options.kind is CheckKind.GRPC else ()


class _Session:
    """TLS for one conversation; anew for each connection of it."""

    def __init__(self, context: ssl.SSLContext, name: str, protocols: tuple[str, ...]) -> None:
        self._context = context
        self._name = name
        self._protocols = protocols
        self._wrap()

    def _wrap(self) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = self._context.wrap_bio(self._in, self._out, server_hostname=self._name)
        except (ValueError, UnicodeError) as error:
            raise CheckImpossibleError(f"`{self._name}` cannot be asked for in TLS: {error}") from error

    def carry(self, inner: Conversation) -> Conversation:
        try:
            yield from self._handshake()
            words = next(inner)
            while True:
                if isinstance(words, Reconnect):
                    yield RECONNECT
                    self._wrap()
                    yield from self._handshake()
                    words = inner.send(b"")
                    continue
                if words:
                    self._tls.write(words)
                words = inner.send((yield from self._read()))
        except StopIteration as end:
            found: Found = end.value
        finally:
            inner.close()
        if found.farewell:
            self._tls.write(found.farewell)
        return found._replace(farewell=self._out.read())

    def _handshake(self) -> Conversation:
        yield from self._until(self._shake, b"closed during the TLS handshake")
        wanted = self._tls.selected_alpn_protocol()
        if self._protocols and wanted not in self._protocols:
            raise WrongAnswer(f"does not speak {self._protocols[0]} inside TLS")
        return Found("")

    def _shake(self) -> bytes:
        self._tls.do_handshake()
        return b""

    def _read(self) -> Part:
        return (yield from self._until(lambda: self._tls.read(_MAX_READ_BYTES), b""))

    def _until(self, step: Callable[[], bytes], closed: bytes) -> Part:
        """Take the step as soon as enough has come for it. At the server's close: b"", or `closed` as a complaint."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except (ssl.SSLError, ssl.CertificateError) as error:
                raise WrongAnswer(f"TLS: {_reason_of(error)}") from error
            data = yield self._out.read()
            if data:
                self._in.write(data)
            elif closed:
                raise WrongAnswer(closed.decode())
            else:
                return b""


def _reason_of(error: ssl.SSLError | ssl.CertificateError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
