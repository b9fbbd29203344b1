/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups on several CPUs: what a thief is given, and fairness between CPUs (see rebalance.c, whose
 * rule it is).
 *
 * A member competes, on whichever CPU it is, with its part of its group's weight: weight * weight of
 * the group / load of the group on all CPUs, and so on up to the top. A group's entity on a CPU
 * weighs as much as its members there together, so CPUs, threads and members of all groups are
 * compared as if all threads were at the top with these weights, and the rule without groups holds.
 * What differs: such a weight is seldom whole, so it has SHARE_SHIFT bits more, and it changes with
 * every member that comes or goes anywhere; then what a thread is ahead stays as CPU time.
 *
 * A thread that has a CPU to itself and falls behind all the same weighs more than a CPU: it can
 * have no more, and nobody joins it. The general position is that of those who share a CPU and could
 * go to the other one: who is ahead or behind for want of a choice does not drag it along.
 *
 * Caller holds the rq locks of the CPUs it names.
 */
#include "core/topology.h"
#include "sched/balance.h"
#include "sched/group.h"

#define SHARE_SHIFT 10
/* In struct standing, whose base is in the same units without groups: its weight is one of these. */
#define SHARE_MARK (1u << 31)
/* A thread alone that is behind by more weighs more than its CPU; turns make less of a difference. */
#define SATED_NS (AHEAD_MAX_NS / 2)

#define GENERAL_NS (AHEAD_MAX_NS / 4) /* no thread moves the general position by more */

static int64_t general; /* [a] position of the threads that were looked at last */

/* ---- walking over the threads of a CPU ------------------------------------------------------- */

/* What waits in one queue and, below, in the groups that wait there; then the next queue. */
struct walk {
	struct eevdf_entity *next;
	struct group_cpu *at, *root; /* where that is; where the walk through this queue began */
	struct group_cpu *beside;    /* whose queue is next: groups that the running one is in */
	unsigned left;
};

/* Those at the top, then those beside the running one; latest deadlines first, STEAL_SCAN of all. */
static struct walk walk_begin(const struct runqueue *rq)
{
	return (struct walk){
		.next = rq->fair.right,
		.beside = rq->fair_curr ? group_on(rq, rq->fair_curr) : NULL,
		.left = STEAL_SCAN,
	};
}

/* Onwards where a queue has come to its end; false: that was the last one. */
static bool walk_up(struct walk *w)
{
	if (w->at != w->root) {
		w->next = fair_prev(&w->at->entity);
		w->at = w->at->parent;
	} else if (w->beside) {
		w->at = w->root = w->beside;
		w->next = w->beside->queue.right;
		w->beside = w->beside->parent;
	} else {
		return false;
	}
	return true;
}

static struct thread *walk_next(struct walk *w)
{
	while (w->left) {
		struct eevdf_entity *e = w->next;

		if (!e) {
			if (!walk_up(w))
				return NULL;
			continue;
		}
		w->left--;
		if (!e->group) {
			w->next = fair_prev(e);
			return container_of(e, struct thread, sched.fair);
		}
		w->at = group_cpu_of(e);
		w->next = w->at->queue.right;
	}
	return NULL;
}

/* ---- who goes where nobody runs -------------------------------------------------------------- */

/* @t may run on @cpu, and no group of it has used up its budget there. */
static bool may_run(const struct thread *t, unsigned cpu)
{
	const struct thread_group *g = t->sched.group;

	while (g && !atomic_load_relaxed(&g->on[cpu].throttled))
		g = g->parent;
	return !g && cpumask_test(&t->affinity, cpu);
}

static bool may_run_on_one(const struct thread *t, const struct cpumask *cpus)
{
	cpumask_for_each(i, cpus)
		if (may_run(t, i))
			return true;
	return false;
}

struct thread *group_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct walk w = walk_begin(rq);
	struct thread *front = rq->fair_curr, *t;

	while ((t = walk_next(&w)))
		if (may_run_on_one(t, cpus))
			return t;
	return front && front != rq->curr && cpumask_intersects(&front->affinity, cpus) ? front :
											  NULL;
}

/* ---- fairness between CPUs ------------------------------------------------------------------- */

/* What @t weighs at the top, SHARE_SHIFT bits after the point; below 2^28. */
static uint32_t share(const struct thread *t)
{
	uint64_t w = (uint64_t)t->sched.fair.weight << SHARE_SHIFT;

	for (const struct thread_group *g = t->sched.group; g; g = g->parent) {
		uint64_t load = MAX(atomic_load_relaxed(&g->load), w >> SHARE_SHIFT);

		w = w * group_full_weight(g) / MAX(load, 1ull);
	}
	return (uint32_t)MAX(w, 1ull);
}

/* CPU time, below 2^32 ns, as what the position of a thread or CPU of that weight moves by it. */
static int64_t virtual(int64_t ns, uint64_t weight)
{
	return ns * (1024 << SHARE_SHIFT) / (int64_t)weight;
}

static int64_t served(uint64_t ns, uint32_t weight)
{
	return (int64_t)((ns / weight << (10 + SHARE_SHIFT)) +
			 (ns % weight << (10 + SHARE_SHIFT)) / weight);
}

static int64_t within(int64_t a, int64_t limit)
{
	a = MIN(a, limit);
	return MAX(a, -limit);
}

/* How far @t, charged, of weight @w, is ahead of the general position @ref: as CPU time. */
static int64_t ahead_ns(struct thread *t, uint32_t w, int64_t ref)
{
	struct standing *s = &t->sched.standing;
	uint64_t ns = t->sched.runtime_ns;
	int64_t x = 0;

	if (s->weight & SHARE_MARK) {
		uint32_t before = s->weight & ~SHARE_MARK;
		int64_t a = served(ns, before) + s->base - ref;

		x = within(a, virtual(AHEAD_MAX_NS, before)) * before / (1024 << SHARE_SHIFT);
	}
	s->base = ref + virtual(x, w) - served(ns, w);
	s->weight = w | SHARE_MARK;
	return x;
}

/* What a look at the fair threads of a CPU finds. */
struct look {
	int64_t sum_ns;  /* how far they are ahead, together */
	uint64_t weight; /* theirs */
	int64_t sharing_ns;
	uint64_t sharing; /* the same of those that make the general position */
	uint64_t speed;   /* capacity of the CPU */
	bool sated;       /* a thread is alone there and has all that it can have */
};

static void look_at(struct look *l, struct thread *t, int64_t ref, bool alone, struct cpu *other)
{
	uint32_t w = share(t);
	int64_t x = ahead_ns(t, w, ref);

	l->sum_ns += x;
	l->weight += w;
	if (alone && x < -(int64_t)SATED_NS)
		l->sated = true;
	if (alone || !may_run(t, other->index))
		return;
	l->sharing_ns += within(x, GENERAL_NS);
	l->sharing += w;
}

static struct look look_around(struct runqueue *rq, int64_t ref, struct cpu *other)
{
	struct look l = { .speed = cpu_capacity(cpu_of_rq(rq)->index) };
	struct walk w = walk_begin(rq);
	struct thread *t = rq->fair_curr;

	if (rq_has_fair_running(rq)) {
		sched_charge_curr(rq);
		/* alone it has not seen what came and went elsewhere */
		group_share_changed(rq, group_on(rq, t));
	}
	if (t)
		look_at(&l, t, ref, t == rq->curr && !rq->nr_ready, other);
	while ((t = walk_next(&w)))
		look_at(&l, t, ref, false, other);
	return l;
}

/* See rebalance.c. */
static int64_t drift(const struct look *l, int64_t more_ns, int64_t more_weight)
{
	int64_t weight = (int64_t)l->weight + more_weight;

	if (weight <= 0)
		return 0;
	return virtual(l->sum_ns + more_ns, (uint64_t)weight) * (int64_t)l->speed /
	       (int64_t)TOPOLOGY_CAPACITY_MAX;
}

/* The load of @cpu, as if it were a fastest one, when it has @more. */
static uint64_t load_of(const struct cpu *cpu, const struct look *l, uint64_t more)
{
	return ((cpu->rq.fair.W << SHARE_SHIFT) + more) * TOPOLOGY_CAPACITY_MAX / l->speed;
}

/* What it is worth that @t, @x ahead and of weight @w, goes from @from to @to. */
static int64_t worth(struct cpu *from, const struct look *here, struct cpu *to,
		     const struct look *there, int64_t x, uint32_t w, bool running)
{
	int64_t gain, bonus_ns = -(int64_t)TURN_NS;

	if (cpu_behind_real_time(from) || to->rq.curr == to->rq.idle)
		return INT64_MAX / 2;
	gain = drift(here, 0, 0) + drift(there, 0, 0) - drift(here, -x, -(int64_t)w) -
	       drift(there, x, w);
	if (load_of(to, there, w) < load_of(from, here, 0))
		bonus_ns = TURN_NS;
	else if (running)
		bonus_ns -= ACTIVE_NS;
	return gain + virtual(bonus_ns, w);
}

static void consider(struct move *best, struct cpu *from, const struct look *here, struct cpu *to,
		     const struct look *there, struct thread *t)
{
	uint32_t w = t->sched.standing.weight & ~SHARE_MARK;
	int64_t value;

	if (!may_run(t, to->index))
		return;
	value = worth(from, here, to, there, ahead_ns(t, w, atomic_load_relaxed(&general)), w,
		      t == from->rq.curr);
	if (value > best->worth)
		*best = (struct move){ t, value };
}

struct move group_best_move(struct cpu *from, struct cpu *to)
{
	int64_t ref = atomic_load_relaxed(&general);
	struct move best = { NULL, 0 };
	struct look here, there;
	struct walk w;
	struct thread *t = from->rq.fair_curr;

	if (!from->rq.nr_ready)
		return best;
	here = look_around(&from->rq, ref, to);
	there = look_around(&to->rq, ref, from);
	if (there.sated)
		return best;
	w = walk_begin(&from->rq);
	if (t)
		consider(&best, from, &here, to, &there, t);
	while ((t = walk_next(&w)))
		consider(&best, from, &here, to, &there, t);
	if (here.sharing + there.sharing)
		atomic_store_relaxed(&general, ref + virtual(here.sharing_ns + there.sharing_ns,
							     here.sharing + there.sharing));
	return best;
}
