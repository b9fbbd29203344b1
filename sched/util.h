/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of a CPU a thread has used lately: 0..1024, a geometric average with a half-life of
 * 32 ms, scaled by the capacity of the CPU it ran on, so that 1024 is the whole of the fastest one.
 *
 * Nothing is counted while a thread runs. Its CPU time is looked at when it blocks or wakes, at
 * least 1 ms after the last time, and when somebody asks; between two looks it counts as
 * evenly spread:  avg' = avg * y + (ran / passed) * (1 - y),  y = 2 ^ -(passed / 32 ms).
 * A FIFO thread that stays on its CPU is looked at only when somebody asks.
 */
#pragma once

#include "core/thread.h"

#define UTIL_MAX        1024u
#define UTIL_SHIFT      20 /* fraction bits of struct util's average */
#define UTIL_HALF_NS    (32 * NSEC_PER_MSEC)
#define UTIL_STEP_SHIFT 20             /* 2^20 ns: about 2 % of the average can come or go in it */
#define UTIL_NEW        (UTIL_MAX / 2) /* of a thread of which nothing is known yet */

/*
 * The average @avg (UTIL_SHIFT fraction bits) after @passed_ns of which @ran_ns were run at
 * @capacity. Off by less than 1 from the exact series, however many steps it takes.
 */
uint32_t util_next(uint32_t avg, uint64_t passed_ns, uint64_t ran_ns, unsigned capacity);

/* Brings @t up to date, which has run for @runtime_ns in its life. The lock of its rq is held. */
void util_update(struct thread *t, uint64_t now_ns, uint64_t runtime_ns);
/* The same for one that runs or does not, and the result as 0..UTIL_MAX. Lock held. */
uint32_t util_read(struct thread *t, uint64_t now_ns);

/* At a block and a wake-up; rq lock held, @t charged. */
static inline void util_sample(struct thread *t, uint64_t now_ns)
{
	if (unlikely((now_ns - t->sched.util.at_ns) >> UTIL_STEP_SHIFT))
		util_update(t, now_ns, t->sched.runtime_ns);
}

/*
 * For policies and programs: what @t has used lately, 0..UTIL_MAX. Context: any, no rq lock held.
 */
uint32_t thread_util(struct thread *t);
