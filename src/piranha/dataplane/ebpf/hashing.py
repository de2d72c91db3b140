"""The hash functions of IPVS's sh, dh and mh, bit for bit (Linux ip_vs_sh.c, ip_vs_dh.c, ip_vs_mh.c, siphash.c).

Mirror of `bpf/sched_hash.h`: mh's table is filled with them here, and tests foretell with them what the kernel half
chooses.
"""

from __future__ import annotations

import struct

from piranha.model.address import IPAddress

BUCKETS = 256
CLIENT_KEY = 2654435761
SKIP_KEY = 2654446892
_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_GOLDEN_RATIO_32 = 0x61C88647


def fold(address: IPAddress, port: int, version: int) -> int:
    """Address and port as the one number that is hashed by a service of an IP version.

    A tunnel's server may be of the other family; IPVS then takes the bytes for what the service's family has there.
    """
    packed = address.packed[:4] if version == 4 else address.packed
    folded = 0
    for (word,) in struct.iter_unpack("!I", packed):
        folded ^= word
    return (folded + port) & _WORD


def bucket(folded: int) -> int:
    """Which of the 256 buckets of sh and dh."""
    return (folded * _GOLDEN_RATIO_32 & _WORD) >> 24


def sip_hash(word: int, key: int) -> int:
    """SipHash-1-3 of one 32-bit word under a key with two equal halves, cut to 32 bits: hsiphash of 64-bit kernels."""
    block = 4 << 56 | word
    v0, v1 = 0x736F6D6570736575 ^ key, 0x646F72616E646F6D ^ key
    v2, v3 = 0x6C7967656E657261 ^ key, 0x7465646279746573 ^ key ^ block
    for number in range(4):
        v0, v2 = v0 + v1 & _LONG, v2 + v3 & _LONG
        v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
        v0 = _rotated(v0, 32)
        v2, v0 = v2 + v1 & _LONG, v0 + v3 & _LONG
        v1, v3 = _rotated(v1, 17) ^ v2, _rotated(v3, 21) ^ v0
        v2 = _rotated(v2, 32)
        if number == 0:
            v0, v2 = v0 ^ block, v2 ^ 0xFF
    return (v0 ^ v1 ^ v2 ^ v3) & _WORD


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _LONG
