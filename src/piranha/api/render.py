"""Documents as JSON bytes."""

from __future__ import annotations

import json

from starlette.responses import Response


def render(document: object) -> bytes:
    """Compact UTF-8. Bytes of a file that were no text (surrogates) become replacement marks."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


class Document(Response):
    """A JSON answer that no cache keeps. `etag` is that of what it shows, where it can be changed."""

    media_type = "application/json"

    def __init__(self, content: object, *, etag: str = "") -> None:
        super().__init__(render(content), headers={"cache-control": "no-store"} | ({"etag": etag} if etag else {}))
