/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Priority inheritance: a thread that waits for a mutex lends its rank to the owner, who runs with
 * the best rank that anybody lends it, if that is better than its own, and lends it on if it waits
 * for another mutex itself.
 *
 *   thread A --waits for--> mutex M --owned by--> thread B --waits for--> mutex N --owned by--> C
 *   rank 90                 lends 90              own 10, runs at 90      lends 90
 *
 * A mutex lends what its best waiter has, once, however many wait: its struct lend is in the tree
 * of its owner. So a thread's own rank is never changed by a loan, and any order of release, a
 * time-out, a change of priority or a death leaves exactly what the remaining waiters lend.
 *
 * Locks: a mutex's queue lock [w], then a borrower's lock [l], then the run queue's. The way along
 * a chain holds only those of one link at a time, in steps of which each is O(log n): see
 * inherit_pass_on(). Only a real-time rank can be lent, or a deadline: its budget and its absolute
 * deadline together (sched/deadline_lend.c).
 */
#pragma once

#include "core/lock.h"
#include "core/rbtree.h"
#include "core/timer.h"
#include "core/wait.h"

struct mutex;
struct thread;

/*
 * A rank is passed on over so many links at most; whoever is further away is not reached, not even
 * when the chain gets shorter, until a rank in it changes again. The owner of the mutex has it at
 * once; each link behind him is a function of a timer that is due at once, so that interrupts are
 * masked for one link at a time and nobody runs before the chain is done.
 */
#define INHERIT_DEPTH_MAX 8

/* What a mutex lends to its owner. */
struct lend {
	struct rb_node node; /* [l] of the owner */
	uint16_t rank;       /* [w] 0: nothing, and it is in no tree */
	struct loan loan;    /* [w] and [l] of the owner, if rank is RANK_DEADLINE */
};

/* In every thread. */
struct borrower {
	struct spinlock lock; /* rank LOCK_INHERIT */
	struct rb_root lends; /* [l] of the mutexes it owns, best first */
	/* [l], and the mutex's [w]: the mutex that it waits for, if that one lends */
	struct mutex *waits_for;
	uint32_t pins;  /* [a] CPUs that look at it: it may not be freed */
	uint32_t links; /* [a] that the timer is to pass the rank on over; 0: it is not armed */
	struct timer timer;
};

/* For threads of RANK_DEADLINE. */
struct inherit_deadline {
	/* The rank that @t, about to wait or waiting, lends, and t->waiter.loan. [w], [l] of @t */
	uint16_t (*offer)(struct thread *t);
	/* @t waits for the mutex no longer; its own loan is void. [w] */
	void (*end)(struct thread *t);
};
extern const struct inherit_deadline *inherit_deadline; /* [a] NULL: nobody has such a rank */

void borrower_init(struct borrower *b);

/*
 * @l, of a mutex of @owner whose queue is locked, lends @rank from now on, and @loan if that is
 * RANK_DEADLINE; 0: nothing any more. NULL, or the owner, pinned, who waits and has to pass it on:
 * inherit_pass_on(), without a lock.
 */
struct thread *inherit_lend(struct thread *owner, struct lend *l, uint16_t rank,
			    const struct loan *loan);
/*
 * The rank of @t, pinned, is another: so is its place among those that wait with it, and what the
 * mutex lends. Goes on along the chain. @t may be NULL. Irqs masked, no lock held.
 */
void inherit_pass_on(struct thread *t);
/*
 * The own rank of @t was changed by an attribute: so is its place among those that wait with it,
 * whatever for. Irqs masked, no lock held.
 */
void inherit_rank_changed(struct thread *t);
/* @t may not be freed until it is unpinned; irqs stay masked so long. Any lock may be held. */
struct thread *inherit_pin(struct thread *t);
void inherit_unpin(struct thread *t);
/* From @t, pinned, to the owner of what it waits for, pinned, or NULL. No lock held. */
struct thread *inherit_next(struct thread *t);
/*
 * Locks what @t waits for: returns that mutex, its queue locked, and @t's borrower; NULL: it waits
 * for none, and only the borrower is locked. Irqs masked, no lock held.
 */
struct mutex *inherit_lock(struct thread *t);
