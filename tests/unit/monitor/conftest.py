"""Fixtures of the nanny's tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_children_of_other_tests() -> None:
    """Reap what other tests of this process left unwaited, for these tests look for zombies of their own."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass
