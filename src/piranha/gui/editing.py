"""An edit of the configuration from a form: read what stands, take what was typed, ask lvsd, show what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.context import Context
from piranha.gui.forms import Field, changes_of, faults_of, fields_of, filled, seen_of, with_faults
from piranha.gui.lvsd import ProblemError
from piranha.gui.page import Who

CHANGED_MEANWHILE = 412
_REFUSED = (400, 409, CHANGED_MEANWHILE, 422)
MOST_FIELDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The configuration on disk, and the directives of its language."""

    document: Mapping[str, Any]
    directives: Sequence[Mapping[str, Any]]

    @property
    def digest(self) -> str:
        return str(self.document["digest"])

    @property
    def values(self) -> Mapping[str, Any]:
        values: Mapping[str, Any] = self.document["values"]
        return values

    def scope(self, name: str) -> list[Mapping[str, Any]]:
        return [directive for directive in self.directives if directive["scope"] == name]

    def block(self, keyword: str, name: str) -> tuple[list[str | int], Mapping[str, Any]]:
        """The path and the values of a block. Raises PiranhaError where there is none, or more than one."""
        return _named(self.values[f"{keyword}s"], keyword, name, [])

    def server(self, keyword: str, virtual: str, name: str) -> tuple[list[str | int], Mapping[str, Any]]:
        path, values = self.block(keyword, virtual)
        return _named(values["servers"], "server", name, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an edit. `done` is lvsd's answer; otherwise `fields` have their faults and `faults` the rest."""

    fields: Sequence[Field]
    digest: str
    done: Mapping[str, Any] | None = None
    rehearsal: Mapping[str, Any] | None = None
    faults: Sequence[str] = ()
    conflict: bool = False
    status: int = 200
    changes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


async def read_stored(context: Context, who: Who) -> Stored:
    document = await context.lvsd.get("configuration", who)
    directives = (await context.lvsd.get("configuration/directives", who))["directives"]
    return Stored(document=document, directives=directives)


async def form_of(request: Request) -> FormData:
    form = await request.form(max_files=0, max_fields=MOST_FIELDS)
    # A question of what an edit would do is no act for the audit log.
    request.state.only_asked = form.get("act") == "rehearse"
    return form


async def edit_block(
    context: Context,
    who: Who,
    stored: Stored,
    form: FormData,
    *,
    path: Sequence[str | int],
    scope: str,
    values: Mapping[str, Any],
    names: Sequence[str] | None,
    new_name: str | None = None,
    rehearse: bool = False,
) -> Outcome:
    """Bring the form's values into the block at `path`; with `rehearse` only say what that would do.

    What others changed since the form was made is found by what the form showed: fields that both changed are a
    conflict, which the person sees and decides.
    """
    fields = filled(fields_of(stored.scope(scope), values, names), form, seen_of(form))
    conflicts = [one for one in fields if one.theirs is not None and one.is_changed]
    if conflicts and form.get("digest") != stored.digest:
        text = "somebody else changed the same values meanwhile: yours stand in the form, theirs beside it"
        return Outcome(fields=fields, digest=stored.digest, faults=[text], conflict=True, status=CHANGED_MEANWHILE)
    change = {"path": list(path), **changes_of(fields)}
    changes: list[dict[str, Any]] = [change] if change["set"] or change["remove"] else []
    if new_name is not None and new_name != path[-1]:
        changes.append({"path": list(path), "act": "rename", "name": new_name})
    if not changes:
        return Outcome(fields=fields, digest=stored.digest, faults=["nothing was changed"], status=422)
    return await send_changes(context, who, stored.digest, changes, fields=fields, form=form, rehearse=rehearse)


async def send_changes(
    context: Context,
    who: Who,
    digest: str,
    changes: Sequence[Mapping[str, Any]],
    *,
    fields: Sequence[Field] = (),
    form: Mapping[str, Any] | None = None,
    rehearse: bool = False,
) -> Outcome:
    """Ask lvsd for these changes. A refusal is an outcome; only a lost lvsd raises."""
    body: dict[str, Any] = {"changes": list(changes), "comment": comment_of(form or {})}
    confirm_s = seconds_of((form or {}).get("confirm_s"))
    if rehearse:
        body["dry_run"] = True
    elif confirm_s is not None:
        body["confirm_s"] = confirm_s
    try:
        document = await context.lvsd.send("POST", "configuration/edit", who, body, if_match=f'"{digest}"')
    except ProblemError as error:
        if error.status not in _REFUSED:
            raise
        by_field, others = faults_of(error.document)
        known = {one.name for one in fields}
        others += [f"{name}: {text}" for name, text in by_field.items() if name not in known]
        return Outcome(
            fields=with_faults(fields, by_field),
            digest=digest,
            faults=others,
            conflict=error.status == CHANGED_MEANWHILE,
            status=error.status,
            changes=changes,
        )
    if rehearse:
        return Outcome(fields=fields, digest=digest, rehearsal=document, changes=changes)
    return Outcome(fields=fields, digest=document["digest"], done=document, changes=changes)


def comment_of(form: Mapping[str, Any]) -> str:
    return " ".join(str(form.get("comment", "")).split())[:500]


def seconds_of(value: object) -> float | None:
    """Seconds that a person typed; None where nothing was. Raises UsageError."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text[:20]} is no number of seconds") from None


def flash_of(done: Mapping[str, Any]) -> str:
    """What a change did, in a sentence."""
    count = len(done["changes"])
    text = f"version {done['version']} is in force, {count} change{'s' if count != 1 else ''} of the table"
    if done.get("awaits"):
        text += f"; confirm it within {done['awaits']['left_s']:.0f} s or it is taken back"
    if done["problems"]:
        text += f"; {len(done['problems'])} problems: {done['problems'][0]}"
    return text


def _named(
    blocks: Sequence[Mapping[str, Any]], keyword: str, name: str, before: list[str | int]
) -> tuple[list[str | int], Mapping[str, Any]]:
    """By its name, or `#N` for the N-th where names repeat."""
    if name.startswith("#") and name[1:].isascii() and name[1:].isdigit() and int(name[1:]) < len(blocks):
        place = int(name[1:])
        return [*before, keyword, place], blocks[place]
    found = [block for block in blocks if str(block.get("name", block.get("mark"))) == name]
    if len(found) == 1:
        return [*before, keyword, name], found[0]
    if found:
        raise PiranhaError(
            f"{len(found)} blocks are named {name[:80]}", mend="rename them in the text of the configuration"
        )
    raise PiranhaError(
        f"there is no {keyword} {name[:80]}", mend="it may have been renamed or deleted: look at the list"
    )
