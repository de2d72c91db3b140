"""The binding on the running kernel: objects, maps, pins, hooks and next hops.

```
 netns pt-<id>-a                    netns pt-<id>-b
   a0 10.77.0.1/24 ---- veth ----- b0 10.77.0.2/24
      fd77::1/64                       fd77::2/64
```
Each test that needs a network gets its own pair, removed afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib.util
import os
import select
import shutil
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from pyroute2 import IPRoute

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf import syscall
from piranha.dataplane.ebpf.btf import AbiMismatch
from piranha.dataplane.ebpf.clsact import Clsact, Direction
from piranha.dataplane.ebpf.hookset import HookPrograms, HookSet
from piranha.dataplane.ebpf.interfaces import InterfaceInfo, interfaces, served
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.nexthop import NextHop, NextHopResolver
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.syscall import BpfError
from piranha.dataplane.ebpf.uapi import AttachType, LinkFlag, MapFlag, MapType, UpdateFlag
from piranha.model.address import IPAddress
from piranha.model.configuration import HookChoice

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "fixtures" / "bpf" / "binding.bpf.c"
ADDRESS = np.dtype([("word", ">u4", (4,))])
PAIR = np.dtype([("a", "<u2"), ("b", "<i2")])
RECORD = np.dtype(
    {
        "names": ["address", "port", "flags", "delta", "packets", "pairs", "view", "stamp", "mode"],
        "formats": [ADDRESS, ">u2", ("u1", (3,)), "<i4", "<u4", (PAIR, (2,)), "<u4", "<u8", "<i4"],
        "offsets": [0, 16, 18, 24, 28, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
COUNTERS = np.dtype({"names": ["packets", "size"], "formats": ["<u8", "<u4"], "offsets": [0, 8], "itemsize": 16})
TWELVE = np.dtype([("word", "<u4", (3,))])
FRAME = bytes(12) + b"\x08\x00" + bytes(50)


def missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2"
    try:
        os.close(syscall.map_create(MapType.ARRAY, 4, 4, 1))
    except BpfError as error:
        return str(error)
    return None


pytestmark = [pytest.mark.root, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    spec = importlib.util.spec_from_file_location("build_bpf", ROOT / "tools" / "build_bpf.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    clang = os.environ.get("CLANG") or build.find("clang")
    if clang is None:
        pytest.skip("needs clang")
    target = tmp_path_factory.mktemp("bpf") / "binding.bpf.o"
    build.compile_object(clang, build.find("llvm-strip"), SOURCE, target, [])
    return target.read_bytes()


@pytest.fixture
def loaded(image: bytes) -> Iterator[BpfObject]:
    with BpfObject(image, name="binding") as bpf:
        bpf.load()
        yield bpf


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    store = Pins(tmp_path / "run dir" / "bpf")
    store.mount()
    try:
        yield store
        store.remove_all()
    finally:
        store.unmount()


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=20, stdout=subprocess.DEVNULL)


class Network:
    """The picture above; `inside` runs a block in the left namespace."""

    def __init__(self) -> None:
        stem = f"pt-{uuid.uuid4().hex[:6]}"
        self.left, self.right = f"{stem}-a", f"{stem}-b"

    def up(self) -> None:
        for name in (self.left, self.right):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        self.wire()

    def wire(self) -> None:
        run("ip", "-n", self.left, "link", "add", "a0", "type", "veth", "peer", "name", "b0", "netns", self.right)
        for name, device, number in ((self.left, "a0", 1), (self.right, "b0", 2)):
            run("ip", "-n", name, "address", "add", f"10.77.0.{number}/24", "dev", device)
            run("ip", "-n", name, "address", "add", f"fd77::{number}/64", "dev", device, "nodad")
            run("ip", "-n", name, "link", "set", device, "up")

    def down(self) -> None:
        for name in (self.left, self.right):
            subprocess.run(["ip", "netns", "delete", name], check=False, timeout=20, stderr=subprocess.DEVNULL)

    def ip(self, *words: str) -> None:
        run("ip", "-n", self.left, *words)

    def ip_right(self, *words: str) -> None:
        run("ip", "-n", self.right, *words)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with _namespace(Path("/run/netns") / self.left):
            yield

    def interface(self, name: str = "a0") -> InterfaceInfo:
        return next(found for found in interfaces() if found.name == name)


@contextlib.contextmanager
def _namespace(path: Path) -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.setns(there, 0x40000000) == 0
        yield
    finally:
        assert libc.setns(home, 0x40000000) == 0
        os.close(home)
        os.close(there)


@pytest.fixture
def network() -> Iterator[Network]:
    net = Network()
    try:
        net.up()
        with net.inside():
            yield net
    finally:
        net.down()


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 8) -> None:
    deadline_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_at, f"{what} did not come about within {within_s} s"
        time.sleep(0.02)


def count(bpf: BpfObject, slot: int) -> int:
    return int(bpf.map("counters").percpu(COUNTERS)["packets"].sum(axis=1)[slot])


class TestObject:
    def test_it_knows_its_maps_and_programs_before_the_load(self, image: bytes) -> None:
        with BpfObject(image, name="binding") as bpf:
            assert {"tc_one", "xdp_one", "tc_refused"} <= set(bpf.programs)
            shared = bpf.maps["shared"]
            assert (shared.type, shared.value_size, shared.flags) == (MapType.ARRAY, 12, MapFlag.MMAPABLE)
            bpf.set_max_entries("shared", 7)
            bpf.load()
            assert bpf.map("shared").max_entries == 7
            assert syscall.map_info(bpf.map("shared").fd).max_entries == 7

    def test_a_path_works_as_well_as_bytes(self, image: bytes, tmp_path: Path) -> None:
        path = tmp_path / "thing.bpf.o"
        path.write_bytes(image)
        with BpfObject(path) as bpf:
            assert bpf.name == "thing"
        with pytest.raises(PiranhaError, match="cannot read the BPF object"):
            BpfObject(tmp_path / "absent.o")

    def test_a_refused_program_shows_the_end_of_the_verifier_log(self, image: bytes) -> None:
        with BpfObject(image, name="binding") as bpf:
            bpf.set_autoload("tc_refused", True)
            with pytest.raises(BpfError, match="invalid mem access 'map_value_or_null'"):
                bpf.load()

    def test_a_variable_is_set_before_the_load(self, image: bytes) -> None:
        with BpfObject(image, name="binding") as bpf:
            bpf.set_variable("answer", struct.pack("=I", 9))
            bpf.load()
            assert syscall.prog_test_run(bpf.program_fd("tc_answer"), FRAME).retval == 9

    def test_a_map_is_reused_and_one_of_another_shape_refused(self, image: bytes, loaded: BpfObject) -> None:
        loaded.map("shared").array(TWELVE)["word"][3] = (1, 2, 3)
        with BpfObject(image, name="binding") as bpf:
            with pytest.raises(BpfError, match="value_size is 16 instead of 12"):
                bpf.reuse("shared", BpfMap.create(MapType.ARRAY, 4, 16, 1000, flags=MapFlag.MMAPABLE).fd)
            bpf.reuse("shared", loaded.map("shared").fd)
            bpf.load()
            assert bpf.map("shared").array(TWELVE)["word"][3].tolist() == [1, 2, 3]

    def test_maps_outlive_the_object(self, image: bytes) -> None:
        with BpfObject(image, name="binding") as bpf:
            bpf.load()
            shared = bpf.map("shared")
        assert shared.lookup(struct.pack("=I", 0)) == bytes(12)
        shared.close()

    def test_missing_names_are_said(self, loaded: BpfObject) -> None:
        with pytest.raises(PiranhaError, match="no map nothing"):
            loaded.map("nothing")
        with pytest.raises(PiranhaError, match="tc_refused is not loaded"):
            loaded.program_fd("tc_refused")

    def test_the_mirror_fits_and_a_wrong_one_does_not(self, loaded: BpfObject) -> None:
        loaded.btf.check(COUNTERS, "counters")
        loaded.btf.check(RECORD, "record")
        assert loaded.btf.constants() == {"PROBE_OFF": 0, "PROBE_ON": 7, "PROBE_BACK": -1}
        wrong = [*RECORD.descr[:1], ("port", "<u2"), *RECORD.descr[2:]]
        with pytest.raises(AbiMismatch, match=r"record\.port: big-endian in the object, the other byte order"):
            loaded.btf.check(np.dtype(wrong), "record")


class TestMap:
    def test_single_entries(self, loaded: BpfObject) -> None:
        records = loaded.map("records")
        key, value = struct.pack("=I", 5), bytes(range(64))
        assert records.lookup(key) is None
        records.update(key, value, UpdateFlag.NOEXIST)
        with pytest.raises(BpfError) as caught:
            records.update(key, value, UpdateFlag.NOEXIST)
        assert caught.value.errno == errno.EEXIST
        assert records.lookup(key) == value
        assert records.keys() == [key]
        assert records.delete(key)
        assert not records.delete(key)

    def test_sizes_are_checked_before_the_kernel_reads_beyond_a_buffer(self, loaded: BpfObject) -> None:
        with pytest.raises(ValueError, match="a value has 64 bytes"):
            loaded.map("records").update(bytes(4), bytes(63))
        with pytest.raises(ValueError, match="a key has 4 bytes"):
            loaded.map("records").lookup(bytes(5))

    def test_a_full_map_says_so(self, loaded: BpfObject) -> None:
        records = loaded.map("records")
        keys = np.arange(64, dtype="<u4")
        records.update_batch(keys, np.zeros(64, RECORD))
        with pytest.raises(BpfError, match="full"):
            records.update(struct.pack("=I", 64), bytes(64))

    def test_batches_of_a_hash(self) -> None:
        table = BpfMap.create(MapType.HASH, 4, 8, 20000, name="pt_batch")
        keys = np.arange(20000, dtype="<u4")
        table.update_batch(keys, keys.astype("<u8") * 3)
        for chunk in (20000, 64):
            found, values = syscall.lookup_batch(table.fd, keys.dtype, np.dtype("<u8"), 20000, chunk=chunk)
            assert np.array_equal(np.sort(found), keys)
            assert np.array_equal(values, found.astype("<u8") * 3)
        # A capacity that is too small only costs another round.
        assert len(syscall.lookup_batch(table.fd, keys.dtype, np.dtype("<u8"), 100)[0]) == 20000
        assert table.delete_batch(np.concatenate([keys[:10], keys[:5] + 900000, keys[10:30]])) == 30
        assert len(table.items(keys.dtype, np.dtype("<u8"))[0]) == 19970
        table.close()

    def test_the_array_is_shared_memory_with_padded_elements(self, loaded: BpfObject) -> None:
        shared = loaded.map("shared")
        view = shared.array(TWELVE)
        assert view.shape == (1000,)
        view["word"][999] = (7, 8, 9)
        assert shared.lookup(struct.pack("=I", 999)) == struct.pack("=III", 7, 8, 9)
        for _ in range(3):
            syscall.prog_test_run(loaded.program_fd("tc_answer"), FRAME)
        assert view["word"][0].tolist() == [3, 0, 0]
        assert view["word"][1].tolist() == [0, 0, 0]

    def test_per_cpu_counters(self, loaded: BpfObject) -> None:
        syscall.prog_test_run(loaded.program_fd("tc_one"), FRAME, repeat=100)
        counters = loaded.map("counters").percpu(COUNTERS)
        assert counters.shape == (5, syscall.possible_cpus())
        assert counters["packets"].sum(axis=1).tolist() == [0, 100, 0, 0, 0]
        assert counters["size"].max() == len(FRAME)

    def test_an_inner_map_is_swapped_in(self, loaded: BpfObject) -> None:
        for value, entries in ((30, 1), (40, 500)):
            inner = BpfMap.create(MapType.ARRAY, 4, 4, entries, flags=MapFlag.INNER_MAP, name="pt_inner")
            inner.update(bytes(4), struct.pack("=I", value))
            loaded.map("outer").update_fd(bytes(4), inner.fd)
            inner.close()
            assert syscall.prog_test_run(loaded.program_fd("tc_answer"), FRAME).retval == 1 + value

    def test_pin_and_find_again(self, loaded: BpfObject, pins: Pins) -> None:
        path = pins.map_path("abc", "shared")
        loaded.map("shared").pin(path)
        with pytest.raises(BpfError) as caught:
            loaded.map("shared").pin(path)
        assert caught.value.errno == errno.EEXIST
        again = BpfMap.from_pin(path)
        assert again.spec == loaded.map("shared").spec
        again.close()


class TestProgramRun:
    def test_data_and_context_come_back(self, loaded: BpfObject) -> None:
        loaded.map("records").update(struct.pack("=I", 42), bytes(56) + struct.pack("=i", 7) + bytes(4))
        context = bytearray(192)
        run_ = syscall.prog_test_run(loaded.program_fd("tc_answer"), FRAME, context, ctx_out=192)
        assert run_.data_out == FRAME
        assert struct.unpack_from("=I", run_.ctx_out, 8) == (2,)  # skb->mark
        record = np.frombuffer(loaded.map("records").lookup(struct.pack("=I", 42)) or b"", RECORD)[0]
        assert record["packets"] == len(FRAME)

    @pytest.mark.parametrize("make", [bytes, bytearray, lambda d: np.frombuffer(d, np.uint8)])
    def test_any_kind_of_buffer_is_taken(self, loaded: BpfObject, make: Callable[[bytes], syscall.Bytes]) -> None:
        assert syscall.prog_test_run(loaded.program_fd("xdp_one"), make(FRAME)).data_out == FRAME

    def test_a_syscall_program_writes_into_its_context(self, loaded: BpfObject) -> None:
        context = bytearray(struct.pack("=Q", 41))
        assert syscall.prog_test_run(loaded.program_fd("answer_syscall"), ctx_in=context).retval == 5
        assert struct.unpack("=Q", context) == (42,)

    def test_run_statistics_are_counted_while_switched_on(self, loaded: BpfObject) -> None:
        holder = syscall.enable_stats()
        try:
            syscall.prog_test_run(loaded.program_fd("tc_one"), FRAME, repeat=10)
            info = syscall.prog_info(loaded.program_fd("tc_one"))
        finally:
            os.close(holder)
        assert (info.name, info.run_count) == ("tc_one", 10)
        assert info.run_time_ns > 0
        assert info.verified_instructions > 0


class TestPins:
    def test_mounting_twice_is_mounting_once(self, tmp_path: Path) -> None:
        store = Pins(tmp_path / "a b" / "bpf")
        assert not store.mounted
        assert store.mount()
        assert store.mounted
        assert not store.mount()
        assert not Pins(store.root / "inner").mounted
        assert store.root.stat().st_mode & 0o777 == 0o700
        store.unmount()
        assert not store.mounted
        store.unmount()

    def test_names_lists_and_replacement(self, pins: Pins) -> None:
        first, second = (BpfMap.create(MapType.ARRAY, 4, size, 1) for size in (4, 8))
        path = pins.map_path("abi.1", "a.b/c %")
        pins.replace(first.fd, path)
        pins.replace(second.fd, path)
        assert pins.maps("abi.1") == {"a.b/c %": path}
        assert pins.abis() == ("abi.1",)
        again = BpfMap.from_pin(path)
        assert again.value_size == 8
        assert pins.unpin(path)
        assert not pins.unpin(path)
        pins.remove_all()
        assert pins.abis() == ()
        assert pins.maps("abi.1") == {}
        for table in (first, second, again):
            table.close()

    def test_nothing_is_removed_where_no_bpffs_is_mounted(self, tmp_path: Path) -> None:
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "precious").write_text("x")
        Pins(tmp_path).remove_all()
        assert (tmp_path / "links" / "precious").exists()


def ping(network: Network) -> None:
    """One packet from the right into a0."""
    with _namespace(Path("/run/netns") / network.right), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("10.77.0.1", 9))


def seen_by(bpf: BpfObject, network: Network) -> set[int]:
    """The counters that one packet moves: 1, 2 are the TC programs, 3, 4 the XDP ones."""
    before = bpf.map("counters").percpu(COUNTERS)["packets"].sum(axis=1)
    ping(network)

    def moved() -> set[int]:
        return set(np.flatnonzero(bpf.map("counters").percpu(COUNTERS)["packets"].sum(axis=1) - before).tolist())

    wait_until(lambda: bool(moved()), "a count of the packet", within_s=3)
    return moved()


class TestHooks:
    def test_attach_replace_and_detach_by_tcx(self, loaded: BpfObject, pins: Pins, network: Network) -> None:
        hooks = HookSet(pins, use_tcx=True)
        one, two = (HookPrograms(ingress=loaded.program_fd(f"tc_{word}")) for word in ("one", "two"))
        report = hooks.converge(one, [network.interface()])
        assert (report.hooks, report.notes, report.failures) == ({"a0": "tcx"}, (), ())
        assert seen_by(loaded, network) == {1}
        link = next(iter(pins.links().values()))
        assert hooks.converge(two, [network.interface()]).hooks == {"a0": "tcx"}
        assert seen_by(loaded, network) == {2}
        assert list(pins.links().values()) == [link]
        assert hooks.converge(two, []).hooks == {}
        assert pins.links() == {}
        assert tcx_programs(network) == 0
        hooks.close()

    def test_the_kernel_is_asked_whether_it_has_tcx(self, loaded: BpfObject, pins: Pins, network: Network) -> None:
        hooks = HookSet(pins)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"), egress=loaded.program_fd("tc_two"))
        report = hooks.converge(programs, [network.interface()])
        assert report.hooks["a0"] in ("tcx", "clsact")
        assert seen_by(loaded, network) >= {1}
        hooks.detach_all()
        hooks.close()

    def test_xdp_is_attached_on_veth_when_forced_and_goes_with_auto(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        hooks = HookSet(pins)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"), xdp=loaded.program_fd("xdp_one"))
        report = hooks.converge(programs, [network.interface()], HookChoice.XDP)
        assert report.hooks == {"a0": "xdp+tcx"}
        assert report.failures == ()
        assert seen_by(loaded, network) == {1, 3}
        replaced = HookPrograms(ingress=loaded.program_fd("tc_two"), xdp=loaded.program_fd("xdp_two"))
        hooks.converge(replaced, [network.interface()], HookChoice.XDP)
        assert seen_by(loaded, network) == {2, 4}
        assert hooks.converge(replaced, [network.interface()], HookChoice.AUTO).hooks == {"a0": "tcx"}
        assert seen_by(loaded, network) == {2}
        hooks.detach_all()
        hooks.close()

    def test_a_foreign_xdp_program_is_left_alone_and_named(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        index = network.interface().index
        foreign = syscall.link_create(
            loaded.program_fd("xdp_foreign"), index, AttachType.XDP, flags=LinkFlag.XDP_DRV_MODE
        )
        hooks = HookSet(pins)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"), xdp=loaded.program_fd("xdp_one"))
        report = hooks.converge(programs, [network.interface()], HookChoice.XDP)
        assert report.hooks == {"a0": "tcx"}
        assert len(report.failures) == 1
        assert "foreign XDP program" in report.failures[0]
        assert syscall.link_info(foreign).prog_id == syscall.prog_info(loaded.program_fd("xdp_foreign")).id
        assert seen_by(loaded, network) == {1}
        # Gone: taken up again after some rounds, without anybody asking.
        syscall.link_detach(foreign)
        os.close(foreign)
        rounds = [hooks.converge(programs, [network.interface()], HookChoice.XDP) for _ in range(40)]
        assert rounds[-1].hooks == {"a0": "xdp+tcx"}
        hooks.detach_all()
        hooks.close()

    def test_a_killed_process_leaves_its_programs_and_the_next_adopts_them(
        self, image: bytes, pins: Pins, network: Network
    ) -> None:
        child = os.fork()
        if child == 0:
            bpf = BpfObject(image, name="binding")
            bpf.load()
            bpf.map("counters").pin(pins.map_path("abc", "counters"))
            programs = HookPrograms(ingress=bpf.program_fd("tc_one"))
            HookSet(pins).converge(programs, [network.interface()])
            os.kill(os.getpid(), 9)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
        assert len(pins.links()) == 1
        counters = BpfMap.from_pin(pins.map_path("abc", "counters"))
        with BpfObject(image, name="binding") as bpf:
            bpf.reuse("counters", counters.fd)
            bpf.load()
            assert seen_by(bpf, network) == {1}
            hooks = HookSet(pins)
            before = syscall.obj_get(next(iter(pins.links().values())))
            hooks.converge(HookPrograms(ingress=bpf.program_fd("tc_two")), [network.interface()])
            after = syscall.obj_get(next(iter(pins.links().values())))
            assert syscall.link_info(before).id == syscall.link_info(after).id
            os.close(before)
            os.close(after)
            assert seen_by(bpf, network) == {2}
            hooks.detach_all()
            hooks.close()
        counters.close()

    def test_no_packet_is_without_a_program_while_it_is_replaced(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        hooks = HookSet(pins, use_tcx=True)
        choices = [HookPrograms(ingress=loaded.program_fd(name)) for name in ("tc_one", "tc_two")]
        hooks.converge(choices[0], [network.interface()])
        ping(network)
        wait_until(lambda: count(loaded, 1) > 0, "the first packet")
        interface = network.interface()
        time.sleep(0.1)  # the neighbour exchange that the first packet began is over
        start = count(loaded, 1) + count(loaded, 2)
        for turn in range(200):
            hooks.converge(choices[turn % 2], [interface])
            ping(network)
        wait_until(lambda: count(loaded, 1) + count(loaded, 2) - start >= 200, "a count of every packet")
        hooks.detach_all()
        hooks.close()

    @pytest.mark.parametrize("use_tcx", [True, False])
    def test_an_interface_that_is_made_anew_is_served_again(
        self, loaded: BpfObject, pins: Pins, network: Network, use_tcx: bool
    ) -> None:
        hooks = HookSet(pins, use_tcx=use_tcx)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"))
        hooks.converge(programs, [network.interface()])
        network.ip("link", "delete", "a0")
        hooks.converge(programs, [])
        network.wire()
        assert hooks.converge(programs, [network.interface()]).failures == ()
        assert seen_by(loaded, network) == {1}
        assert len(pins.links()) == int(use_tcx)
        hooks.detach_all()
        hooks.close()

    def test_a_dead_pin_of_a_lost_interface_is_cleared_away(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"))
        first = HookSet(pins, use_tcx=True)
        first.converge(programs, [network.interface()])
        first.close()
        old_index = network.interface().index
        network.ip("link", "delete", "a0")
        network.wire()
        # Without a round in between, and were the index the same again: the pin alone must not count.
        second = HookSet(pins, use_tcx=True)
        second.converge(programs, [network.interface()])
        assert network.interface().index != old_index
        assert seen_by(loaded, network) == {1}
        assert len(pins.links()) == 1
        second.detach_all()
        second.close()

    def test_a_pin_that_somebody_removed_comes_back(self, loaded: BpfObject, pins: Pins, network: Network) -> None:
        hooks = HookSet(pins, use_tcx=True)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"))
        hooks.converge(programs, [network.interface()])
        next(iter(pins.links().values())).unlink()
        hooks.converge(programs, [network.interface()])
        assert len(pins.links()) == 1
        hooks.detach_all()
        hooks.close()

    def test_clsact_stands_in_for_tcx_and_spares_the_filters_of_others(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        run("tc", "-n", network.left, "qdisc", "add", "dev", "a0", "clsact")
        interface, clsact = network.interface(), Clsact()
        with IPRoute() as route:
            options = {"fd": loaded.program_fd("tc_answer"), "name": "theirs", "direct_action": True, "prio": 0x7069}
            route.tc("add-filter", "bpf", interface.index, ":1", parent="ffff:fff2", **options)
        foreign = clsact.filters(interface.index, Direction.INGRESS)
        assert [found.preference for found in foreign] == [0x7069]
        hooks = HookSet(pins, use_tcx=False)
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"), egress=loaded.program_fd("tc_two"))
        report = hooks.converge(programs, [interface])
        assert report.hooks == {"a0": "clsact"}
        mine = clsact.ours(interface.index, Direction.INGRESS)
        assert mine is not None
        assert mine.preference == 0x706A
        assert clsact.ours(interface.index, Direction.EGRESS) is not None
        hooks.detach_all()
        assert clsact.filters(interface.index, Direction.INGRESS) == foreign
        assert clsact.ours(interface.index, Direction.EGRESS) is None
        hooks.close()
        clsact.close()

    def test_a_filter_is_replaced_adopted_and_removed_with_the_clsact_we_made(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        interface, clsact = network.interface(), Clsact()
        first = HookSet(pins, use_tcx=False)
        first.converge(HookPrograms(ingress=loaded.program_fd("tc_one")), [interface])
        assert seen_by(loaded, network) == {1}
        first.close()
        second = HookSet(pins, use_tcx=False)
        second.converge(HookPrograms(ingress=loaded.program_fd("tc_two")), [interface])
        assert len(clsact.filters(interface.index, Direction.INGRESS)) == 1
        assert seen_by(loaded, network) == {2}
        second.detach_all()
        second.close()
        clsact.close()
        listing = subprocess.run(
            ["tc", "-n", network.left, "qdisc", "show", "dev", "a0"], check=True, capture_output=True, text=True
        )
        assert "clsact" not in listing.stdout

    def test_a_change_from_clsact_to_tcx_leaves_one_program(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        interface, clsact = network.interface(), Clsact()
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"))
        for use_tcx, filters, links in ((False, 1, 0), (True, 0, 1), (False, 1, 0)):
            hooks = HookSet(pins, use_tcx=use_tcx)
            hooks.converge(programs, [interface])
            hooks.close()
            assert len(clsact.filters(interface.index, Direction.INGRESS)) == filters
            assert len(pins.links()) == links
        clsact.close()

    def test_links_of_another_network_namespace_are_not_taken_for_ours(
        self, loaded: BpfObject, pins: Pins, network: Network
    ) -> None:
        programs = HookPrograms(ingress=loaded.program_fd("tc_one"))
        first = HookSet(pins, use_tcx=True)
        first.converge(programs, [network.interface()])
        first.close()
        with _namespace(Path("/run/netns") / network.right):
            second = HookSet(pins, use_tcx=True)
            second.converge(programs, [network.interface("b0")])
            assert len(pins.links()) == 1
            second.detach_all()
            second.close()
        assert tcx_programs(network) == 0


def tcx_programs(network: Network) -> int:
    """How many programs hang on a0, whoever put them there (`ip link` shows them as `prog/tcx`)."""
    words = ["ip", "-n", network.left, "-details", "link", "show", "a0"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.count("tcx")


class TestInterfaces:
    def test_what_a_veth_is(self, network: Network) -> None:
        found = {interface.name: interface for interface in interfaces()}
        assert set(found) == {"lo", "a0"}
        veth = found["a0"]
        assert (veth.kind, veth.driver, veth.physical, veth.up, veth.has_address) == ("veth", "veth", False, True, True)
        assert found["lo"].loopback
        assert veth.mac == mac_of(network, network.left, "a0")
        assert [interface.name for interface in served(found.values())] == ["a0"]

    def test_a_bridge_serves_for_its_ports(self, network: Network) -> None:
        network.ip("link", "add", "br0", "type", "bridge")
        network.ip("link", "set", "a0", "master", "br0")
        network.ip("address", "add", "10.78.0.1/24", "dev", "br0")
        network.ip("link", "set", "br0", "up")
        found = interfaces()
        assert [interface.name for interface in served(found)] == ["br0"]
        assert [interface.name for interface in served(found, ["a0"])] == ["a0"]
        bridged = next(interface for interface in found if interface.name == "a0")
        assert (bridged.master_kind, bridged.kind) == ("bridge", "veth")

    def test_an_interface_with_link_local_addresses_alone_is_not_served(self, network: Network) -> None:
        network.ip("address", "flush", "dev", "a0", "scope", "global")
        assert served(interfaces()) == ()


@pytest.fixture
def resolver(network: Network) -> Iterator[NextHopResolver]:
    found = NextHopResolver()
    yield found
    found.close()


def eventually(resolver: NextHopResolver, address: str, test: Callable[[NextHop | None], bool]) -> NextHop | None:
    """Turn the resolver as a loop would until the next hop of `address` passes `test`."""
    deadline_at = time.monotonic() + 8
    refresh_at = 0.0
    while not test(found := resolver.current()[ip_address(address)]):
        assert time.monotonic() < deadline_at, f"{address}: still {found}"
        select.select([resolver], [], [], 0.1)
        resolver.poll()
        if time.monotonic() >= refresh_at:
            resolver.refresh()
            refresh_at = time.monotonic() + 0.5
    return found


def mac_of(network: Network, namespace: str, device: str) -> bytes:
    text = subprocess.run(
        ["ip", "-n", namespace, "-brief", "link", "show", device], check=True, capture_output=True, text=True
    ).stdout
    return bytes.fromhex(text.split()[2].replace(":", ""))


class TestNextHops:
    @pytest.mark.parametrize(("address", "source"), [("10.77.0.2", "10.77.0.1"), ("fd77::2", "fd77::1")])
    def test_a_neighbour_on_the_link(
        self, network: Network, resolver: NextHopResolver, address: str, source: str
    ) -> None:
        resolver.set_addresses([ip_address(address)])
        found = eventually(resolver, address, lambda hop: hop is not None and hop.destination_mac is not None)
        assert found == NextHop(
            ifindex=network.interface().index,
            gateway=None,
            source=ip_address(source),
            source_mac=mac_of(network, network.left, "a0"),
            destination_mac=mac_of(network, network.right, "b0"),
            mtu=1500,
        )

    def test_behind_a_gateway(self, network: Network, resolver: NextHopResolver) -> None:
        network.ip("route", "add", "10.90.0.0/16", "via", "10.77.0.2", "mtu", "1400")
        resolver.set_addresses([ip_address("10.90.3.4"), ip_address("10.91.0.1")])
        found = eventually(resolver, "10.90.3.4", lambda hop: hop is not None and hop.destination_mac is not None)
        assert found is not None
        assert (found.gateway, found.mtu, found.local) == (ip_address("10.77.0.2"), 1400, False)
        assert resolver.current()[ip_address("10.91.0.1")] is None

    def test_ipv4_through_an_ipv6_gateway(self, network: Network, resolver: NextHopResolver) -> None:
        network.ip("route", "add", "10.90.0.0/16", "via", "inet6", "fd77::2", "dev", "a0")
        resolver.set_addresses([ip_address("10.90.3.4")])
        found = eventually(resolver, "10.90.3.4", lambda hop: hop is not None and hop.destination_mac is not None)
        assert found is not None
        assert found.gateway == ip_address("fd77::2")

    @pytest.mark.parametrize("address", ["10.77.0.1", "fd77::1", "127.0.0.1"])
    def test_an_address_of_this_host_is_local(self, network: Network, resolver: NextHopResolver, address: str) -> None:
        resolver.set_addresses([ip_address(address)])
        found = resolver.current()[ip_address(address)]
        assert found is not None
        assert found.local
        assert found.destination_mac is None

    def test_an_address_becomes_local_and_ceases_to_be(self, network: Network, resolver: NextHopResolver) -> None:
        resolver.set_addresses([ip_address("10.77.0.9")])
        network.ip("address", "add", "10.77.0.9/32", "dev", "a0")
        eventually(resolver, "10.77.0.9", lambda hop: hop is not None and hop.local)
        network.ip("address", "delete", "10.77.0.9/32", "dev", "a0")
        eventually(resolver, "10.77.0.9", lambda hop: hop is not None and not hop.local)

    def test_a_change_of_route_is_told(self, network: Network) -> None:
        told: list[dict[IPAddress, NextHop | None]] = []
        resolver = NextHopResolver(lambda changed: told.append(dict(changed)))
        one, other = ip_address("10.90.3.4"), ip_address("10.77.0.2")
        resolver.set_addresses([one, other])
        assert told[0][one] is None
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac is not None)
        told.clear()
        network.ip("route", "add", "10.90.3.0/24", "via", "10.77.0.2")
        eventually(resolver, "10.90.3.4", lambda hop: hop is not None)
        assert all(set(change) == {one} for change in told)
        network.ip("route", "add", "blackhole", "10.90.3.4/32")
        eventually(resolver, "10.90.3.4", lambda hop: hop is None)
        network.ip("route", "delete", "blackhole", "10.90.3.4/32")
        eventually(resolver, "10.90.3.4", lambda hop: hop is not None)
        network.ip("route", "delete", "10.90.3.0/24")
        eventually(resolver, "10.90.3.4", lambda hop: hop is None)
        resolver.close()

    def test_an_address_that_is_no_longer_wanted_is_told_once(self, network: Network) -> None:
        told: list[dict[IPAddress, NextHop | None]] = []
        resolver = NextHopResolver(lambda changed: told.append(dict(changed)))
        one, other = ip_address("10.77.0.2"), ip_address("10.77.0.3")
        resolver.set_addresses([one, other])
        told.clear()
        resolver.set_addresses([one])
        assert told == [{other: None}]
        assert set(resolver.current()) == {one}
        network.ip("route", "add", "10.77.0.3/32", "via", "10.77.0.2")
        resolver.refresh()
        assert all(other not in change for change in told[1:])
        resolver.close()

    def test_a_neighbour_with_a_new_mac_is_followed(self, network: Network, resolver: NextHopResolver) -> None:
        resolver.set_addresses([ip_address("10.77.0.2")])
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac is not None)
        network.ip("neighbour", "replace", "10.77.0.2", "lladdr", "02:00:00:00:00:99", "dev", "a0", "nud", "reachable")
        mac = bytes.fromhex("020000000099")
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac == mac)
        network.ip("neighbour", "delete", "10.77.0.2", "dev", "a0")
        right = mac_of(network, network.right, "b0")
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac == right)

    def test_a_dead_neighbour_has_no_mac_and_comes_back(self, network: Network, resolver: NextHopResolver) -> None:
        resolver.set_addresses([ip_address("10.77.0.7")])
        first = resolver.current()[ip_address("10.77.0.7")]
        assert first is not None
        assert first.destination_mac is None
        network.ip_right("address", "add", "10.77.0.7/24", "dev", "b0")
        eventually(resolver, "10.77.0.7", lambda hop: hop is not None and hop.destination_mac is not None)

    def test_a_link_that_goes_down_takes_its_next_hops(self, network: Network, resolver: NextHopResolver) -> None:
        resolver.set_addresses([ip_address("10.77.0.2")])
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac is not None)
        network.ip("link", "set", "a0", "down")
        eventually(resolver, "10.77.0.2", lambda hop: hop is None)
        network.ip("link", "set", "a0", "up")
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.destination_mac is not None)

    def test_the_mtu_and_mac_of_the_link_are_followed(self, network: Network, resolver: NextHopResolver) -> None:
        resolver.set_addresses([ip_address("10.77.0.2")])
        network.ip("link", "set", "a0", "mtu", "1300")
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.mtu == 1300)
        network.ip("link", "set", "a0", "address", "02:00:00:00:00:42")
        mac = bytes.fromhex("020000000042")
        eventually(resolver, "10.77.0.2", lambda hop: hop is not None and hop.source_mac == mac)

    def test_policy_routing_is_the_kernels_own(self, network: Network, resolver: NextHopResolver) -> None:
        network.ip("route", "add", "10.95.0.0/16", "via", "10.77.0.2", "table", "77")
        resolver.set_addresses([ip_address("10.95.0.1")])
        assert resolver.current()[ip_address("10.95.0.1")] is None
        network.ip("rule", "add", "to", "10.95.0.0/16", "lookup", "77")
        eventually(resolver, "10.95.0.1", lambda hop: hop is not None and hop.gateway == ip_address("10.77.0.2"))

    def test_many_addresses_are_resolved_in_bounded_time(self, network: Network, resolver: NextHopResolver) -> None:
        network.ip("route", "add", "10.128.0.0/9", "via", "10.77.0.2")
        base = int(ip_address("10.128.0.0"))
        began = time.process_time()
        resolver.set_addresses(ip_address(base + n) for n in range(20000))
        network.ip("route", "replace", "10.128.0.0/9", "via", "10.77.0.3")
        eventually(resolver, "10.128.0.9", lambda hop: hop is not None and hop.gateway == ip_address("10.77.0.3"))
        while resolver.pending:
            resolver.poll()
        assert {hop.gateway for hop in resolver.current().values() if hop is not None} == {ip_address("10.77.0.3")}
        assert len(resolver.current()) == 20000
        assert time.process_time() - began < 30
