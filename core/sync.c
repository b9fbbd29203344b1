/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Semaphore and condition variable (see sync.h). Fast paths are a compare-and-swap; the rest runs
 * under the wait-queue lock and ends in a tail call into the scheduler, so that no registers are
 * saved on the way to the switch.
 *
 * Semaphore: count == -1 exactly when the queue may hold waiters; then the word changes only under
 * the lock, because both fast paths need count >= 0 or > 0. A unit posted to a waiter is handed
 * over: it never shows in the count, so nobody can snatch it.
 */
#include "core/sync.h"
#include "core/thread.h"

/* ---- semaphore ------------------------------------------------------------------------------- */

void semaphore_init(struct semaphore *s, int32_t count)
{
	ASSERT(count >= 0);
	s->count = count;
	s->watched = false;
	wait_queue_init(&s->waiters);
}

/* With the lock held: @w, the first, is not alone. */
static int post_among(struct semaphore *s, struct waiter *w, unsigned long flags)
	LOCK_RELEASES(s->waiters.lock)
{
	struct thread *t = container_of(w, struct thread, waiter);

	if (w->rank == SEMAPHORE_WATCH_RANK)
		t = semaphore_tell(s, w, 1);
	else
		wait_erase_among(&s->waiters, (unsigned long)w);
	spin_unlock(&s->waiters.lock);
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
	return 0;
}

__noinline int semaphore_post_slow(struct semaphore *s)
{
	unsigned long flags = arch_irq_save();
	struct waiter *w;
	int32_t count;

	spin_lock(&s->waiters.lock);
	count = atomic_load_relaxed(&s->count);
	if (count >= 0) {
		spin_unlock_irqrestore(&s->waiters.lock, flags);
		return semaphore_post(s);
	}
	w = wait_first(&s->waiters);
	if (likely(w && wait_is_only(&s->waiters))) {
		wait_erase_only(&s->waiters, w);
		atomic_store_release(&s->count, 0);
	} else if (w) {
		return post_among(s, w, flags);
	} else {
		atomic_store_release(&s->count, 1); /* a time-out emptied the queue */
	}
	spin_unlock(&s->waiters.lock);
	if (likely(w))
		sched_wake(container_of(w, struct thread, waiter), flags);
	else
		arch_irq_restore(flags);
	return 0;
}

int semaphore_post(struct semaphore *s)
{
	int32_t count = atomic_load_relaxed(&s->count);

	while (likely(count >= 0)) {
		if (unlikely(count == SEMAPHORE_MAX))
			return -EOVERFLOW;
		if (atomic_cas_release(&s->count, &count, count + 1))
			return 0;
	}
	return semaphore_post_slow(s);
}

int semaphore_trywait(struct semaphore *s)
{
	int32_t count = atomic_load_relaxed(&s->count);

	while (count > 0)
		if (atomic_cas_acquire(&s->count, &count, count - 1))
			return 0;
	return -EAGAIN;
}

/*
 * With the lock held: takes a unit if one came meanwhile, else marks the word so that every post
 * comes through the lock. The fast paths leave a count of 0 or more at 0 or more.
 */
static inline bool semaphore_take_or_mark(struct semaphore *s)
{
	if (atomic_load_relaxed(&s->count) < 0)
		return false;
	return atomic_fetch_add_acq_rel(&s->count, -1) > 0;
}

/* Nothing is live across the switch, so it is a tail call. */
static __noinline LOCK_UNCHECKED void semaphore_wait_slow(struct semaphore *s)
{
	struct thread *self = thread_current();
	unsigned long flags = arch_irq_save();

	ASSERT_HOT(arch_irq_flags_enabled(flags));
	spin_lock(&s->waiters.lock);
	if (unlikely(semaphore_take_or_mark(s)))
		return spin_unlock_irqrestore(&s->waiters.lock, flags);
	wait_insert(&s->waiters, &self->waiter, atomic_peek_relaxed(&self->sched.rank));
	sched_block(&s->waiters.lock, flags);
}

void semaphore_wait(struct semaphore *s)
{
	if (unlikely(semaphore_trywait(s)))
		semaphore_wait_slow(s);
}

int semaphore_wait_until(struct semaphore *s, uint64_t until_ns)
{
	unsigned long flags;

	if (likely(!semaphore_trywait(s)))
		return 0;
	flags = spin_lock_irqsave(&s->waiters.lock);
	ASSERT_HOT(arch_irq_flags_enabled(flags));
	if (semaphore_take_or_mark(s)) {
		spin_unlock_irqrestore(&s->waiters.lock, flags);
		return 0;
	}
	return wait_on_until(&s->waiters, flags, until_ns);
}

/* ---- condition variable ---------------------------------------------------------------------- */

void condition_init(struct condition *c)
{
	wait_queue_init(&c->waiters);
	c->waiters.lock.rank = LOCK_CONDITION;
	c->ticket = 0;
	c->waiting = 0;
}

/*
 * The mutex is given up with the condition's lock held: a signal by whoever owns the mutex next has
 * to come through that lock, and then finds us queued. The next owner is woken with interrupts
 * masked, which only queues it: sched_block() looks who is best.
 */
int condition_wait_until(struct condition *c, struct mutex *m, uint64_t until_ns)
{
	unsigned long flags;
	struct thread *next;
	int result, err;

	if (!mutex_is_mine(m))
		return -EPERM;
	flags = spin_lock_irqsave(&c->waiters.lock);
	next = mutex_release(m);
	if (next)
		sched_wake(next, arch_irq_flags_masked());
	thread_current()->waiter.ticket = c->ticket++;
	c->waiting++;
	result = until_ns == UINT64_MAX ? wait_on(&c->waiters, flags) :
					  wait_on_until(&c->waiters, flags, until_ns);
	if (result) {
		flags = spin_lock_irqsave(&c->waiters.lock);
		c->waiting--;
		spin_unlock_irqrestore(&c->waiters.lock, flags);
	}
	err = mutex_lock(m);
	return err ? err : result;
}

int condition_wait(struct condition *c, struct mutex *m)
{
	return condition_wait_until(c, m, UINT64_MAX);
}

/* The best waiter, or NULL; counts it out. */
static struct thread *condition_pop(struct condition *c) LOCK_REQUIRES(c->waiters.lock)
{
	struct thread *t = wait_pop(&c->waiters);

	if (t)
		c->waiting--;
	return t;
}

void condition_signal(struct condition *c)
{
	unsigned long flags = spin_lock_irqsave(&c->waiters.lock);
	struct thread *t = condition_pop(c);

	spin_unlock(&c->waiters.lock);
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
}

/* The best of those that waited before ticket @end was given out, or NULL. */
static struct thread *condition_pop_older(struct condition *c, uint32_t end)
	LOCK_REQUIRES(c->waiters.lock)
{
	for (struct rb_node *n = rb_first(&c->waiters.waiters); n; n = rb_next(n)) {
		struct thread *t = container_of(n, struct thread, waiter.node);

		if ((int32_t)(t->waiter.ticket - end) < 0) {
			wait_erase(&c->waiters, &t->waiter);
			c->waiting--;
			return t;
		}
	}
	return NULL;
}

/*
 * Wakes one waiter at a time, so that interrupts are never masked for more than one wake-up: until
 * all @old ones that waited when the call began are gone. Those that come meanwhile stay: one of
 * better rank that finds its condition false and waits again would else be woken for ever.
 */
void condition_broadcast(struct condition *c)
{
	unsigned long flags = spin_lock_irqsave(&c->waiters.lock);
	uint32_t end = c->ticket, old = c->waiting;

	while (old--) {
		struct thread *t = condition_pop_older(c, end);

		if (!t)
			break;
		spin_unlock(&c->waiters.lock);
		sched_wake(t, flags);
		flags = spin_lock_irqsave(&c->waiters.lock);
	}
	spin_unlock_irqrestore(&c->waiters.lock, flags);
}
