"""Conversations fed with answers, good ones and what is left of them after mutation.

`python -m tests.unit.monitor.fuzzing ROUNDS` feeds each kind that many mutated answers.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Sequence

from tests.unit.monitor.scripted import probe_of_block

from piranha.model.check_block import CheckKind as K
from piranha.monitor.checks.kinds import CONVERSATIONS
from piranha.monitor.conversation import Silence, WrongAnswer
from piranha.monitor.outcome import CheckImpossibleError

TOKEN = bytes(range(32))
LOGIN = "login = me\npassword = secret\n"

BLOCKS: dict[K, list[str]] = {
    **{kind: [""] for kind in CONVERSATIONS},
    K.TCP: ["", "expect = OK", 'expect = "O[A-Z]+"\nuse_regex = 1'],
    K.UDP: ["expect = OK", 'send_hex = 00\nexpect_hex = "4f ??"'],
    K.HTTP: [
        "",
        "expect = ok\nredirects = 3",
        'expect = "o(k|l)+x?"\nreject = nok\nuse_regex = 1',
        "digest = 444bcb3a3fcf8389296c49467f27e1d6",
    ],
    K.SMTP: ["", LOGIN, "starttls = 1"],
    K.IMAP: ["", LOGIN],
    K.POP3: ["", LOGIN],
    K.FTP: ["", LOGIN],
    K.NNTP: ["", LOGIN],
    K.REDIS: ["", "password = secret"],
    K.LDAP: ["", LOGIN + 'base = "dc=a"'],
    K.MYSQL: ["", LOGIN, LOGIN + 'query = "select 1"'],
    K.POSTGRESQL: ["", LOGIN, LOGIN + 'query = "select 1"'],
    K.DNS: ["", "name = a\nrecord = A\nexpect = 192.0.2.80"],
    K.RADIUS: ["secret = x", "secret = x\n" + LOGIN],
    K.SIP: ["", "tls = 1"],
    K.GRPC: ["", "service = shop"],
}


def _mysql(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number,)) + payload


def _postgresql(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


_GREETING = _mysql(
    0,
    b"\x0a8.0.36\0" + bytes(4) + b"12345678\0" + b"\xff\xff\xff\x02\x00\xff\xdf\x15" + bytes(10) + b"123456789012\0"
    b"mysql_native_password\0",
)

SAMPLES: dict[K, list[list[bytes]]] = {
    **{kind: [[b"OK"], [b"\x16\x03\x03\x00\x02\x02\x28"]] for kind in CONVERSATIONS},
    K.HTTP: [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        [b"HTTP/1.1 302 Found\r\nLocation: //[x/\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nok", b""],
        [
            b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n",
            b"",
            b"HTTP/1.1 302 Found\r\nLocation: http://h:99999/b\r\n\r\n",
        ],
    ],
    K.SMTP: [
        [b"220 x\r\n", b"250-x\r\n250 y\r\n", b"235 z\r\n"],
        [b"220 x\r\n", b"250 y\r\n", b"220 go\r\n", b"\x16\x03\x03\0\1"],
    ],
    K.IMAP: [[b"* OK x\r\n", b"* x\r\nb OK y\r\n"]],
    K.POP3: [[b"+OK x\r\n", b"+OK\r\n", b"+OK\r\n"]],
    K.FTP: [[b"220 x\r\n", b"331 y\r\n", b"230 z\r\n"]],
    K.NNTP: [[b"200 x\r\n", b"381 y\r\n", b"281 z\r\n"]],
    K.REDIS: [[b"+OK\r\n", b"+PONG\r\n"], [b"+PONG\r\n"], [b"-NOAUTH x\r\n"]],
    K.LDAP: [
        [
            bytes.fromhex("300c02010161070a010004000400"),
            bytes.fromhex("300b020102640604043d613000") + bytes.fromhex("300c02010265070a010004000400"),
        ],
        [bytes.fromhex("300c02010161070a010004000400"), bytes.fromhex("30840000000c02010265070a012004000400")],
    ],
    K.MYSQL: [
        [
            _GREETING,
            _mysql(2, b"\0\0\0\2\0\0\0"),
            _mysql(1, b"\1") + _mysql(2, b"col") + _mysql(3, b"\xfe\0\0\2\0") + _mysql(4, b"\11"),
        ],
        [
            _GREETING,
            _mysql(2, b"\xfecaching_sha2_password\x0012345678901234567890\0"),
            _mysql(4, b"\1\4"),
            _mysql(6, b"\1-----BEGIN PUBLIC KEY-----\n"),
        ],
        [_mysql(0, b"\xff\x10\x04Too many connections")],
    ],
    K.POSTGRESQL: [
        [b"N"],
        [
            _postgresql(b"R", struct.pack("!I", 5) + b"salt"),
            _postgresql(b"R", bytes(4)) + _postgresql(b"Z", b"I"),
            _postgresql(b"T", b"") + _postgresql(b"D", b"\0\1"),
        ],
        [
            _postgresql(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"),
            _postgresql(b"R", struct.pack("!I", 11) + b"r=AAECAwQFBgcICQoLDA0ODxARx,s=c2FsdA==,i=10"),
            _postgresql(b"R", struct.pack("!I", 12) + b"v=AAAA"),
        ],
        [_postgresql(b"E", b"SFATAL\0C28P01\0Mno\0\0")],
    ],
    K.SIP: [
        [b"SIP/2.0 100 Trying\r\n\r\nSIP/2.0 200 OK\r\nCall-ID: 0001020304050607\r\n\r\n"],
        [b"SIP/2.0 200 OK\r\nCall-ID: 0001020304050607@x\r\n\r\n"],
    ],
    K.GRPC: [
        [
            _frame(4, 0, 0) + _frame(6, 0, 0, bytes(8)),
            _frame(4, 1, 0) + _frame(1, 4, 1, b"\x88") + _frame(0, 0, 1, b"\0\0\0\0\2\x08\1") + _frame(1, 5, 1, b"x"),
        ],
        [_frame(4, 0, 0), _frame(0, 8, 1, b"\3\0\0\0\0\2\x08\2abc"), _frame(7, 0, 0, bytes(8))],
    ],
    K.DNS: [[bytes.fromhex("00018180000100010000000001610000010001c00c00010001000000050004c0000250")]],
    K.RADIUS: [[bytes((2, 0, 0, 20)) + bytes(16)]],
    K.ICMP: [[b"\0\0\0\0\0\0\0\1" + TOKEN], [b"\x45" + bytes(19) + b"\0\0\0\0\0\0\0\1" + TOKEN]],
}


def play(kind: K, block: str, parts: Sequence[bytes]) -> str:
    """Feed one conversation: "found", "wrong", or "more" where it would go on. Any other end is an exception."""
    return _play(kind, probe_of_block(kind, block, port=80), parts)


def _play(kind: K, probe: object, parts: Sequence[bytes]) -> str:
    try:
        talk = CONVERSATIONS[kind](probe, TOKEN)  # type: ignore[arg-type]
        next(talk)
        for part in parts:
            talk.send(part)
        talk.throw(Silence("the deadline"))
    except StopIteration:
        return "found"
    except (WrongAnswer, CheckImpossibleError):
        return "wrong"
    except Silence:
        return "more"
    return "more"


def mutated(parts: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """The same answers, less like themselves."""
    out = [bytearray(part) for part in parts]
    for _ in range(chance.randint(1, 4)):
        part = chance.choice(out)
        at = chance.randrange(len(part) + 1)
        match chance.randrange(6):
            case 0 if part:
                part[at - 1] ^= 1 << chance.randrange(8)
            case 1 if part:
                part[at - 1] = chance.choice(b"\0\x01\x7f\x80\xff\r\n :-0")
            case 2:
                del part[at : at + chance.randrange(8)]
            case 3:
                part[at:at] = chance.randbytes(chance.randrange(8))
            case 4:
                part[at:at] = part[: chance.randrange(len(part) + 1)]
            case _:
                out.append(bytearray(chance.choice((b"", b"\r\n", b"\0" * 9, bytes(part)))))
    whole = [bytes(part) for part in out]
    if chance.random() < 0.2:
        joined = b"".join(whole)
        cut = chance.randrange(len(joined) + 1)
        whole = [joined[:cut], joined[cut:]]
    return whole


def main(rounds: int) -> None:
    chance = random.Random(1)
    for kind in CONVERSATIONS:
        probes = [probe_of_block(kind, block, port=80) for block in BLOCKS[kind]]
        began, ends = time.monotonic(), {"found": 0, "wrong": 0, "more": 0}
        for _ in range(rounds):
            ends[_play(kind, chance.choice(probes), mutated(chance.choice(SAMPLES[kind]), chance))] += 1
        print(f"{kind:12}{rounds} answers {ends} {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
