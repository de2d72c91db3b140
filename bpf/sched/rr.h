/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Round robin: every usable destination in turn, whatever its weight. */
#include "../sched.h"

SCHEDULER(rr, 1)
{
	return sched_rotate(in);
}
