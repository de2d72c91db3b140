"""The public API: lvsd's own resources, with a login or a token, each with the role that it needs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from piranha.gui.context import Context
from piranha.gui.page import Page, Who
from piranha.gui.role import Role

_PASSED_ON = ("accept", "content-type", "if-match", "if-none-match")
_PASSED_BACK = ("content-type", "etag", "location", "retry-after", "allow", "cache-control")

_READ = {"GET": Role.VIEWER}
_ACT = {"POST": Role.OPERATOR}
_CHANGE = {"POST": Role.ADMIN}
RESOURCES: dict[str, dict[str, Role]] = {
    "status": _READ,
    "services": _READ,
    "connections": _READ,
    "cluster": _READ,
    "cluster/switch": _ACT,
    "cluster/maintenance_on": _ACT,
    "cluster/maintenance_off": _ACT,
    "servers": _READ,
    "servers/{server}/state": _ACT,
    "events": _READ,
    "statistics": _READ,
    "reload": _CHANGE,
    "configuration": {"GET": Role.VIEWER, "PUT": Role.ADMIN},
    "configuration/check": {"POST": Role.VIEWER},
    "configuration/edit": _CHANGE,
    "configuration/confirm": _CHANGE,
    "configuration/rollback": _CHANGE,
    "configuration/versions": _READ,
    "configuration/versions/{number:int}": _READ,
    "configuration/diff": _READ,
    "configuration/directives": _READ,
    "configuration/conflicts": _READ,
    "configuration/conflicts/{id:str}": {"GET": Role.VIEWER, "POST": Role.ADMIN},
    "replication": _READ,
    "replication/push": _CHANGE,
    "replication/pull": _CHANGE,
    "replication/key": _CHANGE,
    "doctor": _READ,
    "openapi.json": _READ,
    "metrics": _READ,
}
"""Below `/api/v1/`. The table itself is not here: ipvsadm works on the director, as root."""


async def forward(context: Context, request: Request, who: Who) -> Response:
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    answer = await context.lvsd.forward(request.method, target, who, headers=headers, body=await request.body())
    passed = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    return Response(answer.body, answer.status, headers=passed)


PAGES = tuple(
    Page(
        path=f"/api/v1/{resource}",
        methods={method: (role, forward) for method, role in rights.items()},
        for_tokens=True,
        audited=resource != "configuration/check",
    )
    for resource, rights in RESOURCES.items()
)
