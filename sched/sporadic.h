/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_SPORADIC, POSIX's sporadic server: a thread runs with its priority for `budget` of CPU time
 * in a `period`, and with a lower one when that is used up. What it has used comes back a period
 * after it could begin to use it, piece by piece, so to those below it is never more than a periodic
 * thread with that budget and period: rules in sporadic.c.
 *
 * Lock legend: [q] the rq lock of the CPU of the thread, [s] the server's, inside of that,
 * [i] immutable after init.
 */
#pragma once

#include "sched/sched.h"
#include "core/timer.h"

/* ---- for programs ---------------------------------------------------------------------------- */

/*
 * From now on sched_set_attr() and thread_create() take SCHED_SPORADIC. A program that never calls
 * this has none of its code. Again: no effect. 0; -ENOMEM. Context: thread.
 *
 * In struct sched_attr: sched_priority 1..99, sched_nice the low priority, 1..sched_priority;
 * sched_runtime the budget, 1 us.., sched_period from that to 2^62 ns; sched_flags how many pieces
 * may be on their way back, 1..SPORADIC_REPL_MAX; sched_deadline 0. -ENOMEM.
 *
 * What it runs with a borrowed rank is not taken from its budget.
 */
int sched_sporadic_use(void);
#define SPORADIC_REPL_MAX 32

/* As sched_attr_fault(), of SCHED_SPORADIC, whether it is in use or not. Context: any. */
const char *sporadic_attr_fault(const struct sched_attr *a, const char **expected);

/* ---- inside ---------------------------------------------------------------------------------- */

#define SPORADIC_BUDGET_MIN_NS (1 * NSEC_PER_USEC)
#define SPORADIC_PERIOD_MAX_NS (1ull << 62)

/* So much may be used from then on. */
struct sporadic_piece {
	uint64_t at_ns, ns;
};

/* Pure data: tests/host/test_sporadic.c has a model of it. */
struct sporadic_budget {
	/* [q] by at_ns; all of them add up to budget_ns. The first one is used first. */
	struct sporadic_piece piece[SPORADIC_REPL_MAX + 1];
	uint32_t first, n;             /* [q] in the ring */
	uint32_t max;                  /* [q] of them, the one in use included */
	uint64_t budget_ns, period_ns; /* [q] */
};

struct sporadic {
	struct sporadic_budget b;
	uint8_t high, low; /* [q] priorities */
	bool is_low;       /* [q] */
	/* [s] of rank LOCK_SERVER. This and what follows stays when it becomes another thread's */
	struct spinlock lock;
	struct thread *thread; /* [s] NULL: none */
	struct timer timer;    /* [q] while the priority is low: until the first piece */
	struct sporadic *next; /* free ones */
};

/* Pure. */
void sporadic_fill(struct sporadic_budget *b, uint64_t now_ns);
void sporadic_activate(struct sporadic_budget *b, uint64_t now_ns);
void sporadic_use(struct sporadic_budget *b, uint64_t used_ns);

/* What may be used without a break from @now_ns on; 0: nothing before the first piece's time. */
static inline uint64_t sporadic_left_ns(const struct sporadic_budget *b, uint64_t now_ns)
{
	const struct sporadic_piece *p = &b->piece[b->first];

	return p->at_ns <= now_ns ? p->ns : 0;
}
