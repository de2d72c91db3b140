"""TLS of the pair link: 1.3 alone, both sides show a certificate, each believes exactly the other's.

There is no authority and no host name, and dates do not matter: a clock that is wrong locks nobody out.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.cluster.identity import CERTIFICATE_FILE, KEY_FILE
from piranha.cluster.keys import read_pair_keys

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""


def server_context(etc: Path) -> ssl.SSLContext:
    """For the side that listens. `etc` has the pair's key and our certificate. Raises PiranhaError where they are not sound."""
    return _context(etc, ssl.PROTOCOL_TLS_SERVER)


def client_context(etc: Path) -> ssl.SSLContext:
    """For the side that dials."""
    return _context(etc, ssl.PROTOCOL_TLS_CLIENT)


def is_peer(certificate: bytes | None, pem: str) -> bool:
    """Whether the certificate (DER) that the other side showed is the very one of the pair."""
    return certificate is not None and certificate == ssl.PEM_cert_to_DER_cert(pem)


def _context(etc: Path, protocol: int) -> ssl.SSLContext:
    peer = read_pair_keys(etc).peer
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags(int(context.verify_flags) | _NO_CHECK_TIME)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    try:
        context.load_verify_locations(cadata=peer.certificate)
        context.load_cert_chain(etc / CERTIFICATE_FILE, etc / KEY_FILE)
    except (OSError, ValueError) as error:
        raise PiranhaError(
            f"the certificates of the pair in {etc} cannot be used ({error})", mend="pair the directors anew"
        ) from error
    return context
