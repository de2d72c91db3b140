"""A configuration as fresh text, in the order and with the indentation of the original's GUI.

`edit.py` changes an existing text instead and leaves everything else in it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from piranha.base.errors import PiranhaError
from piranha.config.directives import BY_SCOPE, Directive, Scope, ValueType
from piranha.config.values import format_time
from piranha.model.check_block import CheckBlock
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.mark import MarkBlock, network_text

_QUOTES = ('"', "'")
_ALWAYS: dict[Scope, frozenset[str]] = {
    Scope.GLOBAL: frozenset(("serial_no", "service", "backup_active", "heartbeat_port", "network")),
    Scope.VIRTUAL: frozenset(("active", "port", "scheduler", "protocol", "timeout", "reentry")),
    Scope.SERVER: frozenset(("active", "weight")),
    Scope.MARK: frozenset(("protocol",)),
    Scope.CHECK: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indentation:
    """Blanks before the lines of a virtual server (and of a mark), of a real server, and of a check in one."""

    virtual: str = " " * 5
    server: str = " " * 9

    @property
    def check(self) -> str:
        return self.server + self.server[len(self.virtual) :]


def write(configuration: Configuration, *, with_defaults: bool = False) -> str:
    """The text of a configuration; `parse` reads it back as the same (resolved) configuration.

    `with_defaults` writes every directive that has a value, not only those that differ from their default.
    Raises PiranhaError for a text that the language cannot hold.
    """
    lines = list(_assignments(Scope.GLOBAL, configuration, with_defaults=with_defaults))
    for mark in configuration.marks:
        lines.extend(mark_lines(mark, with_defaults=with_defaults))
    for keyword, virtuals in (("virtual", configuration.virtuals), ("failover", configuration.failovers)):
        for virtual in virtuals:
            lines.extend(virtual_lines(virtual, keyword=keyword, with_defaults=with_defaults))
    return "".join(f"{line}\n" for line in lines)


def virtual_lines(
    virtual: VirtualServer,
    *,
    keyword: str = "virtual",
    indentation: Indentation | None = None,
    with_defaults: bool = False,
) -> list[str]:
    """The lines of a `virtual` or `failover` block, from its opening to its `}`."""
    indentation = indentation or Indentation()
    lines = [f"{keyword} {quoted(virtual.name)} {{"]
    for line in _assignments(Scope.VIRTUAL, virtual, with_defaults=with_defaults):
        lines.append(indentation.virtual + line)
    for check in virtual.checks:
        lines.extend(
            check_lines(check, outer=indentation.virtual, inner=indentation.server, with_defaults=with_defaults)
        )
    for server in virtual.servers:
        lines.extend(
            server_lines(server, virtual_port=virtual.port, indentation=indentation, with_defaults=with_defaults)
        )
    return [*lines, "}"]


def mark_lines(mark: MarkBlock, *, indentation: Indentation | None = None, with_defaults: bool = False) -> list[str]:
    """The lines of a `mark` block."""
    indentation = indentation or Indentation()
    inner = _assignments(Scope.MARK, mark, with_defaults=with_defaults)
    return [f"mark {mark.mark} {{", *(indentation.virtual + line for line in inner), "}"]


def server_lines(
    server: RealServer, *, virtual_port: int, indentation: Indentation | None = None, with_defaults: bool = False
) -> list[str]:
    """The lines of a `server` block. A port equal to the virtual server's is left out."""
    indentation = indentation or Indentation()
    always = _ALWAYS[Scope.SERVER]
    inherits_port = server.port == virtual_port and not with_defaults
    inner = _assignments(
        Scope.SERVER,
        server,
        with_defaults=with_defaults,
        always=always if inherits_port else always | {"port"},
        never=frozenset({"port"}) if inherits_port else frozenset(),
    )
    return [
        f"{indentation.virtual}server {quoted(server.name)} {{",
        *(indentation.server + line for line in inner),
        *(
            line
            for check in server.checks
            for line in check_lines(
                check, outer=indentation.server, inner=indentation.check, with_defaults=with_defaults
            )
        ),
        f"{indentation.virtual}}}",
    ]


def check_lines(check: CheckBlock, *, outer: str, inner: str, with_defaults: bool = False) -> list[str]:
    """The lines of a `check` block; only what its kind takes."""
    never = {name for name, one in BY_SCOPE[Scope.CHECK].items() if one.kinds and check.kind not in one.kinds}
    lines = _assignments(Scope.CHECK, check, with_defaults=with_defaults, never=frozenset(never))
    return [f"{outer}check {check.kind} {{", *(inner + line for line in lines), f"{outer}}}"]


def assignment_lines(directive: Directive, value: object) -> list[str]:
    """The lines that give a directive its value: one, or one for each where it may be repeated."""
    if not directive.repeatable:
        return [f"{directive.name} = {format_value(directive, value)}"]
    assert isinstance(value, tuple)
    return [f"{directive.name} = {format_value(directive, one)}" for one in value]


def format_value(directive: Directive, value: object) -> str:
    """A value as it stands after the `=`; of a repeatable directive one of its values."""
    match directive.type:
        case ValueType.BOOLEAN:
            return "1" if value else "0"
        case ValueType.TIME:
            assert isinstance(value, int | float)
            return format_time(value)
        case ValueType.WORD:
            return next(word for word, meant in directive.words.items() if meant == value)
        case ValueType.TEXT:
            return quoted(str(value))
        case ValueType.CHECK_TEXT:
            return quoted(str(value), always=True)
        case ValueType.LIST | ValueType.WORDS | ValueType.PORTS | ValueType.STATUSES:
            assert isinstance(value, tuple)
            return " ".join(["[", *(quoted(str(word)) for word in value), "]"])
        case ValueType.NETWORK:
            assert isinstance(value, IPv4Network | IPv6Network)
            return network_text(value)
        case ValueType.DEVICE_ADDRESS:
            address, _, device = str(value).partition(" ")
            return f"{address} {quoted(device)}"
        case _:
            return str(value)


def quoted(text: str, *, always: bool = False, preferred: str = '"') -> str:
    """A text as one word of a line, in quotes where it needs them; raises PiranhaError when no quotes can hold it."""
    if any(letter in text for letter in "\r\n\x00"):
        message = "a text in lvs.cf stays on one line"
        raise PiranhaError(message, mend=r"write `\r` and `\n` for the ends of lines in `send` and `expect`")
    is_plain = text and not any(letter in text for letter in " \t") and text[0] not in "\"'#[{}]="
    if is_plain and text[-1] not in "{]" and (not always or '"' in text):
        return text
    for quote in (preferred, *_QUOTES):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise PiranhaError("a text in lvs.cf cannot hold blanks and both kinds of quotes", mend=f"take one out of: {text}")


def _assignments(
    scope: Scope,
    values: object,
    *,
    with_defaults: bool,
    always: frozenset[str] | None = None,
    never: frozenset[str] = frozenset(),
) -> Iterator[str]:
    always = _ALWAYS[scope] if always is None else always
    for directive in BY_SCOPE[scope].values():
        if directive.field is None or directive.name in never:
            continue
        value = getattr(values, directive.field)
        if value is None or (value == directive.default and directive.name not in always and not with_defaults):
            continue
        yield from assignment_lines(directive, value)
