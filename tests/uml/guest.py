"""Run a command inside a kernel that has IPVS: Debian's user-mode Linux, started as a process of this machine.

The guest sees this machine's files through hostfs, read only, under a layer in memory; only the directories given as
`rw` are written through. It needs no root, only ptrace and memory in /dev/shm. One boot costs 3 to 12 seconds: give
the guest one program that does everything.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
UNPACKED = PROJECT / "build" / "uml" / "root"
KERNEL = UNPACKED / "usr" / "bin" / "linux.uml"
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")
MODULES = ("ip_vs", *(f"ip_vs_{name}" for name in SCHEDULERS), "ip_vs_pe_sip", "ip_vs_ftp", "tun", "veth", "dummy")

TIMED_OUT = 124
GUEST_DIED = 125


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a command in the guest left. `returncode` is TIMED_OUT or GUEST_DIED where the guest itself failed."""

    returncode: int
    stdout: bytes
    stderr: bytes
    console: str = ""

    def check(self) -> Completed:
        """Itself when the command succeeded; else RuntimeError with the end of what it said."""
        if self.returncode:
            said = self.stderr.decode(errors="replace")[-4000:]
            raise RuntimeError(f"guest command ended with {self.returncode}\n{said}\n{self.console[-2000:]}")
        return self


class Guest:
    """How guests are started: memory, modules, network devices. Each `run` boots a fresh one and leaves nothing behind.

    `devices` are interfaces of the caller's network namespace, one end of a veth pair each; the guest has them as vec0,
    vec1, … and the host may not use them.
    """

    def __init__(self, *, memory: str = "512M", modules: Sequence[str] = MODULES, devices: Sequence[str] = ()) -> None:
        self._memory = memory
        self._devices = [
            f"vec{number}:transport=raw,ifname={name},depth=64,gro=0,mac=02:00:00:00:00:{number + 10:02x}"
            for number, name in enumerate(devices)
        ]
        self._modules = tuple(modules)

    def run(
        self, command: Sequence[str], *, timeout_s: float, rw: Sequence[Path] = (), stdin: bytes = b""
    ) -> Completed:
        """`command` in a new guest, in this process's working directory and environment; `timeout_s` bounds it all."""
        job = Path(tempfile.mkdtemp(prefix="piranha-uml-"))
        try:
            self._prepare(job, command, rw, stdin)
            failure = self._boot(job, time.monotonic() + timeout_s)
            status = _text(job / "status").strip()
            code = failure or (int(status) if status.isdecimal() else GUEST_DIED)
            return Completed(
                returncode=code, stdout=_bytes(job / "stdout"), stderr=_bytes(job / "stderr"), console=_text(job / "console")
            )  # fmt: skip
        finally:
            shutil.rmtree(job, ignore_errors=True)

    def _prepare(self, job: Path, command: Sequence[str], rw: Sequence[Path], stdin: bytes) -> None:
        shared = shlex.join(str(folder.resolve()) for folder in rw)
        lines = [f"MODULES_ROOT={shlex.quote(str(UNPACKED / 'usr/lib/uml/modules'))}",
                 f"TOOLS_ROOT={shlex.quote(str(UNPACKED))}", f"MODULES={shlex.quote(' '.join(self._modules))}",
                 f"SHARED=({shared})"]  # fmt: skip
        (job / "settings").write_text("\n".join(lines) + "\n")
        exports = [f"export {key}={shlex.quote(value)}" for key, value in os.environ.items() if key.isidentifier()]
        exports.append("export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
        enter = f"cd {shlex.quote(str(Path.cwd()))} || exit 125"
        (job / "command").write_text("\n".join([*exports, enter, f"exec {shlex.join(command)}"]) + "\n")
        (job / "stdin").write_bytes(stdin)
        for name in ("stdout", "stderr", "console"):
            (job / name).touch()
        shutil.copy(Path(__file__).with_name("init.sh"), job / "init")
        (job / "init").chmod(0o755)

    def _boot(self, job: Path, deadline_at: float) -> int:
        """Run the guest until it ends; 0, or TIMED_OUT or GUEST_DIED where it was killed."""
        # As root the guest gets a process namespace, so that nothing of it survives; else its process group has to do.
        inside = ["unshare", "--pid", "--fork", "--kill-child=KILL"] if os.geteuid() == 0 else []
        command = ["setpriv", "--pdeathsig", "KILL", *inside, str(KERNEL), "rootfstype=hostfs", "rootflags=/", "ro",
                   f"init={job}/init", f"JOB={job}", f"mem={self._memory}", f"uml_dir={job}", "umid=guest", "noreboot",
                   "con=null", "con0=null,fd:2", "quiet", *self._devices]  # fmt: skip
        with (job / "console").open("wb") as console:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline_at:
                    return TIMED_OUT
                if "Kernel panic" in _text(job / "console"):  # a panicked guest would spin for ever
                    return GUEST_DIED
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
            return 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@functools.cache
def why_not() -> str | None:
    """Why no guest can run here, or None. Boots one the first time it is asked."""
    if not KERNEL.exists():
        return "the user-mode kernel is not here: `make uml` fetches it"
    for tool in ("setpriv", "unshare"):
        if not shutil.which(tool):
            return f"no {tool} (util-linux) here"
    try:
        done = Guest().run(["true"], timeout_s=90)
    except OSError as error:
        return f"the user-mode kernel does not start: {error}"
    if done.returncode:
        last = done.console.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        return f"the user-mode kernel does not run here: {last[0]}"
    return None


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace")
