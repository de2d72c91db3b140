"""The lossless text of an `lvs.cf`: lines with their ends, tokens with their places and quotes.

`Document.text` gives back exactly what was read. Bytes that are not UTF-8 live on as surrogates
(`errors="surrogateescape"`), so that the bytes on disk survive too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_TOKENS = 100
BYTE_ORDER_MARK = "\ufeff"

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_TOKEN = re.compile(r"""("[^"]*"?)|('[^']*'?)|[^ \t]+""")


class Token(NamedTuple):
    """One word of a line. `text` is as written, quotes included; `start` and `end` count characters from 0."""

    text: str
    start: int
    end: int
    quote: str = ""

    @property
    def value(self) -> str:
        """The word without its quotes."""
        if not self.quote:
            return self.text
        return self.text[1:-1] if self.is_closed else self.text[1:]

    @property
    def is_closed(self) -> bool:
        return not self.quote or (len(self.text) > 1 and self.text[-1] == self.quote)

    @property
    def has_inner_blank(self) -> bool:
        return " " in self.text or "\t" in self.text


class Line(NamedTuple):
    """One line: its text and its end (`\\n`, `\\r\\n`, `\\r`, or nothing at the end of the file)."""

    text: str
    ending: str = "\n"


def tokens_of(text: str, start: int = 0) -> list[Token]:
    """The words of a line from `start` on; at most one more than the original allowed on a line."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text, start):
        word = match[0]
        found.append(Token(word, match.start(), match.end(), word[0] if match.lastindex else ""))
        if len(found) > MAX_TOKENS:
            break
    return found


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file. `tail` is text that the original's line reader never reached (see `split_as_original`)."""

    lines: tuple[Line, ...]
    byte_order_mark: str = ""
    tail: str = ""

    @property
    def text(self) -> str:
        body = "".join([part for line in self.lines for part in line])
        return f"{self.byte_order_mark}{body}{self.tail}"

    @property
    def usual_ending(self) -> str:
        """The line end that a new line of this document gets: the first one in it."""
        return next((line.ending for line in self.lines if line.ending), "\n")

    @property
    def has_carriage_return(self) -> bool:
        return any("\r" in line.ending for line in self.lines)

    def with_line(self, index: int, text: str) -> Document:
        """The same document with other text on one line; its line end stays."""
        changed = Line(text, self.lines[index].ending)
        return replace(self, lines=(*self.lines[:index], changed, *self.lines[index + 1 :]))

    def without_lines(self, first: int, last: int) -> Document:
        """The same document without the lines `first` to `last`, both included."""
        return replace(self, lines=(*self.lines[:first], *self.lines[last + 1 :]))

    def with_inserted(self, index: int, texts: list[str]) -> Document:
        """The same document with new lines before line `index`; a last line without an end gets one if it must."""
        ending = self.usual_ending
        before = list(self.lines[:index])
        if before and not before[-1].ending:
            before[-1] = Line(before[-1].text, ending)
        return replace(self, lines=(*before, *(Line(text, ending) for text in texts), *self.lines[index:]))


def split(text: str) -> Document:
    """Lines end at `\\n`, `\\r\\n` or `\\r`."""
    mark, body = _without_mark(text)
    return Document(_lines(body), byte_order_mark=mark)


def split_as_original(text: str) -> Document:
    """Lines as the original's reader cut them.

    It looked for a carriage return in all the rest of the file before it looked for a line feed. In a file with
    `\\r\\n` the second line therefore begins with a line feed, where the reader took the file as finished.
    """
    if "\r" not in text:
        return split(text)
    mark, body = _without_mark(text)
    lines: list[Line] = []
    position = 0
    while (cut := body.find("\r", position)) >= 0:
        if position and body[position] == "\n":
            return Document(tuple(lines), byte_order_mark=mark, tail=body[position:])
        lines.append(Line(body[position:cut], "\r"))
        position = cut + 1
    if position and body.startswith("\n", position):
        return Document(tuple(lines), byte_order_mark=mark, tail=body[position:])
    return Document((*lines, *_lines(body[position:])), byte_order_mark=mark)


def _lines(body: str) -> tuple[Line, ...]:
    return tuple(Line(match[1], match[2]) for match in _LINE.finditer(body) if match[0])


def _without_mark(text: str) -> tuple[str, str]:
    return (BYTE_ORDER_MARK, text[1:]) if text.startswith(BYTE_ORDER_MARK) else ("", text)
