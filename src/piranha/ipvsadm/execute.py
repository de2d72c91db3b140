"""Carries out commands on a table, and restores whole tables from lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from piranha.dataplane.port import Operation, SyncDaemon, SyncRole
from piranha.ipvsadm.command import Change, Command, Restore, Save, Say, Show, Subject
from piranha.ipvsadm.endpoint import EndpointWriter
from piranha.ipvsadm.entries import ENGINE_HEADER, HEADER, entry_lines
from piranha.ipvsadm.failure import REFUSED, CommandLineError, try_help
from piranha.ipvsadm.listing import column_header, save_lines, table_lines, version_header
from piranha.ipvsadm.names import Names
from piranha.ipvsadm.parse import parse
from piranha.ipvsadm.refusal import refusal_text
from piranha.ipvsadm.table import Table

MISSING = 1
"""Exit code where the service to list does not exist; it ends a restore too."""
Bursts = Iterable[Sequence[str]]
"""Lines as they arrive: what is there at once is carried out at once."""
DEFAULT_GROUP = "224.0.0.81"
_WORD = re.compile(r"[^ \t\r\n]+")
"""There is no quoting, and no comment."""


class Session:
    """ipvsadm over one table. Everything that is printed goes to `out` and `err`; errors of the table are raised."""

    def __init__(self, table: Table, names: Names, out: TextIO, err: TextIO, *, program: str = "ipvsadm") -> None:
        self._table = table
        self._names = names
        self._out = out
        self._err = err
        self._program = program

    def run(self, words: Sequence[str], standard_input: Bursts = ()) -> int:
        """One command line, without the program's name. Returns the exit code."""
        try:
            command = parse(self._program, words, self._names)
        except CommandLineError as failure:
            self._err.write(failure.text)
            return failure.exit_code
        if isinstance(command, Restore):
            return self.restore(standard_input)
        return self.execute(command)

    def execute(self, command: Command) -> int:
        match command:
            case Change(operation=operation):
                return self._change([operation])[0]
            case Show():
                return self._show(command)
            case Save(numeric=numeric):
                self._out.writelines(save_lines(self._table.snapshot(), self._writer(numeric)))
            case Say(text=text):
                self._out.write(text)
            case Restore():
                raise ValueError("a restore needs its lines")
        return 0

    def restore(self, bursts: Bursts) -> int:
        """Carry out each line. A refusal is told and the next line tried; a wrong line ends it, those before it stay.

        Returns the result of the last line.
        """
        result = 0
        for burst in bursts:
            waiting: list[Operation] = []
            for line in burst:
                words = [word for word in _WORD.findall(line) if word != "ipvsadm"]
                if not words:
                    continue
                try:
                    command = parse(self._program, words, self._names)
                    if isinstance(command, Restore):
                        raise try_help(self._program)
                except CommandLineError as failure:
                    self._change(waiting)
                    waiting = []
                    self._err.write(failure.text)
                    result = failure.exit_code
                    if failure.ends:
                        return result
                    continue
                if isinstance(command, Change):
                    waiting.append(command.operation)
                    continue
                self._change(waiting)
                waiting = []
                result = self.execute(command)
                if result == MISSING or isinstance(command, Say):
                    return result
            if waiting:
                result = self._change(waiting)[-1]
        return result

    def _change(self, operations: Sequence[Operation]) -> list[int]:
        """Exit codes, one an operation."""
        codes = []
        for operation, error in zip(operations, self._table.apply(operations), strict=True):
            if error is not None:
                self._err.write(refusal_text(operation, error) + "\n")
            codes.append(0 if error is None else REFUSED)
        return codes

    def _show(self, wanted: Show) -> int:
        match wanted.subject:
            case Subject.TIMEOUTS:
                t = self._table.timeouts()
                self._out.write(f"Timeout (tcp tcpfin udp): {t.tcp_s:.0f} {t.tcp_fin_s:.0f} {t.udp_s:.0f}\n")
            case Subject.DAEMONS:
                self._out.writelines(_daemon_line(daemon) for daemon in _in_roles(self._table.daemons()))
            case Subject.CONNECTIONS:
                view = wanted.view
                self._out.write(ENGINE_HEADER if view.persistent else HEADER)
                writer = self._writer(view.numeric)
                self._out.writelines(entry_lines(self._table.connections(), writer, engines=view.persistent))
            case Subject.TABLE:
                table = self._table.snapshot()
                self._out.write(version_header(self._table.size) + column_header(wanted.view))
                self._out.writelines(table_lines(table, wanted.view, self._writer(wanted.view.numeric)))
            case Subject.SERVICE:
                found = [status for status in self._table.snapshot() if status.service.key == wanted.key]
                if not found:
                    self._err.write("No such service\n")
                    return MISSING
                self._out.write(column_header(wanted.view))
                self._out.writelines(table_lines(found, wanted.view, self._writer(wanted.view.numeric)))
        return 0

    def _writer(self, numeric: bool) -> EndpointWriter:
        return EndpointWriter(None if numeric else self._names)


def _in_roles(daemons: Sequence[SyncDaemon]) -> list[SyncDaemon]:
    return sorted(daemons, key=lambda daemon: daemon.role is not SyncRole.MASTER)


def _daemon_line(daemon: SyncDaemon) -> str:
    maximum = f", maxlen={daemon.max_length}" if daemon.max_length else ""
    return (
        f"{daemon.role} sync daemon (mcast={daemon.interface}, syncid={daemon.sync_id}{maximum}, "
        f"group={daemon.group or DEFAULT_GROUP}, port={daemon.port}, ttl={daemon.ttl})\n"
    )
