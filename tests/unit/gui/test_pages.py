"""A person's tasks, form by form; after each a look at lvs.cf and at the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.unit.gui_world import GuiWorld, gui_world, text_of

from piranha.client.asynchronous import Answer
from piranha.gui.role import Role
from piranha.model.health import Health

WEB = "/virtual-servers/edit?virtual=HTTP"
EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GuiWorld]:
    with gui_world(tmp_path) as made:
        yield made


def form_of(html: str, action: str) -> dict[str, str]:
    """What a browser would send of the form with this action, as the page shows it."""
    form = next(one for one in re.findall(r"<form.*?</form>", html, re.S) if f'action="{action}"' in one)
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        kind, name = attribute(tag, "type"), attribute(tag, "name")
        if name and kind not in ("checkbox", "radio"):
            found[name] = attribute(tag, "value")
    for opening, inside in re.findall(r"(<textarea[^>]*>)\n?(.*?)</textarea>", form, re.S):
        found[attribute(opening, "name")] = unescaped(inside)
    for opening, inside in re.findall(r"(<select[^>]*>)(.*?)</select>", form, re.S):
        chosen = re.search(r"<option[^>]*selected[^>]*>", inside)
        found[attribute(opening, "name")] = attribute(chosen[0], "value") if chosen else ""
    return found


def attribute(tag: str, name: str) -> str:
    match = re.search(rf'\s{name}="([^"]*)"', tag)
    return unescaped(match[1]) if match else ""


def unescaped(text: str) -> str:
    for entity, letter in (("&#34;", '"'), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return text


def fill(client: TestClient, page: str, act: str = "save", **values: str) -> Any:
    """Load a page, change fields of its form (`set.` goes before names of directives), send it."""
    html = client.get(page).text
    action = page.replace("&", "&amp;")
    form = form_of(html, action if f'action="{action}"' in html else f"{action}&amp;tab=service")
    form |= {name if name in form else f"set.{name}": value for name, value in values.items()}
    return client.post(page, data={**form, "act": act})


def test_the_first_page_shows_problems_before_all_else(world: GuiWorld) -> None:
    world.thread.do(lambda: world.world.nanny.say("10.0.0.11", Health.UP))
    world.thread.do(lambda: world.world.nanny.say("10.0.0.12", Health.DOWN, "connection refused"))
    world.until(lambda: len(world.world.pool()) == 1)
    html = world.client(Role.VIEWER).get("/").text
    text = text_of(html)
    assert "HTTP / web2 : connection refused" in text
    assert text.index("connection refused") < text.index("Directors")
    assert "◆ degraded" in text
    assert "no pulse runs here" in text
    assert "Fail over" not in text


def test_every_page_is_there_for_a_viewer_and_changes_nothing(world: GuiWorld) -> None:
    client, before = world.client(Role.VIEWER), world.world.config.read_text()
    for target in ("/", "/global", "/redundancy", "/virtual-servers", WEB, f"{WEB}&tab=servers", f"{WEB}&tab=checks",
                   "/virtual-servers/server?virtual=HTTP&server=web1", "/connections", "/events", "/configuration", "/doctor",
                   "/configuration/versions/1", "/virtual-servers/servers?service=tcp+10.0.0.100:80", "/password"):  # fmt: skip
        answer = client.get(target)
        assert answer.status_code == 200, f"{target}: {text_of(answer.text)}"
        assert 'name="act" value="save"' not in answer.text, target
    assert world.world.config.read_text() == before


def test_a_changed_directive_is_in_the_file_and_its_comments_stay(world: GuiWorld) -> None:
    answer = fill(world.client(Role.ADMIN), WEB, scheduler="wrr", vip_nmask="255.255.0.0")
    assert answer.status_code == 303, text_of(answer.text)
    text = world.world.config.read_text()
    assert "# the article's cluster" in text
    assert "scheduler = wrr" in text
    assert "vip_nmask = 255.255.0.0" in text
    (service,) = world.world.plane.snapshot()
    assert service.service.scheduler == "wrr"
    entry = world.context.audit.entries()[-1]
    assert (entry.who, entry.act, entry.result) == ("admin", "POST /virtual-servers/edit", "303")
    assert "HTTP" in entry.detail


def test_an_emptied_field_takes_the_directive_out(world: GuiWorld) -> None:
    assert fill(world.client(Role.ADMIN), f"{WEB}&tab=checks", timeout="").status_code == 303
    assert "timeout" not in world.world.config.read_text()


def test_a_preview_changes_nothing_and_says_what_it_would(world: GuiWorld) -> None:
    before = world.world.config.read_text()
    answer = fill(world.client(Role.ADMIN), WEB, "rehearse", scheduler="sh")
    assert answer.status_code == 200
    assert "This can be saved" in answer.text
    assert "+    scheduler = sh" in answer.text
    assert world.world.config.read_text() == before
    assert world.context.audit.entries() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "70000"), ("port", "eighty"), ("address", "10.0.0.999 eth0"), ("address", "10.0.0.1\nactive = 0"), ("scheduler", "fastest"),
     ("persistent", "-1"), ("vip_nmask", "banana"), ("sorry_server", EVIL), ("fwmark", "99999999999")],
)  # fmt: skip
def test_a_bad_value_is_said_beside_its_field_and_stays_typed(world: GuiWorld, name: str, value: str) -> None:
    before = world.world.config.read_text()
    answer = fill(world.client(Role.ADMIN), WEB, **{name: value})
    assert answer.status_code == 422
    box = next(
        one for one in re.findall(r'<div class="field".*?</div>', answer.text, re.S) if f'data-field="{name}"' in one
    )
    assert 'aria-invalid="true"' in box
    assert re.search(r'class="fault"[^>]*>(?!</p>)', box)
    assert "<script>alert" not in answer.text
    assert world.world.config.read_text() == before


def test_while_one_types_only_the_verdict_comes(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    form = form_of(client.get(WEB).text, f"{WEB}&amp;tab=service") | {"set.port": "70000", "act": "rehearse"}
    answer = client.post(WEB, data=form, headers={"hx-request": "true"})
    assert answer.status_code == 200
    assert 'data-fault="port"' in answer.text
    assert "<html" not in answer.text


_ANY = st.text(st.characters(codec="utf-8"), max_size=120)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.one_of(
        _ANY,
        st.sampled_from(["a\nactive = 0", 'a" b', "x } server y {", "x # y", "a\r\nb", "\u2028", "'", '"', "{", "}"]),
    )
)
def test_nothing_typed_makes_a_second_line(world: GuiWorld, value: str) -> None:
    """Whatever stands in one field becomes one value on one line, or is refused; every other line stays as it was."""
    before = world.world.config.read_text().splitlines()
    answer = fill(world.client(Role.ADMIN), f"{WEB}&tab=checks", send=value)
    assert answer.status_code in (303, 422), text_of(answer.text)
    after = world.world.config.read_text().split("\n")

    def others(lines: list[str]) -> list[str]:
        return [line for line in lines if not line.lstrip().startswith(("send =", "serial_no =")) and line]

    assert others(after) == others(before)
    assert sum(line.lstrip().startswith("send =") for line in after) <= 1


def test_names_with_markup_are_shown_as_text(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    answer = fill(client, WEB, new_name=EVIL)
    if answer.status_code == 303:
        for target in ("/", "/virtual-servers", "/configuration", "/events", "/audit"):
            assert "<script>alert" not in client.get(target).text, target
    else:
        assert answer.status_code == 422
        assert "<script>alert" not in answer.text


def test_a_virtual_server_from_nothing_to_its_servers(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    answer = fill(client, "/virtual-servers/new", new_name="mail", address="10.0.0.101 eth0:2", port="25")
    assert answer.status_code == 303, text_of(answer.text)
    server = "/virtual-servers/server?virtual=mail"
    html = client.get(server).text
    form = form_of(html, f"{server}&amp;server=") | {"new_name": "mx1", "set.address": "10.0.0.21", "act": "save"}
    assert client.post(server, data=form).status_code == 303
    assert {str(status.service.key.address) for status in world.world.plane.snapshot()} == {"10.0.0.100", "10.0.0.101"}
    mx1 = "/virtual-servers/server?virtual=mail&server=mx1"
    form = form_of(client.get(mx1).text, mx1.replace("&", "&amp;")) | {"set.weight": "7", "act": "save"}
    assert client.post(mx1, data=form).status_code == 303
    assert "weight = 7" in world.world.config.read_text()
    assert client.post(mx1, data={"act": "delete", "typed": "mx"}).status_code == 400
    assert client.post(mx1, data={"act": "delete", "typed": "mx1"}).status_code == 303
    assert "mx1" not in world.world.config.read_text()
    page = client.get("/virtual-servers").text
    digest = form_of(page, "/virtual-servers")["digest"]
    several = {"name": ["mail"], "digest": digest}
    assert client.post("/virtual-servers", data={**several, "act": "deactivate"}).status_code == 303
    assert {str(status.service.key.address) for status in world.world.plane.snapshot()} == {"10.0.0.100"}
    assert client.post("/virtual-servers", data={**several, "act": "activate"}).status_code == 409, (
        "made on an older text"
    )
    digest = form_of(client.get("/virtual-servers").text, "/virtual-servers")["digest"]
    assert client.post("/virtual-servers", data={"name": "mail", "digest": digest, "act": "delete"}).status_code == 400
    last = client.post("/virtual-servers", data={"name": "mail", "digest": digest, "act": "delete", "typed": "delete"})
    assert last.status_code == 303
    assert "mail" not in world.world.config.read_text()


def test_an_operator_drains_a_server_and_takes_it_back(world: GuiWorld) -> None:
    for address in ("10.0.0.11", "10.0.0.12"):
        world.thread.do(lambda address=address: world.world.nanny.say(address, Health.UP))
    world.until(lambda: len(world.world.pool()) == 2)
    client = world.client(Role.OPERATOR)
    target = "/virtual-servers/server/state?virtual=HTTP&server=web1"
    assert client.post(target, data={"act": "explode"}).status_code == 400
    assert client.post(target, data={"act": "weight", "weight": "-1"}).status_code == 400
    assert client.post(target, data={"act": "drain", "minutes": "soon"}).status_code == 400
    assert client.post(target, data={"act": "drain", "why": "new disk", "minutes": "30"}).status_code == 303
    world.until(lambda: 0 in world.world.pool().values() or len(world.world.pool()) == 1)
    page = text_of(client.get("/virtual-servers/server?virtual=HTTP&server=web1").text)
    assert "◆ drain" in page
    assert "new disk" in page
    assert "this service operator" in page
    assert client.post(target, data={"act": "release"}).status_code == 303
    world.until(lambda: sorted(world.world.pool().values()) == [1, 3])
    assert world.context.audit.entries()[-1].detail == "release web1 in HTTP"


def test_two_people_who_change_different_things_both_win(world: GuiWorld) -> None:
    ann, bob = world.client(Role.ADMIN), world.client(Role.ADMIN)
    form = form_of(ann.get(WEB).text, f"{WEB}&amp;tab=service") | {"set.scheduler": "wrr", "act": "save"}
    assert fill(bob, WEB, vip_nmask="255.255.0.0").status_code == 303
    assert ann.post(WEB, data=form).status_code == 303
    text = world.world.config.read_text()
    assert "scheduler = wrr" in text
    assert "vip_nmask = 255.255.0.0" in text


def test_two_people_who_change_the_same_thing_see_it(world: GuiWorld) -> None:
    ann, bob = world.client(Role.ADMIN), world.client(Role.ADMIN)
    form = form_of(ann.get(WEB).text, f"{WEB}&amp;tab=service") | {"set.scheduler": "wrr", "act": "save"}
    assert fill(bob, WEB, scheduler="sh").status_code == 303
    answer = ann.post(WEB, data=form)
    assert answer.status_code == 412
    assert "somebody else changed the same values" in answer.text
    assert "changed meanwhile to: sh" in answer.text
    assert "scheduler = sh" in world.world.config.read_text()
    again = form_of(answer.text, f"{WEB}&amp;tab=service")
    assert again["set.scheduler"] == "wrr"
    assert ann.post(WEB, data={**again, "act": "save"}).status_code == 303
    assert "scheduler = wrr" in world.world.config.read_text()


def test_global_settings_and_redundancy(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    assert fill(client, "/global", tcp_timeout="600").status_code == 303
    assert (
        fill(client, "/redundancy", backup="10.0.0.2", backup_active="1", keepalive="2", deadtime="8").status_code
        == 303
    )
    text = world.world.config.read_text()
    assert all(line in text for line in ("tcp_timeout = 600", "backup = 10.0.0.2", "backup_active = 1", "deadtime = 8"))
    assert world.world.plane.status().name == "memory"


def test_the_text_is_edited_checked_and_taken_back(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    form = form_of(client.get("/configuration").text, "/configuration")
    bad = client.post("/configuration", data={**form, "text": form["text"] + "bananas = 1\n", "act": "save"})
    assert bad.status_code == 422
    assert re.search(r'data-line="\d+"', bad.text)
    assert "bananas = 1" in bad.text
    asked = client.post(
        "/configuration", data={**form, "text": form["text"].replace("= rr", "= wrr"), "act": "rehearse"}
    )
    assert "This can be saved" in asked.text
    assert "wrr" in asked.text
    assert "scheduler = rr" in world.world.config.read_text()
    saved = client.post(
        "/configuration",
        data={**form, "text": form["text"].replace("= rr", "= wrr"), "act": "save", "comment": "why not"},
    )
    assert saved.status_code == 303, text_of(saved.text)
    (service,) = world.world.plane.snapshot()
    assert service.service.scheduler == "wrr"
    page = client.get("/configuration").text
    assert "why not" in page
    assert "scheduler = wrr" in client.get("/configuration/difference").text
    stale = client.post("/configuration", data={**form, "text": form["text"] + "# mine\n", "act": "save"})
    assert stale.status_code == 412
    assert "# mine" in stale.text
    assert "Their text" in stale.text
    assert client.post("/configuration/rollback", data={"version": "1"}).status_code == 303
    (service,) = world.world.plane.snapshot()
    assert service.service.scheduler == "rr"


def test_a_change_that_waits_is_shown_on_every_form_and_confirmed(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    assert fill(client, WEB, scheduler="wrr", confirm_s="60").status_code == 303
    for target in (WEB, "/global", "/configuration"):
        assert "waits to be confirmed" in client.get(target).text
    assert client.post("/configuration/confirm").status_code == 303
    assert "waits to be confirmed" not in client.get(WEB).text


def test_the_wizard_makes_a_balanced_virtual_server(tmp_path: Path) -> None:
    with gui_world(tmp_path, "primary = 10.0.0.1\n") as world:
        client = world.client(Role.ADMIN)
        assert client.get("/").headers["location"] == "/wizard"
        form = form_of(client.get("/wizard").text, "/wizard")
        given = {**form, "vip": "10.0.0.100", "device": "eth0", "servers": "10.0.0.11\n10.0.0.12\n"}
        wrong = client.post("/wizard", data={**given, "vip": "10.0.0.300", "act": "save"})
        assert wrong.status_code == 422
        assert "10.0.0.300" in wrong.text
        assert "address" in text_of(wrong.text)
        empty = client.post("/wizard", data={**given, "servers": "", "act": "save"})
        assert empty.status_code == 422
        assert client.post("/wizard", data={**given, "act": "rehearse"}).status_code == 200
        assert client.post("/wizard", data={**given, "act": "save"}).status_code == 303
        for address in ("10.0.0.11", "10.0.0.12"):
            world.thread.do(lambda address=address: world.world.nanny.say(address, Health.UP))
        world.until(lambda: len(world.world.pool()) == 2)
        assert "realserver setup" in client.get("/wizard").text


def test_a_large_farm_comes_in_pages_and_problems_come_first(tmp_path: Path) -> None:
    block = "virtual v{0} {{\n active = 1\n address = 10.1.{1}.{2} eth0\n server s {{\n address = 10.2.0.1\n active = 1\n }}\n}}\n"
    text = "primary = 10.0.0.1\n" + "".join(block.format(n, n // 250, n % 250 + 1) for n in range(450))
    with gui_world(tmp_path, text) as world:
        client = world.client(Role.VIEWER)
        first = client.get("/virtual-servers").text
        assert first.count("<tr data-service=") == 200
        assert "450 of 450, page 1 of 3" in text_of(first)
        assert client.get("/virtual-servers?page=3").text.count("<tr data-service=") == 50
        assert client.get("/virtual-servers?words=v449").text.count("<tr data-service=") == 1
        assert client.get("/virtual-servers?words=nothing&page=9").status_code == 200
        assert len(client.get("/").text) < 500_000


CONFLICT = {
    "state": "apart", "why": "both were edited", "generation": "3.7", "peer": "lb2", "peer_address": "10.0.0.2", "peer_generation": "3.8",
    "problems": ["two configurations"],
    "conflicts": [{"id": "ab12", "director": "lb2", "generation": "3.8", "lines": 40, "text_here": True}],
}  # fmt: skip


def test_a_conflict_of_the_two_directors_is_shown_and_ended(world: GuiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lvsd says of replication is played; the rest is lvsd's own."""
    real, sent = world.context.lvsd.forward, []

    async def played(method: str, target: str, who: Any, **more: Any) -> Answer:
        if target == "/api/v1/replication":
            return Answer(status=200, body=json.dumps(CONFLICT).encode())
        if "/conflicts/" in target:
            sent.append((method, target, json.loads(more["body"]), who.name))
            return Answer(
                status=200, body=json.dumps({"state": "in step", "generation": "3.9", "sentence": "taken"}).encode()
            )
        return await real(method, target, who, **more)

    monkeypatch.setattr(world.context.lvsd, "forward", played)
    client = world.client(Role.ADMIN)
    text = text_of(client.get("/redundancy").text)
    assert "■ apart" in text
    assert "The text of lb2" in text
    assert client.post("/redundancy/conflict", data={"id": "ab12", "take": "theirs"}).status_code == 303
    assert sent == [("POST", "/api/v1/configuration/conflicts/ab12", {"take": "theirs"}, "admin")]
    assert "Put it in force" not in world.client(Role.VIEWER).get("/redundancy").text


def test_a_failover_is_typed_first(world: GuiWorld) -> None:
    client = world.client(Role.OPERATOR)
    assert client.post("/cluster/switch", data={"typed": ""}).status_code == 400
    answer = client.post("/cluster/switch", data={"typed": "failover"})
    assert answer.status_code == 409
    assert "no pulse" in answer.text
    assert client.post("/cluster/reboot", data={"typed": "failover"}).status_code == 400


def test_accounts_and_tokens(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    made = client.post("/accounts", data={"act": "add", "name": "ann", "role": "viewer"})
    link = re.search(r"https://lb1:3636(/link/\S+?)<", made.text)
    assert link is not None
    assert client.post("/accounts", data={"act": "add", "name": "ann", "role": "viewer"}).status_code == 400
    world.client().post(link[1], data={"password": "a brown fox in snow", "again": "a brown fox in snow"})
    account = world.context.accounts.account("ann")
    assert account is not None
    assert account.role is Role.VIEWER
    assert client.post("/accounts", data={"act": "role", "name": "admin", "role": "viewer"}).status_code == 409
    assert client.post("/accounts", data={"act": "delete", "name": "admin", "typed": "admin"}).status_code == 409
    assert client.post("/accounts", data={"act": "role", "name": "ann", "role": "operator"}).status_code == 303
    shown = client.post("/accounts", data={"act": "token", "label": "prometheus", "role": "viewer", "days": "30"}).text
    token = re.search(r"pir_\w+_[\w-]+", shown)
    assert token is not None
    assert token[0] not in client.get("/accounts").text
    headers = {"authorization": f"Bearer {token[0]}", "accept": "application/json"}
    status = world.client().get("/api/v1/status", headers=headers)
    assert status.status_code == 200
    assert status.json()["summary"]["services"] == 1
    assert world.client().post("/api/v1/reload", headers=headers).status_code == 403
    assert (
        client.post("/accounts", data={"act": "token", "label": "x", "role": "root", "days": "30"}).status_code == 400
    )
    assert client.post("/accounts", data={"act": "delete", "name": "ann", "typed": "ann"}).status_code == 303
    audit = text_of(client.get("/audit").text)
    assert "is whole" in audit
    assert "prometheus" in audit


def test_the_api_passes_conditions_and_names_on(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    client.headers["accept"] = "application/json"
    shown = client.get("/api/v1/configuration")
    body = {"text": shown.json()["text"].replace("= rr", "= wlc"), "comment": "by hand"}
    assert client.put("/api/v1/configuration", json=body).status_code == 428
    assert client.put("/api/v1/configuration", json=body, headers={"if-match": '"old"'}).status_code == 412
    assert (
        client.put("/api/v1/configuration", json=body, headers={"if-match": shown.headers["etag"]}).status_code == 200
    )
    versions = client.get("/api/v1/configuration/versions").json()["versions"]
    assert (versions[0]["who"], versions[0]["comment"]) == ("admin", "by hand")


def test_a_lost_lvsd_is_said_and_nothing_typed_is_lost(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    form = form_of(client.get(WEB).text, f"{WEB}&amp;tab=service")
    world.thread.end()
    for target in ("/", WEB, "/configuration", "/events", "/connections"):
        answer = client.get(target)
        assert answer.status_code == 503, target
        assert "lvsd is not running" in answer.text
    assert client.get("/accounts").status_code == 200
    asked = client.post(WEB, data={**form, "act": "rehearse"}, headers={"hx-request": "true"})
    assert asked.status_code == 503
    assert "<html" not in asked.text


@pytest.mark.parametrize("target", [WEB + "x", "/virtual-servers/server?virtual=HTTP&server=no", "/configuration/versions/99",
                                    "/configuration/difference?from=1&to=99", "/connections?port=x", "/events?kind=x"])  # fmt: skip
def test_a_question_for_what_is_not_there_is_answered(world: GuiWorld, target: str) -> None:
    answer = world.client(Role.ADMIN).get(target)
    assert answer.status_code in (200, 400, 404, 409)
    assert "Traceback" not in answer.text


def test_a_body_without_end_is_refused(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    answer = client.post(
        "/configuration", content=b"x" * (9 << 20), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400
