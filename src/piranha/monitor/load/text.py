"""Loads in texts: the output of `uptime`, an agent's line, a JSON document. Pure."""

from __future__ import annotations

import json
import math
import re

from piranha.monitor.load.reading import LoadUnknownError, Reading, average_of

_NUMBER = re.compile(r"[0-9]{1,9}(?:[.,][0-9]{1,9})?(?![0-9])")
_PERCENT = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,6})?)%\Z")
_DOWN = frozenset(("down", "fail", "failed", "stopped"))
_QUIESCED = frozenset(("drain", "maint"))
MOST_DEPTH = 32


def uptime_average(text: str) -> float:
    """The one-minute average that `uptime` or `ruptime` prints: the first number after "load". Raises LoadUnknownError.

    "load average: 0.08, 0.03, 0.01", "load averages: 0,08 0,03 0,01" and "load 0.01, …", which the original did not read.
    """
    _, found, rest = text.lower().partition("load")
    match = _NUMBER.search(rest.partition("\n")[0]) if found else None
    if match is None:
        raise LoadUnknownError(f"bad load average returned: {text.strip()[:80]!r}")
    return average_of(float(match[0].replace(",", ".")))


def agent_reading(text: str) -> Reading:
    """A line of HAProxy's agent protocol: words and a percentage in any order, a remark after `#`. Raises LoadUnknownError.

    `up` and `ready` take `down` and `drain` back; `fail` and `stopped` are `down`, `maint` is `drain`; a word of
    `maxconn:N` is passed over. The last of a kind counts.
    """
    percent: float | None = None
    is_down: bool | None = None
    is_quiesced: bool | None = None
    words = re.split(r"[\s,]+", text.partition("\n")[0].partition("#")[0].strip().lower())
    for word in words:
        match = _PERCENT.match(word)
        if match is not None:
            percent = float(match[1])
        elif word in _DOWN:
            is_down = True
        elif word == "up":
            is_down = False
        elif word in _QUIESCED:
            is_quiesced = True
        elif word == "ready":
            is_quiesced = False
        elif not word.startswith("maxconn:"):
            raise LoadUnknownError(f"the agent said {text.strip()[:80]!r}")
    return Reading(percent=percent, is_down=is_down, is_quiesced=is_quiesced)


def json_reading(text: str, key: str) -> Reading:
    """The number at `key` (names and places in lists, with points between) of a JSON document. Raises LoadUnknownError.

    A number is a load average, a text such as "75%" a share of the weight.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise LoadUnknownError("the answer is no JSON") from None
    for name in key.split(".")[:MOST_DEPTH] if key else ():
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and len(name) < 7 and int(name) < len(value):
            value = value[int(name)]
        else:
            raise LoadUnknownError(f"the answer has no {key}")
    if isinstance(value, str):
        percent = _PERCENT.match(value.strip())
        if percent is not None:
            return Reading(percent=float(percent[1]))
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value):
        return Reading(average=average_of(float(value)))
    raise LoadUnknownError(f"{key or 'the answer'} is neither a number nor a percentage")
