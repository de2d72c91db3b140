"""The ends of the FTP tests: `server` is pyftpdlib as it is, but for its data port; `client` is the standard library's.

`python -m tests.netns.ftp server …` serves files in memory's file system; `client …` transfers there and back in one
session and prints what became of it.
"""

from __future__ import annotations

import argparse
import ftplib
import hashlib
import io
import os
import socket
import tempfile
from typing import Any

SIZES = (1, 3000, 0, 200_000)
USER, PASSWORD = "ftp", "secret"


def serve(port: int, told: str | None) -> None:
    """Both families; `told` is the address that replies to PASV name, where it is not the socket's own."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP
    from pyftpdlib.servers import FTPServer

    class FromDataPort(ActiveDTP):  # type: ignore[misc]
        """RFC 959: an active data connection comes from the port below that of control."""

        def connect_af_unspecified(self, address: Any, source_address: Any = None) -> Any:
            return super().connect_af_unspecified(address, (source_address[0], port - 1))

        def create_socket(self, *arguments: Any, **options: Any) -> None:
            super().create_socket(*arguments, **options)
            self.set_reuse_addr()

    with tempfile.TemporaryDirectory() as home:
        users = DummyAuthorizer()
        users.add_user(USER, PASSWORD, home, perm="elradfmw")
        handler = type("Handler", (FTPHandler,), {"authorizer": users, "active_dtp": FromDataPort})
        if told:
            handler.masquerade_address = told
        server = FTPServer(("::", port), handler)
        print("ready", flush=True)
        server.serve_forever()


def transfer(ftp: ftplib.FTP, name: str, data: bytes) -> bool:
    """Whether what comes back is what was sent."""
    back = io.BytesIO()
    ftp.storbinary(f"STOR {name}", io.BytesIO(data))
    ftp.retrbinary(f"RETR {name}", back.write)
    return hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(data).digest()


def run_client(host: str, port: int, rounds: int, modes: list[str]) -> None:
    """One control connection, `rounds` transfers in each of `modes` in turn, something said between them."""
    ftp = ftplib.FTP()
    ftp.connect(host, port, timeout=60)
    ftp.login(USER, PASSWORD)
    ftp.trust_server_pasv_ipv4_address = True  # type: ignore[attr-defined]  # the address that a reply names is tested
    family = ftp.af
    good = 0
    for number in range(rounds):
        mode = modes[number % len(modes)]
        ftp.set_pasv(mode != "active")
        ftp.af = socket.AF_INET6 if mode == "extended" else family
        good += transfer(ftp, f"file{number}", os.urandom(SIZES[number % len(SIZES)]))
        ftp.voidcmd("NOOP")
    ftp.quit()
    print(good)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("server", "client"))
    parser.add_argument("--port", type=int, default=21)
    parser.add_argument("--told")
    parser.add_argument("--host", default="")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--modes", default="passive")
    options = parser.parse_args()
    if options.role == "server":
        serve(options.port, options.told)
    else:
        run_client(options.host, options.port, options.rounds, options.modes.split(","))


if __name__ == "__main__":
    main()
