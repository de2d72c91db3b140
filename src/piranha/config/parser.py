"""`lvs.cf` text -> syntax tree, `Configuration` and problems. Never raises on bad text; linear in its length.

The tolerant mode reads every file that the original read, and more; `strict=True` gives the original's verdict.
`semantics.check` adds the warnings about meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from piranha.config.check_directives import NEEDED
from piranha.config.conversion import NO_VALUE, Converter, did_you_mean
from piranha.config.directives import BY_SCOPE, REJECTED, Directive, Scope
from piranha.config.names import Names, SystemNames
from piranha.config.places import BlockPlaces, Places
from piranha.config.problem import Findings, Kind, Place, Problem, Severity
from piranha.config.statement import BLOCK_KEYWORDS
from piranha.config.syntax import Document, split, split_as_original
from piranha.config.tree import Block, Entry, build, place_of
from piranha.config.values import parse_integer
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.mark import MOST_MARK, MarkBlock

MAX_BYTES = 4 * 1024 * 1024
MAX_LINES = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a text says. `configuration` holds what could be understood, also beside errors."""

    file: str
    strict: bool
    document: Document
    tree: Block
    configuration: Configuration
    places: Places
    problems: tuple[Problem, ...]

    @property
    def is_usable(self) -> bool:
        """Whether no problem is an error."""
        return not any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is Severity.WARNING)


def parse(text: str, *, file: str = "lvs.cf", strict: bool = False, names: Names | None = None) -> Parsed:
    """Read a text. `names` looks up hosts and service ports; without it the system's are used."""
    findings = Findings(file=file, strict=strict)
    document = Document(())
    root = Block("")
    configuration, places = Configuration(), Places()
    if _is_within_bounds(text, findings):
        document = split_as_original(text) if strict else split(text)
        _check_text(document, text, findings)
        root = build(document, findings)
        reader = _Reader(findings, Converter(findings, names or SystemNames()))
        configuration, places = reader.file(root)
    return Parsed(
        file=file,
        strict=strict,
        document=document,
        tree=root,
        configuration=configuration,
        places=places,
        problems=findings.sorted(),
    )


def resolve(configuration: Configuration) -> Configuration:
    """The configuration with the original's rules between directives applied; applying it again changes nothing.

    Without `primary_private` both private addresses become the public ones, also where `backup_private` is given;
    without `backup` there is no active backup.
    """
    backup = configuration.backup
    if backup is not None and backup.is_unspecified:
        backup = None
    primary_private, backup_private = configuration.primary_private, configuration.backup_private
    if configuration.primary is not None and primary_private is None:
        primary_private, backup_private = configuration.primary, backup
    return replace(
        configuration,
        backup=backup,
        primary_private=primary_private,
        backup_private=backup if backup_private is None else backup_private,
        backup_active=configuration.backup_active and backup is not None,
    )


def _is_within_bounds(text: str, findings: Findings) -> bool:
    if len(text) > MAX_BYTES:
        message = f"the configuration is longer than {MAX_BYTES // 1024 // 1024} MiB"
    elif text.count("\n") + text.count("\r") > MAX_LINES:
        message = f"the configuration has more than {MAX_LINES} lines"
    elif not text:
        mend = "write at least `primary = ADDRESS` and one `virtual` block"
        findings.refuse(Place(1, 1, ""), Kind.EMPTY, "the configuration is empty", mend)
        return False
    else:
        return True
    findings.refuse(Place(1, 1, ""), Kind.INVALID_ARGUMENT, message, "is this an lvs.cf?")
    return False


def _check_text(document: Document, text: str, findings: Findings) -> None:
    """Problems of the text as a whole: byte order mark, line ends, bytes that are no text."""
    if document.byte_order_mark:
        mend = "save the file as UTF-8 without a mark"
        findings.tolerate(Place(1, 1, ""), Kind.UNKNOWN_COMMAND, "the file begins with a byte order mark", mend)
    if document.tail:
        line = len(document.lines) + 1
        message = "lines end with CR LF: the original reads nothing from here on"
        findings.advise(Place(line, 1, ""), message, "save the file with LF line ends")
    elif not findings.strict and document.has_carriage_return:
        line = next(at for at, one in enumerate(document.lines) if "\r" in one.ending) + 1
        message = "lines end with a carriage return, where the original's reader goes wrong"
        findings.advise(
            Place(line, 1, ""), message, "save the file with LF line ends, or let `piranha config fmt` do it"
        )
    if not findings.strict and document.lines and not document.lines[-1].ending:
        last = document.lines[-1].text
        place = Place(len(document.lines), len(last) + 1, "")
        findings.advise(place, "the last line has no line end", "end it with a line feed")
    if not text.isascii():
        _check_bytes(document, findings)
    if "\x00" in text:
        for at, one in enumerate(document.lines):
            if "\x00" in one.text:
                place = Place(at + 1, one.text.index("\x00") + 1, "\x00")
                findings.refuse(place, Kind.INVALID_ARGUMENT, "a NUL byte stands in the text", "is this an lvs.cf?")


def _check_bytes(document: Document, findings: Findings) -> None:
    for index, line in enumerate(document.lines):
        if line.text.isascii():
            continue
        column = next((at for at, letter in enumerate(line.text) if "\udc80" <= letter <= "\udcff"), None)
        if column is not None:
            place = Place(index + 1, column + 1, line.text[column])
            findings.advise(place, "a byte that is not UTF-8", "save the file as UTF-8")


class _Reader:
    """Turns the blocks of a file into model values."""

    def __init__(self, findings: Findings, converter: Converter) -> None:
        self._findings = findings
        self._converter = converter
        self._known = {
            scope: {name: one for name, one in table.items() if one.original or not findings.strict}
            for scope, table in BY_SCOPE.items()
        }

    def file(self, root: Block) -> tuple[Configuration, Places]:
        places = Places()
        values: dict[str, Any] = {}
        virtuals: dict[str, list[VirtualServer]] = {"virtual": [], "failover": []}
        block_places = {"virtual": places.virtuals, "failover": places.failovers}
        marks: list[MarkBlock] = []
        for item in root.items:
            if isinstance(item, Entry):
                self._assign(Scope.GLOBAL, item, values, places.values)
            elif item.keyword == "server":
                self._server(item, 80)
            elif item.keyword == "check":
                self._check(item)
            elif item.keyword == "mark":
                # The original's verdict ends at the opening line.
                marked = None if self._findings.strict else self._mark(item)
                if marked is not None:
                    marks.append(marked[0])
                    places.marks.append(marked[1])
            else:
                virtual, found = self._virtual(item)
                virtuals[item.keyword].append(virtual)
                block_places[item.keyword].append(found)
        configuration = Configuration(
            **values,
            marks=tuple(marks),
            virtuals=tuple(virtuals["virtual"]),
            failovers=tuple(virtuals["failover"]),
        )
        return resolve(configuration), places

    def _virtual(self, block: Block) -> tuple[VirtualServer, BlockPlaces]:
        places = BlockPlaces(_header(block))
        values: dict[str, Any] = {}
        servers: list[RealServer] = []
        for item in block.items:
            if isinstance(item, Entry):
                self._assign(Scope.VIRTUAL, item, values, places.values)
            elif item.keyword == "check":
                self._add_check(item, values, places)
            else:
                server, found = self._server(item, values.get("port", 80))
                servers.append(server)
                places.servers.append(found)
        return VirtualServer(name=block.name, **values, servers=tuple(servers)), places

    def _server(self, block: Block, port: int) -> tuple[RealServer, BlockPlaces]:
        places = BlockPlaces(_header(block))
        values: dict[str, Any] = {"port": port}
        for item in block.items:
            if isinstance(item, Entry):
                self._assign(Scope.SERVER, item, values, places.values)
            elif item.keyword == "check":
                self._add_check(item, values, places)
        return RealServer(name=block.name, **values), places

    def _mark(self, block: Block) -> tuple[MarkBlock, BlockPlaces] | None:
        """A `mark` block; None where its name is no mark."""
        places = BlockPlaces(_header(block))
        values: dict[str, Any] = {}
        for entry in block.entries:
            self._assign(Scope.MARK, entry, values, places.values)
        number = parse_integer(block.name) if block.name else None
        if number is not None and 1 <= number <= MOST_MARK:
            return MarkBlock(mark=number, **values), places
        if block.name_token is not None:
            message = f"a mark is a number from 1 to {MOST_MARK}, not `{block.name}`"
            self._findings.refuse(places.header, Kind.INTEGER_EXPECTED, message, "write for example `mark 80 {`")
        return None

    def _add_check(self, block: Block, values: dict[str, Any], places: BlockPlaces) -> None:
        checked = None if self._findings.strict else self._check(block)
        if checked is not None:
            values["checks"] = (*values.get("checks", ()), checked[0])
            places.checks.append(checked[1])

    def _check(self, block: Block) -> tuple[CheckBlock, BlockPlaces] | None:
        """A `check` block; None where its name is no kind, or something it cannot do without is missing."""
        places = BlockPlaces(_header(block))
        values: dict[str, Any] = {}
        kind = next((kind for kind in CheckKind if kind.value == block.name), None)
        for entry in block.entries:
            self._assign(Scope.CHECK, entry, values, places.values)
            directive = BY_SCOPE[Scope.CHECK].get(entry.assignment.name.value)
            if directive is not None and kind is not None and directive.kinds and kind not in directive.kinds:
                message = f"a check of kind `{kind}` has no `{directive.name}`"
                mend = f"it belongs to {', '.join(sorted(directive.kinds))}: remove the line"
                self._findings.refuse(place_of(entry.line, entry.assignment.name), Kind.UNKNOWN_COMMAND, message, mend)
        if kind is None:
            if block.name_token is not None:
                near = did_you_mean(block.name, CheckKind)
                mend = f"did you mean `{near}`?" if near else f"one of {', '.join(CheckKind)}"
                message = f"there is no check of kind `{block.name}`"
                self._findings.refuse(places.header, Kind.INVALID_ARGUMENT, message, mend)
            return None
        missing = [name for name in NEEDED.get(kind, ()) if name not in places.values]
        for name in missing:
            mend = f"write `{BY_SCOPE[Scope.CHECK][name].assignment_example}`"
            self._findings.refuse(places.header, Kind.MISSING_ARGUMENTS, f"a `{kind}` check needs `{name}`", mend)
        return None if missing else (CheckBlock(kind=kind, **values), places)

    def _assign(self, scope: Scope, entry: Entry, values: dict[str, Any], places: dict[str, Place]) -> None:
        name_token = entry.assignment.name
        directive = self._known[scope].get(name_token.value)
        if directive is None:
            self._unknown(scope, entry)
            return
        if directive.name in places and not directive.repeatable and not self._findings.strict:
            message = (
                f"`{directive.name}` is given a second time: line {places[directive.name].line} counts for nothing"
            )
            self._findings.advise(place_of(entry.line, name_token), message, "remove one of the two lines")
        value = self._converter.value(directive, entry, in_block=scope is not Scope.GLOBAL)
        words = entry.assignment.values
        places[directive.name] = place_of(entry.line, words[0] if words else name_token)
        if value is not NO_VALUE and directive.field is not None:
            values[directive.field] = (*values.get(directive.field, ()), value) if directive.repeatable else value

    def _unknown(self, scope: Scope, entry: Entry) -> None:
        if self._findings.full:
            self._findings.refuse(Place(entry.line + 1, 1, ""), Kind.UNKNOWN_COMMAND, "")
            return
        name = entry.assignment.name.value
        place = place_of(entry.line, entry.assignment.name)
        self._findings.refuse(place, Kind.UNKNOWN_COMMAND, f"unknown directive `{name}`", self._mend(scope, name))

    def _mend(self, scope: Scope, name: str) -> str:
        elsewhere = [other for other in Scope if other is not scope and name in self._known[other]]
        if elsewhere:
            return (
                f"it is a directive of a `{elsewhere[0]}` block"
                if elsewhere[0] is not Scope.GLOBAL
                else ("it is a global directive: move it out of the block")
            )
        if name in REJECTED:
            return REJECTED[name]
        if self._findings.strict and name in BY_SCOPE[scope]:
            return "the original did not know this directive of piranha's"
        if not name.isprintable():
            return "is this an lvs.cf?"
        near = did_you_mean(name, [*self._known[scope], *BLOCK_KEYWORDS])
        if near is not None:
            return f"did you mean `{near}`?"
        candidates = {other: word for other in Scope for word in self._known[other]}
        far = did_you_mean(name, candidates.values())
        return f"did you mean `{far}`?" if far else "`docs/reference/lvs.cf.md` lists every directive"


def _header(block: Block) -> Place:
    if block.name_token is not None:
        return place_of(block.first, block.name_token)
    return Place(block.first + 1, 1, block.keyword)


__all__ = ["MAX_BYTES", "MAX_LINES", "Directive", "Parsed", "parse", "resolve"]
