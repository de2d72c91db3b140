"""Pictures of the key pages, in `build/screenshots/`: `make screenshots`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.browser.conftest import CHROMIUM, enter, reason_against
from tests.browser.director import director

TARGET = Path(__file__).parents[2] / "build" / "screenshots"
PAGES = {
    "control": "/",
    "virtual-servers": "/virtual-servers",
    "virtual-server": "/virtual-servers/edit?virtual=web",
    "real-server": "/virtual-servers/server?virtual=web&server=web1",
    "redundancy": "/redundancy",
    "configuration": "/configuration",
}


def main() -> int:
    if reason := reason_against():
        print(f"screenshots: {reason}", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    TARGET.mkdir(parents=True, exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, director(Path(folder)) as lb, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 860}).new_page()
        enter(page, lb)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            for name, target in PAGES.items():
                page.goto(f"{lb.url}{target}")
                if target in ("/", "/virtual-servers"):
                    # The chart and the lines of the rows have something to draw.
                    page.wait_for_timeout(4000)
                page.screenshot(path=TARGET / f"{name}-{theme}.png")
                print(f"screenshots: {TARGET / f'{name}-{theme}.png'}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
