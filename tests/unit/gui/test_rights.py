"""Every route x every method x everybody: what the table below does not allow is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.routing import Route, WebSocketRoute
from tests.unit.gui_world import GuiWorld, gui_world

from piranha.api.operations import OPERATIONS
from piranha.gui.page import Page
from piranha.gui.pages import api, live
from piranha.gui.pages.all_pages import PAGES
from piranha.gui.role import Role

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW")
ROLES = (None, Role.VIEWER, Role.OPERATOR, Role.ADMIN)
N, V, O, A = Role.NOBODY, Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741
EXPECTED: dict[str, dict[str, Role]] = {
    "/static/{name:path}": {"GET": N},
    "/healthz": {"GET": N},
    "/login": {"GET": N, "POST": N},
    "/logout": {"POST": V},
    "/link/{secret:str}": {"GET": N, "POST": N},
    "/password": {"GET": V, "POST": V},
    "/": {"GET": V},
    "/cluster/{verb:str}": {"POST": O},
    "/virtual-servers": {"GET": V, "POST": A},
    "/virtual-servers/servers": {"GET": V},
    "/virtual-servers/edit": {"GET": V, "POST": A},
    "/virtual-servers/new": {"GET": A, "POST": A},
    "/virtual-servers/server": {"GET": V, "POST": A},
    "/virtual-servers/server/state": {"POST": O},
    "/global": {"GET": V, "POST": A},
    "/redundancy": {"GET": V, "POST": A},
    "/redundancy/conflict": {"POST": A},
    "/connections": {"GET": V},
    "/events": {"GET": V},
    "/configuration": {"GET": V, "POST": A},
    "/configuration/versions/{number:int}": {"GET": V},
    "/configuration/difference": {"GET": V},
    "/configuration/rollback": {"POST": A},
    "/configuration/confirm": {"POST": A},
    "/configuration/reload": {"POST": A},
    "/accounts": {"GET": A, "POST": A},
    "/audit": {"GET": A},
    "/doctor": {"GET": V},
    "/wizard": {"GET": A, "POST": A},
    "/api/v1/status": {"GET": V},
    "/api/v1/services": {"GET": V},
    "/api/v1/connections": {"GET": V},
    "/api/v1/cluster": {"GET": V},
    "/api/v1/cluster/switch": {"POST": O},
    "/api/v1/cluster/maintenance_on": {"POST": O},
    "/api/v1/cluster/maintenance_off": {"POST": O},
    "/api/v1/servers": {"GET": V},
    "/api/v1/servers/{server}/state": {"POST": O},
    "/api/v1/events": {"GET": V},
    "/api/v1/statistics": {"GET": V},
    "/api/v1/reload": {"POST": A},
    "/api/v1/configuration": {"GET": V, "PUT": A},
    "/api/v1/configuration/check": {"POST": V},
    "/api/v1/configuration/edit": {"POST": A},
    "/api/v1/configuration/confirm": {"POST": A},
    "/api/v1/configuration/rollback": {"POST": A},
    "/api/v1/configuration/versions": {"GET": V},
    "/api/v1/configuration/versions/{number:int}": {"GET": V},
    "/api/v1/configuration/diff": {"GET": V},
    "/api/v1/configuration/directives": {"GET": V},
    "/api/v1/configuration/conflicts": {"GET": V},
    "/api/v1/configuration/conflicts/{id:str}": {"GET": V, "POST": A},
    "/api/v1/replication": {"GET": V},
    "/api/v1/replication/push": {"POST": A},
    "/api/v1/replication/pull": {"POST": A},
    "/api/v1/replication/key": {"POST": A},
    "/api/v1/doctor": {"GET": V},
    "/api/v1/openapi.json": {"GET": V},
    "/api/v1/metrics": {"GET": V},
}
"""Written down a second time on purpose: a right is changed in two places, or by mistake."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuiWorld]:
    """No lvsd runs: what is allowed reaches nothing, and answers 503 or a page of its own."""
    with gui_world(tmp_path_factory.mktemp("rights"), lvsd=False) as made:
        yield made


def target_of(page: Page) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda word: "1" if word[2] == ":int" else "x", page.path)


def test_the_table_is_the_one_that_was_agreed_on() -> None:
    assert {page.path: {method: role for method, (role, _) in page.methods.items()} for page in PAGES} == EXPECTED


def test_the_application_has_no_other_route(world: GuiWorld) -> None:
    routes = world.app.routes
    assert all(isinstance(route, Route | WebSocketRoute) for route in routes)
    known = {page.path for page in PAGES} | {live.PATH, "/{path:path}"}
    assert {route.path for route in routes if isinstance(route, Route | WebSocketRoute)} == known


def test_no_right_is_wider_than_lvsds_own() -> None:
    """Each resource that lvsd has and we pass on; the rest is not passed on at all."""
    own = {(one.open_path.lstrip("/"), one.method): one.right for one in OPERATIONS}
    for resource, rights in api.RESOURCES.items():
        for method, role in rights.items():
            right = own.get((re.sub(r":\w+", "", resource), method))
            assert right is None or role >= right, f"{method} {resource}"
    kept_back = {path for path, _ in own} - {re.sub(r":\w+", "", name) for name in api.RESOURCES}
    assert kept_back <= {"table", "table/state", "table/connections"}, (
        "a new resource of lvsd needs its row in pages/api.py"
    )


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.word if role else "nobody")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_every_method(world: GuiWorld, page: Page, role: Role | None) -> None:
    held = role or Role.NOBODY
    least_of_all = min(EXPECTED[page.path].values())
    for method in METHODS:
        client = world.client(role)
        answer = client.request(method, target_of(page))
        least = EXPECTED[page.path].get("GET" if method == "HEAD" else method)
        where = f"{method} {page.path} as {held.word}: {answer.status_code}"
        if held < (least_of_all if least is None else least):
            refusals = (303, 401) if role is None else (403,)
            assert answer.status_code in refusals, where
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/login"), where
        elif least is None:
            assert answer.status_code == 405, where
        else:
            assert answer.status_code not in (401, 403, 405, 500) or page.path == "/login", where
            assert answer.status_code != 401 or method == "POST", where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
@pytest.mark.parametrize(
    "fault", ["no token", "wrong token", "another's token", "bad origin", "no origin", "plain http"]
)
def test_a_change_needs_the_forms_token_and_our_own_origin(world: GuiWorld, page: Page, fault: str) -> None:
    for method in sorted(set(EXPECTED[page.path]) - {"GET"}):
        client = world.client(Role.ADMIN)
        other = world.client(Role.OPERATOR)
        match fault:
            case "no token":
                del client.headers["x-csrf-token"]
            case "wrong token":
                client.headers["x-csrf-token"] = "A" * 32
            case "another's token":
                client.headers["x-csrf-token"] = other.headers["x-csrf-token"]
            case "bad origin":
                client.headers["origin"] = "https://evil.example"
            case "no origin":
                del client.headers["origin"]
            case "plain http":
                client.headers["origin"] = "http://lb1:3636"
        answer = client.request(method, target_of(page))
        if page.signed or "token" not in fault:
            assert answer.status_code == 403, f"{method} {page.path}: {answer.status_code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_tokens_are_for_the_api_alone(world: GuiWorld, page: Page) -> None:
    headers = {"authorization": f"Bearer {world.token(Role.ADMIN)}"}
    for method in EXPECTED[page.path]:
        answer = world.client().request(method, target_of(page), headers=headers)
        expected = page.path.startswith("/api/")
        assert (answer.status_code != 401) == expected, f"{method} {page.path}: {answer.status_code}"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.word if role else "nobody")
@pytest.mark.parametrize(
    "target", ["/nothing", "/api/v1/table", "/api/v2/status", "///x", "/static/../app.py", "/login/", "/..%2f"]
)
def test_a_path_that_is_not_there(world: GuiWorld, target: str, role: Role | None) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "BREW"):
        answer = world.client(role).request(method, target)
        assert answer.status_code in ((303, 401, 404) if role is None else (403, 404, 405, 303)), f"{method} {target}"
        assert "Traceback" not in answer.text


def test_a_role_that_is_taken_away_counts_at_once(world: GuiWorld) -> None:
    client = world.client(Role.OPERATOR)
    assert client.post("/cluster/switch", data={"typed": "no"}).status_code == 400
    world.context.accounts.set_role("operator", Role.VIEWER)
    assert client.post("/cluster/switch", data={"typed": "no"}).status_code == 403
    world.context.accounts.set_role("operator", Role.OPERATOR)


def test_every_answer_has_the_security_headers(world: GuiWorld) -> None:
    for role in (None, Role.ADMIN):
        for target in ("/login", "/", "/nothing", "/static/style.css", "/healthz", "/api/v1/status"):
            headers = world.client(role).get(target).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy, target
            assert "unsafe" not in policy, target
            assert "frame-ancestors 'none'" in policy, target
            assert headers["x-content-type-options"] == "nosniff", target
            if not target.startswith("/static"):
                assert headers["cache-control"] == "no-store", target
