"""A director's own certificate, self-signed, for the link to the other one.

There is no authority: each director believes the very certificate that it was given at pairing. Its dates span all that X.509
can say, so a wrong clock locks nobody out.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from piranha.base.errors import PiranhaError
from piranha.cluster.heartbeat import NAME_BYTES
from piranha.cluster.keys import write_private

CERTIFICATE_FILE = "node.crt"
KEY_FILE = "node.key"
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def own_certificate(folder: Path, node: bytes) -> str:
    """The PEM text of this director's certificate; made, with its key beside it, where there is none.

    Raises PiranhaError when the files cannot be read or made.
    """
    path = folder / CERTIFICATE_FILE
    if path.exists() and (folder / KEY_FILE).exists():
        try:
            text = path.read_text()
        except OSError as error:
            raise PiranhaError(f"cannot read {path} ({error.strerror})", mend="run as root") from error
        fingerprint(text)
        return text
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"piranha {node.hex()}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, None)
    )
    write_private(folder / KEY_FILE, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    encoded = certificate.public_bytes(Encoding.PEM)
    write_private(path, encoded)
    return str(encoded, "ascii")


def host_name() -> str:
    """This director's name among the pair: the host name, fit to be sent and shown."""
    return "".join(letter for letter in socket.gethostname() if letter.isprintable())[:NAME_BYTES]


def fingerprint(certificate: str) -> str:
    """SHA-256 of a PEM certificate in pairs of hexadecimal digits. Raises PiranhaError for what is none."""
    try:
        digest = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(SHA256())
    except ValueError as error:
        raise PiranhaError(f"this is no certificate ({error})", mend="pair the directors anew") from None
    return digest.hex(":")
