import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.monitor.escapes import strip_quotes, translate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
        (r'"GET / HTTP/1.0\r\n\r\n"', b"GET / HTTP/1.0\r\n\r\n"),
        (r"\\ \t \' \"", b"\\ \t ' \""),
        (r"\\n", b"\\n"),
        (r"220 mail\.example\.com", rb"220 mail\.example\.com"),
        (r"\d\x41\0", rb"\d\x41\0"),
        ("ends with \\", b"ends with \\"),
        ("\\", b"\\"),
        ("", b""),
        ('""', b""),
        ('"', b'"'),
        ("Grüße", "Grüße".encode()),
        ("latin \udce4", b"latin \xe4"),
    ],
)
def test_known_texts(text: str, expected: bytes) -> None:
    assert translate(text) == expected


def test_only_one_pair_of_double_quotes_is_taken_off() -> None:
    assert strip_quotes('""a""') == '"a"'
    assert strip_quotes("'a'") == "'a'"


@given(st.binary())
def test_every_byte_string_can_be_written(data: bytes) -> None:
    """Whatever bytes somebody wants to send, there is a text for them."""
    text = data.decode("utf-8", "surrogateescape").replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    assert translate(f'"{text}"') == data


@given(st.text(alphabet=st.sampled_from("\\rnt'\"dx.0 a"), max_size=300))
def test_every_text_ends_and_never_grows(text: str) -> None:
    assert len(translate(text)) <= len(text)
