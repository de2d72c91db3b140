"""Whether what a server said is what was expected. Fed with data as it arrives; does no I/O."""

from __future__ import annotations

from enum import Enum

from piranha.model.check import Probe
from piranha.monitor.outcome import CheckImpossibleError
from piranha.monitor.pattern import PatternCostError, Scan, compile_pattern
from piranha.monitor.pattern_syntax import PatternError

MAX_ANSWER_BYTES = 65_536
"""So much of an answer is looked at; a longer one without the expected text is wrong."""


class Match(Enum):
    """MORE: not decided by what has come so far."""

    YES = "yes"
    NO = "no"
    MORE = "more"


class Answer:
    """The answer to one check, compared with the probe's `expect` while it comes in.

    Rules (spec section 5.3): plain text must be the beginning of the answer; a pattern may match anywhere in the first
    `MAX_ANSWER_BYTES`; `*` and an empty text are content with anything, an immediate close too.

    Raises CheckImpossibleError when the probe's pattern is none.
    """

    def __init__(self, probe: Probe) -> None:
        self._anything = probe.expect_any or not probe.expect
        self._expect = probe.expect or b""
        self._scan: Scan | None = None
        if probe.use_regex and not self._anything:
            try:
                self._scan = compile_pattern(self._expect).scan()
            except (PatternError, PatternCostError) as error:
                raise CheckImpossibleError(f"expect is not a usable regular expression: {error}") from error
        self._begin = b""
        self._too_costly = False
        self.received_bytes = 0

    @property
    def wanted_bytes(self) -> int:
        """How much more may be read at most."""
        if self._scan is None and not self._anything:
            return max(len(self._expect) - self.received_bytes, 1)
        return max(MAX_ANSWER_BYTES - self.received_bytes, 1)

    def feed(self, data: bytes) -> Match:
        """More of the answer (not empty)."""
        self.received_bytes += len(data)
        if len(self._begin) < max(len(self._expect), 64):
            self._begin += data[: max(len(self._expect), 64)]
        if self._anything:
            return Match.YES
        if self._scan is not None:
            return self._search(data)
        return self._compare()

    def end(self) -> Match:
        """The answer is complete: YES or NO."""
        if self._anything:
            return Match.YES
        if self._scan is not None:
            return Match.YES if not self._too_costly and self._scan.matches_at_end() else Match.NO
        return Match.YES if self._compare() is Match.YES else Match.NO

    def describe(self) -> str:
        """Why the answer is not the expected one."""
        if self._too_costly:
            return "the pattern is too costly for this answer"
        if self.received_bytes == 0:
            return "closed without an answer"
        shown = repr(self._begin[:40])[1:]
        if self._scan is not None:
            return f"no match in {self.received_bytes} bytes that begin with {shown}"
        if self._expect.startswith(self._begin) and len(self._begin) < len(self._expect):
            return f"too short: {len(self._begin)} of {len(self._expect)} bytes, then closed"
        return f"wrong answer {shown}"

    def _search(self, data: bytes) -> Match:
        assert self._scan is not None
        beyond = self.received_bytes - MAX_ANSWER_BYTES
        try:
            # `$` holds at the end of whatever has come, as it did at the end of the original's single read.
            if self._scan.feed(data[:-beyond] if beyond > 0 else data) or self._scan.matches_at_end():
                return Match.YES
        except PatternCostError:
            self._too_costly = True
            return Match.NO
        return Match.NO if beyond >= 0 else Match.MORE

    def _compare(self) -> Match:
        if self._begin.startswith(self._expect):
            return Match.YES
        return Match.MORE if self._expect.startswith(self._begin) else Match.NO
