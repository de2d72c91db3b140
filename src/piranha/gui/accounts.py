"""Who may log in: accounts, API tokens and one-time links, in one file. Secrets are kept as digests alone."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from piranha.base.errors import PiranhaError, UsageError
from piranha.gui.folder import Folder
from piranha.gui.role import Role

FILE = "accounts.json"
LOCK = "accounts.lock"
LINK_S = 24 * 3600.0
TOKEN_PREFIX = "pir"
MOST_ACCOUNTS, MOST_TOKENS = 500, 500
DAY_S = 86400.0
_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`hash` is empty until its person has chosen a password by a link."""

    name: str
    role: Role
    hash: str = ""
    made_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """For programs. `digest` is SHA-256 of the secret; `until` is seconds since 1970."""

    id: str
    label: str
    role: Role
    digest: str
    made_by: str
    made_at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Lets its holder choose one account's password, once. `user` is empty for the first account of all."""

    digest: str
    user: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Everything in the file."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)


class AccountStore:
    """The file, read anew whenever somebody replaced it. `wall` gives seconds since 1970."""

    def __init__(self, folder: Folder, *, wall: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._wall = wall
        self._stamp = (-1, -1, -1)
        self._book = Book()

    @property
    def book(self) -> Book:
        """What the file says now. Raises PiranhaError for one that is none of ours."""
        stamp = self._folder.stamp(FILE)
        if stamp != self._stamp:
            self._book = _parse(self._folder.read(FILE))
            self._stamp = stamp
        return self._book

    @property
    def is_empty(self) -> bool:
        """Whether nobody can log in yet."""
        return not any(account.hash for account in self.book.accounts.values())

    def account(self, name: str) -> Account | None:
        return self.book.accounts.get(name)

    def token(self, text: str) -> Token | None:
        """The token that somebody showed, where it is one and still holds."""
        prefix, _, rest = text.partition("_")
        identity, _, secret = rest.partition("_")
        token = self.book.tokens.get(identity)
        if prefix != TOKEN_PREFIX or token is None or token.until <= self._wall():
            return None
        return token if secrets.compare_digest(token.digest, digest_of(secret)) else None

    def link(self, secret: str) -> Link | None:
        """The one-time link with this secret, where it still holds."""
        link = self.book.links.get(digest_of(secret))
        if link is None or link.until <= self._wall():
            return None
        # The link of the first account is worth nothing once there is one.
        return link if link.user or self.is_empty else None

    def make_link(self, user: str = "", *, role: Role = Role.ADMIN) -> str:
        """A fresh link, in place of earlier ones for the same account, which is made where it is missing."""
        secret = secrets.token_urlsafe(24)
        with self._changing() as change:
            accounts = dict(change.accounts)
            if user and user not in accounts:
                _check_name(user)
                if len(accounts) >= MOST_ACCOUNTS:
                    raise PiranhaError(f"there are {MOST_ACCOUNTS} accounts already", mend="delete one first")
                accounts[user] = Account(name=user, role=role, made_at=self._wall())
            links = {d: link for d, link in change.links.items() if link.user != user and link.until > self._wall()}
            made = Link(digest=digest_of(secret), user=user, until=self._wall() + LINK_S)
            self._write(replace(change, accounts=accounts, links={**links, made.digest: made}))
        return secret

    def redeem(self, secret: str, name: str, password_hash: str) -> Account:
        """Give the link's account its password; the link is used up. Raises PiranhaError when it holds no more."""
        with self._changing() as change:
            link = self.link(secret)
            if link is None:
                raise PiranhaError(
                    "this link has been used or is too old", mend="ask for a new one: piranha gui passwd"
                )
            name = link.user or name
            _check_name(name)
            known = change.accounts.get(name)
            role = known.role if known is not None else Role.ADMIN
            account = Account(name=name, role=role, hash=password_hash, made_at=self._wall())
            links = {digest: other for digest, other in change.links.items() if digest != link.digest}
            self._write(replace(change, accounts={**change.accounts, name: account}, links=links))
        return account

    def set_password(self, name: str, password_hash: str, *, role: Role = Role.ADMIN) -> Account:
        """Make the account where it is missing, with this role. Its sessions end."""
        _check_name(name)
        with self._changing() as change:
            known = change.accounts.get(name)
            account = (
                replace(known, hash=password_hash)
                if known is not None
                else Account(name=name, role=role, hash=password_hash, made_at=self._wall())
            )
            links = {digest: link for digest, link in change.links.items() if link.user != name}
            self._write(replace(change, accounts={**change.accounts, name: account}, links=links))
        return account

    def set_role(self, name: str, role: Role) -> None:
        """Raises PiranhaError for an unknown name, and for the last admin."""
        with self._changing() as change:
            account = _known(change, name)
            if role is not Role.ADMIN:
                _keep_an_admin(change, name)
            self._write(replace(change, accounts={**change.accounts, name: replace(account, role=role)}))

    def delete(self, name: str) -> None:
        """Raises as `set_role` does. Tokens that the account made stay: they have a role of their own."""
        with self._changing() as change:
            _known(change, name)
            _keep_an_admin(change, name)
            accounts = {other: account for other, account in change.accounts.items() if other != name}
            links = {digest: link for digest, link in change.links.items() if link.user != name}
            self._write(replace(change, accounts=accounts, links=links))

    def make_token(self, label: str, role: Role, made_by: str, *, lifetime_s: float) -> tuple[Token, str]:
        """A token and its text, which is shown once."""
        if not 0 < lifetime_s <= 366 * DAY_S:
            raise UsageError("a token holds from a day to a year")
        secret, identity = secrets.token_urlsafe(32), secrets.token_hex(6)
        now = self._wall()
        token = Token(
            id=identity,
            label=" ".join(label.split())[:80] or "unnamed",
            role=role,
            digest=digest_of(secret),
            made_by=made_by,
            made_at=now,
            until=now + lifetime_s,
        )
        with self._changing() as change:
            if len(change.tokens) >= MOST_TOKENS:
                raise PiranhaError(f"there are {MOST_TOKENS} tokens already", mend="revoke one first")
            self._write(replace(change, tokens={**change.tokens, identity: token}))
        return token, f"{TOKEN_PREFIX}_{identity}_{secret}"

    def revoke(self, identity: str) -> None:
        with self._changing() as change:
            if identity not in change.tokens:
                raise PiranhaError(f"there is no token {identity}")
            tokens = {other: token for other, token in change.tokens.items() if other != identity}
            self._write(replace(change, tokens=tokens))

    @contextmanager
    def _changing(self) -> Iterator[Book]:
        with self._folder.locked(LOCK):
            yield self.book

    def _write(self, book: Book) -> None:
        self._folder.replace(FILE, json.dumps(_plain(book), indent=1).encode())


def digest_of(secret: str) -> str:
    """Of a random secret of ours: one pass is enough, there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise UsageError("a name has up to 64 letters, digits and . _ - + @")


def _known(book: Book, name: str) -> Account:
    account = book.accounts.get(name)
    if account is None:
        raise PiranhaError(f"there is no account {name[:64]}")
    return account


def _keep_an_admin(book: Book, leaving: str) -> None:
    others = (account for name, account in book.accounts.items() if name != leaving)
    if book.accounts[leaving].role is Role.ADMIN and not any(a.role is Role.ADMIN and a.hash for a in others):
        raise PiranhaError(f"{leaving} is the last admin", mend="give another account the role admin first")


def _plain(book: Book) -> dict[str, Any]:
    def one(value: Account | Token | Link) -> dict[str, Any]:
        document = asdict(value)
        if "role" in document:
            document["role"] = Role(document["role"]).word
        return document

    return {
        "accounts": [one(account) for account in book.accounts.values()],
        "tokens": [one(token) for token in book.tokens.values()],
        "links": [one(link) for link in book.links.values()],
    }


def _parse(content: bytes | None) -> Book:
    if content is None:
        return Book()
    try:
        document = json.loads(content)
        accounts = [Account(**{**row, "role": _role(row)}) for row in document["accounts"]]
        tokens = [Token(**{**row, "role": _role(row)}) for row in document["tokens"]]
        links = [Link(**row) for row in document["links"]]
    except (ValueError, KeyError, TypeError) as error:
        raise PiranhaError(f"{FILE} of piranha-gui cannot be read ({error})", mend="restore it from a backup") from None
    return Book(
        accounts={account.name: account for account in accounts},
        tokens={token.id: token for token in tokens},
        links={link.digest: link for link in links},
    )


def _role(row: Mapping[str, Any]) -> Role:
    role = Role.of(row["role"])
    if role is None:
        raise ValueError(f"role {row['role']}")
    return role
