/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Weighted round robin: the region holds one whole period of IPVS's GCD-step sequence. The user-space half notes where
 * its last pass lies, that of all destinations: before the turns up to the high half's, from the low half's on.
 */
#include "../sched.h"

/* Everybody is full. IPVS has stepped down to the last pass then, and begins with the heaviest, unless it was in it. */
static __always_inline void wrr_restart(const struct sched_input *in)
{
	__u32 *cursor = slot_word(in->cursor), *note = slot_word(in->first + in->length);

	if (!cursor || !note || !in->length)
		return;
	__u32 turn = *cursor, begin = *note & 0xffff, end = *note >> 16, at = turn % in->length;

	if (end && (at <= begin || at > end))
		__sync_val_compare_and_swap(cursor, turn, end % in->length);
}

SCHEDULER(wrr, 2)
{
	__u32 chosen = sched_rotate(in);

	if (chosen == NO_DEST)
		wrr_restart(in);
	return chosen;
}
