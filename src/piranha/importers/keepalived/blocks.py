"""keepalived.conf as statements: words, and blocks of further statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from piranha.importers.keepalived.lines import Line
from piranha.importers.ledger import Ledger, Place
from piranha.importers.source import SourceError

MAX_DEPTH = 30
_ESCAPES = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(slots=True)
class Statement:
    """Words of one line. `block` is None where no brace follows."""

    place: Place
    words: tuple[str, ...]
    block: list[Statement] | None = None

    @property
    def keyword(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]

    @property
    def inner(self) -> list[Statement]:
        return self.block or []

    def first(self, *keywords: str) -> Statement | None:
        """The last statement of the block with one of these keywords: later ones count."""
        found = None
        for statement in self.inner:
            if statement.keyword in keywords:
                found = statement
        return found


@dataclass(slots=True)
class _Open:
    place: Place
    statements: list[Statement] = field(default_factory=list)


def statements(lines: Iterable[Line], ledger: Ledger) -> list[Statement]:
    """The statements of the top level. Raises SourceError where braces do not match."""
    stack = [_Open(Place("", 0))]
    for line in lines:
        words: list[str] = []
        for word, is_brace in _words(line):
            if not is_brace:
                words.append(word)
                continue
            if words:
                stack[-1].statements.append(Statement(line.place, tuple(words)))
                words = []
            if word == "}":
                if len(stack) == 1:
                    raise SourceError(line.place, "a `}` without its `{`", mend="remove it, or write the block's begin")
                stack.pop()
                continue
            if len(stack) > MAX_DEPTH:
                raise SourceError(line.place, "blocks are nested too deeply", mend="is a `}` missing?")
            outer = stack[-1].statements
            if not outer or outer[-1].block is not None:
                raise SourceError(line.place, "a `{` without a name", mend="write what the block is")
            outer[-1].block = []
            stack.append(_Open(line.place, outer[-1].block))
        if words:
            stack[-1].statements.append(Statement(line.place, tuple(words)))
    if len(stack) > 1:
        raise SourceError(stack[-1].place, "this block is never closed", mend="write its `}`")
    return stack[0].statements


def _words(line: Line) -> Iterable[tuple[str, bool]]:
    """The words of a line, each with whether it is a brace that belongs to the structure."""
    found: list[tuple[str, bool]] = []
    text, at = line.text, 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        word, quoted, at = _word(line.place, text, at)
        if quoted or not word.strip("{}"):
            found.extend([(word, False)] if quoted else [(brace, True) for brace in word])
        elif word[-1] == "{" and "{" not in word[:-1] and "}" not in word:
            found.extend([(word[:-1], False), ("{", True)])
        else:
            found.append((word, False))
    return found


def _word(place: Place, text: str, at: int) -> tuple[str, bool, int]:
    """One word, with whether quotes were in it, and where it ends."""
    out: list[str] = []
    quoted, quote = False, ""
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == quote:
                quote = ""
            elif letter == "\\" and quote == '"':
                part, at = _escape(text, at)
                out.append(part)
                continue
            else:
                out.append(letter)
        elif letter in "\"'":
            quote, quoted = letter, True
        elif letter == "\\":
            part, at = _escape(text, at)
            out.append(part)
            continue
        elif letter.isspace():
            break
        else:
            out.append(letter)
        at += 1
    if quote:
        raise SourceError(place, "the quotes are never closed", mend=f"write {quote} at the end of the text")
    return "".join(out), quoted, at


def _escape(text: str, at: int) -> tuple[str, int]:
    """What a backslash and the letters behind it stand for, and where they end."""
    letter = text[at + 1 : at + 2]
    if letter in _ESCAPES and letter:
        return _ESCAPES[letter], at + 2
    if letter and letter in "01234567":
        end = at + 1
        while end < min(at + 4, len(text)) and text[end] in "01234567":
            end += 1
        return chr(int(text[at + 1 : end], 8) & 0xFF), end
    if letter in ("x", "X"):
        end = at + 2
        while end < min(at + 4, len(text)) and text[end] in "0123456789abcdefABCDEF":
            end += 1
        if end > at + 2:
            return chr(int(text[at + 2 : end], 16)), end
    if letter == "c" and at + 2 < len(text):
        return chr(ord(text[at + 2]) & 0x1F), at + 3
    return letter, at + 2
