/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines that are lent: who owns a mutex that a deadline thread waits for runs with that thread's
 * server, in its own place: at its absolute deadline, and from its budget (bandwidth inheritance:
 * G. Lamastra, G. Lipari and L. Abeni, A Bandwidth Inheritance Algorithm for Real-Time Task
 * Synchronization in Open Systems, RTSS 2001). So waiting for a lock takes nothing from others: all
 * that is used at deadlines was admitted, whoever used it. What core/inherit.c does with ranks goes
 * for the loan that comes with RANK_DEADLINE: chains, time-outs, any order of release.
 *
 * A budget that is used up is not lent. The owner goes on at once with what it has besides (another
 * loan, its own deadline, FIFO's rank, its share): it is never throttled by a loan, and never runs at
 * a deadline without a budget. The lender's next period begins on time, though he waits, and the
 * loan with it. So a critical section of length C is over after ceil(C / Q) periods of the lender
 * at the latest, if his deadlines are kept.
 *
 * A loan has a number. When the lender waits no longer, the server's number goes on, and every loan
 * with an old one is void, wherever it has been passed on to: that is not found out before the next
 * look, and until then at most what is left of the budget is charged to it.
 *
 * begin vs exhaustion
 *   CPU 0: T waits for M, lends to O       CPU 1: O runs
 *   lock(d): lends, 1 us left              .
 *   inherit_lend(O)                        takes over, runs, lock(d): nothing left, arms the timer
 *   unlock(M)                              its function tries M: waits for CPU 0, offers T again
 *
 * Locks: that of a server is taken inside of a run queue's.
 */
#include "sched/deadline.h"
#include "core/thread.h"

/* [s] */
static bool is_valid(const struct deadline *d, uint32_t loan)
{
	return d->loan == loan && d->lends;
}

/* What is left of @p's loan; 0: nothing. */
static uint64_t lent_ns(const struct deadline_place *p, uint64_t *until_ns)
{
	struct deadline *d = p->lent;
	uint64_t left_ns = 0;

	if (!d)
		return 0;
	spin_lock(&d->lock);
	if (is_valid(d, p->loan) && d->left_ns > 0)
		left_ns = (uint64_t)d->left_ns;
	*until_ns = d->deadline_ns;
	spin_unlock(&d->lock);
	return left_ns;
}

/*
 * rq->lock held: which server @t is to use, the one with the earlier deadline of those with a budget.
 * False: none has any, and it is to leave the class if it has none of its own.
 */
bool deadline_choose(struct thread *t)
{
	struct deadline_place *p = &t->sched.place;
	struct deadline *own = t->sched.deadline;
	bool has_own = false, has_lent;
	uint64_t lent_until_ns;

	p->server = own ? own : p->lent;
	if (own) {
		spin_lock(&own->lock);
		has_own = own->left_ns > 0;
		p->until_ns = own->deadline_ns;
		spin_unlock(&own->lock);
	}
	has_lent = lent_ns(p, &lent_until_ns);
	if (has_lent && (!has_own || lent_until_ns < p->until_ns)) {
		p->server = p->lent;
		p->until_ns = lent_until_ns;
	}
	return has_own || has_lent;
}

/* [s] The timer looks after @d at once. */
static void look_again(struct deadline *d, uint64_t at_ns)
{
	timer_cancel(&d->timer);
	timer_add(&d->timer, at_ns);
}

/* [s] So much was used of it, by its thread or by who has the loan. */
void deadline_take(struct deadline *d, uint64_t delta_ns)
{
	bool had = d->left_ns > 0;

	d->left_ns -= (int64_t)delta_ns;
	if (unlikely(d->lends) && had && d->left_ns <= 0)
		look_again(d, 0);
}

void deadline_charge_lent(struct thread *t, uint64_t delta_ns)
{
	struct deadline_place *p = &t->sched.place;
	struct deadline *d = p->server;

	if (!d || d != p->lent)
		return;
	spin_lock(&d->lock);
	if (is_valid(d, p->loan))
		deadline_take(d, delta_ns);
	spin_unlock(&d->lock);
}

uint64_t deadline_left_lent_ns(const struct thread *t)
{
	uint64_t unused_ns;

	return lent_ns(&t->sched.place, &unused_ns);
}

/* ---- the lender ------------------------------------------------------------------------------ */

/* [s] */
static void begin_loan(struct deadline *d)
{
	d->lends = true;
	if (d->left_ns <= 0)
		look_again(d, deadline_next_period_ns(d));
}

/* [s] */
void deadline_end_loan(struct deadline *d)
{
	d->lends = false;
	d->loan++;
	timer_cancel(&d->timer);
}

/* The rank that @t lends besides. */
static uint16_t rank_without(const struct thread *t)
{
	uint16_t borrowed = t->sched.borrowed_rank;

	return borrowed > RANK_FAIR && borrowed < RANK_DEADLINE ? borrowed : RANK_FAIR;
}

static LOCK_UNCHECKED uint16_t offer(struct thread *t)
{
	struct runqueue *rq = rq_lock_thread(t);
	struct deadline_place *p = &t->sched.place;
	struct deadline *own = t->sched.deadline;
	uint16_t rank = t->sched.rank;

	if (rank == RANK_DEADLINE) {
		if (rq->curr == t)
			sched_charge_curr(rq);
		if (own) {
			spin_lock(&own->lock);
			begin_loan(own);
			spin_unlock(&own->lock);
		}
		if (rq->curr == t)
			deadline_runs(rq, t);
		if (deadline_choose(t))
			t->waiter.loan = (struct loan){
				.server = p->server,
				.until_ns = p->until_ns,
				.number = p->server == own ? own->loan : p->loan,
			};
		else
			rank = rank_without(t);
	}
	spin_unlock(&rq->lock);
	return rank;
}

static LOCK_UNCHECKED void end(struct thread *t)
{
	struct runqueue *rq = rq_lock_thread(t);
	struct deadline *d = t->sched.deadline;

	if (d) {
		spin_lock(&d->lock);
		deadline_end_loan(d);
		spin_unlock(&d->lock);
	}
	spin_unlock(&rq->lock);
}

/*
 * Timer, no lock held: @d is used up, or its next period has begun. What its thread lends is
 * another.
 */
static void loan_due(struct timer *timer)
{
	struct deadline *d = container_of(timer, struct deadline, timer);
	struct thread *t = NULL;

	spin_lock(&d->lock);
	if (d->lends) {
		uint64_t now_ns = time_now_ns();

		t = inherit_pin(d->thread);
		if (d->left_ns <= 0 && deadline_next_period_ns(d) <= now_ns)
			deadline_replenish(d, now_ns);
	}
	spin_unlock(&d->lock);
	inherit_pass_on(t);
}

void deadline_lend_init(struct deadline *d)
{
	spin_init(&d->lock, LOCK_SERVER);
	timer_init(&d->timer, loan_due);
}

/* ---- the borrower ---------------------------------------------------------------------------- */

/* rq->lock held. What sched_lend() does where a deadline is lent, or was. */
bool deadline_lend(struct runqueue *rq, struct thread *t, uint16_t rank, const struct loan *loan)
{
	struct deadline_place *p = &t->sched.place;
	bool runs = rq->curr == t, had = t->sched.rank == RANK_DEADLINE, act;
	uint64_t unused_ns;

	if (runs)
		sched_charge_curr(rq);
	p->lent = NULL;
	if (rank == RANK_DEADLINE) {
		p->lent = loan->server;
		p->loan = loan->number;
		if (!lent_ns(p, &unused_ns)) { /* its lender will offer something else soon */
			p->lent = NULL;
			rank = 0;
		}
	}
	t->sched.borrowed_rank = rank;
	if (t->sched.state == THREAD_DEAD)
		return false;
	act = sched_rank_changed(rq, t);
	if (!runs)
		return act;
	deadline_runs(rq, t);
	if (had && t->sched.rank != RANK_DEADLINE)
		deadline_look_elsewhere(rq);
	return true;
}

const struct inherit_deadline deadline_inherit = { .offer = offer, .end = end };
