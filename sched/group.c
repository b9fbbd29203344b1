/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups of fair threads (see group.h): the fair class over a tree of queues instead of one.
 *
 * A level is a queue and the member of it that a thread belongs to: the thread itself in the queue
 * of its group, its group's entity in the queue of the parent, and so on up to rq->fair. While a
 * thread of a group runs, its entity and those of its groups are in the sums and outside of the
 * trees; when it stops all go back, so rq->fair_curr never waits as a grouped thread. A group of
 * which nobody can run leaves its parent's queue, or is delayed there while it owes, as a thread
 * is.
 *
 * The functions of this file take the place of those in fair_class when the first group is created;
 * for a thread in no group they call the ones that were there, which take a group's entity for a
 * thread's and never look into it. The fast paths of sched.c leave every thread with SCHED_GROUPED
 * to the class table: members, and whoever runs while groups wait at the top.
 *
 * Quota: a pool in the group, filled each period by a timer that runs only while somebody asks for
 * it. A CPU takes a portion when it picks a member and gives back what is left when that stops, so
 * a portion is only where a member runs and uses it; one that is in use as a period ends counts in
 * the next one. What was used too much is owed by the pool. A group that is picked when the pool is
 * empty is throttled on that CPU: its entity leaves, its threads wait inside and are not counted as
 * ready, until the next period or until somebody gives back a portion. "throttled" is set under
 * both locks, the rq's and the group's, so whoever fills the pool, under the group's, sees every
 * CPU that found it empty before.
 *
 * All is called with rq->lock held unless it says otherwise.
 */
#include "sched/group.h"
#include "core/irq.h"
#include "core/mem/page.h"
#include "sched/balance.h"
#include "sched/sched.h"
#include "sched/util.h"

/* The class as it is without groups. */
static struct sched_class flat;

static struct {
	struct spinlock lock;
	bool active; /* fair_class has our functions */
} groups = { .lock = SPINLOCK_INIT(LOCK_GROUP) };

struct list_head group_list = { &group_list, &group_list };

/* ---- small steps ----------------------------------------------------------------------------- */

static struct thread *thread_of(struct eevdf_entity *e)
{
	return container_of(e, struct thread, sched.fair);
}

/* Competes in its parent's queue: runs, or waits in the tree. */
static bool is_active(const struct group_cpu *gc)
{
	return gc->entity.joined && !gc->entity.delayed;
}

/* Of a group's entity: nothing on hardware. */
static inline void tell(enum sched_event what, struct runqueue *rq, struct group_cpu *gc)
{
	arch_sched_event(what, cpu_of_rq(rq), NULL, NULL, (uintptr_t)gc);
}

/* @n threads more wait in @gc; NULL: at the top. */
static void count_waiting(struct runqueue *rq, struct group_cpu *gc, uint32_t n)
{
	for (; gc; gc = gc->parent) {
		gc->nr_waiting += n;
		if (gc->throttled)
			return;
	}
	rq->nr_ready += n;
}

/* A group has come into the queue of @parent: of interest at the top. */
static void count_group(struct runqueue *rq, const struct group_cpu *parent)
{
	if (parent)
		return;
	rq->nr_groups++;
	if (rq_has_fair_running(rq))
		fair_mark(rq->fair_curr);
}

static void uncount_group(struct runqueue *rq, const struct group_cpu *parent)
{
	rq->nr_groups -= !parent;
}

/* The entity of @gc is delayed from now on, or not any more: @weight is its own, or less than 0. */
static void count_owing(struct group_cpu *gc, uint32_t weight)
{
	if (gc->parent)
		gc->parent->owing += weight;
}

/* As many delayed members leave at one decision at most. */
#define RELEASE_MAX 8

static bool release_one(struct runqueue *rq, struct eevdf_queue *q)
{
	struct eevdf_entity *e = eevdf_release(q);

	if (e && e->group) {
		count_owing(group_cpu_of(e), -e->weight);
		tell(SCHED_EVENT_LEAVE, rq, group_cpu_of(e));
	} else if (e) {
		arch_sched_event(SCHED_EVENT_LEAVE, cpu_of_rq(rq), thread_of(e), NULL, 0);
	}
	return e != NULL;
}

static void release_paid(struct runqueue *rq, struct eevdf_queue *q)
{
	for (unsigned n = 0; n < RELEASE_MAX && release_one(rq, q); n++)
		;
}

/* ---- weight ---------------------------------------------------------------------------------- */

/* The group's load on all CPUs, after this CPU's part of it became @load. */
static uint64_t report_load(struct group_cpu *gc, uint64_t load)
{
	uint64_t more = load - gc->load;

	if (!more)
		return atomic_load_relaxed(&gc->group->load);
	gc->load = load;
	return atomic_fetch_add_relaxed(&gc->group->load, more) + more;
}

/*
 * The queue of @gc has changed: so has its part of the group's weight. Other CPUs take notice at
 * their next decision about the group. @moves: who left it goes to another CPU, so the group's load
 * on all CPUs will be what it was.
 */
static void update_share_for(struct runqueue *rq, struct group_cpu *gc, bool moves)
{
	uint64_t before = gc->load, load = gc->queue.nr ? gc->queue.W - gc->owing : 0, weight;
	uint64_t all = report_load(gc, load);

	if (moves && before > load)
		all += before - load;
	if (!load || gc->entity.delayed)
		return;
	weight = group_full_weight(gc->group);
	if (all > load)
		weight = weight * load / all;
	weight = MAX(weight, EEVDF_WEIGHT_MIN);
	if (weight == gc->entity.weight)
		return;
	eevdf_set(group_queue(rq, gc->parent), &gc->entity, (uint32_t)weight, gc->entity.slice_ns);
	if (gc->entity.joined)
		tell(SCHED_EVENT_WEIGHT, rq, gc);
}

static void update_share(struct runqueue *rq, struct group_cpu *gc)
{
	update_share_for(rq, gc, false);
}

/* V of all queues of @rq stands at now. */
void group_share_changed(struct runqueue *rq, struct group_cpu *gc)
{
	for (; gc; gc = gc->parent)
		update_share(rq, gc);
}

/* ---- quota ----------------------------------------------------------------------------------- */

/* [g] The first one who asks begins a period. */
static void begin_period(struct thread_group *g, uint64_t now_ns)
{
	g->pool_ns = (int64_t)g->quota_ns + MIN(g->pool_ns, 0);
	g->period_end_ns = now_ns + g->period_ns;
	g->ticking = true;
	timer_add(&g->timer, g->period_end_ns);
}

/* [g] What a CPU may take: the less there is, the less lies with one who may stop to want it. */
static int64_t portion_of(const struct thread_group *g)
{
	int64_t part_ns = g->pool_ns / (int64_t)cpu_count;

	if (g->pool_ns < (int64_t)GROUP_LEAST_NS)
		return 0;
	part_ns = MAX(part_ns, (int64_t)GROUP_LEAST_NS);
	return MIN(part_ns, (int64_t)GROUP_PORTION_NS);
}

/* Own CPU. @gc is to be picked. True: it may run. */
static bool take_portion(struct runqueue *rq, struct group_cpu *gc)
{
	struct thread_group *g = gc->group;

	if (likely(!atomic_load_relaxed(&g->quota_ns)))
		return true;
	spin_lock(&g->lock);
	if (g->quota_ns && !g->ticking)
		begin_period(g, rq->since_ns);
	gc->budget_ns = g->quota_ns ? portion_of(g) : 0;
	atomic_store_relaxed(&gc->throttled, g->quota_ns && !gc->budget_ns);
	gc->until_ns = gc->budget_ns ? rq->since_ns + (uint64_t)gc->budget_ns : 0;
	gc->quotas = g->quotas;
	g->pool_ns -= gc->budget_ns;
	g->used = true;
	g->starved |= gc->throttled;
	spin_unlock(&g->lock);
	return !gc->throttled;
}

/*
 * @gc, charged, does not run on, or not at all: what it has left is for others, who may have been
 * throttled meanwhile; what it used too much is owed by all.
 */
static void put_portion(struct runqueue *rq, struct group_cpu *gc)
{
	struct thread_group *g = gc->group;

	if (likely(!gc->until_ns && gc->budget_ns >= 0))
		return;
	spin_lock(&g->lock);
	if (gc->quotas == g->quotas || gc->budget_ns < 0)
		g->pool_ns += gc->budget_ns;
	gc->budget_ns = 0;
	gc->until_ns = 0;
	if (g->starved && !g->handing && portion_of(g)) {
		g->handing = true;
		timer_add(&g->hand, rq->since_ns);
	}
	spin_unlock(&g->lock);
}

/* ---- the monitor ----------------------------------------------------------------------------- */

static uint64_t *longest_of(struct runqueue *rq, struct group_cpu *gc)
{
	return gc ? &gc->longest_ns : &rq->fair_longest_ns;
}

/*
 * @e is about to join the queue of @gc; NULL: the top. So much may be owed to those in it: what it
 * owes is owed to them.
 */
static void note_longest(struct runqueue *rq, struct group_cpu *gc, const struct eevdf_entity *e)
{
	uint64_t *longest_ns = longest_of(rq, gc), ns;

	ns = MAX(e->slice_ns, (uint64_t)ABS(e->lag) / 1024);
	if (e->lag < 0)
		ns += FAIR_SLICE_NS;
	if (!group_queue(rq, gc)->W || ns > *longest_ns)
		*longest_ns = ns;
}

/*
 * As fair_check_lag(), at the level of the queue of @gc; NULL: the top. The member @e of it, charged,
 * is @t or a group that @t runs in; it ends a request or leaves, as in between lag only moves towards
 * these points. The bound is the same: to the queue, time in which it is not served does not exist.
 */
static void check_lag(struct runqueue *rq, struct group_cpu *gc, const struct eevdf_entity *e,
		      struct thread *t, bool leaves)
{
	struct eevdf_queue *q = group_queue(rq, gc);
	uint64_t *longest_ns = longest_of(rq, gc);
	int64_t lag_ns;

	if (!leaves && !eevdf_expired(e))
		return;
	if (eevdf_has_paid(q)) /* to be exact */
		release_paid(rq, q);
	*longest_ns = MAX(*longest_ns, e->slice_ns); /* it may be a new one */
	lag_ns = eevdf_lag_ns(q, e);
	if (t->sched.policy == SCHED_BATCH &&
	    lag_ns > 0) /* it does not interrupt, so it may wait */
		return;
	if (unlikely(lag_ns > (int64_t)(*longest_ns + LAG_SLACK_NS) ||
		     lag_ns < -(int64_t)(e->slice_ns + LAG_SLACK_NS)))
		fair_lag_is_broken(rq, t, lag_ns);
}

/* ---- groups in their parents' queues --------------------------------------------------------- */

/* The entity of @gc, charged and outside of the tree, has nobody to run. */
static void deactivate(struct runqueue *rq, struct group_cpu *gc)
{
	struct eevdf_queue *q = group_queue(rq, gc->parent);

	if (eevdf_eligible(q, &gc->entity)) {
		eevdf_leave(q, &gc->entity);
		tell(SCHED_EVENT_LEAVE, rq, gc);
	} else {
		eevdf_delay(q, &gc->entity);
		count_owing(gc, gc->entity.weight);
		tell(SCHED_EVENT_DELAY, rq, gc);
	}
	uncount_group(rq, gc->parent);
}

/* Somebody has left the queue of @gc while it waits: upwards, who has nobody to run leaves. */
static void members_left(struct runqueue *rq, struct group_cpu *gc, bool moves)
{
	for (; gc; gc = gc->parent) {
		if (!gc->queue.nr && is_active(gc)) {
			eevdf_take(group_queue(rq, gc->parent), &gc->entity);
			deactivate(rq, gc);
		}
		update_share_for(rq, gc, moves);
	}
}

/* The entity of @gc, which sleeps, competes again. */
static void activate(struct runqueue *rq, struct group_cpu *gc)
{
	struct eevdf_queue *q = group_queue(rq, gc->parent);
	struct eevdf_entity *e = &gc->entity;

	release_paid(rq, q);
	if (e->delayed) {
		eevdf_undelay(q, e);
		count_owing(gc, -e->weight);
		eevdf_request(e);
		tell(SCHED_EVENT_RESUME, rq, gc);
		update_share(rq, gc);
	} else {
		update_share(rq, gc);
		note_longest(rq, gc->parent, e);
		eevdf_join(q, e, EEVDF_PLACE_WAKE);
		tell(SCHED_EVENT_JOIN, rq, gc);
	}
	eevdf_put(q, e);
	count_group(rq, gc->parent);
}

/*
 * Somebody has come into the queue of @gc, or it may run again. Above a throttled group there may
 * still be nobody.
 */
static void members_came(struct runqueue *rq, struct group_cpu *gc)
{
	for (; gc; gc = gc->parent) {
		if (!gc->queue.nr || gc->throttled || is_active(gc))
			update_share(rq, gc);
		else
			activate(rq, gc);
	}
}

/* @gc, waiting, has no budget; nobody runs here just now. */
static void throttle(struct runqueue *rq, struct group_cpu *gc)
{
	struct eevdf_queue *q = group_queue(rq, gc->parent);

	eevdf_take(q, &gc->entity);
	eevdf_leave(q, &gc->entity);
	tell(SCHED_EVENT_LEAVE, rq, gc);
	uncount_group(rq, gc->parent);
	count_waiting(rq, gc->parent, -gc->nr_waiting);
	members_left(rq, gc->parent, false);
}

/* V stands at now. */
static void unthrottle(struct runqueue *rq, struct group_cpu *gc)
{
	atomic_store_relaxed(&gc->throttled, false);
	if (!gc->queue.nr)
		return;
	count_waiting(rq, gc->parent, gc->nr_waiting);
	members_came(rq, gc);
}

/* ---- the class ------------------------------------------------------------------------------- */

/* A thread in no group is not marked while it does not run. */
static void unmark(struct thread *t)
{
	if (t->sched.group)
		return;
	t->sched.unusual &= (uint8_t)~SCHED_GROUPED;
	t->sched.unusual |= SCHED_FLAT;
}

static void group_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	struct group_cpu *gc = group_on(rq, t);
	struct eevdf_entity *e = &t->sched.fair;

	if (!gc) {
		flat.enqueue(rq, t, place);
		return;
	}
	fair_settle(rq);
	util_sample(t, rq_has_fair_running(rq) ? rq->since_ns : time_now_ns());
	release_paid(rq, &gc->queue);
	if (e->delayed) {
		eevdf_undelay(&gc->queue, e);
		eevdf_request(e);
		arch_sched_event(SCHED_EVENT_RESUME, cpu_of_rq(rq), t, NULL, 0);
	} else {
		note_longest(rq, gc, e);
		eevdf_join(&gc->queue, e, place);
		arch_sched_event(SCHED_EVENT_JOIN, cpu_of_rq(rq), t, NULL, e->weight);
	}
	eevdf_put(&gc->queue, e);
	count_waiting(rq, gc, 1);
	members_came(rq, gc);
}

static void member_leave(struct runqueue *rq, struct group_cpu *gc, struct thread *t)
{
	eevdf_leave(&gc->queue, &t->sched.fair);
	arch_sched_event(SCHED_EVENT_LEAVE, cpu_of_rq(rq), t, NULL, 0);
}

static void group_dequeue(struct runqueue *rq, struct thread *t)
{
	struct group_cpu *gc = group_on(rq, t);

	if (!gc) {
		flat.dequeue(rq, t);
		unmark(t);
		return;
	}
	fair_settle(rq);
	release_paid(rq, &gc->queue);
	eevdf_take(&gc->queue, &t->sched.fair);
	member_leave(rq, gc, t);
	count_waiting(rq, gc, -1u);
	members_left(rq, gc, true);
}

static void group_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	struct group_cpu *gc = group_on(rq, t);
	struct eevdf_entity *e = &t->sched.fair;

	for (; gc; gc = gc->parent) {
		eevdf_charge(&gc->queue, e, delta_ns);
		if (atomic_load_relaxed(&gc->group->quota_ns))
			gc->budget_ns -= (int64_t)delta_ns;
		e = &gc->entity;
	}
	eevdf_charge(&rq->fair, e, delta_ns);
}

/* @t, charged, does not run on: it leaves @gc, or is delayed there. */
static void stop_blocked(struct runqueue *rq, struct group_cpu *gc, struct thread *t)
{
	struct eevdf_entity *e = &t->sched.fair;

	release_paid(rq, &gc->queue);
	util_sample(t, rq->since_ns);
	if (t->sched.state == THREAD_BLOCKED && !eevdf_eligible(&gc->queue, e)) {
		eevdf_delay(&gc->queue, e);
		arch_sched_event(SCHED_EVENT_DELAY, cpu_of_rq(rq), t, NULL, 0);
	} else {
		member_leave(rq, gc, t);
	}
}

/*
 * The member @e of @q goes back into the tree. A thread yields at its lowest level where there is
 * somebody to yield to. True: it still has to.
 */
static bool stop_runnable(struct eevdf_queue *q, struct eevdf_entity *e, bool yields)
{
	bool here = yields && q->nr > 1;

	if (here)
		eevdf_yield(q, e);
	else if (eevdf_expired(e))
		eevdf_renew(e);
	eevdf_put(q, e);
	return yields && !here;
}

static void group_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct group_cpu *gc = group_on(rq, t);
	bool yields = why == STOP_YIELDED, moves;

	if (!gc) {
		flat.stop(rq, t, why);
		unmark(t);
		return;
	}
	rq->fair_curr = NULL;
	check_lag(rq, gc, &t->sched.fair, t, why == STOP_BLOCKED);
	if (why == STOP_BLOCKED) {
		stop_blocked(rq, gc, t);
	} else {
		yields = stop_runnable(&gc->queue, &t->sched.fair, yields);
		count_waiting(rq, gc, 1);
	}
	moves = why == STOP_BLOCKED && t->sched.state == THREAD_RUNNABLE;
	for (; gc; gc = gc->parent) {
		gc->curr = NULL;
		put_portion(rq, gc);
		check_lag(rq, gc->parent, &gc->entity, t, !gc->queue.nr);
		update_share_for(rq, gc, moves);
		if (gc->queue.nr)
			yields = stop_runnable(group_queue(rq, gc->parent), &gc->entity, yields);
		else
			deactivate(rq, gc);
	}
}

/* The best member of @gc, which has one that can run. */
static struct eevdf_entity *pick_member(struct runqueue *rq, struct group_cpu *gc)
{
	struct eevdf_entity *e;

	release_paid(rq, &gc->queue);
	e = eevdf_first(&gc->queue);
	while (unlikely(!e)) { /* more than RELEASE_MAX delayed ones have paid */
		ASSERT(release_one(rq, &gc->queue));
		e = eevdf_first(&gc->queue);
	}
	return e;
}

/* Of @gc and those above, who do not run now. */
static void put_portions(struct runqueue *rq, struct group_cpu *gc)
{
	for (; gc; gc = gc->parent)
		put_portion(rq, gc);
}

/* Each round ends, or throttles one group, which can be picked again in the next period only. */
static struct thread *group_pick(struct runqueue *rq)
{
	struct thread *t = flat.pick(rq);
	struct eevdf_entity *e = t ? &t->sched.fair : NULL;

	while (e && e->group) {
		struct group_cpu *gc = group_cpu_of(e);

		if (take_portion(rq, gc)) {
			e = pick_member(rq, gc);
		} else {
			put_portions(rq, gc->parent);
			throttle(rq, gc);
			t = flat.pick(rq);
			e = t ? &t->sched.fair : NULL;
		}
	}
	return e ? thread_of(e) : NULL;
}

static void group_start(struct runqueue *rq, struct thread *t)
{
	struct group_cpu *leaf = group_on(rq, t), *gc;
	struct eevdf_entity *e = &t->sched.fair;

	if (!leaf) {
		flat.start(rq, t);
		if (rq->nr_groups)
			fair_mark(t);
		return;
	}
	/* Throttled: @t runs already and becomes a member. Its CPU looks again at once. */
	for (gc = leaf; gc; gc = gc->parent)
		if (unlikely(gc->throttled))
			unthrottle(rq, gc);
	rq->fair_held = false;
	count_waiting(rq, leaf, -1u);
	if (rq->fair_curr) {
		eevdf_put(&rq->fair, &rq->fair_curr->sched.fair);
		rq->fair_paused = rq->fair_curr;
	}
	for (gc = leaf; gc; gc = gc->parent) {
		eevdf_take(&gc->queue, e);
		gc->curr = e;
		e = &gc->entity;
	}
	eevdf_take(&rq->fair, e);
	rq->fair_curr = t;
}

static void group_enter(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	group_enqueue(rq, t, place);
	group_start(rq, t);
}

static uint64_t level_run_ns(const struct eevdf_queue *q, const struct eevdf_entity *e)
{
	return q->nr > 1 ? eevdf_run_ns(q, e) : UINT64_MAX;
}

static uint64_t budget_left_ns(const struct group_cpu *gc)
{
	if (likely(!atomic_load_relaxed(&gc->group->quota_ns)))
		return UINT64_MAX;
	return gc->budget_ns > 0 ? (uint64_t)gc->budget_ns : 0;
}

/* To the first end of a request, or of a budget, at any level. */
static uint64_t group_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	struct group_cpu *gc = group_on(rq, t);
	const struct eevdf_entity *e = &t->sched.fair;
	uint64_t ns = UINT64_MAX;

	for (; gc; gc = gc->parent) {
		ns = MIN(ns, level_run_ns(&gc->queue, e));
		ns = MIN(ns, budget_left_ns(gc));
		e = &gc->entity;
	}
	return MIN(ns, level_run_ns(&rq->fair, e));
}

static unsigned depth_of(const struct group_cpu *gc)
{
	return gc ? gc->group->depth : 0;
}

/*
 * The two are compared where their groups meet. If @t is not to come in now, it may have to as soon
 * as the running one has had its share: then its slice end is taken away, by which
 * sched_check_preempt() sets a new one.
 */
static bool group_preempts(struct runqueue *rq, struct thread *t)
{
	struct thread *curr = rq->fair_curr;
	struct group_cpu *gw = group_on(rq, t), *gc = group_on(rq, curr);
	struct eevdf_entity *wakee = &t->sched.fair, *runs = &curr->sched.fair;
	struct eevdf_queue *q;

	if (!gw && !gc)
		return flat.preempts(rq, t);
	while (gw != gc) {
		if (depth_of(gw) > depth_of(gc)) {
			if (gw->throttled)
				return false;
			wakee = &gw->entity;
			gw = gw->parent;
		} else {
			runs = &gc->entity;
			gc = gc->parent;
		}
	}
	q = group_queue(rq, gc);
	if (t->sched.policy != SCHED_BATCH && eevdf_preempts(q, runs, wakee))
		return true;
	if (q->nr == 2 ||
	    (eevdf_before(wakee->deadline, runs->deadline) && eevdf_eligible(q, wakee)))
		rq->slice_end_ns = UINT64_MAX;
	return false;
}

/* ---- groups as a whole ----------------------------------------------------------------------- */

const char *group_attr_fault(const struct group_attr *a, const char **expected)
{
	if (a->weight < GROUP_WEIGHT_MIN || a->weight > GROUP_WEIGHT_MAX)
		return *expected = "1..10000", "weight";
	if (!a->quota_ns)
		return *expected = "0 without a quota", a->period_ns ? "period_ns" : NULL;
	if (a->period_ns < GROUP_PERIOD_MIN_NS || a->period_ns > GROUP_PERIOD_MAX_NS)
		return *expected = "1000000..1000000000 ns", "period_ns";
	if (a->quota_ns < GROUP_QUOTA_MIN_NS || a->quota_ns > a->period_ns * cpu_count)
		return *expected = "100000 ns..the period for each CPU, or 0", "quota_ns";
	return NULL;
}

/*
 * @rq's CPU is to look again, now that the lock is given up: unless there is nobody, it may be off.
 * Irqs masked.
 */
static LOCK_UNCHECKED void unlock_and_look(struct runqueue *rq)
{
	bool empty = rq->curr == rq->idle && !rq->nr_ready;

	if (!empty)
		rq->resched = 1;
	spin_unlock(&rq->lock);
	if (empty)
		return;
	if (cpu_of_rq(rq) != arch_cpu_self())
		ipi_send(cpu_of_rq(rq));
}

/* V of all queues of @rq stands at now. */
static void settle(struct runqueue *rq)
{
	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	fair_settle(rq);
}

/* No lock held, irqs masked. */
static LOCK_UNCHECKED void unthrottle_cpu(struct group_cpu *gc, struct runqueue *rq)
{
	spin_lock(&rq->lock);
	if (!gc->throttled) {
		spin_unlock(&rq->lock);
		return;
	}
	settle(rq);
	unthrottle(rq, gc);
	unlock_and_look(rq);
}

/* There is something in the pool. No lock held, irqs masked. */
static LOCK_UNCHECKED void let_in(struct thread_group *g)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (atomic_load_relaxed(&g->on[i].throttled))
			unthrottle_cpu(&g->on[i], &cpu_at(i)->rq);
}

/* [g] Of portions that are in use, what will be used from now on. */
static int64_t in_use_ns(const struct thread_group *g, uint64_t now_ns)
{
	int64_t ns = 0;

	for (unsigned i = 0; i < cpu_count; i++)
		if (g->on[i].until_ns > now_ns && g->on[i].quotas == g->quotas)
			ns += (int64_t)(g->on[i].until_ns - now_ns);
	return ns;
}

/* No lock held, irqs masked. */
static LOCK_UNCHECKED void end_period(struct timer *timer)
{
	struct thread_group *g = container_of(timer, struct thread_group, timer);
	uint64_t now_ns = time_now_ns();
	int64_t ahead_ns;

	spin_lock(&g->lock);
	ahead_ns = in_use_ns(g, now_ns);
	if (!g->quota_ns || (!g->used && !ahead_ns)) {
		g->ticking = false;
		spin_unlock(&g->lock); /* from here on @g may be gone */
		return;
	}
	g->used = ahead_ns;
	g->starved = false;
	g->pool_ns = MIN(g->pool_ns, (int64_t)GROUP_LEAST_NS) + (int64_t)g->quota_ns - ahead_ns;
	g->period_end_ns += g->period_ns;
	if (unlikely(g->period_end_ns <= now_ns))
		g->period_end_ns = now_ns + g->period_ns;
	timer_add(timer, g->period_end_ns);
	spin_unlock(&g->lock);
	let_in(g);
}

/* Somebody did not use his portion up while others had none. No lock held, irqs masked. */
static LOCK_UNCHECKED void hand_on(struct timer *timer)
{
	struct thread_group *g = container_of(timer, struct thread_group, hand);
	bool any;

	spin_lock(&g->lock);
	g->handing = false;
	any = g->quota_ns && g->starved && portion_of(g);
	if (any)
		g->starved = false;
	spin_unlock(&g->lock);
	if (any)
		let_in(g);
}

/* The first group: from now on the class knows groups. groups.lock held. */
static void take_class(void)
{
	if (groups.active)
		return;
	flat = fair_class;
	groups.active = true;
	/*
	 * Until there is a member anybody may call either: for threads in no group they are equal.
	 */
	atomic_store_release(&fair_class.enqueue, group_enqueue);
	atomic_store_release(&fair_class.dequeue, group_dequeue);
	atomic_store_release(&fair_class.charge, group_charge);
	atomic_store_release(&fair_class.stop, group_stop);
	atomic_store_release(&fair_class.pick, group_pick);
	atomic_store_release(&fair_class.start, group_start);
	atomic_store_release(&fair_class.enter, group_enter);
	atomic_store_release(&fair_class.slice_ns, group_slice_ns);
	atomic_store_release(&fair_class.preempts, group_preempts);
	atomic_store_release(&fair_class.steal, group_steal);
	atomic_store_release(&balance_best_move, group_best_move);
	atomic_store_relaxed(&balance_loads_vary, true);
}

static void add_member(struct thread_group *g, uint32_t n)
{
	if (g)
		atomic_fetch_add_acq_rel(&g->members, n);
}

static void init_cpu(struct thread_group *g, unsigned cpu)
{
	struct group_cpu *gc = &g->on[cpu];

	eevdf_init(&gc->queue);
	eevdf_entity_init(&gc->entity, (uint32_t)MAX(group_full_weight(g), EEVDF_WEIGHT_MIN),
			  FAIR_SLICE_NS);
	gc->entity.group = true;
	gc->group = g;
	gc->parent = g->parent ? &g->parent->on[cpu] : NULL;
}

static struct thread_group *group_alloc(struct thread_group *parent, const struct group_attr *attr)
{
	size_t bytes = sizeof(struct thread_group) + cpu_count * sizeof(struct group_cpu);
	struct thread_group *g;
	unsigned order = page_order(bytes);

	g = page_alloc_zero(order);
	if (!g)
		return NULL;
	g->pages_order = order;
	g->parent = parent;
	g->depth = parent ? parent->depth + 1 : 1;
	g->weight = attr->weight;
	g->quota_ns = attr->quota_ns;
	g->period_ns = attr->period_ns;
	spin_init(&g->lock, LOCK_GROUP);
	timer_init(&g->timer, end_period);
	timer_init(&g->hand, hand_on);
	for (unsigned i = 0; i < cpu_count; i++)
		init_cpu(g, i);
	return g;
}

int group_create(struct thread_group **out, struct thread_group *parent,
		 const struct group_attr *attr)
{
	static const struct group_attr standard = { .weight = GROUP_WEIGHT_DEFAULT };
	struct thread_group *g;
	const char *expected;
	unsigned long flags;

	if (!attr)
		attr = &standard;
	if (group_attr_fault(attr, &expected) || (parent && parent->depth == GROUP_DEPTH_MAX))
		return -EINVAL;
	g = group_alloc(parent, attr);
	if (!g)
		return -EAGAIN;
	flags = spin_lock_irqsave(&groups.lock);
	take_class();
	add_member(parent, 1);
	list_add_tail(&g->all, &group_list);
	spin_unlock_irqrestore(&groups.lock, flags);
	*out = g;
	return 0;
}

/* Without members, but what ran may still owe. */
static LOCK_UNCHECKED void leave_cpu(struct thread_group *g, unsigned cpu)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = &cpu_at(cpu)->rq;
	struct group_cpu *gc = &g->on[cpu];

	spin_lock(&rq->lock);
	settle(rq);
	ASSERT(!gc->queue.W && !is_active(gc) && !gc->nr_waiting);
	if (gc->entity.delayed) {
		eevdf_leave_delayed(group_queue(rq, gc->parent), &gc->entity);
		count_owing(gc, -gc->entity.weight);
		tell(SCHED_EVENT_LEAVE, rq, gc);
	}
	group_share_changed(rq, gc->parent);
	spin_unlock_irqrestore(&rq->lock, flags);
}

/* The function may have armed the timer again before it saw that there is no quota. */
static void stop_timer(struct thread_group *g)
{
	unsigned long flags = spin_lock_irqsave(&g->lock);

	atomic_store_relaxed(&g->quota_ns, 0ull);
	spin_unlock_irqrestore(&g->lock, flags);
	timer_stop(&g->hand);
	timer_stop(&g->timer);
}

int group_destroy(struct thread_group *g)
{
	unsigned long flags = spin_lock_irqsave(&groups.lock);
	bool busy = atomic_load_acquire(&g->members);

	if (!busy)
		list_del(&g->all);
	spin_unlock_irqrestore(&groups.lock, flags);
	if (busy)
		return -EBUSY;
	stop_timer(g);
	for (unsigned i = 0; i < cpu_count; i++)
		leave_cpu(g, i);
	add_member(g->parent, -1u);
	page_free(g, g->pages_order);
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static LOCK_UNCHECKED void each_cpu(struct thread_group *g,
				    void (*fn)(struct runqueue *, struct group_cpu *))
{
	for (unsigned i = 0; i < cpu_count; i++) {
		unsigned long flags = arch_irq_save();
		struct runqueue *rq = &cpu_at(i)->rq;

		spin_lock(&rq->lock);
		settle(rq);
		fn(rq, &g->on[i]);
		unlock_and_look(rq);
		sched_reschedule_self(flags);
	}
}

int group_set_weight(struct thread_group *g, uint32_t weight)
{
	const struct group_attr a = { .weight = weight };
	const char *expected;

	if (group_attr_fault(&a, &expected))
		return -EINVAL;
	atomic_store_relaxed(&g->weight, weight);
	each_cpu(g, group_share_changed);
	return 0;
}

/* The rest of the old budget does not count. */
static void quota_changed(struct runqueue *rq, struct group_cpu *gc)
{
	gc->budget_ns = 0;
	if (gc->throttled)
		unthrottle(rq, gc);
}

int group_set_quota(struct thread_group *g, uint64_t quota_ns, uint64_t period_ns)
{
	const struct group_attr a = { GROUP_WEIGHT_DEFAULT, quota_ns, period_ns };
	const char *expected;
	unsigned long flags;

	if (group_attr_fault(&a, &expected))
		return -EINVAL;
	flags = spin_lock_irqsave(&g->lock);
	atomic_store_relaxed(&g->quota_ns, quota_ns);
	g->period_ns = period_ns;
	g->pool_ns = (int64_t)quota_ns;
	g->quotas++;
	g->starved = false;
	spin_unlock_irqrestore(&g->lock, flags);
	each_cpu(g, quota_changed);
	return 0;
}

/* @t, in no queue, changes its group. */
static void set_group(struct thread *t, struct thread_group *g)
{
	add_member(g, 1);
	add_member(t->sched.group, -1u);
	t->sched.group = g;
	if (t->sched.rank != RANK_FAIR)
		return;
	unmark(t);
	if (g)
		fair_mark(t);
}

/* A fair thread; true: its CPU must act. */
static bool attach_fair(struct runqueue *rq, struct thread *t, struct thread_group *g)
{
	bool running = rq->curr == t, waiting = t->sched.state == THREAD_RUNNABLE && !running &&
						!(t->sched.unusual & SCHED_MOVE);

	if (running)
		fair_class.stop(rq, t, STOP_BLOCKED);
	else if (waiting)
		fair_class.dequeue(rq, t);
	else if (t->sched.fair.delayed)
		fair_leave_delayed(rq, t);
	set_group(t, g);
	if (!running && !waiting)
		return false;
	fair_class.enqueue(rq, t, EEVDF_PLACE_MOVE);
	if (!running) {
		if (sched_check_preempt(rq, t))
			return true;
		balance_kick_idle(cpu_of_rq(rq), &t->affinity); /* it may have been throttled */
		return false;
	}
	fair_class.start(rq, t);
	rq->slice_end_ns = UINT64_MAX; /* the rescheduling that follows sets it */
	return true;
}

LOCK_UNCHECKED int group_attach(struct thread_group *g, struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	bool act = false;

	if (t->sched.state == THREAD_DEAD) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return -ESRCH;
	}
	settle(rq);
	if (t->sched.group != g && t->sched.rank == RANK_FAIR)
		act = attach_fair(rq, t, g);
	else if (t->sched.group != g)
		set_group(t, g);
	if (act)
		unlock_and_look(rq);
	else
		spin_unlock(&rq->lock);
	sched_reschedule_self(flags);
	return 0;
}
