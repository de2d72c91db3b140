"""What a person or a token may do."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Each includes those before it. NOBODY is who did not log in."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()

    @staticmethod
    def of(word: str) -> Role | None:
        """The role of this name that an account may have; None for any other word."""
        return _BY_WORD.get(word)


_BY_WORD = {role.word: role for role in Role if role is not Role.NOBODY}
GIVEN = tuple(_BY_WORD)
"""The words of the roles that an account or a token may have."""
