"""What a body must hold: a text or pattern, none of another, a digest. Looks at it while it comes, in bounded memory."""

from __future__ import annotations

import hashlib
from typing import Protocol

from piranha.model.check_block import CheckBlock
from piranha.monitor.answer import MAX_ANSWER_BYTES
from piranha.monitor.conversation import WrongAnswer
from piranha.monitor.escapes import translate
from piranha.monitor.outcome import CheckImpossibleError
from piranha.monitor.pattern import PatternCostError, compile_pattern
from piranha.monitor.pattern_syntax import PatternError

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256"}


class _Finder(Protocol):
    found: bool

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class _TextFinder:
    """Looks for a plain text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tail = b""
        self.found = not text

    def feed(self, data: bytes) -> None:
        if not self.found:
            window = self._tail + data
            self.found = self._text in window
            self._tail = window[max(len(window) - len(self._text) + 1, 0) :]

    def end(self) -> None:
        """Nothing more to find."""


class _PatternFinder:
    """Looks for a pattern; `$` is the end of what is looked at."""

    def __init__(self, pattern: bytes) -> None:
        try:
            self._scan = compile_pattern(pattern).scan()
        except (PatternError, PatternCostError) as error:
            raise CheckImpossibleError(f"not a usable regular expression: {error}") from error
        self.found = False

    def feed(self, data: bytes) -> None:
        try:
            self.found = self.found or self._scan.feed(data)
        except PatternCostError as error:
            raise WrongAnswer("the pattern is too costly for this answer") from error

    def end(self) -> None:
        self.found = self.found or self._scan.matches_at_end()


def wants_body(options: CheckBlock) -> bool:
    return options.expect is not None or options.reject is not None or options.digest is not None


class Body:
    """Judges one body. Raises CheckImpossibleError for a pattern that is none."""

    def __init__(self, options: CheckBlock) -> None:
        make = _PatternFinder if options.use_regex else _TextFinder
        self._expect: _Finder | None = None if options.expect is None else make(translate(options.expect))
        self._reject: _Finder | None = None if options.reject is None else make(translate(options.reject))
        self._wanted_digest = options.digest.lower() if options.digest else ""
        algorithm = _ALGORITHMS.get(len(self._wanted_digest))
        self._digest = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
        self._looked_at = 0

    @property
    def satisfied(self) -> bool:
        """Whether no more of the body can change the judgement."""
        if self._digest is not None:
            return False
        if self._reject is not None and self._reject.found:
            return True
        if self._looked_at >= MAX_ANSWER_BYTES:
            return True
        return self._reject is None and (self._expect is None or self._expect.found)

    def feed(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)
        part = data[: MAX_ANSWER_BYTES - self._looked_at]
        self._looked_at += len(part)
        for finder in (self._expect, self._reject):
            if finder is not None and part:
                finder.feed(part)

    def judge(self) -> None:
        """Raises WrongAnswer."""
        for finder in (self._expect, self._reject):
            if finder is not None:
                finder.end()
        where = f"in the first {self._looked_at} bytes of the body"
        if self._expect is not None and not self._expect.found:
            raise WrongAnswer(f"the expected text is not {where}")
        if self._reject is not None and self._reject.found:
            raise WrongAnswer(f"the rejected text is {where}")
        if self._digest is not None and self._digest.hexdigest() != self._wanted_digest:
            raise WrongAnswer(f"the body's digest is {self._digest.hexdigest()}")
