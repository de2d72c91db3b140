"""Which conversation belongs to which kind of check. Adding a kind is one line here and one file beside it."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.model.check_block import CheckKind
from piranha.monitor.checks import (
    dns,
    ftp,
    grpc,
    http,
    icmp,
    imap,
    ldap,
    mysql,
    nntp,
    pop3,
    postgresql,
    radius,
    redis,
    sip,
    smtp,
    tcp,
    tls,
    udp,
)
from piranha.monitor.conversation import Factory

CONVERSATIONS: dict[CheckKind, Factory] = {
    CheckKind.TCP: tcp.converse,
    CheckKind.UDP: udp.converse,
    CheckKind.TLS: tls.converse,
    CheckKind.HTTP: http.converse,
    CheckKind.HTTPS: http.converse,
    CheckKind.DNS: dns.converse,
    CheckKind.ICMP: icmp.converse,
    CheckKind.SMTP: smtp.converse,
    CheckKind.IMAP: imap.converse,
    CheckKind.POP3: pop3.converse,
    CheckKind.FTP: ftp.converse,
    CheckKind.NNTP: nntp.converse,
    CheckKind.LDAP: ldap.converse,
    CheckKind.MYSQL: mysql.converse,
    CheckKind.POSTGRESQL: postgresql.converse,
    CheckKind.REDIS: redis.converse,
    CheckKind.RADIUS: radius.converse,
    CheckKind.SIP: sip.converse,
    CheckKind.GRPC: grpc.converse,
}
"""Kinds that are no conversations (`program`, `file`, `none`) are carried out by the engine itself."""


def conversation_of(probe: Probe) -> Factory:
    return CONVERSATIONS[probe.kind]
