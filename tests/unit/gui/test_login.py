"""Logging in: links, passwords, sessions, attempts; and the three holes of the original (spec: its CVE list)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.gui_world import PASSWORD, GuiWorld, gui_world

import piranha.gui
from piranha.gui.passwords import fault_of
from piranha.gui.role import Role
from piranha.gui.sessions import COOKIE, IDLE_S, LONGEST_S

NEW = "a brown fox in snow"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GuiWorld]:
    with gui_world(tmp_path, lvsd=False) as made:
        yield made


def log_in(world: GuiWorld, name: str, password: str, **more: str) -> int:
    client = world.client()
    return client.post("/login", data={"name": name, "password": password, **more}).status_code


def test_a_fresh_install_lets_nobody_in(world: GuiWorld) -> None:
    """CVE-2000-0248: the original came with an account and its password."""
    for name, password in (("piranha", "q"), ("piranha", "piranha"), ("admin", "admin"), ("admin", ""), ("", "")):
        assert log_in(world, name, password) == 401
    assert world.context.accounts.is_empty
    assert "piranha gui passwd" in world.client().get("/login").text


def test_the_link_of_the_first_start_works_once(world: GuiWorld) -> None:
    secret = world.context.accounts.make_link()
    client = world.client()
    assert client.get(f"/link/{secret}").status_code == 200
    form = {"name": "ann", "password": NEW, "again": NEW}
    answer = client.post(f"/link/{secret}", data=form)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert all(word in cookie.lower() for word in ("secure", "httponly", "samesite=strict", "path=/"))
    account = world.context.accounts.account("ann")
    assert account is not None
    assert account.role is Role.ADMIN
    assert account.hash.startswith("$argon2id$")
    assert world.client().post(f"/link/{secret}", data=form).status_code == 409
    assert log_in(world, "ann", NEW) == 303


def test_a_link_ends_after_a_day_and_when_there_is_an_account(world: GuiWorld) -> None:
    first, second = world.context.accounts.make_link(), world.context.accounts.make_link()
    assert world.client().get(f"/link/{first}").status_code == 409, "a newer link takes the older one's place"
    world.wall += 24 * 3600 + 1
    assert world.client().get(f"/link/{second}").status_code == 409
    third = world.context.accounts.make_link()
    world.client(Role.ADMIN)
    assert world.client().get(f"/link/{third}").status_code == 409


@pytest.mark.parametrize(
    "password", ["", "short", "password12", "piranhapiranha", "ann-ann-ann-ann", "aaaaaaaaaaaaaaa", "x" * 257]
)
def test_bad_passwords_are_refused_with_a_word_why(world: GuiWorld, password: str) -> None:
    secret = world.context.accounts.make_link()
    answer = world.client().post(f"/link/{secret}", data={"name": "ann", "password": password, "again": password})
    assert answer.status_code == 422
    assert "the password is too" in answer.text
    assert fault_of(password, "ann")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x", "<script>", "é", "a\nb"])
def test_names_of_accounts_are_plain(world: GuiWorld, name: str) -> None:
    secret = world.context.accounts.make_link()
    answer = world.client().post(f"/link/{secret}", data={"name": name, "password": NEW, "again": NEW})
    assert answer.status_code == 422
    assert world.context.accounts.is_empty


def test_no_name_or_password_reaches_a_shell(world: GuiWorld) -> None:
    """CVE-2000-0322: the original's password page handed what was typed to a shell. We have none to hand it to."""
    evil = "x; touch /tmp/owned `id` $(id) | sh & aa"
    secret = world.context.accounts.make_link()
    form = {"name": "ann", "password": evil, "again": evil}
    assert world.client().post(f"/link/{secret}", data=form).status_code == 303
    assert log_in(world, "ann", evil) == 303
    for path in Path(piranha.gui.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not {"subprocess", "pty", "pickle", "marshal", "shelve"} & set(names), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"system", "popen", "execv", "execve", "execvp", "posix_spawn", "fork"}, path
            if isinstance(node, ast.Name):
                assert node.id not in {"eval", "exec", "compile"}, path


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "POSt", "ANYTHING"])
def test_no_method_gets_around_the_login(world: GuiWorld, method: str) -> None:
    """CVE-2013-6492: the original asked for a password at GET alone, so POST read and changed everything."""
    world.client(Role.ADMIN)
    for target in ("/configuration", "/virtual-servers", "/accounts", "/api/v1/configuration", "/global"):
        answer = world.client().request(method, target, data={"text": "primary = 10.0.0.9"})
        assert answer.status_code == 401, f"{method} {target}"
        assert "serial_no" not in answer.text


def test_a_session_ends_idle_and_old_and_by_logging_out(world: GuiWorld) -> None:
    client = world.client(Role.ADMIN)
    world.clock.advance(IDLE_S - 1)
    assert client.get("/password").status_code == 200
    world.clock.advance(IDLE_S - 1)
    assert client.get("/password").status_code == 200
    world.clock.advance(IDLE_S)
    assert client.get("/password").status_code == 303
    fresh = world.client(Role.ADMIN)
    for _ in range(int(LONGEST_S / 600)):
        world.clock.advance(600)
        answer = fresh.get("/password").status_code
    assert answer == 303
    last = world.client(Role.ADMIN)
    assert last.post("/logout").status_code == 303
    assert last.get("/password").status_code == 303


def test_another_password_ends_the_sessions_of_the_old_one(world: GuiWorld) -> None:
    old, other = world.client(Role.ADMIN), world.client(Role.ADMIN)
    form = {"old": PASSWORD, "password": NEW, "again": NEW}
    assert old.post("/password", data={**form, "old": "wrong"}).status_code == 422
    assert old.post("/password", data={**form, "again": "other"}).status_code == 422
    assert old.post("/password", data=form).status_code == 303
    assert other.get("/password").status_code == 303
    assert log_in(world, "admin", PASSWORD) == 401
    assert log_in(world, "admin", NEW) == 303


def test_attempts_are_slowed_down(world: GuiWorld) -> None:
    world.client(Role.ADMIN)
    answers = [log_in(world, "admin", f"guess {number}") for number in range(8)]
    assert answers[:5] == [401] * 5
    assert answers[-1] == 429
    assert log_in(world, "admin", PASSWORD) == 429, "the right password waits too"
    world.clock.advance(61)
    assert log_in(world, "admin", PASSWORD) == 303
    assert log_in(world, "admin", PASSWORD) == 303


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nset-cookie: x=1", ""],
)
def test_a_login_leads_to_pages_of_ours_alone(world: GuiWorld, target: str) -> None:
    world.client(Role.ADMIN)
    answer = world.client().post("/login", data={"name": "admin", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_a_login_leads_on_to_where_one_wanted(world: GuiWorld) -> None:
    world.client(Role.ADMIN)
    asked = world.client().get("/connections?client=10.0.0.1")
    assert asked.headers["location"] == "/login?next=%2Fconnections%3Fclient%3D10.0.0.1"
    answer = world.client().post(
        "/login", data={"name": "admin", "password": PASSWORD, "next": "/connections?client=10.0.0.1"}
    )
    assert answer.headers["location"] == "/connections?client=10.0.0.1"


def test_every_login_is_in_the_audit_log(world: GuiWorld) -> None:
    world.client(Role.ADMIN)
    log_in(world, "admin", "wrong password")
    log_in(world, "admin", PASSWORD)
    entries = world.context.audit.entries()
    assert [(entry.act, entry.result, entry.detail) for entry in entries] == [
        ("POST /login", "401", "as admin"),
        ("POST /login", "303", "as admin"),
    ]
    assert PASSWORD not in str(entries)


def test_an_expired_or_revoked_token_is_none(world: GuiWorld) -> None:
    token = world.token(Role.VIEWER)
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    assert world.client().get("/api/v1/status", headers=headers).status_code == 503
    world.wall += 86401
    assert world.client().get("/api/v1/status", headers=headers).status_code == 401
    other = world.token(Role.VIEWER)
    world.context.accounts.revoke(other.split("_")[1])
    answer = world.client().get("/api/v1/status", headers={**headers, "authorization": f"Bearer {other}"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
