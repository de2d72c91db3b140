"""Who is at the other end of the unix socket, and what may be done from there. Pure, but for the names of users."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

GUI_USER = "piranha"
"""As whom piranha-gui runs: it speaks for the people who logged in there."""
_SO_PEERGROUPS = 59
_MOST_BYTES = 1024
"""What `getsockopt` of Python takes: 256 groups. Of a process with more only the first group counts."""
_NAME = re.compile(r"[\w.@+-][\w.@+ -]{0,63}\Z")


class Right(IntEnum):
    """Each includes those before it."""

    NONE = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A process that connected, as the kernel tells (unix(7), SO_PEERCRED and SO_PEERGROUPS)."""

    uid: int
    gids: frozenset[int] = frozenset()

    @staticmethod
    def of(connection: socket.socket) -> Peer:
        """Raises OSError for what is no unix socket."""
        _, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
        except OSError:
            more = b""
        return Peer(uid=uid, gids=frozenset((gid, *struct.unpack(f"{len(more) // 4}I", more))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a request comes from, for the log of events and the versions, and what it may do."""

    user: str
    right: Right


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Root and lvsd's own user may do all, and say for whom; `gui_uid` may do what the person whom it names may do;
    members of `admin_gid` may do all; everybody else nothing."""

    own_uid: int
    gui_uid: int | None = None
    admin_gid: int | None = None

    @staticmethod
    def of_this_host(api_group: str | None = None) -> Policy:
        """Users and groups that do not exist give nobody a right."""
        return Policy(own_uid=os.geteuid(), gui_uid=_uid(GUI_USER), admin_gid=_gid(api_group))

    @property
    def is_open(self) -> bool:
        """Whether anybody but root has a right, so that the socket must let others connect."""
        return self.gui_uid is not None or self.admin_gid is not None

    def caller(self, peer: Peer, headers: Mapping[str, str]) -> Caller:
        """`X-Piranha-User` names the person, `X-Piranha-Role` (viewer, operator, admin) what that person may do."""
        named = headers.get("x-piranha-user", "")
        named = named if _NAME.match(named) else ""
        role = _ROLES.get(headers.get("x-piranha-role", ""))
        if peer.uid in (0, self.own_uid):
            return Caller(user=named or _user(peer.uid), right=Right.ADMIN if role is None else role)
        if peer.uid == self.gui_uid:
            # Unnamed it asks for itself, to show how things are.
            return Caller(user=named or _user(peer.uid), right=role if named and role is not None else Right.VIEWER)
        if self.admin_gid is not None and self.admin_gid in peer.gids:
            return Caller(user=_user(peer.uid), right=Right.ADMIN)
        return Caller(user=_user(peer.uid), right=Right.NONE)


_ROLES = {right.name.lower(): right for right in Right}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _gid(group: str | None) -> int | None:
    try:
        return None if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        return None
