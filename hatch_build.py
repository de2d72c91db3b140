"""Build hook: compiles `bpf/*.bpf.c` and fetches the scripts that the GUI serves into the package before a wheel is made, so
that users need neither a compiler nor npm. An editable install is a developer's: `make build` does both there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BpfBuildHook(BuildHookInterface):  # type: ignore[misc]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        subprocess.run([sys.executable, str(Path(self.root) / "tools" / "build_bpf.py")], check=True)
        if version != "editable":
            subprocess.run([sys.executable, str(Path(self.root) / "tools" / "fetch_assets.py")], check=True)
