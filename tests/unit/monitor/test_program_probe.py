"""The program check, with programs as bad as they come."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.clock import MonotonicClock
from piranha.model.check import Probe
from piranha.model.service import Protocol
from piranha.monitor.answer import MAX_ANSWER_BYTES
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.cage import CageYard
from piranha.monitor.probes.program import ProgramCheck

Script = Callable[[str], str]


@pytest.fixture
def script() -> Iterator[Script]:
    """Writes a shell script that everybody may run (pytest's own folders are closed to others); gives its path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)

        def write(body: str) -> str:
            path = folder / f"check{len(list(folder.iterdir()))}.sh"
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
            return str(path)

        yield write


async def check(*program: str, timeout_s: float = 5, user: str = "nobody", **more: object) -> Outcome:
    probe = Probe(
        address=ip_address("10.0.0.11"),
        port=8080,
        protocol=Protocol.TCP,
        timeout_s=timeout_s,
        program=program,
        **more,  # type: ignore[arg-type]
    )
    programs = ProgramCheck(user)
    try:
        return await programs.check(probe, MonotonicClock())
    finally:
        await programs.close()


def running(text: str) -> list[str]:
    """Process ids whose command line contains `text`, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if text.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(entry.name)
            except OSError:
                continue
    return found


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


async def gone(text: str, within_s: float = 0.5) -> bool:
    until = time.monotonic() + within_s
    while still := running(text):
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.01)
    return not still


async def test_exit_status_alone_decides_without_expect(script: Script) -> None:
    assert (await check(script("exit 0"))).ok
    assert (await check(script("exit 0"), expect_any=True)).ok
    failed = await check(script("exit 3"))
    assert (failed.ok, failed.reason) == (False, "exit status 3")


async def test_output_must_be_equal_less_one_line_feed(script: Script) -> None:
    assert (await check(script("echo OK"), expect=b"OK")).ok
    assert (await check(script("printf OK"), expect=b"OK")).ok
    assert not (await check(script("echo OK; echo"), expect=b"OK")).ok
    wrong = await check(script("echo OK and more"), expect=b"OK")
    assert (wrong.ok, wrong.reason) == (False, "printed 'OK and more'")
    assert (await check(script("exit 0"), expect=b"")).ok
    assert not (await check(script("exit 0"), expect=b"OK")).ok


async def test_the_right_output_with_a_bad_status_is_a_failure(script: Script) -> None:
    """The original called this a success."""
    assert (await check(script("echo OK; exit 1"), expect=b"OK")).reason == "exit status 1"
    assert (await check(script("echo OK; kill -9 $$"), expect=b"OK")).reason == "ended by signal 9"


async def test_output_may_be_a_pattern(script: Script) -> None:
    assert (await check(script("echo load 0.42"), expect=rb"^load [[:digit:].]+$", use_regex=True)).ok
    assert not (await check(script("echo load high"), expect=rb"[0-9]", use_regex=True)).ok
    with pytest.raises(CheckImpossibleError):
        await check(script("echo"), expect=b"(", use_regex=True)


async def test_tokens_are_replaced_when_they_stand_alone(script: Script) -> None:
    program = script('echo "$#:$1:$2:$3:$4"')
    expect = b"4:10.0.0.11:8080:http://%h/:$(id);`id`"
    assert (await check(program, "%h", "%p", "http://%h/", "$(id);`id`", expect=expect)).ok


async def test_what_a_program_finds_around_it(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "do not tell")
    body = """
        cat; pwd; echo $SECRET; umask
        readlink /proc/$$/fd/0 /proc/$$/fd/2; ls /proc/$$/fd
        test "$(ps -o pgid= -o sid= -p $$ | tr -s ' ' | sed 's/^ //')" = "$$ $$" && echo leader
    """
    outcome = await check(script(body), expect=b"/\n\n0077\n/dev/null\n/dev/null\n0\n1\n10\n2\nleader")
    assert outcome.ok, outcome.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_runs_as_an_unprivileged_user_without_groups(script: Script) -> None:
    assert (await check(script("id -un"), expect=b"nobody")).ok
    assert (await check(script("id -G | wc -w"), expect=b"1")).ok
    with pytest.raises(CheckImpossibleError, match="no user nosuchuser"):
        await check(script("exit 0"), user="nosuchuser")


async def test_a_program_that_cannot_run_says_nothing_about_the_server(tmp_path: Path) -> None:
    for program in (str(tmp_path / "nosuch"), str(tmp_path), "\0"):
        with pytest.raises(CheckImpossibleError, match="cannot run"):
            await check(program)


async def test_a_hanging_program_that_ignores_term_is_killed_at_the_deadline(script: Script) -> None:
    began = time.monotonic()
    outcome = await check(script("trap '' TERM INT HUP\nsleep 86397\nsleep 86397"), timeout_s=0.3, expect=b"OK")
    assert time.monotonic() - began < 0.3 + 0.2
    assert (outcome.ok, outcome.reason) == (False, "still running after 0.3 s: killed")
    assert await gone("sleep 86397")
    assert not children()


async def test_children_do_not_outlive_the_check(script: Script) -> None:
    began = time.monotonic()
    outcome = await check(script("sleep 86398 & sleep 86398 &\necho OK"), expect=b"OK")
    assert outcome.ok, "that children keep the output open does not matter"
    assert time.monotonic() - began < 1
    assert await gone("sleep 86398")


@pytest.mark.skipif(not CageYard().usable, reason="no cgroup v2 of our own that we may divide")
async def test_children_that_leave_the_session_do_not_outlive_it_either(script: Script) -> None:
    assert (await check(script("setsid sleep 86399 &\necho OK"), expect=b"OK")).ok
    assert await gone("sleep 86399")
    assert not (await check(script("setsid sleep 86399 &\nsleep 86399"), timeout_s=0.2)).ok
    assert await gone("sleep 86399")


async def test_a_program_that_prints_without_end(script: Script) -> None:
    outcome = await check(script("yes a-sentence-to-be-found"), expect=b"OK")
    assert (outcome.ok, outcome.reason) == (False, f"printed more than {MAX_ANSWER_BYTES} bytes")
    assert outcome.duration_s < 2
    assert await gone("yes a-sentence-to-be-found")


async def test_output_up_to_the_bound_is_compared(script: Script) -> None:
    body = f"head -c {MAX_ANSWER_BYTES} /dev/zero | tr '\\0' x; echo"
    assert (await check(script(body), expect=b"x" * MAX_ANSWER_BYTES)).ok


async def test_a_fork_storm_is_stopped(script: Script) -> None:
    body = "for i in 1 2 3 4 5 6 7 8 9 10; do (trap '' TERM; sleep 86396; :) & done\nwait"
    assert not (await check(script(body), timeout_s=0.3)).ok
    assert await gone("sleep 86396")


async def test_many_runs_leave_no_zombie_no_descriptor_and_no_cgroup(script: Script) -> None:
    probe = Probe(
        address=ip_address("10.0.0.1"),
        port=1,
        protocol=Protocol.TCP,
        timeout_s=0.05,
        program=(script("test $$ = 0 || sleep 86395"),),
        expect=b"x",
    )
    programs = ProgramCheck()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        outcomes = await asyncio.gather(*(programs.check(probe, MonotonicClock()) for _ in range(10)))
        assert not any(outcome.ok for outcome in outcomes)
    await programs.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not children()
    assert await gone("sleep 86395")
    yard = CageYard()
    if yard._home is not None:
        assert not list(yard._home.glob(f"piranha-check-{os.getpid()}-*"))


async def test_a_cancelled_check_kills_its_program(script: Script) -> None:
    task = asyncio.ensure_future(check(script("sleep 86394"), expect=b"x", timeout_s=60))
    until = time.monotonic() + 5
    while not (started := running("sleep 86394")):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    assert started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone("sleep 86394")
    assert not children()
