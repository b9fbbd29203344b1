/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that use all that they are given, until `stop` is set. */
#pragma once

#include "tests/target/test.h"

static volatile bool stop;

static void *spin(void *arg)
{
	while (!stop)
		;
	return arg;
}

/* What two threads ran during the next @us of the caller's sleep, in ns. */
static inline void measure_two(struct thread *const two[2], unsigned us, uint64_t ns[2])
{
	ns[0] = thread_runtime_ns(two[0]);
	ns[1] = thread_runtime_ns(two[1]);
	sleep_us(us);
	ns[0] = thread_runtime_ns(two[0]) - ns[0];
	ns[1] = thread_runtime_ns(two[1]) - ns[1];
}
