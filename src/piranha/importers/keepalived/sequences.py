"""The generators of keepalived.conf: `~SEQ(…)`, `~SEQx(…)` and `~LST(…)` at the beginning of a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from piranha.importers.ledger import Place
from piranha.importers.source import SourceError

MAX_STEPS = 70_000
_HEAD = re.compile(r"~(SEQx?|LST)\s*\(", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_GROUP = re.compile(r"\{([^{}]*)\}|([^,{}]+)")


@dataclass(frozen=True, slots=True)
class Sequence:
    """Variables, the values that they have one after the other, and the line that is repeated."""

    names: tuple[str, ...]
    values: Iterable[tuple[str, ...]]
    rest: str


def sequence(place: Place, text: str) -> Sequence:
    """The generator that a line begins with. Raises SourceError."""
    head = _HEAD.match(text)
    end = text.find(")")
    if head is None or end < 0:
        raise SourceError(place, "this is no sequence", mend="write ~SEQ(NAME, FIRST, STEP, LAST) or ~LST(NAME, A, B)")
    inside, rest = text[head.end() : end], text[end + 1 :].strip()
    if head[1].upper() == "LST":
        return _list(place, inside, rest)
    name, *numbers = (part.strip() for part in inside.split(","))
    if not _NAME.match(name) or not 1 <= len(numbers) <= 3:
        raise SourceError(place, "a sequence has a name and one to three numbers", mend="write ~SEQ(NUM, 1, 10)")
    try:
        values = [int(number, 0) for number in numbers]
    except ValueError:
        raise SourceError(place, "a sequence counts in whole numbers", mend="write ~SEQ(NUM, 1, 10)") from None
    last = values[-1]
    first = values[0] if len(values) > 1 else (1 if last > 0 else -1)
    step = values[1] if len(values) == 3 else (1 if last >= first else -1)
    if step == 0 or (last - first) // step > MAX_STEPS:
        raise SourceError(place, f"the sequence has no end, or more than {MAX_STEPS} steps", mend="shorten it")
    steps = range(first, last + (1 if step > 0 else -1), step)
    show = "{:x}" if head[1][-1] in "xX" else "{}"
    return Sequence((name,), [(show.format(number),) for number in steps], rest)


def _list(place: Place, inside: str, rest: str) -> Sequence:
    groups = [tuple(part.strip() for part in (a or b).split(",")) for a, b in _GROUP.findall(inside)]
    groups = [group for group in groups if group != ("",)]
    if len(groups) < 2 or not all(_NAME.match(name) for name in groups[0]):
        raise SourceError(place, "a list has a name and values", mend="write ~LST(NAME, A, B)")
    if any(len(group) != len(groups[0]) for group in groups[1:]):
        raise SourceError(place, f"each value of this list has {len(groups[0])} parts", mend="write {A, B} for each")
    return Sequence(groups[0], groups[1:], rest)
