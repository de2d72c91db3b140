"""Rules that set marks, of either packet filter, as `mark` blocks of a draft."""

from __future__ import annotations

from collections.abc import Sequence

from piranha.importers.draft import Draft
from piranha.importers.ledger import Ledger
from piranha.importers.marks.iptables import IptablesReader
from piranha.importers.marks.nft import NftReader
from piranha.importers.marks.rules import add_blocks
from piranha.importers.options import ImportOptions
from piranha.importers.source import Source
from piranha.importers.values import Values


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Add the blocks of the files to the draft; the text itself says which packet filter wrote it."""
    values = Values(ledger, options)
    for file in files:
        text = source.text(file)
        reader: IptablesReader | NftReader
        reader = NftReader(ledger, values) if _is_nft(text) else IptablesReader(ledger, values)
        add_blocks(reader.read(file, text), draft, ledger)


def _is_nft(text: str) -> bool:
    lines = (line.strip() for line in text.split("\n"))
    first = next((line for line in lines if line and line[0] != "#"), "")
    return first.startswith(("table ", "flush ", "add ", "define "))
