"""Who is logged in: sessions in memory, known by a random cookie of which only the digest is kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from piranha.base.clock import Clock
from piranha.gui.accounts import Account, digest_of

COOKIE = "__Host-piranha"
IDLE_S = 30 * 60.0
LONGEST_S = 12 * 3600.0
MOST = 2000


@dataclass(slots=True, kw_only=True)
class Session:
    """`stamp` ties it to the password it was opened with; `csrf` is what forms of this session carry."""

    user: str
    stamp: str
    csrf: str
    opened_at: float
    seen_at: float


class Sessions:
    """All of them; the longest unseen goes when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}

    def open(self, account: Account) -> tuple[str, Session]:
        """A new session and the value of its cookie."""
        now = self._clock.now()
        self._forget(now)
        cookie = secrets.token_urlsafe(32)
        session = Session(
            user=account.name,
            stamp=self.stamp_of(account),
            csrf=secrets.token_urlsafe(24),
            opened_at=now,
            seen_at=now,
        )
        self._open[digest_of(cookie)] = session
        return cookie, session

    def find(self, cookie: str, *, touch: bool = True) -> Session | None:
        """The session of this cookie, while it holds. `touch`: a person did something."""
        session = self._open.get(digest_of(cookie)) if cookie else None
        now = self._clock.now()
        if session is None or not _holds(session, now):
            return None
        if touch:
            session.seen_at = now
        return session

    @staticmethod
    def stamp_of(account: Account) -> str:
        """What a session of this account has to have: another password ends its sessions."""
        return digest_of(account.hash)

    def close(self, cookie: str) -> None:
        self._open.pop(digest_of(cookie), None)

    def count(self) -> int:
        return len(self._open)

    def _forget(self, now: float) -> None:
        self._open = {digest: session for digest, session in self._open.items() if _holds(session, now)}
        while len(self._open) >= MOST:
            del self._open[min(self._open, key=lambda digest: self._open[digest].seen_at)]


def _holds(session: Session, now: float) -> bool:
    return now - session.seen_at < IDLE_S and now - session.opened_at < LONGEST_S
