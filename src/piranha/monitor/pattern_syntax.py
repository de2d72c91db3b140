"""The language of POSIX extended regular expressions (POSIX.1-2017, XBD 9.4), read into a tree."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.base.errors import PiranhaError

MAX_LENGTH = 4_096
MAX_DEPTH = 50
MAX_REPEAT = 255

ANY = (1 << 256) - 1


class PatternError(PiranhaError):
    """The text is not a POSIX extended regular expression."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """One byte of a set; bit n of `mask` is byte n."""

    mask: int


@dataclass(frozen=True, slots=True)
class Begin:
    """`^`"""


@dataclass(frozen=True, slots=True)
class End:
    """`$`"""


@dataclass(frozen=True, slots=True)
class Sequence:
    """All parts in order; none is the empty expression."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` at least `least` and at most `most` times; None is no limit."""

    part: Node
    least: int
    most: int | None


Node = OneOf | Begin | End | Sequence | Choice | Repeat


def _mask(members: bytes) -> int:
    mask = 0
    for byte in members:
        mask |= 1 << byte
    return mask


_UPPER = bytes(range(ord("A"), ord("Z") + 1))
_LOWER = bytes(range(ord("a"), ord("z") + 1))
_DIGIT = b"0123456789"
_SPACE = b" \t\n\v\f\r"
_GRAPH = bytes(range(0x21, 0x7F))

_CLASSES = {
    b"alpha": _mask(_UPPER + _LOWER),
    b"digit": _mask(_DIGIT),
    b"alnum": _mask(_UPPER + _LOWER + _DIGIT),
    b"upper": _mask(_UPPER),
    b"lower": _mask(_LOWER),
    b"space": _mask(_SPACE),
    b"blank": _mask(b" \t"),
    b"punct": _mask(bytes(b for b in _GRAPH if b not in _UPPER + _LOWER + _DIGIT)),
    b"print": _mask(_GRAPH + b" "),
    b"graph": _mask(_GRAPH),
    b"cntrl": _mask(bytes(range(0x20)) + b"\x7f"),
    b"xdigit": _mask(_DIGIT + b"abcdefABCDEF"),
}
_WORD = _CLASSES[b"alnum"] | _mask(b"_")
# Beyond POSIX: GNU's \w \s and their opposites, and \d, which people write whatever the book says.
_SHORTHANDS = {
    ord("w"): _WORD,
    ord("W"): ANY & ~_WORD,
    ord("s"): _mask(_SPACE),
    ord("S"): ANY & ~_mask(_SPACE),
    ord("d"): _mask(_DIGIT),
    ord("D"): ANY & ~_mask(_DIGIT),
}
_UNSUPPORTED = {ord(c): "a word boundary" for c in "bB<>"} | {ord(c): "a back-reference" for c in "123456789"}


def parse(source: bytes) -> Node:
    """The tree of an expression. Raises PatternError with what is wrong and where."""
    if len(source) > MAX_LENGTH:
        raise PatternError(f"the pattern is longer than {MAX_LENGTH} bytes")
    reader = _Reader(source)
    node = reader.choice(depth=0)
    if not reader.at_end():
        raise reader.error("a `)` without its `(`")
    return node


class _Reader:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._source)

    def error(self, what: str) -> PatternError:
        return PatternError(f"{what} at character {self._at + 1} of the pattern {self._source[:60]!r}")

    def choice(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.error("parentheses are nested too deeply")
        parts = [self._sequence(depth)]
        while self._take(b"|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.at_end() and self._peek() not in b"|)":
            parts.append(self._repeated(depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, depth: int) -> Node:
        node = self._atom(depth)
        times = 0
        while (bounds := self._bounds()) is not None:
            times += 1
            if times > MAX_DEPTH:
                raise self.error("too many repetitions of one thing")
            node = Repeat(node, *bounds)
        return node

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take(b"*"):
            return 0, None
        if self._take(b"+"):
            return 1, None
        if self._take(b"?"):
            return 0, 1
        if not self._is_interval():
            return None
        self._at += 1
        least = self._number()
        most: int | None = least
        if self._take(b","):
            most = None if self._peek() == b"}" else self._number()
        if not self._take(b"}"):
            raise self.error("a `{` without its `}`")
        if least > MAX_REPEAT or (most is not None and (most > MAX_REPEAT or most < least)):
            raise self.error(f"a repetition must be within 0..{MAX_REPEAT}, smaller number first, so the one")
        return least, most

    def _is_interval(self) -> bool:
        """A `{` that no digit follows is an ordinary character, as in GNU's library: JSON answers need that."""
        return self._peek() == b"{" and self._source[self._at + 1 : self._at + 2].isdigit()

    def _number(self) -> int:
        begin = self._at
        while self._peek().isdigit() and self._at - begin < 6:
            self._at += 1
        if begin == self._at:
            raise self.error("a number is missing")
        return int(self._source[begin : self._at])

    def _atom(self, depth: int) -> Node:
        if self._peek() in b"*+?" or self._is_interval():
            raise self.error("nothing to repeat")
        if self._take(b"("):
            node = self.choice(depth + 1)
            if not self._take(b")"):
                raise self.error("a `(` without its `)`")
            return node
        if self._take(b"["):
            return OneOf(self._bracket())
        if self._take(b"."):
            return OneOf(ANY)
        if self._take(b"^"):
            return Begin()
        if self._take(b"$"):
            return End()
        if self._take(b"\\"):
            return self._escaped()
        return OneOf(1 << self._next())

    def _escaped(self) -> Node:
        if self.at_end():
            raise self.error("a lone backslash")
        byte = self._next()
        if byte in _UNSUPPORTED:
            raise self.error(f"{_UNSUPPORTED[byte]} (not supported)")
        return OneOf(_SHORTHANDS.get(byte, 1 << byte))

    def _bracket(self) -> int:
        negated = self._take(b"^")
        mask = 0
        first = True
        while first or self._peek() != b"]":
            if self.at_end():
                raise self.error("a `[` without its `]`")
            first = False
            if self._take(b"[:"):
                mask |= self._class()
                continue
            low = self._element()
            if self._peek() == b"-" and self._source[self._at + 1 : self._at + 2] not in (b"]", b""):
                self._at += 1
                high = self._element()
                if high < low:
                    raise self.error("a range that runs backwards")
                mask |= (1 << high + 1) - (1 << low)
            else:
                mask |= 1 << low
        self._at += 1
        return ANY & ~mask if negated else mask

    def _class(self) -> int:
        end = self._source.find(b":]", self._at)
        name = self._source[self._at : end] if end >= 0 else b""
        if name not in _CLASSES:
            raise self.error("an unknown character class")
        self._at = end + 2
        return _CLASSES[name]

    def _element(self) -> int:
        """One end of a range. A backslash is an ordinary character inside brackets (POSIX)."""
        for opening, closing in ((b"[.", b".]"), (b"[=", b"=]")):
            if self._take(opening):
                byte = self._next() if not self.at_end() else 0
                if not self._take(closing):
                    raise self.error("a collating symbol of more than one character (not supported)")
                return byte
        return self._next()

    def _peek(self) -> bytes:
        return self._source[self._at : self._at + 1]

    def _next(self) -> int:
        byte = self._source[self._at]
        self._at += 1
        return byte

    def _take(self, text: bytes) -> bool:
        if self._source.startswith(text, self._at):
            self._at += len(text)
            return True
        return False
