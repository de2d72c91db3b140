"""The dashboard asks for metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_expression_names_a_family_of_ours() -> None:
    dashboard = json.loads((ROOT / "packaging" / "grafana" / "piranha.json").read_text())
    written = (ROOT / "src" / "piranha" / "metrics" / "families.py").read_text()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for name in re.findall(r"piranha_\w+", target["expr"]):
                families = (name, name.rpartition("_connections_")[0] + "_connections_{activity}")
                pulse = re.sub(r"_(sent|heard)_total$", "_{field}_total", name)
                assert any(f'"{one}"' in written for one in (*families, pulse)), name
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_the_page_names_metrics_that_there_are() -> None:
    written = (ROOT / "src" / "piranha" / "metrics" / "families.py").read_text()
    page = (ROOT / "docs" / "operate" / "watch.md").read_text()
    names = set(re.findall(r"piranha_[a-z_]*[a-z]", page.partition("## Metrics")[2]))
    assert names
    assert all(f'"{name}"' in written for name in names), names
