"""Changes to a text that were asked for as data: a path of names, and values as texts, numbers or lists.

Whatever is sent as a value becomes one value of one directive, or the whole request is refused with every fault of it.
Comments, order and spacing of the rest stay (`edit.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from piranha.base.errors import PiranhaError
from piranha.config.conversion import NO_VALUE, Converter, did_you_mean
from piranha.config.directives import BY_SCOPE, Directive, Scope, ValueType
from piranha.config.edit import (
    BlockPath,
    add_mark,
    add_server,
    add_virtual,
    remove_block,
    remove_directive,
    rename_block,
    set_value,
)
from piranha.config.names import Names, SystemNames
from piranha.config.problem import Findings
from piranha.config.statement import Assignment, statement_of
from piranha.config.syntax import Document, split
from piranha.config.tree import Block, Entry, build
from piranha.config.writer import quoted
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.mark import MOST_MARK, MarkBlock

MAX_CHANGES = 200
"""In one request: each reads the whole text anew."""
MAX_TEXT = 4096
_UNSEEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
T = TypeVar("T")
_OUTER = ("virtual", "failover", "mark")

Given = str | int | float | bool | None | Sequence["Given"]
"""A value as JSON has it. None removes the directive."""


class Act(StrEnum):
    """What becomes of the block that a change names, before its values are set."""

    EDIT = "edit"
    ADD = "add"
    DELETE = "delete"
    RENAME = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one block. An empty `path` is the file itself; a block is named by its keyword and its name, or by
    its place in the file's order where names repeat: `("virtual", "web", "server", 1)`."""

    path: tuple[str | int, ...] = ()
    act: Act = Act.EDIT
    name: str = ""
    values: Mapping[str, Given] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one change. `pointer` is a JSON pointer into the list of changes."""

    pointer: str
    message: str
    mend: str = ""


class RefusedChangesError(PiranhaError):
    """Changes that cannot be made; nothing of them was. `faults` has all that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"the changes are not made: {faults[0].message}", mend=faults[0].mend)


class _FaultError(Exception):
    def __init__(self, where: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.where, self.message, self.mend = where, message, mend


def apply_changes(text: str, changes: Sequence[Change], *, names: Names | None = None) -> str:
    """The text with all changes made, in their order. Raises `RefusedChangesError`; the result is not yet judged whole."""
    document, faults = split(text), []
    names = names or SystemNames()
    for at, change in enumerate(changes):
        try:
            document = _Editor(document, change, names).document()
        except _FaultError as fault:
            faults.append(Fault(pointer=f"/{at}{fault.where}", message=fault.message, mend=fault.mend))
    if faults:
        raise RefusedChangesError(faults)
    return document.text


class _Editor:
    """One change on one document."""

    def __init__(self, document: Document, change: Change, names: Names) -> None:
        self._before = document
        self._change = change
        self._names = names

    def document(self) -> Document:
        change, document = self._change, self._before
        path = None
        if change.path:
            if change.act is Act.ADD:
                document, path = self._added(document)
            else:
                path = _found(document, change.path)
        elif change.act is not Act.EDIT:
            raise _FaultError("/path", f"the file itself cannot be {change.act} as a block", "name a block")
        if change.act is Act.DELETE:
            assert path is not None
            return remove_block(document, path)
        if change.act is Act.RENAME:
            assert path is not None
            document = self._renamed(document, path)
        for name in change.remove:
            _directive(path, name, "/remove")
            document = remove_directive(document, path, name)
        for name, given in change.values.items():
            where = f"/set/{_escaped(name)}"
            directive = _directive(path, name, where)
            value = None if given is None else self._value(directive, given, where)
            document = self._with(document, path, name, value, where)
        return document

    def _with(self, document: Document, path: BlockPath | None, name: str, value: object, where: str) -> Document:
        result = _kept(lambda: set_value(document, path, name, value, names=self._names), where)
        if value is not None and self._read(result, path, name) != value:
            raise _FaultError(where, f"`{name}` cannot hold this value", "take quotes or odd characters out of it")
        return result

    def _read(self, document: Document, path: BlockPath | None, name: str) -> object:
        """What the document says now: the proof that nothing else came of the value."""
        directive = BY_SCOPE[_scope(path)][name]
        converter = Converter(Findings(file=""), self._names)
        entries = [entry for entry in _block(document, path).entries if entry.assignment.name.value == name]
        values = [converter.value(directive, entry, in_block=path is not None) for entry in entries]
        return tuple(values) if directive.repeatable else values[-1]

    def _value(self, directive: Directive, given: Given, where: str) -> object:
        if not directive.repeatable:
            return self._one(directive, given, where)
        items = [given] if isinstance(given, str) or not isinstance(given, Sequence) else given
        return tuple(self._one(directive, item, f"{where}/{at}") for at, item in enumerate(items))

    def _one(self, directive: Directive, given: Given, where: str) -> object:
        """The model's value, by the parser's own rules on a line of nothing but this value."""
        findings = Findings(file="")
        line = _kept(lambda: f"{directive.name} = {_written(directive, given, where)}", where)
        statement = statement_of(line)
        value: object = NO_VALUE
        if isinstance(statement, Assignment):
            value = Converter(findings, self._names).value(directive, Entry(0, statement), in_block=False)
        if value is NO_VALUE:
            problem = next(iter(findings.sorted()), None)
            message = problem.message if problem else f"`{directive.name}` cannot be this"
            raise _FaultError(where, message, problem.suggestion if problem else "")
        return value

    def _renamed(self, document: Document, path: BlockPath) -> Document:
        name = _name(self._change.name, "/rename")
        if path.keyword == "mark":
            raise _FaultError("/rename", "a mark block has a number, no name", "delete it and add another")
        _free(document, path, name, "/rename")
        return _kept(lambda: rename_block(document, path, name), "/rename")

    def _added(self, document: Document) -> tuple[Document, BlockPath]:
        path = self._change.path
        if len(path) == 4:
            parent = _found(document, path[:2])
            if path[2] != "server" or parent.keyword == "mark":
                raise _FaultError("/path/2", f"a {parent.keyword} block holds no `{path[2]}`", "only `server`")
            name = _name(path[3], "/path/3")
            count = len(_block(document, parent).blocks("server"))
            made = BlockPath(parent.keyword, parent.index, count)
            _free(document, made, name, "/path/3")
            return _kept(lambda: add_server(document, parent, RealServer(name=name)), "/path/3"), made
        if len(path) != 2 or path[0] not in _OUTER:
            raise _FaultError("/path", "a new block is named by its kind and its name", 'as ["virtual", "web"]')
        keyword = str(path[0])
        made = BlockPath(keyword, len(build(document, Findings(file="")).blocks(keyword)))
        if keyword == "mark":
            number = str(path[1])
            if not number.isascii() or not number.isdigit() or len(number) > 10 or not 1 <= int(number) <= MOST_MARK:
                raise _FaultError("/path/1", f"a mark is a number from 1 to {MOST_MARK}")
            return _kept(lambda: add_mark(document, MarkBlock(mark=int(number))), "/path"), made
        name = _name(path[1], "/path/1")
        _free(document, made, name, "/path/1")
        return _kept(lambda: add_virtual(document, VirtualServer(name=name), keyword=keyword), "/path"), made


def _kept(make: Callable[[], T], where: str) -> T:
    """What `make` gives; its refusal as a fault of this place."""
    try:
        return make()
    except PiranhaError as error:
        raise _FaultError(where, error.message, error.mend) from None


def _written(directive: Directive, given: Given, where: str) -> str:
    """The value as it stands behind the `=`: one word, or the words that its type has."""
    if directive.type.is_list:
        words = given.strip("[] ").split() if isinstance(given, str) else given
        if not isinstance(words, Sequence):
            words = [words]
        return " ".join(["[", *(quoted(_text(word, where)) for word in words), "]"])
    text = _text(given, where)
    if directive.type is ValueType.DEVICE_ADDRESS:
        address, _, device = text.strip().partition(" ")
        return f"{quoted(address)} {quoted(device.strip())}" if device else quoted(address)
    return quoted(text, always=directive.type is ValueType.CHECK_TEXT)


def _text(given: object, where: str) -> str:
    """A value of JSON as text; what no line of lvs.cf can hold is refused."""
    if isinstance(given, bool):
        return "1" if given else "0"
    if isinstance(given, int | float):
        return f"{given:.15g}" if isinstance(given, float) else str(given)
    if not isinstance(given, str):
        raise _FaultError(where, "a value is a text, a number, true or false, or a list of those where it may repeat")
    if len(given) > MAX_TEXT:
        raise _FaultError(where, f"the text is longer than {MAX_TEXT} letters")
    odd = _UNSEEN.search(given)
    if odd is not None:
        mend = (
            r"write `\r` and `\n` for the ends of lines in `send` and `expect`" if odd[0] in "\r\n" else "take it out"
        )
        raise _FaultError(where, f"the text has a character that no line can hold (U+{ord(odd[0]):04X})", mend)
    return given


def _name(given: object, where: str) -> str:
    name = _text(given, where)
    if not name.strip():
        raise _FaultError(where, "a block needs a name")
    return name


def _free(document: Document, path: BlockPath, name: str, where: str) -> None:
    """Names that the API gives are unique among the blocks of one kind, so that they can be found again."""
    siblings = (
        build(document, Findings(file="")).blocks(path.keyword)
        if path.server is None
        else _block(document, BlockPath(path.keyword, path.index)).blocks("server")
    )
    if any(block.name == name for block in siblings):
        raise _FaultError(where, f"there is a block named {name} already", "choose another name")


def _directive(path: BlockPath | None, name: str, where: str) -> Directive:
    scope = _scope(path)
    directive = BY_SCOPE[scope].get(name)
    if directive is None:
        near = did_you_mean(name, BY_SCOPE[scope])
        raise _FaultError(
            where, f"there is no {scope} directive `{name[:80]}`", f"did you mean `{near}`?" if near else ""
        )
    return directive


def _scope(path: BlockPath | None) -> Scope:
    if path is None:
        return Scope.GLOBAL
    if path.keyword == "mark":
        return Scope.MARK
    return Scope.VIRTUAL if path.server is None else Scope.SERVER


def _found(document: Document, path: Sequence[str | int]) -> BlockPath:
    """The block that a path of names means."""
    if len(path) not in (2, 4) or path[0] not in _OUTER or (len(path) == 4 and path[2] != "server"):
        mend = 'as ["virtual", "web"] or ["virtual", "web", "server", "web1"]'
        raise _FaultError("/path", "this names no block", mend)
    root = build(document, Findings(file=""))
    outer = _place(root.blocks(str(path[0])), path[1], "/path/1")
    if len(path) == 2:
        return BlockPath(str(path[0]), outer)
    servers = root.blocks(str(path[0]))[outer].blocks("server")
    return BlockPath(str(path[0]), outer, _place(servers, path[3], "/path/3"))


def _place(blocks: Sequence[Block], wanted: str | int, where: str) -> int:
    if isinstance(wanted, int):
        if 0 <= wanted < len(blocks):
            return wanted
        raise _FaultError(where, f"there is no block {wanted}", f"there are {len(blocks)}, counted from 0")
    places = [at for at, block in enumerate(blocks) if block.name == wanted]
    if len(places) == 1:
        return places[0]
    if places:
        raise _FaultError(where, f"{len(places)} blocks are named {wanted}", f"name it by its place, as {places[0]}")
    near = did_you_mean(wanted, [block.name for block in blocks])
    raise _FaultError(where, f"no block is named {wanted[:80]}", f"did you mean {near}?" if near else "")


def _block(document: Document, path: BlockPath | None) -> Block:
    root = build(document, Findings(file=""))
    if path is None:
        return root
    block = root.blocks(path.keyword)[path.index]
    return block if path.server is None else block.blocks("server")[path.server]


def _escaped(name: str) -> str:
    """A name inside of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
