"""nginx.conf as directives: words that end with `;`, or with a block of further directives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from piranha.importers.ledger import Ledger, Place
from piranha.importers.source import Source, SourceError

MAX_DEPTH = 30
MAX_DIRECTIVES = 100_000
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>#[^\n]*)|(?P<mark>[{};])|"
    r"(?P<quoted>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<word>(?:\\.|\$\{[^}\s]*\}|[^\s{};\\\"'])(?:\\.|\$\{[^}\s]*\}|[^\s{};\\])*)|"
    r"(?P<wrong>.)",
    re.DOTALL,
)


@dataclass(slots=True)
class Directive:
    """`places` are the lines that it stands on. `block` is None where it ends with `;`."""

    places: tuple[Place, ...]
    words: tuple[str, ...]
    block: list[Directive] | None = None

    @property
    def place(self) -> Place:
        return self.places[0]

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]

    @property
    def inner(self) -> list[Directive]:
        return self.block or []


class Reader:
    """Reads files, with those that they include."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger
        self._left = MAX_DIRECTIVES

    def read(self, name: str) -> list[Directive]:
        """Raises SourceError."""
        text = self._source.text(name)
        self._source.begin(name)
        return self._parse(name, text, PurePath(name).parent)

    def _parse(self, name: str, text: str, folder: PurePath) -> list[Directive]:
        stack: list[tuple[Place, list[Directive]]] = [(Place(name, 1), [])]
        words: list[str] = []
        lines: list[int] = []
        for kind, value, number in _tokens(name, text):
            if kind == "word":
                words.append(value)
                lines.append(number)
                continue
            place = Place(name, number)
            self._left -= 1
            if self._left < 0:
                raise SourceError(place, f"more than {MAX_DIRECTIVES} directives", mend="import the parts one by one")
            if value == "}":
                if words:
                    raise SourceError(place, f"a `;` is missing behind `{words[0][:40]}`", mend="write it")
                if len(stack) == 1:
                    raise SourceError(place, "a `}` without its `{`", mend="remove it")
                stack.pop()
                continue
            if not words:
                if value == ";":
                    continue
                raise SourceError(place, "a `{` without a name", mend="write what the block is")
            first, last = lines[0], max(lines[-1], number)
            made = Directive(tuple(Place(name, line) for line in range(first, last + 1)), tuple(words))
            words, lines = [], []
            if value == "{":
                if len(stack) > MAX_DEPTH:
                    raise SourceError(place, "blocks are nested too deeply", mend="is a `}` missing?")
                made.block = []
                stack[-1][1].append(made)
                stack.append((place, made.block))
            elif made.name == "include" and len(made.words) == 2:
                stack[-1][1].extend(self._include(made, folder))
            else:
                stack[-1][1].append(made)
        if words:
            raise SourceError(Place(name, lines[0]), f"a `;` is missing behind `{words[0][:40]}`", mend="write it")
        if len(stack) > 1:
            raise SourceError(stack[-1][0], "this block is never closed", mend="write its `}`")
        return stack[0][1]

    def _include(self, directive: Directive, folder: PurePath) -> Iterator[Directive]:
        pattern = directive.arguments[0]
        full = pattern if PurePath(pattern).is_absolute() else str(folder / pattern)
        names = self._source.matching(full)
        if not names:
            self._ledger.left(directive.place, "no file is there to be included")
            return
        self._ledger.carried(directive.place, f"{len(names)} file(s) included")
        for name in names:
            text = self._source.enter(directive.place, name)
            yield from self._parse(name, text, folder)
            self._source.leave()


def _tokens(name: str, text: str) -> Iterator[tuple[str, str, int]]:
    """Words and marks, each with its line."""
    number = 1
    for found in _TOKEN.finditer(text.removeprefix("\ufeff")):
        value = found[0]
        match found.lastgroup:
            case "mark":
                yield "mark", value, number
            case "quoted":
                yield "word", re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL), number
            case "word":
                yield "word", re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL), number
            case "wrong":
                raise SourceError(Place(name, number), "the quotes are never closed", mend="close them")
        number += value.count("\n")
