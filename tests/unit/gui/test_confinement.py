"""piranha-gui as a process: unprivileged, without capabilities, unable to run anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOCKED_IN = """
import os, sys, json, threading
from piranha.gui.confinement import confine
confine(sys.argv[1])
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
refused = []
for name, act in {
    "execv": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "setuid": lambda: os.setuid(0),
    "root's file": lambda: open("/etc/shadow"),
    "unshare": lambda: os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else (_ for _ in ()).throw(PermissionError()),
}.items():
    try:
        act()
    except PermissionError:
        refused.append(name)
threads = []
worker = threading.Thread(target=lambda: threads.append(1))
worker.start()
worker.join()
print(json.dumps({"uid": os.getuid(), "caps": [status[n].strip() for n in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
    "privs": status["NoNewPrivs"].strip(), "seccomp": status["Seccomp"].strip(), "refused": refused, "threads": len(threads)}))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
@pytest.mark.parametrize("user", ["nobody", "root"])
def test_a_confined_process_can_do_nothing(user: str) -> None:
    import json

    result = subprocess.run([sys.executable, "-c", LOCKED_IN, user], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert set("".join(found["caps"])) == {"0"}
    assert found["privs"] == "1"
    assert found["seccomp"] == "2"
    assert {"execv", "spawn", "unshare"} <= set(found["refused"])
    assert found["threads"] == 1
    if user != "root":
        assert found["uid"] != 0
        assert {"setuid", "root's file"} <= set(found["refused"])


def test_a_user_that_is_not_there_is_said_with_its_mend() -> None:
    from piranha.base.errors import PiranhaError
    from piranha.gui.confinement import identity_of

    with pytest.raises(PiranhaError, match="useradd --system"):
        identity_of("nobody-of-this-name")
