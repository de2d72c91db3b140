"""Going through statements: which of them somebody took, and a reason for each of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from piranha.importers.keepalived.blocks import Statement
from piranha.importers.ledger import Ledger

Handler = Callable[[Statement], None]
NO_SUCH = "keepalived has no such keyword here"


def walk(
    statements: Iterable[Statement],
    handlers: Mapping[str, Handler],
    reasons: Mapping[str, str],
    ledger: Ledger,
) -> None:
    """Give each statement to its handler; those with a reason, and those that nobody knows, are not carried over."""
    for statement in statements:
        handler = handlers.get(statement.keyword)
        if handler is not None:
            handler(statement)
            continue
        reason = reasons.get(statement.keyword)
        for beginning, words in reasons.items():
            if reason is None and beginning.endswith("*") and statement.keyword.startswith(beginning[:-1]):
                reason = words
        drop(statement, reason or f"`{statement.keyword}` is unknown: {NO_SUCH}", ledger)


def drop(statement: Statement, reason: str, ledger: Ledger) -> None:
    """Neither the statement nor what is in it is carried over."""
    ledger.left(statement.place, reason)
    for inner in statement.inner:
        drop(inner, reason, ledger)


def carry(statement: Statement, ledger: Ledger) -> None:
    """The statement and all in it is carried over, where nothing else was said of it."""
    ledger.carried(statement.place)
    for inner in statement.inner:
        carry(inner, ledger)
