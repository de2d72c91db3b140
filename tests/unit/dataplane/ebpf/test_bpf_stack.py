"""The stack of the shipped programs, as kernels of the floor count it: every function in units of 32 bytes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

TOOL: dict[str, Any] = runpy.run_path(str(Path(__file__).resolve().parents[4] / "tools" / "bpf_stack.py"))
Function, deepest, frames = TOOL["Function"], TOOL["deepest"], TOOL["frames"]


@pytest.fixture(scope="module")
def shipped() -> tuple[dict[str, Any], list[str]]:
    functions, entries = TOOL["read_functions"](TOOL["OBJECT"].read_bytes())
    return functions, entries


def test_every_chain_of_calls_fits_the_oldest_kernel(shipped: tuple[dict[str, Any], list[str]]) -> None:
    functions, entries = shipped
    chains = [deepest(functions, entry) for entry in entries]
    assert [chain for chain in chains if chain.bytes > TOOL["LIMIT_BYTES"]] == []
    assert max(frames(functions, entry) for entry in entries) <= TOOL["LIMIT_FRAMES"]


def test_so_do_those_of_connection_sync() -> None:
    functions, entries = TOOL["read_functions"](TOOL["OBJECT"].with_name("sync.bpf.o").read_bytes())
    (chain,) = (deepest(functions, entry) for entry in entries)
    assert chain.functions[:2] == ("sync_in", "record_visit")
    assert chain.bytes <= TOOL["LIMIT_BYTES"]


def test_calls_callbacks_and_entries_are_found(shipped: tuple[dict[str, Any], list[str]]) -> None:
    functions, entries = shipped
    assert {"lb_xdp", "lb_tc", "lb_tc_egress", "sweep", "ticker_start", "weigh"} == set(entries)
    assert "balance_skb" in functions["lb_tc"].calls
    assert "sum_visit" in functions["packet_sum_walk"].calls, "handed to bpf_loop"
    assert functions["lb_tc"].stack_bytes >= 64, "a struct packet lies on it"


def test_the_deepest_chain_counts_whole_units() -> None:
    functions = {
        "entry": Function("entry", 33, {"a", "b"}),
        "a": Function("a", 0, {"c"}),
        "b": Function("b", 96),
        "c": Function("c", 64),
    }
    assert deepest(functions, "entry").bytes == 64 + 32 + 64
    assert deepest(functions, "entry").functions in {("entry", "a", "c"), ("entry", "b")}
    assert deepest(functions, "entry", 16).bytes == 48 + 96
    assert frames(functions, "entry") == 3


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="ELF"):
        TOOL["read_functions"](b"no object at all" * 8)
