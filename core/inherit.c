/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The chain of core/inherit.h. Its links are locked from the mutex to the owner, but it is walked
 * from the owner to the mutex that he waits for, against the order: so that lock is tried, and on
 * failure both are let go.
 *
 * passing on vs release and exit
 *   CPU 0: A waits for M of B                CPU 1: B, woken by a time-out
 *   lock(M), lends to B, who waits: pins B   .
 *   unlock(M)                                B releases M, exits, is joined: thread_free()
 *   lock(B): waits for nothing any more      waits until nobody has B pinned
 *   unlock(B), unpins B                      frees B
 */
#include "core/sync.h"
#include "core/thread.h"

const struct inherit_deadline *inherit_deadline;

void borrower_init(struct borrower *b)
{
	spin_init(&b->lock, LOCK_INHERIT);
	rb_init(&b->lends);
	b->waits_for = NULL;
	b->pins = 0;
	b->links = 0;
}

struct thread *inherit_pin(struct thread *t)
{
	if (t)
		atomic_fetch_add_acq_rel(&t->borrower.pins, 1u);
	return t;
}

void inherit_unpin(struct thread *t)
{
	atomic_fetch_add_acq_rel(&t->borrower.pins, -1u);
}

static bool lends_more(const struct rb_node *a, const struct rb_node *b)
{
	const struct lend *first = container_of(a, struct lend, node);
	const struct lend *second = container_of(b, struct lend, node);

	if (unlikely(first->rank == RANK_DEADLINE && second->rank == RANK_DEADLINE))
		return first->loan.until_ns < second->loan.until_ns;
	return first->rank > second->rank;
}

struct thread *inherit_lend(struct thread *owner, struct lend *l, uint16_t rank,
			    const struct loan *loan)
{
	struct borrower *b = &owner->borrower;
	struct thread *next = NULL;
	struct rb_node *n;
	const struct lend *best;

	spin_lock(&b->lock);
	if (l->rank)
		rb_erase(&b->lends, &l->node);
	l->rank = rank;
	if (unlikely(rank == RANK_DEADLINE))
		l->loan = *loan;
	if (rank)
		rb_insert(&b->lends, &l->node, lends_more);
	n = rb_first(&b->lends);
	best = n ? container_of(n, struct lend, node) : NULL;
	if (sched_lend(owner, best ? best->rank : 0, best ? &best->loan : NULL) &&
	    (b->waits_for || atomic_load_relaxed(&owner->waiter.queue)))
		next = inherit_pin(owner);
	spin_unlock(&b->lock);
	return next;
}

LOCK_UNCHECKED struct mutex *inherit_lock(struct thread *t)
{
	for (;;) {
		struct mutex *m;

		spin_lock(&t->borrower.lock);
		m = t->borrower.waits_for;
		if (!m || spin_trylock(&m->waiters.lock))
			return m;
		spin_unlock(&t->borrower.lock);
		arch_cpu_relax();
	}
}

/*
 * One link: from @t to the owner of what it waits for, if he has to pass it on. What has no owner, a
 * semaphore or a condition variable, is the end of the chain, where @t goes to its new place.
 */
static LOCK_UNCHECKED struct thread *pass_on(struct thread *t)
{
	struct mutex *m = inherit_lock(t);
	struct thread *next = NULL;

	if (m)
		wait_rank_again(&m->waiters, &t->waiter, thread_offer(t));
	spin_unlock(&t->borrower.lock);
	if (!m)
		sched_rank_waiter(t);
	inherit_unpin(t);
	if (m) {
		next = mutex_lend(m);
		spin_unlock(&m->waiters.lock);
	}
	return next;
}

static void pass_on_link(struct timer *timer);

/*
 * The timer has the pin of @t. If @t has one under way already, that one will see what t's rank is
 * by then.
 */
static void pass_on_later(struct thread *t, uint32_t links)
{
	uint32_t none = 0;

	if (!t)
		return;
	if (!links || !atomic_cas_acq_rel(&t->borrower.links, &none, links)) {
		inherit_unpin(t);
		return;
	}
	timer_init(&t->borrower.timer, pass_on_link);
	timer_add(&t->borrower.timer, 0);
}

static void pass_on_link(struct timer *timer)
{
	struct thread *t = container_of(timer, struct thread, borrower.timer);
	uint32_t links = atomic_swap_acq_rel(&t->borrower.links, 0u);

	pass_on_later(pass_on(t), links - 1);
}

void inherit_pass_on(struct thread *t)
{
	pass_on_later(t, INHERIT_DEPTH_MAX);
}

LOCK_UNCHECKED struct thread *inherit_next(struct thread *t)
{
	struct mutex *m = inherit_lock(t);
	struct thread *owner = m ? inherit_pin(mutex_owner(m)) : NULL;

	spin_unlock(&t->borrower.lock);
	inherit_unpin(t);
	if (m)
		spin_unlock(&m->waiters.lock);
	return owner;
}

void inherit_rank_changed(struct thread *t)
{
	struct thread *waiting;

	spin_lock(&t->borrower.lock);
	waiting = inherit_pin(t->borrower.waits_for ? t : NULL);
	spin_unlock(&t->borrower.lock);
	inherit_pass_on(waiting);
	if (!waiting)
		sched_rank_waiter(t);
}
