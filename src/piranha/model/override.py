"""What an operator has said of a server, above file and checks: kept until it is taken back or its time is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from piranha.model.address import IPAddress

MOST_WEIGHT = 2**31 - 1


class Act(StrEnum):
    """ENABLE, DISABLE and DRAIN are of one kind, UP and DOWN of another, WEIGHT of a third; of a kind the last counts.

    DRAIN gives no new connections and takes the server out when the old ones are gone or the time is over; DISABLE
    takes it out at once. UP and DOWN stand above the checks.
    """

    ENABLE = "enable"
    DISABLE = "disable"
    DRAIN = "drain"
    WEIGHT = "weight"
    UP = "up"
    DOWN = "down"

    @property
    def kind(self) -> str:
        if self is Act.WEIGHT:
            return "weight"
        return "force" if self in (Act.UP, Act.DOWN) else "admission"


KINDS = ("admission", "weight", "force")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One word of an operator. `service` is `str()` of a service's key, or empty for every service.

    `at` and `until` are seconds since 1970; at `until` it is over as if it had never been, or, of a DRAIN, the server is
    taken out with the connections it has left. `drained` says that a DRAIN has come to its end.
    """

    act: Act
    server: IPAddress
    service: str = ""
    weight: int = 0
    who: str = ""
    why: str = ""
    at: float = 0.0
    until: float | None = None
    drained: bool = False

    @property
    def place(self) -> tuple[str, IPAddress, str]:
        """What another override must share to take this one's place."""
        return self.service, self.server, self.act.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What holds for one server in one service, each None where nobody has said anything."""

    admission: Override | None = None
    weight: Override | None = None
    force: Override | None = None

    def __bool__(self) -> bool:
        return any((self.admission, self.weight, self.force))


NOTHING_SAID = Word()


@dataclass(frozen=True, slots=True)
class Overrides:
    """All of them. The same object means the same words."""

    entries: tuple[Override, ...] = ()
    _index: dict[tuple[str, IPAddress, str], Override] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {entry.place: entry for entry in self.entries})

    def __bool__(self) -> bool:
        return bool(self.entries)

    def of(self, service: str, server: IPAddress) -> Word:
        """What holds for a server in a service: a word about that service stands above one about all."""
        if not self._index:
            return NOTHING_SAID
        found = (self._index.get((service, server, kind)) or self._index.get(("", server, kind)) for kind in KINDS)
        admission, weight, force = found
        if admission is None and weight is None and force is None:
            return NOTHING_SAID
        return Word(admission=admission, weight=weight, force=force)

    def with_entry(self, entry: Override) -> Overrides:
        """`entry` in the place of an older one. Said of every service, it ends what was said of single ones."""
        kept = [
            one
            for one in self.entries
            if one.place != entry.place
            and not (entry.service == "" and one.server == entry.server and one.act.kind == entry.act.kind)
        ]
        # To be enabled everywhere is how a server is when nobody has said anything.
        if entry.act is Act.ENABLE and (entry.service == "" or self._alone(entry)):
            return Overrides(tuple(kept))
        return Overrides((*kept, entry))

    def without(self, server: IPAddress, service: str, kinds: Iterable[str]) -> Overrides:
        """Take words of some kinds back; of every service with an empty `service`."""
        gone = frozenset(kinds)
        return Overrides(
            tuple(
                one
                for one in self.entries
                if one.server != server or one.act.kind not in gone or service not in ("", one.service)
            )
        )

    def over(self, wall: float) -> tuple[Override, ...]:
        """Those whose time is over, less drains, which end otherwise."""
        return tuple(
            one for one in self.entries if one.act is not Act.DRAIN and one.until is not None and one.until <= wall
        )

    def _alone(self, entry: Override) -> bool:
        return ("", entry.server, entry.act.kind) not in self._index


NO_OVERRIDES = Overrides()
