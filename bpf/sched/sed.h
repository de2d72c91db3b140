/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shortest expected delay: active connections with the new one, over the weight; inactive ones do not count. */
#include "../sched.h"

SCHEDULER(sed, 9)
{
	return sched_least(in, LEAST_WEIGHTED | LEAST_EXPECTED);
}
