"""The objects under test: ours as shipped, the peer (the same programs on LRU_HASH), and the driver."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools import build_bpf

from piranha.base.errors import PiranhaError

HERE = Path(__file__).parent / "bpf"
BUILD = build_bpf.ROOT / "build" / "bench"
DRIVER = BUILD / "wrap.bpf.o"
PEER = BUILD / "lb_lru.bpf.o"


def build() -> None:
    """Compile what changed. The peer is a copy of bpf/ with the headers in bench/bpf/lru/ in the place of ours."""
    if build_bpf.main():
        raise PiranhaError("the data plane's own objects were not built")
    registry = build_bpf.write_scheduler_registry()
    sources = [path for path in build_bpf.SOURCE.rglob("*") if path.suffix in (".c", ".h")]
    own = [path for path in HERE.rglob("*") if path.is_file()]
    if build_bpf.newest([*sources, *own, registry, Path(__file__)]) < min(_age(DRIVER), _age(PEER)):
        return
    clang = os.environ.get("CLANG") or build_bpf.find("clang")
    if clang is None:
        raise PiranhaError("no clang found", mend="install clang (14 or later), or set CLANG")
    strip = build_bpf.find("llvm-strip")
    tree = BUILD / "lru"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(build_bpf.SOURCE, tree)
    # Rivals are compared with rr; the peer's frames leave no room on the stack for the deepest schedulers.
    (tree / registry.name).write_text(build_bpf.scheduler_registry(["rr"]))
    shutil.copytree(HERE / "lru", tree, dirs_exist_ok=True)
    build_bpf.compile_object(clang, strip, tree / "lb.bpf.c", PEER, [])
    build_bpf.compile_object(clang, strip, HERE / "wrap.bpf.c", DRIVER, [])


def _age(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
