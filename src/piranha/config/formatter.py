"""Canonical spacing for `piranha config fmt`: comments, order, quotes and words stay, blanks and line ends do not.

The result is a text that the original reads too: a comment behind a value moves to a line of its own above it.
Formatting a formatted text changes nothing.
"""

from __future__ import annotations

from piranha.config.directives import BY_SCOPE, Scope
from piranha.config.statement import Assignment, Blank, Closing, LoneBrace, Opening, statement_of
from piranha.config.syntax import Token, split, tokens_of
from piranha.config.words import value_words, without_glued_brackets

_INDENTS = ("", " " * 5, " " * 9, " " * 13)
_SCOPES = {
    "virtual": Scope.VIRTUAL,
    "failover": Scope.VIRTUAL,
    "server": Scope.SERVER,
    "mark": Scope.MARK,
    "check": Scope.CHECK,
}


def format_text(text: str) -> str:
    """The text in canonical form. Lines that no reader understands keep their words."""
    formatter = _Formatter()
    for line in split(text).lines:
        formatter.add(line.text)
    # A file of blanks alone is readable, an empty one is not.
    return formatter.finish() or ("\n" if text else "")


class _Formatter:
    """Takes lines one by one and knows which blocks are open."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open: list[str] = []

    def add(self, text: str) -> None:
        statement = statement_of(text)
        match statement:
            case Blank():
                self._blank_or_comment(text.strip(" \t"))
            case Assignment():
                self._assignment(statement, text)
            case Opening():
                self._opening(statement, text)
            case Closing():
                del self._open[-1:]
                rest = text[statement.brace.end :].strip(" \t")
                self._put(f"}} {rest}" if rest else "}")
            case LoneBrace():
                self._put("{")

    def finish(self) -> str:
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        while self._open:
            self._open.pop()
            self._put("}")
        return "".join(f"{line}\n" for line in self._lines)

    def _put(self, text: str) -> None:
        self._lines.append(f"{_INDENTS[min(len(self._open), 3)]}{text}" if text else "")

    def _blank_or_comment(self, text: str) -> None:
        if text or (self._lines and self._lines[-1]):
            self._put(text)

    def _assignment(self, statement: Assignment, text: str) -> None:
        directive = BY_SCOPE[self._scope].get(statement.name.value)
        if directive is None or statement.equal is None:
            self._put(" ".join(word.text for word in tokens_of(text)))
            return
        words, comment = value_words(directive, statement.values)
        if comment is not None:
            self._put(text[comment.token.start :].rstrip(" \t"))
        if directive.type.is_list:
            words = without_glued_brackets(words)
        self._put(" ".join([directive.name, "=", *(word.text for word in words)]))

    def _opening(self, statement: Opening, text: str) -> None:
        if statement.name is None or statement.brace is None or statement.is_closed:
            self._put(text.strip(" \t"))
        else:
            comment = _comment_after(statement.brace, text)
            if comment:
                self._put(comment)
            self._put(f"{statement.keyword.text} {statement.name.text} {{")
        if not statement.is_closed:
            self._open.append(statement.keyword.text)

    @property
    def _scope(self) -> Scope:
        return _SCOPES[self._open[-1]] if self._open else Scope.GLOBAL


def _comment_after(brace: Token, text: str) -> str:
    rest = text[brace.end :].strip(" \t")
    return rest if rest.startswith("#") else ""
