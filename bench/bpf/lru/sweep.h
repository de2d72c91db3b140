/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peer has no sweep: a packet that finds an expired entry ends it, and the kernel evicts the rest. */
#ifndef PIRANHA_SWEEP_H
#define PIRANHA_SWEEP_H

#include "conn.h"

#endif
