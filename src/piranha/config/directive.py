"""What a directive of `lvs.cf` is: its place, the kind of its value, its bounds and its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum

from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.mark import MarkBlock
from piranha.model.service import ForwardingMethod

FORWARDING = {method.value: method for method in ForwardingMethod}
DAY_S = 86400.0
MOST_SECONDS = 2147483647
SCSI = "SCSI reservations are not made; pulse refuses to start failover services that ask for them"
UNUSED = "the original read it and never used it"


class Scope(StrEnum):
    """Where a directive stands; `virtual` and `failover` blocks take the same ones."""

    GLOBAL = "global"
    VIRTUAL = "virtual"
    SERVER = "server"
    MARK = "mark"
    CHECK = "check"


class ValueType(StrEnum):
    """What kind of value a directive takes; the text is how the reference page names it."""

    INTEGER = "integer"
    BOOLEAN = "0 or 1"
    TIME = "time"
    PORT = "port"
    SERVER_PORT = "port number"
    HOST = "address or host name"
    ADDRESS = "address"
    MASK = "mask"
    DEVICE_ADDRESS = "address and device"
    TEXT = "text"
    CHECK_TEXT = "quoted text"
    WORD = "word"
    LIST = "list"
    WORDS = "list of words"
    PORTS = "list of ports"
    NETWORK = "address or network"
    STATUSES = "list of statuses"

    @property
    def is_list(self) -> bool:
        """Whether the value stands in brackets."""
        return self in (ValueType.LIST, ValueType.WORDS, ValueType.PORTS, ValueType.STATUSES)

    @property
    def may_be_bare(self) -> bool:
        """Whether a list of one may stand without its brackets."""
        return self in (ValueType.WORDS, ValueType.PORTS, ValueType.STATUSES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One directive.

    `field` is the attribute of the model, None where the value is read and dropped. `words` maps the words of a WORD or
    WORDS to their values; `strict_words` are those the original knew. `least` and `most` bound the value in the tolerant
    mode. A `repeatable` directive has a tuple of values, one a line. `inert` says why nothing acts on the value yet.
    `original` is False for what this project added. `kinds` are the kinds of checks that take it, empty for all; a text
    must have the `form`, which `form_text` says in words. A `secret` is never shown.
    """

    name: str
    scope: Scope
    type: ValueType
    meaning: str
    example: str
    field: str | None
    words: Mapping[str, object] = dataclasses.field(default_factory=dict)
    strict_words: frozenset[str] | None = None
    least: float | None = None
    most: float | None = None
    default_text: str = ""
    inert: str = ""
    original: bool = True
    repeatable: bool = False
    kinds: frozenset[CheckKind] = frozenset()
    form: str = ""
    form_text: str = ""
    secret: bool = False

    @property
    def default(self) -> object:
        """The model's default."""
        if self.field is None:
            return None
        return getattr(_DEFAULTS[self.scope], self.field)

    @property
    def assignment_example(self) -> str:
        return f"{self.name} = {self.example}"


_DEFAULTS: dict[Scope, object] = {
    Scope.GLOBAL: Configuration(),
    Scope.VIRTUAL: VirtualServer(name=""),
    Scope.SERVER: RealServer(name=""),
    Scope.MARK: MarkBlock(mark=1),
    Scope.CHECK: CheckBlock(kind=CheckKind.TCP),
}


def directive_of(
    scope: Scope, name: str, type_: ValueType, example: str, meaning: str, rest: dict[str, object]
) -> Directive:
    """A directive; its field has its name, and the unit of a time, unless `rest` says otherwise."""
    rest.setdefault("field", f"{name}_s" if type_ is ValueType.TIME else name)
    return Directive(scope=scope, name=name, type=type_, example=example, meaning=meaning, **rest)  # type: ignore[arg-type]
