"""The key and certificate of HTTPS: our own from the first start, or the administrator's."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from piranha.base.atomic import replace_file
from piranha.base.errors import PiranhaError

KEY, CERTIFICATE = "gui.key", "gui.crt"
# What browsers accept at most of a certificate that a person trusted by hand.
_DAYS = 825
_OTHERS = 0o077


def ensure_certificate(folder: Path, names: list[str]) -> tuple[Path, Path]:
    """Key and certificate in `folder`; made there, for this host and `names`, where they are missing.

    The administrator's own may stand there under the same names. Raises PiranhaError.
    """
    key, certificate = folder / KEY, folder / CERTIFICATE
    if key.exists() and certificate.exists():
        return key, certificate
    if key.exists() or certificate.exists():
        there, missing = (key, certificate) if key.exists() else (certificate, key)
        raise PiranhaError(
            f"{there} is without {missing.name}", mend=f"add {missing}, or remove {there} to have both made"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        replace_file(key, pem, new_mode=0o600)
        made = _certificate(private, names)
        replace_file(certificate, made.public_bytes(serialization.Encoding.PEM), new_mode=0o644)
    except OSError as error:
        raise PiranhaError(f"cannot make a certificate in {folder} ({error.strerror})", mend="run as root") from error
    return key, certificate


def tls_context(key: Path, certificate: Path) -> ssl.SSLContext:
    """TLS 1.2 or later with these. Raises PiranhaError for a key that others may read, or that does not fit."""
    try:
        if key.stat().st_mode & _OTHERS:
            raise PiranhaError(f"{key} may be read by others", mend=f"chmod 600 {key}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A key with a passphrase would otherwise ask for it on the terminal, or wait for ever without one.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise PiranhaError(
            f"{certificate} and {key} do not fit ({error.reason})", mend="both in PEM, key first"
        ) from None
    except OSError as error:
        raise PiranhaError(f"cannot read {key} or {certificate} ({error.strerror})") from None
    return context


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate, as browsers show it. Raises PiranhaError."""
    try:
        der = ssl.PEM_cert_to_DER_cert(_first_block(certificate.read_text()))
    except (OSError, ValueError) as error:
        raise PiranhaError(f"cannot read {certificate} ({error})") from None
    return hashlib.sha256(der).digest().hex(":").upper()


def _no_passphrase() -> str:
    raise PiranhaError("the key has a passphrase", mend="piranha-gui starts unattended: store it without one, mode 600")


def _first_block(pem: str) -> str:
    head, tail = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return head + pem.split(head, 1)[-1].split(tail, 1)[0] + tail


def _certificate(private: ec.EllipticCurvePrivateKey, names: list[str]) -> x509.Certificate:
    host = socket.gethostname()
    wanted = dict.fromkeys([host, "localhost", "127.0.0.1", "::1", *names])
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, host[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "piranha-gui"),
        ]
    )
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(int.from_bytes(os.urandom(16)) >> 1 or 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
