"""What we changed on this machine and what was there before: the memory that lets `undo` restore exactly that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.model.address import parse_address
from piranha.realserver import requirement as requirements
from piranha.realserver.request import ArpMethod, SetupRequest
from piranha.realserver.requirement import Requirement, State

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A requirement that we met, and the state that was there before the first time."""

    requirement: Requirement
    before: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`request` is what stands now; None when nothing does."""

    request: SetupRequest | None = None
    made: tuple[Made, ...] = ()


EMPTY = Record()


def encode(record: Record) -> str:
    request = record.request
    return requirements.canonical(
        {
            "format": FORMAT,
            "request": None
            if request is None
            else {
                "vips": [str(vip) for vip in request.vips],
                "device": request.device,
                "method": request.method.value,
                "tunnel": request.tunnel,
                "persist": request.persist,
            },
            "made": [{"requirement": requirements.to_json(m.requirement), "before": m.before} for m in record.made],
        }
    )


def decode(text: str, where: str) -> Record:
    """Raises PiranhaError for a text that `encode` did not write."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        return Record(
            request=None if data["request"] is None else _request(data["request"]),
            made=tuple(
                Made(requirement=requirements.from_json(m["requirement"]), before=m["before"]) for m in data["made"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PiranhaError(
            f"the record of earlier changes {where} cannot be read ({error})",
            mend="restore the file, or undo the changes by hand and remove it",
        ) from None


def _request(data: dict[str, Any]) -> SetupRequest:
    return SetupRequest(
        vips=tuple(parse_address(vip) for vip in data["vips"]),
        device=data["device"],
        method=ArpMethod(data["method"]),
        tunnel=data["tunnel"],
        persist=data["persist"],
    )
