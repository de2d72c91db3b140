"""Passwords: rules, and argon2id hashes with a bound on how many are computed at once."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

LEAST_LETTERS = 10
MOST_LETTERS = 256
# The floor of OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
_MEMORY_KIB, _PASSES, _LANES = 19456, 2, 1
_AT_ONCE = 2
_TOO_COMMON = ("password", "piranha", "1234567890", "qwertyuiop", "administrator", "changeme")

_hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)


def fault_of(password: str, user: str) -> str:
    """Why this is no good password, in one sentence; empty where it is."""
    if len(password) < LEAST_LETTERS:
        return f"the password is too short: at least {LEAST_LETTERS} characters"
    if len(password) > MOST_LETTERS:
        return f"the password is too long: at most {MOST_LETTERS} characters"
    folded = password.casefold()
    rest = folded
    for word in (*_TOO_COMMON, user.casefold()):
        rest = rest.replace(word, "") if word else rest
    if len(set(rest)) < 4:
        return "the password is too easy to guess: add words that nobody would expect"
    return ""


def hash_of(password: str) -> str:
    """Takes about 40 ms of a core."""
    return _hasher.hash(password)


def fits(stored: str, password: str) -> bool:
    """Whether this is the password; as slow where `stored` is nobody's."""
    try:
        return _hasher.verify(stored or _nobody(), password[:MOST_LETTERS]) and bool(stored)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False


_nobodys: list[str] = []


def _nobody() -> str:
    if not _nobodys:
        _nobodys.append(hash_of("nobody has this password"))
    return _nobodys[0]


class HashingDesk:
    """Hashes in threads, at most two at a time: a flood of logins is slow, not the whole GUI."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash_of(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(hash_of, password)

    async def fits(self, stored: str, password: str) -> bool:
        async with self._turns:
            return await asyncio.to_thread(fits, stored, password)
