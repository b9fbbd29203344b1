/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows yield_*: N threads on CPU 0 that do nothing but yield to each other.
 *
 * One of them, the runner, reads the cycle counter and the CPU's count of switches around a number of its own yields. What lies between is the work of
 * all N threads and nothing else, so the row is cycles by switches, the loop around each yield included. All others wait at a gate
 * until every thread exists, and leave when the runner sets the flag.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/sync.h"
#include "sched/sched.h"

#define CROWD_MAX   4096u
#define BLOCKS      20u
#define BLOCKS_MANY 12u   /* with many threads a block is a round of all of them */
#define PRIORITY    10u

struct crowd {
	unsigned n;
	unsigned priority;              /* 0: fair */
	bool mixed;                     /* nice and slice at random */
	bool floats;                    /* every thread dirties the FP registers before each yield */
	unsigned yields;                /* of the runner, in one block */
	unsigned blocks;
	struct semaphore gate;
	bool over;                      /* [a] */
};

static struct thread *crowd_threads[CROWD_MAX];

/* xorshift64*: the same numbers in every run. */
static uint64_t random_state;

static uint32_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 0x2545f4914f6cdd1dull >> 32);
}

/* 0.1 to 100 ms, each decade as likely. The thread itself asks, before it goes through the gate. */
static void take_slice(uint64_t slice_ns)
{
	struct thread *self = thread_current();
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(self);

	sched_charge_curr(rq);
	eevdf_set_slice(&rq->fair, &self->sched.fair, slice_ns);
	spin_unlock_irqrestore(&rq->lock, flags);
}

static uint64_t random_slice_ns(void)
{
	uint64_t ns = 100 * NSEC_PER_USEC;

	for (unsigned decade = random_next() % 3; decade; decade--)
		ns *= 10;
	return ns + ns * 9 * (random_next() % 1000) / 1000;
}

/* The gate is passed one at a time, so a value made for a thread reaches it by a variable. */
static uint64_t next_slice_ns;

static inline void dirty_floats(volatile double *x)
{
	*x = *x * 1.5 + 1.0;
}

static __noinline void yield_until_over(struct crowd *c)
{
	while (!atomic_load_relaxed(&c->over))
		sched_yield_current();
}

static __noinline void yield_floats_until_over(struct crowd *c)
{
	volatile double x = 1;

	while (!atomic_load_relaxed(&c->over)) {
		dirty_floats(&x);
		sched_yield_current();
	}
}

static void *be_in_crowd(void *arg)
{
	struct crowd *c = arg;

	if (c->mixed)
		take_slice(next_slice_ns);
	semaphore_wait(&c->gate);
	if (c->floats)
		yield_floats_until_over(c);
	else
		yield_until_over(c);
	return NULL;
}

static __noinline void yield_times(unsigned n)
{
	while (n--)
		sched_yield_current();
}

static __noinline void yield_floats_times(unsigned n)
{
	volatile double x = 1;

	while (n--) {
		dirty_floats(&x);
		sched_yield_current();
	}
}

static void *be_runner(void *arg)
{
	struct crowd *c = arg;
	const struct runqueue *rq = &cpu_at(0)->rq;

	for (unsigned i = 1; i < c->n; i++)
		semaphore_post(&c->gate);
	for (unsigned block = 0; block <= c->blocks; block++) {
		uint64_t switches = rq->nr_switches, start = arch_cycles(), end;

		if (c->floats)
			yield_floats_times(c->yields);
		else
			yield_times(c->yields);
		end = arch_cycles();
		if (block) /* the first one warms up */
			sample_add(rq->nr_switches - switches, end - start);
	}
	atomic_store_relaxed(&c->over, true);
	return NULL;
}

static void crowd_run(const char *name, struct crowd *c)
{
	semaphore_init(&c->gate, 0);
	c->yields = MAX(100 / c->n, 1u);
	c->blocks = c->n > 100 ? BLOCKS_MANY : BLOCKS;
	for (unsigned i = 1; i < c->n; i++) {
		int nice = c->mixed ? (int)(random_next() % 40) - 20 : 0;

		next_slice_ns = random_slice_ns();
		crowd_threads[i] = thread_on(0, c->priority, nice, be_in_crowd, c);
		/* Once it waits at the gate it has taken what was meant for it. */
		while (atomic_load_relaxed(&c->gate.count) != -1 || crowd_threads[i]->sched.state != THREAD_BLOCKED)
			sched_yield_current();
	}
	crowd_threads[0] = thread_on(0, c->priority, 0, be_runner, c);
	for (unsigned i = 0; i < c->n; i++)
		thread_end(crowd_threads[i]);
	row_send(name);
}

static void fifo(const char *name, unsigned n, bool floats)
{
	struct crowd c = { .n = n, .priority = PRIORITY, .floats = floats };

	crowd_run(name, &c);
}

static void fair(const char *name, unsigned n, bool mixed, bool floats)
{
	struct crowd c = { .n = n, .mixed = mixed, .floats = floats };

	crowd_run(name, &c);
}

void rows_yield(void)
{
	random_state = 88172645463325252ull;
	fifo("yield_fifo_2", 2, false);
	fifo("yield_fifo_4096", 4096, false);
	fifo("yield_fifo_2_fp", 2, true);
	fair("yield_fair_2", 2, false, false);
	fair("yield_fair_8", 8, false, false);
	fair("yield_fair_64", 64, false, false);
	fair("yield_fair_512", 512, false, false);
	fair("yield_fair_4096", 4096, false, false);
	fair("yield_fair_4096_mixed", 4096, true, false);
	fair("yield_fair_2_fp", 2, false, true);
}
