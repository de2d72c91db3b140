"""Telling the service manager how we are: `sd_notify(3)` without its library."""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """Sends states to `NOTIFY_SOCKET`; does nothing without one. Never raises: a lost notice stops no daemon."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        path = env.get("NOTIFY_SOCKET", "")
        # A leading @ names the abstract namespace.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        watched = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = env.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(usec) / 1e6 if watched and usec.isdigit() else 0.0

    def ready(self, status: str = "") -> None:
        self._send("READY=1", status)

    def reloading(self) -> None:
        """`ready` ends it (`Type=notify-reload`)."""
        self._send("RELOADING=1", monotonic_usec=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feeds the watchdog, where one was asked for."""
        if self.watchdog_s:
            self._send("WATCHDOG=1")

    def _send(self, state: str, status: str = "", monotonic_usec: int | None = None) -> None:
        if not self._address:
            return
        lines = [state]
        if status:
            lines.append(f"STATUS={status}")
        if monotonic_usec is not None:
            lines.append(f"MONOTONIC_USEC={monotonic_usec}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return
