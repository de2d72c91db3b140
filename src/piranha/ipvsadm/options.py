"""The options, and how words become options: as popt(3) reads them, whose habits scripts depend on.

Long options are never abbreviated; short ones may be bundled; a value may be attached, with or without `=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Takes(Enum):
    NOTHING = auto()
    VALUE = auto()
    OPTIONAL = auto()
    """A value unless the next word is an option."""


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    letter: str = ""
    takes: Takes = Takes.NOTHING


COMMANDS = (
    Option("add-service", "A"),
    Option("edit-service", "E"),
    Option("delete-service", "D"),
    Option("clear", "C"),
    Option("list", "L"),
    Option("list", "l"),
    Option("zero", "Z"),
    Option("add-server", "a"),
    Option("edit-server", "e"),
    Option("delete-server", "d"),
    Option("set"),
    Option("help", "h"),
    Option("version", "v"),
    Option("restore", "R"),
    Option("save", "S"),
    Option("start-daemon", "", Takes.VALUE),
    Option("stop-daemon", "", Takes.VALUE),
)
"""Options that are legal as the first word, and only there."""

PARAMETERS = (
    Option("tcp-service", "t", Takes.VALUE),
    Option("udp-service", "u", Takes.VALUE),
    Option("sctp-service", "", Takes.VALUE),
    Option("fwmark-service", "f", Takes.VALUE),
    Option("scheduler", "s", Takes.VALUE),
    Option("persistent", "p", Takes.OPTIONAL),
    Option("netmask", "M", Takes.VALUE),
    Option("real-server", "r", Takes.VALUE),
    Option("masquerading", "m"),
    Option("ipip", "i"),
    Option("gatewaying", "g"),
    Option("weight", "w", Takes.VALUE),
    Option("u-threshold", "x", Takes.VALUE),
    Option("l-threshold", "y", Takes.VALUE),
    Option("numeric", "n"),
    Option("connection", "c"),
    Option("mcast-interface", "", Takes.VALUE),
    Option("timeout"),
    Option("daemon"),
    Option("stats"),
    Option("rate"),
    Option("thresholds"),
    Option("persistent-conn"),
    Option("nosort"),
    Option("sort"),
    Option("exact", "X"),
    Option("ipv6", "6"),
    Option("ops", "o"),
    Option("pe", "", Takes.VALUE),
    Option("sched-flags", "b", Takes.VALUE),
    Option("syncid", "", Takes.VALUE),
    Option("mcast-group", "", Takes.VALUE),
    Option("mcast-port", "", Takes.VALUE),
    Option("mcast-ttl", "", Takes.VALUE),
    Option("sync-maxlen", "", Takes.VALUE),
    Option("tun-info"),
    Option("tun-type", "", Takes.VALUE),
    Option("tun-port", "", Takes.VALUE),
    Option("tun-nocsum"),
    Option("tun-csum"),
    Option("tun-remcsum"),
)

_BY_NAME = {option.name: option for option in (*COMMANDS, *PARAMETERS)}
_BY_LETTER = {option.letter: option for option in (*COMMANDS, *PARAMETERS) if option.letter}


class OptionError(Exception):
    """`word` is where reading stopped, `reason` is popt's."""

    def __init__(self, word: str, reason: str) -> None:
        super().__init__(f"{word}: {reason}")
        self.word = word
        self.reason = reason


class Scanner:
    """One pass over the words of a command line. `arguments` are those read so far that belong to no option."""

    def __init__(self, words: Sequence[str]) -> None:
        self.arguments: list[str] = []
        self._words = words
        self._at = 0
        self._bundle = ""
        self._options_end = False

    @property
    def word(self) -> str:
        """The last word read: what messages call the bad option, even where it was a value."""
        return self._words[self._at - 1] if self._at else ""

    def next(self) -> tuple[Option, str | None] | None:
        """The next option and its value; None at the end. Raises `OptionError`."""
        if self._bundle:
            return self._short(self._bundle)
        while self._at < len(self._words):
            word = self._words[self._at]
            self._at += 1
            if self._options_end or not word.startswith("-") or word == "-":
                self.arguments.append(word)
            elif word == "--":
                self._options_end = True
            elif word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                return self._take(_BY_NAME.get(name), value if equals else None)
            else:
                return self._short(word[1:])
        return None

    def _short(self, letters: str) -> tuple[Option, str | None]:
        self._bundle = ""
        option = _BY_LETTER.get(letters[0])
        rest = letters[1:]
        if option is None or not rest:
            return self._take(option, None)
        if rest.startswith("="):
            return self._take(option, rest[1:])
        if option.takes is not Takes.NOTHING:
            return option, rest
        self._bundle = rest
        return option, None

    def _take(self, option: Option | None, attached: str | None) -> tuple[Option, str | None]:
        if option is None:
            raise OptionError(self.word, "unknown option")
        if option.takes is Takes.NOTHING:
            if attached is not None:
                raise OptionError(self.word, "option does not take an argument")
            return option, None
        if attached is not None:
            return option, attached
        if self._at == len(self._words):
            if option.takes is Takes.VALUE:
                raise OptionError(self.word, "missing argument")
            return option, None
        if option.takes is Takes.OPTIONAL and self._words[self._at].startswith("-"):
            return option, None
        self._at += 1
        return option, self._words[self._at - 1]
