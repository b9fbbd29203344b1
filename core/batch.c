/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batch calls: many wake-ups, few decisions.
 *
 * A wake-up with interrupts masked only makes its thread runnable and says, in rq->resched, that
 * somebody better waits; sched_reschedule_self() decides for all of them. Between two chunks
 * interrupts are let in, and a better thread takes over: what is left is posted when the caller runs
 * again. The queue's lock is held for one waiter at a time and never during a wake-up.
 */
#include "core/sync.h"
#include "core/thread.h"

/*
 * One unit for a waiter, who is returned; or, when none waits, all @n for the count: *err is 0 or
 * -EOVERFLOW.
 */
static struct thread *post_locked(struct semaphore *s, int32_t n, int *err)
	LOCK_REQUIRES(s->waiters.lock)
{
	int32_t count = atomic_load_relaxed(&s->count);
	struct thread *t = count < 0 ? wait_pop(&s->waiters) : NULL;

	*err = 0;
	if (t) {
		if (wait_queue_empty(&s->waiters))
			atomic_store_release(&s->count, 0);
		return t;
	}
	if (count < 0) { /* a time-out emptied the queue: the word is ours until it is 0 again */
		atomic_store_release(&s->count, n);
		return NULL;
	}
	do {
		if (count > SEMAPHORE_MAX - n)
			*err = -EOVERFLOW;
	} while (!*err && !atomic_cas_release(&s->count, &count, count + n));
	return NULL;
}

/* Up to a chunk. Returns how many units are left; irqs masked, no lock held. */
static int32_t post_chunk(struct semaphore *s, int32_t n, int *err)
{
	for (unsigned i = 0; n && i < SEMAPHORE_CHUNK; i++) {
		struct thread *t;

		spin_lock(&s->waiters.lock);
		t = post_locked(s, n, err);
		spin_unlock(&s->waiters.lock);
		if (!t)
			return *err ? n : 0;
		sched_wake(t, arch_irq_flags_masked());
		n--;
	}
	return n;
}

int semaphore_post_many(struct semaphore *s, int32_t n)
{
	int err = n < 0 ? -EINVAL : 0;

	while (n > 0 && !err) {
		unsigned long flags = arch_irq_save();

		n = post_chunk(s, n, &err);
		sched_reschedule_self(flags);
	}
	return err;
}
