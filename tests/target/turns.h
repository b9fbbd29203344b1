/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who had a CPU from when to when, as busy threads of one CPU see it from within: each reads the
 * clock all the time, and begins a new turn when the last entry is not its own. Set turns_n to 0
 * and turns_end_ns, then start threads with take_turns().
 */
#pragma once

#include "tests/target/test.h"

#define TURNS_MAX 400

struct turn {
	char who;
	uint64_t start_ns, end_ns;
};

/* One CPU, and interrupts masked meanwhile: a turn is noted whole. */
static struct turn turns[TURNS_MAX];
static unsigned turns_n;
static uint64_t turns_end_ns;

/* False when it is time to stop. */
static inline bool note_turn(char who)
{
	unsigned long flags = arch_irq_save();
	uint64_t t_ns = time_now_ns();
	bool go_on = t_ns < turns_end_ns && turns_n < TURNS_MAX;

	if (go_on && (!turns_n || turns[turns_n - 1].who != who))
		turns[turns_n++] = (struct turn){ .who = who, .start_ns = t_ns };
	if (go_on)
		turns[turns_n - 1].end_ns = t_ns;
	arch_irq_restore(flags);
	return go_on;
}

static void *take_turns(void *arg)
{
	while (note_turn((char)(uintptr_t)arg))
		;
	return NULL;
}

static inline uint64_t turn_ns(unsigned i)
{
	return turns[i].end_ns - turns[i].start_ns;
}
