"""The numbers of <linux/bpf.h>, as far as the plane uses them."""

from __future__ import annotations

from enum import IntEnum, IntFlag

SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280}
"""The number of bpf(2) by `uname -m`."""


class Command(IntEnum):
    """The first argument of bpf(2)."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    MAP_LOOKUP_BATCH = 24
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_UPDATE = 29
    ENABLE_STATS = 32
    LINK_DETACH = 34


class MapType(IntEnum):
    """`enum bpf_map_type`, as far as the plane meets it."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    HASH_OF_MAPS = 13
    DEVMAP = 14
    CPUMAP = 16
    PERCPU_CGROUP_STORAGE = 21
    QUEUE = 22
    STACK = 23
    DEVMAP_HASH = 25
    RINGBUF = 27
    BLOOM_FILTER = 30


class MapFlag(IntFlag):
    """`BPF_F_*` of map creation."""

    NO_PREALLOC = 1 << 0
    NO_COMMON_LRU = 1 << 1
    RDONLY_PROG = 1 << 7
    MMAPABLE = 1 << 10
    INNER_MAP = 1 << 12


class UpdateFlag(IntEnum):
    """What `map_update` may find under the key."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2


class AttachType(IntEnum):
    """`enum bpf_attach_type`, as far as the plane attaches."""

    XDP = 37
    TCX_INGRESS = 46
    TCX_EGRESS = 47


class LinkFlag(IntFlag):
    """Flags of `link_create`: the XDP mode, or where in the tcx chain a link goes."""

    XDP_SKB_MODE = 1 << 1
    XDP_DRV_MODE = 1 << 2
    BEFORE = 1 << 3
    AFTER = 1 << 4


class TestRunFlag(IntFlag):
    """Flags of `prog_test_run`."""

    __test__ = False
    XDP_LIVE_FRAMES = 1 << 1
