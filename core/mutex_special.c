/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutexes with a ceiling, robust ones, and those that look for circles. A mutex with a ceiling or a
 * robust one has no fast path: each owner is known to his struct borrower from the beginning, since
 * the ceiling is a loan and an owner that ends must find his robust mutexes.
 *
 * Robust: m->result is what taking it returns. An owner that ends makes it -EOWNERDEAD, the next
 * one mutex_consistent() 0 again, or his unlock -ENOTRECOVERABLE for ever.
 *
 * Circles are looked for by the one who would close it, once he is in the queue and before he
 * blocks: of two who close it together at least one finds it.
 */
#include "core/sync.h"
#include "core/thread.h"

#define LEND_NOTHING 1 /* below every rank, but it is in the tree of its owner */

static int refused(const struct mutex *m)
{
	if (m->ceiling && thread_current()->sched.own_priority > m->ceiling)
		return -EINVAL;
	return m->result == -ENOTRECOVERABLE ? -ENOTRECOVERABLE : 0;
}

static int trylock(struct mutex *m)
{
	unsigned long flags;
	int result;

	if (mutex_owner(m))
		return -EBUSY;
	flags = spin_lock_irqsave(&m->waiters.lock);
	result = mutex_owner(m) ? -EBUSY : refused(m);
	if (!result && mutex_take_or_mark(m, (uintptr_t)thread_current()))
		result = mutex_own(m);
	spin_unlock_irqrestore(&m->waiters.lock, flags);
	return result;
}

static bool closes_a_circle(struct mutex *m, struct thread *self)
{
	struct thread *t;
	bool found = false;

	spin_lock(&m->waiters.lock);
	t = inherit_pin(mutex_owner(m));
	spin_unlock(&m->waiters.lock);
	for (unsigned links = 0; t && !found && links < INHERIT_DEPTH_MAX; links++) {
		found = t == self;
		t = inherit_next(t);
	}
	if (t)
		inherit_unpin(t);
	return found;
}

static const struct mutex_special special = {
	.refused = refused,
	.trylock = trylock,
	.closes_a_circle = closes_a_circle,
};

/* ---- robust ---------------------------------------------------------------------------------- */

static struct mutex *find_robust(struct borrower *b)
{
	unsigned long flags = spin_lock_irqsave(&b->lock);
	struct mutex *found = NULL;

	for (struct rb_node *n = rb_first(&b->lends); n && !found; n = rb_next(n)) {
		struct mutex *m = container_of(n, struct mutex, lend.node);

		if (m->options & MUTEX_ROBUST)
			found = m;
	}
	spin_unlock_irqrestore(&b->lock, flags);
	return found;
}

static void exit_robust(struct thread *self)
{
	struct mutex *m;

	while ((m = find_robust(&self->borrower))) {
		unsigned long flags = spin_lock_irqsave(&m->waiters.lock);
		struct thread *t;

		m->result = -EOWNERDEAD;
		t = mutex_hand_over(m, self);
		spin_unlock(&m->waiters.lock);
		self->mutexes_held--;
		if (t)
			sched_wake(t, arch_irq_flags_masked());
		sched_reschedule_self(flags);
	}
}

int mutex_consistent(struct mutex *m)
{
	unsigned long flags = spin_lock_irqsave(&m->waiters.lock);
	bool ok = mutex_is_mine(m) && m->result == -EOWNERDEAD;

	if (ok)
		m->result = 0;
	spin_unlock_irqrestore(&m->waiters.lock, flags);
	return ok ? 0 : -EINVAL;
}

/* ---- ceiling --------------------------------------------------------------------------------- */

static uint16_t ceiling_rank(unsigned ceiling)
{
	return ceiling ? (uint16_t)(RANK_RT + ceiling) : LEND_NOTHING;
}

int mutex_set_ceiling(struct mutex *m, unsigned ceiling)
{
	unsigned long flags;

	if (!m->ceiling || ceiling < 1 || ceiling > 99)
		return -EINVAL;
	flags = spin_lock_irqsave(&m->waiters.lock);
	m->ceiling = (uint8_t)ceiling;
	m->least_rank = ceiling_rank(ceiling);
	if (mutex_is_mine(m))
		(void)mutex_lend(m); /* to one who waits for nothing */
	spin_unlock(&m->waiters.lock);
	sched_reschedule_self(flags);
	return 0;
}

int mutex_init_with(struct mutex *m, unsigned options, unsigned ceiling)
{
	if ((options & ~MUTEX_OPTIONS) || ceiling > 99)
		return -EINVAL;
	mutex_init(m);
	m->options = (uint8_t)options;
	m->ceiling = (uint8_t)ceiling;
	m->special = &special;
	if (ceiling || (options & MUTEX_ROBUST)) {
		m->owner = MUTEX_SLOW;
		m->least_rank = ceiling_rank(ceiling);
	}
	if (options & MUTEX_ROBUST)
		atomic_store_relaxed(&mutex_exit_robust, exit_robust);
	return 0;
}
