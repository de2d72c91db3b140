/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Weighted overflow: the heaviest destination until it has more active connections than its weight, then the next. */
#include "../sched.h"

SCHEDULER(ovf, 12)
{
	return sched_heaviest(in, HEAVIEST_WITH_ROOM);
}
