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
 * To give up the mutex, and a borrowed rank with it, and to set a timer and block are two stretches
 * with interrupts masked. In between the thread comes: it is in the queue, in its place, but
 * waiter.queue is NULL, since it may be preempted and must not be woken. Whoever takes it off says so
 * in its result, which is COMES until then.
 *
 * come vs signal
 *   CPU 0: T                               CPU 1: owns the mutex next, signals
 *   lock(c), gives up the mutex            .
 *   T queued, result COMES, unlock(c)      .
 *   interrupts, preemption                 lock(c), lock(T), T's queue NULL: taken off, result 0
 *   .                                      unlock both, wakes nobody; may free c
 *   lock(T): result 0, c is not touched    (the other order: T has c's lock, and blocks as ever)
 *
 * As long as T is not taken off c is there, and with T's lock held that stays so: c's, which comes
 * before it, is tried.
 */
#define COMES 1

/* With the lock held: the thread is one of those who wait from now on. */
static void condition_come(struct condition *c, struct thread *self) LOCK_REQUIRES(c->waiters.lock)
{
	wait_insert(&c->waiters, &self->waiter, atomic_peek_relaxed(&self->sched.rank));
	self->waiter.result = COMES;
	atomic_store_relaxed(&self->waiter.queue, (struct wait_queue *)NULL);
	self->waiter.ticket = c->ticket++;
	c->waiting++;
}

/* True: with the lock, and on the queue like any waiter. False: was taken off. Irqs masked. */
static LOCK_UNCHECKED bool condition_arrive(struct condition *c, struct thread *self)
{
	struct waiter *w = &self->waiter;
	uint16_t rank = atomic_peek_relaxed(&self->sched.rank);
	bool comes;

	for (;;) {
		spin_lock(&self->borrower.lock);
		comes = w->result == COMES;
		if (!comes || spin_trylock(&c->waiters.lock))
			break;
		spin_unlock(&self->borrower.lock);
		arch_cpu_relax();
	}
	spin_unlock(&self->borrower.lock);
	if (!comes)
		return false;
	w->result = 0;
	atomic_store_relaxed(&w->queue, &c->waiters);
	if (w->rank != rank)
		wait_rank_again(&c->waiters, w, rank);
	return true;
}

/*
 * Interrupts may come. A hook would find the thread's waiter in use, if it waited: it is left for
 * the end of the wait, as one that comes while interrupts are masked.
 */
static void let_interrupts_in(struct thread *self, unsigned long flags)
{
	bool in_hook = self->in_hook;

	self->in_hook = true;
	arch_irq_restore(flags);
	(void)arch_irq_save();
	self->in_hook = in_hook;
	if (unlikely(!in_hook && atomic_peek_relaxed(&self->hook)))
		sched_notify(self);
}

/*
 * The mutex is given up with the condition's lock held: a signal by whoever owns the mutex next has
 * to come through that lock, and then finds us queued. The next owner is woken with interrupts
 * masked, which only queues it: sched_block() looks who is best.
 */
LOCK_UNCHECKED int condition_wait_until(struct condition *c, struct mutex *m, uint64_t until_ns)
{
	struct thread *self = thread_current(), *next;
	unsigned long flags;
	int result = 0, err;

	if (!mutex_is_mine(m))
		return -EPERM;
	flags = spin_lock_irqsave(&c->waiters.lock);
	next = mutex_release(m);
	condition_come(c, self);
	spin_unlock(&c->waiters.lock);
	if (next)
		sched_wake(next, arch_irq_flags_masked());
	let_interrupts_in(self, flags);
	if (!condition_arrive(c, self))
		arch_irq_restore(flags);
	else if (until_ns == UINT64_MAX)
		sched_block(&c->waiters.lock, flags);
	else
		result = wait_block_until(&c->waiters, flags, until_ns);
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

/* Takes @w off and counts it out. The thread to be woken, or NULL: it has not blocked yet. */
static struct thread *condition_take(struct condition *c, struct waiter *w)
	LOCK_REQUIRES(c->waiters.lock)
{
	struct thread *t = container_of(w, struct thread, waiter);
	bool comes;

	spin_lock(&t->borrower.lock);
	comes = w->result == COMES;
	wait_erase(&c->waiters, w);
	w->result = 0;
	spin_unlock(&t->borrower.lock);
	c->waiting--;
	return comes ? NULL : t;
}

static void wake(struct thread *t, unsigned long flags)
{
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
}

void condition_signal(struct condition *c)
{
	unsigned long flags = spin_lock_irqsave(&c->waiters.lock);
	struct waiter *w = wait_first(&c->waiters);
	struct thread *t = w ? condition_take(c, w) : NULL;

	spin_unlock(&c->waiters.lock);
	wake(t, flags);
}

/* The best of those that waited before ticket @end was given out, or NULL. */
static struct waiter *condition_first_older(struct condition *c, uint32_t end)
	LOCK_REQUIRES(c->waiters.lock)
{
	for (struct rb_node *n = rb_first(&c->waiters.waiters); n; n = rb_next(n)) {
		struct waiter *w = container_of(n, struct waiter, node);

		if ((int32_t)(w->ticket - end) < 0)
			return w;
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
		struct waiter *w = condition_first_older(c, end);
		struct thread *t;

		if (!w)
			break;
		t = condition_take(c, w);
		spin_unlock(&c->waiters.lock);
		wake(t, flags);
		flags = spin_lock_irqsave(&c->waiters.lock);
	}
	spin_unlock_irqrestore(&c->waiters.lock, flags);
}
