"""Mutated files: no crash, no hang, nothing lost. `PIRANHA_FUZZ_INPUTS=1000000` runs the million."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from piranha.config.directives import BY_SCOPE, DIRECTIVES, Scope
from piranha.config.edit import raise_serial_no
from piranha.config.formatter import format_text
from piranha.config.names import FixedNames
from piranha.config.semantics import check_text
from piranha.config.syntax import split
from piranha.config.writer import write

FIXTURES = Path(__file__).parents[2] / "fixtures"
INPUTS = int(os.environ.get("PIRANHA_FUZZ_INPUTS", "10000"))
SEED = int(os.environ.get("PIRANHA_FUZZ_SEED", "20080101"))
MOST_CPU_SECONDS_FOR_ONE = 2.0
NAMES = FixedNames(hosts={"lb1": "10.0.0.1"}, ports={"http": 80})


def everything() -> bytes:
    """A file with every directive there is."""

    def assignments(scope: Scope) -> str:
        return "".join(f"{directive.assignment_example}\n" for directive in BY_SCOPE[scope].values())

    block = f"farm {{\n{assignments(Scope.VIRTUAL)}server web1 {{\n{assignments(Scope.SERVER)}}}\n}}\n"
    mark = f"mark 80 {{\n{assignments(Scope.MARK)}}}\n"
    return f"{assignments(Scope.GLOBAL)}{mark}virtual {block}failover {block}".encode()


SEEDS = (
    (FIXTURES / "listing1.cf").read_bytes(),
    (FIXTURES / "listing1-filled.cf").read_bytes(),
    everything(),
    b"virtual a {\nserver b {\n}\n}\n",
)
PIECES = (
    *(directive.name.encode() for directive in DIRECTIVES),
    *(f"{directive.assignment_example}\n".encode() for directive in DIRECTIVES),
    *(
        b"virtual x {\n",
        b"mark 5 {\n",
        b"failover y{\n",
        b"server {\n",
        b"}\n",
        b"{",
        b"}",
        b"[",
        b"]",
        b"[ a b ]",
        b"[a]",
    ),
    *(b"=", b" = ", b"#", b" # x", b'"', b"'", b'""', b"\\", b"\\.", b"%h", b"*", b"(", b"[[:alpha:]]", b"a{99999}"),
    *(b"\r", b"\n", b"\r\n", b"\t", b" ", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xe2\x80\x8b", b"\x85", b"\x0b", b"\x1b["),
    *(b"0", b"-1", b"0x1f", b"08", b"65536", b"9" * 30, b"1e3", b"0.5", b"250ms", b"6s", b"::1", b"fe80::1%eth0"),
    *(
        b"10.0.0.300",
        b"10.1",
        b"0.0.0.0",
        b"255.255.255.255",
        b"255.0.255.0",
        b"10.0.0.1/24",
        b"10.0.0.0/24",
        b"[ 80 http 8000-8010 ]",
        b"9-1",
        b"lb1",
        b"http",
        b"w" * 70,
    ),
)


def mutated(chance: random.Random) -> bytes:
    """A seed with one to six changes."""
    text = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(text))
        match chance.randrange(8):
            case 0:
                text[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                del text[at : at + chance.randint(1, 30)]
            case 2 | 3:
                text[at:at] = chance.choice(PIECES)
            case 4:
                text[at : at + chance.randint(1, 10)] = chance.choice(PIECES)
            case 5:
                other = chance.choice(SEEDS)
                start = chance.randint(0, len(other))
                text[at:at] = other[start : start + chance.randint(1, 200)]
            case 6:
                lines = bytes(text).split(b"\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                text[:] = chance.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)
            case 7:
                del text[at:]
    return bytes(text)


def examine(content: bytes, *, strict: bool, thorough: bool) -> None:
    """What must hold for every text whatsoever."""
    text = content.decode("utf-8", "surrogateescape")
    parsed = check_text(text, strict=strict, names=NAMES)
    assert parsed.document.text == text
    lines = len(parsed.document.lines)
    for problem in parsed.problems:
        assert problem.message
        assert problem.column >= 1
        assert 1 <= problem.line <= max(1, lines + 1)
    if not thorough or strict:
        return
    formatted = format_text(text)
    assert format_text(formatted) == formatted
    if parsed.is_usable:
        again = check_text(formatted, names=NAMES)
        assert again.is_usable
        assert again.configuration == parsed.configuration
        assert check_text(write(parsed.configuration), names=NAMES).configuration == parsed.configuration
        raised = check_text(raise_serial_no(split(text)).text, names=NAMES)
        assert raised.configuration.virtuals == parsed.configuration.virtuals
        assert raised.configuration.serial_no in (parsed.configuration.serial_no + 1, 1)


def test_mutated_files_never_crash_and_never_hang() -> None:
    chance = random.Random(SEED)
    slowest_s, slowest = 0.0, b""
    for number in range(INPUTS):
        content = mutated(chance)
        started_at = time.process_time()
        try:
            examine(content, strict=number % 3 == 0, thorough=number % 4 == 1)
        except Exception as error:
            raise AssertionError(f"input {number} of seed {SEED}: {content!r}") from error
        taken_s = time.process_time() - started_at
        if taken_s > slowest_s:
            slowest_s, slowest = taken_s, content
    print(f"{INPUTS} inputs, the slowest took {slowest_s * 1000:.1f} ms")
    assert slowest_s < MOST_CPU_SECONDS_FOR_ONE, slowest
