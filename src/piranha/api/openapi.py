"""The OpenAPI 3.1 document of the route table. Pure."""

from __future__ import annotations

import types
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Union, get_args, get_origin

import piranha
from piranha.api.operation import Operation
from piranha.api.rights import Right
from piranha.api.schema import Schema, schema_of

PROBLEM_TYPE = "application/problem+json"
_ALWAYS = (400, 403, 500)
_GUARDED = (412, 428)
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457. `mend` says what to do about it, `problems` are findings in a text by line and column, "
    "`errors` faults of changes by JSON pointer.",
    "properties": {
        "type": {"type": "string", "pattern": "^urn:piranha:problem:"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "mend": {"type": "string"},
        "problems": {"type": "array", "items": {"$ref": "#/components/schemas/ProblemView"}},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "detail", "mend")},
                "required": ["detail", "mend", "pointer"],
            },
        },
    },
    "required": ["detail", "status", "title", "type"],
}


def openapi(operations: Iterable[Operation], prefix: str) -> Schema:
    """The whole document."""
    components: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    for operation in operations:
        entry = paths.setdefault(operation.open_path, {})
        entry[operation.method.lower()] = _operation(operation, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Piranha",
            "version": piranha.__version__,
            "summary": "The director of a layer-4 load balancer: what it does, and every change of its configuration.",
            "description": "On the unix socket /run/piranha/api.sock; by piranha-gui on port 3636 with login or token.",
            "license": {"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
        },
        "servers": [{"url": prefix}],
        "paths": paths,
        "components": {"schemas": {**dict(sorted(components.items())), "Problem": _PROBLEM}},
    }


def operation_id(operation: Operation) -> str:
    words = operation.open_path.strip("/").replace("{", "").replace("}", "").replace(".", "_").split("/")
    return "_".join((operation.method.lower(), *words))


def statuses_of(operation: Operation) -> list[int]:
    """Every status that may come as a problem."""
    return sorted({*_ALWAYS, *operation.problems, *(_GUARDED if operation.guarded else ())})


def _operation(operation: Operation, components: dict[str, Schema]) -> Schema:
    answer = {"description": "Done.", "content": {operation.media_type: {"schema": _answer(operation, components)}}}
    if operation.tagged:
        answer["headers"] = {"ETag": {"description": "For If-Match.", "schema": {"type": "string"}}}
    problem = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    document: Schema = {
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "x-right": operation.right.name.lower(),
        "parameters": _parameters(operation),
        "responses": {
            "200": answer,
            **{
                str(status): {"description": HTTPStatus(status).phrase, "content": problem}
                for status in statuses_of(operation)
            },
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schema_of(operation.body, components)}}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _answer(operation: Operation, components: dict[str, Schema]) -> Schema:
    if operation.answer is str:
        return {"type": "string"}
    if get_origin(operation.answer) in (Union, types.UnionType):
        return {"anyOf": [schema_of(kind, components) for kind in get_args(operation.answer)]}
    return schema_of(operation.answer, components)


def _parameters(operation: Operation) -> list[Schema]:
    found: list[Schema] = [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.meaning,
            "schema": parameter.schema,
        }
        for parameter in operation.query
    ]
    for part in operation.path.split("/"):
        if part.startswith("{"):
            name, _, kind = part.strip("{}").partition(":")
            schema: dict[str, Any] = {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string"}
            found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if operation.guarded:
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": "The ETag of what is changed, or * for whatever is there.",
                "schema": {"type": "string"},
            }
        )
    return found


RIGHTS = {
    Right.VIEWER: "sees everything",
    Right.OPERATOR: "also changes over, takes directors and servers out of service and back",
    Right.ADMIN: "also changes the configuration, and does what ipvsadm does",
}
