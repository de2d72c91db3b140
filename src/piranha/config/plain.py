"""A configuration as plain dictionaries and lists, for JSON: the directives' own names and words."""

from __future__ import annotations

import dataclasses
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from piranha.config.conversion import HIDDEN
from piranha.config.directives import BY_SCOPE, Scope
from piranha.model.check_block import CheckBlock, StatusRange
from piranha.model.configuration import Configuration
from piranha.model.mark import PortRange, network_text
from piranha.model.service import Protocol

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def as_plain(configuration: Configuration) -> dict[str, Plain]:
    """Every value of the configuration, defaults included, secrets hidden; times are seconds under `…_s`."""
    plain = _plain(configuration)
    assert isinstance(plain, dict)
    return plain


def _plain(value: object) -> Plain:
    match value:
        case Protocol():
            return value.word
        case Enum():
            return str(value.value)
        case IPv4Address() | IPv6Address() | PortRange():
            return str(value)
        case IPv4Network() | IPv6Network():
            return network_text(value)
        case tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
    if isinstance(value, StatusRange):
        return str(value)
    if isinstance(value, CheckBlock):
        return _plain_check(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"no plain form for {type(value).__name__}")


def _plain_check(check: CheckBlock) -> dict[str, Plain]:
    """What this kind of check takes; a secret that is set is only said to be."""
    plain: dict[str, Plain] = {"kind": check.kind.value}
    for directive in BY_SCOPE[Scope.CHECK].values():
        if directive.field is None or (directive.kinds and check.kind not in directive.kinds):
            continue
        value = getattr(check, directive.field)
        plain[directive.field] = HIDDEN if directive.secret and value is not None else _plain(value)
    return plain
