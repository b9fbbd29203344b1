/* SPDX-License-Identifier: BSD-2-Clause */
/* SCHED_SPORADIC. Apart, so that programs which set no policy have none of it. */
#include <errno.h>
#include <limits.h>

#include "posix/internal.h"
#include "sched/sporadic.h"

_Static_assert(SS_REPL_MAX == SPORADIC_REPL_MAX, "<limits.h> says what the scheduler takes");

int px_sporadic_use(void)
{
	return -sched_sporadic_use();
}
