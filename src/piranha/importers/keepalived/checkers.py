"""The checkers of a real server in keepalived.conf, old names included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from piranha.importers.checks import CONNECT, Check, http, of_kind, program
from piranha.importers.keepalived.blocks import Statement
from piranha.importers.keepalived.walk import Handler, drop, walk
from piranha.importers.ledger import Ledger
from piranha.importers.values import Values
from piranha.model.check_block import DnsRecord

CHECKERS = [
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "UDP_CHECK",
    "PING_CHECK",
    "BFD_CHECK",
    "FILE_CHECK",
]
TIMES = {
    "retry": "retry",
    "nb_get_retry": "retry",
    "nb_sock_retry": "retry",
    "connect_timeout": "connect_timeout",
    "delay_loop": "delay_loop",
    "delay_before_retry": "delay_before_retry",
    "misc_timeout": "connect_timeout",
}
"""Settings of the time rules, with their present names."""
_RETRIES = {"DNS_CHECK": 3, "MISC_CHECK": 0}
_LEFT: Mapping[str, str] = {
    "bind_if": "checks go from the address that the route gives them",
    "bind_port": "checks take any port of their own",
    "warmup": "first checks are made at once, later ones are spread over the interval",
    "log_all_failures": "`piranha status` shows why a server is down",
    "http_protocol": "checks speak HTTP/1.0",
    "fast_recovery": "one check covers everything, so that there is nothing to speed up",
    "enable_sni": "the server name in TLS is that of the host",
    "tls_compliant": "the server name in TLS is that of the host",
    "user": "check programs run as user nobody",
    "min_reply_length": "the length of a reply is not looked at",
    "max_reply_length": "the length of a reply is not looked at",
    "track_file": "lvs.cf has no check of a file",
    "dynamic": "lvs.cf has no check of a file",
    "weight": "lvs.cf has no check of a file",
}
_URL_LEFT: Mapping[str, str] = {
    "regex_options": "patterns are POSIX extended ones without options",
    "regex_stack": "patterns need no stack here",
    "regex_min_offset": "the whole answer is searched",
    "regex_max_offset": "the whole answer is searched",
    "tls_compliant": "the server name in TLS is that of the host",
}


class Times:
    """Time rules of one checker: the virtual server's, the real server's and its own, the innermost counts."""

    def __init__(self, outer: Mapping[str, float] | None = None) -> None:
        self.values: dict[str, float] = dict(outer or {})


def default_retry(checker: str) -> int:
    return _RETRIES.get(checker, 1)


class CheckerReader:
    """Reads one checker into a check."""

    def __init__(self, ledger: Ledger, values: Values) -> None:
        self._ledger = ledger
        self._values = values

    def read(self, statement: Statement, host: str, times: Times) -> Check:
        """`host` is the virtual host that the checker inherits; `times` takes its own time rules."""
        self._port: int | None = None
        self._host = host
        self._command = ""
        self._urls: list[Statement] = []
        self._extras: dict[str, object] = {}
        handlers = {
            "connect_port": self._take_port,
            "virtualhost": self._take_host,
            "misc_path": self._take_command,
            "url": self._urls.append,
            "host": self._take_smtp_host,
            "alpha": self._take_alpha,
            "bindto": lambda inner: self._take_extra("source", self._values.address(inner.place, _one(inner)), inner),
            "fwmark": lambda inner: self._take_extra(
                "mark", self._values.number(inner.place, _one(inner), "a firewall mark", 0, 2**32 - 1), inner
            ),
            "connect_ip": lambda inner: self._take_extra(
                "address", self._values.address(inner.place, _one(inner)), inner
            ),
        }
        kinds: dict[str, dict[str, Handler]] = {
            "SSL_GET": {"sni_name": lambda inner: self._take_extra("sni", _one(inner), inner)},
            "SMTP_CHECK": {"helo_name": lambda inner: self._take_extra("helo", _one(inner), inner)},
            "DNS_CHECK": {
                "type": self._take_record,
                "name": lambda inner: self._take_extra("name", _one(inner), inner),
            },
            "MISC_CHECK": {"misc_dynamic": lambda inner: self._take_extra("dynamic_weight", True, inner)},
            "UDP_CHECK": {"payload": self._take_payload, "require_reply": self._take_reply},
        }
        handlers |= kinds.get(statement.keyword, {})
        handlers |= {word: self._time_taker(times, name) for word, name in TIMES.items()}
        walk(statement.inner, handlers, _LEFT, self._ledger)
        check = self._read(statement)
        if not self._extras:
            return check
        block = replace(check.as_block, **self._extras)  # type: ignore[arg-type]
        return Check(block=block, remark=check.remark, weaker=check.weaker)

    def _read(self, statement: Statement) -> Check:
        match statement.keyword:
            case "TCP_CHECK":
                return Check(port=self._port) if self._port is not None else CONNECT
            case "HTTP_GET" | "SSL_GET":
                return self._http(statement)
            case "MISC_CHECK":
                if not self._command:
                    self._ledger.error(statement.place, "this MISC_CHECK has no misc_path")
                    return CONNECT
                return program(self._command, self._port)
            case "SMTP_CHECK":
                return of_kind("smtp", self._port)
        kind = statement.keyword.partition("_")[0].lower()
        return of_kind(kind, self._port)

    def _http(self, statement: Statement) -> Check:
        if not self._urls:
            self._ledger.error(statement.place, f"this {statement.keyword} has no url")
            return CONNECT
        for url in self._urls[1:]:
            drop(url, "lvs.cf asks for one page: the first url is kept", self._ledger)
        url = self._urls[0]
        self._ledger.carried(url.place)
        self._path, self._body, self._digest = "/", "", ""
        self._statuses: list[tuple[int, int]] = []
        handlers = {
            "path": self._take_path,
            "status_code": self._take_statuses,
            "virtualhost": self._take_host,
            "regex": self._take_regex,
            "regex_no_match": lambda inner: self._ledger.carried(inner.place),
            "digest": self._take_digest,
        }
        walk(url.inner, handlers, _URL_LEFT, self._ledger)
        statuses = self._statuses or [(200, 299)]
        return http(
            self._path,
            host=self._host,
            statuses=statuses,
            body=self._body,
            digest=self._digest,
            reject=url.first("regex_no_match") is not None,
            tls=statement.keyword == "SSL_GET",
            port=self._port,
        )

    def _time_taker(self, times: Times, name: str) -> Handler:
        def take(statement: Statement) -> None:
            take_time(statement, name, times, self._values, self._ledger)

        return take

    def _take_port(self, statement: Statement) -> None:
        self._port = self._values.port(statement.place, _one(statement), least=1)
        self._ledger.carried(statement.place)

    def _take_extra(self, field: str, value: object, statement: Statement) -> None:
        if value is not None:
            self._extras[field] = value
        self._ledger.carried(statement.place)

    def _take_record(self, statement: Statement) -> None:
        word = _one(statement).upper()
        if word not in list(DnsRecord):
            self._ledger.error(statement.place, f"no DNS record is of type `{_one(statement)}`")
            return
        self._take_extra("record", DnsRecord(word), statement)

    def _take_payload(self, statement: Statement) -> None:
        # A digit that is left over at the end of a word is a byte of its own.
        pairs = [word[at : at + 2].rjust(2, "0") for word in statement.arguments for at in range(0, len(word), 2)]
        if not pairs or any(letter not in "0123456789abcdefABCDEF" for pair in pairs for letter in pair):
            self._ledger.error(statement.place, "a payload is written in hexadecimal digits")
            return
        self._take_extra("send_hex", " ".join(pairs), statement)

    def _take_reply(self, statement: Statement) -> None:
        # Without a pattern any reply will do; in one an X is any digit.
        pattern = "".join(statement.arguments).upper().replace("X", "?") or "??"
        if any(letter not in "0123456789ABCDEF?" for letter in pattern):
            self._ledger.error(statement.place, "a reply is written in hexadecimal digits, X for any")
            return
        self._take_extra("expect_hex", pattern, statement)

    def _take_host(self, statement: Statement) -> None:
        self._host = _one(statement)
        self._ledger.carried(statement.place)

    def _take_command(self, statement: Statement) -> None:
        self._command = _one(statement)
        if len(statement.arguments) > 1:
            self._ledger.left(statement.place, "check programs run as user nobody")
        self._ledger.carried(statement.place)

    def _take_alpha(self, statement: Statement) -> None:
        take_alpha(statement, self._ledger)

    def _take_smtp_host(self, statement: Statement) -> None:
        drop(statement, "checks go to the real server's own address and port", self._ledger)

    def _take_path(self, statement: Statement) -> None:
        self._path = _one(statement)
        self._ledger.carried(statement.place)

    def _take_digest(self, statement: Statement) -> None:
        self._digest = _one(statement)
        self._ledger.carried(statement.place)

    def _take_regex(self, statement: Statement) -> None:
        self._body = " ".join(statement.arguments)
        self._ledger.carried(statement.place)

    def _take_statuses(self, statement: Statement) -> None:
        for word in statement.arguments:
            first, _, last = word.partition("-")
            low = self._values.number(statement.place, first, "a status code", 100, 999)
            high = self._values.number(statement.place, last or first, "a status code", 100, 999)
            if low is not None and high is not None:
                self._statuses.append((low, high))
        self._ledger.carried(statement.place)


def take_time(statement: Statement, name: str, times: Times, values: Values, ledger: Ledger) -> None:
    """One time rule."""
    place, text = statement.place, _one(statement)
    if name == "retry":
        retries = values.number(place, text, "retry", 0, 999_999)
        if retries is not None:
            times.values[name] = retries
            ledger.changed(place, f"fall = {retries + 1}: so many failed checks in a row take a server out")
        return
    least = 0.0 if name == "delay_before_retry" else 0.001
    seconds = values.seconds(place, text, name, least=least)
    if seconds is None:
        return
    if name == "delay_before_retry":
        ledger.left(place, "a failed check is repeated after the usual interval")
        return
    times.values[name] = seconds
    ledger.carried(place)


def take_alpha(statement: Statement, ledger: Ledger) -> None:
    """Whether a server begins outside of the pool."""
    remark = "a server is out until its first good check, always"
    if _one(statement).lower() in ("off", "no", "false"):
        ledger.left(statement.place, remark)
    else:
        ledger.carried(statement.place, remark)


def _one(statement: Statement) -> str:
    return statement.arguments[0] if statement.arguments else ""
