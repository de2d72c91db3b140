"""The parts of the binding that need no kernel: names, errors, and netlink datagrams."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf import object as binding
from piranha.dataplane.ebpf.netlink import NetlinkSocket
from piranha.dataplane.ebpf.pins import pinned_name, safe_name
from piranha.dataplane.ebpf.syscall import BpfError


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_pin_name_is_accepted_by_bpffs_and_turns_back(name: str) -> None:
    assert pinned_name(safe_name(name)) == name
    assert not set(safe_name(name)) & set("./\0 ")


@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.EPERM, "CAP_BPF and CAP_NET_ADMIN"), (errno.ENOSYS, "CONFIG_BPF_SYSCALL"), (errno.EMFILE, "ulimit -n")],
)
def test_an_error_says_how_to_mend_it(number: int, mend: str) -> None:
    error = BpfError("cannot create BPF map x", number)
    assert error.errno == number
    assert str(error).startswith("cannot create BPF map x: ")
    assert mend in str(error)


def test_an_errno_that_the_c_library_does_not_know_is_explained() -> None:
    assert "operation not supported" in str(BpfError("x", 524))


def test_a_machine_without_libbpf_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **_: Any) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    binding.libbpf.cache_clear()
    with pytest.raises(PiranhaError, match=r"libbpf\.so\.1 is missing: install it: `apt install libbpf1`"):
        binding.libbpf()


@given(st.binary(max_size=200))
def test_any_datagram_without_known_messages_is_read_to_its_end(data: bytes) -> None:
    header = struct.pack("=IHHII", 16 + len(data), 200, 0, 7, 0)
    replies, _, ended = NetlinkSocket._parse(header + data)
    assert [(reply.type, reply.sequence, reply.body) for reply in replies] == [(200, 7, None)]
    assert not ended


def test_a_refusal_carries_the_kernels_own_sentence() -> None:
    sentence = b"Exclusivity flag on, cannot modify.\0"
    attribute = struct.pack("=HH", 4 + len(sentence), 1) + sentence
    body = struct.pack("=i", -errno.EEXIST) + bytes(16) + attribute
    replies, _, ended = NetlinkSocket._parse(struct.pack("=IHHII", 16 + len(body), 2, 0x300, 9, 0) + body)
    assert (replies[0].error, replies[0].explanation) == (errno.EEXIST, "Exclusivity flag on, cannot modify.")
    assert ended == {9}
