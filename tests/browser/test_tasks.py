"""A person's tasks in a real browser; after each a look at lvs.cf and at the director."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Watch
from tests.browser.director import Director, RealServer

EDIT = "/virtual-servers/edit?virtual=web"


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator, "")


def test_a_server_that_dies_and_returns_is_seen_without_reloading(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/")
    row = page.locator("tr[data-service]", has_text="web")
    expect(row.locator(".state")).to_have_text("● up", timeout=30_000)
    expect(row.locator(".of")).to_have_text("2/2")
    lb.servers.pop(12).stop()
    expect(row.locator(".state")).to_have_text("◆ degraded", timeout=30_000)
    expect(row.locator(".of")).to_have_text("1/2")
    assert "degraded" in lb.ask("status")
    row.locator("[data-opens]").click()
    expect(page.locator("tr.inner table")).to_contain_text("connection refused")
    lb.servers[12] = RealServer("127.0.0.12", lb.port)


def test_the_live_note_says_how_old_it_is_and_pauses(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/")
    expect(page.locator("#live")).to_contain_text("s ago", timeout=30_000)
    expect(page.locator("#chart canvas")).to_be_visible()
    page.click("#pause")
    expect(page.locator("#live")).to_have_text("paused")


def test_a_field_is_judged_as_it_is_typed_and_saved_when_it_is_good(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}{EDIT}")
    before = lb.config.read_text()
    page.fill("#f-port", "70000")
    expect(page.locator("#f-port-fault")).to_contain_text("from 0 to 65535", timeout=30_000)
    expect(page.locator("#f-port")).to_have_attribute("aria-invalid", "true")
    assert lb.config.read_text() == before
    page.fill("#f-port", str(lb.port))
    page.select_option("#f-scheduler", "wrr")
    expect(page.locator("#verdict")).to_contain_text("This can be saved", timeout=30_000)
    expect(page.locator("#verdict")).to_contain_text("scheduler = wrr")
    page.fill("#comment", "in turn")
    page.click('button[value="save"]')
    page.wait_for_url("**saved=*")
    assert "scheduler = wrr" in lb.config.read_text()
    assert "# a small farm" in lb.config.read_text()
    assert "wrr" in lb.ask("services")


def test_what_is_typed_is_not_lost_by_a_click(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}{EDIT}")
    page.fill("#f-sorry_server", "127.0.0.99")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.click("nav.tabs >> text=Events")
    page.wait_for_url("**/events")
    assert asked == ["beforeunload"]
    page.goto(f"{lb.url}{EDIT}")
    expect(page.locator("#f-sorry_server")).to_have_value("127.0.0.99")
    expect(page.locator("[data-draft-notice]")).to_be_visible()
    page.click("[data-discard]")
    expect(page.locator("#f-sorry_server")).to_have_value("")
    assert "127.0.0.99" not in lb.config.read_text()


def test_a_virtual_server_is_added_activated_and_deleted(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/virtual-servers")
    page.click("text=Add virtual server")
    page.fill("#new_name", "dns")
    page.fill("#f-address", "127.0.0.102 lo")
    page.fill("#f-port", "5353")
    page.click('button[value="save"]')
    page.wait_for_url("**tab=servers*")
    page.click("text=Add real server")
    page.fill("#new_name", "ns1")
    page.fill("#f-address", "127.0.0.14")
    page.click('button[value="save"]')
    page.wait_for_url("**saved=*")
    assert "127.0.0.102:5353" in lb.ask("services")
    page.goto(f"{lb.url}/virtual-servers")
    page.check('input[value="dns"]')
    page.click('button[value="deactivate"]')
    page.wait_for_url("**saved=*")
    assert "127.0.0.102:5353" not in lb.ask("services")
    page.check('input[value="dns"]')
    page.click('[data-dialog="delete"]')
    delete = page.locator("dialog [data-needs-typed]")
    expect(delete).to_be_disabled()
    page.fill("#typed-delete", "delete")
    delete.click()
    page.wait_for_url("**saved=*")
    expect(page.locator("#services")).not_to_contain_text("dns")
    assert "dns" not in lb.config.read_text()
    assert "# the old one" in lb.config.read_text()


def test_the_text_shows_its_errors_by_line_and_a_rollback_brings_it_back(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/configuration")
    before = page.input_value("#text")
    page.fill("#text", before.replace("scheduler =", "schedular ="))
    link = page.locator("#verdict li", has_text="did you mean").locator("[data-line]")
    expect(link).to_be_visible(timeout=30_000)
    link.click()
    line = before.splitlines().index(next(one for one in before.splitlines() if "scheduler =" in one))
    start = sum(len(one) + 1 for one in before.splitlines()[:line])
    assert page.evaluate("document.getElementById('text').selectionStart") == start
    page.fill("#text", before.replace("# a small farm", "# a smaller farm"))
    expect(page.locator("#verdict")).to_contain_text("This can be saved", timeout=30_000)
    page.click('button[value="save"]')
    page.wait_for_url("**saved=*")
    assert "# a smaller farm" in lb.config.read_text()
    page.click("text=Compare")
    expect(page.locator("table.diff tr.changed").first).to_contain_text("a smaller farm")
    page.goto(f"{lb.url}/configuration")
    page.locator("button", has_text="Roll back…").first.click()
    page.locator("dialog[open] button.main").click()
    page.wait_for_url("**saved=*")
    assert "# a small farm" in lb.config.read_text()


def test_a_server_is_drained_and_taken_back(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/virtual-servers/server?virtual=web&server=web1")
    page.fill("#why", "new disk")
    page.click('button[value="drain"]')
    page.wait_for_url("**said=drain*")
    expect(page.locator("main")).to_contain_text("new disk")
    assert "drain" in lb.ask("server", "list")
    page.click('button[value="release"]')
    page.wait_for_url("**said=release*")
    assert "new disk" not in lb.ask("server", "list")


def test_two_people_see_each_other(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/global")
    other = page.context.new_page()
    other.goto(f"{lb.url}/global")
    other.fill("#f-tcp_timeout", "700")
    other.click('button[value="save"]')
    other.wait_for_url("**saved=*")
    page.context.pages[0].bring_to_front()
    page.fill("#f-udp_timeout", "70")
    page.click('button[value="save"]')
    page.wait_for_url("**saved=*")
    text = lb.config.read_text()
    assert "tcp_timeout = 700" in text
    assert "udp_timeout = 70" in text


def test_a_lost_lvsd_is_said_at_once_and_nothing_typed_is_lost(page: Any, lb: Director, watch: Watch) -> None:
    watch.expected += [r"503", r"log: .*lvsd"]
    page.goto(f"{lb.url}/")
    expect(page.locator("#live")).to_contain_text("s ago", timeout=30_000)
    form = page.context.new_page()
    form.goto(f"{lb.url}/global")
    lb.stop("lvsd")
    expect(page.locator("#lost")).to_contain_text("lvsd is not running", timeout=30_000)
    form.fill("#f-udp_timeout", "77")
    form.click('button[value="save"]')
    expect(form.locator(".note.bad").last).to_contain_text("lvsd is not running")
    lb.start("lvsd", "--dataplane", "memory")
    expect(page.locator("#lost")).to_be_hidden(timeout=60_000)
    form.goto(f"{lb.url}/global")
    expect(form.locator("#f-udp_timeout")).to_have_value("77")


def test_the_keyboard_alone_is_enough(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/virtual-servers")
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("mail")
    expect(page.locator("#services tr[data-words]:visible")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#services tr[data-words]:visible")).to_have_count(2)


def test_dark_and_light(page: Any, lb: Director) -> None:
    page.goto(f"{lb.url}/")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("[data-theme-button]")
    page.click("[data-theme-button]")
    dark = page.evaluate(colour)
    assert light != dark
    page.reload()
    assert page.evaluate(colour) == dark


def test_narrow_screens_do_not_scroll_sideways(page: Any, lb: Director) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for target in ("/", "/virtual-servers", EDIT, "/redundancy", "/configuration", "/accounts", "/events"):
        page.goto(f"{lb.url}{target}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{target} is {width} wide"


def test_a_cold_page_is_light(page: Any, lb: Director, chromium: Any) -> None:
    context = chromium.new_context(ignore_https_errors=True, storage_state=page.context.storage_state())
    session = context.new_page()
    client = context.new_cdp_session(session)
    client.send("Network.enable")
    sizes: list[float] = []
    client.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    session.goto(f"{lb.url}/", wait_until="load")
    assert 10_000 < sum(sizes) < 300_000, sum(sizes)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "target",
    ["/", "/virtual-servers", EDIT, EDIT + "&tab=servers", EDIT + "&tab=checks", "/virtual-servers/server?virtual=web&server=web1",
     "/global", "/redundancy", "/connections", "/events", "/configuration", "/configuration/versions/1", "/configuration/difference?from=1&to=1", "/accounts", "/audit",
     "/doctor", "/wizard", "/password"],
)  # fmt: skip
def test_axe_finds_nothing(page: Any, lb: Director, target: str, theme: str) -> None:
    from tests.browser.conftest import AXE

    if not AXE.exists():
        pytest.skip("axe-core is not here: tools/fetch_assets.py --dev")
    page.emulate_media(color_scheme=theme)
    page.goto(f"{lb.url}{target}")
    # axe is a script from outside of the page, which its policy rightly refuses.
    page.context.new_cdp_session(page).send("Page.setBypassCSP", {"enabled": True})
    page.reload()
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")
    faults = [
        f"{one['id']}: {one['nodes'][0]['html'][:150]} ({one['nodes'][0]['failureSummary'][:200]})"
        for one in found["violations"]
    ]
    assert faults == []
