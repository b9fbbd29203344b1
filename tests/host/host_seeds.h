/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a scenario on the virtual machine with many seeds, one process for each, with the
 * scheduler's invariants checked all the while.
 */
#pragma once

#include "arch/host/host.h"

struct runqueue;
struct thread;

/* In a scenario: ends the run with a message and the state of the machine when @expr is false. */
#define CHECK(expr)                                              \
	do {                                                     \
		if (!(expr))                                     \
			check_failed(#expr, __FILE__, __LINE__); \
	} while (0)
__noreturn void check_failed(const char *expr, const char *file, int line);

struct thread;

struct scenario {
	/* the first thread's function; the run ends when it returns */
	void (*first)(void *);
	unsigned cpus_from, cpus_to; /* tried with each of these numbers of CPUs */
	unsigned seeds;              /* and so many seeds */
	uint64_t step_ns;            /* 0: the machine's default */
	uint64_t steps_max;
	int expect;                          /* exit status of each run */
	const struct topology_cpu *topology; /* NULL: equal CPUs */
	void (*observe)(bool quiet);         /* besides the invariants */
};

/*
 * Fails the cmocka test that runs, with the first seed that failed. FAIRLEAD_SEED and FAIRLEAD_CPUS
 * narrow it to one run.
 */
void run_seeds(const struct scenario *s);
/* The same for @first alone, with steps for some 100 ms of several CPUs. */
void run_seeds_of(void (*first)(void *), unsigned cpus_from, unsigned cpus_to, unsigned seeds);
/* @t runs on @cpu only. */
void host_pin(struct thread *t, unsigned cpu);

/* Random numbers of the scenario, from the run's seed but not from the machine's generator. */
uint64_t draw(uint64_t n);

/*
 * host_check.c: the invariants of sched/sched.h, whenever the locks are free; work conservation
 * when the machine is quiet.
 */
void check_machine(bool quiet);
/* A scenario that leaves CPUs idle on purpose turns the second one off. */
extern bool check_conservation;
/*
 * Of a class that this file knows nothing of: how many are counted in rq->nr_ready, each of them told
 * to check_found().
 */
extern unsigned (*check_class)(struct runqueue *rq);
void check_found(struct thread *t);
