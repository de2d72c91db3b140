"""Whatever a server sends, a conversation ends with a verdict and with no other exception (F16)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.monitor.fuzzing import BLOCKS, SAMPLES, play

from piranha.model.check_block import CheckKind
from piranha.monitor.checks.kinds import CONVERSATIONS


@pytest.mark.parametrize("kind", sorted(CONVERSATIONS))
def test_healthy_samples_are_healthy(kind: CheckKind) -> None:
    """Else the mutations below would only scratch the surface."""
    if kind in (CheckKind.TLS, CheckKind.HTTPS, CheckKind.ICMP, CheckKind.DNS, CheckKind.RADIUS):
        pytest.skip("its answers hold secrets of the conversation")
    assert any(play(kind, block, sample) == "found" for block in BLOCKS[kind] for sample in SAMPLES[kind])


@pytest.mark.parametrize("kind", sorted(CONVERSATIONS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_nothing_but_verdicts_comes_out(kind: CheckKind, data: st.DataObject) -> None:
    block = data.draw(st.sampled_from(BLOCKS[kind]))
    parts = data.draw(
        st.lists(st.binary(max_size=60) | st.sampled_from([p for s in SAMPLES[kind] for p in s]), max_size=8)
    )
    assert play(kind, block, parts) in ("found", "wrong", "more")
