/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deadline class: earliest absolute deadline first, each thread behind a constant bandwidth
 * server with hard reservation (L. Abeni and G. Buttazzo, Integrating Multimedia Applications in
 * Hard Real-Time Systems, RTSS 1998). What is called from outside is in deadline_admit.c.
 *
 * A job begins with a wake-up: budget Q, deadline now + D, unless what is left of the last one may
 * still be used by its deadline without taking more than Q in D. The budget goes down while the
 * thread runs; the slice ends when nothing is left. Then the thread is throttled: runnable, but in
 * no queue of those that wait, until its next period begins. So it never has more than Q in a
 * period, and those behind it are where they would be if it had stopped by itself.
 *
 * The functions of this file take the place of those in rt_class, and call them for FIFO and RR. A
 * deadline thread is of the level DEADLINE_LEVEL, above 99; the first one that waits on a CPU is in
 * the front slot of the real-time queue, where every fast path of sched.c finds that somebody better
 * waits and that it is no FIFO thread, so it takes the general way. The others wait in a tree.
 *
 * Invariants, beside those of sched.h
 *  D1 ready is not empty: its first is rq->rt.front, and rq->rt.highest is DEADLINE_LEVEL. Empty:
 *     no deadline thread is in the real-time queue.
 *  D2 a throttled thread is in the tree of the CPU that it belongs to, or on its way to another
 *     one; it is not in rq->nr_ready. Its own server's budget is 0 or less, and nobody lends it one.
 *  D3 the first throttled one's time has come, or the queue's timer is armed for it or earlier, or
 *     its function is about to look.
 *
 * All is called with rq->lock held unless it says otherwise.
 */
#include "sched/deadline.h"
#include "core/irq.h"
#include "core/mem/page.h"
#include "core/sync.h"
#include "sched/balance.h"

#define REPLENISH_MAX 8 /* at one interrupt */

/* Without deadlines. */
static struct sched_class rt;

struct deadline_queue *deadline_queues;
struct deadline *deadline_next;

static void (*overrun_fn)(struct thread *self);

/* With its own server, and that may. */
static bool reclaims(const struct thread *t)
{
	const struct deadline *d = t->sched.place.server;

	return d == t->sched.deadline && d->flags & SCHED_FLAG_RECLAIM;
}

static bool has_deadline(const struct thread *t)
{
	return t->sched.rank == RANK_DEADLINE;
}

/* ---- the server: pure rules ------------------------------------------------------------------ */

static void new_deadline(struct deadline *d, uint64_t now_ns)
{
	d->deadline_ns = now_ns + d->relative_ns;
	d->left_ns = (int64_t)d->runtime_ns;
}

/*
 * What is left may be used until the old deadline only if that is no more than Q in D. With D < P
 * the deadline stays, and the budget is cut to that rate: a later deadline within the period would
 * let it have more than Q in P.
 */
static void keep_or_renew(struct deadline *d, uint64_t now_ns)
{
	uint64_t until_ns = d->deadline_ns - now_ns;

	if ((uint64_t)d->left_ns * d->relative_ns <= until_ns * d->runtime_ns)
		return;
	if (d->relative_ns == d->period_ns)
		new_deadline(d, now_ns);
	else
		d->left_ns = (int64_t)(until_ns * d->runtime_ns / d->relative_ns);
}

/* True: it may run; else not before its next period. */
bool deadline_begin_job(struct deadline *d, uint64_t now_ns)
{
	if (!d->deadline_ns || now_ns >= MAX(d->deadline_ns, deadline_next_period_ns(d))) {
		new_deadline(d, now_ns);
	} else if (now_ns >= d->deadline_ns) { /* D < P, and the rest of P is to come */
		d->left_ns = MIN(d->left_ns, 0);
	} else if (d->left_ns > 0) {
		keep_or_renew(d, now_ns);
	}
	return d->left_ns > 0;
}

/* The next period has begun. */
void deadline_replenish(struct deadline *d, uint64_t now_ns)
{
	uint64_t periods = 1;

	if (d->left_ns <= -(int64_t)d->runtime_ns)
		periods += (uint64_t)-d->left_ns / d->runtime_ns;
	d->left_ns += (int64_t)(periods * d->runtime_ns);
	d->left_ns = MIN(d->left_ns, (int64_t)d->runtime_ns);
	d->deadline_ns += periods * d->period_ns;
	if (d->deadline_ns <= now_ns) /* it was not looked at for a long time */
		new_deadline(d, now_ns);
}

/* Until then a thread that stops now has used what it was admitted for. */
static uint64_t zero_lag_ns(const struct deadline *d, uint64_t now_ns)
{
	uint64_t unused_ns = 0;

	if (d->left_ns > 0)
		unused_ns = (uint64_t)d->left_ns * d->period_ns / d->runtime_ns;
	if (!d->deadline_ns || d->deadline_ns < now_ns + unused_ns)
		return now_ns;
	return d->deadline_ns - unused_ns;
}

/* ---- queues ---------------------------------------------------------------------------------- */

static bool is_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline_place, node)->until_ns <
	       container_of(b, struct deadline_place, node)->until_ns;
}

static bool is_due_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline_place, node)->at_ns <
	       container_of(b, struct deadline_place, node)->at_ns;
}

/* @t's server is chosen. */
static void put_ready(struct runqueue *rq, struct thread *t)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	struct deadline_place *p = &t->sched.place;
	bool was_empty = rb_empty(&q->ready);

	rb_insert(&q->ready, &p->node, is_earlier);
	if (was_empty)
		rt_put_head(&rq->rt, t);
	else if (rb_first(&q->ready) == &p->node)
		rt_set_front(&rq->rt, t);
	rq->nr_ready++;
	p->movable = deadline_is_movable(t);
	q->nr_movable += p->movable;
	if (p->movable)
		deadline_publish(q);
}

static void take_ready(struct runqueue *rq, struct thread *t)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	struct deadline_place *p = &t->sched.place;

	rb_erase(&q->ready, &p->node);
	q->nr_movable -= p->movable;
	if (p->movable)
		deadline_publish(q);
	if (rb_empty(&q->ready))
		rt_take(&rq->rt, t);
	else
		rt_set_front(&rq->rt, deadline_thread(rb_first(&q->ready)));
	rq->nr_ready--;
}

/* Others of the class go first. */
static bool has_to_wait(const struct runqueue *rq, const struct thread *t)
{
	const struct deadline_queue *q = deadline_queue_of(rq);

	return rb_first(&q->ready) != &t->sched.place.node ||
	       q->running_ns <= t->sched.place.until_ns;
}

/* @t, which waits here, is sent to a CPU where it runs at once, if there is one. */
static void push(struct runqueue *rq, struct thread *t)
{
	struct cpu *to = deadline_find_cpu(rq, t);

	if (!to)
		return;
	take_ready(rq, t);
	deadline_uncount_lent(rq, t);
	t->sched.unusual |= SCHED_MOVE;
	rq->push_to = to;
	balance_send_away(rq, t);
}

/*
 * @t waits here, or is sent to a CPU where it runs at once. So is who was to run next, but did not
 * yet, and comes after @t.
 */
static void put_or_push(struct runqueue *rq, struct thread *t)
{
	struct rb_node *behind;

	put_ready(rq, t);
	behind = rb_next(&t->sched.place.node);
	if (likely(!deadline_queue_of(rq)->nr_movable))
		return;
	if (has_to_wait(rq, t)) {
		if (t->sched.place.movable)
			push(rq, t);
	} else if (behind && deadline_thread(behind)->sched.place.movable) {
		push(rq, deadline_thread(behind));
	}
}

/* Any CPU's timer queue will do: the function looks at @q's. */
static void arm(struct deadline_queue *q)
{
	if (rb_empty(&q->throttled))
		return;
	timer_cancel(&q->timer);
	timer_add(&q->timer, deadline_thread(rb_first(&q->throttled))->sched.place.at_ns);
}

static void put_throttled(struct runqueue *rq, struct thread *t)
{
	struct deadline_queue *q = deadline_queue_of(rq);

	t->sched.unusual |= SCHED_THROTTLED;
	rb_insert(&q->throttled, &t->sched.place.node, is_due_earlier);
	if (rb_first(&q->throttled) == &t->sched.place.node)
		arm(q);
}

/* The timer may come for nobody. */
static void take_throttled(struct runqueue *rq, struct thread *t)
{
	t->sched.unusual &= (uint8_t)~SCHED_THROTTLED;
	rb_erase(&deadline_queue_of(rq)->throttled, &t->sched.place.node);
}

/* @d has nothing left and its next period has begun: it has another budget. Else @at_ns: when. */
static bool is_replenished(struct deadline *d, uint64_t now_ns, uint64_t *at_ns)
{
	bool due;

	spin_lock(&d->lock);
	*at_ns = deadline_next_period_ns(d);
	due = *at_ns <= now_ns;
	if (due && d->left_ns <= 0)
		deadline_replenish(d, now_ns);
	spin_unlock(&d->lock);
	return due;
}

/*
 * @t is to wait for the CPU, if a server has something left for it: its own, or one that it has
 * borrowed. If none has, its own throttles it. Without one of its own it is as if nothing were lent:
 * false.
 */
static bool compete_or_throttle(struct runqueue *rq, struct thread *t, uint64_t now_ns)
{
	bool has = deadline_choose(t);

	if (!has && t->sched.deadline)
		has = is_replenished(t->sched.deadline, now_ns, &t->sched.place.at_ns) &&
		      deadline_choose(t);
	if (has) {
		deadline_count_lent(rq, t);
		put_or_push(rq, t);
	} else if (t->sched.deadline) {
		put_throttled(rq, t);
	}
	return has || t->sched.deadline;
}

static struct thread *due(struct deadline_queue *q, uint64_t now_ns)
{
	struct rb_node *n = rb_first(&q->throttled);

	return n && deadline_thread(n)->sched.place.at_ns <= now_ns ? deadline_thread(n) : NULL;
}

/* Timer, no lock held: those whose time has come compete again. */
static LOCK_UNCHECKED void replenish_due(struct timer *timer)
{
	struct deadline_queue *q = container_of(timer, struct deadline_queue, timer);
	struct runqueue *rq = &q->cpu->rq;
	bool act = false;
	struct thread *t;

	spin_lock(&rq->lock);
	for (unsigned n = 0; n < REPLENISH_MAX; n++) {
		t = due(q, time_now_ns());
		if (!t)
			break;
		take_throttled(rq, t);
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		if (sched_check_preempt(rq, t))
			act = true;
		else
			balance_kick_idle(q->cpu, &t->affinity);
	}
	arm(q);
	spin_unlock(&rq->lock);
	if (act && q->cpu != arch_cpu_self())
		ipi_send(q->cpu);
}

int64_t deadline_left_ns(uint64_t *until_ns)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = &arch_cpu_self()->rq;
	struct deadline *d = rq->curr->sched.deadline;
	int64_t left_ns = 0;

	spin_lock(&rq->lock);
	if (d) {
		left_ns = deadline_budget_ns(d);
		if (rq->curr->sched.place.server == d)
			left_ns -= (int64_t)(time_now_ns() - rq->since_ns);
		if (until_ns)
			*until_ns = d->deadline_ns;
	}
	spin_unlock_irqrestore(&rq->lock, flags);
	return MAX(left_ns, 0);
}

/* ---- overruns -------------------------------------------------------------------------------- */

void deadline_on_overrun(void (*fn)(struct thread *self))
{
	atomic_store_release(&overrun_fn, fn);
}

static void tell_overrun(struct thread *self)
{
	void (*fn)(struct thread *) = atomic_load_acquire(&overrun_fn);

	if (fn)
		fn(self);
}

/* It hears of it when it runs again; if it has something else to run then, the next time. */
static void note_overrun(struct thread *t)
{
	void (*none)(struct thread *) = NULL;
	struct deadline *d = t->sched.deadline;

	if (!(d->flags & SCHED_FLAG_DL_OVERRUN) || !atomic_load_relaxed(&overrun_fn))
		return;
	if (atomic_cas_acq_rel(&t->hook, &none, tell_overrun))
		t->sched.unusual |= SCHED_HOOK;
}

/* ---- the class ------------------------------------------------------------------------------- */

/* A wake-up begins a job, whosever the server is; one that moves goes on with its own. */
static void begin(struct deadline *d, enum eevdf_place place, uint64_t now_ns)
{
	spin_lock(&d->lock);
	if (place != EEVDF_PLACE_MOVE || !d->deadline_ns)
		deadline_begin_job(d, now_ns);
	spin_unlock(&d->lock);
}

static void deadline_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	uint64_t now_ns;

	if (!has_deadline(t)) {
		rt.enqueue(rq, t, place);
		return;
	}
	if (has_deadline(rq->curr) && reclaims(rq->curr))
		sched_charge_curr(rq); /* before anybody else counts */
	if (t->sched.deadline)
		deadline_count(rq, t->sched.deadline);
	now_ns = time_now_ns();
	if (t->sched.deadline)
		begin(t->sched.deadline, place, now_ns);
	if (t->sched.place.lent)
		begin(t->sched.place.lent, place, now_ns);
	if (compete_or_throttle(rq, t, now_ns))
		return;
	t->sched.place.lent = NULL;
	sched_rank_lost(t);
	sched_enqueue(rq, t, EEVDF_PLACE_WAKE);
}

static void deadline_dequeue(struct runqueue *rq, struct thread *t)
{
	if (!has_deadline(t)) {
		rt.dequeue(rq, t);
		return;
	}
	if (t->sched.unusual & SCHED_THROTTLED)
		take_throttled(rq, t);
	else
		take_ready(rq, t);
	deadline_uncount_lent(rq, t);
	if (t->sched.deadline)
		deadline_uncount(rq, t->sched.deadline);
}

static void deadline_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	struct deadline *d = t->sched.deadline;

	if (!has_deadline(t)) {
		rt.charge(rq, t, delta_ns);
		return;
	}
	if (t->sched.place.server != d) {
		deadline_charge_lent(t, delta_ns);
		return;
	}
	if (reclaims(t))
		delta_ns = deadline_reclaimed(rq, d, delta_ns);
	spin_lock(&d->lock);
	deadline_take(d, delta_ns);
	spin_unlock(&d->lock);
}

/* @t is not of the class any more; its bandwidth is in use a while longer. */
static void leave(struct runqueue *rq, struct thread *t)
{
	struct deadline *d = t->sched.deadline;

	t->sched.deadline = NULL;
	spin_lock(&d->lock);
	deadline_end_loan(d);
	d->gone_ns = zero_lag_ns(d, time_now_ns());
	spin_unlock(&d->lock);
	deadline_gone(rq, d);
	atomic_store_release(&d->thread, (struct thread *)NULL);
}

static void give_up_rest(struct deadline *d)
{
	spin_lock(&d->lock);
	d->left_ns = MIN(d->left_ns, 0);
	spin_unlock(&d->lock);
}

/* It blocks. */
static void owe(struct runqueue *rq, struct deadline *d)
{
	uint64_t until_ns;

	spin_lock(&d->lock);
	until_ns = zero_lag_ns(d, rq->since_ns);
	spin_unlock(&d->lock);
	deadline_owe(rq, d, until_ns);
}

/* @t ran with budgets that were lent to it, and they are used up: it goes on with its own rank. */
static void fall_back(struct runqueue *rq, struct thread *t)
{
	t->sched.place.lent = NULL;
	sched_rank_lost(t);
	if (t->sched.rank > RANK_RT) {
		rt_put_head(&rq->rt, t);
		rq->nr_ready++;
	} else {
		sched_enqueue(rq, t, EEVDF_PLACE_WAKE);
		server_fair_runs(rq); /* it may wait behind real time from now on */
	}
}

static void deadline_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	struct deadline *d = t->sched.deadline;

	if (!has_deadline(t)) {
		rt.stop(rq, t, why);
		return;
	}
	if (d && d == t->sched.place.server) {
		if (why == STOP_YIELDED)
			give_up_rest(d);
		else if (why == STOP_PREEMPTED && deadline_budget_ns(d) <= 0)
			note_overrun(t);
	}
	atomic_store_relaxed(&q->running_ns, UINT64_MAX);
	deadline_uncount_lent(rq, t);
	if (why != STOP_BLOCKED) {
		/* its deadline may be a later one now */
		if (!compete_or_throttle(rq, t, rq->since_ns))
			fall_back(rq, t);
	} else if (d && t->sched.state == THREAD_DEAD) {
		leave(rq, t);
	} else if (d && t->sched.state == THREAD_BLOCKED) {
		owe(rq, d);
	} else if (d) { /* it goes to another CPU */
		deadline_uncount(rq, d);
	}
	deadline_look_elsewhere(rq);
	if (rq->rt.elsewhere && !rq->rt.highest)
		rt_falls(rq, 0);
}

static void deadline_start(struct runqueue *rq, struct thread *t)
{
	if (!has_deadline(t)) {
		rt.start(rq, t);
		return;
	}
	take_ready(rq, t);
	t->waiter.loan.until_ns = 0; /* who waits for no mutex waits in order of arrival */
	atomic_store_relaxed(&deadline_queue_of(rq)->running_ns, t->sched.place.until_ns);
}

static uint64_t deadline_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	struct deadline *d = t->sched.deadline;
	int64_t left_ns;

	if (!has_deadline(t))
		return rt.slice_ns(rq, t);
	if (t->sched.place.server != d)
		return deadline_left_lent_ns(t);
	left_ns = deadline_budget_ns(d);
	if (left_ns <= 0)
		return 0;
	return reclaims(t) ? deadline_reclaim_slice_ns(rq, d, left_ns) : (uint64_t)left_ns;
}

static bool deadline_preempts(struct runqueue *rq, struct thread *t)
{
	if (!has_deadline(t))
		return rt.preempts && rt.preempts(rq, t);
	if (reclaims(rq->curr)) /* it needs another slice */
		return true;
	return !(t->sched.unusual & (SCHED_THROTTLED | SCHED_MOVE)) &&
	       t->sched.place.until_ns < rq->curr->sched.place.until_ns;
}

static struct thread *deadline_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct rb_node *n = rb_first(&deadline_queue_of(rq)->ready);

	for (unsigned i = 0; n && i < STEAL_SCAN; n = rb_next(n), i++)
		if (cpumask_intersects(&deadline_thread(n)->affinity, cpus))
			return deadline_thread(n);
	return rt.steal(rq, cpus);
}

/* @t, the running thread of @rq, has other servers to choose from, or none any more. */
void deadline_runs(struct runqueue *rq, struct thread *t)
{
	uint64_t until_ns = UINT64_MAX;

	deadline_uncount_lent(rq, t);
	if (t->sched.deadline || t->sched.place.lent) {
		deadline_choose(t);
		deadline_count_lent(rq, t);
		until_ns = t->sched.place.until_ns;
	}
	atomic_store_relaxed(&deadline_queue_of(rq)->running_ns, until_ns);
}

/* The parameters of @a; what is left of the budget is cut to the new rate. */
static void set_parameters(struct deadline *d, const struct sched_attr *a, uint64_t now_ns)
{
	uint64_t until_ns;

	d->runtime_ns = a->sched_runtime;
	d->relative_ns = a->sched_deadline;
	d->period_ns = a->sched_period ? a->sched_period : a->sched_deadline;
	d->flags = (uint32_t)a->sched_flags;
	if (!d->deadline_ns || d->left_ns <= 0)
		return;
	if (d->deadline_ns <= now_ns) { /* tardy: a new job */
		d->deadline_ns = 0;
		return;
	}
	until_ns = MIN(d->deadline_ns - now_ns, d->relative_ns);
	d->left_ns = MIN(d->left_ns, (int64_t)(until_ns * d->runtime_ns / d->relative_ns));
}

void deadline_change(struct runqueue *rq, struct thread *t, const struct sched_attr *a)
{
	uint64_t now_ns = time_now_ns();
	struct deadline *d;

	if (a->sched_policy != SCHED_DEADLINE) {
		leave(rq, t);
	} else {
		if (!t->sched.deadline) {
			t->sched.deadline = deadline_next;
			deadline_next = NULL;
			t->sched.deadline->thread = t;
		}
		d = t->sched.deadline;
		spin_lock(&d->lock);
		set_parameters(d, a, now_ns);
		if (rq->curr == t && !d->deadline_ns)
			deadline_begin_job(d, now_ns);
		spin_unlock(&d->lock);
		deadline_recount(rq, d);
		if (rq->curr == t)
			deadline_count(rq, d);
		t->sched.own_priority = DEADLINE_LEVEL;
	}
	if (rq->curr == t)
		deadline_runs(rq, t);
}

LOCK_UNCHECKED void deadline_affinity_changes(struct thread *t, bool begins)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	struct deadline *d = t->sched.deadline;
	bool here = t->sched.state == THREAD_RUNNABLE && !(t->sched.unusual & SCHED_MOVE);

	if (d) {
		d->moving = begins;
		if (begins)
			deadline_uncount(rq, d);
	}
	if (d && !begins && here) {
		deadline_count(rq, d);
		if (rq->curr != t && !(t->sched.unusual & SCHED_THROTTLED)) {
			take_ready(rq, t);
			put_or_push(rq, t);
		}
	}
	spin_unlock_irqrestore(&rq->lock, flags);
}

/* Until there is a deadline thread anybody may call either function: for others they are equal. */
static void take_class(void)
{
	rt = rt_class;
	atomic_store_release(&rt_class.enqueue, deadline_enqueue);
	atomic_store_release(&rt_class.dequeue, deadline_dequeue);
	atomic_store_release(&rt_class.charge, deadline_charge);
	atomic_store_release(&rt_class.stop, deadline_stop);
	atomic_store_release(&rt_class.start, deadline_start);
	atomic_store_release(&rt_class.slice_ns, deadline_slice_ns);
	atomic_store_release(&rt_class.preempts, deadline_preempts);
	atomic_store_release(&rt_class.steal, deadline_steal);
}

int deadline_install(void)
{
	struct deadline_queue *queues = page_alloc_zero(page_order(cpu_count * sizeof(*queues)));

	if (!queues)
		return -ENOMEM;
	for (unsigned i = 0; i < cpu_count; i++) {
		timer_init(&queues[i].timer, replenish_due);
		queues[i].cpu = cpu_at(i);
		queues[i].running_ns = UINT64_MAX;
		queues[i].movable_ns = UINT64_MAX;
	}
	deadline_queues = queues;
	atomic_store_release(&balance_seek, deadline_pull);
	atomic_store_release(&inherit_deadline, &deadline_inherit);
	mutex_lock(&rt_class_mutex);
	take_class();
	mutex_unlock(&rt_class_mutex);
	return 0;
}
