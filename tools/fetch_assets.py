#!/usr/bin/env python3
"""Fetch the scripts and styles of others that piranha-gui serves, by version and hash, from npm into the package.

Nothing of npm runs: `npm pack` brings the archive, its SHA-512 is compared with the one below, and single files are taken
out of it. Does nothing when all are there. `--dev` adds axe-core for the browser tests, outside of the package.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "src" / "piranha" / "gui" / "static" / "vendor"
DEV = ROOT / "build" / "npm"


@dataclass(frozen=True)
class Asset:
    """`files` are paths in the archive and their names here."""

    package: str
    version: str
    sha512: str
    files: dict[str, str]
    folder: Path = VENDOR

    @property
    def stamp(self) -> Path:
        return self.folder / f".{self.package}-{self.version}"


ASSETS = (
    Asset(
        "htmx.org",
        "2.0.11",
        "Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        {"dist/htmx.min.js": "htmx.js", "LICENSE": "htmx.LICENSE.txt"},
    ),
    Asset(
        "uplot",
        "1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "uplot.LICENSE.txt"},
    ),
)
DEV_ASSETS = (
    Asset(
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {"axe.min.js": "axe.js"},
        DEV,
    ),
)


def fetch(asset: Asset) -> None:
    """Raises RuntimeError with npm's own words, or what is wrong with the archive."""
    if asset.stamp.exists() and all((asset.folder / name).exists() for name in asset.files.values()):
        return
    content = _archive(asset)
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if digest != asset.sha512:
        raise RuntimeError(f"{asset.package} {asset.version} is not what it was: SHA-512 {digest}")
    asset.folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for path, name in asset.files.items():
            file = archive.extractfile(f"package/{path}")
            if file is None:
                raise RuntimeError(f"{asset.package} {asset.version} has no file {path}")
            (asset.folder / name).write_bytes(file.read())
    asset.stamp.touch()
    print(f"assets: {asset.package} {asset.version}", flush=True)


def _archive(asset: Asset) -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("there is no npm here: install the package npm")
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{asset.package}@{asset.version}"
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, wanted]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        found = list(Path(folder).glob("*.tgz"))
        if result.returncode or not found:
            raise RuntimeError(f"{wanted}: {(result.stderr or result.stdout).strip()[-500:]}")
        return found[0].read_bytes()


def main() -> int:
    try:
        for asset in (*ASSETS, *(DEV_ASSETS if "--dev" in sys.argv else ())):
            fetch(asset)
    except RuntimeError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
