"""What one line says: nothing, an assignment, the opening of a block, its end. Pure; knows no directive by name."""

from __future__ import annotations

import re
from typing import NamedTuple

from piranha.config.problem import Kind
from piranha.config.syntax import MAX_TOKENS, Token, tokens_of

BLOCK_KEYWORDS = ("virtual", "failover", "server", "mark", "check")
_EXAMPLE_NAMES = {"virtual": "webfarm", "failover": "web", "server": "webserver1", "mark": "80", "check": "http"}

_PLAIN = re.compile(r"""[ \t]*([a-z_]+)[ \t]+(=)[ \t]+([^ \t"'\[{#][^ \t]*)[ \t]*\Z""")
_GLUED = re.compile(r"""[ \t]*([^ \t="'#{}]+)[ \t]*(=)""")


class Flaw(NamedTuple):
    """Something in a line that the original refused. `tolerated` says that the meaning is clear all the same."""

    kind: Kind
    token: Token
    message: str
    suggestion: str
    tolerated: bool


class Blank(NamedTuple):
    """An empty line or a comment."""


class Assignment(NamedTuple):
    """`name = values`. `equal` is None where the sign is missing; an inline comment is still among the values."""

    name: Token
    equal: Token | None
    values: tuple[Token, ...]
    flaws: tuple[Flaw, ...] = ()


class Opening(NamedTuple):
    """`virtual NAME {`; what is missing is None. A block that ends on its own line is not open afterwards."""

    keyword: Token
    name: Token | None
    brace: Token | None
    flaws: tuple[Flaw, ...] = ()
    is_closed: bool = False


class Closing(NamedTuple):
    """`}`; text after it is ignored, as in the original."""

    brace: Token
    flaws: tuple[Flaw, ...] = ()


class LoneBrace(NamedTuple):
    """A `{` on a line of its own."""

    brace: Token


Statement = Blank | Assignment | Opening | Closing | LoneBrace

BLANK = Blank()


def statement_of(text: str) -> Statement:
    """What the line says, with every flaw in its form."""
    plain = _PLAIN.match(text)
    if plain is not None and plain[1] not in BLOCK_KEYWORDS:
        return Assignment(_part(plain, 1), _part(plain, 2), (_part(plain, 3),))
    if text.strip(" \t") == "}":
        at = text.index("}")
        return Closing(Token("}", at, at + 1))
    tokens = tokens_of(text)
    if not tokens or tokens[0].text[0] == "#":
        return BLANK
    first = tokens[0]
    if first.text[0] == "}":
        return _closing(first)
    if first.text == "{" and len(tokens) == 1:
        return LoneBrace(first)
    if first.text in BLOCK_KEYWORDS:
        return _opening(first, tokens[1:], text)
    if first.text[-1] == "{" and first.text[:-1] in BLOCK_KEYWORDS:
        keyword = Token(first.text[:-1], first.start, first.end - 1)
        return _opening(keyword, [Token("{", first.end - 1, first.end), *tokens[1:]], text)
    return _assignment(tokens, text)


def is_overfull(text: str) -> bool:
    """Whether a line that is read has more words than the original could hold."""
    return len(text) > 2 * MAX_TOKENS and text.lstrip(" \t")[:1] not in ("#", "}") and len(tokens_of(text)) > MAX_TOKENS


def quotation_flaws(tokens: list[Token] | tuple[Token, ...], text: str) -> list[Flaw]:
    """Quotes that do not close, and the original's bug with a quoted word before blanks at the end of the line."""
    flaws = []
    for token in tokens:
        if not token.is_closed:
            shown = token._replace(text=token.text.rstrip())
            mend = f"close it with {token.quote} on the same line"
            flaws.append(Flaw(Kind.QUOTATION, shown, f"the quote {token.quote} is not closed", mend, False))
    last = tokens[-1] if tokens else None
    if last and last.quote and last.is_closed and not last.has_inner_blank and last.end < len(text):
        message = "the original refuses blanks after a quoted word at the end of a line"
        if not text[last.end :].strip(" \t"):
            flaws.append(Flaw(Kind.QUOTATION, last, message, "remove the blanks", True))
    return flaws


def _part(match: re.Match[str], group: int) -> Token:
    return Token(match[group], match.start(group), match.end(group))


def _closing(first: Token) -> Closing:
    if first.text == "}":
        return Closing(first)
    brace = Token("}", first.start, first.start + 1)
    flaw = Flaw(Kind.UNKNOWN_COMMAND, first, "text follows `}` without a blank", "put a blank after `}`", True)
    return Closing(brace, (flaw,))


def _opening(keyword: Token, rest: list[Token], text: str) -> Opening:
    flaws = quotation_flaws(rest, text)
    if len(rest) == 2 and rest[1].text == "{":
        return Opening(keyword, rest[0], rest[1], tuple(flaws))
    comment_at = next((index for index, token in enumerate(rest) if index and token.text[0] == "#"), None)
    if comment_at is not None:
        flaws.append(inline_comment(rest[comment_at]))
        rest = rest[:comment_at]
    rest = _unglued(rest, flaws)
    brace_at = next((index for index, token in enumerate(rest) if token.text == "{"), None)
    before = rest if brace_at is None else rest[:brace_at]
    after = [] if brace_at is None else rest[brace_at + 1 :]
    name = before[0] if before else None
    shown = f"{keyword.text} {name.text}" if name else keyword.text
    if name is None:
        mend = f"write `{keyword.text} {_EXAMPLE_NAMES[keyword.text]} {{`"
        flaws.append(Flaw(Kind.MISSING_ARGUMENTS, keyword, f"`{keyword.text}` has no name", mend, False))
    if brace_at is None:
        mend = f"end the line with a brace: `{shown} {{`"
        flaws.append(Flaw(Kind.MISSING_ARGUMENTS, keyword, f"`{shown}` has no `{{`", mend, False))
    if len(before) > 1:
        whole = " ".join(word.value for word in before)
        mend = f'a name is one word; quote it: `{keyword.text} "{whole}" {{`'
        message = f"`{before[1].text}` stands between the name and `{{`"
        flaws.append(Flaw(Kind.UNEXPECTED_ARGUMENTS, before[1], message, mend, False))
    if after:
        message = f"`{after[0].text}` follows `{{` on the same line"
        mend = "put every directive and the closing brace on a line of its own"
        flaws.append(Flaw(Kind.UNEXPECTED_ARGUMENTS, after[0], message, mend, False))
    brace = None if brace_at is None else rest[brace_at]
    return Opening(keyword, name, brace, tuple(flaws), is_closed=bool(after) and after[-1].text[-1] == "}")


def _unglued(rest: list[Token], flaws: list[Flaw]) -> list[Token]:
    """The words after the keyword, with `name{` taken apart."""
    if not rest or rest[0].quote or len(rest[0].text) < 2 or rest[0].text[-1] != "{":
        return rest
    if any(token.text == "{" for token in rest):
        return rest
    glued = rest[0]
    flaws.append(Flaw(Kind.MISSING_ARGUMENTS, glued, "no blank before `{`", "put a blank before `{`", True))
    cut = glued.end - 1
    return [Token(glued.text[:-1], glued.start, cut), Token("{", cut, glued.end), *rest[1:]]


def _assignment(tokens: list[Token], text: str) -> Assignment:
    name, flaws = tokens[0], []
    equal: Token | None = None
    values = tokens[1:]
    if len(tokens) > 1 and tokens[1].text == "=":
        equal, values = tokens[1], tokens[2:]
    else:
        glued = _GLUED.match(text)
        if glued is not None:
            # `port =80`: the original knew the directive and missed the sign; `port=80` it took for one long name.
            kind = Kind.EQUAL_EXPECTED if glued[1] == tokens[0].text else Kind.UNKNOWN_COMMAND
            name, equal = _part(glued, 1), _part(glued, 2)
            values = tokens_of(text, glued.end())
            mend = "put a blank before and after `=`"
            flaws.append(
                Flaw(kind, name._replace(text=text[name.start : equal.end]), "no blanks around `=`", mend, True)
            )
    flaws.extend(quotation_flaws(values, text))
    return Assignment(name, equal, tuple(values), tuple(flaws))


def inline_comment(token: Token) -> Flaw:
    """The flaw of a comment behind a value or a brace."""
    message = "the original has no comments after a value"
    return Flaw(Kind.UNEXPECTED_ARGUMENTS, token, message, "put the comment on a line of its own", True)
