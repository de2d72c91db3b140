"""Which words after `=` are the value of a directive, and which are an inline comment."""

from __future__ import annotations

from piranha.config.directives import Directive, ValueType
from piranha.config.statement import Flaw, inline_comment
from piranha.config.syntax import Token

Words = tuple[Token, ...]


def most_words(directive: Directive) -> int:
    """How many words the value of a directive has; lists are counted by their brackets."""
    return 2 if directive.type is ValueType.DEVICE_ADDRESS else 1


def value_words(directive: Directive, values: Words) -> tuple[Words, Flaw | None]:
    """The words of the value, and the inline comment behind them as a flaw.

    A `#` begins a comment only where the line has more words than the value may have: elsewhere the original took it
    for the value itself.
    """
    is_bare = directive.type.may_be_bare and values and values[0].text[0] != "["
    if directive.type.is_list and not is_bare:
        end = next((at for at, word in enumerate(values) if not word.quote and word.text[-1] == "]"), None)
        if end is None or end + 1 == len(values) or values[end + 1].text[0] != "#":
            return values, None
        return values[: end + 1], inline_comment(values[end + 1])
    if len(values) <= most_words(directive):
        return values, None
    for at, word in enumerate(values):
        if word.text[0] == "#":
            return values[:at], inline_comment(word)
    return values, None


def without_glued_brackets(words: Words) -> Words:
    """The words of a list with `[a b]` taken apart into `[`, `a`, `b`, `]`; unchanged when nothing is glued."""
    if not words or words[0].quote or words[-1].quote or words[0].text[0] != "[" or words[-1].text[-1] != "]":
        return words
    parts = list(words)
    first = parts[0]
    if len(first.text) > 1:
        cut = first.start + 1
        parts[:1] = [Token("[", first.start, cut), Token(first.text[1:], cut, first.end)]
    last = parts[-1]
    if len(last.text) > 1:
        cut = last.end - 1
        parts[-1:] = [Token(last.text[:-1], last.start, cut), Token("]", cut, last.end)]
    return tuple(parts)
