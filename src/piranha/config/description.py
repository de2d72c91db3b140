"""The table of directives as plain data: forms, completion and reference pages are made from it. Pure."""

from __future__ import annotations

from typing import TypedDict

from piranha.config.directives import DIRECTIVES, Directive
from piranha.config.writer import format_value


class DirectiveView(TypedDict):
    """One directive. `default` is as it would stand in the file, None where being left out has no value;
    `default_text` says in words what happens then. `words` are the only values where there are any; `original` is
    False for what this project added; `inert` says why nothing acts on it."""

    name: str
    scope: str
    type: str
    meaning: str
    example: str
    default: str | None
    default_text: str
    words: list[str]
    least: float | None
    most: float | None
    repeatable: bool
    original: bool
    inert: str


def directive_views() -> list[DirectiveView]:
    """All of them, scope by scope, in the order in which the original's GUI wrote them."""
    return [_view(directive) for directive in DIRECTIVES]


def _view(directive: Directive) -> DirectiveView:
    default = directive.default
    return DirectiveView(
        name=directive.name,
        scope=directive.scope.value,
        type=directive.type.value,
        meaning=directive.meaning,
        example=directive.example,
        default=None if default is None or directive.repeatable else format_value(directive, default),
        default_text=directive.default_text,
        words=list(directive.words),
        least=directive.least,
        most=directive.most,
        repeatable=directive.repeatable,
        original=directive.original,
        inert=directive.inert,
    )
