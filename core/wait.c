/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wait queues (see wait.h). Whoever takes a thread off its queue, under the queue's lock, has the
 * one right and duty to wake it: a waker by wait_pop(), or the thread's own timer by
 * wait_timeout(). So a thread is woken exactly once, and which of the two it was is in
 * waiter.result.
 *
 * time-out vs wake
 *   CPU 0: timer interrupt             CPU 1: waker
 *   queue = T's queue                  lock(queue), takes T off, T's queue = NULL, unlock
 *   lock(queue) ... waits              wakes T
 *   has it: T's queue is not this      T: timer_cancel_wait() returns only when the function
 *   one any more: nothing to do           on CPU 0 has ended; then T may free the queue
 */
#include "core/wait.h"
#include "core/thread.h"

void wait_queue_init(struct wait_queue *q)
{
	spin_init(&q->lock, LOCK_WAIT);
	rb_init(&q->waiters);
}

static bool wait_before(const struct rb_node *a, const struct rb_node *b)
{
	const struct waiter *first = container_of(a, struct waiter, node);
	const struct waiter *second = container_of(b, struct waiter, node);

	if (unlikely(first->rank == RANK_DEADLINE && second->rank == RANK_DEADLINE))
		return first->loan.until_ns < second->loan.until_ns;
	return first->rank > second->rank;
}

void wait_insert_among(void *queue, unsigned long waiter)
{
	rb_insert(&((struct wait_queue *)queue)->waiters, &((struct waiter *)waiter)->node,
		  wait_before);
}

void wait_erase_among(void *queue, unsigned long waiter)
{
	struct waiter *w = (struct waiter *)waiter;

	rb_erase(&((struct wait_queue *)queue)->waiters, &w->node);
	atomic_store_relaxed(&w->queue, (struct wait_queue *)NULL);
}

void wait_rank_again(struct wait_queue *q, struct waiter *w, uint16_t rank)
{
	if (w->rank == rank && rank != RANK_DEADLINE)
		return;
	rb_erase(&q->waiters, &w->node);
	w->rank = rank;
	rb_insert(&q->waiters, &w->node, wait_before);
}

LOCK_UNCHECKED int wait_on(struct wait_queue *q, unsigned long flags)
{
	struct thread *self = thread_current();

	wait_insert(q, &self->waiter, atomic_peek_relaxed(&self->sched.rank));
	sched_block(&q->lock, flags);
	return 0;
}

/* The thread's timer: irq context. */
static void wait_timeout(struct timer *timer)
{
	struct thread *t = container_of(timer, struct thread, timer);
	struct wait_queue *q = atomic_load_relaxed(&t->waiter.queue);
	bool mine;

	if (!q)
		return;
	spin_lock(&q->lock);
	mine = atomic_load_relaxed(&t->waiter.queue) == q;
	if (mine) {
		wait_erase(q, &t->waiter);
		t->waiter.result = -ETIMEDOUT;
	}
	spin_unlock(&q->lock);
	if (mine)
		sched_wake(t, arch_irq_flags_masked());
}

LOCK_UNCHECKED int wait_block_until(struct wait_queue *q, unsigned long flags, uint64_t until_ns)
{
	struct thread *self = thread_current();

	timer_init(&self->timer, wait_timeout);
	self->timer.urgent = atomic_peek_relaxed(&self->sched.rank) > RANK_RT;
	timer_add(&self->timer, until_ns);
	sched_block(&q->lock, flags);
	timer_cancel_wait(&self->timer);
	return self->waiter.result;
}

LOCK_UNCHECKED int wait_on_until(struct wait_queue *q, unsigned long flags, uint64_t until_ns)
{
	struct thread *self = thread_current();

	wait_insert(q, &self->waiter, atomic_peek_relaxed(&self->sched.rank));
	return wait_block_until(q, flags, until_ns);
}
