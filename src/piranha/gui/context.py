"""What requests are answered from."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment

from piranha.base.clock import Clock
from piranha.gui.accounts import AccountStore
from piranha.gui.attempts import Attempts
from piranha.gui.audit import AuditLog
from piranha.gui.live import Hub
from piranha.gui.lvsd import Lvsd
from piranha.gui.passwords import HashingDesk
from piranha.gui.sessions import Sessions
from piranha.gui.static import StaticFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One running piranha-gui."""

    lvsd: Lvsd
    accounts: AccountStore
    sessions: Sessions
    attempts: Attempts
    audit: AuditLog
    desk: HashingDesk
    hub: Hub
    static: StaticFiles
    templates: Environment
    clock: Clock
