#!/usr/bin/env python3
"""Compile `bpf/*.bpf.c` to `src/piranha/dataplane/ebpf/objects/*.bpf.o`, reproducibly, and only when something changed.

The compiler is `$CLANG`, else the newest clang found (14 or later). `llvm-strip` removes DWARF where it is found; BTF stays.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "bpf"
OBJECTS = ROOT / "src" / "piranha" / "dataplane" / "ebpf" / "objects"
FLAGS = ["-O2", "-g", "-target", "bpfel", "-mcpu=v3", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-Wno-sign-compare", "-Wno-compare-distinct-pointer-types", "-fno-stack-protector"]  # fmt: skip
VERSIONS = ("19", "20", "21", "18", "17", "16", "15", "14")


def find(tool: str) -> str | None:
    for name in [f"{tool}-{version}" for version in VERSIONS] + [tool]:
        if path := shutil.which(name):
            return path
    return None


def scheduler_registry(names: list[str]) -> str:
    """One dispatch over schedulers, files of `bpf/sched/`.

    Each becomes a global function: the kernel verifies it apart from all others, and its stack is its own.
    """
    arguments = "const struct sched_input *in, const struct packet *packet"
    lines = ["/* Made by tools/build_bpf.py from the files in sched/. */", '#include "sched.h"']
    lines += [f'#include "sched/{name}.h"' for name in names]
    for name in names:
        lines += [f"__noinline __u32 schedule_{name}({arguments})"]
        lines += ["{", f"\treturn in && packet ? sched_{name}(in, packet) : NO_DEST;", "}"]
    lines += [
        "static __always_inline __u32 sched_choose(const struct service *service, const struct packet *packet)",
        "{",
    ]
    lines += ["\tconst struct sched_input *in = sched_input_of(service);"]
    lines += ["\tswitch (service->scheduler) {"]
    lines += [f"\tcase SCHED_{name}:\n\t\treturn schedule_{name}(in, packet);" for name in names]
    lines += ["\t}", "\treturn NO_DEST;", "}", ""]
    return "\n".join(lines)


def write_scheduler_registry() -> Path:
    """The dispatch over every `bpf/sched/*.h`, so that a new scheduler touches no other file."""
    target = ROOT / "build" / "bpf" / "sched_registry.gen.h"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = scheduler_registry(sorted(path.stem for path in (SOURCE / "sched").glob("*.h")))
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    return target


def newest(paths: list[Path]) -> float:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def compile_object(clang: str, strip: str | None, source: Path, target: Path, defines: list[str]) -> None:
    triplet = f"/usr/include/{platform.machine()}-linux-gnu"
    include = [f"-I{SOURCE}", f"-I{ROOT / 'build' / 'bpf'}"] + ([f"-I{triplet}"] if Path(triplet).is_dir() else [])
    command = [clang, *FLAGS, f"-ffile-prefix-map={ROOT}=.", *include, *defines, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    if strip:
        subprocess.run([strip, "-g", str(target)], check=True)


def main() -> int:
    sources = sorted(SOURCE.glob("*.bpf.c"))
    registry = write_scheduler_registry()
    dependencies = [registry, *SOURCE.rglob("*.h"), *sources, Path(__file__)]
    OBJECTS.mkdir(parents=True, exist_ok=True)
    inputs = newest(dependencies)
    stale = [source for source in sources if newest([OBJECTS / f"{source.stem}.o"]) <= inputs]
    if not stale:
        return 0
    clang = os.environ.get("CLANG") or find("clang")
    if clang is None:
        print("build_bpf: no clang found; install clang (14 or later), or set CLANG", file=sys.stderr)
        return 1
    for source in stale:
        print(f"build_bpf: {source.relative_to(ROOT)}")
        compile_object(clang, find("llvm-strip"), source, OBJECTS / f"{source.stem}.o", [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
