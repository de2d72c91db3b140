"""Two texts side by side: every line of both is shown once, or stands for equal ones that are left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from piranha.config.comparison import RowKind, side_by_side, unified

TEXTS = st.lists(st.sampled_from(("a", "b", "c", "", "x = 1"))).map("\n".join)


def test_changes_stand_opposite_each_other() -> None:
    before = "".join(f"line {n}\n" for n in range(20))
    after = before.replace("line 9\n", "LINE 9\nnew\n").replace("line 15\n", "")
    rows = side_by_side(before, after)
    told = [(row.kind.value, row.left_line, row.right_line) for row in rows if row.kind is not RowKind.SAME]
    assert told == [
        ("skipped", None, None),
        ("changed", 10, 10),
        ("added", None, 11),
        ("removed", 16, None),
        ("skipped", None, None),
    ]
    assert unified(before, after, "old", "new").startswith("--- old\n+++ new\n@@ ")


def test_equal_texts_have_no_difference() -> None:
    assert side_by_side("a\n", "a\n") == []
    assert unified("a\n", "a\n", "x", "y") == ""


@given(TEXTS, TEXTS)
def test_every_changed_line_is_shown_once(before: str, after: str) -> None:
    rows = side_by_side(before, after)
    texts = {
        side: text.removesuffix("\n").split("\n") if text else [] for side, text in (("left", before), ("right", after))
    }
    for side, lines in texts.items():
        for row in rows:
            number = getattr(row, f"{side}_line")
            if number is not None:
                assert getattr(row, side) == lines[number - 1]
    shown = sum(row.kind is not RowKind.SAME for row in rows if row.kind is not RowKind.SKIPPED)
    assert (shown == 0) == (texts["left"] == texts["right"])
