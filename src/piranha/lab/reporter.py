"""Children that measure: `traffic.py` in the client's namespace, `witness.py` anywhere. They are marked, and asked for reports."""

from __future__ import annotations

import json
import select
import subprocess
from typing import Any

from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab.process import python_command, python_environment

_REPORT_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0


class Reporter:
    """One child. Raises PiranhaError when it has ended or does not answer."""

    def __init__(self, module: str, *options: str) -> None:
        self._module = module
        self._child = subprocess.Popen(
            python_command("-m", module, *options), env=python_environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.first = self._line()

    def mark(self) -> None:
        """Measure anew from here."""
        self._say("mark")

    def report(self) -> dict[str, Any]:
        self._say("report")
        return self._line()

    def close(self) -> None:
        self._child.kill()
        self._child.wait(_END_TIMEOUT_S)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()

    def _say(self, word: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(word + "\n")
            self._child.stdin.flush()
        except OSError:
            raise PiranhaError(f"{self._module} has ended") from None

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], _REPORT_TIMEOUT_S)
        line = self._child.stdout.readline() if ready else ""
        if not line:
            self.close()
            raise PiranhaError(f"{self._module} says nothing")
        report: dict[str, Any] = json.loads(line)
        return report


def traffic(namespace: str, *options: str) -> Reporter:
    """Probes and downloads from the client's namespace; returns when every download flows."""
    with netns.entered(namespace):
        return Reporter("piranha.lab.traffic", *options)


def witness() -> Reporter:
    """Whether the machine stood still."""
    return Reporter("piranha.lab.witness")
