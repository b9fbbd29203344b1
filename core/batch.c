/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batch calls: many wake-ups, few decisions.
 *
 * Those who are to wake are taken off their queues first, a chunk of them with interrupts masked; then
 * each CPU gets its own at once (sched_wake_many()), which makes them runnable and says, in rq->resched,
 * that somebody better waits; sched_reschedule_self() decides for all of them. Between two chunks
 * interrupts are let in, and a better thread takes over: what is left is posted when the caller runs
 * again. A semaphore's lock is held for one waiter at a time and never during a wake-up.
 */
#include "core/sync.h"
#include "core/thread.h"

/*
 * One unit for the best waiter, or, when none waits, all @n for the count. Returns how many are left,
 * with whom to wake in *t, or NULL; *err is 0 or -EOVERFLOW.
 */
static int32_t post_locked(struct semaphore *s, int32_t n, struct thread **t, int *err)
	LOCK_REQUIRES(s->waiters.lock)
{
	int32_t count = atomic_load_relaxed(&s->count);
	struct waiter *w = count < 0 ? wait_first(&s->waiters) : NULL;

	*err = 0;
	*t = NULL;
	if (w && w->rank != SEMAPHORE_WATCH_RANK) {
		*t = wait_pop(&s->waiters);
		if (wait_queue_empty(&s->waiters))
			atomic_store_release(&s->count, 0);
		return n - 1;
	}
	if (w) {
		*t = semaphore_tell(s, w, n);
		return 0;
	}
	if (count < 0) { /* a time-out emptied the queue: the word is ours until it is 0 again */
		atomic_store_release(&s->count, n);
		return 0;
	}
	do {
		if (count > SEMAPHORE_MAX - n)
			*err = -EOVERFLOW;
	} while (!*err && !atomic_cas_release(&s->count, &count, count + n));
	return *err ? n : 0;
}

static int32_t post(struct semaphore *s, int32_t n, struct thread **t, int *err)
{
	int32_t left;

	spin_lock(&s->waiters.lock);
	left = post_locked(s, n, t, err);
	spin_unlock(&s->waiters.lock);
	return left;
}

static void wake_all(struct thread *const *woken, unsigned n, unsigned long flags)
{
	if (n)
		sched_wake_many(woken, n);
	sched_reschedule_self(flags);
}

int semaphore_post_many(struct semaphore *s, int32_t n)
{
	int err = n < 0 ? -EINVAL : 0;

	while (n > 0 && !err) {
		unsigned long flags = arch_irq_save();
		struct thread *woken[SEMAPHORE_CHUNK], *t;
		unsigned to_wake = 0;

		do {
			n = post(s, n, &t, &err);
			if (t)
				woken[to_wake++] = t;
		} while (t && n && to_wake < SEMAPHORE_CHUNK);
		wake_all(woken, to_wake, flags);
	}
	return err;
}

int semaphore_post_array(struct semaphore *const *array, unsigned n)
{
	int err = 0;

	while (n) {
		unsigned long flags = arch_irq_save();
		struct thread *woken[SEMAPHORE_CHUNK], *t;
		unsigned to_wake = 0;

		for (unsigned i = 0; n && i < SEMAPHORE_CHUNK; i++, n--) {
			int failed;

			post(*array++, 1, &t, &failed);
			err = failed ? failed : err;
			if (t)
				woken[to_wake++] = t;
		}
		wake_all(woken, to_wake, flags);
	}
	return err;
}
