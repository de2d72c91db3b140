"""haproxy.cfg as sections with lines of words."""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.importers.ledger import Ledger, Place
from piranha.importers.source import SourceError

MAX_LINES = 100_000
SECTIONS = frozenset(
    [
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "peers",
        "resolvers",
        "userlist",
        "mailers",
        "program",
        "cache",
        "ring",
        "http-errors",
        "fcgi-app",
        "log-forward",
        "log-profile",
        "crt-store",
        "traces",
        "acme",
    ]
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class Line:
    place: Place
    words: tuple[str, ...]

    @property
    def keyword(self) -> str:
        return self.words[0]

    @property
    def rest(self) -> str:
        return " ".join(self.words[1:])


@dataclass(slots=True)
class Section:
    """`kind` is `frontend` and the like; `defaults` are those in force for it."""

    kind: str
    name: str
    head: Line
    lines: list[Line] = field(default_factory=list)
    defaults: Section | None = None

    def last(self, *begin: str) -> Line | None:
        """The last line that begins with these words, here or in the defaults."""
        size = len(begin)
        for line in reversed(self.lines):
            if line.words[:size] == begin:
                return line
        return self.defaults.last(*begin) if self.defaults is not None else None

    def all(self, *begin: str) -> list[Line]:
        """Lines of this section alone."""
        return [line for line in self.lines if line.words[: len(begin)] == begin]


def read(file: str, text: str, ledger: Ledger) -> list[Section]:
    """The sections of a file. Raises SourceError where quotes or conditions cannot be followed."""
    sections: list[Section] = []
    named: dict[str, Section] = {}
    current_defaults: Section | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        if number > MAX_LINES:
            raise SourceError(Place(file, number), f"more than {MAX_LINES} lines", mend="import the parts one by one")
        line = Line(Place(file, number), _words(Place(file, number), raw.removeprefix("\ufeff")))
        if not line.words:
            continue
        if line.keyword.startswith("."):
            if line.keyword in (".notice", ".warning", ".alert", ".diag"):
                ledger.left(line.place, "a message of the configuration itself")
                continue
            mend = "write the lines that are in force"
            raise SourceError(line.place, f"{line.keyword}: conditions depend on HAProxy itself", mend=mend)
        if line.keyword in SECTIONS:
            section = Section(line.keyword, line.words[1] if len(line.words) > 1 else "", line)
            if section.kind == "defaults":
                current_defaults = section
                named[section.name] = section
            elif "from" in line.words[2:-1]:
                section.defaults = named.get(line.words[line.words.index("from", 2) + 1], current_defaults)
            else:
                section.defaults = current_defaults
            sections.append(section)
        elif not sections:
            ledger.error(line.place, f"`{line.keyword[:40]}` stands before every section")
        else:
            sections[-1].lines.append(line)
    return sections


def _words(place: Place, text: str) -> tuple[str, ...]:
    """Words by HAProxy's rules: quotes, backslashes, and `#` for comments."""
    words: list[str] = []
    word: list[str] | None = None
    quote, at = "", 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and quote != "'" and at + 1 < len(text):
            following = text[at + 1]
            word = [*(word or []), following if quote else _ESCAPES.get(following, following)]
            at += 2
            continue
        if quote:
            if letter == quote:
                quote = ""
            else:
                assert word is not None
                word.append(letter)
        elif letter in "\"'":
            quote, word = letter, word or []
        elif letter == "#":
            break
        elif letter.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(letter)
        at += 1
    if quote:
        raise SourceError(place, "the quotes are never closed", mend=f"write {quote} at the end of the text")
    if word is not None:
        words.append("".join(word))
    return tuple(words)
