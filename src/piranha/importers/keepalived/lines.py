"""keepalived.conf as plain lines: comments, conditions, definitions, sequences and includes are worked off here.

Source: keepalived.conf(5), "Advanced configuration". Everything is bounded, because `~SEQ` may make a million lines.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

from piranha.importers.keepalived.sequences import sequence
from piranha.importers.ledger import Ledger, Place
from piranha.importers.source import Source, SourceError

MAX_LINES = 100_000
MAX_WORK = 400_000
"""Lines looked at and replacements made, whether or not anything came of them."""
_LETTERS_A_STEP = 200
MAX_LINE = 65_536
MAX_DEPTH = 20
_DEFINITION = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_USE = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<arguments>[ \t][^{}]*)?\}|(?P<bare>[A-Za-z_][A-Za-z0-9_]*)(?=\s|\Z))"
)
_CONDITION = re.compile(r"@(\^?)(\S*)\s*(.*)\Z", re.DOTALL)
_INCLUDE = re.compile(r"include([rmwba]?)\s+(\S.*)\Z")


class Line(NamedTuple):
    """A line that says something, where it is written."""

    place: Place
    text: str


@dataclass(slots=True)
class _Definition:
    place: Place
    body: list[Line]
    many_lines: bool = False
    used: bool = False
    from_sequence: bool = False


@dataclass(slots=True)
class _State:
    definitions: dict[str, _Definition] = field(default_factory=dict)
    work: int = 0
    lines: int = 0


class Preprocessor:
    """Yields the lines of files that are in force for one configuration id."""

    def __init__(self, source: Source, ledger: Ledger, config_id: str) -> None:
        self._source = source
        self._ledger = ledger
        self._config_id = config_id
        self._state = _State()

    def read(self, name: str) -> Iterator[Line]:
        """The lines of a file and all that it includes. Raises SourceError."""
        text = self._source.text(name)
        self._source.begin(name)
        yield from self._file(name, text)

    def finish(self) -> None:
        """Say which definitions nobody used."""
        for name, definition in self._state.definitions.items():
            if not definition.used:
                for line in definition.body or [Line(definition.place, "")]:
                    self._ledger.left(line.place, f"nothing uses ${name}")
                self._ledger.left(definition.place, f"nothing uses ${name}")

    def _file(self, name: str, text: str) -> Iterator[Line]:
        waiting: _Definition | None = None
        for number, raw in enumerate(text.split("\n"), start=1):
            line = Line(Place(name, number), uncommented(raw).strip())
            if number == 1:
                line = Line(line.place, line.text.removeprefix("\ufeff").strip())
            if waiting is not None:
                continues = line.text.endswith("\\")
                body = line.text.removesuffix("\\").strip()
                if body:
                    waiting.body.append(Line(line.place, body))
                    self._ledger.carried(line.place)
                if not continues:
                    waiting = None
                continue
            if line.text:
                waiting = yield from self._line(line, 0)
        if waiting is not None:
            raise SourceError(
                waiting.place, "the definition goes on at the end of the file", mend="remove the last `\\`"
            )

    def _line(self, line: Line, depth: int) -> Generator[Line, None, _Definition | None]:
        """What comes of one line. Returns the definition that it opened, whose other lines follow."""
        self._work(line.place)
        if depth > MAX_DEPTH:
            raise SourceError(line.place, "definitions are nested too deeply", mend="does one contain itself?")
        text = line.text
        if text[0] == "@":
            rest = self._condition(line)
            if not rest:
                return None
            return (yield from self._line(Line(line.place, rest), depth + 1))
        definition = _DEFINITION.match(text)
        if definition is not None:
            return self._define(line.place, definition[1], definition[2])
        if text[0] == "~":
            yield from self._sequence(line, depth)
            return None
        include = _INCLUDE.match(text)
        if include is not None:
            yield from self._include(line.place, include[1], include[2].strip())
            return None
        yield from self._replaced(line, depth)
        return None

    def _condition(self, line: Line) -> str:
        found = _CONDITION.match(line.text)
        assert found is not None, line.text
        holds = (found[2] == self._config_id) != bool(found[1])
        if holds:
            self._ledger.carried(line.place, f"the condition holds for the configuration id {self._config_id}")
            return found[3]
        reason = f"the condition does not hold for the configuration id {self._config_id or '(none)'}"
        self._ledger.left(line.place, reason)
        return ""

    def _define(self, place: Place, name: str, value: str) -> _Definition | None:
        continues = value.endswith("\\")
        body = value.removesuffix("\\").strip() if continues else value.strip()
        definition = _Definition(place, [Line(place, body)] if body else [], many_lines=continues)
        old = self._state.definitions.get(name)
        if old is not None:
            definition.used = old.used
        self._state.definitions[name] = definition
        self._ledger.carried(place)
        return definition if continues else None

    def _sequence(self, line: Line, depth: int) -> Iterator[Line]:
        found = sequence(line.place, line.text)
        self._ledger.changed(line.place, "the sequence is written out")
        for values in found.values:
            self._work(line.place)
            for name, value in zip(found.names, values, strict=True):
                self._state.definitions[name] = _Definition(
                    line.place, [Line(line.place, value)] if value else [], used=True, from_sequence=True
                )
            if found.rest:
                yield from self._line(Line(line.place, found.rest), depth + 1)

    def _include(self, place: Place, kind: str, pattern: str) -> Iterator[Line]:
        pattern = pattern.strip("\"'")
        full = pattern if PurePath(pattern).is_absolute() else str(PurePath(place.file).parent / pattern)
        names = self._source.matching(full)
        if not names:
            is_pattern = any(letter in full for letter in "*?[")
            if (is_pattern and kind not in ("m", "a", "w")) or not (is_pattern or kind):
                self._ledger.left(place, "no file is there to be included: keepalived goes on without it too")
                return
            raise SourceError(place, f"nothing matches {pattern}", mend="give the file, or remove the include")
        self._ledger.carried(place, f"{len(names)} file(s) included")
        for name in names:
            text = self._source.enter(place, name)
            yield from self._file(name, text)
            self._source.leave()

    def _replaced(self, line: Line, depth: int) -> Iterator[Line]:
        """The line with its definitions filled in; what they bring (conditions, lines, definitions) is worked off."""
        text = line.text
        while True:
            found = self._next_use(text)
            if found is None:
                break
            self._work(line.place, 1 + (found.start() + len(text)) // _LETTERS_A_STEP)
            name = found["braced"] or found["bare"]
            value, lines = self._value(line.place, name, (found["arguments"] or "").strip())
            if lines is not None:
                before, after = text[: found.start()].strip(), text[found.end() :].strip()
                if after:
                    raise SourceError(
                        line.place,
                        f"${name} has several lines, and `{after[:40]}` follows it",
                        mend="remove what follows",
                    )
                self._ledger.carried(line.place, f"stands for the lines of ${name}")
                if before:
                    yield from self._line(Line(line.place, before), depth + 1)
                for inner in lines:
                    yield from self._line(inner, depth + 1)
                return
            text = f"{text[: found.start()]}{value}{text[found.end() :]}"
            if len(text) > MAX_LINE:
                raise SourceError(
                    line.place, "the definitions make this line too long", mend="does one contain itself?"
                )
        if text != line.text and text.strip() and text.lstrip()[0] in "@$~":
            inner_text = text.strip()
            if inner_text[0] != "$" or _DEFINITION.match(inner_text):
                yield from self._line(Line(line.place, inner_text), depth + 1)
                return
        text = text.replace(_HASH, "#").replace(_BANG, "!")
        if text.strip():
            self._state.lines += 1
            if self._state.lines > MAX_LINES:
                mend = "import the file in parts"
                raise SourceError(line.place, f"more than {MAX_LINES} lines come of the definitions", mend=mend)
            yield Line(line.place, text.strip())

    def _next_use(self, text: str) -> re.Match[str] | None:
        for found in _USE.finditer(text):
            name = found["braced"] or found["bare"]
            if name in self._state.definitions or name in _PREDEFINED:
                return found
        return None

    def _value(self, place: Place, name: str, arguments: str) -> tuple[str, list[Line] | None]:
        definition = self._state.definitions.get(name)
        if definition is not None:
            definition.used = True
            if definition.many_lines:
                return "", definition.body
            return definition.body[0].text if definition.body else "", None
        match name:
            case "_PWD":
                return str(PurePath(place.file).parent), None
            case "_INSTANCE":
                return self._config_id, None
            case "_HASH":
                return _HASH, None
            case "_BANG":
                return _BANG, None
            case "_RANDOM":
                least = arguments.split()[0] if arguments else "0"
                self._ledger.changed(place, f"a random number is fixed to {least}")
                return least if least.isdecimal() else "0", None
        mend = "write its value into the file"
        raise SourceError(place, f"the environment variable {arguments} of keepalived is not known here", mend=mend)

    def _work(self, place: Place, steps: int = 1) -> None:
        self._state.work += steps
        if self._state.work > MAX_WORK:
            raise SourceError(place, "the definitions and sequences never come to an end", mend="shorten them")


_HASH, _BANG = "\ue000", "\ue001"
"""Stand for `#` and `!` until comments are gone."""
_PREDEFINED = frozenset(("_PWD", "_INSTANCE", "_HASH", "_BANG", "_RANDOM", "_ENV"))


def uncommented(text: str) -> str:
    """A line without its comment: from `#` or `!` on, outside of quotes."""
    if "#" not in text and "!" not in text:
        return text
    quote, at = "", 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and letter in text[at + 1 :]:
            quote = letter
        elif letter in "#!":
            return text[:at]
        at += 1
    return text
