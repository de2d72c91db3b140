from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from pathlib import Path

import pytest
from bench import page
from bench.report import Goal, Row

ROWS = [
    Row(case="established, 1M flows", ours=200.0, peer=400.0, goal=Goal(most=0.45, figure="ratio")),
    Row(case="new & fast", ours=300.0, peer=500.0, goal=Goal(most=0.9, figure="ratio")),
    Row(case="list", unit="s", ours=0.02),
    Row(case="broken", failure="it did not run"),
]
DOCUMENT = {
    "when": "2026-11-24T20:43:33+00:00",
    "machine": {"cpu": "2 x something", "kernel": "6.18"},
    "rows": [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in ROWS],
}


def test_the_page_has_every_row_and_the_machine() -> None:
    text = page.page(json.loads(json.dumps(DOCUMENT)))
    assert "1 of 2 goals were met in this run, of 2026-11-24" in text
    assert "| established, 1M flows | 200 ns | 400 ns | 0.50 | ratio <= 0.45 | no |" in text
    assert "| broken | FAILED |" in text
    assert "| cpu | 2 x something |" in text


def test_the_chart_is_a_drawing_of_what_has_a_rival() -> None:
    drawing = ElementTree.fromstring(page.chart(DOCUMENT))
    bars = drawing.findall("{http://www.w3.org/2000/svg}rect")
    # Two in the legend, then ours and the rival's of each row that has both.
    ours, peers = (
        [float(bar.get("width", "0")) for bar in bars[2:] if bar.get("class") == kind] for kind in ("ours", "peer")
    )
    assert [round(one / other, 2) for one, other in zip(ours, peers, strict=True)] == [0.5, 0.6]
    assert ours[0] / ours[1] == pytest.approx(200 / 300, rel=0.01)


def test_no_result_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    assert page.main([]) == 1
    assert "make bench" in capsys.readouterr().err
    (tmp_path / "x.json").write_text("{}")
    assert page.main([]) == 1
    assert "no result of the bench" in capsys.readouterr().err
