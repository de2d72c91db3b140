"""ETags of the configuration, and changes that say on which text they were made (RFC 9110 §13, RFC 6585 §3)."""

from __future__ import annotations

from starlette.requests import Request

from piranha.base.errors import PiranhaError


class PreconditionRequiredError(PiranhaError):
    """A change without If-Match."""

    def __init__(self) -> None:
        super().__init__(
            "the request has no If-Match",
            mend="send the ETag of GET /api/v1/configuration, or * to change whatever is there",
        )


def etag(digest: str) -> str:
    return f'"{digest}"'


def required_digest(request: Request) -> str | None:
    """The digest that the text to change must have; None for `If-Match: *`. Raises `PreconditionRequiredError`.

    Of several tags the first is taken; a text that is none is a digest that no text has.
    """
    given = request.headers.get("if-match", "").strip()
    if not given:
        raise PreconditionRequiredError
    if given == "*":
        return None
    return given.split(",")[0].strip().removeprefix("W/").strip('"')
