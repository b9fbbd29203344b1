/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_FLAG_RECLAIM: a thread may use what others on its CPU are admitted for and do not need (greedy
 * reclamation of unused bandwidth: G. Lipari and S. Baruah, ECRTS 2000; L. Abeni, J. Lelli, C.
 * Scordino and L. Palopoli, *Greedy CPU reclaiming for SCHED_DEADLINE*, RTLWS 2014).
 *
 * Its budget goes down by  dq = -max(u, U) / U_max dt,  where u is its own bandwidth, U_max the
 * CPU's limit and U the bandwidth in use there: of servers, of threads that could come from other
 * CPUs, and of pinned threads that are active. One that blocks stays active until its lag is zero,
 * deadline - left * P / Q: until then it has used what was meant for later. Nobody is told when that
 * is; it is found when a budget is charged, in the order of time, so the charge is exact all the
 * same. Until then the slice of the thread that runs may end too early: it gets another.
 *
 * Whoever becomes active makes budgets go down faster: the thread that runs and reclaims is charged
 * first and is given a new slice (deadline_preempts()).
 *
 * A blocked thread whose affinity is changed counts as inactive until it wakes.
 *
 * All with rq->lock held.
 */
#include "sched/deadline.h"

static bool is_due_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline, node)->at_ns <
	       container_of(b, struct deadline, node)->at_ns;
}

static void uncount(struct deadline_queue *q, struct deadline *d)
{
	if (d->owes)
		rb_erase(&q->owing, &d->node);
	d->owes = false;
	q->active_bw -= d->counted_bw;
	d->counted_bw = 0;
}

/* @d, which competes, counts. */
void deadline_count(struct runqueue *rq, struct deadline *d)
{
	struct deadline_queue *q = deadline_queue_of(rq);

	if (d->owes)
		rb_erase(&q->owing, &d->node);
	d->owes = false;
	if (d->counted_bw || d->moving || deadline_is_movable(d->thread))
		return;
	d->counted_bw = atomic_load_relaxed(&d->bw);
	q->active_bw += d->counted_bw;
}

/*
 * @t runs or waits for the CPU with what is lent to it: that counts here, although the lender's CPU
 * may count it, too, until his lag is zero. Who reclaims gets less by that, not more.
 */
void deadline_count_lent(struct runqueue *rq, struct thread *t)
{
	struct deadline_place *p = &t->sched.place;

	deadline_uncount_lent(rq, t);
	if (!p->lent || p->server != p->lent)
		return;
	p->counted_bw = atomic_load_relaxed(&p->lent->bw);
	deadline_queue_of(rq)->active_bw += p->counted_bw;
}

void deadline_uncount_lent(struct runqueue *rq, struct thread *t)
{
	deadline_queue_of(rq)->active_bw -= t->sched.place.counted_bw;
	t->sched.place.counted_bw = 0;
}

/* It goes elsewhere. */
void deadline_uncount(struct runqueue *rq, struct deadline *d)
{
	uncount(deadline_queue_of(rq), d);
}

/* Has other parameters. */
void deadline_recount(struct runqueue *rq, struct deadline *d)
{
	if (!d->counted_bw)
		return;
	deadline_queue_of(rq)->active_bw -= d->counted_bw;
	d->counted_bw = atomic_load_relaxed(&d->bw);
	deadline_queue_of(rq)->active_bw += d->counted_bw;
}

/* It blocks, and counts until its lag is zero. */
void deadline_owe(struct runqueue *rq, struct deadline *d, uint64_t until_ns)
{
	struct deadline_queue *q = deadline_queue_of(rq);

	if (!d->counted_bw)
		return;
	if (until_ns <= rq->since_ns) {
		uncount(q, d);
		return;
	}
	d->at_ns = until_ns;
	d->owes = true;
	rb_insert(&q->owing, &d->node, is_due_earlier);
}

/* It leaves the class: of all that left the last one decides when they count no more. */
void deadline_gone(struct runqueue *rq, struct deadline *d)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	uint32_t bw = d->counted_bw;

	if (!bw)
		return;
	uncount(q, d);
	q->active_bw += bw;
	q->gone_bw += bw;
	q->gone_ns = MAX(q->gone_ns, d->gone_ns);
}

/* The one whose lag is zero first, before @before_ns, counts no more: returns when that was. */
static uint64_t forget_one(struct deadline_queue *q, uint64_t before_ns)
{
	struct rb_node *n = rb_first(&q->owing);
	struct deadline *d = n ? container_of(n, struct deadline, node) : NULL;
	uint64_t at_ns = d ? d->at_ns : UINT64_MAX;

	if (q->gone_bw && q->gone_ns < before_ns && q->gone_ns <= at_ns) {
		q->active_bw -= q->gone_bw;
		q->gone_bw = 0;
		return q->gone_ns;
	}
	if (at_ns >= before_ns)
		return UINT64_MAX;
	uncount(q, d);
	return at_ns;
}

/* In use on the CPU of @q, @d included, for @d. */
static uint64_t in_use(const struct deadline_queue *q, const struct deadline *d)
{
	uint32_t used = q->active_bw + atomic_load_relaxed(&q->fixed_bw);
	uint32_t own = atomic_load_relaxed(&d->bw);
	uint32_t most = MAX(used, own);

	return MIN(most, atomic_load_relaxed(&deadline_limit));
}

/* Of the time that @d has just run, up to now, so much is taken from its budget. */
uint64_t deadline_reclaimed(struct runqueue *rq, struct deadline *d, uint64_t delta_ns)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	uint64_t limit = atomic_load_relaxed(&deadline_limit), sum = 0;
	uint64_t from_ns = rq->since_ns - delta_ns, to_ns;

	do {
		uint64_t rate = in_use(q, d);

		to_ns = MIN(forget_one(q, rq->since_ns), rq->since_ns);
		if (to_ns > from_ns) {
			sum += (to_ns - from_ns) * rate;
			from_ns = to_ns;
		}
	} while (to_ns < rq->since_ns);
	return (sum + limit - 1) / limit;
}

/* How long @d may run with @left_ns, if nobody becomes active. */
uint64_t deadline_reclaim_slice_ns(const struct runqueue *rq, const struct deadline *d,
				   int64_t left_ns)
{
	uint64_t rate = in_use(deadline_queue_of(rq), d);

	return ((uint64_t)left_ns * atomic_load_relaxed(&deadline_limit) + rate - 1) / rate;
}
