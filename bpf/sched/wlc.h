/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Weighted least connection. */
#include "../sched.h"

SCHEDULER(wlc, 4)
{
	return sched_least(in, LEAST_WEIGHTED);
}
