/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Membership in the sums of the fair class: joining, leaving, changing, and waiting to leave.
 *
 * Delayed dequeue: an entity whose thread blocks while it owes CPU time stays in the sums, out of
 * the tree and of nr, until virtual time has caught up with it; then it leaves with lag 0. (The
 * third way of the paper to let a client leave: wait until its lag is zero.) One that wakes before
 * goes on where it stood, so no debt is escaped by a short sleep, and none is kept through a long
 * one.
 *
 * Noticing late changes nothing. Say d, of weight w, should have left when V was v_d, and S ns of
 * service were given since. With d in the sums V has moved by 1024 S / W, so it is at distance
 * D = 1024 S / W from v_d; taking d out at v_d moves V by w D / (W - w), to
 * v_d + D W / (W - w) = v_d + 1024 S / (W - w): where it would be had d left in time. So entities
 * are looked at only when somebody is to be picked or placed.
 *
 * The caller holds the lock of the queue.
 */
#include "sched/eevdf.h"

/* The quotient rounded down, the remainder in 0..b-1. */
static int64_t eevdf_div_floor(int64_t a, int64_t b, int64_t *rem)
{
	int64_t k = a / b;
	int64_t r = a - k * b;

	if (r < 0) {
		r += b;
		k--;
	}
	*rem = r;
	return k;
}

/* The same when S may be negative and the queue may have become empty. */
static void eevdf_normalise(struct eevdf_queue *q, int64_t S)
{
	int64_t rem = 0;

	if (q->W)
		q->V += (uint64_t)eevdf_div_floor(S, (int64_t)q->W, &rem);
	q->S = (uint64_t)rem;
}

/*
 * Adds e to the sums with the lag it left with. Its weight moves V towards it, which would eat a
 * part of that lag, so it is placed (W + w) / W times as far from V as it wants to be; in an empty
 * queue nobody can owe it anything and its lag is 0.
 */
void eevdf_join(struct eevdf_queue *q, struct eevdf_entity *e, enum eevdf_place place)
{
	int64_t w = e->weight, ahead = 0, rem, vrest = (int64_t)(e->deadline - e->v);

	ASSERT(!e->joined);
	if (q->W) {
		ahead = (int64_t)(q->S * e->weight / q->W);
		ahead -= e->lag + e->lag * w / (int64_t)q->W;
	}
	e->v = q->V + (uint64_t)eevdf_div_floor(ahead, w, &rem);
	e->rem = (uint32_t)rem;
	q->W += e->weight;
	q->nr++;
	e->joined = true;
	eevdf_normalise(q, (int64_t)q->S + ahead);

	if (place == EEVDF_PLACE_NEW)
		e->deadline = e->v + e->vslice / 2;
	else if (place == EEVDF_PLACE_MOVE && vrest > 0)
		e->deadline = e->v + (uint64_t)vrest;
	else
		eevdf_request(e);
}

/* Takes e, which is not in the tree, out of the sums and saves its lag. */
void eevdf_leave(struct eevdf_queue *q, struct eevdf_entity *e)
{
	int64_t lag, ahead;

	ASSERT(e->joined);
	lag = eevdf_lag(q, e);
	ahead = (int64_t)(e->v - q->V) * e->weight + e->rem;
	if (unlikely(lag > EEVDF_LAG_MAX))
		lag = EEVDF_LAG_MAX;
	if (unlikely(lag < -EEVDF_LAG_MAX))
		lag = -EEVDF_LAG_MAX;
	e->lag = lag;
	e->joined = false;
	q->W -= e->weight;
	q->nr--;
	eevdf_normalise(q, (int64_t)q->S - ahead);
}

/* ---- delayed dequeue ------------------------------------------------------------------------- */

static struct eevdf_entity *debtor(struct rb_node *n)
{
	return container_of(n, struct eevdf_entity, debtor);
}

static bool stands_before(const struct rb_node *a, const struct rb_node *b)
{
	return eevdf_before(container_of(a, struct eevdf_entity, debtor)->v,
			    container_of(b, struct eevdf_entity, debtor)->v);
}

void eevdf_delay(struct eevdf_queue *q, struct eevdf_entity *e)
{
	ASSERT(e->joined && !e->delayed);
	e->delayed = true;
	q->nr--;
	rb_insert(&q->debtors, &e->debtor, stands_before);
}

void eevdf_undelay(struct eevdf_queue *q, struct eevdf_entity *e)
{
	ASSERT(e->delayed);
	e->delayed = false;
	q->nr++;
	rb_erase(&q->debtors, &e->debtor);
}

struct eevdf_entity *eevdf_release(struct eevdf_queue *q)
{
	struct rb_node *n = rb_first(&q->debtors);

	if (!n || !eevdf_eligible(q, debtor(n)))
		return NULL;
	eevdf_leave_delayed(q, debtor(n));
	return debtor(n);
}

void eevdf_leave_delayed(struct eevdf_queue *q, struct eevdf_entity *e)
{
	eevdf_undelay(q, e);
	eevdf_leave(q, e);
	if (e->lag > 0)
		e->lag = 0;
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Changes an entity outside of tree and sums; what is left of its request stays as CPU time. */
static void eevdf_entity_set(struct eevdf_entity *e, uint32_t weight, uint64_t slice_ns)
{
	uint64_t vrest = e->deadline - e->v;

	ASSERT(weight >= EEVDF_WEIGHT_MIN && weight <= EEVDF_WEIGHT_MAX);
	ASSERT(slice_ns >= EEVDF_SLICE_MIN_NS && slice_ns <= EEVDF_SLICE_MAX_NS);
	if (eevdf_expired(e))
		vrest = 0;
	vrest = vrest * e->weight / weight;
	e->weight = weight;
	e->slice_ns = slice_ns;
	e->vslice = slice_ns * 1024 / weight;
	if (vrest > e->vslice)
		vrest = e->vslice;
	e->deadline = e->v + vrest;
}

/*
 * Changes weight and slice of an entity in any state (queued, running, not joined). Its lag, as
 * CPU time, stays; so does the rest of its request, cut to one new slice.
 */
void eevdf_set(struct eevdf_queue *q, struct eevdf_entity *e, uint32_t weight, uint64_t slice_ns)
{
	bool joined = e->joined;
	bool in_tree = joined && eevdf_in_tree(q, e);

	if (in_tree)
		eevdf_take(q, e);
	if (joined)
		eevdf_leave(q, e);
	eevdf_entity_set(e, weight, slice_ns);
	if (joined)
		eevdf_join(q, e, EEVDF_PLACE_MOVE);
	if (in_tree)
		eevdf_put(q, e);
}
