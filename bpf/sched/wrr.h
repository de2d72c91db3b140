/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Weighted round robin: the region holds one whole period of IPVS's GCD-step sequence. */
#include "../sched.h"

SCHEDULER(wrr, 2)
{
	return sched_rotate(in);
}
