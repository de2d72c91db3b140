"""The text survives as it was, and lines are cut as their reader cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.config.problem import Findings
from piranha.config.statement import Assignment, Blank, Closing, LoneBrace, Opening, statement_of
from piranha.config.syntax import MAX_TOKENS, split, split_as_original, tokens_of
from piranha.config.tree import build

RAGGED = st.text(st.one_of(st.sampled_from("\ufeff\r\n \t\"'#{}=ab"), st.characters()), max_size=80)


@given(RAGGED)
def test_a_document_is_its_text(text: str) -> None:
    assert split(text).text == text
    assert split_as_original(text).text == text


@given(st.binary(max_size=60))
def test_bytes_survive(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    assert split(text).text.encode("utf-8", "surrogateescape") == content


@pytest.mark.parametrize(
    ("text", "lines", "original", "tail"),
    [
        ("a\nb\n", ["a", "b"], ["a", "b"], ""),
        ("a\nb", ["a", "b"], ["a", "b"], ""),
        ("a\rb\r", ["a", "b"], ["a", "b"], ""),
        ("a\r\nb\r\n", ["a", "b"], ["a"], "\nb\r\n"),
        ("a\nb\rc\nd\n", ["a", "b", "c", "d"], ["a\nb", "c", "d"], ""),
        ("a\vb\x85c\u2028d\n", ["a\vb\x85c\u2028d"], ["a\vb\x85c\u2028d"], ""),
        ("", [], [], ""),
    ],
)
def test_where_lines_end(text: str, lines: list[str], original: list[str], tail: str) -> None:
    assert [line.text for line in split(text).lines] == lines
    cut = split_as_original(text)
    assert [line.text for line in cut.lines] == original
    assert cut.tail == tail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  a\tb ", ["a", "b"]),
        ("\"a b\" 'c d'", ["a b", "c d"]),
        ("\"it's\" '\"'", ["it's", '"']),
        ('a"b c', ['a"b', "c"]),
        ('"a"b', ["a", "b"]),
        ('""', [""]),
        ('"open', ["open"]),
        ('"', [""]),
        (r'"a\" b', ["a\\", "b"]),
        ("\u00a0a", ["\u00a0a"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    tokens = tokens_of(text)
    assert [token.value for token in tokens] == words
    assert all(text[token.start : token.end] == token.text for token in tokens)


def test_words_are_bounded() -> None:
    assert len(tokens_of("a " * 10_000)) == MAX_TOKENS + 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Blank),
        (" \t", Blank),
        (" # x = 1", Blank),
        ("x = 1", Assignment),
        ("x=1", Assignment),
        ("x", Assignment),
        ("virtual a {", Opening),
        ("virtual", Opening),
        ("server{", Opening),
        ("virtuals a {", Assignment),
        (" } ", Closing),
        ("}} x", Closing),
        ("{", LoneBrace),
    ],
)
def test_what_a_line_is(text: str, kind: type) -> None:
    assert isinstance(statement_of(text), kind)


@given(RAGGED)
def test_blocks_lie_inside_of_their_document(text: str) -> None:
    document = split(text)
    root = build(document, Findings(file=""))
    stack = [root]
    while stack:
        block = stack.pop()
        for item in block.entries:
            assert 0 <= item.line < len(document.lines)
        for inner in (item for keyword in ("virtual", "failover", "server") for item in block.blocks(keyword)):
            assert 0 <= inner.first <= inner.last < len(document.lines)
            stack.append(inner)
