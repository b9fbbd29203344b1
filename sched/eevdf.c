/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fair class: EEVDF over the queue of eevdf_tree.h. The maths are in eevdf.h; this file only
 * says when each rule is applied.
 *
 * rq->fair_curr is the thread that is in the sums but not in the tree: the running fair thread, or,
 * while real time has the CPU, the one that goes on afterwards unless a better one came. Caller
 * holds rq->lock.
 */
#include "sched/group.h"
#include "sched/sched.h"
#include "sched/util.h"

static struct thread *fair_thread(struct eevdf_entity *e)
{
	return e ? container_of(e, struct thread, sched.fair) : NULL;
}

static struct eevdf_entity *fair_front(const struct runqueue *rq)
{
	return rq->fair_curr ? &rq->fair_curr->sched.fair : NULL;
}

/* @t, or a group that it runs in, has @lag_ns. */
__cold void fair_lag_is_broken(struct runqueue *rq, struct thread *t, int64_t lag_ns)
{
	struct lag_counts *c = &rq->lag_counts;

	c->broken++;
	if (c->broken == 1 || ABS(lag_ns) > ABS(c->worst_ns)) {
		c->worst_ns = lag_ns;
		c->worst_tid = t->tid;
	}
}

/*
 * -slice < lag < longest slice of those that compete (theorem 2 of the paper). Asked where a
 * request ends and where a thread blocks: in between lag only moves towards these points.
 */
void fair_check_lag(struct runqueue *rq, struct thread *t)
{
	int64_t lag_ns = eevdf_lag_ns(&rq->fair, &t->sched.fair);

	if (unlikely(lag_ns > (int64_t)(rq->fair_longest_ns + LAG_SLACK_NS) ||
		     lag_ns < -(int64_t)(t->sched.fair.slice_ns + LAG_SLACK_NS)))
		fair_lag_is_broken(rq, t, lag_ns);
}

static void note_longest(struct runqueue *rq, const struct eevdf_entity *e)
{
	uint64_t ns = MAX(e->slice_ns, (uint64_t)ABS(e->lag) / 1024);

	if (!rq->fair.W || ns > rq->fair_longest_ns)
		rq->fair_longest_ns = ns;
}

/* @t enters the sums of @rq, outside of the tree. */
void fair_join(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	note_longest(rq, &t->sched.fair);
	eevdf_join(&rq->fair, &t->sched.fair, place);
	arch_sched_event(SCHED_EVENT_JOIN, cpu_of_rq(rq), t, NULL, t->sched.fair.weight);
}

/* @t, not in the tree, leaves the sums. */
void fair_leave(struct runqueue *rq, struct thread *t)
{
	if (rq->fair_paused == t)
		rq->fair_paused = NULL;
	eevdf_leave(&rq->fair, &t->sched.fair);
	arch_sched_event(SCHED_EVENT_LEAVE, cpu_of_rq(rq), t, NULL, 0);
}

/*
 * At most so many delayed threads leave at one decision: bounds the time with the lock held. It
 * suffices in the long run, as a decision adds at most one.
 */
#define RELEASE_MAX 8

static bool release_one(struct runqueue *rq)
{
	struct eevdf_entity *e = eevdf_release(&rq->fair);

	if (e && !e->group)
		arch_sched_event(SCHED_EVENT_LEAVE, cpu_of_rq(rq), fair_thread(e), NULL, 0);
	return e != NULL;
}

/* Those that have paid go. For arch_cold_call(), too. */
void fair_release(void *runqueue, unsigned long unused)
{
	(void)unused;
	for (unsigned n = 0; n < RELEASE_MAX && release_one(runqueue); n++)
		;
}

/* @t, blocked and delayed, goes elsewhere or changes: it leaves with its debt. */
void fair_leave_delayed(struct runqueue *rq, struct thread *t)
{
	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	fair_settle(rq);
	fair_release(rq, 0);
	if (!t->sched.fair.delayed)
		return;
	eevdf_leave_delayed(group_queue(rq, group_on(rq, t)), &t->sched.fair);
	arch_sched_event(SCHED_EVENT_LEAVE, cpu_of_rq(rq), t, NULL, 0);
}

/* Charges fair_curr for what it ran before real time took the CPU from it. */
void fair_settle(struct runqueue *rq)
{
	struct eevdf_entity *e = fair_front(rq);

	if (likely(!rq->fair_owed_ns))
		return;
	eevdf_charge(&rq->fair, e, rq->fair_owed_ns);
	rq->fair_owed_ns = 0;
	rq->fair_held = !eevdf_expired(e);
	if (!rq->fair_held)
		eevdf_renew(e);
}

/* Into the sums, and not into the tree. */
static void fair_come(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	struct eevdf_entity *e = &t->sched.fair;

	fair_settle(rq);
	util_sample(t, rq_has_fair_running(rq) ? rq->since_ns : time_now_ns());
	if (eevdf_has_paid(&rq->fair))
		fair_release(rq, 0);
	if (e->delayed) {
		eevdf_undelay(&rq->fair, e);
		eevdf_request(e);
		arch_sched_event(SCHED_EVENT_RESUME, cpu_of_rq(rq), t, NULL, 0);
	} else {
		fair_join(rq, t, place);
	}
}

static void fair_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	fair_come(rq, t, place);
	eevdf_put(&rq->fair, &t->sched.fair);
	rq->nr_ready++;
}

static void fair_dequeue(struct runqueue *rq, struct thread *t)
{
	fair_settle(rq);
	fair_release(rq, 0);
	if (rq->fair_curr == t) {
		rq->fair_curr = NULL;
		rq->fair_held = false;
	} else {
		eevdf_take(&rq->fair, &t->sched.fair);
	}
	fair_leave(rq, t);
	rq->nr_ready--;
}

static void fair_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	eevdf_charge(&rq->fair, &t->sched.fair, delta_ns);
}

/*
 * Its request is served, the next one queues behind those of the same deadline: in the front slot
 * it would win the tie, and equal threads would have two slices at a time.
 */
static void fair_queue_next_request(struct runqueue *rq, struct eevdf_entity *e)
{
	fair_check_lag(rq, fair_thread(e));
	eevdf_renew(e);
	eevdf_put(&rq->fair, e);
	rq->fair_curr = NULL;
}

static void fair_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct eevdf_entity *e = &t->sched.fair;

	if (why == STOP_BLOCKED) {
		fair_check_lag(rq, t);
		if (eevdf_has_paid(&rq->fair)) /* they go before anybody leaves with a lag */
			fair_release(rq, 0);
		rq->fair_curr = NULL;
		util_sample(t, rq->since_ns);
		if (t->sched.state == THREAD_BLOCKED && !eevdf_eligible(&rq->fair, e)) {
			if (rq->fair_paused == t)
				rq->fair_paused = NULL;
			eevdf_delay(&rq->fair, e);
			arch_sched_event(SCHED_EVENT_DELAY, cpu_of_rq(rq), t, NULL, 0);
		} else {
			fair_leave(rq, t);
		}
		return;
	}
	if (why == STOP_YIELDED)
		eevdf_yield(&rq->fair, e);
	else if (eevdf_expired(e))
		fair_queue_next_request(rq, e);
	rq->nr_ready++;
}

/*
 * A thread that was interrupted has owed a little ever since it ran, so by the rule alone anybody
 * who is owed would go first: each interruption would cost a switch and leave a piece of a request
 * behind, whose near deadline then delays those who asked for little. It goes on to the end of its
 * request, unless an earlier deadline has come.
 */
static struct thread *fair_pick_interrupted(struct runqueue *rq, struct thread *t)
{
	struct eevdf_entity *n = eevdf_first(&rq->fair);

	return n && eevdf_before(n->deadline, t->sched.fair.deadline) ? fair_thread(n) : t;
}

/* The thread that was interrupted last may have run and ended its request since. */
static bool fair_is_paused(const struct runqueue *rq)
{
	const struct eevdf_entity *e = rq->fair_paused ? &rq->fair_paused->sched.fair : NULL;

	return e && eevdf_in_tree(&rq->fair, e) && eevdf_begun(e);
}

static struct thread *fair_pick(struct runqueue *rq)
{
	struct eevdf_entity *e;

	fair_settle(rq);
	fair_release(rq, 0);
	if (rq->fair_held)
		return fair_pick_interrupted(rq, rq->fair_curr);
	if (fair_is_paused(rq) && !rq->fair_curr)
		return fair_pick_interrupted(rq, rq->fair_paused);
	e = eevdf_pick(&rq->fair, fair_front(rq));
	while (unlikely(!e && rq->fair.nr)) { /* more than RELEASE_MAX delayed ones have paid */
		release_one(rq);
		e = eevdf_pick(&rq->fair, fair_front(rq));
	}
	return fair_thread(e);
}

/* @t, in the sums and not in the tree, has the CPU. */
static void fair_run(struct runqueue *rq, struct thread *t)
{
	rq->fair_held = false;
	if (rq->fair_curr) {
		eevdf_put(&rq->fair, fair_front(rq));
		rq->fair_paused = rq->fair_curr;
	}
	rq->fair_curr = t;
}

static void fair_start(struct runqueue *rq, struct thread *t)
{
	rq->nr_ready--;
	if (rq->fair_curr == t) {
		rq->fair_held = false;
		return;
	}
	eevdf_take(&rq->fair, &t->sched.fair);
	fair_run(rq, t);
}

static void fair_enter(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	fair_come(rq, t, place);
	fair_run(rq, t);
}

/* Alone it has no end: a CPU with one runnable thread takes no timer interrupt for it. */
static uint64_t fair_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	return rq->fair.nr > 1 ? eevdf_run_ns(&rq->fair, &t->sched.fair) : UINT64_MAX;
}

static bool fair_preempts(struct runqueue *rq, struct thread *t)
{
	if (t->sched.policy == SCHED_BATCH)
		return false;
	return eevdf_preempts(&rq->fair, fair_front(rq), &t->sched.fair);
}

/* The entity before @e in deadline order; NULL at the first. */
struct eevdf_entity *fair_prev(struct eevdf_entity *e)
{
	if (e->child[0]) {
		for (e = e->child[0]; e->child[1]; e = e->child[1])
			;
		return e;
	}
	while (e->parent && e == e->parent->child[0])
		e = e->parent;
	return e->parent;
}

/*
 * Whoever would wait longest here, of those that may run there; then the one that waits for real
 * time to end.
 */
static struct thread *fair_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct eevdf_entity *e = eevdf_steal_candidate(&rq->fair);

	for (unsigned scanned = 0; e && scanned < STEAL_SCAN; scanned++, e = fair_prev(e))
		if (cpumask_intersects(&fair_thread(e)->affinity, cpus))
			return fair_thread(e);
	if (rq->fair_curr && rq->fair_curr != rq->curr &&
	    cpumask_intersects(&rq->fair_curr->affinity, cpus))
		return rq->fair_curr;
	return NULL;
}

struct sched_class fair_class = {
	.name = "fair",
	.rank = RANK_FAIR,
	.enqueue = fair_enqueue,
	.dequeue = fair_dequeue,
	.charge = fair_charge,
	.stop = fair_stop,
	.pick = fair_pick,
	.start = fair_start,
	.enter = fair_enter,
	.slice_ns = fair_slice_ns,
	.preempts = fair_preempts,
	.steal = fair_steal,
};
