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
 *     one; it is not in rq->nr_ready. Its server's budget is 0 or less.
 *  D3 the first throttled one's time has come, or the queue's timer is armed for it or earlier, or
 *     its function is about to look.
 *
 * All is called with rq->lock held unless it says otherwise.
 */
#include "sched/deadline.h"
#include "core/irq.h"
#include "core/mem/page.h"
#include "sched/balance.h"

#define REPLENISH_MAX 8 /* at one interrupt */

/* Without deadlines. */
static struct sched_class rt;

struct deadline_queue *deadline_queues;
struct deadline *deadline_next;

static void (*overrun_fn)(struct thread *self);

static bool reclaims(const struct deadline *d)
{
	return d->flags & SCHED_FLAG_RECLAIM;
}

static bool has_deadline(const struct thread *t)
{
	return t->sched.rank == RANK_DEADLINE;
}

static struct deadline *deadline_of(struct rb_node *n)
{
	return container_of(n, struct deadline, node);
}

/* ---- the server: pure rules ------------------------------------------------------------------ */

/* When the period after the one that ends with the absolute deadline begins. */
static uint64_t next_period_ns(const struct deadline *d)
{
	return d->deadline_ns - d->relative_ns + d->period_ns;
}

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

/* True: it may run; else not before next_period_ns(). */
static bool begin_job(struct deadline *d, uint64_t now_ns)
{
	if (!d->deadline_ns || now_ns >= MAX(d->deadline_ns, next_period_ns(d))) {
		new_deadline(d, now_ns);
	} else if (now_ns >= d->deadline_ns) { /* D < P, and the rest of P is to come */
		d->left_ns = MIN(d->left_ns, 0);
	} else if (d->left_ns > 0) {
		keep_or_renew(d, now_ns);
	}
	return d->left_ns > 0;
}

/* The next period has begun. */
static void replenish(struct deadline *d, uint64_t now_ns)
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
	return container_of(a, struct deadline, node)->deadline_ns <
	       container_of(b, struct deadline, node)->deadline_ns;
}

static bool is_due_earlier(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct deadline, node)->at_ns <
	       container_of(b, struct deadline, node)->at_ns;
}

static void put_ready(struct runqueue *rq, struct deadline *d)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	bool was_empty = rb_empty(&q->ready);

	rb_insert(&q->ready, &d->node, is_earlier);
	if (was_empty)
		rt_put_head(&rq->rt, d->thread);
	else if (rb_first(&q->ready) == &d->node)
		rt_set_front(&rq->rt, d->thread);
	rq->nr_ready++;
	d->movable = deadline_is_movable(d->thread);
	q->nr_movable += d->movable;
	if (d->movable)
		deadline_publish(q);
}

static void take_ready(struct runqueue *rq, struct deadline *d)
{
	struct deadline_queue *q = deadline_queue_of(rq);

	rb_erase(&q->ready, &d->node);
	q->nr_movable -= d->movable;
	if (d->movable)
		deadline_publish(q);
	if (rb_empty(&q->ready))
		rt_take(&rq->rt, d->thread);
	else
		rt_set_front(&rq->rt, deadline_of(rb_first(&q->ready))->thread);
	rq->nr_ready--;
}

/* Others of the class go first. */
static bool has_to_wait(const struct runqueue *rq, const struct deadline *d)
{
	const struct deadline_queue *q = deadline_queue_of(rq);

	return rb_first(&q->ready) != &d->node || q->running_ns <= d->deadline_ns;
}

/* @d waits here, or is sent to a CPU where it runs at once. */
static void put_or_push(struct runqueue *rq, struct deadline *d)
{
	struct cpu *to;

	put_ready(rq, d);
	if (likely(!d->movable) || !has_to_wait(rq, d))
		return;
	to = deadline_find_cpu(rq, d);
	if (!to)
		return;
	take_ready(rq, d);
	d->thread->sched.unusual |= SCHED_MOVE;
	rq->push_to = to;
	balance_send_away(rq, d->thread);
}

/* Any CPU's timer queue will do: the function looks at @q's. */
static void arm(struct deadline_queue *q)
{
	if (rb_empty(&q->throttled))
		return;
	timer_cancel(&q->timer);
	timer_add(&q->timer, deadline_of(rb_first(&q->throttled))->at_ns);
}

static void put_throttled(struct runqueue *rq, struct deadline *d)
{
	struct deadline_queue *q = deadline_queue_of(rq);

	d->thread->sched.unusual |= SCHED_THROTTLED;
	rb_insert(&q->throttled, &d->node, is_due_earlier);
	if (rb_first(&q->throttled) == &d->node)
		arm(q);
}

/* The timer may come for nobody. */
static void take_throttled(struct runqueue *rq, struct deadline *d)
{
	d->thread->sched.unusual &= (uint8_t)~SCHED_THROTTLED;
	rb_erase(&deadline_queue_of(rq)->throttled, &d->node);
}

/* Has nothing left: true, and it waits for its next period; false: that has begun already. */
static bool throttle(struct runqueue *rq, struct deadline *d, uint64_t now_ns)
{
	uint64_t at_ns = next_period_ns(d);

	if (at_ns <= now_ns) {
		replenish(d, now_ns);
		return false;
	}
	d->at_ns = at_ns;
	put_throttled(rq, d);
	return true;
}

static struct thread *due(struct deadline_queue *q, uint64_t now_ns)
{
	struct rb_node *n = rb_first(&q->throttled);

	return n && deadline_of(n)->at_ns <= now_ns ? deadline_of(n)->thread : NULL;
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
		uint64_t now_ns = time_now_ns();

		t = due(q, now_ns);
		if (!t)
			break;
		take_throttled(rq, t->sched.deadline);
		replenish(t->sched.deadline, now_ns);
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
		left_ns = d->left_ns - (int64_t)(time_now_ns() - rq->since_ns);
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

/* A wake-up begins a job; one that comes from another CPU goes on with its own. */
static void deadline_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place place)
{
	struct deadline *d = t->sched.deadline;
	uint64_t now_ns;

	if (!has_deadline(t)) {
		rt.enqueue(rq, t, place);
		return;
	}
	if (has_deadline(rq->curr) && reclaims(rq->curr->sched.deadline))
		sched_charge_curr(rq); /* before anybody else counts */
	deadline_count(rq, d);
	now_ns = time_now_ns();
	if (place != EEVDF_PLACE_MOVE || !d->deadline_ns)
		begin_job(d, now_ns);
	if (d->left_ns > 0 || !throttle(rq, d, now_ns))
		put_or_push(rq, d);
}

static void deadline_dequeue(struct runqueue *rq, struct thread *t)
{
	if (!has_deadline(t)) {
		rt.dequeue(rq, t);
		return;
	}
	if (t->sched.unusual & SCHED_THROTTLED)
		take_throttled(rq, t->sched.deadline);
	else
		take_ready(rq, t->sched.deadline);
	deadline_uncount(rq, t->sched.deadline);
}

static void deadline_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	struct deadline *d = t->sched.deadline;

	if (!has_deadline(t))
		rt.charge(rq, t, delta_ns);
	else if (reclaims(d))
		d->left_ns -= (int64_t)deadline_reclaimed(rq, d, delta_ns);
	else
		d->left_ns -= (int64_t)delta_ns;
}

/* @t is not of the class any more; its bandwidth is in use a while longer. */
static void leave(struct runqueue *rq, struct thread *t)
{
	struct deadline *d = t->sched.deadline;

	t->sched.deadline = NULL;
	d->gone_ns = zero_lag_ns(d, time_now_ns());
	deadline_gone(rq, d);
	atomic_store_release(&d->thread, (struct thread *)NULL);
}

static void deadline_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	struct deadline *d = t->sched.deadline;

	if (!has_deadline(t)) {
		rt.stop(rq, t, why);
		return;
	}
	if (why == STOP_YIELDED)
		d->left_ns = MIN(d->left_ns, 0);
	else if (d->left_ns <= 0 && why == STOP_PREEMPTED)
		note_overrun(t);
	atomic_store_relaxed(&q->running_ns, UINT64_MAX);
	if (why == STOP_BLOCKED && t->sched.state == THREAD_DEAD) {
		leave(rq, t);
	} else if (why == STOP_BLOCKED && t->sched.state == THREAD_BLOCKED) {
		deadline_owe(rq, d, zero_lag_ns(d, rq->since_ns));
	} else if (why == STOP_BLOCKED) { /* it goes to another CPU */
		deadline_uncount(rq, d);
	} else if (d->left_ns > 0 || !throttle(rq, d, rq->since_ns)) {
		put_or_push(rq, d);
		return;
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
	take_ready(rq, t->sched.deadline);
	atomic_store_relaxed(&deadline_queue_of(rq)->running_ns, t->sched.deadline->deadline_ns);
}

static uint64_t deadline_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	if (!has_deadline(t))
		return rt.slice_ns(rq, t);
	if (t->sched.deadline->left_ns <= 0)
		return 0;
	if (reclaims(t->sched.deadline))
		return deadline_reclaim_slice_ns(rq, t->sched.deadline);
	return (uint64_t)t->sched.deadline->left_ns;
}

static bool deadline_preempts(struct runqueue *rq, struct thread *t)
{
	if (!has_deadline(t))
		return rt.preempts && rt.preempts(rq, t);
	if (reclaims(rq->curr->sched.deadline)) /* it needs another slice */
		return true;
	return !(t->sched.unusual & (SCHED_THROTTLED | SCHED_MOVE)) &&
	       t->sched.deadline->deadline_ns < rq->curr->sched.deadline->deadline_ns;
}

static struct thread *deadline_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct rb_node *n = rb_first(&deadline_queue_of(rq)->ready);

	for (unsigned i = 0; n && i < STEAL_SCAN; n = rb_next(n), i++)
		if (cpumask_intersects(&deadline_of(n)->thread->affinity, cpus))
			return deadline_of(n)->thread;
	return rt.steal(rq, cpus);
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
		if (rq->curr == t)
			atomic_store_relaxed(&deadline_queue_of(rq)->running_ns, UINT64_MAX);
		return;
	}
	if (!t->sched.deadline) {
		t->sched.deadline = deadline_next;
		deadline_next = NULL;
		t->sched.deadline->thread = t;
	}
	d = t->sched.deadline;
	set_parameters(d, a, now_ns);
	deadline_recount(rq, d);
	if (rq->curr == t && !d->deadline_ns)
		begin_job(d, now_ns);
	if (rq->curr == t)
		deadline_count(rq, d);
	if (rq->curr == t)
		atomic_store_relaxed(&deadline_queue_of(rq)->running_ns, d->deadline_ns);
	t->sched.own_priority = DEADLINE_LEVEL;
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
			take_ready(rq, d);
			put_or_push(rq, d);
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
	struct deadline_queue *queues;
	unsigned order = 0;

	while ((PAGE_SIZE << order) < cpu_count * sizeof(*queues))
		order++;
	queues = page_alloc_zero(order);
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
	take_class();
	return 0;
}
