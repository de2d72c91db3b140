/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Weighted failover: the destination with the highest weight gets all. */
#include "../sched.h"

SCHEDULER(fo, 11)
{
	return sched_heaviest(in, 0);
}
