"""What each kind of check does, in words: for the reference pages. Its directives are in `check_directives.py`."""

from __future__ import annotations

from typing import NamedTuple

from piranha.model.check_block import CheckKind as K


class KindText(NamedTuple):
    """`asks` and `good` are sentences; `notes` may be empty; `example` are the lines inside of a block."""

    asks: str
    good: str
    example: tuple[str, ...] = ()
    notes: str = ""


_NO_QUERY = "Without `login` nothing of the accounts is touched."

KINDS: dict[K, KindText] = {
    K.TCP: KindText(
        "Connects; sends `send`; reads as long as `expect` is not decided.",
        "The connection stands; with `expect`, the answer begins with it (with `use_regex`: has it anywhere).",
        ('send = "PING\\r\\n"', 'expect = "+PONG"'),
        "The same check as the directives `send` and `expect` of a virtual server without `check` blocks. At most 64 KiB of "
        "an answer are looked at.",
    ),
    K.UDP: KindText(
        "Sends one datagram, `send` or `send_hex`; an empty one without either.",
        "With `expect` or `expect_hex`, the first reply begins so. Without them any reply is good, and silence too: only "
        "an unreachable port or host is bad.",
        ('send_hex = "00 01"', 'expect_hex = "00 ??"'),
        "Without `expect` it is a weak check: a dead host is seen only where the kernel learns of it in time.",
    ),
    K.TLS: KindText(
        "Connects and shakes hands; then what a tcp check does, inside TLS.",
        "The handshake succeeds, and the certificate where `verify` or `ca` ask for it.",
        ("sni = www.example.com", "ca = /etc/piranha/ca.pem"),
    ),
    K.HTTP: KindText(
        "Sends one request and reads the head of the reply; the body only where something is asked of it.",
        "The status is one of `status`; the body has `expect`, has not `reject`, and has the `digest`.",
        ("path = /health", "host = www.example.com", "status = [ 200 204 ]", 'expect = "ok"'),
        "The head may have 64 KiB and 200 headers; `expect` and `reject` are searched for in the first 64 KiB of the body. "
        "Redirections are followed on the same server, whatever host they name. `login` and `password` are sent as Basic "
        "authentication.",
    ),
    K.HTTPS: KindText(
        "The http check inside TLS.",
        "As http; and the certificate where `verify` or `ca` ask for it.",
        ("path = /health", "host = www.example.com", "ca = /etc/piranha/ca.pem"),
        "Without `verify` any certificate will do, also one that has run out.",
    ),
    K.DNS: KindText(
        "Asks by UDP for the `record` of `name`.",
        "The answer is without error; with `expect`, one of its records is that.",
        ("name = www.example.com", "record = A", "expect = 192.0.2.80"),
        "A record is compared as text, without quotes, case and the point at its end: `10 mail.example.com` for an MX.",
    ),
    K.ICMP: KindText(
        "Sends an echo request (ping).",
        "It is echoed.",
        ("interval = 1s",),
        "It says that the host lives, and nothing about the service.",
    ),
    K.SMTP: KindText(
        "Reads the greeting, says EHLO (HELO where that is refused), turns to TLS with `starttls`, logs in with `login` "
        "(AUTH PLAIN), says QUIT.",
        "Each step is answered as it should be.",
        ("helo = director.example.com", "starttls = 1"),
    ),
    K.IMAP: KindText(
        "Reads the greeting, turns to TLS with `starttls`, logs in with `login`, logs out.",
        "Each step is answered with OK.",
        ("tls = 1", "port = 993"),
    ),
    K.POP3: KindText(
        "Reads the greeting, turns to TLS with `starttls`, logs in with `login`, says QUIT.",
        "Each step is answered with +OK.",
        ("login = monitor", "password = example"),
    ),
    K.FTP: KindText(
        "Reads the greeting, turns to TLS with `starttls`, logs in with `login`, says QUIT.",
        "Each step is answered as it should be.",
        ("login = anonymous", "password = piranha@example.com"),
        "No file is fetched.",
    ),
    K.NNTP: KindText("Reads the greeting, logs in with `login`, says QUIT.", "Each step is answered as it should be."),
    K.LDAP: KindText(
        "Binds, anonymously or as `login`; with `base`, looks that entry up.",
        "The bind succeeds, and the entry is there.",
        ('base = "dc=example,dc=com"',),
    ),
    K.MYSQL: KindText(
        "Reads the greeting; with `login`, logs in; with `query`, asks it.",
        "Each step succeeds, and the query gives a row.",
        ("login = monitor", "password = example", 'query = "select 1"'),
        "For MySQL and MariaDB (`mysql_native_password`, `caching_sha2_password`). Without `login` the server counts a "
        "handshake that was broken off, and shuts hosts out after `max_connect_errors` of them: give the check an account.",
    ),
    K.POSTGRESQL: KindText(
        "Asks whether the server speaks TLS; with `login`, logs in; with `query`, asks it.",
        "It answers; the login succeeds, and the query gives a row.",
        ("login = monitor", "password = example", "database = shop", 'query = "select 1"'),
        f"Logins in clear text, by MD5 and by SCRAM-SHA-256. {_NO_QUERY}",
    ),
    K.REDIS: KindText("Logs in with `password`; says PING.", "PONG.", ("password = example",)),
    K.RADIUS: KindText(
        "Asks for access for `login`; without it, for the server's status (RFC 5997).",
        "Access is granted, signed with `secret`.",
        ("port = 1812", "secret = example", "login = monitor", "password = example"),
    ),
    K.SIP: KindText(
        "Sends OPTIONS, by UDP; with `tls`, by TLS.",
        "The status is one of `status`.",
        ("port = 5060", "host = example.com"),
    ),
    K.GRPC: KindText(
        "Calls Check of the service grpc.health.v1.Health.",
        "It says SERVING.",
        ("port = 50051", "service = shop.Orders"),
    ),
    K.PROGRAM: KindText(
        "Runs `command` as the user nobody, without a shell.",
        "It ends in time with status 0; with `expect`, it prints exactly that (with `use_regex`: has it anywhere).",
        ('command = "/usr/local/bin/check-web %h %p"', "dynamic_weight = 1"),
        "With `dynamic_weight` an exit status of 2 to 255 is good too and asks for the weight 0 to 253, as keepalived's "
        "`misc_dynamic` does; 0 is the configured weight, 1 is down.",
    ),
    K.FILE: KindText(
        "Reads a whole number from a file on the director.",
        "It is above 0.",
        ("path = /run/shop/health", "dynamic_weight = 1"),
        "Where the file is missing or holds no number, nothing is learnt and the verdict stays.",
    ),
    K.NONE: KindText(
        "Asks nothing.", "Always.", (), "The server is up without a check (ldirectord's `checktype = on`)."
    ),
}
