/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run-time monitor: counts what the scheduler promises and does not keep. It is always on. A
 * sampler looks each MONITOR_PERIOD_NS, but only while there is something to look at: for work
 * conservation, while a thread waits and a CPU is idle. Lag is looked at where a request ends and
 * where a thread blocks (sched/eevdf.c), at each level of its groups (sched/group.c).
 */
#pragma once

#include "core/base.h"
#include "core/time.h"

#define MONITOR_PERIOD_NS NSEC_PER_MSEC
#define MONITOR_PERSISTS  2 /* periods that a violation may last without being counted */

struct monitor_counts {
	uint64_t samples;
	/*
	 * a thread waited for longer than MONITOR_PERSISTS periods although a CPU that may run it
	 * was idle
	 */
	uint64_t wasted;
	uint64_t wasted_longest_ns; /* in whole periods */
	uint32_t wasted_last_cpu;   /* where the last such thread waited */
	/*
	 * the lag of a fair thread, or of a group, was outside of (-its slice, the longest slice of
	 * those that it competes with)
	 */
	uint64_t lag_broken;
	int64_t lag_worst_ns;  /* the lag that was furthest outside; > 0: the thread was owed */
	int32_t lag_worst_tid; /* whose that was, or who ran in that group */
};

/* A consistent copy is not promised: each number is right, one may be newer. Context: any. */
void monitor_read(struct monitor_counts *counts);
/* A line each by printk. Context: any. */
void monitor_print(void);
/*
 * At the end of a program its counts go to the host as monitor_wasted and monitor_lag:
 * posix/libc.c.
 */
