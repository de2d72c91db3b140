"""Regular expressions on answers: POSIX extended ones, matched in linear time while data arrives.

The original used POSIX extended expressions. Python's `re` has another language (no `[[:digit:]]`) and backtracks, so
one unlucky answer could stop the whole engine; here an expression becomes a lazily built automaton that looks at each
byte once.
"""

from __future__ import annotations

from functools import lru_cache

from piranha.base.errors import PiranhaError
from piranha.monitor.pattern_syntax import Begin, Choice, End, Node, OneOf, Repeat, Sequence, parse

MAX_NFA_STATES = 2_000
MAX_CACHED_STATES = 1_000
MAX_WORK = 300_000
"""Automaton steps that one answer may cost beyond what is cached: some tens of milliseconds."""

_MATCH = -1


class PatternCostError(PiranhaError):
    """The pattern needs too many states for this answer."""


class _State:
    """A set of positions in the expression, with the states that each byte leads to."""

    __slots__ = ("accepts", "accepts_at_end", "following", "positions")

    def __init__(self, positions: frozenset[int], accepts: bool, accepts_at_end: bool) -> None:
        self.positions = positions
        self.accepts = accepts
        self.accepts_at_end = accepts_at_end
        self.following: list[_State | None] = [None] * 256


class Pattern:
    """A compiled expression, searched for anywhere in an answer.

    `.` is any byte, a line feed too; `^` and `$` are the ends of the answer.

    Raises `PatternError` when the text is no expression, `PatternCostError` when it is too large.
    """

    def __init__(self, source: bytes) -> None:
        self.source = source
        # One instruction a position: (bytes, next) | (-1, next, other next) | (-2, next) begin | (-3, next) end.
        self._program: list[tuple[int, ...]] = []
        self._emitted = 0
        self._entry = self._emit(parse(source), _MATCH)
        self._states: dict[frozenset[int], _State] = {}
        self._first = self._state(frozenset((self._entry,)), at_begin=True)[0]

    def scan(self) -> Scan:
        return Scan(self)

    @property
    def first(self) -> _State:
        return self._first

    def step(self, state: _State, byte: int) -> tuple[_State, int]:
        """The state after `byte`, and what it cost to find it."""
        moved = {self._entry}
        bit = 1 << byte
        for position in state.positions:
            if position != _MATCH:
                instruction = self._program[position]
                if instruction[0] >= 0 and instruction[0] & bit:
                    moved.add(instruction[1])
        following, work = self._state(frozenset(moved), at_begin=False)
        state.following[byte] = following
        return following, work + len(state.positions)

    def _state(self, entries: frozenset[int], *, at_begin: bool) -> tuple[_State, int]:
        positions = self._closure(entries, at_begin=at_begin, at_end=False)
        if not at_begin and (known := self._states.get(positions)) is not None:
            return known, len(positions)
        at_end = self._closure(positions, at_begin=at_begin, at_end=True)
        state = _State(positions, _MATCH in positions, _MATCH in at_end)
        if not at_begin:
            if len(self._states) >= MAX_CACHED_STATES:
                self._forget()
            self._states[positions] = state
        return state, len(positions) + len(at_end) + 256

    def _forget(self) -> None:
        for state in self._states.values():
            state.following = [None] * 256
        self._states.clear()
        self._first.following = [None] * 256

    def _closure(self, entries: frozenset[int], *, at_begin: bool, at_end: bool) -> frozenset[int]:
        seen: set[int] = set()
        waiting = list(entries)
        while waiting:
            position = waiting.pop()
            if position in seen:
                continue
            seen.add(position)
            if position == _MATCH:
                continue
            kind, *targets = self._program[position]
            if kind == -1 or (kind == -2 and at_begin) or (kind == -3 and at_end):
                waiting += targets
        return frozenset(seen)

    def _add(self, *instruction: int) -> int:
        self._program.append(instruction)
        return len(self._program) - 1

    def _emit(self, node: Node, following: int) -> int:
        """Translate `node`, to be followed by position `following`; returns where it begins."""
        # Counted here and not where states are added: repetitions of nothing add none and multiply all the same.
        self._emitted += 1
        if self._emitted > MAX_NFA_STATES:
            raise PatternCostError(f"the pattern has more than {MAX_NFA_STATES} states", mend="use smaller repetitions")
        match node:
            case OneOf(mask=mask):
                return self._add(mask, following)
            case Begin():
                return self._add(-2, following)
            case End():
                return self._add(-3, following)
            case Sequence(parts=parts):
                for part in reversed(parts):
                    following = self._emit(part, following)
                return following
            case Choice(parts=parts):
                entry = self._emit(parts[-1], following)
                for part in reversed(parts[:-1]):
                    entry = self._add(-1, self._emit(part, following), entry)
                return entry
            case Repeat():
                return self._emit_repeat(node, following)

    def _emit_repeat(self, node: Repeat, following: int) -> int:
        if node.most is None:
            loop = self._add(-1, following)
            self._program[loop] = (-1, self._emit(node.part, loop), following)
            following = loop
        else:
            after = following
            for _ in range(node.most - node.least):
                following = self._add(-1, self._emit(node.part, following), after)
        for _ in range(node.least):
            following = self._emit(node.part, following)
        return following


class Scan:
    """One answer being searched. `matched` stays true once the pattern was found."""

    __slots__ = ("_pattern", "_state", "_work", "matched")

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._state = pattern.first
        self._work = 0
        self.matched = self._state.accepts

    def feed(self, data: bytes) -> bool:
        """Look at more of the answer; True when the pattern has been found.

        Raises PatternCostError when the answer needs more automaton states than one answer may cost.
        """
        if self.matched:
            return True
        state = self._state
        for byte in data:
            following = state.following[byte]
            if following is None:
                following, work = self._pattern.step(state, byte)
                self._work += work
                if self._work > MAX_WORK:
                    raise PatternCostError("the pattern is too costly for this answer", mend="simplify `expect`")
            state = following
            if state.accepts:
                self.matched = True
                break
        self._state = state
        return self.matched

    def matches_at_end(self) -> bool:
        """Whether the pattern is found if nothing more comes: `$` holds here."""
        return self.matched or self._state.accepts_at_end


@lru_cache(maxsize=1024)
def compile_pattern(source: bytes) -> Pattern:
    """The compiled pattern; compiled once however often it is asked for. Raises as `Pattern` does."""
    return Pattern(source)
