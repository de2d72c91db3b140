"""How two directors come to one configuration: a pure core. Every method is an event and returns commands.

Who is behind takes the newer text. Where both were edited apart, the director with the smaller node id decides, so that there
are never two decisions: the active director's text stays in force, without an active one that of the higher generation, and the
other is kept as a conflict copy, on both. A decision is itself a generation with two parents, which the other takes.

The shell executes the commands in order, and hands in no event between a `Take` and its `taken` or `refused`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from piranha.base.errors import PiranhaError
from piranha.config.store import digest_of
from piranha.replication.generation import (
    MAX_COPIES,
    Copy,
    Generation,
    Lineage,
    Offer,
    Relation,
    joined,
    relation_of,
    successor,
)


@dataclass(frozen=True, slots=True)
class SendOffer:
    """Tell the other director of our head."""

    again: bool = False


@dataclass(frozen=True, slots=True)
class AskText:
    """Ask the other director for the text with this digest."""

    digest: str


@dataclass(frozen=True, slots=True)
class SendRefusal:
    """Tell the other director why its text is not taken."""

    digest: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Store a lineage with its text and the texts of its conflict copies, by digest.

    `writes` says that the text is another one than the file's, which it replaces; the director then reloads.
    """

    lineage: Lineage
    text: str
    copies: Mapping[str, str] = field(default_factory=dict)
    writes: bool = True


Command = SendOffer | AskText | SendRefusal | Take


class Agreement:
    """One director's side. `name` is what conflict copies call it; `copies` are the texts of the head's open conflicts."""

    def __init__(
        self,
        *,
        node: str,
        name: str,
        lineage: Lineage,
        text: str,
        copies: Mapping[str, str],
        peer_name: str = "the other director",
    ) -> None:
        self.node, self.name, self.peer_name = node, name, peer_name
        self.lineage = lineage
        self.text = text
        self.role, self.term = "standalone", 0
        self.serial_no = 0
        self.former: tuple[str, ...] = ()
        self.peer: Offer | None = None
        self.refusals: dict[str, tuple[str, ...]] = {}
        """Why a text of the other director is not taken here, by its digest."""
        self.refused_there: tuple[str, tuple[str, ...]] | None = None
        """The digest of our text that the other director refuses, and why."""
        self._texts = {lineage.head.digest: text, **copies}
        self._asked: set[str] = set()
        self._missing: set[str] = set()
        self._pulling = False

    @staticmethod
    def first(node: str, text: str) -> Lineage:
        """The lineage of a director without a history."""
        return Lineage(head=Generation(term=0, counter=0, node=node, digest=digest_of(text)))

    @property
    def head(self) -> Generation:
        return self.lineage.head

    @property
    def offer(self) -> Offer:
        return Offer(node=self.node, lineage=self.lineage, role=self.role, serial_no=self.serial_no, texts=self.former)

    @property
    def is_pulling(self) -> bool:
        """Whether the other's text was asked for by a person and has not come yet."""
        return self._pulling

    @property
    def relation(self) -> Relation | None:
        """Ours against the other's; None while it is not heard."""
        return None if self.peer is None else relation_of(self.offer, self.peer)

    def text_of(self, digest: str) -> str | None:
        """A text that we have: the head's or an open conflict's."""
        return self._texts.get(digest)

    def edited(self, text: str) -> list[Command]:
        """A person changed our text, and it is in force."""
        if digest_of(text) == self.head.digest:
            return []
        lineage = successor(self.lineage, self._next(digest_of(text), (self.head,), self.head.copies))
        return [Take(lineage=lineage, text=text, copies=self._copies(lineage.head), writes=False)]

    def assumed(self, role: str, term: int) -> list[Command]:
        """Our role changed."""
        changed = (role, term) != (self.role, self.term)
        self.role, self.term = role, term
        return [SendOffer(), *self._decide()] if changed and self.peer is not None else []

    def offered(self, offer: Offer) -> list[Command]:
        """The other director told its head."""
        before, self.peer = self.peer, offer
        self._missing.clear()
        if offer.again:
            self.refusals.clear()
        if before is None or before.head != offer.head:
            self._asked.clear()
            self._texts = {self.head.digest: self.text, **self._copies(self.head)}
            self.refused_there = None
        return self._decide()

    def lost(self) -> list[Command]:
        """The other director is not reached any more."""
        self.peer = None
        self._asked.clear()
        self._pulling = False
        return []

    def text_arrived(self, text: str) -> list[Command]:
        """A text that nobody asked for changes nothing."""
        digest = digest_of(text)
        if digest not in self._asked:
            return []
        self._texts[digest] = text
        return self._decide()

    def text_missing(self, digest: str) -> list[Command]:
        """The other director does not have a text that we asked for."""
        if digest in self._asked:
            self._missing.add(digest)
            return self._decide()
        return []

    def refusal_heard(self, digest: str, reasons: tuple[str, ...]) -> list[Command]:
        """The other director does not take our text; what it says of another one is outdated."""
        if digest == self.head.digest:
            self.refused_there = digest, reasons
        return []

    def taken(self, take: Take) -> list[Command]:
        """A `Take` is on the disk."""
        self.lineage, self.text = take.lineage, take.text
        self._texts = {take.lineage.head.digest: take.text, **take.copies}
        self._asked.clear()
        self._pulling = False
        self.refusals.clear()
        self.refused_there = None
        return [SendOffer(), *self._decide()]

    def refused(self, take: Take, reasons: Iterable[str]) -> list[Command]:
        """A `Take` was not possible, and nothing is changed. It is not tried again before something else changes."""
        digest, self._pulling = take.lineage.head.digest, False
        self.refusals[digest] = tuple(reasons)
        return [SendRefusal(digest, self.refusals[digest])]

    def retry(self) -> list[Command]:
        """Try again what was refused; for reasons that pass, such as a full disk."""
        self.refusals.clear()
        return self._decide()

    def set_aside(self, take: Take, text: str) -> Take:
        """The same `Take`, with a text kept as a conflict copy: it lay on our disk, changed and not yet in force."""
        head = take.lineage.head
        digest = digest_of(text)
        if digest == head.digest:
            return take
        name = f"{self.name}, not loaded"
        copies = _with_copy(head.copies, Copy(digest=digest, name=name, term=self.head.term, counter=self.head.counter))
        lineage = successor(take.lineage, self._next(head.digest, (head,), copies))
        texts = {**take.copies, digest: text}
        return replace(take, lineage=lineage, copies={c.digest: texts[c.digest] for c in copies if c.digest in texts})

    def resolve(self, digest: str, *, theirs: bool) -> list[Command]:
        """A person ends a conflict: the copy comes into force (`theirs`), or goes. Raises PiranhaError."""
        kept = tuple(copy for copy in self.head.copies if copy.digest != digest)
        if len(kept) == len(self.head.copies):
            raise PiranhaError("there is no such conflict", mend="see `piranha config conflicts`")
        text = self._texts.get(digest) if theirs else self.text
        if text is None:
            raise PiranhaError("the text of this conflict is on neither director", mend="resolve it with --take ours")
        lineage = successor(self.lineage, self._next(digest_of(text), (self.head,), kept))
        return [self._take(lineage, text)]

    def push(self) -> list[Command]:
        """Ours on both, whatever the other one has. Raises PiranhaError."""
        peer = self._reached()
        relation = relation_of(self.offer, peer)
        if relation is Relation.SAME:
            return []
        if relation is Relation.AHEAD:
            return [SendOffer(again=True)]
        head = self._next(self.head.digest, (self.head, peer.head), self.head.copies)
        lineage = successor(self.lineage, head, peer.lineage)
        return [self._take(lineage, self.text)]

    def pull(self) -> list[Command]:
        """The other's on both, whatever we have. Raises PiranhaError."""
        if relation_of(self.offer, self._reached()) is Relation.SAME:
            return []
        self._pulling = True
        self.refusals.clear()
        return self._decide()

    def _decide(self) -> list[Command]:
        """What the two heads ask for now. The same question twice has the same answer, until texts or heads change."""
        target = self._target()
        if target is None or target.head.digest in self.refusals:
            return []
        needed = {target.head.digest, *(copy.digest for copy in target.head.copies)}
        if target.head.digest in self._missing:
            return []
        wanted = needed - self._texts.keys() - self._missing
        if wanted:
            asked, self._asked = self._asked, self._asked | wanted
            return [AskText(digest) for digest in sorted(wanted - asked)]
        return [self._take(target, self._texts[target.head.digest])]

    def _target(self) -> Lineage | None:
        """The lineage that we should have; None where ours is it, or the other decides."""
        peer = self.peer
        if peer is None:
            return None
        relation = relation_of(self.offer, peer)
        if relation is Relation.SAME:
            return None
        if self._pulling:
            head = self._next(peer.head.digest, (self.head, peer.head), peer.head.copies)
            return successor(self.lineage, head, peer.lineage)
        if relation is Relation.BEHIND:
            return joined(peer.lineage, self.lineage)
        if relation is Relation.AHEAD or self.node > peer.node:
            return None
        return self._merged(peer)

    def _merged(self, peer: Offer) -> Lineage:
        """Both generations superseded by one; what its text is not is among its copies."""
        if self.offer.is_active != peer.is_active:
            ours_wins = self.offer.is_active
        else:
            ours_wins = self.head.order > peer.head.order
        winner, loser = (self.head, peer.head) if ours_wins else (peer.head, self.head)
        copies = winner.copies
        for copy in loser.copies:
            copies = _with_copy(copies, copy)
        if loser.digest != winner.digest:
            name = self.peer_name if ours_wins else self.name
            copy = Copy(digest=loser.digest, name=name, term=loser.term, counter=loser.counter)
            copies = _with_copy(copies, copy)
        head = self._next(winner.digest, (self.head, peer.head), copies)
        return successor(self.lineage, head, peer.lineage)

    def _next(self, digest: str, parents: tuple[Generation, ...], copies: tuple[Copy, ...]) -> Generation:
        return Generation(
            term=max(self.term, *(parent.term for parent in parents)),
            counter=1 + max(parent.counter for parent in parents),
            node=self.node,
            digest=digest,
            parents=tuple(parent.chain for parent in parents),
            copies=tuple(copy for copy in copies if copy.digest != digest),
        )

    def _take(self, lineage: Lineage, text: str) -> Take:
        writes = lineage.head.digest != self.head.digest
        return Take(lineage=lineage, text=text, copies=self._copies(lineage.head), writes=writes)

    def _copies(self, head: Generation) -> dict[str, str]:
        return {copy.digest: self._texts[copy.digest] for copy in head.copies if copy.digest in self._texts}

    def _reached(self) -> Offer:
        if self.peer is None:
            raise PiranhaError(
                f"{self.peer_name} is not reached over the pair link", mend="see `piranha status`, line replication"
            )
        return self.peer


def _with_copy(copies: tuple[Copy, ...], copy: Copy) -> tuple[Copy, ...]:
    """One more; of more than `MAX_COPIES` the oldest goes. Its text is still among its director's former texts."""
    if any(known.digest == copy.digest for known in copies):
        return copies
    return (*copies, copy)[-MAX_COPIES:]
