"""Changes to an existing text that leave every other byte of it alone.

Every function takes a document and returns a new one. A `path` names a block by its keyword and its place in the
file's order, as `Configuration.virtuals` counts; None is the file itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from piranha.base.errors import PiranhaError
from piranha.config.conversion import Converter
from piranha.config.directives import BY_SCOPE, Directive, Scope, ValueType
from piranha.config.names import Names, SystemNames
from piranha.config.problem import Findings
from piranha.config.statement import Assignment
from piranha.config.syntax import Document
from piranha.config.tree import Block, Entry, build
from piranha.config.words import value_words
from piranha.config.writer import (
    Indentation,
    assignment_lines,
    check_lines,
    format_value,
    mark_lines,
    quoted,
    server_lines,
    virtual_lines,
)
from piranha.model.check_block import CheckBlock
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.mark import MarkBlock

_MOST_SERIAL_NO = 2**63 - 1
_BLANKS = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class BlockPath:
    """The `index`-th block of this keyword (`virtual`, `failover`, `mark`), or the `server`-th real server in it.

    `check` is the number of a `check` block in whichever of the two it is.
    """

    keyword: str
    index: int
    server: int | None = None
    check: int | None = None


def set_value(
    document: Document, path: BlockPath | None, name: str, value: object, *, names: Names | None = None
) -> Document:
    """Give a directive a value of the model. A line that already says so stays as it is; None removes the directive.

    A directive that the block lacks gets a line where the original's GUI would have put it.
    """
    directive = _directive(path, name)
    if value is None:
        return remove_directive(document, path, name)
    block = _block(_tree(document), path)
    given = [entry for entry in block.entries if entry.assignment.name.value == name]
    if directive.repeatable:
        assert isinstance(value, tuple)
        return _set_values(document, block, directive, given, value, names)
    if not given:
        return _add_lines(document, block, directive, assignment_lines(directive, value))
    # A directive given twice counts at its last place.
    return _set_line(document, directive, given[-1], value, names)


def _set_line(document: Document, directive: Directive, entry: Entry, value: object, names: Names | None) -> Document:
    silent = Findings(file="")
    if Converter(silent, names or SystemNames()).value(directive, entry, in_block=False) == value:
        return document
    text = document.lines[entry.line].text
    return document.with_line(entry.line, _with_value(text, directive, entry.assignment, value))


def _set_values(
    document: Document,
    block: Block,
    directive: Directive,
    given: list[Entry],
    values: tuple[object, ...],
    names: Names | None,
) -> Document:
    """One line a value, in their order: lines change in place, what is missing follows the last, the rest goes."""
    for entry, value in zip(given, values, strict=False):
        document = _set_line(document, directive, entry, value, names)
    missing = assignment_lines(directive, values[len(given) :])
    if missing and given:
        indent = _indent_of(document, given[-1].line)
        return document.with_inserted(given[-1].line + 1, [indent + line for line in missing])
    if missing:
        return _add_lines(document, block, directive, missing)
    for entry in reversed(given[len(values) :]):
        document = document.without_lines(entry.line, entry.line)
    return document


def remove_directive(document: Document, path: BlockPath | None, name: str) -> Document:
    """Remove a directive, every line of it; comments around it stay."""
    block = _block(_tree(document), path)
    for entry in reversed(block.entries):
        if entry.assignment.name.value == name:
            document = document.without_lines(entry.line, entry.line)
    return document


def add_virtual(document: Document, virtual: VirtualServer, *, keyword: str = "virtual") -> Document:
    """Add a `virtual` or `failover` block after the last one of its kind."""
    root = _tree(document)
    blocks = root.blocks(keyword) or root.blocks("virtual")
    lines = virtual_lines(virtual, keyword=keyword, indentation=_indentation(document, root))
    return _add_block(document, blocks[-1] if blocks else None, lines)


def add_mark(document: Document, mark: MarkBlock) -> Document:
    """Add a `mark` block after the last one, else after the last block of any kind."""
    root = _tree(document)
    others = [item for item in root.items if isinstance(item, Block)]
    blocks = root.blocks("mark") or others
    return _add_block(
        document, blocks[-1] if blocks else None, mark_lines(mark, indentation=_indentation(document, root))
    )


def _add_block(document: Document, last: Block | None, lines: list[str]) -> Document:
    """Insert a block after `last`, or at the end; apart by a blank line where `last` is."""
    if last is None:
        return document.with_inserted(len(document.lines), lines)
    if not last.is_closed:
        lines.insert(0, "}")
    if last.first and not document.lines[last.first - 1].text.strip(" \t"):
        lines.insert(0 if last.is_closed else 1, "")
    return document.with_inserted(last.last + 1, lines)


def add_server(document: Document, path: BlockPath, server: RealServer) -> Document:
    """Add a `server` block after the last one of a virtual server."""
    root = _tree(document)
    block = _block(root, BlockPath(path.keyword, path.index))
    servers = block.blocks("server")
    lines = server_lines(server, virtual_port=_port(block), indentation=_indentation(document, root))
    if servers:
        if not servers[-1].is_closed:
            lines.insert(0, lines[-1])
        return document.with_inserted(servers[-1].last + 1, lines)
    return document.with_inserted(block.last if block.is_closed else block.last + 1, lines)


def add_check(document: Document, path: BlockPath, check: CheckBlock) -> Document:
    """Add a `check` block after the last one of a virtual or real server; `path` names that server."""
    root = _tree(document)
    block = _block(root, BlockPath(path.keyword, path.index, path.server))
    indentation = _indentation(document, root)
    outer, inner = indentation.virtual, indentation.server
    if path.server is not None:
        outer, inner = indentation.server, indentation.check
    lines = check_lines(check, outer=outer, inner=inner)
    checks = block.blocks("check")
    if checks and not checks[-1].is_closed:
        lines.insert(0, lines[-1])
    if checks:
        return document.with_inserted(checks[-1].last + 1, lines)
    inside = [item.first for item in block.items if isinstance(item, Block)]
    if inside:
        return document.with_inserted(inside[0], lines)
    return document.with_inserted(block.last if block.is_closed else block.last + 1, lines)


def remove_block(document: Document, path: BlockPath) -> Document:
    """Remove a block with all its lines; a comment above it stays."""
    block = _block(_tree(document), path)
    return document.without_lines(block.first, block.last)


def rename_block(document: Document, path: BlockPath, name: str) -> Document:
    """Give a block another name."""
    block = _block(_tree(document), path)
    text = document.lines[block.first].text
    if block.name_token is None:
        start = end = text.index(block.keyword) + len(block.keyword)
        return document.with_line(block.first, f"{text[:start]} {quoted(name)}{text[end:]}")
    start, end = block.name_token.start, block.name_token.end
    word = quoted(name, preferred=block.name_token.quote or '"')
    return document.with_line(block.first, f"{text[:start]}{word}{text[end:]}")


def raise_serial_no(document: Document, *, above: int = 0) -> Document:
    """Make `serial_no` one more than it is, and than `above`; a file without one begins at 1."""
    number = max(serial_no_of(document), above)
    return set_value(document, None, "serial_no", number + 1 if number < _MOST_SERIAL_NO else 1)


def serial_no_of(document: Document) -> int:
    """The number that the file has, 0 without one."""
    directive = _directive(None, "serial_no")
    number = 0
    for entry in _tree(document).entries:
        if entry.assignment.name.value == "serial_no":
            value = Converter(Findings(file=""), SystemNames()).value(directive, entry, in_block=False)
            number = value if isinstance(value, int) else number
    return number


def _tree(document: Document) -> Block:
    return build(document, Findings(file=""))


def _directive(path: BlockPath | None, name: str) -> Directive:
    scope = _scope(path)
    directive = BY_SCOPE[scope].get(name)
    if directive is None:
        raise PiranhaError(f"there is no {scope} directive `{name}`")
    return directive


def _scope(path: BlockPath | None) -> Scope:
    if path is None:
        return Scope.GLOBAL
    if path.check is not None:
        return Scope.CHECK
    if path.keyword == "mark":
        return Scope.MARK
    return Scope.VIRTUAL if path.server is None else Scope.SERVER


def _block(root: Block, path: BlockPath | None) -> Block:
    if path is None:
        return root
    block: Block | None = root
    for keyword, index in ((path.keyword, path.index), ("server", path.server), ("check", path.check)):
        if index is None or block is None:
            continue
        blocks = block.blocks(keyword)
        block = blocks[index] if index < len(blocks) else None
    if block is not None:
        return block
    raise PiranhaError(f"the configuration has no such block: {path}", mend="read it again, it may have changed")


def _with_value(text: str, directive: Directive, assignment: Assignment, value: object) -> str:
    """The line with another value; blanks, quotes and an inline comment stay."""
    written = format_value(directive, value)
    if assignment.equal is None:
        end = assignment.values[-1].end if assignment.values else assignment.name.end
        return f"{text[: assignment.name.end]} = {written}{text[end:]}"
    words, _ = value_words(directive, assignment.values)
    if not words:
        cut = assignment.equal.end
        blank = "" if text[cut : cut + 1] in (" ", "\t") else " "
        cut += not blank
        return f"{text[:cut]}{blank}{written}{text[cut:]}"
    start, end = words[0].start, words[-1].end
    quote = words[0].quote
    if quote and len(words) == 1 and not directive.type.is_list and directive.type is not ValueType.DEVICE_ADDRESS:
        bare = str(value) if directive.type in (ValueType.TEXT, ValueType.CHECK_TEXT) else written
        written = f"{quote}{bare}{quote}" if quote not in bare else written
    return f"{text[:start]}{written}{text[end:]}"


def _add_lines(document: Document, block: Block, directive: Directive, lines: list[str]) -> Document:
    """Insert lines before the inner blocks: after the nearest directive that the GUI wrote before this one."""
    order = list(BY_SCOPE[directive.scope])
    first_block = next((item.first for item in block.items if isinstance(item, Block)), None)
    entries = [entry for entry in block.entries if first_block is None or entry.line < first_block]
    before = [entry for entry in entries if _rank(order, entry) < order.index(directive.name)]
    if before:
        neighbour = max(before, key=lambda entry: (_rank(order, entry), entry.line))
        return _insert(document, neighbour.line + 1, lines, _indent_of(document, neighbour.line))
    if entries:
        return _insert(document, entries[0].line, lines, _indent_of(document, entries[0].line))
    if directive.scope is not Scope.GLOBAL:
        indentation = _indentation(document, _tree(document))
        indent = indentation.virtual
        if directive.scope is not Scope.VIRTUAL and block.keyword not in ("virtual", "failover", "mark"):
            own = _indent_of(document, block.first)
            indent = indentation.server if directive.scope is Scope.SERVER else own + " " * 4
        return _insert(document, block.first + 1, lines, indent)
    at = len(document.lines) if first_block is None else first_block
    while at and first_block is not None and document.lines[at - 1].text.lstrip(" \t").startswith("#"):
        at -= 1
    return _insert(document, at, lines, "")


def _insert(document: Document, at: int, lines: list[str], indent: str) -> Document:
    return document.with_inserted(at, [indent + line for line in lines])


def _rank(order: list[str], entry: Entry) -> int:
    name = entry.assignment.name.value
    return order.index(name) if name in order else len(order)


def _indent_of(document: Document, line: int) -> str:
    match = _BLANKS.match(document.lines[line].text)
    return match[0] if match else ""


def _indentation(document: Document, root: Block) -> Indentation:
    """The blanks that this document's own blocks use, else the GUI's."""
    usual = Indentation()
    virtual = server = None
    for outer in (item for item in root.items if isinstance(item, Block) and item.keyword != "server"):
        for item in outer.items:
            line = item.line if isinstance(item, Entry) else item.first
            virtual = _indent_of(document, line) if virtual is None else virtual
            if isinstance(item, Block) and item.keyword == "server" and item.entries and server is None:
                server = _indent_of(document, item.entries[0].line)
        if virtual is not None and server is not None:
            break
    if virtual is None:
        return usual
    return Indentation(
        virtual=virtual, server=server if server is not None else virtual + usual.server[len(usual.virtual) :]
    )


def _port(block: Block) -> int:
    """The port of a virtual server as its last `port` line before the end says, as far as it is a number."""
    directive = BY_SCOPE[Scope.VIRTUAL]["port"]
    port = 80
    for entry in block.entries:
        if entry.assignment.name.value == "port":
            value = Converter(Findings(file=""), SystemNames()).value(directive, entry, in_block=False)
            port = value if isinstance(value, int) else port
    return port
