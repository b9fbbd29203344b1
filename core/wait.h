/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wait queues: threads that wait for one thing, best rank first, in order of arrival within a rank;
 * for a mutex those with deadlines by these.
 * Everything that blocks is built on it.
 *
 * wake vs block                                  (the same picture holds for time-outs, whose waker is the timer interrupt)
 *   CPU 0: waiter T                    CPU 1: waker
 *   lock(q)                            .
 *   condition false                    .
 *   insert T                           lock(q) ... waits
 *   lock(rq0), T blocked, unlock(q)    has q: finds T, takes it off, unlock(q)
 *   pick next, switch                  lock(rq0) ... waits until T's registers are saved
 *   next: unlock(rq0)                  has rq0: T is whole; make it runnable
 */
#pragma once

#include "core/lock.h"
#include "core/rbtree.h"

struct thread;
struct wait_queue;

/* The deadline that a waiter lends: sched/deadline_lend.c. */
struct loan {
	struct deadline *server;
	uint64_t until_ns; /* absolute */
	uint32_t number;   /* of the server's loans: void once it has another one */
};

struct waiter {
	struct rb_node node;      /* [w] */
	struct wait_queue *queue; /* [a] written under its lock; NULL: on none */
	uint32_t ticket;          /* [w] of a condition variable: order of arrival */
	uint16_t rank;            /* [w] the thread's: its place, see sched_rank_waiter() */
	/* [w] what the wait returns: 0, -ETIMEDOUT; on the way to a condition see sync.c */
	int16_t result;
	struct loan loan; /* [w] for a mutex, if rank is RANK_DEADLINE */
};

struct wait_queue {
	struct spinlock lock;   /* rank LOCK_WAIT */
	struct rb_root waiters; /* [w] */
};

#define WAIT_QUEUE_INIT                          \
	{                                        \
		.lock = SPINLOCK_INIT(LOCK_WAIT) \
	}

void wait_queue_init(struct wait_queue *q);

static inline bool wait_queue_empty(const struct wait_queue *q)
{
	return rb_empty(&q->waiters);
}

/* Cold halves: among other waiters. */
void wait_insert_among(void *queue, unsigned long waiter);
void wait_erase_among(void *queue, unsigned long waiter);

/* Puts @w on @q by @rank. q->lock held; sched_block(&q->lock, flags) has to follow. */
static inline void wait_insert(struct wait_queue *q, struct waiter *w, uint16_t rank)
	LOCK_REQUIRES(q->lock)
{
	w->rank = rank;
	w->result = 0;
	atomic_store_relaxed(&w->queue, q);
	if (likely(rb_empty(&q->waiters)))
		rb_insert_alone(&q->waiters, &w->node);
	else
		arch_cold_call(wait_insert_among, q, (unsigned long)w);
}

/* Whoever is on @q is alone there. */
static inline bool wait_is_only(const struct wait_queue *q)
{
	return rb_is_alone(&q->waiters);
}

static inline void wait_erase_only(struct wait_queue *q, struct waiter *w) LOCK_REQUIRES(q->lock)
{
	rb_erase_alone(&q->waiters);
	atomic_store_relaxed(&w->queue, (struct wait_queue *)NULL);
}

/* Takes @w, which is on @q, off. q->lock held. */
static inline void wait_erase(struct wait_queue *q, struct waiter *w) LOCK_REQUIRES(q->lock)
{
	if (likely(wait_is_only(q)))
		wait_erase_only(q, w);
	else
		arch_cold_call(wait_erase_among, q, (unsigned long)w);
}

/*
 * @w, on @q, goes to the place of @rank, behind those who have it, or of its new loan. q->lock
 * held.
 */
void wait_rank_again(struct wait_queue *q, struct waiter *w, uint16_t rank) LOCK_REQUIRES(q->lock);

/* The best waiter, or NULL. */
static inline struct waiter *wait_first(const struct wait_queue *q)
{
	struct rb_node *n = rb_first(&q->waiters);

	return n ? container_of(n, struct waiter, node) : NULL;
}

/*
 * Blocks the current thread on @q. Call with q->lock held and irqs masked, @flags the state to
 * restore; returns without the lock. 0 when woken. Context: thread. wait_on_until() also returns
 * -ETIMEDOUT once the monotonic clock shows @until_ns.
 */
int wait_on(struct wait_queue *q, unsigned long flags) LOCK_RELEASES(q->lock);
int wait_on_until(struct wait_queue *q, unsigned long flags, uint64_t until_ns)
	LOCK_RELEASES(q->lock);
/* The second half of wait_on_until(): the caller has put itself on @q. */
int wait_block_until(struct wait_queue *q, unsigned long flags, uint64_t until_ns)
	LOCK_RELEASES(q->lock);
