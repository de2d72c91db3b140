"""The lease model holds its claim in every state, and breaks it without each of its rules."""

from __future__ import annotations

import shutil

import pytest

from tests.model.check import VARIANTS, verify

pytestmark = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")),
    reason="spin and gcc are not installed: `make check-model` does it",
)


def test_never_are_both_gates_open() -> None:
    verdict = verify()
    assert verdict.complete
    assert verdict.errors == 0
    assert verdict.states > 500


@pytest.mark.parametrize("define", [define for define in VARIANTS.values() if define])
def test_without_a_rule_the_claim_breaks(define: str) -> None:
    assert verify(define).errors > 0
