"""The text format of Prometheus, version 0.0.4. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SPECIAL = re.compile(r'[\\\n"]')
_ESCAPES = {"\\": "\\\\", "\n": "\\n", '"': '\\"'}

Sample = tuple[Mapping[str, str], float]
"""Labels, and the value."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"


class Exposition:
    """Collects families; `text()` is the whole answer. A family without samples is left out."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: Kind, meaning: str, samples: Iterable[Sample]) -> None:
        """One family. `meaning` is one line without backslashes."""
        rows = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
        if rows:
            self._lines += (f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *rows)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    # Bytes of lvs.cf that were no text are surrogates, and no text here either.
    text = value.encode("utf-8", "replace").decode()
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)


def _number(value: float) -> str:
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return "NaN" if math.isnan(value) else repr(value)
