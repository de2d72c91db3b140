from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from piranha.cluster.identity import own_certificate
from piranha.cluster.pairing import (
    Host,
    Joiner,
    PairingError,
    WrongCodeError,
    draw_code,
    plain_code,
    refusal,
)

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder: Path = tmp_path_factory.mktemp("certificates")
    return own_certificate(folder / "a", b"A" * 8), own_certificate(folder / "b", b"B" * 8)


def host(code: str, certificates: tuple[str, str], node: bytes = b"A" * 8) -> Host:
    return Host(code, node=node, name="first", certificate=certificates[0], key_id=3)


def joiner(code: str, certificates: tuple[str, str]) -> Joiner:
    return Joiner(code, node=b"B" * 8, name="zweiter ä", certificate=certificates[1])


def test_both_have_one_key_and_each_other(certificates: tuple[str, str]) -> None:
    code = draw_code()
    one, other = host(code, certificates), joiner(code.lower().replace("-", " "), certificates)
    confirmed = one.answer(other.answer(one.greeting()))
    theirs = other.finish(confirmed)
    ours = one.finish(other.stored())
    assert ours.key == theirs.key
    assert len(ours.key) == 32
    assert ours.key_id == theirs.key_id == 3
    assert (ours.peer.name, theirs.peer.name) == ("zweiter ä", "first")
    assert (ours.peer.certificate, theirs.peer.certificate) == certificates[::-1]


def test_each_pairing_makes_another_key(certificates: tuple[str, str]) -> None:
    code, keys = draw_code(), set()
    for _ in range(2):
        one, other = host(code, certificates), joiner(code, certificates)
        keys.add(other.finish(one.answer(other.answer(one.greeting()))).key)
    assert len(keys) == 2


def test_a_wrong_code_is_found_by_the_host(certificates: tuple[str, str]) -> None:
    one, other = host(draw_code(), certificates), joiner(draw_code(), certificates)
    with pytest.raises(WrongCodeError):
        one.answer(other.answer(one.greeting()))
    with pytest.raises(WrongCodeError, match="refused"):
        other.finish(refusal())
    with pytest.raises(PairingError):
        one.finish(other.stored())


def test_who_stands_between_is_found(certificates: tuple[str, str]) -> None:
    """The middle knows both X25519 secrets, having put its own public key in each greeting, but not the code."""
    code = draw_code()
    one, other, middle = host(code, certificates), joiner(code, certificates), host(draw_code(), certificates)
    changed = json.loads(one.greeting()) | {"public_key": json.loads(middle.greeting())["public_key"]}
    answer = other.answer(json.dumps(changed).encode())
    with pytest.raises(WrongCodeError):
        one.answer(answer)
    with pytest.raises(WrongCodeError):
        middle.answer(answer)


@pytest.mark.parametrize("what", ["name", "certificate", "node", "key_id"])
def test_a_changed_greeting_is_found(certificates: tuple[str, str], what: str) -> None:
    code = draw_code()
    one, other = host(code, certificates), joiner(code, certificates)
    value = {"name": "evil", "certificate": certificates[1], "node": "00" * 8, "key_id": 9}[what]
    answer = other.answer(json.dumps(json.loads(one.greeting()) | {what: value}).encode())
    with pytest.raises(WrongCodeError):
        one.answer(answer)


def test_a_copied_node_cannot_pair_with_its_original(certificates: tuple[str, str]) -> None:
    code = draw_code()
    one, other = host(code, certificates, node=b"B" * 8), joiner(code, certificates)
    with pytest.raises(PairingError, match="copy"):
        one.answer(other.answer(one.greeting()))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_cleanly(line: bytes) -> None:
    one = Host("0" * 15 + plain_check("0" * 15), node=b"A" * 8, name="a", certificate="", key_id=1)
    other = Joiner("0" * 15 + plain_check("0" * 15), node=b"B" * 8, name="b", certificate="")
    for step in (one.answer, one.finish, other.answer, other.finish):
        with pytest.raises(PairingError):
            step(line)


def plain_check(symbols: str) -> str:
    for symbol in ALPHABET:
        try:
            plain_code(symbols + symbol)
        except PairingError:
            continue
        return symbol
    raise AssertionError(symbols)


@given(st.integers(0, 14), st.sampled_from(ALPHABET))
def test_one_wrong_symbol_is_found(at: int, symbol: str) -> None:
    code = plain_code(draw_code())
    assume(code[at] != symbol and {code[at], symbol} != {"0", "Z"})
    with pytest.raises(PairingError, match="typing error"):
        plain_code(code[:at] + symbol + code[at + 1 :])


@given(st.integers(0, 13))
def test_exchanged_neighbours_are_found(at: int) -> None:
    code = plain_code(draw_code())
    assume(code[at] != code[at + 1] and {code[at], code[at + 1]} != {"0", "Z"})
    with pytest.raises(PairingError, match="typing error"):
        plain_code(code[:at] + code[at + 1] + code[at] + code[at + 2 :])


def test_codes_are_forgiving_and_clear() -> None:
    code = draw_code()
    assert plain_code(f" {code.lower()} ") == code.replace("-", "")
    assert plain_code(code.replace("0", "O").replace("1", "l").replace("V", "u")) == code.replace("-", "")
    with pytest.raises(PairingError, match="16 letters and digits, this one 3"):
        plain_code("ABC")
    with pytest.raises(PairingError, match="has no !"):
        plain_code("!" * 16)
