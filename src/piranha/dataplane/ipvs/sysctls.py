"""IPVS's sysctls, `net.ipv4.vs.*`, as the rules of a plane."""

from __future__ import annotations

import os
from dataclasses import fields

from piranha.base.errors import PiranhaError
from piranha.dataplane.port import RefusalKind, RefusedError
from piranha.model.rules import DEFENCES, PlaneRules, defence_mode

FOLDER = "/proc/sys/net/ipv4/vs"
_NAMES = tuple(field.name for field in fields(PlaneRules))
_DEFAULTS = PlaneRules()
_LONGEST = 32


class Sysctls:
    """The sysctls of the network namespace of the thread that made this object, whichever thread asks later."""

    def __init__(self) -> None:
        """Raises PiranhaError where the kernel has none."""
        try:
            self._folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PiranhaError(f"cannot read {FOLDER}: {error.strerror}") from error

    def read(self) -> PlaneRules:
        """The rules in force; where this kernel lacks one, what it does is IPVS's default."""
        values: dict[str, int | bool] = {}
        for name in _NAMES:
            value = self._read(name)
            if value is not None:
                values[name] = value if type(getattr(_DEFAULTS, name)) is int else bool(value)
        for name in DEFENCES:
            values[name] = defence_mode(values.get(name, 0))
        return PlaneRules(**values)  # type: ignore[arg-type]

    def write(self, rules: PlaneRules) -> None:
        """Set what differs. Raises RefusedError for a rule that this kernel lacks or does not take."""
        for name, _, value in self.read().changes_to(rules):
            try:
                file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._folder)
                try:
                    os.write(file, f"{value}\n".encode())
                finally:
                    os.close(file)
            except FileNotFoundError:
                mend = "remove the line, or use a newer kernel"
                raise RefusedError(RefusalKind.UNSUPPORTED, f"this kernel has no {name}", mend=mend) from None
            except OSError as error:
                kind = RefusalKind.INVALID
                raise RefusedError(kind, f"cannot set {name} to {value}: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._folder)

    def _read(self, name: str) -> int | None:
        try:
            file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        try:
            return int(os.read(file, _LONGEST))
        finally:
            os.close(file)
