"""Every directive of `lvs.cf`. Adding one is one entry in `global_directives.py`, `block_directives.py` or
`check_directives.py` (and one field of the model).

The order inside a scope is the order in which the original's GUI wrote them; the writer and the editor keep to it.
Defaults are not repeated there: they are the defaults of `model.configuration`.
"""

from __future__ import annotations

from piranha.config.block_directives import MARK, SERVER, VIRTUAL
from piranha.config.check_directives import CHECK
from piranha.config.directive import Directive, Scope, ValueType
from piranha.config.global_directives import GLOBAL

__all__ = ["BY_SCOPE", "DIRECTIVES", "REJECTED", "REJECTED_WORDS", "Directive", "Scope", "ValueType"]

DIRECTIVES = (*GLOBAL, *VIRTUAL, *SERVER, *MARK, *CHECK)

BY_SCOPE: dict[Scope, dict[str, Directive]] = {
    scope: {directive.name: directive for directive in DIRECTIVES if directive.scope is scope} for scope in Scope
}

REJECTED: dict[str, str] = {
    "expect_program": "only some GUIs wrote it; `expect` is compared with what `send_program` prints",
    "nmask": "only some GUIs wrote it; real servers have no netmask in lvs.cf: remove the line",
    "debug": "it is called `debug_level`",
    "log_file": "the log goes to the system's journal: remove the line",
    "heartbeat_dev": "the device follows from the addresses of the directors: remove the line",
    "mode": "it is called `network`",
    "include": "one file holds the whole configuration",
}
"""Names that old files and manuals carry and that no parser accepted, with what to do about them."""

REJECTED_WORDS: dict[str, str] = {"pcc": "lc", "masq": "nat", "masquerade": "nat", "gate": "direct", "dr": "direct"}
"""Words of other tools or times, with today's word."""
