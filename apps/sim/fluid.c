/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fluid.h. A member's extremes are taken when its lag turns: it grows while others are served
 * and falls while it is served itself, so they lie where it begins or ends to be served, comes,
 * goes or changes weight; and where another's lag moves everybody's ideal, which is the one case
 * that looks at all members.
 */
#include "apps/sim/fluid.h"

#include <stdlib.h>

#define ONE        ((fluid_t)1 << 64)
#define WEIGHT_MAX 102400 /* of a group; of a thread 88761 */

void fluid_settle(struct fluid_member *m)
{
	struct fluid_queue *q = m->queue;

	if (!q)
		return;
	m->lag += (q->virtual - m->since) * m->weight;
	m->ideal += (q->virtual - m->since - (q->shift - m->shifted)) * m->weight;
	m->since = q->virtual;
	m->shifted = q->shift;
	m->lag_min = MIN(m->lag_min, m->lag);
	m->lag_max = MAX(m->lag_max, m->lag);
}

static void settle_all(struct fluid_queue *q)
{
	for (unsigned i = 0; i < q->nr; i++)
		fluid_settle(q->members[i]);
}

/* The members together get @amount more, by weight. */
static void share_out(struct fluid_queue *q, fluid_t amount)
{
	if (!q->weight || !amount)
		return;
	q->virtual += amount / (fluid_t)q->weight;
	q->roundings++;
}

static void take(struct fluid_queue *q, struct fluid_member *m)
{
	struct fluid_member *last = q->members[--q->nr];

	last->place = m->place;
	q->members[m->place] = last;
	q->weight -= m->weight;
	q->nr_delayed -= m->delayed;
	m->delayed = false;
	m->queue = NULL;
}

/* The others' ideal moves by @lag, which somebody takes along (> 0: leaves) or brings. */
static void shift(struct fluid_queue *q, fluid_t lag)
{
	fluid_t before = q->virtual;

	if (!lag || !q->weight)
		return;
	settle_all(q);
	share_out(q, lag);
	q->shift += q->virtual - before;
	settle_all(q);
}

/* The delayed member whose lag is 0 first, if the queue's virtual time moves on; NULL: none. */
static struct fluid_member *first_to_pay(const struct fluid_queue *q, fluid_t *when)
{
	struct fluid_member *first = NULL;

	*when = 0;
	for (unsigned i = 0; q->nr_delayed && i < q->nr; i++) {
		struct fluid_member *m = q->members[i];
		fluid_t at = m->since - (m->lag - m->weight + 1) / m->weight;

		if (m->delayed && (!first || at < *when)) {
			first = m;
			*when = at;
		}
	}
	return first;
}

/* What is left of its lag after the exact moment, by rounding or by a shift, is the others'. */
static void release(struct fluid_queue *q, struct fluid_member *m)
{
	fluid_t rest;

	fluid_settle(m);
	rest = m->lag;
	take(q, m);
	m->lag = 0;
	shift(q, rest);
}

/* @m is served; delayed members leave at the moment they have paid. */
static void serve(struct fluid_queue *q, struct fluid_member *m, fluid_t amount)
{
	struct fluid_member *payer;
	fluid_t when;

	while ((payer = first_to_pay(q, &when))) {
		fluid_t needed = MAX(when - q->virtual, 0) * (fluid_t)q->weight;

		if (needed > amount)
			break;
		amount -= needed;
		m->lag -= needed;
		q->virtual += needed / (fluid_t)q->weight;
		release(q, payer);
	}
	m->lag -= amount;
	share_out(q, amount);
}

void fluid_served(struct fluid_queue *q, uint64_t runtime_ns)
{
	struct fluid_member *m = q->runs;
	uint64_t ns;

	if (!m)
		return;
	ns = runtime_ns - m->service_ns;
	m->service_ns = runtime_ns;
	m->had_ns += ns;
	serve(q, m, (fluid_t)ns * ONE);
}

static void add(struct fluid_queue *q, struct fluid_member *m)
{
	if (q->nr == q->room) {
		q->room = q->room ? 2 * q->room : 8;
		q->members = realloc(q->members, q->room * sizeof(struct fluid_member *));
		ASSERT(q->members);
	}
	m->place = q->nr;
	q->members[q->nr++] = m;
	q->weight += m->weight;
	m->queue = q;
	m->since = q->virtual;
	m->shifted = q->shift;
}

void fluid_join(struct fluid_queue *q, struct fluid_member *m, uint32_t weight, uint64_t runtime_ns)
{
	ASSERT(!m->queue && weight && weight <= WEIGHT_MAX);
	if (!q->nr)
		m->lag = 0;
	shift(q, -m->lag);
	m->weight = weight;
	m->service_ns = runtime_ns;
	add(q, m);
	fluid_settle(m);
}

/* One that was delayed may be gone already, and takes no more than a debt along. */
void fluid_leave(struct fluid_queue *q, struct fluid_member *m)
{
	bool delayed = m->delayed;

	if (!m->queue)
		return;
	ASSERT(m->queue == q);
	fluid_settle(m);
	if (q->runs == m)
		q->runs = NULL;
	if (delayed && m->lag >= 0) {
		release(q, m);
		return;
	}
	take(q, m);
	shift(q, m->lag);
}

void fluid_delay(struct fluid_queue *q, struct fluid_member *m)
{
	ASSERT(m->queue == q && !m->delayed);
	fluid_settle(m);
	if (q->runs == m)
		q->runs = NULL;
	m->delayed = true;
	q->nr_delayed++;
	if (m->lag >= 0)
		release(q, m);
}

/* By the reference it may have paid to the last fraction of a ns when the scheduler sees it owe. */
void fluid_resume(struct fluid_queue *q, struct fluid_member *m, uint64_t runtime_ns)
{
	if (!m->queue) {
		fluid_join(q, m, m->weight, runtime_ns);
		return;
	}
	ASSERT(m->queue == q && m->delayed);
	fluid_settle(m);
	m->delayed = false;
	q->nr_delayed--;
}

void fluid_weight(struct fluid_queue *q, struct fluid_member *m, uint32_t weight)
{
	ASSERT(m->queue == q && weight && weight <= WEIGHT_MAX);
	fluid_settle(m);
	q->weight += weight - (uint64_t)m->weight;
	m->weight = weight;
}

void fluid_runs(struct fluid_queue *q, struct fluid_member *m, uint64_t runtime_ns)
{
	if (q->runs)
		fluid_settle(q->runs);
	q->runs = m && m->queue == q ? m : NULL;
	if (!q->runs)
		return;
	fluid_settle(m);
	m->service_ns = runtime_ns;
}

void fluid_forget(struct fluid_member *m)
{
	if (!m->queue)
		m->lag = 0;
}

void fluid_reset(struct fluid_member *m)
{
	fluid_settle(m);
	m->lag_min = m->lag_max = m->queue ? m->lag : 0;
	m->had_ns = 0;
	m->ideal = 0;
}

static fluid_t distance(fluid_t a)
{
	return a < 0 ? -a : a;
}

int64_t fluid_lag_ns(struct fluid_member *m)
{
	fluid_settle(m);
	return (int64_t)(m->lag / ONE);
}

uint64_t fluid_lag_max_ns(const struct fluid_member *m)
{
	fluid_t error = m->queue ? (fluid_t)m->queue->roundings * WEIGHT_MAX : 0;
	fluid_t lag = MAX(distance(m->lag_min), distance(m->lag_max)) + error;

	return (uint64_t)((lag + ONE - 1) / ONE);
}

int64_t fluid_share_error(const struct fluid_member *m, int64_t one)
{
	int64_t ideal_ns = (int64_t)(m->ideal / ONE);
	int64_t off_ns = (int64_t)((distance((fluid_t)m->had_ns * ONE - m->ideal) + ONE - 1) / ONE);

	return ideal_ns > 0 ? (int64_t)((fluid_t)off_ns * one / ideal_ns) : 0;
}

uint64_t fluid_sum_error_ns(struct fluid_queue *q)
{
	fluid_t sum = 0;

	settle_all(q);
	for (unsigned i = 0; i < q->nr; i++)
		sum += q->members[i]->lag;
	return (uint64_t)((distance(sum) + ONE - 1) / ONE);
}
