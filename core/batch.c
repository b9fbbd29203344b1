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

struct batch {
	struct thread *woken[SEMAPHORE_CHUNK];
	unsigned n;
	int err; /* 0 or -EOVERFLOW */
};

/* No waiter gets them: @n units for the count, or an error. */
static __noinline LOCK_UNCHECKED int count_units(struct semaphore *s, int32_t n)
{
	int32_t count = atomic_load_relaxed(&s->count);

	do {
		if (count > SEMAPHORE_MAX - n)
			return -EOVERFLOW;
	} while (!atomic_cas_release(&s->count, &count, count + n));
	return 0;
}

/*
 * With the lock held, which is given up: a unit for the best waiter, or, when none waits, all @n for
 * the count. How many are left.
 */
static __noinline LOCK_UNCHECKED int32_t post_otherwise(struct semaphore *s, int32_t n,
							struct batch *b)
{
	int32_t count = atomic_load_relaxed(&s->count), left = 0;
	struct waiter *w = count < 0 ? wait_first(&s->waiters) : NULL;
	struct thread *t = NULL;

	if (w && w->rank != SEMAPHORE_WATCH_RANK) {
		t = wait_pop(&s->waiters);
		left = n - 1;
	} else if (w) {
		t = semaphore_tell(s, w, n);
	} else if (count < 0) {
		/* a time-out emptied the queue: the word is ours until it is 0 again */
		atomic_store_release(&s->count, n);
	} else {
		b->err = count_units(s, n);
	}
	spin_unlock(&s->waiters.lock);
	if (t)
		b->woken[b->n++] = t;
	return left;
}

/* The same, with irqs masked and no lock held: inline for the one waiter of a semaphore. */
static inline LOCK_UNCHECKED int32_t post(struct semaphore *s, int32_t n, struct batch *b)
{
	struct waiter *w;

	spin_lock(&s->waiters.lock);
	w = wait_first(&s->waiters);
	if (unlikely(!w || !wait_is_only(&s->waiters)))
		return post_otherwise(s, n, b);
	/* somebody waits: the word is ours */
	wait_erase_only(&s->waiters, w);
	atomic_store_release(&s->count, 0);
	spin_unlock(&s->waiters.lock);
	b->woken[b->n++] = container_of(w, struct thread, waiter);
	return n - 1;
}

static void wake_all(struct batch *b, unsigned long flags)
{
	if (b->n)
		sched_wake_many(b->woken, b->n);
	b->n = 0;
	sched_reschedule_self(flags);
}

int semaphore_post_many(struct semaphore *s, int32_t n)
{
	struct batch b;

	b.n = 0; /* woken[] is not worth setting */
	b.err = n < 0 ? -EINVAL : 0;
	while (n > 0) {
		unsigned long flags = arch_irq_save();

		do
			n = post(s, n, &b);
		while (n && b.n < SEMAPHORE_CHUNK);
		wake_all(&b, flags);
	}
	return b.err;
}

int semaphore_post_array(struct semaphore *const *array, unsigned n)
{
	struct semaphore *const *end = array + n;
	struct batch b;
	int err = 0;

	b.n = 0;
	b.err = 0;
	while (array < end) {
		unsigned long flags = arch_irq_save();

		for (unsigned i = 0; array < end && i < SEMAPHORE_CHUNK; i++)
			post(*array++, 1, &b);
		err |= b.err; /* of the one error there is */
		wake_all(&b, flags);
	}
	return err;
}
