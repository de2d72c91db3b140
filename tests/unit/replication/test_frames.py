"""What the other director says is judged before anybody acts on it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError
from piranha.config.parser import MAX_BYTES
from piranha.replication.agreement import Agreement
from piranha.replication.frames import (
    HEAD,
    MAX_JSON_BYTES,
    Hello,
    Kind,
    NewKey,
    hello_frame,
    key_frame,
    limit_of,
    pack,
    read_digest,
    read_hello,
    read_key,
    read_key_answer,
    read_refusal,
    refusal_frame,
    unpack,
)
from piranha.replication.generation import MAX_COPIES, MAX_HISTORY, Copy, Generation, Lineage, Offer, joined, successor

NODE = "0123456789abcdef"
DIGEST = "d" * 64
READERS: list[Callable[[bytes], object]] = [
    read_hello,
    read_digest,
    read_refusal,
    read_key,
    lambda body: read_key_answer(Kind.KEY_TAKEN, body),
    lambda body: Offer.from_json(unpack(body), NODE),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=12,
)
NAMES = [
    "generation",
    "history",
    "role",
    "serial_no",
    "texts",
    "term",
    "counter",
    "node",
    "digest",
    "parents",
    "copies",
]
NAMES += ["version", "name", "software", "reasons", "id", "key", "ids", "reason"]


def body_of(frame: bytes) -> bytes:
    kind, size = HEAD.unpack_from(frame)
    assert size == len(frame) - HEAD.size <= limit_of(kind)
    return frame[HEAD.size :]


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(NAMES), values, max_size=19).map(lambda v: json.dumps(v).encode())
)
def test_no_bytes_crash_a_reader(body: bytes) -> None:
    for read in READERS:
        try:
            read(body)
        except PiranhaError:
            continue


@given(values)
def test_no_generation_crashes_a_reader(value: object) -> None:
    good = offer().to_json()
    for place in ("generation", "history", "role", "serial_no", "texts"):
        try:
            Offer.from_json({**good, place: value}, NODE)
        except PiranhaError:
            continue


def offer() -> Offer:
    copy = Copy(digest="c" * 64, name="lb2", term=1, counter=2)
    head = Generation(term=3, counter=17, node=NODE, digest=DIGEST, parents=("a" * 32,), copies=(copy,))
    lineage = Lineage(head=head, history=("b" * 32, "a" * 32))
    return Offer(node=NODE, lineage=lineage, role="active", serial_no=9, texts=("e" * 64,))


def test_what_is_written_is_read_back() -> None:
    assert Offer.from_json(json.loads(json.dumps(offer().to_json())), NODE) == offer()
    hello = Hello(node=NODE, name="lb1", software="1.0")
    assert read_hello(body_of(hello_frame(hello))) == hello
    new = NewKey(key_id=5, key=b"k" * 32, ids=(3, 4))
    assert read_key(body_of(key_frame(new))) == new
    assert read_refusal(body_of(refusal_frame(DIGEST, ("a", "b")))) == (DIGEST, ("a", "b"))


def test_the_longest_offer_fits_a_frame() -> None:
    copies = tuple(
        Copy(digest=f"{n:064x}", name="n" * 64, term=2**63 - 1, counter=2**63 - 1) for n in range(MAX_COPIES)
    )
    head = Generation(term=2**63 - 1, counter=1, node=NODE, digest=DIGEST, parents=("a" * 32,) * 2, copies=copies)
    lineage = Lineage(head=head, history=tuple(f"{n:032x}" for n in range(MAX_HISTORY)))
    longest = Offer(node=NODE, lineage=lineage, texts=(DIGEST,) * 64).to_json()
    assert len(body_of(pack(Kind.OFFER, longest))) <= MAX_JSON_BYTES
    assert limit_of(Kind.TEXT) == MAX_BYTES


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("digest", "../../etc/passwd"),
        ("digest", "D" * 64),
        ("node", "0" * 15),
        ("term", -1),
        ("term", True),
        ("counter", 2**63),
        ("counter", 1.5),
        ("parents", ["a" * 32] * 3),
        ("copies", [{}]),
        ("copies", [{"digest": DIGEST, "name": "\x1b[2J", "term": 0, "counter": 0}]),
    ],
)
def test_a_generation_that_cannot_be_is_refused(place: str, value: object) -> None:
    good = offer().head.to_json()
    assert Generation.from_json(good) == offer().head
    with pytest.raises(PiranhaError):
        Generation.from_json({**good, place: value})


def test_reasons_are_fit_to_be_shown() -> None:
    frame = refusal_frame(DIGEST, ("\x1b]0;owned\x07" + "x" * 2000,))
    _, (reason,) = read_refusal(body_of(frame))
    assert reason.isprintable()
    assert len(reason) <= 500


def test_the_chain_covers_all_of_a_generation() -> None:
    head = offer().head
    changed = {
        "term": 4,
        "counter": 18,
        "node": "f" * 16,
        "digest": "a" * 64,
        "parents": ["c" * 32],
        "copies": [],
    }
    chains = {Generation.from_json({**head.to_json(), place: value}).chain for place, value in changed.items()}
    assert len(chains | {head.chain}) == len(changed) + 1


def test_the_history_is_bounded_and_keeps_the_latest() -> None:
    lineage = Agreement.first(NODE, "0\n")
    chains = []
    for number in range(MAX_HISTORY + 10):
        chains.append(lineage.head.chain)
        head = Generation(term=0, counter=number, node=NODE, digest=DIGEST, parents=(lineage.head.chain,))
        lineage = successor(lineage, head)
    assert lineage.history == tuple(chains[-MAX_HISTORY:])
    other = Agreement.first("f" * 16, "other\n")
    assert joined(lineage, other).history == lineage.history, "what is closest stays"
