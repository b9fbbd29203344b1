/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutex (see sync.h). Free and uncontended it is taken and released by one compare-and-swap of the
 * owner word. Bit 0 of the word says that somebody waits; then both fast paths fail, and unlocking
 * hands the mutex to the best waiter. Bit 1 is set for good in those that have no fast path:
 * mutex_special.c, which is linked by whoever makes one.
 *
 * A thread counts the mutexes it owns. One that ends with some is never freed, because those who
 * wait for them look at their owner.
 *
 * lock vs unlock, where the rank has to be passed on before the thread blocks
 *   CPU 0: waiter T, irqs masked            CPU 1: owner
 *   lock(q), T queued, unlock(q)            .
 *   passes its rank on along the chain      lock(q), takes T off, T is the owner, unlock(q)
 *   .                                       sched_wake(T): T runs still; it is marked
 *   sched_block(): marked, goes on          (the other order: T blocks, and is woken)
 */
#include "core/console.h"
#include "core/sync.h"
#include "core/thread.h"

#define MUTEX_WAITERS 1ul
#define MUTEX_BITS    (MUTEX_WAITERS | MUTEX_SLOW)

void (*mutex_exit_robust)(struct thread *self);

void mutex_init(struct mutex *m)
{
	*m = (struct mutex)MUTEX_INIT;
}

struct thread *mutex_owner(const struct mutex *m)
{
	return (struct thread *)(atomic_load_relaxed(&m->owner) & ~MUTEX_BITS);
}

bool mutex_is_mine(const struct mutex *m)
{
	return mutex_owner(m) == thread_current();
}

/* ---- what it lends --------------------------------------------------------------------------- */

static bool is_same_loan(const struct loan *a, const struct loan *b)
{
	return a->server == b->server && a->number == b->number && a->until_ns == b->until_ns;
}

struct thread *mutex_lend(struct mutex *m)
{
	bool inherits = !(m->options & MUTEX_NO_INHERIT);
	struct waiter *best = inherits ? wait_first(&m->waiters) : NULL;
	uint16_t rank = m->least_rank;

	if (best && best->rank > RANK_FAIR)
		rank = MAX(rank, best->rank);
	if (rank == m->lend.rank &&
	    likely(rank != RANK_DEADLINE || is_same_loan(&best->loan, &m->lend.loan)))
		return NULL;
	return inherit_lend(mutex_owner(m), &m->lend, rank, best ? &best->loan : NULL);
}

/* ---- lock ------------------------------------------------------------------------------------ */

bool mutex_take_or_mark(struct mutex *m, uintptr_t self)
{
	uintptr_t owner = atomic_load_relaxed(&m->owner);

	for (;;) {
		bool free = !(owner & ~MUTEX_BITS);
		uintptr_t new = free ? self | owner : owner | MUTEX_WAITERS;

		if (atomic_cas_acq_rel(&m->owner, &owner, new))
			return free;
	}
}

int mutex_own(struct mutex *m)
{
	thread_current()->mutexes_held++;
	(void)mutex_lend(m); /* to one who waits for nothing */
	return m->result;
}

/* With the lock held: the best waiter, who waits no longer and finds out why; NULL: none. */
static struct thread *pop(struct mutex *m) LOCK_REQUIRES(m->waiters.lock)
{
	struct thread *t = wait_pop(&m->waiters);

	if (!t)
		return NULL;
	spin_lock_call(&t->borrower.lock);
	t->borrower.waits_for = NULL;
	spin_unlock(&t->borrower.lock);
	t->waiter.result = m->result;
	thread_offer_end(t);
	return t;
}

/*
 * If @t still waits for its mutex it stops with @result. The owner, pinned, if he lost a rank that
 * he passes on.
 */
static __cold LOCK_UNCHECKED bool give_up(struct thread *t, int result, struct thread **owner)
{
	struct mutex *m = inherit_lock(t);

	t->borrower.waits_for = NULL;
	spin_unlock(&t->borrower.lock);
	if (!m)
		return false;
	wait_erase(&m->waiters, &t->waiter);
	t->waiter.result = (int16_t)result;
	*owner = mutex_lend(m);
	thread_offer_end(t);
	spin_unlock(&m->waiters.lock);
	return true;
}

/* The thread's timer: irq context. */
static void timed_out(struct timer *timer)
{
	struct thread *t = container_of(timer, struct thread, timer), *owner;

	if (!give_up(t, -ETIMEDOUT, &owner))
		return;
	inherit_pass_on(owner);
	sched_wake(t, arch_irq_flags_masked());
}

/*
 * With the queue locked, which is given up: by sched_block(), once nobody can miss the thread, or
 * before, where there is a rank to pass on or a circle to look for.
 */
static __noinline LOCK_UNCHECKED int wait_and_lend(struct mutex *m, unsigned long flags,
						   uint64_t until_ns)
{
	struct thread *self = thread_current(), *owner;
	struct spinlock *lock = &m->waiters.lock;
	bool finds = m->options & MUTEX_FIND_DEADLOCK;

	spin_lock_call(&self->borrower.lock);
	self->borrower.waits_for = m;
	wait_insert(&m->waiters, &self->waiter, thread_offer(self));
	spin_unlock(&self->borrower.lock);
	owner = mutex_lend(m);
	if (owner || finds) {
		spin_unlock(lock);
		inherit_pass_on(owner);
		lock = NULL;
	}
	if (finds && m->special->closes_a_circle(m, self) && give_up(self, -EDEADLK, &owner)) {
		inherit_pass_on(owner);
		arch_irq_restore(flags);
		return -EDEADLK;
	}
	if (until_ns != UINT64_MAX) {
		timer_init(&self->timer, timed_out);
		self->timer.urgent = atomic_peek_relaxed(&self->sched.rank) > RANK_RT;
		timer_add(&self->timer, until_ns);
	}
	sched_block(lock, flags);
	if (until_ns != UINT64_MAX)
		timer_cancel_wait(&self->timer);
	return self->waiter.result;
}

__cold void mutex_wake_next(struct mutex *m)
{
	unsigned long flags = spin_lock_irqsave(&m->waiters.lock);
	struct thread *t = pop(m);

	spin_unlock(&m->waiters.lock);
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
}

static __noinline LOCK_UNCHECKED int mutex_lock_slow(struct mutex *m, uint64_t until_ns)
{
	unsigned long flags = arch_irq_save();
	int result;

	ASSERT_HOT(arch_irq_flags_enabled(flags));
	spin_lock_call(&m->waiters.lock);
	if (mutex_is_mine(m))
		result = -EDEADLK;
	else
		result = m->special ? m->special->refused(m) : 0;
	if (!result && !mutex_take_or_mark(m, (uintptr_t)thread_current())) {
		result = wait_and_lend(m, flags, until_ns);
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

static inline bool mutex_take(struct mutex *m)
{
	struct thread *self = thread_current();
	uintptr_t owner = 0;

	if (unlikely(!atomic_cas_acquire(&m->owner, &owner, (uintptr_t)self)))
		return false;
	self->mutexes_held++;
	return true;
}

int mutex_trylock(struct mutex *m)
{
	if (likely(mutex_take(m)))
		return 0;
	return m->special ? m->special->trylock(m) : -EBUSY;
}

int mutex_lock(struct mutex *m)
{
	if (likely(mutex_take(m)))
		return 0;
	return mutex_lock_slow(m, UINT64_MAX);
}

int mutex_lock_until(struct mutex *m, uint64_t until_ns)
{
	if (likely(mutex_take(m)))
		return 0;
	return mutex_lock_slow(m, until_ns);
}

/* ---- unlock ---------------------------------------------------------------------------------- */

struct thread *mutex_hand_over(struct mutex *m, struct thread *self) LOCK_REQUIRES(m->waiters.lock)
{
	uintptr_t slow = atomic_load_relaxed(&m->owner) & MUTEX_SLOW;
	struct thread *t;

	if (m->lend.rank)
		(void)inherit_lend(self, &m->lend, 0, NULL); /* he waits for nothing */
	t = pop(m);
	if (m->result == -ENOTRECOVERABLE) {
		atomic_store_release(&m->owner, slow);
		return t;
	}
	atomic_store_release(&m->owner,
			     (uintptr_t)t | slow |
				     (wait_queue_empty(&m->waiters) ? 0 : MUTEX_WAITERS));
	if (t)
		(void)mutex_lend(m);
	return t;
}

struct thread *mutex_release(struct mutex *m)
{
	struct thread *self = thread_current(), *t;

	spin_lock_call(&m->waiters.lock);
	if (m->result == -EOWNERDEAD)
		m->result = -ENOTRECOVERABLE;
	t = mutex_hand_over(m, self);
	spin_unlock(&m->waiters.lock);
	self->mutexes_held--;
	return t;
}

/* A time-out may have emptied the queue since the waiters bit was set. */
static __noinline int mutex_unlock_slow(struct mutex *m)
{
	unsigned long flags;
	struct thread *t;

	if (!mutex_is_mine(m))
		return -EPERM;
	flags = arch_irq_save();
	t = mutex_release(m);
	if (t)
		sched_wake(t, arch_irq_flags_masked());
	sched_reschedule_self(flags); /* its own rank may be lower than somebody's, too */
	return 0;
}

int mutex_unlock(struct mutex *m)
{
	struct thread *self = thread_current();
	uintptr_t owner = (uintptr_t)self;

	if (unlikely(!atomic_cas_release(&m->owner, &owner, (uintptr_t)0)))
		return mutex_unlock_slow(m);
	self->mutexes_held--;
	return 0;
}

/* ---- the end of an owner --------------------------------------------------------------------- */

__cold void mutex_owner_exits(struct thread *self)
{
	if (mutex_exit_robust)
		mutex_exit_robust(self);
	if (self->mutexes_held)
		printk("thread %d %s ended and left %u locked: its stack is not used again\n",
		       (int)self->tid, self->name, self->mutexes_held);
}
