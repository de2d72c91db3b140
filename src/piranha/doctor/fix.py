"""Writes the kernel settings that findings ask for: now, and into sysctl.d for every boot."""

from __future__ import annotations

from pathlib import Path

from piranha.base.errors import PiranhaError
from piranha.doctor.finding import Finding, Setting, Verdict

FILE = Path("etc/sysctl.d/90-piranha-director.conf")
PROC_SYS = Path("/proc/sys")


def wanted_settings(findings: list[Finding]) -> list[Setting]:
    """What may be mended without a person."""
    return [setting for finding in findings if finding.verdict is not Verdict.OK for setting in finding.fix]


def file_text(settings: list[Setting], standing: str) -> str:
    """The file's new content: what an earlier run wrote stays, each setting once."""
    values = {}
    for line in standing.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            values[key.strip()] = value.strip()
    values |= {setting.key: setting.value for setting in settings}
    head = "# Written by `piranha doctor --director --fix`: what a load balancer's director needs.\n"
    return head + "".join(f"{key} = {value}\n" for key, value in values.items())


def apply(settings: list[Setting], *, root: Path = Path("/"), proc_sys: Path = PROC_SYS) -> Path:
    """Write the settings, the lasting file first; its path. Raises PiranhaError with what the system said."""
    path = root / FILE
    try:
        standing = path.read_text() if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".piranha-new")
        temporary.write_text(file_text(settings, standing))
        temporary.replace(path)
        for setting in settings:
            (proc_sys / setting.key).write_text(setting.value + "\n")
    except OSError as error:
        raise PiranhaError(
            f"{error.filename} cannot be written: {error.strerror}", mend="run it as root (`sudo`)"
        ) from None
    return path
