import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piranha.monitor.pattern import MAX_CACHED_STATES, Pattern, PatternCostError, compile_pattern
from piranha.monitor.pattern_syntax import PatternError


def found(pattern: bytes, text: bytes) -> bool:
    scan = Pattern(pattern).scan()
    scan.feed(text)
    return scan.matches_at_end()


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (b"", b"", True),
        (b"abc", b"xxabcx", True),
        (b"abc", b"ab", False),
        (b"^abc", b"xabc", False),
        (b"abc$", b"abcx", False),
        (b"abc$", b"xabc", True),
        (b"^$", b"", True),
        (b"^$", b"x", False),
        (rb"^HTTP/1\.[01] (200|30[12])", b"HTTP/1.1 302 Found", True),
        (rb"^HTTP/1\.[01] (200|30[12])", b"HTTP/1x1 302 Found", False),
        (b"a.c", b"a\nc", True),
        (b"[[:digit:]]+ users", b"42 users", True),
        (b"[^[:space:]]x", b" x", False),
        (b"[]a-c-]z", b"]z", True),
        (b"[]a-c-]z", b"-z", True),
        (b"[^]]", b"]", False),
        (rb"[\n]", b"\\", True),
        (b"x{2}y", b"xy", False),
        (b"x{2}y", b"xxxy", True),
        (b"^x{1,2}y", b"xxxy", False),
        (b"^x{2,}y", b"xxxxxy", True),
        (b'{"ok":true}', b'{"ok":true}', True),
        (b"(a|b|)c", b"c", True),
        (b"(a*)*b", b"aaab", True),
        (rb"\d\s\w", b"1 a", True),
        (rb"\.\*\[", b".*[", True),
        (b"a\x00b", b"a\x00b", True),
        (b"\xff", b"\xff", True),
        (b"[[.a.]]b", b"ab", True),
    ],
)
def test_posix_extended(pattern: bytes, text: bytes, expected: bool) -> None:
    assert found(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (b"(a", r"without its `\)`"),
        (b"a)", r"without its `\(`"),
        (b"[a", "without its `]`"),
        (b"[", "without its `]`"),
        (b"[[:nope:]]", "character class"),
        (b"[z-a]", "backwards"),
        (b"*a", "nothing to repeat"),
        (b"a|+", "nothing to repeat"),
        (b"a{2,1}", "smaller number first"),
        (b"a{999}", "0..255"),
        (b"a{2", "without its `}`"),
        (b"a\\", "lone backslash"),
        (rb"(a)\1", "back-reference"),
        (rb"\bword", "word boundary"),
        (b"(" * 60 + b")" * 60, "nested"),
        (b"a" * 5000, "longer than"),
        (b"a" + b"?" * 60, "too many repetitions"),
    ],
)
def test_what_is_no_pattern_is_said(pattern: bytes, what: str) -> None:
    with pytest.raises(PatternError, match=what):
        Pattern(pattern)


@pytest.mark.parametrize("pattern", [b"((a{200}){200}){200}", b"((){255}){255}{255}{255}", b"(a{2}){255}{255}"])
def test_too_large_is_refused_at_once(pattern: bytes) -> None:
    with pytest.raises(PatternCostError):
        Pattern(pattern)


@pytest.mark.parametrize("pattern", [b"^(a+)+$", b"(a|a)*b", b".*.*.*x$", b"(.*)(.*)(.*)(.*)[0-9]"])
def test_patterns_that_stop_a_backtracking_engine_do_not_stop_us(pattern: bytes) -> None:
    """64 KiB are walked through once: milliseconds, where `re` would need years. Generous, for slow machines."""
    scan = Pattern(pattern).scan()
    begin = time.process_time()
    for _ in range(64):
        scan.feed(b"a" * 1023 + b"!")
    assert time.process_time() - begin < 1.0


def test_an_answer_that_needs_too_many_states_is_given_up() -> None:
    scan = Pattern(b"(a|b)*a(a|b){250}c").scan()
    text = b"".join(b"ab"[n * n % 7 % 2 :][:1] + b"a" * (n % 3) for n in range(3000))
    with pytest.raises(PatternCostError):
        scan.feed(text)


def test_the_cache_of_states_is_bounded() -> None:
    pattern = Pattern(b"(a|b)*a(a|b){12}c")
    for n in range(5000):
        scan = pattern.scan()
        scan.feed(format(n, "016b").replace("0", "a").replace("1", "b").encode())
    assert len(pattern._states) <= MAX_CACHED_STATES
    assert found(b"(a|b)*a(a|b){12}c", b"b" + b"a" * 13 + b"c")


def test_compiled_once() -> None:
    assert compile_pattern(b"abc") is compile_pattern(b"abc")


def test_segments_do_not_matter() -> None:
    scan = Pattern(b"needle").scan()
    assert [scan.feed(part) for part in (b"hay nee", b"d", b"le hay", b"more")] == [False, False, True, True]


literals = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\.", "[a-c]"])
expressions = st.recursive(
    literals | st.sampled_from(["^", "$"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{1,2}", "{2}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(expressions, st.text(alphabet="abc.\n", max_size=12), st.integers(0, 12))
def test_agrees_with_re_where_both_speak_the_same_language(expression: str, text: str, cut: int) -> None:
    """`\\Z` and DOTALL make Python's `$` and `.` the POSIX ones."""
    python = re.compile(expression.replace("$", r"\Z").encode(), re.DOTALL)
    scan = Pattern(expression.encode()).scan()
    data = text.encode()
    scan.feed(data[:cut])
    scan.feed(data[cut:])
    assert scan.matches_at_end() is (python.search(data) is not None)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=r"ab()[]{}|*+?^$.\1-,:[" + "\u00e9", max_size=30).map(str.encode), st.binary(max_size=50))
@example(b"[a-", b"")
@example(b"[[.", b"")
@example(b"[[:", b"")
@example(b"a{1,", b"")
def test_garbage_is_refused_or_works(pattern: bytes, data: bytes) -> None:
    try:
        scan = Pattern(pattern).scan()
    except (PatternError, PatternCostError):
        return
    scan.feed(data)
    assert scan.matches_at_end() in (True, False)
