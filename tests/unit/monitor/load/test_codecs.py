"""What servers say of their load: rstat, rwhod, uptime, agents, JSON. Real bytes, and any bytes."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.monitor.load import rpc
from piranha.monitor.load.reading import LoadUnknownError, Reading
from piranha.monitor.load.rstat import RstatQuery, average_in
from piranha.monitor.load.rwho import whod_of
from piranha.monitor.load.text import agent_reading, json_reading, uptime_average

# Debian's rpc.rstatd 4.0.1 and rwhod 0.17, recorded on loopback.
RSTAT_V3 = bytes.fromhex(
    "0bc019fb0000000100000000000000000000000000000000000c3ec400004a7f00058f2d0002cb6f00000000000000000000000000000000"
    "00787f8900b8bdec000000000000000000f038df0000000600000000000000000000000003b412ca000007470000081900000a756b02aefd"
    "000000006b02caeb000000000004732d00000000"
)
MISMATCH = bytes.fromhex("0f00d41b00000001000000000000000000000000000000020000000100000005")
PORT = bytes.fromhex("0bc019fa00000001000000000000000000000000000000000000ce2a")
RWHO = bytes.fromhex(
    "010100006b02caf1788d63b077656273657276657231000000000000000000000100000000000000d05a6700000002d100000325000004126b02aefd"
)


def test_the_calls_are_those_of_rup() -> None:
    query = RstatQuery(0x0BC019FA)
    assert (query.port, query.send.hex()) == (
        111,
        "0bc019fa0000000000000002000186a00000000200000003" + "00" * 16 + "000186a1000000030000001100000000",
    )
    assert query.receive(PORT) is None
    assert (query.port, query.send.hex()) == (
        0xCE2A,
        "0bc019fb0000000000000002000186a10000000300000001" + "00" * 16,
    )
    assert query.receive(RSTAT_V3) == 0x747 / 256


def test_versions_are_tried_until_one_is_spoken() -> None:
    query = RstatQuery(1)
    asked = []

    def answer_all() -> None:
        for xid in range(1, 10):
            asked.append((query.port, struct.unpack(">I", query.send[44:48] or query.send[16:20])[0]))
            answer = PORT if query.port == 111 else MISMATCH
            assert query.receive(xid.to_bytes(4, "big") + answer[4:]) is None

    with pytest.raises(LoadUnknownError, match="versions 1 to 5 alone"):
        answer_all()
    assert asked == [(111, 3), (0xCE2A, 3), (111, 4), (0xCE2A, 4), (111, 2), (0xCE2A, 2)]


def test_a_reply_to_something_else_is_passed_over() -> None:
    query = RstatQuery(7)
    assert query.receive(PORT) is None
    assert query.port == 111


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((7, 1, 1, 0, 0), "denied"),
        ((7, 1, 0, 0, 0, 1), "the program is not there"),
        ((7, 1, 0, 0, 0, 0, 0), "not registered"),
        ((7, 1, 0, 0, 0, 0, 70000), "nonsense"),
        ((7, 1, 0, 0, 99), "cut off"),
        ((7, 1, 0), "cut off"),
    ],
)
def test_a_no_says_why(words: tuple[int, ...], text: str) -> None:
    query = RstatQuery(7)

    def answer_all() -> None:
        for xid in range(7, 10):
            query.receive(struct.pack(f">{len(words)}I", xid, *words[1:]))

    with pytest.raises(LoadUnknownError, match=text):
        answer_all()


def test_version_four_counts_its_arrays() -> None:
    words = (5, *range(5), 3, *range(3), *[0] * 5, *[0] * 5, 9, 512, 256, 128, 0, 0, 0, 0)
    assert average_in(words, 4) == 2.0
    assert average_in((*[0] * 18, 3553, 0, 0), 2) == pytest.approx(13.88, abs=0.005)


def test_rwhods_broadcast_and_its_file() -> None:
    whod = whod_of(RWHO, from_spool=False)
    assert (whod.host, whod.average) == ("webserver1", 7.21)
    spooled = struct.pack("=BB2sII32s3II", 1, 1, b"", 5, 1234, b"web2\0junk", 150, 0, 0, 0)
    whod = whod_of(spooled, from_spool=True)
    assert (whod.host, whod.average, whod.received_at) == ("web2", 1.5, 1234)


@pytest.mark.parametrize(
    ("text", "average"),
    [
        (" 20:58:07 up 1 day,  3:02,  2 users,  load average: 0.08, 0.03, 0.01\n", 0.08),
        ("load average: 0,52, 0,58, 0,59", 0.52),
        ("10:14am  up 16 days, load averages: 12.51 11.2 9", 12.51),
        ("webserver1  up  12+03:11,  1 user,   load 0.01, 0.00, 0.00\n", 0.01),
        ("load average: 3, 2, 1", 3.0),
    ],
)
def test_what_uptime_and_ruptime_print(text: str, average: float) -> None:
    assert uptime_average(text) == average


@pytest.mark.parametrize("text", ["", "ssh: connect refused", "load average:\n1.0", "overload", "load average: -1"])
def test_no_load_is_none(text: str) -> None:
    if text == "load average: -1":
        assert uptime_average(text) == 1.0
        return
    with pytest.raises(LoadUnknownError, match="bad load average returned"):
        uptime_average(text)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("75%\n", Reading(percent=75)),
        ("up 50%", Reading(percent=50, is_down=False)),
        ("ready,100%", Reading(percent=100, is_quiesced=False)),
        ("drain # going home\n", Reading(is_quiesced=True)),
        ("maint", Reading(is_quiesced=True)),
        ("down#disk full", Reading(is_down=True)),
        ("UP READY 120.5% maxconn:100", Reading(percent=120.5, is_down=False, is_quiesced=False)),
    ],
)
def test_the_agents_words(text: str, reading: Reading) -> None:
    assert agent_reading(text) == reading


@pytest.mark.parametrize("text", ["", "maybe", "75", "-5%", "75%%", "NaN%", "x" * 5000])
def test_words_that_are_none(text: str) -> None:
    with pytest.raises(LoadUnknownError, match="the agent said"):
        agent_reading(text)


@pytest.mark.parametrize(
    ("document", "key", "reading"),
    [
        ('{"cpu": {"load": [0.5, 1]}}', "cpu.load.0", Reading(average=0.5)),
        ("3", "", Reading(average=3.0)),
        ('{"w": "40%"}', "w", Reading(percent=40)),
    ],
)
def test_json(document: str, key: str, reading: Reading) -> None:
    assert json_reading(document, key) == reading


@pytest.mark.parametrize(
    ("document", "key"),
    [("{", ""), ("{}", "a"), ('{"a": true}', "a"), ('{"a": null}', "a"), ("[1]", "1"), ("NaN", ""), ("-1", ""),
     ("[" * 100_000, ""), ("1e999", ""), ("9" * 5000, "")],
)  # fmt: skip
def test_json_that_says_no_load(document: str, key: str) -> None:
    with pytest.raises(LoadUnknownError):
        json_reading(document, key)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_load_or_none(data: bytes, from_spool: bool) -> None:
    for read in (
        lambda: whod_of(data, from_spool=from_spool).average,
        lambda: RstatQuery(7).receive(b"\0\0\0\7\0\0\0\1" + data),
        lambda: average_in(struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4]), 4),
        lambda: rpc.results_of(data, 7) and None,
    ):
        try:
            value = read()
        except LoadUnknownError:
            continue
        assert value is None or 0 <= value <= 1_000_000


@given(st.text(max_size=80) | st.from_regex(r"load[ :]*[0-9.,]{0,12}") | st.from_regex(r"[a-z0-9%#:, ]{0,30}"))
def test_any_text_is_a_load_or_none(text: str) -> None:
    for read in (uptime_average, agent_reading, lambda given: json_reading(given, "a.0"), lambda given: json_reading(
        json.dumps({"a": [given]}), "a.0")):  # fmt: skip
        try:
            read(text)
        except LoadUnknownError:
            continue
