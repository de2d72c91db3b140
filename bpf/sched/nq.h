/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Never queue: the first idle destination, else as shortest expected delay. */
#include "../sched.h"

SCHEDULER(nq, 10)
{
	return sched_least(in, LEAST_WEIGHTED | LEAST_EXPECTED | LEAST_IDLE);
}
