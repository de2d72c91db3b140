"""Write `tests/conformance/recorded/` anew from the real IPVS: `python -m tests.uml.record [ipvsadm] [ipvs]`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.scenarios import SCENARIOS
from tests.uml.guest import MODULES, PROJECT, Guest
from tests.uml.ipvsadm_lines import GROUPS
from tests.uml.ipvsadm_record import HOSTS, SERVICES
from tests.uml.scenario import Scenario

RECORDED = PROJECT / "tests" / "conformance" / "recorded"
WITHOUT_IPVS = ("-L", "-h", "-v", "-A -t 10.9.0.1:80", "-Q", "")


def run_agent(work: dict[str, Any], *, timeout_s: float) -> Any:
    """Boot one guest for all of `work` and give the agent's results (`agent.py`). RuntimeError where it failed."""
    command = [sys.executable, "-m", "tests.uml.agent"]
    return json.loads(Guest().run(command, timeout_s=timeout_s, stdin=json.dumps(work).encode()).check().stdout)


def without_ipvs() -> list[dict[str, Any]]:
    """What ipvsadm says where the kernel has no IPVS: each command line in a guest that cannot load the module."""
    script = "\n".join(
        ["rm -f /usr/sbin/modprobe"]
        + [f"ipvsadm {line} >/tmp/{n}.out 2>/tmp/{n}.err; echo $? >/tmp/{n}.exit" for n, line in enumerate(WITHOUT_IPVS)]
        + [f"{sys.executable} -c 'import json,pathlib; r=lambda n,e: pathlib.Path(f\"/tmp/{{n}}.{{e}}\").read_text();"
           f"print(json.dumps([[r(n,\"exit\"),r(n,\"out\"),r(n,\"err\")] for n in range({len(WITHOUT_IPVS)})]))'"]
    )  # fmt: skip
    modules = [name for name in MODULES if not name.startswith("ip_vs")]
    done = Guest(modules=modules).run(["bash", "-c", script], timeout_s=90).check()
    return [
        {"line": line, "argv": ["ipvsadm", *line.split()], "stdin": "", "exit": int(code), "stdout": out, "stderr": err}
        for line, (code, out, err) in zip(WITHOUT_IPVS, json.loads(done.stdout), strict=True)
    ]


def laid_out(data: Any, depth: int, indent: str = "") -> str:
    """JSON that a person can compare: the outer `depth` levels one item a line, what is deeper on its item's line."""
    if depth == 0 or not isinstance(data, dict | list) or not data:
        return json.dumps(data, ensure_ascii=False)
    inside = indent + " "
    if isinstance(data, dict):
        items = [f"{json.dumps(key)}: {laid_out(value, depth - 1, inside)}" for key, value in data.items()]
    else:
        items = [laid_out(value, depth - 1, inside) for value in data]
    opening, closing = "{}" if isinstance(data, dict) else "[]"
    return f"{opening}\n{inside}" + f",\n{inside}".join(items) + f"\n{indent}{closing}"


def write(name: str, data: Any, *, depth: int) -> Path:
    RECORDED.mkdir(parents=True, exist_ok=True)
    path = RECORDED / name
    path.write_text(laid_out(data, depth) + "\n")
    return path


def record_ipvsadm() -> Path:
    results = run_agent({"ipvsadm": GROUPS}, timeout_s=600)
    for name, outcome in results["ipvsadm"].items():
        if "failed" in outcome:
            raise RuntimeError(f"group {name}:\n{outcome['failed']}")
    groups = {
        **results["ipvsadm"],
        "no-ipvs": {"about": "a kernel without IPVS", "commands": without_ipvs(), "proc": {}},
    }
    names = {"hosts": HOSTS, "services": SERVICES}
    return write(
        "ipvsadm.json", {"kernel": results["kernel"], "ipvsadm": "1.31", "names": names, "groups": groups}, depth=4
    )


def play_on_ipvs(scenarios: Sequence[Scenario], *, timeout_s: float = 900) -> Any:
    """What the kernel's IPVS does in these scenarios: `kernel`, and `scenarios` by name (each a list, or `failed`)."""
    return run_agent({"scenarios": [scenario.to_json() for scenario in scenarios]}, timeout_s=timeout_s)


def record_ipvs() -> Path:
    results = play_on_ipvs(SCENARIOS)
    for name, outcome in results["scenarios"].items():
        if "failed" in outcome:
            raise RuntimeError(f"scenario {name}:\n{outcome['failed']}")
    return write("ipvs.json", {"kernel": results["kernel"], "scenarios": results["scenarios"]}, depth=3)


def main(arguments: Sequence[str]) -> int:
    recorders = {"ipvsadm": record_ipvsadm, "ipvs": record_ipvs}
    for name in arguments or list(recorders):
        began = time.monotonic()
        print(f"recorded {recorders[name]()} in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
