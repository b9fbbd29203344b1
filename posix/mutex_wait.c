/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for a mutex in a way that signals and asynchronous cancellation reach: the thread leaves
 * the queue with -EINTR, runs its handlers, and waits again, behind those of its rank. No error of
 * that is seen outside: waiting for a mutex is no cancellation point and has no EINTR.
 *
 * It is the core's wait (core/mutex.c), and an end more. A thread is on the queue before it looks at
 * its events, and they are set before px_interrupt() looks where it is: one of the two sees the
 * other. Interrupts are masked from there to sched_block(), so whoever finds it queued and running
 * has not long to look on.
 *
 * Locks: the mutex's queue, then a borrower's, as in core/inherit.h.
 */
#include "posix/mutex.h"
#include "sched/sched.h"

struct mutex_timer {
	struct timer timer;
	struct thread *thread;
	struct mutex *mutex;
};

LOCK_UNCHECKED bool px_mutex_wait_cut(struct thread *t, struct mutex *m, int result)
{
	struct mutex *found = inherit_lock(t);
	struct thread *owner = NULL;

	if (found == m)
		t->borrower.waits_for = NULL;
	spin_unlock(&t->borrower.lock);
	if (!found)
		return false;
	if (found == m) {
		wait_erase(&m->waiters, &t->waiter);
		t->waiter.result = (int16_t)result;
		owner = mutex_lend(m);
		thread_offer_end(t);
	}
	spin_unlock(&found->waiters.lock);
	inherit_pass_on(owner);
	return found == m;
}

static void mutex_expired(struct timer *timer)
{
	struct mutex_timer *timed = container_of(timer, struct mutex_timer, timer);

	if (px_mutex_wait_cut(timed->thread, timed->mutex, -ETIMEDOUT))
		sched_wake(timed->thread, arch_irq_flags_masked());
}

static LOCK_UNCHECKED int block(struct pthread *self, struct mutex *m, unsigned long flags,
				uint64_t until_ns)
{
	struct mutex_timer timed = { .thread = thread_current(), .mutex = m };

	if (until_ns != UINT64_MAX) {
		timer_init(&timed.timer, mutex_expired);
		self->timer = &timed.timer;
		timer_add(&timed.timer, until_ns);
	}
	sched_block(NULL, flags);
	if (until_ns != UINT64_MAX) {
		timer_cancel_wait(&timed.timer);
		self->timer = NULL;
	}
	return px_wait_end();
}

/* With the queue locked, which is given up. */
static LOCK_UNCHECKED int wait_and_lend(struct pthread *self, struct mutex *m, unsigned long flags,
					uint64_t until_ns, uint32_t events)
{
	struct thread *t = thread_current(), *owner;

	spin_lock(&t->borrower.lock);
	t->borrower.waits_for = m;
	wait_insert(&m->waiters, &t->waiter, thread_offer(t));
	spin_unlock(&t->borrower.lock);
	atomic_store_relaxed(&px_tls.interruptible, PX_WAITS_FOR_MUTEX | events);
	owner = mutex_lend(m);
	spin_unlock(&m->waiters.lock);
	inherit_pass_on(owner);
	atomic_fence_seq_cst();
	if (unlikely(px_events() & events) && px_mutex_wait_cut(t, m, -EINTR)) {
		arch_irq_restore(flags);
		return px_wait_end();
	}
	return block(self, m, flags, until_ns);
}

static LOCK_UNCHECKED int lock_once(struct pthread *self, struct mutex *m, uint64_t until_ns,
				    uint32_t events)
{
	unsigned long flags = spin_lock_irqsave(&m->waiters.lock);
	int result = mutex_is_mine(m) ? -EDEADLK : m->special ? m->special->refused(m) : 0;

	if (!result && !mutex_take_or_mark(m, (uintptr_t)thread_current())) {
		result = wait_and_lend(self, m, flags, until_ns, events);
		if (result == -ENOTRECOVERABLE)
			mutex_wake_next(m);
		if (!result || result == -EOWNERDEAD)
			thread_current()->mutexes_held++;
		return result;
	}
	if (!result)
		result = mutex_own(m);
	spin_unlock_irqrestore(&m->waiters.lock, flags);
	return result;
}

int px_mutex_wait(struct mutex *m, uint64_t until_ns)
{
	struct pthread *self = px_self();

	for (;;) {
		uint32_t cancel = self->cancel_async ? PX_EVENT_CANCEL : 0;
		int result;

		self->locking = true;
		result = lock_once(self, m, until_ns, PX_EVENT_SIGNAL | cancel);
		self->locking = false;
		px_cancel_if_asynchronous(self); /* what the hook left to us */
		if (result != -EINTR)
			return result;
		px_interrupted(self, false);
	}
}
