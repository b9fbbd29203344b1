/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who had a CPU from when to when, as busy threads of one CPU see it from within: each reads the clock all the time, and begins a
 * new turn when the last entry is not its own. Set turns_n to 0 and turns_end_ns, then start threads with take_turns().
 */
#pragma once

#include "tests/target/test.h"

#define TURNS_MAX 400

struct turn {
	char who;
	uint64_t start_ns, end_ns;
};

/* One CPU: no two threads write at once; a preemption between the test and the entry costs one entry. */
static struct turn turns[TURNS_MAX];
static volatile unsigned turns_n;
static volatile uint64_t turns_end_ns;

static void *take_turns(void *arg)
{
	char who = (char)(uintptr_t)arg;
	uint64_t t_ns;

	while ((t_ns = time_now_ns()) < turns_end_ns) {
		if (!turns_n || turns[turns_n - 1].who != who) {
			if (turns_n == TURNS_MAX)
				break;
			turns[turns_n] = (struct turn){ .who = who, .start_ns = t_ns };
			turns_n++;
		}
		turns[turns_n - 1].end_ns = t_ns;
	}
	return NULL;
}

static inline uint64_t turn_ns(unsigned i)
{
	return turns[i].end_ns - turns[i].start_ns;
}
