"""The ledger: every line that an import read, and what became of it. Secrets in it are never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

MAX_SHOWN = 240
MAX_REMARKS = 6
"""Remarks kept of one line; a line of a definition may be used a thousand times."""
HIDDEN = "(hidden)"
_SHORTEST_SECRET = 3
_SECRET_WORDS = re.compile(
    r"(?i)(?<![a-z])(?:auth_pass\w*|auth_hmac\w*|\w*password\w*|\w*passwd\w*|\w*passphrase\w*|\w*secret\w*|"
    r"\w*community\w*|\w*token\w*|api_?key\w*|proxy-authorization|authorization|stats\s+auth|login(?=\s*=))"
    r"[\"'}]*\s*[=:,]?\s*(?P<rest>\S.*)$"
)
_SECRET_DEFINITION = re.compile(r"(?i)\$\{?\w*(?:pass|secret|key|token|auth|community)\w*\}?=(?P<rest>.+)$")
_DEFINED = re.compile(r"\s*(?:@\^?\S*\s+)?\$([A-Za-z_]\w*)=")
_USED = re.compile(r"\$\{?([A-Za-z_]\w*)")
_CREDENTIALS = re.compile(r"://[^/\s\"'@]+@")


class Verdict(StrEnum):
    """What became of a line. Of several verdicts on one line the last in this order counts."""

    NOTHING = "nothing to carry over"
    CARRIED = "carried over"
    CHANGED = "changed"
    LEFT = "not carried over"
    ERROR = "error"


_ORDER = {verdict: at for at, verdict in enumerate(Verdict)}


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line in the report. `remarks` say how it was changed, or why it was not carried over."""

    place: Place
    text: str
    verdict: Verdict
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Line:
    text: str
    verdict: Verdict | None = None
    remarks: list[str] = field(default_factory=list)


class Ledger:
    """Collects verdicts while an import goes on."""

    def __init__(self) -> None:
        self._files: dict[str, list[_Line]] = {}
        self._secrets: set[str] = set()
        self.errors = 0

    def open(self, file: str, text: str) -> None:
        """Take in the lines of a file; of one that is read again nothing is added."""
        if file not in self._files:
            self._files[file] = [_Line(line) for line in text.split("\n")]
            if self._files[file][-1].text == "":
                self._files[file].pop()

    def note(self, place: Place, verdict: Verdict, remark: str = "") -> None:
        line = self._line(place)
        if line.verdict is None or _ORDER[verdict] > _ORDER[line.verdict]:
            line.verdict = verdict
        if remark and remark not in line.remarks and len(line.remarks) < MAX_REMARKS:
            # An error must be seen, however often the line was used before.
            line.remarks.insert(0 if verdict is Verdict.ERROR else len(line.remarks), remark)
        self.errors += verdict is Verdict.ERROR

    def carried(self, place: Place, remark: str = "") -> None:
        self.note(place, Verdict.CARRIED, remark)

    def changed(self, place: Place, remark: str) -> None:
        self.note(place, Verdict.CHANGED, remark)

    def left(self, place: Place, reason: str) -> None:
        self.note(place, Verdict.LEFT, reason)

    def note_unless(self, place: Place, reason: str) -> None:
        """The line is not carried over, unless something was said of it."""
        if self._line(place).verdict is None:
            self.left(place, reason)

    def error(self, place: Place, reason: str) -> None:
        self.note(place, Verdict.ERROR, reason)

    def hide(self, secret: str) -> None:
        """Let this text be shown nowhere."""
        if len(secret) >= _SHORTEST_SECRET:
            self._secrets.add(secret)

    def entries(self) -> Iterator[Entry]:
        """Every line, in the order of reading. One without a verdict has nothing but blanks or a comment."""
        definitions = self._secret_definitions()
        hidden = self._hidden_words()
        for file, lines in self._files.items():
            for number, line in enumerate(lines, start=1):
                verdict = line.verdict
                if verdict is None:
                    verdict = Verdict.NOTHING if _is_blank(line.text) else Verdict.LEFT
                yield Entry(
                    place=Place(file, number),
                    text=HIDDEN if id(line) in definitions else _shortened(_without_secrets(line.text, hidden)),
                    verdict=verdict,
                    remarks=tuple(_shortened(_masked(remark, hidden)) for remark in line.remarks),
                )

    def _line(self, place: Place) -> _Line:
        lines = self._files.setdefault(place.file, [])
        while len(lines) < place.line:
            lines.append(_Line(""))
        return lines[max(place.line, 1) - 1] if lines else self._first(place.file)

    def _first(self, file: str) -> _Line:
        self._files[file] = [_Line("")]
        return self._files[file][0]

    def _secret_definitions(self) -> set[int]:
        """The lines (by identity) of definitions that secrets are made of, wherever they stand and whatever failed."""
        bodies: dict[str, list[list[_Line]]] = {}
        wanted: list[str] = []
        for lines in self._files.values():
            at = 0
            while at < len(lines):
                defined = _DEFINED.match(lines[at].text)
                secret = _SECRET_WORDS.search(lines[at].text)
                if secret is not None:
                    wanted.extend(_USED.findall(secret["rest"]))
                begin = at
                while defined is not None and lines[at].text.rstrip().endswith("\\") and at + 1 < len(lines):
                    at += 1
                if defined is not None:
                    bodies.setdefault(defined[1], []).append(lines[begin : at + 1])
                at += 1
        found: set[int] = set()
        seen: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name in seen:
                continue
            seen.add(name)
            for body in bodies.get(name, ()):
                for line in body:
                    found.add(id(line))
                    text = line.text.partition("=")[2] if line is body[0] else line.text
                    wanted.extend(_USED.findall(text))
                    for word in text.split():
                        self.hide(word.strip("\"'\\"))
        return found

    def _hidden_words(self) -> re.Pattern[str] | None:
        if not self._secrets:
            return None
        longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def _without_secrets(text: str, hidden: re.Pattern[str] | None) -> str:
    for pattern in (_SECRET_WORDS, _SECRET_DEFINITION):
        found = pattern.search(text)
        if found is not None:
            text = text[: found.start("rest")] + HIDDEN
    return _masked(_CREDENTIALS.sub(f"://{HIDDEN}@", text), hidden)


def _masked(text: str, hidden: re.Pattern[str] | None) -> str:
    return hidden.sub(HIDDEN, text) if hidden is not None else text


def _is_blank(text: str) -> bool:
    bare = text.strip().strip("\ufeff").strip()
    return not bare or bare[0] in "#!" or not bare.strip("{};\\ \t")


def _shortened(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else " " for letter in text.strip())
    return clean if len(clean) <= MAX_SHOWN else f"{clean[: MAX_SHOWN - 1]}…"
