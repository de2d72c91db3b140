from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.model.check import Probe
from piranha.model.service import Protocol
from piranha.monitor.answer import MAX_ANSWER_BYTES, Answer, Match
from piranha.monitor.outcome import CheckImpossibleError


def answer(expect: bytes | None, *, use_regex: bool = False, expect_any: bool = False) -> Answer:
    return Answer(
        Probe(
            address=ip_address("10.0.0.1"),
            port=80,
            protocol=Protocol.TCP,
            timeout_s=1,
            expect=expect,
            use_regex=use_regex,
            expect_any=expect_any,
        )
    )


def test_the_expected_text_must_be_the_beginning() -> None:
    assert answer(b"HTTP").feed(b"HTTP/1.0 200 OK") is Match.YES
    wrong = answer(b"HTTP")
    assert wrong.feed(b"\nHTTP") is Match.NO
    assert wrong.describe() == r"wrong answer '\nHTTP'"


def test_it_may_come_in_any_number_of_segments() -> None:
    parts = answer(b"HTTP")
    assert [parts.feed(bytes([b])) for b in b"HTTP"] == [Match.MORE] * 3 + [Match.YES]


def test_a_wrong_beginning_is_not_waited_for() -> None:
    assert answer(b"HTTP").feed(b"HX") is Match.NO


def test_too_short() -> None:
    short = answer(b"HTTP")
    assert short.feed(b"HT") is Match.MORE
    assert short.end() is Match.NO
    assert short.describe() == "too short: 2 of 4 bytes, then closed"


def test_nothing_but_a_close() -> None:
    assert answer(b"HTTP").end() is Match.NO
    assert answer(b"HTTP").describe() == "closed without an answer"
    for content in (answer(b""), answer(None, expect_any=True)):
        assert content.end() is Match.YES


def test_anything_is_enough_for_empty_and_star() -> None:
    assert answer(b"").feed(b"x") is Match.YES
    assert answer(None, expect_any=True).feed(b"x") is Match.YES


def test_pattern_anywhere_and_across_segments() -> None:
    got = answer(rb"^HTTP/1\.[01] 200.*Welcome", use_regex=True)
    assert got.feed(b"HTTP/1.0 2") is Match.MORE
    assert got.feed(b"00 OK\r\n\r\n<h1>Wel") is Match.MORE
    assert got.feed(b"come") is Match.YES


def test_dollar_holds_at_the_end_of_what_has_come() -> None:
    assert answer(rb"ready$", use_regex=True).feed(b"220 ready") is Match.YES


def test_pattern_beyond_the_limit_does_not_count() -> None:
    late = answer(b"needle", use_regex=True)
    assert late.feed(b"x" * (MAX_ANSWER_BYTES - 3)) is Match.MORE
    assert late.wanted_bytes == 3
    assert late.feed(b"needle") is Match.NO


def test_pattern_just_within_the_limit_counts() -> None:
    last = answer(b"needle", use_regex=True)
    assert last.feed(b"x" * (MAX_ANSWER_BYTES - 6) + b"needle and more") is Match.YES


def test_a_bad_pattern_says_nothing_about_the_server() -> None:
    with pytest.raises(CheckImpossibleError, match="without its"):
        answer(b"(", use_regex=True)


def test_a_costly_answer_is_no_match() -> None:
    costly = answer(b"(a|b)*a(a|b){250}c", use_regex=True)
    matches = {costly.feed(b"ab"[n * n % 7 % 2 :][:1] + b"a" * (n % 3) or b"b") for n in range(3000)}
    assert Match.NO in matches
    assert costly.end() is Match.NO
    assert "too costly" in costly.describe()


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.sampled_from([b"", b"HTTP", b"\x00", b"HTTP/1\\.[01] [23]"]),
    st.booleans(),
    st.booleans(),
)
def test_garbage_never_raises_and_segments_never_matter(
    parts: list[bytes], expect: bytes, use_regex: bool, expect_any: bool
) -> None:
    def verdict(segments: list[bytes]) -> Match:
        reader = answer(expect, use_regex=use_regex, expect_any=expect_any)
        for segment in segments:
            match = reader.feed(segment)
            reader.describe()
            if match is not Match.MORE:
                return match
        return reader.end()

    whole = b"".join(parts)
    assert verdict(parts) is verdict([whole] if whole else [])
