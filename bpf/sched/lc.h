/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Least connection. */
#include "../sched.h"

SCHEDULER(lc, 3)
{
	return sched_least(in, 0);
}
