/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No scheduler: existing connections go on, new ones are refused. */
#include "../sched.h"

SCHEDULER(none, 15)
{
	return NO_DEST;
}
