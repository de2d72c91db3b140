"""Two agreements on a link that loses and cuts, their disks, and the operators who edit them; all by one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from piranha.base.errors import PiranhaError
from piranha.replication.agreement import Agreement, AskText, Command, SendOffer, SendRefusal, Take
from piranha.replication.generation import Lineage, Offer

NODES = ("0" * 15 + "1", "0" * 15 + "2")


@dataclass
class Disk:
    """What survives a kill."""

    lineage: Lineage
    text: str
    copies: dict[str, str] = field(default_factory=dict)


@dataclass
class Edits:
    """Which text every operator had before the eyes when making another one; knows nothing of generations."""

    before: dict[str, set[str]] = field(default_factory=dict)

    def made(self, text: str, seen: str) -> None:
        self.before.setdefault(text, set()).add(seen)

    def knowing(self, text: str) -> set[str]:
        """The text and all that was replaced knowingly on the way to it."""
        found: set[str] = set()
        rest = [text]
        while rest:
            here = rest.pop()
            if here not in found:
                found.add(here)
                rest += self.before.get(here, ())
        return found


class World:
    def __init__(self, seed: int, texts: tuple[str, str] = ("first\n", "first\n")) -> None:
        self.random = random.Random(seed)
        self.edits = Edits()
        self.dismissed: set[str] = set()
        self.disks = [Disk(Agreement.first(node, text), text) for node, text in zip(NODES, texts, strict=True)]
        self.sides = [self.boot(side) for side in (0, 1)]
        self.is_up = False
        self.wires: list[list[object]] = [[], []]  # to side 0, to side 1
        self.takes = 0

    def boot(self, side: int) -> Agreement:
        disk = self.disks[side]
        return Agreement(
            node=NODES[side], name=f"lb{side + 1}", lineage=disk.lineage, text=disk.text, copies=dict(disk.copies)
        )

    def execute(self, side: int, commands: list[Command]) -> None:
        here = self.sides[side]
        rest = list(commands)
        while rest:
            match rest.pop(0):
                case SendOffer(again):
                    offer = here.offer
                    self.send(side, Offer(**{**{n: getattr(offer, n) for n in offer.__slots__}, "again": again}))
                case (AskText() | SendRefusal()) as message:
                    self.send(side, message)
                case Take() as take:
                    self.takes += 1
                    self.disks[side] = Disk(take.lineage, take.text, dict(take.copies))
                    rest += here.taken(take)

    def send(self, side: int, message: object) -> None:
        if self.is_up:
            self.wires[1 - side].append(message)

    def deliver(self, side: int) -> bool:
        if not self.wires[side]:
            return False
        here = self.sides[side]
        match self.wires[side].pop(0):
            case Offer() as offer:
                self.execute(side, here.offered(offer))
            case AskText(digest):
                text = self.sides[side].text_of(digest)
                self.send(side, ("missing", digest) if text is None else ("text", text))
            case ("text", str() as text):
                self.execute(side, here.text_arrived(text))
            case ("missing", str() as digest):
                self.execute(side, here.text_missing(digest))
            case SendRefusal(digest, reasons):
                here.refusal_heard(digest, reasons)
        return True

    def cut(self) -> None:
        """The link breaks; what is on its way is lost."""
        self.is_up = False
        self.wires = [[], []]
        for here in self.sides:
            here.lost()

    def heal(self) -> None:
        if not self.is_up:
            self.is_up = True
            for side in (0, 1):
                self.execute(side, [SendOffer()])

    def settle(self) -> None:
        self.heal()
        for _ in range(10_000):
            if not (self.deliver(0) | self.deliver(1)):
                return
        raise AssertionError("the two never come to rest")

    def edit(self, side: int, text: str) -> None:
        self.edits.made(text, self.sides[side].text)
        self.execute(side, self.sides[side].edited(text))

    def kill(self, side: int) -> None:
        self.cut()
        self.sides[side] = self.boot(side)

    def choose(self, side: int) -> None:
        """A person resolves one conflict, seeing both texts."""
        here = self.sides[side]
        if not here.head.copies:
            return
        digest = self.random.choice(here.head.copies).digest
        theirs = self.random.random() < 0.5
        text, former = here.text_of(digest), here.text
        try:
            self.execute(side, here.resolve(digest, theirs=theirs))
        except PiranhaError:
            return
        if theirs and text is not None:
            self.edits.made(text, former)
        elif text is not None:
            self.dismissed.add(text)

    def accounted(self) -> set[str]:
        """Every text that nobody can have lost without knowing."""
        here = self.sides[0]
        kept = {here.text, *self.dismissed}
        kept |= {text for copy in here.head.copies if (text := here.text_of(copy.digest)) is not None}
        return set().union(*(self.edits.knowing(text) for text in kept))
