"""Who may do what, by the process at the other end; every operation of the route table is asked as everybody."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.unit.api.asking import ask
from tests.unit.director_world import World

from piranha.api.operations import OPERATIONS
from piranha.api.rights import Caller, Peer, Policy, Right

POLICY = Policy(own_uid=500, gui_uid=36, admin_gid=1000)
NAMED = {"x-piranha-user": "ann", "x-piranha-role": "operator"}


@pytest.mark.parametrize(
    ("peer", "headers", "user", "right"),
    [
        (Peer(uid=0), {}, "root", Right.ADMIN),
        (Peer(uid=500), {}, "uid 500", Right.ADMIN),
        (Peer(uid=0), NAMED, "ann", Right.OPERATOR),
        (Peer(uid=36), NAMED, "ann", Right.OPERATOR),
        (Peer(uid=36), {"x-piranha-user": "ann", "x-piranha-role": "admin"}, "ann", Right.ADMIN),
        (Peer(uid=36), {"x-piranha-user": "ann"}, "ann", Right.VIEWER),
        (Peer(uid=36), {"x-piranha-role": "admin"}, "uid 36", Right.VIEWER),
        (Peer(uid=36), {"x-piranha-user": "ann", "x-piranha-role": "emperor"}, "ann", Right.VIEWER),
        (Peer(uid=36), {"x-piranha-user": "a\x1b[2J", "x-piranha-role": "admin"}, "uid 36", Right.VIEWER),
        (Peer(uid=7, gids=frozenset((7, 1000))), NAMED, "uid 7", Right.ADMIN),
        (Peer(uid=7, gids=frozenset((7,))), NAMED, "uid 7", Right.NONE),
    ],
)
def test_only_root_and_the_gui_speak_for_others(
    peer: Peer, headers: dict[str, str], user: str, right: Right, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piranha.api.rights._user", lambda uid: "root" if uid == 0 else f"uid {uid}")
    assert POLICY.caller(peer, headers) == Caller(user=user, right=right)


def test_without_a_gui_and_a_group_there_is_only_root() -> None:
    policy = Policy(own_uid=0)
    assert not policy.is_open
    assert POLICY.is_open
    assert policy.caller(Peer(uid=36, gids=frozenset((0,))), NAMED).right is Right.NONE


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer.of(ours)
    assert peer.uid == os.geteuid()
    assert os.getegid() in peer.gids


@pytest.mark.parametrize("role", [right.name.lower() for right in Right])
async def test_every_operation_refuses_whoever_has_not_its_right(tmp_path: Path, role: str) -> None:
    right = Right[role.upper()]
    async with World(tmp_path).running() as world:
        for operation in OPERATIONS:
            resource = operation.open_path.lstrip("/").replace("{number}", "1")
            answer = await ask(world, operation.method, resource, headers={"X-Piranha-Role": role})
            is_refused = answer.status == 403
            assert is_refused == (right < operation.right), f"{operation.method} {resource}: {answer}"
            if is_refused:
                assert answer.headers["content-type"] == "application/problem+json"


def test_nothing_that_changes_is_for_viewers() -> None:
    asking = {"/configuration/check"}
    for operation in OPERATIONS:
        if operation.method != "GET" and operation.path not in asking:
            assert operation.right > Right.VIEWER, operation.path
