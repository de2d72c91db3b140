"""The directives of `check` blocks. Where a kind must have one, `NEEDED` says so."""

from __future__ import annotations

from piranha.config.directive import DAY_S, Directive, Scope, directive_of
from piranha.config.directive import ValueType as T
from piranha.model.check_block import CheckKind as K
from piranha.model.check_block import DnsRecord, HttpVersion

HTTP = (K.HTTP, K.HTTPS)
TEXTS = (K.TCP, K.UDP, K.TLS)
LOGINS = (K.SMTP, K.IMAP, K.POP3, K.FTP, K.NNTP, K.LDAP, K.MYSQL, K.POSTGRESQL, K.REDIS, K.RADIUS, *HTTP)
MAYBE_TLS = (K.SMTP, K.IMAP, K.POP3, K.FTP, K.NNTP, K.LDAP, K.MYSQL, K.POSTGRESQL, K.REDIS, K.SIP, K.GRPC)
WITH_TLS = (K.TLS, K.HTTPS, *MAYBE_TLS)

NEEDED: dict[K, tuple[str, ...]] = {
    K.PROGRAM: ("command",),
    K.FILE: ("path",),
    K.RADIUS: ("secret",),
}

_HEADER = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:[^\r\n]*"
_HEX = r"(?:[ ]*[0-9A-Fa-f]{2})+[ ]*"
_HEX_PATTERN = r"(?:[ ]*[0-9A-Fa-f?]{2})+[ ]*"
_DIGEST = r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}"
_ABSOLUTE = r"/.*"
_TARGET = r"(?:/|https?://|\*\Z)[!-~]*"
_HOST = r"[!-~]+"


def _check(name: str, type_: T, example: str, meaning: str, *kinds: K, **rest: object) -> Directive:
    return directive_of(
        Scope.CHECK, name, type_, example, meaning, {"original": False, "kinds": frozenset(kinds), **rest}
    )


CHECK: tuple[Directive, ...] = (
    _check(
        "address",
        T.ADDRESS,
        "10.0.0.11",
        "Address to ask, where it is not the real server's own.",
        default_text="the real server's address",
    ),
    _check(
        "port",
        T.PORT,
        "8080",
        "Port to ask.",
        least=1,
        most=65535,
        default_text="the real server's port",
    ),
    _check("source", T.ADDRESS, "10.0.0.1", "Address to ask from.", default_text="the kernel's choice"),
    _check(
        "packet_mark",
        T.INTEGER,
        "7",
        "Mark of the check's packets (`fwmark`), for routing rules of your own; 0 is none.",
        field="mark",
        least=0,
        most=2**32 - 1,
    ),
    _check(
        "timeout",
        T.TIME,
        "2s",
        "Deadline of the whole check.",
        least=0.001,
        most=DAY_S,
        default_text="`timeout` of the virtual server",
    ),
    _check(
        "interval",
        T.TIME,
        "2s",
        "Time from the start of one check to the start of the next.",
        least=0.001,
        most=DAY_S,
        default_text="`interval` of the virtual server, else its `timeout`",
    ),
    _check(
        "rise",
        T.INTEGER,
        "2",
        "Successes in a row that make this check good again.",
        least=1,
        most=1000000,
        default_text="as the virtual server says",
    ),
    _check(
        "fall",
        T.INTEGER,
        "3",
        "Failures in a row that make it bad.",
        least=1,
        most=1000000,
        default_text="as the virtual server says",
    ),
    _check("send", T.CHECK_TEXT, '"PING\\r\\n"', "Text to send.", *TEXTS),
    _check(
        "send_hex",
        T.CHECK_TEXT,
        '"01 ff"',
        "Bytes to send, in hexadecimal digits; instead of `send`.",
        K.UDP,
        form=_HEX,
        form_text="pairs of hexadecimal digits",
    ),
    _check(
        "expect",
        T.CHECK_TEXT,
        '"OK"',
        "What a healthy server says. tcp, udp, tls: the beginning of its answer, a lone `*` is any answer. http, https: a "
        "text anywhere in the first 64 KiB of the body. dns: one of the records, as `192.0.2.80`. program: all of its "
        "output.",
        *TEXTS,
        *HTTP,
        K.DNS,
        K.PROGRAM,
    ),
    _check(
        "expect_hex",
        T.CHECK_TEXT,
        '"01 ?? 80"',
        "Beginning of the reply in hexadecimal digits, `?` is any digit; instead of `expect`.",
        K.UDP,
        form=_HEX_PATTERN,
        form_text="pairs of hexadecimal digits or `?`",
    ),
    _check("reject", T.CHECK_TEXT, '"maintenance"', "A text that the body of a healthy server does not have.", *HTTP),
    _check(
        "use_regex",
        T.BOOLEAN,
        "1",
        "`expect` and `reject` are regular expressions, searched for anywhere.",
        *TEXTS,
        *HTTP,
        K.PROGRAM,
    ),
    _check(
        "path",
        T.TEXT,
        "/health",
        "http, https: what to ask for; an absolute URL asks a proxy. file: the file that holds the number.",
        *HTTP,
        K.FILE,
        default_text="`/` for http and https",
        form=_TARGET,
        form_text="a path that begins with `/`, without blanks",
    ),
    _check(
        "method",
        T.TEXT,
        "HEAD",
        "Request method.",
        *HTTP,
        form=r"[A-Z]{1,20}",
        form_text="a method in capital letters",
    ),
    _check(
        "host",
        T.TEXT,
        "www.example.com",
        "Host that is asked for: the `Host` of HTTP, the `:authority` of gRPC, the domain of SIP; in TLS the server name "
        "where `sni` says no other.",
        *HTTP,
        K.GRPC,
        K.SIP,
        default_text="the address asked",
        form=_HOST,
        form_text="a host name",
    ),
    _check(
        "header",
        T.TEXT,
        '"X-Probe: piranha"',
        "A header of the request. May be repeated; one of piranha's own with the same name gives way.",
        *HTTP,
        field="headers",
        repeatable=True,
        default_text="–",
        form=_HEADER,
        form_text="`Name: value`",
    ),
    _check(
        "status",
        T.STATUSES,
        "[ 200-299 401 ]",
        "Statuses of a healthy server.",
        *HTTP,
        K.SIP,
        default_text="`[ 200-299 ]`",
    ),
    _check(
        "digest",
        T.TEXT,
        "900150983cd24fb0d6963f7d28e17f72",
        "Digest of the whole body (at most 8 MiB): MD5 as keepalived's `genhash` gives it, SHA-1 or SHA-256.",
        *HTTP,
        form=_DIGEST,
        form_text="32, 40 or 64 hexadecimal digits",
    ),
    _check(
        "redirects",
        T.INTEGER,
        "2",
        "Redirections to follow, on this same server.",
        *HTTP,
        least=0,
        most=20,
    ),
    _check(
        "http_version",
        T.WORD,
        "1.0",
        "Version to ask with.",
        *HTTP,
        words={version.value: version for version in HttpVersion},
    ),
    _check(
        "tls",
        T.BOOLEAN,
        "1",
        "TLS from the first byte (imaps, ldaps, …); mysql and postgresql ask for it first.",
        *MAYBE_TLS,
    ),
    _check("starttls", T.BOOLEAN, "1", "TLS after the greeting.", K.SMTP, K.IMAP, K.POP3, K.FTP),
    _check(
        "sni",
        T.TEXT,
        "www.example.com",
        "Server name in TLS, which a verified certificate must have.",
        *WITH_TLS,
        default_text="`host`, else the address asked",
        form=_HOST,
        form_text="a host name",
    ),
    _check(
        "verify",
        T.BOOLEAN,
        "1",
        "The certificate must be valid: its name, its dates, its issuer among the system's or in `ca`, which implies it.",
        *WITH_TLS,
    ),
    _check(
        "ca",
        T.TEXT,
        "/etc/piranha/ca.pem",
        "File with the certificates of the issuers to trust.",
        *WITH_TLS,
        form=_ABSOLUTE,
        form_text="an absolute path",
    ),
    _check(
        "certificate",
        T.TEXT,
        "/etc/piranha/check.pem",
        "File with our own certificate, for servers that ask for one.",
        *WITH_TLS,
        form=_ABSOLUTE,
        form_text="an absolute path",
    ),
    _check(
        "key",
        T.TEXT,
        "/etc/piranha/check.key",
        "File with its key, not encrypted.",
        *WITH_TLS,
        default_text="in `certificate`",
        form=_ABSOLUTE,
        form_text="an absolute path",
    ),
    _check("name", T.TEXT, "www.example.com", "Name to ask for.", K.DNS, default_text="`.`"),
    _check(
        "record",
        T.WORD,
        "A",
        "Type of record to ask for.",
        K.DNS,
        words={record.value: record for record in DnsRecord},
    ),
    _check(
        "helo",
        T.TEXT,
        "director.example.com",
        "Name to greet with.",
        K.SMTP,
        default_text="`localhost`",
        form=_HOST,
        form_text="a host name",
    ),
    _check(
        "login",
        T.TEXT,
        "monitor",
        "Account to log in with; without it a greeting is enough. ldap: a DN, without it the bind is anonymous. sip: the "
        "user that is asked about.",
        *LOGINS,
        K.SIP,
    ),
    _check("password", T.TEXT, "example", "Its password. Shown nowhere.", *LOGINS, secret=True),
    _check("secret", T.TEXT, "example", "Secret shared with the RADIUS server. Shown nowhere.", K.RADIUS, secret=True),
    _check("database", T.TEXT, "shop", "Database to use.", K.MYSQL, K.POSTGRESQL),
    _check(
        "query",
        T.TEXT,
        '"select 1"',
        "Query that must give a row; needs `login`.",
        K.MYSQL,
        K.POSTGRESQL,
    ),
    _check("base", T.TEXT, '"dc=example,dc=com"', "Entry that must be there.", K.LDAP),
    _check(
        "service", T.TEXT, "shop.Orders", "Service whose health is asked for.", K.GRPC, default_text="the whole server"
    ),
    _check(
        "command",
        T.CHECK_TEXT,
        '"/usr/local/bin/check-web %h"',
        "Program to run, as `send_program`: `%h` is the address asked, `%p` the port.",
        K.PROGRAM,
    ),
    _check(
        "dynamic_weight",
        T.BOOLEAN,
        "1",
        "The check gives the server's weight. program: exit status 0 leaves the configured one, 2 to 255 are the weights 0 "
        "to 253. file: the number is the weight.",
        K.PROGRAM,
        K.FILE,
    ),
)
