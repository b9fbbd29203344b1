/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EEVDF: earliest eligible virtual deadline first (Stoica and Abdel-Wahab, 1995), pure maths.
 *
 * No locks, no clock, no threads: the caller serialises per queue and says how long somebody ran.
 * One unit of virtual time is 1 ns of CPU time at weight 1024. An entity stands at v + rem / weight
 * and moves by 1024 / weight per ns it runs; virtual time, V + S / W, is the weighted mean of all.
 * lag = weight * (virtual time - where it stands) is the CPU time an entity is owed (> 0) or owes
 * (< 0), in ns / 1024; all lags add up to 0. An entity is eligible when it owes nothing. Each
 * request of slice_ns has a virtual deadline; the eligible entity with the earliest one runs.
 *
 * Nothing is lost to rounding: rem and S are the parts below one unit, and both count in the lag
 * that is carried through sleep, migration and changes of weight. V is normalised after each
 * change (S < W), so the test for eligibility is one compare, v <= V, and 64 bits do for any number
 * of entities: between two normalisations S grows by one term, which is at most 2^62 (charge, by
 * its clamp) or about 2^53 (join and leave, by EEVDF_LAG_MAX times the worst inflation,
 * EEVDF_WEIGHT_MAX / EEVDF_WEIGHT_MIN).
 *
 * Life of an entity: init -> join -> put <-> take -> leave -> join ... The running one is joined
 * and not in the tree. One whose thread blocks while it owes is delayed instead of leaving, and
 * undelayed when it wakes; before pick, rotate and join the caller releases those that have paid.
 * Nobody else may be joined and outside of the tree while one of pick,
 * preempts and rotate is asked: "somebody is eligible" holds for all that are joined together.
 */
#pragma once

#include "core/base.h"
#include "sched/eevdf_tree.h"

#define EEVDF_WEIGHT_NICE_0 1024u
#define EEVDF_WEIGHT_IDLE   3u
#define EEVDF_WEIGHT_MIN    3u
/* Nice -20 has 88761, a group of weight 10000 has this. */
#define EEVDF_WEIGHT_MAX   102400u
#define EEVDF_SLICE_MIN_NS 100000ull
#define EEVDF_SLICE_MAX_NS 100000000ull

/* One charge counts at most this much (52 days), so that no intermediate sum can overflow. */
#define EEVDF_CHARGE_MAX_NS ((1ull << 52) - 1)

/*
 * A saved lag is kept within +-EEVDF_LAG_MAX. When slices end on time, lag stays between
 * -slice_ns and the longest slice in the queue (theorem 2 of the paper), so the bound of two
 * longest slices cuts only what an overrun made. It also bounds every product in join and leave.
 */
#define EEVDF_LAG_MAX ((int64_t)(2 * EEVDF_SLICE_MAX_NS * 1024))

/* nice -20..19, ratio 1.25: one step of nice is about 10 % of CPU time between two threads. */
static const uint32_t eevdf_nice_weight[40] = {
	88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
	9548,  7620,  6100,  4904,  3906,  3121,  2501,  1991,  1586,  1277,
	1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,
	110,   87,    70,    56,    45,    36,    29,    23,    18,    15,
};

/* Where a joining entity's deadline is put. */
enum eevdf_place {
	EEVDF_PLACE_NEW,  /* first time: half a slice, so that it gets a start soon */
	EEVDF_PLACE_WAKE, /* after sleep: a new request of one slice */
	EEVDF_PLACE_MOVE, /* migration, new attributes: what is left of the request */
};

static inline void eevdf_init(struct eevdf_queue *q)
{
	*q = (struct eevdf_queue){ 0 };
}

static inline void eevdf_entity_init(struct eevdf_entity *e, uint32_t weight, uint64_t slice_ns)
{
	ASSERT(weight >= EEVDF_WEIGHT_MIN && weight <= EEVDF_WEIGHT_MAX);
	ASSERT(slice_ns >= EEVDF_SLICE_MIN_NS && slice_ns <= EEVDF_SLICE_MAX_NS);
	*e = (struct eevdf_entity){
		.weight = weight,
		.slice_ns = slice_ns,
		.vslice = slice_ns * 1024 / weight,
	};
}

/* S has grown by a non-negative term: moves V there. */
static inline void eevdf_advance(struct eevdf_queue *q, uint64_t S)
{
	uint64_t k = S / q->W;

	q->V += k;
	q->S = S - k * q->W;
}

/* e, which is joined and not in the tree, has run for delta_ns. */
static inline void eevdf_charge(struct eevdf_queue *q, struct eevdf_entity *e, uint64_t delta_ns)
{
	uint64_t service, dv;

	if (unlikely(delta_ns > EEVDF_CHARGE_MAX_NS))
		delta_ns = EEVDF_CHARGE_MAX_NS;
	service = delta_ns * 1024 + e->rem;
	dv = service / e->weight;
	e->rem = (uint32_t)(service - dv * e->weight);
	e->v += dv;
	eevdf_advance(q, q->S + delta_ns * 1024);
}

/* The lag of a joined entity in ns / 1024. */
static inline int64_t eevdf_lag(const struct eevdf_queue *q, const struct eevdf_entity *e)
{
	int64_t whole = (int64_t)(q->V - e->v) * e->weight;

	return whole + (int64_t)(q->S * e->weight / q->W) - e->rem;
}

static inline int64_t eevdf_lag_ns(const struct eevdf_queue *q, const struct eevdf_entity *e)
{
	return eevdf_lag(q, e) / 1024;
}

/* A new request of one slice begins where e stands. */
static inline void eevdf_request(struct eevdf_entity *e)
{
	e->deadline = e->v + e->vslice;
}

/* ---- eevdf_member.c: in the sums or not ------------------------------------------------------ */

/*
 * Adds e to the sums, outside of the tree, with the lag it left with. In an empty queue nobody can
 * owe it anything and its lag is 0.
 */
void eevdf_join(struct eevdf_queue *q, struct eevdf_entity *e, enum eevdf_place place);
/* Takes e, which is not in the tree, out of the sums and saves its lag. */
void eevdf_leave(struct eevdf_queue *q, struct eevdf_entity *e);
/* The thread of e, joined, not in the tree, not eligible, blocks: it stays until it has paid. */
void eevdf_delay(struct eevdf_queue *q, struct eevdf_entity *e);
/* It wakes before: joined, not in the tree, where it stood. */
void eevdf_undelay(struct eevdf_queue *q, struct eevdf_entity *e);
/* It leaves before, with its debt. */
void eevdf_leave_delayed(struct eevdf_queue *q, struct eevdf_entity *e);
/* Lets one delayed entity go that has paid; NULL: none has. Call it until then. */
struct eevdf_entity *eevdf_release(struct eevdf_queue *q);
/*
 * Changes weight and slice of an entity in any state (queued, running, not joined; not delayed).
 * Its lag, as CPU time, stays; so does the rest of its request, cut to one new slice.
 */
void eevdf_set(struct eevdf_queue *q, struct eevdf_entity *e, uint32_t weight, uint64_t slice_ns);

/* Is there one for eevdf_release()? */
static inline bool eevdf_has_paid(const struct eevdf_queue *q)
{
	const struct rb_node *n = rb_first(&q->debtors);

	return unlikely(n) && eevdf_eligible(q, container_of(n, struct eevdf_entity, debtor));
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The request is served: v has reached the deadline. */
static inline bool eevdf_expired(const struct eevdf_entity *e)
{
	return !eevdf_before(e->v, e->deadline);
}

/* A part of the request is served. */
static inline bool eevdf_begun(const struct eevdf_entity *e)
{
	return eevdf_before(e->deadline - e->vslice, e->v);
}

/* The next request follows the last one; after an overrun of whole slices it starts now. */
static inline void eevdf_renew(struct eevdf_entity *e)
{
	e->deadline += e->vslice;
	if (unlikely(eevdf_expired(e)))
		e->deadline = e->v + e->vslice;
}

/*
 * e, charged, gives up the rest of its request: it counts as served. One that owes CPU time
 * already keeps its v, else repeated yields would drive it away from V without bound.
 */
static inline void eevdf_yield(struct eevdf_queue *q, struct eevdf_entity *e)
{
	uint64_t dv = e->deadline - e->v;

	if (unlikely((int64_t)dv <= 0)) {
		eevdf_renew(e);
	} else if (eevdf_eligible(q, e)) {
		e->v += dv;
		e->deadline += e->vslice;
		eevdf_advance(q, q->S + dv * e->weight);
	}
}

/* CPU time until e's request is served: charged that much e is expired, 1 ns less and it is not. */
static inline uint64_t eevdf_slice_left_ns(const struct eevdf_entity *e)
{
	if (eevdf_expired(e))
		return 0;
	return ((e->deadline - e->v) * e->weight - e->rem + 1023) / 1024;
}

/*
 * n, eligible, is to interrupt curr's request: curr has had its share (run to parity); or n's
 * request is shorter than what is left of curr's; or n's deadline is earlier and less than an
 * eighth of its request away. Else curr is protected until it owes, which spares a switch and costs
 * n at most that time. Without the third rule one that comes often and waits a little each time
 * would gather lag without bound.
 */
static inline bool eevdf_beats(const struct eevdf_queue *q, const struct eevdf_entity *n,
			       const struct eevdf_entity *curr)
{
	if (!eevdf_eligible(q, curr) || (int64_t)n->vslice < (int64_t)(curr->deadline - curr->v))
		return true;
	return eevdf_before(n->deadline, curr->deadline) &&
	       (int64_t)(n->deadline - q->V) < (int64_t)(n->vslice / 8);
}

/*
 * How long curr, running, stays eligible, in ns: its lag shrinks by (W - w) / W of what it runs.
 * Rounded up by one unit of virtual time, so that it owes when the time is over.
 */
static inline uint64_t eevdf_parity_ns(const struct eevdf_queue *q, const struct eevdf_entity *curr)
{
	int64_t lag = eevdf_lag(q, curr) + curr->weight;
	uint64_t ns = lag > 0 ? (uint64_t)lag / 1024 + 1 : 0;

	if (q->W == curr->weight)
		return UINT64_MAX;
	return ns + ns * curr->weight / (q->W - curr->weight) + 1;
}

/*
 * Who is to run, of the tree and curr; changes nothing. curr is the joined entity that is not in
 * the tree, NULL if there is none. NULL only when the queue is empty: V is a mean, so somebody's
 * v is not above it.
 */
static inline struct eevdf_entity *eevdf_pick(const struct eevdf_queue *q,
					      struct eevdf_entity *curr)
{
	struct eevdf_entity *n = eevdf_first(q);

	if (!curr)
		return n;
	return n && eevdf_beats(q, n, curr) ? n : curr;
}

/*
 * How long curr may run on before the others are looked at again: to the end of its request, or to
 * parity if an eligible one waits whose deadline is earlier.
 */
static inline uint64_t eevdf_run_ns(const struct eevdf_queue *q, const struct eevdf_entity *curr)
{
	const struct eevdf_entity *n = eevdf_first(q);
	uint64_t ns = eevdf_slice_left_ns(curr);

	if (n && eevdf_before(n->deadline, curr->deadline) && eevdf_eligible(q, curr))
		return MIN(ns, eevdf_parity_ns(q, curr));
	return ns;
}

/*
 * Is curr to make way because wakee has come (wakee is in the tree, curr is not)? O(1), so it
 * compares the two only; when true eevdf_pick() does not choose curr.
 */
static inline bool eevdf_preempts(const struct eevdf_queue *q, const struct eevdf_entity *curr,
				  const struct eevdf_entity *wakee)
{
	return eevdf_eligible(q, wakee) && eevdf_beats(q, wakee, curr);
}

/*
 * pick + put + take in one, for a curr that has ended or given up its request (charged and
 * renewed): it goes into the tree only if another is to run, who is then taken out and returned.
 * Unlike in eevdf_pick() a tie goes to the other, or equal threads would get two slices at a time.
 * With at most one entity in the tree no call is made: the one that waits and curr change places
 * (of two, if one owes then the other is owed).
 */
static inline struct eevdf_entity *eevdf_rotate(struct eevdf_queue *q, struct eevdf_entity *curr)
{
	struct eevdf_entity *n = q->left;

	if (unlikely(n != q->right))
		return eevdf_rotate_slow(q, curr);
	if (!n)
		return curr;
	if (eevdf_eligible(q, curr) &&
	    (eevdf_before(curr->deadline, n->deadline) || !eevdf_eligible(q, n)))
		return curr;
	eevdf_tree_set_only(q, curr);
	return n;
}

/* Whom another CPU should take: the entity that would wait longest here. NULL: nobody waits. */
static inline struct eevdf_entity *eevdf_steal_candidate(const struct eevdf_queue *q)
{
	return q->right;
}

static inline void eevdf_set_weight(struct eevdf_queue *q, struct eevdf_entity *e, uint32_t weight)
{
	eevdf_set(q, e, weight, e->slice_ns);
}

static inline void eevdf_set_slice(struct eevdf_queue *q, struct eevdf_entity *e, uint64_t slice_ns)
{
	eevdf_set(q, e, e->weight, slice_ns);
}
