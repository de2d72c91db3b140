"""Typed dictionaries as JSON Schema, and JSON read by them: what the OpenAPI document says is what is checked."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any, NotRequired, Required, TypeVar, Union, get_args, get_origin, is_typeddict

from piranha.base.errors import UsageError

T = TypeVar("T")
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_HALF = re.compile("[\ud800-\udfff]")
Schema = dict[str, Any]


def schema_of(kind: Any, components: dict[str, Schema]) -> Schema:
    """The schema of a type; typed dictionaries become entries of `components`."""
    if is_typeddict(kind):
        if kind.__name__ not in components:
            components[kind.__name__] = {}
            components[kind.__name__] |= _object(kind, components)
        return {"$ref": f"#/components/schemas/{kind.__name__}"}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (list, tuple):
        return {"type": "array", "items": schema_of(arguments[0], components)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], components)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(one, components) for one in arguments]}
    return {}


def read(kind: type[T], document: object) -> T:
    """`document` when it is one of `kind`, a typed dictionary. Raises UsageError naming the first place that is not."""
    _check(kind, document, "")
    return typing.cast(T, document)


def _object(kind: Any, components: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    schema: Schema = {
        "type": "object",
        "properties": {name: schema_of(_bare(hint), components) for name, hint in hints.items()},
        "required": _required(hints),
        "additionalProperties": False,
    }
    text = (kind.__doc__ or "").strip()
    if text and not text.startswith("dict("):
        schema["description"] = " ".join(text.split())
    return schema


def _required(hints: Mapping[str, Any]) -> list[str]:
    """Python's own `__required_keys__` does not see NotRequired in annotations that are texts."""
    return sorted(name for name, hint in hints.items() if get_origin(hint) is not NotRequired)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (NotRequired, Required) else hint


def _check(kind: Any, value: object, place: str) -> None:
    if is_typeddict(kind):
        _check_object(kind, value, place)
        return
    if kind in _PLAIN:
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not fits and not (kind is float and isinstance(value, int) and not isinstance(value, bool)):
            raise UsageError(f"{place or '/'} is not of type {_PLAIN[kind]}")
        if isinstance(value, str) and _HALF.search(value):
            raise UsageError(f"{place or '/'} is no text: it has half of a surrogate pair")
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Literal:
        if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in arguments):
            raise UsageError(f"{place or '/'} is none of {', '.join(map(str, arguments))}")
    elif origin is list:
        if not isinstance(value, list):
            raise UsageError(f"{place or '/'} is no list")
        for at, item in enumerate(value):
            _check(arguments[0], item, f"{place}/{at}")
    elif origin is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{place or '/'} is no object")
        for name, item in value.items():
            _check(arguments[1], item, f"{place}/{name[:80]}")
    elif origin in (Union, types.UnionType):
        _check_any(arguments, value, place)


def _check_any(kinds: tuple[Any, ...], value: object, place: str) -> None:
    for kind in kinds:
        try:
            _check(kind, value, place)
        except UsageError:
            continue
        return
    raise UsageError(f"{place or '/'} is of none of the types that it may have")


def _check_object(kind: Any, value: object, place: str) -> None:
    if not isinstance(value, dict):
        raise UsageError(f"{place or 'the request'} is no JSON object")
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in _required(hints):
        if name not in value:
            raise UsageError(f"{place}/{name} is missing")
    for name, item in value.items():
        if name not in hints:
            raise UsageError(f"{place}/{name[:80]} is not known", mend=f"known are {', '.join(hints)}")
        _check(_bare(hints[name]), item, f"{place}/{name}")
