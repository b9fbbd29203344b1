/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wait queues: threads that wait for one thing, best rank first, in order of arrival within a rank. Everything that blocks is built on it.
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

struct waiter {
	struct rb_node node;            /* [w] */
	struct wait_queue *queue;       /* [a] written under its lock; NULL: on none */
	uint32_t ticket;                /* [w] of a condition variable: order of arrival */
	uint16_t rank;                  /* [w] the thread's rank when it began to wait */
	int16_t result;                 /* [w] what the wait returns: 0, -ETIMEDOUT */
};

struct wait_queue {
	struct spinlock lock;           /* rank LOCK_WAIT */
	struct rb_root waiters;         /* [w] */
};

#define WAIT_QUEUE_INIT { .lock = SPINLOCK_INIT(LOCK_WAIT) }

void wait_queue_init(struct wait_queue *q);

static inline bool wait_queue_empty(const struct wait_queue *q)
{
	return rb_empty(&q->waiters);
}

/*
 * Blocks the current thread on @q. Call with q->lock held and irqs masked, @flags the state to restore; returns without the lock. 0 when woken.
 * Context: thread. wait_on_until() also returns -ETIMEDOUT once the monotonic clock shows @until_ns.
 */
int wait_on(struct wait_queue *q, unsigned long flags) LOCK_RELEASES(q->lock);
int wait_on_until(struct wait_queue *q, unsigned long flags, uint64_t until_ns) LOCK_RELEASES(q->lock);

/* Takes the best waiter off, or NULL. q->lock held. The caller drops the lock, then calls sched_wake(). */
struct thread *wait_pop(struct wait_queue *q) LOCK_REQUIRES(q->lock);
/* Takes off a certain one, which is on @q; the same rules. */
void wait_take(struct wait_queue *q, struct thread *t) LOCK_REQUIRES(q->lock);
