/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decisions are made by an ordinary thread: decide(), which could as well use floating point,
 * a library, or a table that somebody trained. Here it orders threads by weighted virtual time, as
 * simple.bpf.c does in its callbacks. What a thread may do and may not: sched/ext/thread_sched.h.
 */
#include "sched/ext/thread_sched.h"
#include <scx/common.bpf.h>

const volatile u64 slice_ns; /* 20 ms */
const volatile u64 bound_us = 2000;
const volatile u32 stall_ms = 500;
const volatile u32 placement; /* 0: on any CPU, 1: on thread_cpu, 2: a thread for each cluster */
const volatile u32 thread_cpu;
const volatile u32 priority = 1;
const volatile u32 entries = 1024;
const volatile bool report; /* counters and histogram on the console when it ends */

/* Who slept may have saved up one slice, no more. */
static u64 vtime_of(const struct thread_sched_event *e, u64 now)
{
	u64 vtime = e->vtime;

	if (time_before(vtime, now - slice_ns))
		vtime = now - slice_ns;
	return vtime + e->used_ns * 100 / e->weight;
}

static void decide(struct thread_sched *s)
{
	struct thread_sched_event e;
	u64 now = 0; /* of whoever ran last */

	while (!thread_sched_exited(s)) {
		while (thread_sched_dequeue(s, &e)) {
			struct thread_sched_verdict v = { .handle = e.handle,
							  .wait = e.wait,
							  .cpu = THREAD_SCHED_ANY_CPU,
							  .vtime = vtime_of(&e, now) };

			if (e.used_ns && time_before(now, e.vtime))
				now = e.vtime;
			thread_sched_dispatch(s, &v);
		}
		thread_sched_complete(s, 0);
	}
}

s32 BPF_STRUCT_OPS_SLEEPABLE(thread_init)
{
	struct thread_sched_options options = { .run = decide,
						.bound_ns = bound_us * NSEC_PER_USEC,
						.slice_ns = slice_ns,
						.stall_ns = stall_ms * NSEC_PER_MSEC,
						.placement = placement,
						.cpu = thread_cpu,
						.priority = priority,
						.entries = entries,
						.report = report };

	return thread_sched_begin(&options);
}

SCX_OPS_DEFINE(thread_ops, THREAD_SCHED_OPS, .init = thread_init, .name = "thread");
