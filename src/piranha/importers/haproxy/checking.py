"""The checks of a HAProxy backend in the words of lvs.cf."""

from __future__ import annotations

import re

from piranha.importers import checks
from piranha.importers.checks import Check
from piranha.importers.haproxy.sections import Line, Section
from piranha.importers.ledger import Ledger

_ALONE = {
    "smtpchk": "smtp",
    "ldap-check": "ldap",
    "mysql-check": "mysql",
    "pgsql-check": "postgresql",
    "redis-check": "redis",
    "ssl-hello-chk": "https",
    "spop-check": "spop",
}
KNOWN = frozenset((*_ALONE, "tcp-check", "httpchk", "external-check"))
_STATUS = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?\Z")


class CheckReader:
    """Reads what one backend checks; its lines get their verdicts here."""

    def __init__(self, section: Section, ledger: Ledger) -> None:
        self._section = section
        self._ledger = ledger

    def read(self, port: int | None) -> tuple[Line | None, Check]:
        """The check that servers with `check` have, and the line that says so."""
        for word, kind in _ALONE.items():
            line = self._section.last("option", word)
            if line is not None:
                return line, checks.of_kind(kind, port)
        line = self._section.last("option", "external-check")
        if line is not None:
            return line, self._external(line, port)
        line = self._section.last("option", "httpchk")
        if line is not None:
            return line, self._http(line, port)
        line = self._section.last("option", "tcp-check")
        if line is not None:
            return line, self._tcp(line, port)
        return None, Check(port=port)

    def _external(self, line: Line, port: int | None) -> Check:
        command = self._section.last("external-check", "command")
        if command is None or len(command.words) < 3:
            self._ledger.error(line.place, "option external-check needs `external-check command`")
            return Check(port=port)
        self._ledger.carried(command.place)
        remark = "HAProxy gave it the address and port of the listener first, here it gets zeros"
        return checks.program(f"{command.words[2]} 0 0 %h %p", port, remark=remark)

    def _http(self, line: Line, port: int | None) -> Check:
        words = list(line.words[2:])
        method, path, host = "OPTIONS", "/", ""
        self._headers: list[str] = []
        if len(words) == 1:
            path = words[0]
        elif words:
            method, path = words[0], words[1]
            found = re.search(r"(?i)host:\s*(\S+)", " ".join(words[2:]).replace("\\r\\n", "\n"))
            host = found[1] if found else ""
        for send in self._section.all("http-check", "send"):
            method, path, host = self._sent(send, method, path, host)
        statuses, body = [(200, 399)], ""
        for expect in self._section.all("http-check", "expect"):
            rest = [word for word in expect.words[2:] if not word.startswith(("min-recv", "comment"))]
            match rest[:1]:
                case ["status"]:
                    found_statuses = [_STATUS.match(word) for word in " ".join(rest[1:]).replace(",", " ").split()]
                    pairs = [(int(one[1]), int(one[2] or one[1])) for one in found_statuses if one is not None]
                    if pairs and len(pairs) == len(found_statuses):
                        statuses = pairs
                        self._ledger.carried(expect.place)
                        continue
                case ["string"]:
                    body = re.sub(r"([][.*+?(){}|^$\\])", r"[\1]", " ".join(rest[1:]))
                    body = body.replace("[^]", r"\^").replace("[\\]", r"\\")
                    self._ledger.carried(expect.place)
                    continue
                case ["rstring"]:
                    body = " ".join(rest[1:])
                    self._ledger.carried(expect.place)
                    continue
            self._ledger.left(expect.place, "lvs.cf looks for a status and a pattern alone")
        for other in self._section.all("http-check"):
            if other.words[1:2] not in (("send",), ("expect",)):
                self._ledger.left(other.place, "lvs.cf asks for one page")
        return checks.http(
            path,
            host=host,
            method=method,
            statuses=statuses,
            body=body,
            headers=self._headers,
            port=port,
        )

    def _sent(self, line: Line, method: str, path: str, host: str) -> tuple[str, str, str]:
        words = list(line.words[2:])
        self._ledger.carried(line.place)
        while words:
            word = words.pop(0)
            if word == "meth" and words:
                method = words.pop(0)
            elif word in ("uri", "uri-lf") and words:
                path = words.pop(0)
            elif word == "ver" and words:
                words.pop(0)
            elif word == "hdr" and len(words) > 1:
                name, value = words.pop(0), words.pop(0)
                if name.lower() == "host":
                    host = value
                elif name.lower() in ("authorization", "proxy-authorization", "cookie"):
                    self._ledger.hide(value)
                    self._ledger.left(line.place, f"the header {name} is a secret: write it into the check yourself")
                elif "%" in value or not value.isprintable() or ('"' in value and "'" in value):
                    self._ledger.left(line.place, f"the header {name} is not sent: its value is none in lvs.cf")
                else:
                    self._headers.append(f"{name}: {value}")
            else:
                self._ledger.left(line.place, "lvs.cf sends a request and its headers alone")
        return method, path, host

    def _tcp(self, line: Line, port: int | None) -> Check:
        send, expect, is_pattern = "", "", False
        for step in self._section.all("tcp-check"):
            words = step.words[1:]
            match words[:1]:
                case ("connect",):
                    if len(words) > 1:
                        self._ledger.left(step.place, "the connect goes to the server's port, without options")
                    else:
                        self._ledger.carried(step.place)
                case ("send",) if not send and not expect and len(words) > 1:
                    send = words[1]
                    self._ledger.carried(step.place)
                case ("expect",) if not expect and len(words) > 2 and words[1] in ("string", "rstring"):
                    expect, is_pattern = words[2], words[1] == "rstring"
                    if not is_pattern:
                        self._ledger.changed(step.place, "the answer must begin with this text")
                    self._ledger.carried(step.place)
                case _:
                    self._ledger.left(step.place, "lvs.cf sends one text and expects one answer")
        return checks.exchange(send, expect, is_pattern=is_pattern, port=port)
