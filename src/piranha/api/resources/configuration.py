"""The configuration: text, checks, edits, versions."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from piranha.api.operation import Context, Operation, Parameter, caller_of
from piranha.api.precondition import etag, required_digest
from piranha.api.question import body_of, whole_number
from piranha.api.render import Document
from piranha.api.rights import Right
from piranha.api.schema import read
from piranha.base.errors import UsageError
from piranha.config.changes import MAX_CHANGES, Act, Change
from piranha.config.description import DirectiveView, directive_views
from piranha.director.revision import (
    ChangedDocument,
    CheckDocument,
    DiffDocument,
    RehearsedDocument,
    StoredDocument,
    VersionDocument,
    VersionsDocument,
)


class TextBody(TypedDict):
    text: str


class ReplaceBody(TypedDict):
    """`confirm_s`: taken back after so many seconds (5 to 3600), unless it is confirmed."""

    text: str
    comment: NotRequired[str]
    confirm_s: NotRequired[float | None]


Given = str | int | float | bool | None | list[str | int | float | bool]


class ChangeBody(TypedDict):
    """One change of one block. `path` is empty for the file itself, else as ["virtual", "web", "server", "web1"]; a
    number instead of a name is the block's place. `set` gives directives their values, null removes one."""

    path: list[str | int]
    act: NotRequired[Literal["edit", "add", "delete", "rename"]]
    name: NotRequired[str]
    set: NotRequired[dict[str, Given]]
    remove: NotRequired[list[str]]


class EditBody(TypedDict):
    """`dry_run`: say what it would do, and do nothing."""

    changes: list[ChangeBody]
    comment: NotRequired[str]
    confirm_s: NotRequired[float | None]
    dry_run: NotRequired[bool]


class RollbackBody(TypedDict):
    version: int
    comment: NotRequired[str]


class DirectivesDocument(TypedDict):
    directives: list[DirectiveView]


async def show(context: Context, request: Request) -> Response:
    document = await context.editing.stored()
    return Document(document, etag=etag(document["digest"]))


async def replace(context: Context, request: Request) -> Response:
    body = await _body(request, ReplaceBody)
    document = await context.editing.replace(
        body["text"],
        expected_digest=required_digest(request),
        who=caller_of(request).user,
        comment=body.get("comment", ""),
        confirm_s=body.get("confirm_s"),
    )
    return Document(document, etag=etag(document["digest"]))


async def check(context: Context, request: Request) -> Response:
    body = await _body(request, TextBody)
    return Document(await context.editing.check(body["text"]))


async def edit(context: Context, request: Request) -> Response:
    body = await _body(request, EditBody)
    if not 1 <= len(body["changes"]) <= MAX_CHANGES:
        raise UsageError(f"/changes has from 1 to {MAX_CHANGES} entries", mend="send them in parts")
    changes = [_change(one) for one in body["changes"]]
    digest = required_digest(request)
    if body.get("dry_run"):
        return Document(await context.editing.rehearse(changes, digest))
    document = await context.editing.edit(
        changes,
        expected_digest=digest,
        who=caller_of(request).user,
        comment=body.get("comment", ""),
        confirm_s=body.get("confirm_s"),
    )
    return Document(document, etag=etag(document["digest"]))


async def confirm(context: Context, request: Request) -> Response:
    document = await context.editing.confirm(who=caller_of(request).user)
    return Document(document, etag=etag(document["digest"]))


async def roll_back(context: Context, request: Request) -> Response:
    body = await _body(request, RollbackBody)
    await _existing(context, body["version"])
    document = await context.editing.roll_back(
        body["version"], who=caller_of(request).user, comment=body.get("comment", "")
    )
    return Document(document, etag=etag(document["digest"]))


async def versions(context: Context, request: Request) -> Response:
    return Document(await context.editing.versions())


async def version(context: Context, request: Request) -> Response:
    number = request.path_params["number"]
    await _existing(context, number)
    document = await context.editing.version(number)
    return Document(document, etag=etag(document["digest"]))


async def diff(context: Context, request: Request) -> Response:
    known = await context.editing.versions()
    numbers = [one["number"] for one in known["versions"]]
    before = whole_number(request, "from", numbers[1] if len(numbers) > 1 else None)
    after = whole_number(request, "to", numbers[0] if numbers else None)
    for number in (before, after):
        await _existing(context, number)
    return Document(await context.editing.difference(before, after))


async def directives(context: Context, request: Request) -> Response:
    return Document(DirectivesDocument(directives=directive_views()))


async def _existing(context: Context, number: int) -> None:
    known = (await context.editing.versions())["versions"]
    if all(one["number"] != number for one in known):
        kept = f"versions {known[-1]['number']} to {known[0]['number']} are kept" if known else "none is kept yet"
        raise HTTPException(404, f"there is no version {number}: {kept}")


async def _body(request: Request, kind: Any) -> Any:
    return read(kind, await body_of(request))


def _change(body: ChangeBody) -> Change:
    return Change(
        path=tuple(body["path"]),
        act=Act(body.get("act", "edit")),
        name=body.get("name", ""),
        values=body.get("set", {}),
        remove=tuple(body.get("remove", ())),
    )


_NUMBER = {"type": "integer", "minimum": 1, "maximum": 999_999_999}

OPERATIONS = (
    Operation(
        method="GET",
        path="/configuration",
        handler=show,
        right=Right.VIEWER,
        summary="The file on disk: its text, its problems, its values. The ETag is for If-Match.",
        answer=StoredDocument,
        tagged=True,
    ),
    Operation(
        method="PUT",
        path="/configuration",
        handler=replace,
        right=Right.ADMIN,
        summary="Store a text and bring it into force.",
        answer=ChangedDocument,
        body=ReplaceBody,
        guarded=True,
        tagged=True,
        problems=(409, 422),
    ),
    Operation(
        method="POST",
        path="/configuration/check",
        handler=check,
        right=Right.VIEWER,
        summary="Judge a text, and say what it would change in the table. Nothing is stored.",
        answer=CheckDocument,
        body=TextBody,
    ),
    Operation(
        method="POST",
        path="/configuration/edit",
        handler=edit,
        right=Right.ADMIN,
        summary="Change values and blocks; comments and order of the file stay.",
        answer=ChangedDocument | RehearsedDocument,
        body=EditBody,
        guarded=True,
        problems=(409, 422),
    ),
    Operation(
        method="POST",
        path="/configuration/confirm",
        handler=confirm,
        right=Right.ADMIN,
        summary="Let the change stay that waits to be confirmed.",
        answer=StoredDocument,
        tagged=True,
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/configuration/rollback",
        handler=roll_back,
        right=Right.ADMIN,
        summary="Bring a version back, as a new version.",
        answer=ChangedDocument,
        body=RollbackBody,
        tagged=True,
        problems=(404, 409, 422),
    ),
    Operation(
        method="GET",
        path="/configuration/versions",
        handler=versions,
        right=Right.VIEWER,
        summary="The last versions, the latest first.",
        answer=VersionsDocument,
    ),
    Operation(
        method="GET",
        path="/configuration/versions/{number:int}",
        handler=version,
        right=Right.VIEWER,
        summary="One version.",
        answer=VersionDocument,
        tagged=True,
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/configuration/diff",
        handler=diff,
        right=Right.VIEWER,
        summary="Two versions compared; left out, the last two.",
        answer=DiffDocument,
        query=(
            Parameter(name="from", meaning="number of the version before", schema=_NUMBER),
            Parameter(name="to", meaning="number of the version after", schema=_NUMBER),
        ),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/configuration/directives",
        handler=directives,
        right=Right.VIEWER,
        summary="Every directive of lvs.cf: scope, type, default, meaning, example.",
        answer=DirectivesDocument,
    ),
)
