/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load of the application masked: everything that the kernel does with interrupts masked, as
 * often and with as many threads as can be. Each part is a file with one function that makes its
 * threads; they run until masked_over is set.
 */
#pragma once

#include "core/sync.h"
#include "core/thread.h"

/* [a] all end as soon as they see it */
extern bool masked_over;

/* xorshift64: the same sequence each time. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline bool is_over(void)
{
	return atomic_load_relaxed(&masked_over);
}

/* A thread of the load, on any CPU; @priority 0: fair. Ends the run when there is no memory. */
struct thread *load_thread(const char *name, unsigned priority, void *(*entry)(void *), void *arg);
void sleep_us(uint64_t us);

/* @n threads of all classes that do all that a thread can do for itself. crowd.c */
void crowd_start(unsigned n);
void crowd_end(void);
/*
 * What others do to them: attributes, affinity, and, if told so, groups; and threads that come and
 * go. storm.c
 */
void storm_start(bool with_groups);
void storm_end(void);
/* Timers, chains of mutexes, crowds at one semaphore, output. noise.c */
void noise_start(void);
void noise_end(void);

/* One of the crowd, any; they live until crowd_end(). */
struct thread *crowd_any(uint64_t *random);
