"""Generations: what a director says of its configuration, and how two of them are related. Pure.

A generation names its parents by their hashes, and its own hash covers all of it, so that the hash of the head stands for the
whole chain behind it: whoever has the other's head in its history has seen all that the other knows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from piranha.base.errors import PiranhaError

MAX_HISTORY = 2048
"""Generations that are remembered: a director that missed more meets a conflict, never a silent choice."""
MAX_COPIES = 16
MAX_TEXTS = 64
_MAX_NUMBER = 2**63 - 1
_MAX_NAME = 64
_CHAIN = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NODE = re.compile(r"[0-9a-f]{16}")
_ROLE = re.compile(r"[a-z]{1,16}")


class OfferError(PiranhaError):
    """The other director said something of its configuration that cannot be."""


class Relation(StrEnum):
    """Ours against theirs."""

    SAME = "same"
    AHEAD = "ahead"
    BEHIND = "behind"
    TWINS = "twins"
    APART = "apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A text that lost against another one edited at the same time, kept until a person decides. `name` is its director's."""

    digest: str
    name: str
    term: int
    counter: int

    def to_json(self) -> dict[str, Any]:
        return {"digest": self.digest, "name": self.name, "term": self.term, "counter": self.counter}

    @staticmethod
    def from_json(value: object) -> Copy:
        fields = _object(value)
        name = fields.get("name")
        if not isinstance(name, str) or len(name) > _MAX_NAME or not name.isprintable():
            raise OfferError("a conflict copy has an impossible name")
        return Copy(
            digest=_word(fields.get("digest"), _DIGEST),
            name=name,
            term=_number(fields.get("term")),
            counter=_number(fields.get("counter")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One state of the pair's configuration: the text with this digest, and the conflicts that are open beside it."""

    term: int
    counter: int
    node: str
    digest: str
    parents: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()

    @property
    def chain(self) -> str:
        """The hash over this generation and, by its parents, over all before it."""
        encoded = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()
        return hashlib.sha256(encoded).hexdigest()[:32]

    @property
    def order(self) -> tuple[int, int, str]:
        return self.term, self.counter, self.chain

    def __str__(self) -> str:
        return f"{self.term}.{self.counter}"

    def to_json(self) -> dict[str, Any]:
        return {
            "term": self.term,
            "counter": self.counter,
            "node": self.node,
            "digest": self.digest,
            "parents": list(self.parents),
            "copies": [copy.to_json() for copy in self.copies],
        }

    @staticmethod
    def from_json(value: object) -> Generation:
        """Raises `OfferError`."""
        fields = _object(value)
        return Generation(
            term=_number(fields.get("term")),
            counter=_number(fields.get("counter")),
            node=_word(fields.get("node"), _NODE),
            digest=_word(fields.get("digest"), _DIGEST),
            parents=_words(fields.get("parents"), _CHAIN, 2),
            copies=tuple(Copy.from_json(copy) for copy in _list(fields.get("copies"), MAX_COPIES)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A head and the hashes of what it superseded, the oldest first."""

    head: Generation
    history: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"generation": self.head.to_json(), "history": list(self.history)}

    @staticmethod
    def from_json(value: object) -> Lineage:
        """Raises `OfferError`."""
        fields = _object(value)
        return Lineage(
            head=Generation.from_json(fields.get("generation")),
            history=_words(fields.get("history"), _CHAIN, MAX_HISTORY),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A director's lineage and what else decides.

    `serial_no` is the head's; `texts` are the digests of the former texts on its disk. Both count only where two directors
    have no generation in common. `again` asks to try once more what was refused.
    """

    node: str
    lineage: Lineage
    role: str = "standalone"
    serial_no: int = 0
    texts: tuple[str, ...] = ()
    again: bool = False

    @property
    def head(self) -> Generation:
        return self.lineage.head

    @property
    def is_active(self) -> bool:
        return self.role == "active"

    def to_json(self) -> dict[str, Any]:
        return {
            **self.lineage.to_json(),
            "role": self.role,
            "serial_no": self.serial_no,
            "texts": list(self.texts),
            "again": self.again,
        }

    @staticmethod
    def from_json(value: object, node: str) -> Offer:
        """Unknown fields are ignored. Raises `OfferError`."""
        fields = _object(value)
        return Offer(
            node=node,
            lineage=Lineage.from_json(fields),
            role=_word(fields.get("role"), _ROLE),
            serial_no=_number(fields.get("serial_no")),
            texts=_words(fields.get("texts"), _DIGEST, MAX_TEXTS),
            again=fields.get("again") is True,
        )


def relation_of(ours: Offer, theirs: Offer) -> Relation:
    """Seen from the other side it is the mirror image. Neither side is ever ahead of a text that it has not seen."""
    mine, yours = ours.head.chain, theirs.head.chain
    if mine == yours:
        return Relation.SAME
    behind, ahead = mine in theirs.lineage.history, yours in ours.lineage.history
    if behind != ahead:
        return Relation.BEHIND if behind else Relation.AHEAD
    if ours.head.digest == theirs.head.digest:
        return Relation.TWINS
    if {mine, *ours.lineage.history}.isdisjoint((yours, *theirs.lineage.history)):
        return _first_contact(ours, theirs)
    return Relation.APART


def _first_contact(ours: Offer, theirs: Offer) -> Relation:
    """Without a common generation the file that has the other as a former text, and a higher `serial_no`, is its successor."""
    if theirs.serial_no > ours.serial_no and ours.head.digest in theirs.texts:
        return Relation.BEHIND
    if ours.serial_no > theirs.serial_no and theirs.head.digest in ours.texts:
        return Relation.AHEAD
    return Relation.APART


def successor(lineage: Lineage, head: Generation, *others: Lineage) -> Lineage:
    """`head` on top of a lineage and of `others`, whose generations all count as superseded."""
    return Lineage(head=head, history=_joined(head.chain, [*others, lineage]))


def joined(lineage: Lineage, *others: Lineage) -> Lineage:
    """The same head; what the others knew counts as superseded too."""
    if not others:
        return lineage
    known = _joined(lineage.head.chain, others)
    own = frozenset(lineage.history)
    return Lineage(head=lineage.head, history=(*(c for c in known if c not in own), *lineage.history)[-MAX_HISTORY:])


def _joined(head: str, lineages: Iterable[Lineage]) -> tuple[str, ...]:
    chains: dict[str, None] = {}
    for lineage in lineages:
        chains |= dict.fromkeys((*lineage.history, lineage.head.chain))
    chains.pop(head, None)
    return tuple(chains)[-MAX_HISTORY:]


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise OfferError("the other director's offer is not an object")
    return value


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise OfferError("the other director's offer has a list that is none, or too long")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise OfferError("the other director's offer has a number out of its range")
    return value


def _word(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise OfferError("the other director's offer has a word of a wrong form")
    return value


def _words(value: object, pattern: re.Pattern[str], most: int) -> tuple[str, ...]:
    return tuple(_word(word, pattern) for word in _list(value, most))
