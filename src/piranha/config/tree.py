"""Blocks and assignments of a document, with their line numbers: the structure that parser, editor and formatter share.

Built for broken files too: a missing brace, a stray one or a block in the wrong place is reported and mended in
thought, so that the lines after it are still explained.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.config.problem import Findings, Kind, Place
from piranha.config.statement import (
    Assignment,
    Blank,
    Closing,
    Flaw,
    LoneBrace,
    Opening,
    is_overfull,
    statement_of,
)
from piranha.config.syntax import MAX_TOKENS, Document, Token


@dataclass(slots=True)
class Entry:
    """An assignment and the index of its line."""

    line: int
    assignment: Assignment


@dataclass(slots=True)
class Block:
    """The file itself (`keyword` is empty) or one block.

    `last` is the index of its last line: the `}` where it has one.
    """

    keyword: str
    name: str = ""
    name_token: Token | None = None
    first: int = 0
    last: int = 0
    is_closed: bool = False
    items: list[Entry | Block] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        return [item for item in self.items if isinstance(item, Entry)]

    def blocks(self, keyword: str) -> list[Block]:
        """The inner blocks of one kind, in the file's order."""
        return [item for item in self.items if isinstance(item, Block) and item.keyword == keyword]


def place_of(line: int, token: Token) -> Place:
    """The place of a token on the line with this index."""
    return Place(line + 1, token.start + 1, token.text)


def report(findings: Findings, line: int, flaw: Flaw, *, in_block: bool) -> bool:
    """Report a flaw; True when the text may be used. Inside blocks the original lost the kind of a bad quotation."""
    kind = Kind.MISSING_ARGUMENTS if in_block and flaw.kind is Kind.QUOTATION else flaw.kind
    place = place_of(line, flaw.token)
    if flaw.tolerated:
        return findings.tolerate(place, kind, flaw.message, flaw.suggestion)
    findings.refuse(place, kind, flaw.message, flaw.suggestion)
    return False


def build(document: Document, findings: Findings) -> Block:
    """The structure of a document; problems of the structure go to `findings`."""
    return _Builder(document, findings).build()


class _Builder:
    """Walks the lines once, with the open blocks on a stack: the file, a virtual server, a real server, a check."""

    def __init__(self, document: Document, findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self._root = Block("")
        self._open = [self._root]
        self._awaits_brace = False

    def build(self) -> Block:
        for index, line in enumerate(self._document.lines):
            if is_overfull(line.text):
                self._overfull(index, line.text)
                continue
            statement = statement_of(line.text)
            if isinstance(statement, Blank):
                continue
            if isinstance(statement, Assignment):
                self._open[-1].items.append(Entry(index, statement))
            elif isinstance(statement, Opening):
                self._opening(index, statement)
            elif isinstance(statement, Closing):
                self._closing(index, statement)
            else:
                self._lone_brace(index, statement)
            self._awaits_brace = isinstance(statement, Opening) and statement.brace is None
        self._end_of_file()
        return self._root

    @property
    def _in_block(self) -> bool:
        return len(self._open) > 1

    def _opening(self, index: int, statement: Opening) -> None:
        keyword = statement.keyword.text
        self._leave_for(index, statement)
        if keyword in ("mark", "check") and self._findings.strict:
            mend = "the original did not know this block of piranha's"
            self._findings.refuse(
                place_of(index, statement.keyword), Kind.UNKNOWN_COMMAND, f"unknown block `{keyword}`", mend
            )
        for flaw in statement.flaws:
            report(self._findings, index, flaw, in_block=self._in_block)
        name = statement.name.value if statement.name else ""
        block = Block(keyword, name, statement.name, first=index, last=index)
        self._open[-1].items.append(block)
        if not statement.is_closed:
            self._open.append(block)

    def _leave_for(self, index: int, statement: Opening) -> None:
        """Close the blocks that cannot hold this one: their own `}` is missing."""
        keyword = statement.keyword.text
        depth = 1
        if keyword == "server" and self._open[-1].keyword != "mark":
            depth = 2
        elif keyword == "check":
            depth = next((at + 1 for at in (2, 1) if self._holds_checks(at)), 1)
        while len(self._open) > depth:
            left = self._open.pop()
            left.last = index - 1
            place = place_of(index, statement.keyword)
            message = f"`{keyword}` stands inside `{left.keyword} {left.name}` of line {left.first + 1}"
            self._findings.refuse(place, Kind.UNKNOWN_COMMAND, message, "put the missing `}` before this line")
        if keyword == "server" and len(self._open) == 1:
            place = place_of(index, statement.keyword)
            mend = "move the block into the `virtual` block it belongs to"
            self._findings.refuse(place, Kind.UNKNOWN_COMMAND, "`server` stands outside of a virtual server", mend)

        if keyword == "check" and len(self._open) == 1:
            place = place_of(index, statement.keyword)
            mend = "move the block into the `virtual` or `server` block it belongs to"
            self._findings.refuse(place, Kind.UNKNOWN_COMMAND, "`check` stands outside of a virtual server", mend)

    def _holds_checks(self, depth: int) -> bool:
        """Whether the open block at this depth may have `check` blocks inside."""
        return len(self._open) > depth and self._open[depth].keyword in ("virtual", "failover", "server")

    def _closing(self, index: int, statement: Closing) -> None:
        for flaw in statement.flaws:
            report(self._findings, index, flaw, in_block=self._in_block)
        if not self._in_block:
            mend = "remove it, or look for a block that ends too early"
            self._findings.refuse(
                place_of(index, statement.brace), Kind.UNKNOWN_COMMAND, "`}` closes nothing: no block is open", mend
            )
            return
        block = self._open.pop()
        block.last, block.is_closed = index, True

    def _lone_brace(self, index: int, statement: LoneBrace) -> None:
        if self._awaits_brace:
            return
        mend = "put it at the end of a `virtual NAME` or `server NAME` line"
        place = place_of(index, statement.brace)
        self._findings.refuse(place, Kind.UNKNOWN_COMMAND, "`{` stands alone on a line", mend)

    def _overfull(self, index: int, text: str) -> None:
        place = Place(index + 1, 1, text[:40])
        message = f"more than {MAX_TOKENS} words on one line"
        self._findings.refuse(place, Kind.UNEXPECTED_ARGUMENTS, message, "quote a text that contains blanks")

    def _end_of_file(self) -> None:
        last = len(self._document.lines) - 1
        while self._in_block:
            block = self._open.pop()
            block.last = last
            place = Place(block.first + 1, 1, f"{block.keyword} {block.name}".rstrip())
            if not self._findings.strict:
                self._findings.advise(place, f"`{place.text}` is not closed", "end the block with a line `}`")
