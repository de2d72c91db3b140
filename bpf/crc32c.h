/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCTP's checksum (CRC32c, RFC 9260 appendix A) when a few bytes change: no other byte of the packet is looked at.
 *
 * The checksum is linear: what a change does to it is the CRC, begun at 0, of the change alone, followed by as many
 * zero bytes as the packet goes on behind it. That is a product of polynomials modulo Castagnoli's: change times x^8
 * for each byte. The powers of x come from two tables, so a packet below 512 bytes costs one product and a longer one
 * two. Bit 31 is x^0, as the checksum is defined with its bits in reverse. Tier: established.
 */
#ifndef PIRANHA_CRC32C_H
#define PIRANHA_CRC32C_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u
#define CRC32C_SPAN	  128 /* entries of a table */

/* x^(32 n): n words of zeros */
static const __u32 crc32c_by_words[128] = {
	0x80000000, 0x82f63b78, 0x6ea2d55c, 0xa66805eb, 0x18b8ea18, 0x790606ff, 0x9957c0a6, 0x5d27e147, 0x510ac59a,
	0x9c25531d, 0x19e65dde, 0xec1631ed, 0xb2dea967, 0x0e148e82, 0x52377a55, 0x4f256efc, 0xb82be955, 0x3a077781,
	0x8cfaa965, 0x1ce9d94b, 0x36c41f1c, 0x041d3776, 0x8cd75659, 0x817cdc51, 0x19b29a35, 0xe0b99ccb, 0xe661f7be,
	0xa11bfaf3, 0xc9e90b9e, 0x156c8e18, 0x0b4a395b, 0x069db049, 0xb8fdb1e7, 0x34c96751, 0xb04de25a, 0x64b67ee0,
	0xe55ef1f3, 0x3f484024, 0x6791d588, 0xc133722b, 0x1fe0b5c3, 0x8f68fcec, 0x1903da7f, 0x6d76739f, 0xe0553f1e,
	0x78e87aaf, 0x56767c92, 0x55bd7f95, 0x18e4a304, 0x543d5c54, 0x3e65ddf9, 0x924752ba, 0x2b830011, 0x42316c00,
	0x730206ad, 0x419a4419, 0x56993a31, 0x38e888d4, 0x844752a9, 0x963a1892, 0x0246e2e6, 0x7fec2963, 0xe5bf8048,
	0x5cf015c3, 0x88e56f72, 0x6e58bd52, 0x74d2ec5f, 0x0c599d27, 0x35490db3, 0x79be2d77, 0x2811441f, 0xd998f135,
	0x12b02f20, 0x3028ead1, 0xc5638410, 0xbe9add23, 0xea132ac3, 0x8eae5107, 0x559bd8c9, 0xdf9745c5, 0x9030a49c,
	0x10f9ecce, 0x1afcc3c3, 0xd1f04b45, 0x7df9f615, 0x478ac00a, 0xd142c705, 0x673f9cfa, 0xc1550ce8, 0xd2f41083,
	0x78d8e372, 0x30ec172b, 0xdf33d39d, 0xc440ad59, 0xfb6ed4ad, 0x693878d1, 0x67db2c4a, 0x82a02f9f, 0x1ee050e2,
	0xe1fafb36, 0x1a4fce47, 0x74d6fbcb, 0x8667ace9, 0x97686d56, 0xf882f186, 0x4b31c59a, 0x0e24c5e8, 0x32c31db2,
	0x41019701, 0xf282c2d0, 0xdd9c57e7, 0x8f77a7c7, 0xe744dcb2, 0xcf8e34ee, 0x819ca3d0, 0xf72a7aa6, 0x8203be83,
	0x94899a1f, 0xaadcc62e, 0x59f19614, 0xc6ddcb06, 0x44792d1d, 0xecc3bfce, 0x0327bf93, 0x993083f9, 0x271b7858,
	0xb815c52b, 0x6ebf1d86,
};
/* x^(32 * 128 n): n blocks of 128 words of zeros */
static const __u32 crc32c_by_blocks[128] = {
	0x80000000, 0x74c360a4, 0xe4172b16, 0x835305c9, 0x0d65762a, 0xb5a50ab7, 0x5f60970f, 0x3a5275ea, 0x35d73a62,
	0xf65e86d6, 0x8eeafe04, 0x84e3f8c8, 0x481bee08, 0x59f4852c, 0xefcf4f49, 0xda1c4087, 0x28461564, 0x6d8f49d8,
	0xce2c905d, 0xde8a8e12, 0x8778fbde, 0x9b9e9037, 0x8a898a05, 0x186d1391, 0x43eefc9f, 0xde5a3422, 0x456ea1c5,
	0x3b1d89ea, 0xba8dd573, 0x86162060, 0x9714afd1, 0x5282b1be, 0xbf455269, 0x1409a35b, 0xa335d306, 0x2144743e,
	0x57ac1403, 0x0f121b5e, 0x80295058, 0xb6afd2ff, 0x5edcdeb9, 0x7479c4c7, 0x087ff103, 0xa6b9d5fb, 0x0cebb5b1,
	0x209c6e45, 0x22c5adcc, 0x208e2ea9, 0x65059450, 0xb9e80571, 0x78d4b491, 0x50a06c86, 0x0d69c0ac, 0x36c9680c,
	0xa22ceb86, 0xb041c5a6, 0x4e6f41a4, 0xa71bd31a, 0xd3e49f36, 0x3644c1b4, 0x2e7776e1, 0x346f98da, 0x6381067f,
	0xec3fda46, 0xe2ea32dc, 0x1c2f57d2, 0x05f6b022, 0xe426ba19, 0x504a4b48, 0xf67036b8, 0x3829b75e, 0x2364630b,
	0xf5b95b32, 0xbf0c695a, 0x7de96c1b, 0x20766722, 0xbd0d968d, 0x0839f3ed, 0x85b7f30f, 0xa20285ee, 0x695a4c87,
	0x96b1761e, 0x0385a49d, 0xfbfa074f, 0xa74fc7bd, 0x94923908, 0x9548f5f8, 0x5d91d42c, 0xf204502c, 0x68645de4,
	0x323e42ec, 0x5b575c57, 0x4cccbb63, 0xc6b7c3bc, 0xc534a11c, 0x275ebea9, 0x9a4f01b6, 0xc3c0ad48, 0xfb51cf31,
	0xda347829, 0xc73054ad, 0x0320b658, 0xa66a47c4, 0x3c884fa0, 0x941a0916, 0x951e116b, 0xde0a51de, 0x33764417,
	0x4b4eec48, 0xccd68c23, 0xe29278a3, 0xe2b3b949, 0x4303cb97, 0xb8d9ec73, 0x9a80cc59, 0x8b662cc9, 0xa98112a7,
	0xee7d1674, 0xa41aaa68, 0x66ac1f55, 0x4c3d3d65, 0xb3091735, 0x13c6ed5f, 0x4a39e877, 0x9049aab7, 0xfa2b26d8,
	0x4d227ac3, 0x05f3f11e,
};

/*
 * `word` when `bit` is 1, 0 when it is 0. By multiplication: the compiler would make a branch of a choice, and the
 * verifier follows a mask of all bits or none as if it were one; both grow without bound in a loop.
 */
static __always_inline __u32 crc32c_when(__u32 bit, __u32 word)
{
	asm volatile("" : "+r"(bit));
	return bit * word;
}

static __always_inline __u32 crc32c_times_x(__u32 a)
{
	return a >> 1 ^ crc32c_when(a & 1, CRC32C_POLYNOMIAL);
}

static __always_inline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= crc32c_when(a >> 31, b);
		a <<= 1;
		b = crc32c_times_x(b);
	}
	return product;
}

/*
 * What a packet's checksum has to be XORed with when its first four bytes are XORed with `change`; both as the words
 * are read from memory. `length` is that of the packet from those bytes to its end, below 64 KiB.
 */
__noinline __u32 crc32c_change(__u32 change, __u32 length)
{
	__u32 words = length / 4;
	__u32 moved = crc32c_multiply(change, crc32c_by_words[words & (CRC32C_SPAN - 1)]);

	if (words >= CRC32C_SPAN)
		moved = crc32c_multiply(moved, crc32c_by_blocks[words / CRC32C_SPAN & (CRC32C_SPAN - 1)]);
	for (__u32 bit = 0; bit < (length & 3) * 8; bit++) /* senders pad to whole words: hardly ever */
		moved = crc32c_times_x(moved);
	return moved;
}

#endif
