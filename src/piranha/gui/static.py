"""Style, scripts and pictures: read once from the package, served from memory, told apart by their content."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_A_YEAR_S = 31536000


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    content: bytes
    packed: bytes
    media_type: str
    tag: str


VENDOR = ("vendor/htmx.js", "vendor/uplot.js", "vendor/uplot.css")
"""What others made, fetched when the package is built. Without it pages work, but say less as one types."""


class StaticFiles:
    """Only what stands in the folder when this is made; a request is never a path."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            str(path.relative_to(folder)): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in _TYPES
        }

    def has(self, name: str) -> bool:
        return name in self._files

    @property
    def missing(self) -> list[str]:
        return [name for name in VENDOR if name not in self._files]

    def url(self, name: str) -> str:
        """Where the file is; another content has another address. A missing one raises KeyError."""
        return f"/static/{name}?v={self._files[name].tag}"

    def answer(self, name: str, request: Request) -> Response:
        file = self._files.get(name)
        if file is None:
            return Response("not found\n", 404, media_type="text/plain")
        headers = {"etag": f'"{file.tag}"', "vary": "accept-encoding"}
        fresh = request.query_params.get("v") == file.tag
        headers["cache-control"] = f"public, max-age={_A_YEAR_S}, immutable" if fresh else "no-cache"
        if request.headers.get("if-none-match") == f'"{file.tag}"':
            return Response(status_code=304, headers=headers)
        content = file.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"], content = "gzip", file.packed
        return Response(content, headers=headers, media_type=file.media_type)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(
        content=content,
        packed=gzip.compress(content, mtime=0),
        media_type=_TYPES[path.suffix],
        tag=hashlib.sha256(content).hexdigest()[:16],
    )
