"""A browser that fails the test on any console error, script error or request that leaves this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.browser.director import Director, director

PASSWORD = "four horses eat hay"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parents[2] / "build" / "npm" / "axe.js"


def reason_against() -> str:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (group dev)"
    if CHROMIUM is None:
        return "there is no Chromium here: make browser installs it"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here, reason = Path(__file__).parent, reason_against()
    if reason:
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


# Of the package, not of the session: playwright keeps an event loop running in this thread until it is stopped.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    # What a page waits for at most; the library's five seconds are not enough on a machine with other work.
    expect.set_options(timeout=30_000)
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    # Chromium refuses its sandbox to root.
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Director]:
    with director(tmp_path_factory.mktemp("director")) as made:
        yield made


@dataclass
class Watch:
    """What must not happen; a test says beforehand which messages it provokes."""

    # A browser says so when one leaves a page at the moment at which its live stream begins.
    expected: list[str] = field(default_factory=lambda: ["WebSocket is closed before the connection is established"])
    seen: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in self.expected):
            self.seen.append(text)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def page(chromium: Any, lb: Director, watch: Watch) -> Iterator[Any]:
    """A page of a person who is logged in as admin; the first test of a module takes the one-time link."""
    before = len(lb.log("gui"))
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    made = context.new_page()
    made.on(
        "console",
        lambda message: watch.note(f"console: {message.text}") if message.type in ("error", "warning") else None,
    )
    made.on("pageerror", lambda error: watch.note(f"script: {error}"))
    made.on(
        "request",
        lambda request: None if request.url.startswith((lb.url, "data:")) else watch.note(f"foreign: {request.url}"),
    )
    enter(made, lb)
    yield made
    context.close()
    lines = [
        line for line in lb.log("gui")[before:].splitlines() if re.search(r" (WARNING|ERROR|CRITICAL) |Traceback", line)
    ]
    for line in lines:
        watch.note(f"log: {line}")
    assert watch.seen == []


def enter(page: Any, lb: Director) -> None:
    """Log in; the very first time by the one-time link."""
    marker = lb.folder / "entered"
    if marker.exists():
        page.goto(f"{lb.url}/login")
        page.fill("#name", "admin")
        page.fill("#password", PASSWORD)
    else:
        page.goto(lb.link)
        page.fill("#name", "admin")
        page.fill("#password", PASSWORD)
        page.fill("#again", PASSWORD)
        marker.touch()
    page.click("main button.main")
    page.wait_for_url(lambda url: "/link/" not in url and "/login" not in url)
