/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EEVDF maths and tree against a model that keeps every position in 128 bits, never wraps, and
 * recomputes virtual time, sums and the pick from all entities after each operation.
 *
 * The model's position of an entity is x = weight * v + rem, the service it has had plus where it
 * was placed; the model's deadlines are its own too. Seeds are fixed. An argument on the command
 * line multiplies the number of random operations.
 *
 * Sources: sched/eevdf_tree.c sched/eevdf_member.c core/rbtree.c
 * Flags: -Iarch/host
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/eevdf.h"

typedef __int128 i128;

enum where { OFF, QUEUED, RUNNING, DELAYED };

struct mirror {
	struct eevdf_entity e;
	enum where where;
	i128 x, deadline, lag;
	i128 weight, slice;
};

struct world {
	struct eevdf_queue q;
	i128 V;
	struct mirror *m, *curr;
	uint32_t n;
	uint64_t random;
};

static uint64_t ops_factor = 1;

void assert_failed(const struct assert_place *at)
{
	mock_assert(0, at->expr, at->file, at->line);
	abort();
}

static uint64_t random_u64(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static uint64_t random_below(struct world *w, uint64_t n)
{
	return (random_u64(w) >> 11) % n;
}

static bool one_in(struct world *w, uint64_t n)
{
	return random_below(w, n) == 0;
}

static i128 floor_div(i128 a, i128 b)
{
	i128 k = a / b;

	return k * b > a ? k - 1 : k;
}

/* ---- the model ---- */

static i128 v_of(const struct mirror *m)
{
	return floor_div(m->x, m->weight);
}

static i128 vslice_of(const struct mirror *m)
{
	return m->slice * 1024 / m->weight;
}

static i128 total_weight(const struct world *w)
{
	i128 total = 0;

	for (uint32_t i = 0; i < w->n; i++)
		total += w->m[i].where != OFF ? w->m[i].weight : 0;
	return total;
}

/* Sets V, the mean of all positions rounded down; returns the rest, times the total weight. */
static i128 model_update(struct world *w)
{
	i128 total = total_weight(w), sum = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		if (w->m[i].where != OFF)
			sum += w->m[i].x;
	}
	if (!total)
		return 0;
	w->V = floor_div(sum, total);
	return sum - w->V * total;
}

static i128 model_lag(struct world *w, const struct mirror *m)
{
	i128 S = model_update(w);

	return m->weight * w->V + floor_div(m->weight * S, total_weight(w)) - m->x;
}

static void model_leave(struct world *w, struct mirror *m)
{
	i128 lag = model_lag(w, m);

	lag = MIN(lag, (i128)EEVDF_LAG_MAX);
	m->lag = MAX(lag, -(i128)EEVDF_LAG_MAX);
	m->where = OFF;
	model_update(w);
}

static void model_join(struct world *w, struct mirror *m, enum eevdf_place place)
{
	i128 S = model_update(w), total = total_weight(w), rest = m->deadline - v_of(m);

	m->x = m->weight * w->V;
	if (total)
		m->x += floor_div(m->weight * S, total) - m->lag * (total + m->weight) / total;
	if (place == EEVDF_PLACE_NEW)
		rest = vslice_of(m) / 2;
	else if (place == EEVDF_PLACE_WAKE || rest <= 0)
		rest = vslice_of(m);
	m->deadline = v_of(m) + rest;
	m->where = QUEUED;
}

static void model_set(struct mirror *m, uint32_t weight, uint64_t slice_ns)
{
	i128 v = v_of(m), rest = MAX(m->deadline - v, (i128)0) * m->weight / weight;

	m->weight = weight;
	m->slice = slice_ns;
	m->x = v * weight;
	m->deadline = v + MIN(rest, vslice_of(m));
}

static bool model_eligible(const struct world *w, const struct mirror *m)
{
	return v_of(m) <= w->V;
}

/* ---- comparisons ---- */

static uint32_t height(const struct eevdf_entity *e)
{
	uint32_t l, r;

	if (!e)
		return 0;
	l = height(e->child[0]);
	r = height(e->child[1]);
	return 1 + MAX(l, r);
}

static uint32_t log2_floor(uint32_t n)
{
	return 31 - (uint32_t)__builtin_clz(n);
}

static struct eevdf_entity *curr_of(struct world *w)
{
	return w->curr ? &w->curr->e : NULL;
}

/* Is n, eligible, to go before curr? */
static bool model_beats(const struct world *w, const struct mirror *n, const struct mirror *curr)
{
	return !curr || !model_eligible(w, curr) || vslice_of(n) < curr->deadline - v_of(curr) ||
	       (n->deadline < curr->deadline && n->deadline - w->V < vslice_of(n) / 8);
}

/*
 * The pick: one that is queued, eligible, none of them earlier, and that beats curr; or curr, if
 * one of the earliest does not beat it.
 */
static void check_pick(struct world *w)
{
	struct eevdf_queue before = w->q;
	struct eevdf_entity *e = eevdf_pick(&w->q, curr_of(w));
	struct mirror *picked = e ? container_of(e, struct mirror, e) : NULL;
	i128 earliest = (i128)1 << 120;
	bool some_stay = true;

	assert_memory_equal(&before, &w->q, sizeof(before));
	assert_true(!e == !w->q.nr);
	for (uint32_t i = 0; i < w->n; i++)
		if (w->m[i].where == QUEUED && model_eligible(w, &w->m[i]))
			earliest = MIN(earliest, w->m[i].deadline);
	for (uint32_t i = 0; i < w->n; i++) {
		struct mirror *m = &w->m[i];

		if (m->where != QUEUED || !model_eligible(w, m) || m->deadline != earliest)
			continue;
		some_stay = false;
		if (!model_beats(w, m, w->curr)) {
			some_stay = true;
			break;
		}
	}
	if (!e)
		return;
	if (picked == w->curr) {
		assert_true(some_stay);
		return;
	}
	assert_true(picked->where == QUEUED && model_eligible(w, picked));
	assert_true(picked->deadline == earliest && model_beats(w, picked, w->curr));
}

static void check_entities(struct world *w)
{
	i128 lags = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		struct mirror *m = &w->m[i];

		assert_int_equal(m->e.joined, m->where != OFF);
		assert_int_equal(m->e.delayed, m->where == DELAYED);
		if (m->where == OFF) {
			assert_true(m->e.lag == m->lag);
			continue;
		}
		assert_int_equal(m->e.v, (uint64_t)v_of(m));
		assert_int_equal(m->e.rem, (uint64_t)(m->x - v_of(m) * m->weight));
		assert_int_equal(m->e.deadline, (uint64_t)m->deadline);
		assert_int_equal(eevdf_eligible(&w->q, &m->e), model_eligible(w, m));
		lags += (i128)(int64_t)(w->q.V - m->e.v) * m->e.weight - m->e.rem;
	}
	assert_true(lags + w->q.S == 0);
}

static void check_sums(struct world *w)
{
	i128 S = model_update(w);

	assert_int_equal(w->q.V, (uint64_t)w->V);
	assert_int_equal(w->q.S, (uint64_t)S);
	assert_int_equal(w->q.W, (uint64_t)total_weight(w));
}

static void check_tree(struct world *w)
{
	eevdf_check(&w->q, curr_of(w));
	assert_true(height(w->q.root) <= 2 * log2_floor(w->q.nr + 1) + 2);
}

static void check_world(struct world *w)
{
	check_sums(w);
	check_entities(w);
	check_pick(w);
	check_tree(w);
}

/* ---- operations on both ---- */

static uint32_t random_weight(struct world *w)
{
	if (one_in(w, 16))
		return EEVDF_WEIGHT_IDLE;
	return eevdf_nice_weight[random_below(w, ARRAY_SIZE(eevdf_nice_weight))];
}

static uint64_t random_slice_ns(struct world *w)
{
	switch (random_below(w, 4)) {
	case 0:
		return EEVDF_SLICE_MIN_NS;
	case 1:
		return EEVDF_SLICE_MAX_NS;
	default:
		return EEVDF_SLICE_MIN_NS +
		       random_below(w, EEVDF_SLICE_MAX_NS - EEVDF_SLICE_MIN_NS);
	}
}

static void mirror_init(struct mirror *m, uint32_t weight, uint64_t slice_ns)
{
	*m = (struct mirror){ .where = OFF, .weight = weight, .slice = slice_ns };
	eevdf_entity_init(&m->e, weight, slice_ns);
}

static void world_init(struct world *w, uint32_t n, uint64_t seed, bool equal)
{
	memset(w, 0, sizeof(*w));
	w->n = n;
	w->random = seed * 0x9e3779b97f4a7c15u + 1;
	w->m = calloc(n, sizeof(*w->m));
	assert_non_null(w->m);
	for (uint32_t i = 0; i < n; i++)
		mirror_init(&w->m[i], equal ? 1024 : random_weight(w),
			    equal ? 3000000 : random_slice_ns(w));
	eevdf_init(&w->q);
	w->V = ((i128)1 << 64) - 1 - (i128)random_below(w, 1u << 24);
	w->q.V = (uint64_t)w->V;
}

static void join(struct world *w, struct mirror *m, enum eevdf_place place)
{
	i128 old = total_weight(w), want = m->lag, got;

	model_join(w, m, place);
	eevdf_join(&w->q, &m->e, place);
	eevdf_put(&w->q, &m->e);
	got = eevdf_lag(&w->q, &m->e);
	if (old)
		assert_true(got - want <= 2 && want - got <= 2);
}

static void leave(struct world *w, struct mirror *m)
{
	model_leave(w, m);
	eevdf_leave(&w->q, &m->e);
}

/* Those delayed that have paid go, in both worlds. */
static void release(struct world *w)
{
	struct eevdf_entity *e;

	while ((e = eevdf_release(&w->q))) {
		struct mirror *m = container_of(e, struct mirror, e);

		model_update(w);
		assert_true(m->where == DELAYED && model_eligible(w, m));
		model_leave(w, m);
		m->lag = MIN(m->lag, (i128)0);
	}
	model_update(w);
	for (uint32_t i = 0; i < w->n; i++)
		assert_true(w->m[i].where != DELAYED || !model_eligible(w, &w->m[i]));
}

static void charge(struct world *w, uint64_t delta_ns)
{
	w->curr->x += (i128)delta_ns * 1024;
	model_update(w);
	eevdf_charge(&w->q, &w->curr->e, delta_ns);
}

static void renew(struct world *w)
{
	struct mirror *m = w->curr;

	assert_int_equal(eevdf_expired(&m->e), v_of(m) >= m->deadline);
	if (!eevdf_expired(&m->e))
		return;
	m->deadline += vslice_of(m);
	if (v_of(m) >= m->deadline)
		m->deadline = v_of(m) + vslice_of(m);
	eevdf_renew(&m->e);
}

static void set_curr(struct world *w, struct eevdf_entity *e)
{
	w->curr = e ? container_of(e, struct mirror, e) : NULL;
	if (w->curr)
		w->curr->where = RUNNING;
}

static void pick_next(struct world *w)
{
	struct eevdf_entity *n;

	release(w);
	n = eevdf_pick(&w->q, NULL);
	if (n)
		eevdf_take(&w->q, n);
	set_curr(w, n);
}

/* Either by the combined operation, where curr loses a tie, or by its parts. */
static void resched(struct world *w)
{
	struct eevdf_entity *curr = &w->curr->e, *expected, *n;

	release(w);
	expected = eevdf_pick(&w->q, curr);
	w->curr->where = QUEUED;
	if (one_in(w, 4)) {
		eevdf_put(&w->q, curr);
		eevdf_take(&w->q, expected);
		set_curr(w, expected);
		return;
	}
	n = eevdf_first(&w->q);
	expected = n;
	if (!n || (eevdf_eligible(&w->q, curr) && eevdf_before(curr->deadline, n->deadline)))
		expected = curr;
	set_curr(w, eevdf_rotate(&w->q, curr));
	assert_ptr_equal(&w->curr->e, expected);
}

static void op_expire(struct world *w)
{
	uint64_t left = eevdf_slice_left_ns(&w->curr->e);
	i128 need = w->curr->deadline * w->curr->weight - w->curr->x;

	assert_true((i128)left * 1024 >= need);
	assert_true(!left || (i128)(left - 1) * 1024 < need);
	charge(w, left);
	assert_true(eevdf_expired(&w->curr->e));
	renew(w);
	resched(w);
}

static void op_run(struct world *w)
{
	uint64_t longest = one_in(w, 8) ? 1000000000 : (uint64_t)w->curr->slice;

	charge(w, random_below(w, one_in(w, 3) ? 3 : longest));
	renew(w);
	resched(w);
}

static void op_yield(struct world *w)
{
	struct mirror *m = w->curr;

	charge(w, random_below(w, 5000));
	if (v_of(m) >= m->deadline) {
		m->deadline += vslice_of(m);
		if (v_of(m) >= m->deadline)
			m->deadline = v_of(m) + vslice_of(m);
	} else if (model_eligible(w, m)) {
		m->x += (m->deadline - v_of(m)) * m->weight;
		m->deadline += vslice_of(m);
		model_update(w);
	}
	eevdf_yield(&w->q, &m->e);
	resched(w);
}

static void op_block(struct world *w)
{
	struct mirror *m = w->curr;

	charge(w, random_below(w, (uint64_t)m->slice));
	if (!model_eligible(w, m) && !one_in(w, 8)) {
		eevdf_delay(&w->q, &m->e);
		m->where = DELAYED;
	} else {
		leave(w, m);
	}
	pick_next(w);
}

/* Wakes before it has paid: the same place, a new request. */
static void wake_delayed(struct world *w, struct mirror *m)
{
	eevdf_undelay(&w->q, &m->e);
	eevdf_request(&m->e);
	eevdf_put(&w->q, &m->e);
	m->where = QUEUED;
	m->deadline = v_of(m) + vslice_of(m);
}

static void op_wake(struct world *w, struct mirror *m)
{
	struct eevdf_entity *curr, *pick;
	bool verdict;

	release(w);
	if (m->where == DELAYED)
		wake_delayed(w, m);
	else
		join(w, m, (enum eevdf_place)random_below(w, 3));
	release(w);
	if (!w->curr) {
		pick_next(w);
		return;
	}
	curr = &w->curr->e;
	model_update(w);
	verdict = eevdf_preempts(&w->q, curr, &m->e);
	assert_int_equal(verdict, model_eligible(w, m) && model_beats(w, m, w->curr));
	pick = eevdf_pick(&w->q, curr);
	assert_true(verdict || pick != &m->e);
	if (verdict)
		resched(w);
}

static void op_remove(struct world *w, struct mirror *m)
{
	eevdf_take(&w->q, &m->e);
	leave(w, m);
}

static void op_set(struct world *w, struct mirror *m)
{
	uint32_t weight = random_weight(w);
	uint64_t slice_ns = random_slice_ns(w);
	enum where where = m->where;
	i128 lag = where == OFF ? m->lag : eevdf_lag(&w->q, &m->e);
	bool alone = where != OFF && w->q.W == m->e.weight;

	if (where == DELAYED) {
		eevdf_leave_delayed(&w->q, &m->e);
		model_leave(w, m);
		m->lag = MIN(m->lag, (i128)0);
		where = OFF;
		lag = m->lag;
	}
	if (where != OFF)
		model_leave(w, m);
	if (one_in(w, 2))
		weight = (uint32_t)m->weight;
	else if (one_in(w, 2))
		slice_ns = (uint64_t)m->slice;
	model_set(m, weight, slice_ns);
	if (weight == m->e.weight)
		eevdf_set_slice(&w->q, &m->e, slice_ns);
	else if (slice_ns == m->e.slice_ns)
		eevdf_set_weight(&w->q, &m->e, weight);
	else
		eevdf_set(&w->q, &m->e, weight, slice_ns);
	if (where == OFF) {
		assert_true(m->e.lag == lag);
		return;
	}
	model_join(w, m, EEVDF_PLACE_MOVE);
	m->where = where;
	if (!alone && lag <= EEVDF_LAG_MAX && lag >= -EEVDF_LAG_MAX) {
		lag -= eevdf_lag(&w->q, &m->e);
		assert_true(lag >= -2 && lag <= 2);
	}
}

static void op_steal(struct world *w)
{
	struct eevdf_entity *e = eevdf_steal_candidate(&w->q);

	assert_true(!e == !w->q.root);
	if (!e)
		return;
	for (uint32_t i = 0; i < w->n; i++) {
		struct mirror *m = &w->m[i];

		assert_true(m->where != QUEUED ||
			    m->deadline <= container_of(e, struct mirror, e)->deadline);
	}
	op_remove(w, container_of(e, struct mirror, e));
}

static void random_op(struct world *w, uint64_t wake_percent)
{
	struct mirror *m = &w->m[random_below(w, w->n)];
	uint64_t kind = random_below(w, 100);

	if ((m->where == OFF || m->where == DELAYED) &&
	    (!w->curr || random_below(w, 100) < wake_percent))
		op_wake(w, m);
	else if (!w->curr)
		return;
	else if (kind < 25)
		op_expire(w);
	else if (kind < 50)
		op_run(w);
	else if (kind < 75)
		op_yield(w);
	else if (kind < 82)
		op_block(w);
	else if (kind < 90)
		op_set(w, m);
	else if (kind < 92)
		op_steal(w);
	else if (m->where == QUEUED && kind < 95)
		op_remove(w, m);
}

static void random_round(uint32_t n, uint64_t seed, bool equal, uint64_t ops, uint64_t tree_every)
{
	struct world w;
	uint64_t wake_percent = 60;

	world_init(&w, n, seed, equal);
	for (uint64_t i = 0; i < ops; i++) {
		if (i % 4096 == 0)
			wake_percent = one_in(&w, 3) ? 5 : 70;
		random_op(&w, wake_percent);
		release(&w);
		check_sums(&w);
		check_pick(&w);
		if (i % tree_every == 0)
			check_world(&w);
	}
	check_world(&w);
	free(w.m);
}

/* When those that have paid are looked at makes no difference to anybody. */
static void late_release_is_exact(void **state)
{
	struct world w[2];

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		world_init(&w[k], 5, 77, false);
		for (unsigned i = 0; i < 5; i++)
			join(&w[k], &w[k].m[i], EEVDF_PLACE_WAKE);
		for (unsigned i = 0; i < 3; i++) {
			pick_next(&w[k]);
			charge(&w[k], 900000 + i * 100000);
			if (model_eligible(&w[k], w[k].curr))
				charge(&w[k], 100000000);
			eevdf_delay(&w[k].q, &w[k].curr->e);
			w[k].curr->where = DELAYED;
		}
		pick_next(&w[k]);
		for (unsigned i = 0; i < 1000; i++) {
			charge(&w[k], 1000000);
			if (!k)
				release(&w[k]);
		}
		release(&w[k]);
		check_sums(&w[k]);
	}
	assert_int_equal(w[0].q.W, w[1].q.W);
	assert_true(w[0].q.V - w[1].q.V + 2 <= 4);
	free(w[0].m);
	free(w[1].m);
}

/* curr that runs for eevdf_parity_ns() owes then, and not a unit of virtual time earlier. */
static void parity_is_where_it_owes(void **state)
{
	struct world w;

	(void)state;
	for (uint64_t seed = 1; seed < 2000; seed++) {
		uint64_t ns, unit_ns;

		world_init(&w, 4, seed, false);
		for (unsigned i = 0; i < 4; i++)
			join(&w, &w.m[i], EEVDF_PLACE_WAKE);
		pick_next(&w);
		charge(&w, random_below(&w, 1000));
		if (!model_eligible(&w, w.curr))
			goto next;
		ns = eevdf_parity_ns(&w.q, &w.curr->e);
		unit_ns = (w.curr->e.weight / 1024 + 2) * w.q.W / (w.q.W - w.curr->e.weight) + 3;
		if (ns > unit_ns) {
			charge(&w, ns - unit_ns);
			assert_true(eevdf_eligible(&w.q, &w.curr->e));
			ns = unit_ns;
		}
		charge(&w, ns);
		assert_false(eevdf_eligible(&w.q, &w.curr->e));
next:
		free(w.m);
	}
}

static void random_small(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 4, 8 };

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			random_round(sizes[i], seed, seed == 4, 200000 * ops_factor, 1);
	}
}

static void random_medium(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 14; seed++)
		random_round(64, seed, seed == 14, 100000 * ops_factor, 4);
}

static void random_large(void **state)
{
	(void)state;
	random_round(1500, 21, false, 12000 * ops_factor, 16);
	random_round(1500, 22, true, 12000 * ops_factor, 16);
}

/* ---- the structure alone: every pattern of ends and middles, checked at each step ---- */

static void tree_storm(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 300, 31, true);
	for (uint64_t i = 0; i < 20000 * ops_factor; i++) {
		struct mirror *m = &w.m[random_below(&w, w.n)];
		bool shrink = (i / 1000) % 2;

		if (m->where == OFF && (!shrink || one_in(&w, 8))) {
			m->lag = (int64_t)random_below(&w, 1u << 31) - (1 << 30);
			m->e.lag = (int64_t)m->lag;
			join(&w, m, (enum eevdf_place)random_below(&w, 3));
		} else if (m->where == QUEUED && (shrink || one_in(&w, 8))) {
			struct eevdf_entity *e = one_in(&w, 3) ? w.q.left :
						 one_in(&w, 3) ? w.q.right :
								 &m->e;

			op_remove(&w, container_of(e, struct mirror, e));
		}
		check_tree(&w);
	}
	check_world(&w);
	free(w.m);
}

static void hundred_thousand(void **state)
{
	struct world w;
	uint32_t n = 100000;

	(void)state;
	world_init(&w, n, 41, false);
	for (uint32_t i = 0; i < n; i++) {
		struct mirror *m = &w.m[i];

		m->lag = (int64_t)random_below(&w, 1u << 31) - (1 << 30);
		m->e.lag = (int64_t)m->lag;
		eevdf_join(&w.q, &m->e, EEVDF_PLACE_WAKE);
		eevdf_put(&w.q, &m->e);
	}
	eevdf_check(&w.q, NULL);
	pick_next(&w);
	for (uint32_t i = 0; i < 200000; i++) {
		eevdf_charge(&w.q, &w.curr->e, random_below(&w, 1000000));
		if (one_in(&w, 2))
			eevdf_yield(&w.q, &w.curr->e);
		else if (eevdf_expired(&w.curr->e))
			eevdf_renew(&w.curr->e);
		set_curr(&w, eevdf_rotate(&w.q, &w.curr->e));
		assert_true(eevdf_eligible(&w.q, &w.curr->e));
	}
	eevdf_check(&w.q, &w.curr->e);
	assert_true(height(w.q.root) <= 2 * log2_floor(n + 1));
	eevdf_put(&w.q, &w.curr->e);
	for (uint32_t left = n; left > 0; left--) {
		struct eevdf_entity *e = one_in(&w, 2) ? eevdf_pick(&w.q, NULL) :
							 eevdf_steal_candidate(&w.q);

		eevdf_take(&w.q, e);
		eevdf_leave(&w.q, e);
		if (left % 20000 == 0)
			eevdf_check(&w.q, NULL);
	}
	assert_true(w.q.nr == 0 && w.q.W == 0 && w.q.S == 0 && !w.q.root && !w.q.left);
	free(w.m);
}

/* ---- properties ---- */

/*
 * Theorem 1 of the paper: with requests that end on time, -r < lag < max(r, q), where q is the
 * longest time nobody can be preempted, here the longest slice. A request ends up to 1 ns late.
 */
static void check_lag_bound(struct world *w, int64_t longest)
{
	for (uint32_t i = 0; i < w->n; i++) {
		struct mirror *m = &w->m[i];
		int64_t lag = eevdf_lag(&w->q, &m->e), slack = 2048;

		assert_true(lag > -(int64_t)m->slice * 1024 - slack);
		assert_true(lag < longest * 1024 + slack);
	}
}

static void lag_bound_round(uint32_t n, uint64_t seed, bool equal)
{
	struct world w;
	int64_t longest = 0;

	world_init(&w, n, seed, equal);
	for (uint32_t i = 0; i < n; i++) {
		longest = MAX(longest, (int64_t)w.m[i].slice);
		join(&w, &w.m[i], EEVDF_PLACE_WAKE);
	}
	pick_next(&w);
	for (uint32_t i = 0; i < 20000 / n * ops_factor + 2 * n; i++) {
		op_expire(&w);
		check_lag_bound(&w, longest);
	}
	check_world(&w);
	free(w.m);
}

static void lag_stays_within_a_slice(void **state)
{
	(void)state;
	for (uint64_t seed = 51; seed < 61; seed++) {
		for (uint32_t n = 2; n <= 128; n *= 2)
			lag_bound_round(n, seed, seed == 51);
	}
}

/* Service follows weight: two hogs, one step of nice apart, over 100 s. */
static void service_follows_weight(void **state)
{
	struct world w;
	uint64_t ran_ns[2] = { 0, 0 }, expected;

	(void)state;
	world_init(&w, 2, 61, true);
	for (uint32_t i = 0; i < 2; i++) {
		mirror_init(&w.m[i], i ? 820 : 1024, 3000000);
		join(&w, &w.m[i], EEVDF_PLACE_NEW);
	}
	pick_next(&w);
	while (ran_ns[0] + ran_ns[1] < 100000000000) {
		uint64_t left = eevdf_slice_left_ns(&w.curr->e);

		ran_ns[w.curr - w.m] += left;
		op_expire(&w);
	}
	expected = (ran_ns[0] + ran_ns[1]) / 1844 * 1024;
	assert_true(ran_ns[0] < expected + 3000000 && ran_ns[0] > expected - 3000000);
	free(w.m);
}

/* Charging in pieces and charging at once is the same, to the last bit. */
static void nothing_is_lost_to_rounding(void **state)
{
	struct eevdf_queue q[2];
	struct eevdf_entity e[2];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		eevdf_init(&q[i]);
		eevdf_entity_init(&e[i], EEVDF_WEIGHT_MAX, 3000000);
		eevdf_join(&q[i], &e[i], EEVDF_PLACE_NEW);
	}
	for (uint32_t i = 0; i < 1000000; i++)
		eevdf_charge(&q[0], &e[0], 1);
	eevdf_charge(&q[1], &e[1], 1000000);
	assert_int_equal(e[0].v, e[1].v);
	assert_int_equal(e[0].rem, e[1].rem);
	assert_int_equal(e[0].v, 1000000ull * 1024 / EEVDF_WEIGHT_MAX);
	assert_int_equal(q[0].V, e[0].v);
}

/* A heavy thread that sleeps and wakes all the time neither gains nor loses. */
static void sleeping_does_not_pay(void **state)
{
	struct world w;
	int64_t before, after;
	const uint32_t cycles = 100000;

	(void)state;
	world_init(&w, 5, 71, false);
	for (uint32_t i = 0; i < 5; i++) {
		mirror_init(&w.m[i], eevdf_nice_weight[i * 9], 3000000);
		join(&w, &w.m[i], EEVDF_PLACE_WAKE);
	}
	pick_next(&w);
	for (uint32_t i = 0; i < 7; i++)
		op_expire(&w);
	eevdf_put(&w.q, &w.curr->e);
	for (uint32_t k = 0; k < 5; k++) {
		struct eevdf_entity *e = &w.m[k].e;

		before = eevdf_lag(&w.q, e);
		for (uint32_t i = 0; i < cycles; i++) {
			eevdf_take(&w.q, e);
			eevdf_leave(&w.q, e);
			eevdf_join(&w.q, e, EEVDF_PLACE_WAKE);
			eevdf_put(&w.q, e);
		}
		after = eevdf_lag(&w.q, e);
		assert_true(llabs(after - before) <= 2 * cycles);
		eevdf_check(&w.q, NULL);
	}
	free(w.m);
}

/* Lag goes along to another queue with other weights; the rest of the request does too. */
static void lag_migrates(void **state)
{
	struct world a, b;
	struct mirror *m;
	i128 lag, rest;

	(void)state;
	world_init(&a, 8, 81, false);
	world_init(&b, 8, 82, false);
	for (uint32_t i = 0; i < 8; i++) {
		join(&a, &a.m[i], EEVDF_PLACE_WAKE);
		join(&b, &b.m[i], EEVDF_PLACE_WAKE);
	}
	pick_next(&a);
	for (uint32_t i = 0; i < 100; i++) {
		op_run(&a);
		m = container_of(eevdf_steal_candidate(&a.q), struct mirror, e);
		lag = eevdf_lag(&a.q, &m->e);
		rest = m->e.deadline - m->e.v;
		eevdf_take(&a.q, &m->e);
		eevdf_leave(&a.q, &m->e);
		eevdf_join(&b.q, &m->e, EEVDF_PLACE_MOVE);
		if (lag < EEVDF_LAG_MAX && lag > -EEVDF_LAG_MAX) {
			lag -= eevdf_lag(&b.q, &m->e);
			assert_true(lag >= -2 && lag <= 2);
		}
		assert_true(m->e.deadline - m->e.v == (uint64_t)rest);
		eevdf_leave(&b.q, &m->e);
		eevdf_join(&a.q, &m->e, EEVDF_PLACE_MOVE);
		eevdf_put(&a.q, &m->e);
		eevdf_check(&a.q, &a.curr->e);
		/* The way there and back may cost a step of rounding: the model follows. */
		m->x = (a.V + (int64_t)(m->e.v - (uint64_t)a.V)) * m->weight + m->e.rem;
		m->deadline = v_of(m) + (int64_t)(m->e.deadline - m->e.v);
		check_world(&a);
	}
	free(a.m);
	free(b.m);
}

static void saved_lag_is_clamped(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 2, 91, true);
	join(&w, &w.m[0], EEVDF_PLACE_WAKE);
	join(&w, &w.m[1], EEVDF_PLACE_WAKE);
	pick_next(&w);
	eevdf_charge(&w.q, &w.curr->e, UINT64_MAX);
	assert_int_equal((w.q.V - w.m[0].e.v + w.q.V - w.m[1].e.v) * 1024 + w.q.S, 0);
	eevdf_take(&w.q, w.q.left);
	eevdf_leave(&w.q, &w.m[0].e);
	eevdf_leave(&w.q, &w.m[1].e);
	assert_true(llabs(w.m[0].e.lag) == EEVDF_LAG_MAX);
	assert_int_equal(w.q.nr, 0);
	free(w.m);
}

/* The worst inflation: a heavy thread with all the lag there is joins a light one, many times. */
static void worst_inflation(void **state)
{
	struct world w;

	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		world_init(&w, 2, 101, true);
		mirror_init(&w.m[0], EEVDF_WEIGHT_MIN, EEVDF_SLICE_MAX_NS);
		mirror_init(&w.m[1], EEVDF_WEIGHT_MAX, EEVDF_SLICE_MAX_NS);
		join(&w, &w.m[0], EEVDF_PLACE_WAKE);
		for (uint32_t i = 0; i < 1000; i++) {
			w.m[1].lag = w.m[1].e.lag = sign * EEVDF_LAG_MAX;
			join(&w, &w.m[1], EEVDF_PLACE_WAKE);
			check_world(&w);
			op_remove(&w, &w.m[1]);
			check_world(&w);
		}
		free(w.m);
	}
}

static void deadlines_by_kind_of_join(void **state)
{
	struct eevdf_queue q;
	struct eevdf_entity e;

	(void)state;
	eevdf_init(&q);
	eevdf_entity_init(&e, 1024, 3000000);
	eevdf_join(&q, &e, EEVDF_PLACE_NEW);
	assert_int_equal(eevdf_slice_left_ns(&e), 1500000);
	eevdf_charge(&q, &e, 400000);
	eevdf_leave(&q, &e);
	eevdf_join(&q, &e, EEVDF_PLACE_MOVE);
	assert_int_equal(eevdf_slice_left_ns(&e), 1100000);
	eevdf_set_weight(&q, &e, 2048);
	assert_int_equal(eevdf_slice_left_ns(&e), 1100000);
	eevdf_set_slice(&q, &e, 1000000);
	assert_int_equal(eevdf_slice_left_ns(&e), 1000000);
	eevdf_leave(&q, &e);
	eevdf_join(&q, &e, EEVDF_PLACE_WAKE);
	assert_int_equal(eevdf_slice_left_ns(&e), 1000000);
}

/* Equal threads that yield, or use up their slices, take turns: one slice each. */
static void turns_round(uint32_t n, uint64_t run_ns)
{
	struct world w;
	uint32_t *turns = calloc(n, sizeof(*turns));
	struct mirror *last = NULL;

	assert_non_null(turns);
	world_init(&w, n, n, true);
	for (uint32_t i = 0; i < n; i++)
		join(&w, &w.m[i], EEVDF_PLACE_WAKE);
	pick_next(&w);
	for (uint32_t i = 0; i < 10 * n; i++) {
		assert_true(n == 1 || w.curr != last);
		last = w.curr;
		turns[w.curr - w.m]++;
		eevdf_charge(&w.q, &w.curr->e, run_ns);
		eevdf_yield(&w.q, &w.curr->e);
		set_curr(&w, eevdf_rotate(&w.q, &w.curr->e));
	}
	for (uint32_t i = 0; i < n; i++)
		assert_true(run_ns == 500 || turns[i] == 10);
	free(turns);
	free(w.m);
}

static void equals_take_turns(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 33; n++) {
		turns_round(n, 0);
		turns_round(n, 500);
		turns_round(n, 3000000);
	}
}

static void misuse_is_caught(void **state)
{
	struct eevdf_queue q;
	struct eevdf_entity e;

	(void)state;
	eevdf_init(&q);
	expect_assert_failure(eevdf_entity_init(&e, 2, 3000000));
	expect_assert_failure(eevdf_entity_init(&e, EEVDF_WEIGHT_MAX + 1, 3000000));
	expect_assert_failure(eevdf_entity_init(&e, 1024, EEVDF_SLICE_MIN_NS - 1));
	expect_assert_failure(eevdf_entity_init(&e, 1024, EEVDF_SLICE_MAX_NS + 1));
	eevdf_entity_init(&e, 1024, 3000000);
	eevdf_join(&q, &e, EEVDF_PLACE_NEW);
	expect_assert_failure(eevdf_join(&q, &e, EEVDF_PLACE_NEW));
	eevdf_leave(&q, &e);
	expect_assert_failure(eevdf_leave(&q, &e));
	eevdf_check(&q, NULL);
	q.W++;
	expect_assert_failure(eevdf_check(&q, NULL));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_by_kind_of_join),
		cmocka_unit_test(misuse_is_caught),
		cmocka_unit_test(nothing_is_lost_to_rounding),
		cmocka_unit_test(equals_take_turns),
		cmocka_unit_test(service_follows_weight),
		cmocka_unit_test(lag_stays_within_a_slice),
		cmocka_unit_test(sleeping_does_not_pay),
		cmocka_unit_test(lag_migrates),
		cmocka_unit_test(saved_lag_is_clamped),
		cmocka_unit_test(worst_inflation),
		cmocka_unit_test(tree_storm),
		cmocka_unit_test(late_release_is_exact),
		cmocka_unit_test(parity_is_where_it_owes),
		cmocka_unit_test(random_small),
		cmocka_unit_test(random_medium),
		cmocka_unit_test(random_large),
		cmocka_unit_test(hundred_thousand),
	};

	if (argc > 1)
		ops_factor = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
