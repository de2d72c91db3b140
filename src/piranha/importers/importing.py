"""One import, from files to an outcome: the text of an `lvs.cf`, and the report of every line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from piranha.base.errors import PiranhaError
from piranha.config.names import FixedNames
from piranha.config.parser import MAX_BYTES
from piranha.config.problem import Problem
from piranha.config.semantics import check_text
from piranha.config.writer import write
from piranha.importers.draft import Draft, finished
from piranha.importers.haproxy.translate import translate as haproxy
from piranha.importers.keepalived.translate import translate as keepalived
from piranha.importers.ldirectord.translate import translate as ldirectord
from piranha.importers.ledger import Entry, Ledger, Place, Verdict
from piranha.importers.marks.translate import translate as mark_rules
from piranha.importers.nginx.translate import translate as nginx
from piranha.importers.options import ImportOptions
from piranha.importers.saved_table import translate as saved_table
from piranha.importers.source import Files, Source, SourceError
from piranha.model.configuration import Configuration


class Dialect(StrEnum):
    """What is imported."""

    KEEPALIVED = "keepalived"
    LDIRECTORD = "ldirectord"
    IPVSADM = "ipvsadm"
    NGINX_STREAM = "nginx-stream"
    HAPROXY_TCP = "haproxy-tcp"
    MARKS = "marks"


Translator = Callable[[Sequence[str], Source, Draft, Ledger, ImportOptions], None]
_TRANSLATORS: dict[Dialect, Translator] = {
    Dialect.KEEPALIVED: keepalived,
    Dialect.LDIRECTORD: ldirectord,
    Dialect.IPVSADM: saved_table,
    Dialect.NGINX_STREAM: nginx,
    Dialect.HAPROXY_TCP: haproxy,
    Dialect.MARKS: mark_rules,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an import. `text` is None where a line is an error: then there is nothing to write.

    `warnings` are those that `piranha config check` has about the text.
    """

    dialect: Dialect
    entries: tuple[Entry, ...]
    text: str | None = None
    configuration: Configuration | None = None
    warnings: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.verdict is Verdict.ERROR)

    def count(self, verdict: Verdict) -> int:
        return sum(entry.verdict is verdict for entry in self.entries)


def import_files(
    dialect: Dialect, files: Sequence[str], reader: Files, options: ImportOptions, *, marks: Sequence[str] = ()
) -> Outcome:
    """Import `files`, and the firewall marks of `marks`. Raises PiranhaError only for a file that cannot be read."""
    ledger, draft = Ledger(), Draft()
    source = Source(reader, ledger)
    configuration: Configuration | None = None
    try:
        # Marks come first: what they say of a mark's addresses and ports completes its virtual server.
        if marks:
            mark_rules(marks, source, draft, ledger, options)
        _TRANSLATORS[dialect](files, source, draft, ledger, options)
        configuration = finished(draft, ledger, options)
    except SourceError as error:
        ledger.error(error.place, str(error))
    if configuration is None or ledger.errors:
        return Outcome(dialect=dialect, entries=tuple(ledger.entries()))
    return _written(dialect, files, configuration, ledger)


def _written(dialect: Dialect, files: Sequence[str], configuration: Configuration, ledger: Ledger) -> Outcome:
    first = Place(files[0], 1)
    try:
        text = _heading(dialect, files) + write(configuration)
    except PiranhaError as error:
        ledger.error(first, f"the result does not fit into lvs.cf: {error}")
        return Outcome(dialect=dialect, entries=tuple(ledger.entries()))
    if len(text.encode("utf-8", "surrogateescape")) > MAX_BYTES:
        ledger.error(first, f"the result is longer than an lvs.cf may be ({MAX_BYTES // 1024 // 1024} MiB)")
        return Outcome(dialect=dialect, entries=tuple(ledger.entries()))
    parsed = check_text(text, file="lvs.cf", names=FixedNames())
    for problem in parsed.errors:
        ledger.error(first, f"the result has an error ({problem.text}): {problem.message}")
    if not parsed.errors and parsed.configuration != _resolved(configuration):
        ledger.error(first, "the result would not be read back as it was meant: report this file")
    entries = tuple(ledger.entries())
    if ledger.errors:
        return Outcome(dialect=dialect, entries=entries)
    return Outcome(
        dialect=dialect,
        entries=entries,
        text=text,
        configuration=parsed.configuration,
        warnings=parsed.warnings,
    )


def _resolved(configuration: Configuration) -> Configuration:
    """As the parser gives it: private addresses that are left out are the public ones."""
    return replace(configuration, primary_private=configuration.primary, backup_private=configuration.backup)


def _heading(dialect: Dialect, files: Sequence[str]) -> str:
    names = " ".join("".join(letter if letter.isprintable() else "?" for letter in file) for file in files)
    return f"# Made by piranha import {dialect} {names}\n"
