"""The escapes of `send` and `expect` (original: piranha 0.8.6 nanny, spec section 5.3)."""

from __future__ import annotations

_TRANSLATION = {"\\": "\\", "r": "\r", "n": "\n", "t": "\t", "'": "'", '"': '"'}


def strip_quotes(text: str) -> str:
    """The text without one pair of double quotes around it: an `lvs.cf` value may still carry them."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def translate(text: str) -> bytes:
    r"""The bytes that a `send` or `expect` text stands for.

    Known escapes are `\\ \r \n \t \' \"`. Every other one, and a lone backslash at the end, stays as written, so
    that a regular expression may say `\.`; the original looped for ever there. A text of one character is
    never translated, as in the original. Bytes that were not UTF-8 in the file come out unchanged.
    """
    text = strip_quotes(text)
    out: list[str] = []
    at = 0
    while at < len(text):
        following = text[at + 1 : at + 2]
        if text[at] == "\\" and following in _TRANSLATION and following:
            out.append(_TRANSLATION[following])
            at += 2
        else:
            out.append(text[at])
            at += 1
    return "".join(out).encode("utf-8", "surrogateescape")
