"""A `check` block of `lvs.cf`: one check of a kind, with what that kind needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from piranha.model.address import IPAddress


class CheckKind(StrEnum):
    """What a check speaks with the server; the word is the name of its block."""

    TCP = "tcp"
    UDP = "udp"
    TLS = "tls"
    HTTP = "http"
    HTTPS = "https"
    DNS = "dns"
    ICMP = "icmp"
    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"
    FTP = "ftp"
    NNTP = "nntp"
    LDAP = "ldap"
    MYSQL = "mysql"
    POSTGRESQL = "postgresql"
    REDIS = "redis"
    RADIUS = "radius"
    SIP = "sip"
    GRPC = "grpc"
    PROGRAM = "program"
    FILE = "file"
    NONE = "none"


class ChecksNeeded(StrEnum):
    """How many of a server's checks must be good for the server to be up."""

    ALL = "all"
    ANY = "any"


class DnsRecord(StrEnum):
    """Record types that a DNS check asks for."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    MX = "MX"
    NS = "NS"
    PTR = "PTR"
    SOA = "SOA"
    SRV = "SRV"
    TXT = "TXT"


class HttpVersion(StrEnum):
    ONE_ZERO = "1.0"
    ONE_ONE = "1.1"


@dataclass(frozen=True, slots=True, order=True)
class StatusRange:
    """HTTP statuses from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, status: int) -> bool:
        return self.first <= status <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBlock:
    """What a `check KIND { … }` block says. Each kind uses some of the fields; texts keep their escapes.

    None is "not set". Secrets stay out of `repr`.
    """

    kind: CheckKind
    address: IPAddress | None = None
    port: int | None = None
    source: IPAddress | None = None
    mark: int = 0
    timeout_s: float | None = None
    interval_s: float | None = None
    rise: int | None = None
    fall: int | None = None
    send: str | None = None
    send_hex: str | None = None
    expect: str | None = None
    expect_hex: str | None = None
    reject: str | None = None
    use_regex: bool = False
    path: str | None = None
    method: str = "GET"
    host: str | None = None
    headers: tuple[str, ...] = ()
    status: tuple[StatusRange, ...] = ()
    digest: str | None = None
    redirects: int = 0
    http_version: HttpVersion = HttpVersion.ONE_ONE
    tls: bool = False
    starttls: bool = False
    sni: str | None = None
    verify: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    name: str | None = None
    record: DnsRecord = DnsRecord.SOA
    helo: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    database: str | None = None
    query: str | None = None
    base: str | None = None
    service: str | None = None
    command: str | None = None
    dynamic_weight: bool = False

    @property
    def is_datagram(self) -> bool:
        return self.kind in (CheckKind.UDP, CheckKind.DNS, CheckKind.RADIUS, CheckKind.ICMP) or (
            self.kind is CheckKind.SIP and not self.tls
        )
