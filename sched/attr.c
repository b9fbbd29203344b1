/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes of threads: class, priority, nice, affinity, CPU time; and what a new thread or CPU
 * starts with. A change to a thread that waits takes it out of its queue and puts it back under the
 * same lock; to one that runs elsewhere, it makes that CPU look again.
 */
#include "sched/balance.h"
#include "sched/group.h"
#include "sched/sched.h"
#include "sched/util.h"
#include "core/irq.h"
#include "core/sync.h"

const struct deadline_hooks *deadline_hooks;
const struct sporadic_hooks *sporadic_hooks;
const struct ext_hooks *ext_hooks;
struct mutex rt_class_mutex = MUTEX_INIT;

_Static_assert(sizeof(struct sched_attr) == 48, "as sched_attr_fault() says");

void sched_init_cpu(struct cpu *cpu, struct thread *idle)
{
	struct runqueue *rq = &cpu->rq;

	*rq = (struct runqueue){ .curr = idle, .idle = idle, .slice_end_ns = UINT64_MAX };
	spin_init(&rq->lock, LOCK_RUNQUEUE);
	eevdf_init(&rq->fair);
	server_init(rq);
	list_init(&rq->outgoing);
	for (unsigned i = 0; i < ARRAY_SIZE(rq->rt.level); i++)
		list_init(&rq->rt.level[i]);
	if (cpu != arch_cpu_self())
		rq->peers = arch_cpu_self()->rq.peers = 1;
	idle->sched =
		(struct sched_entity){ .rank = RANK_IDLE, .state = THREAD_RUNNABLE, .cpu = cpu };
}

static bool is_real_time(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_SPORADIC;
}

static bool is_fair(uint32_t policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ||
	       policy == SCHED_EXT;
}

enum fault {
	FAULT_NONE,
	FAULT_SIZE,
	FAULT_POLICY,
	FAULT_FLAGS,
	FAULT_NICE,
	FAULT_RT_PRIORITY,
	FAULT_FAIR_PRIORITY,
	FAULT_RUNTIME,
	FAULT_DEADLINE,
	FAULT_PERIOD,
};

/* The field that is wrong, and what was expected of it. */
static const struct {
	const char *field, *expected;
} faults[] = {
	[FAULT_SIZE] = { "size", "48, the size of the structure" },
	[FAULT_POLICY] = { "sched_policy",
			   "OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5, EXT 7; SPORADIC 4 "
			   "and DEADLINE 6 after sched_..._use()" },
	[FAULT_FLAGS] = { "sched_flags", "0" },
	[FAULT_NICE] = { "sched_nice", "-20..19" },
	[FAULT_RT_PRIORITY] = { "sched_priority", "1..99 for FIFO and RR" },
	[FAULT_FAIR_PRIORITY] = { "sched_priority", "0 for OTHER, BATCH and IDLE" },
	[FAULT_RUNTIME] = { "sched_runtime",
			    "100000..100000000 ns for OTHER, BATCH and IDLE, or 0" },
	[FAULT_DEADLINE] = { "sched_deadline", "0" },
	[FAULT_PERIOD] = { "sched_period", "0" },
};

/* In the order of the fields: the first one that is wrong. */
static enum fault find_fault(const struct sched_attr *a)
{
	bool rt = is_real_time(a->sched_policy);

	if (a->sched_policy == SCHED_SPORADIC || (!rt && !is_fair(a->sched_policy)))
		return FAULT_POLICY;
	if (a->sched_flags)
		return FAULT_FLAGS;
	if (rt) {
		if (a->sched_priority < 1 || a->sched_priority > 99)
			return FAULT_RT_PRIORITY;
		if (a->sched_runtime)
			return FAULT_RUNTIME;
	} else {
		if (a->sched_nice < -20 || a->sched_nice > 19)
			return FAULT_NICE;
		if (a->sched_priority)
			return FAULT_FAIR_PRIORITY;
		if (a->sched_runtime && (a->sched_runtime < SCHED_SLICE_MIN_NS ||
					 a->sched_runtime > SCHED_SLICE_MAX_NS))
			return FAULT_RUNTIME;
	}
	if (a->sched_deadline)
		return FAULT_DEADLINE;
	return a->sched_period ? FAULT_PERIOD : FAULT_NONE;
}

const char *sched_attr_fault(const struct sched_attr *a, const char **expected)
{
	enum fault fault = FAULT_SIZE;

	if (a->size == sizeof(*a)) {
		if (a->sched_policy == SCHED_DEADLINE && atomic_load_acquire(&deadline_hooks))
			return deadline_hooks->fault(a, expected);
		if (a->sched_policy == SCHED_SPORADIC && atomic_load_acquire(&sporadic_hooks))
			return sporadic_hooks->fault(a, expected);
		fault = find_fault(a);
	}
	*expected = faults[fault].expected;
	return faults[fault].field;
}

static uint32_t weight_of(const struct sched_attr *a)
{
	if (a->sched_policy == SCHED_IDLE)
		return EEVDF_WEIGHT_IDLE;
	return eevdf_nice_weight[a->sched_nice + 20];
}

static uint64_t slice_of(const struct sched_attr *a)
{
	return a->sched_runtime ? a->sched_runtime : FAIR_SLICE_NS;
}

static uint16_t fair_rank(const struct sched_entity *s, uint32_t policy)
{
	return unlikely(s->ext) ? ext_hooks->rank(s, policy) : RANK_FAIR;
}

static __noinline uint16_t own_rank(const struct sched_entity *s)
{
	return s->own_priority ? (uint16_t)(RANK_RT + s->own_priority) : fair_rank(s, s->policy);
}

/* The own rank that @a gives. */
static uint16_t attr_rank(const struct sched_attr *a)
{
	if (a->sched_policy == SCHED_DEADLINE)
		return RANK_DEADLINE;
	return (uint16_t)(is_real_time(a->sched_policy) ? RANK_RT + a->sched_priority : RANK_FAIR);
}

/* What it runs with from now on; a borrowed rank below deadlines knows no slices. */
static void set_rank(struct sched_entity *s)
{
	uint16_t own = own_rank(s);

	atomic_store_relaxed(&s->rank, MAX(own, s->borrowed_rank));
	s->priority = s->rank > RANK_RT ? (uint8_t)(s->rank - RANK_RT) : 0;
	s->unusual &= (uint8_t) ~(SCHED_SLICED | SCHED_FLAT);
	if (s->rank == RANK_FAIR)
		s->unusual |= s->unusual & SCHED_GROUPED ? SCHED_SLICED : SCHED_SLICED | SCHED_FLAT;
	else if (s->rank == RANK_DEADLINE || s->rank == RANK_EXT ||
		 (s->rank == own && (s->policy == SCHED_RR || s->policy == SCHED_SPORADIC)))
		s->unusual |= SCHED_SLICED;
}

static void set_policy(struct sched_entity *s, const struct sched_attr *a)
{
	s->policy = (uint8_t)a->sched_policy;
	s->own_priority = (uint8_t)a->sched_priority;
	s->nice = is_real_time(a->sched_policy) ? 0 : (int8_t)a->sched_nice;
	s->rr_left_ns = RR_QUANTUM_NS;
}

int sched_thread_init(struct thread *t, const struct thread_attr *attr)
{
	struct sched_entity *s = &t->sched;
	struct sched_attr a = {
		.size = sizeof(a),
		.sched_policy = attr->policy,
		.sched_nice = attr->nice,
		.sched_priority = attr->priority,
		.sched_runtime = attr->slice_ns,
	};
	const char *expected;

	if (attr->sched)
		a = *attr->sched;
	if (sched_attr_fault(&a, &expected) || a.sched_policy == SCHED_DEADLINE)
		return -EINVAL;
	s->state = THREAD_WAKING;
	s->unusual = 0;
	s->cpu = NULL;
	s->group = NULL;
	s->deadline = NULL;
	s->place.lent = NULL;
	s->place.counted_bw = 0;
	s->runtime_ns = 0;
	s->standing.weight = 0;
	s->util = (struct util){ .avg = UTIL_NEW << UTIL_SHIFT, .at_ns = (time_now_ns)() };
	s->borrowed_rank = 0;
	s->sporadic = NULL;
	s->ext = NULL;
	set_policy(s, &a);
	if (unlikely(a.sched_policy == SCHED_SPORADIC) && sporadic_hooks->init(t, &a))
		return -ENOMEM;
	set_rank(s);
	if (s->rank == RANK_FAIR)
		eevdf_entity_init(&s->fair, weight_of(&a), slice_of(&a));
	return 0;
}

void sched_thread_undo(struct thread *t)
{
	unsigned long flags = arch_irq_save();

	if (t->sched.sporadic)
		sporadic_hooks->undo(t);
	arch_irq_restore(flags);
}

/* Takes over @a, but for the rank, with which it stands in a queue. */
static void set_attributes(struct runqueue *rq, struct thread *t, const struct sched_attr *a)
{
	struct eevdf_entity *e = &t->sched.fair;
	bool was_fair = is_fair(t->sched.policy);
	uint64_t slice_ns = slice_of(a);
	uint32_t weight;

	set_policy(&t->sched, a);
	if (unlikely(t->sched.deadline || a->sched_policy == SCHED_DEADLINE))
		deadline_hooks->change(rq, t, a);
	if (unlikely(t->sched.sporadic || a->sched_policy == SCHED_SPORADIC))
		sporadic_hooks->change(t, a);
	if (!is_fair(a->sched_policy))
		return;
	weight = weight_of(a);
	if (!was_fair)
		return eevdf_entity_init(e, weight, slice_ns);
	eevdf_set(group_queue(rq, group_on(rq, t)), e, weight, slice_ns);
	if (e->joined) {
		rq->fair_longest_ns = MAX(rq->fair_longest_ns, e->slice_ns);
		arch_sched_event(SCHED_EVENT_WEIGHT, cpu_of_rq(rq), t, NULL, e->weight);
	}
}

/*
 * What is to be changed about a thread: all its attributes, or only the rank that it has borrowed
 * (@attr NULL). @head: it goes before those of its new priority, else behind them (POSIX).
 */
struct change {
	const struct sched_attr *attr;
	bool head;
};

/*
 * The thread that runs changes class: it leaves the sums of the old one and enters those of the new
 * one as its running thread.
 */
static void change_running(struct runqueue *rq, struct thread *t, struct change c)
{
	bool was_fair = t->sched.rank == RANK_FAIR, has_lag = is_fair(t->sched.policy);
	uint32_t policy = c.attr ? c.attr->sched_policy : t->sched.policy;
	bool fair = is_fair(policy) && t->sched.borrowed_rank < RANK_RT &&
		    fair_rank(&t->sched, policy) == RANK_FAIR;

	if (was_fair && !fair)
		fair_class.stop(rq, t, STOP_BLOCKED);
	if (c.attr)
		set_attributes(rq, t, c.attr);
	set_rank(&t->sched);
	if (!was_fair && fair) {
		fair_class.enter(rq, t, has_lag ? EEVDF_PLACE_WAKE : EEVDF_PLACE_NEW);
	}
	t->sched.unusual &= (uint8_t)~SCHED_TAIL;
	if (c.attr && !c.head && !fair && t->sched.rank == own_rank(&t->sched))
		t->sched.unusual |= SCHED_TAIL;
	if (cpu_of_rq(rq) == arch_cpu_self())
		rq->slice_end_ns = UINT64_MAX; /* if a rescheduling follows, it sets it */
}

/*
 * Where a loan ends, it goes before those who have the lower rank by themselves. While it runs with
 * a borrowed one it keeps its place, whatever its own is.
 */
static void change_waiting(struct runqueue *rq, struct thread *t, struct change c)
{
	bool runnable = t->sched.state == THREAD_RUNNABLE && !(t->sched.unusual & SCHED_MOVE);
	bool was_fair = t->sched.rank == RANK_FAIR, has_lag = is_fair(t->sched.policy);
	uint16_t old = t->sched.rank;
	bool stays = c.attr && old > RANK_FAIR && old < RANK_DEADLINE &&
		     old == t->sched.borrowed_rank && attr_rank(c.attr) < old;

	if (runnable && !stays)
		class_of(t)->dequeue(rq, t);
	else if (was_fair && t->sched.fair.delayed)
		fair_leave_delayed(rq, t);
	if (c.attr)
		set_attributes(rq, t, c.attr);
	set_rank(&t->sched);
	if (!runnable || stays)
		return;
	if (t->sched.rank > RANK_FAIR && t->sched.rank < RANK_DEADLINE &&
	    (c.attr ? c.head : t->sched.rank < old)) {
		rt_put_head(&rq->rt, t);
		rq->nr_ready++;
	} else {
		sched_enqueue(rq, t,
			      was_fair || (!c.attr && t->sched.rank == RANK_DEADLINE) ?
				      EEVDF_PLACE_MOVE :
			      has_lag ? EEVDF_PLACE_WAKE :
					EEVDF_PLACE_NEW);
	}
}

/* @t, alive, is changed, and gets the rank that follows. True: its CPU must act. */
static bool change(struct runqueue *rq, struct thread *t, struct change c)
{
	uint64_t rr_left_ns = t->sched.rr_left_ns;
	bool throttled = t->sched.unusual & SCHED_THROTTLED;
	uint16_t old = t->sched.rank;
	bool act;

	if (rq_has_fair_running(rq) || rq->curr == t) /* so far it ran in its old class */
		sched_charge_curr(rq);
	fair_settle(rq);
	fair_release(rq, 0);
	if (rq->curr == t) {
		rr_left_ns = t->sched.rr_left_ns;
		change_running(rq, t, c);
		act = c.attr || t->sched.rank < old;
		if (old > RANK_RT && t->sched.rank == RANK_FAIR)
			server_fair_runs(rq);
		if (old > RANK_RT && t->sched.rank == RANK_FAIR && rq->rt.elsewhere)
			rt_falls(rq, 0);
		if (rq->peers && rq->rt.highest && t->sched.rank > old)
			rt_waits(rq, rt_first(&rq->rt)); /* was to come next, and may not now */
		if (rq->fair.nr && t->sched.rank > RANK_RT)
			monitor_watch(); /* the same */
		if (t->sched.rank != old && cpu_of_rq(rq) != arch_cpu_self())
			t->sched.unusual |= SCHED_HOOK; /* see sched_rank_waiter() */
	} else {
		change_waiting(rq, t, c);
		act = t->sched.state == THREAD_RUNNABLE && sched_check_preempt(rq, t);
		if (unlikely(throttled)) /* it did not wait for the CPU before */
			balance_kick_idle(cpu_of_rq(rq), &t->affinity);
	}
	if (c.head)
		t->sched.rr_left_ns = rr_left_ns; /* it goes on where it was */
	if (t->sched.rank != RANK_FAIR)
		t->sched.unusual &= (uint8_t)~SCHED_GROUPED;
	else if (t->sched.group)
		fair_mark(t);
	if (unlikely(t->sched.ext) && t->sched.rank != old)
		ext_hooks->changed(rq, t, old);
	return act;
}

static void get_attr(const struct thread *t, struct sched_attr *a)
{
	const struct sched_entity *s = &t->sched;

	*a = (struct sched_attr){
		.size = sizeof(*a),
		.sched_policy = s->policy,
		.sched_nice = s->nice,
		.sched_priority = s->own_priority,
		.sched_runtime = is_fair(s->policy) ? s->fair.slice_ns : 0,
	};
	if (unlikely(s->deadline))
		deadline_hooks->get_attr(t, a);
	if (unlikely(s->sporadic))
		sporadic_hooks->get_attr(t, a);
}

LOCK_UNCHECKED void sched_get_attr(struct thread *t, struct sched_attr *a)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);

	get_attr(t, a);
	spin_unlock_irqrestore(&rq->lock, flags);
}

bool sched_rank_changed(struct runqueue *rq, struct thread *t)
{
	return change(rq, t, (struct change){ 0 });
}

void sched_rank_follows(struct thread *t)
{
	set_rank(&t->sched);
}

void sched_rank_lost(struct thread *t)
{
	t->sched.borrowed_rank = 0;
	set_rank(&t->sched);
	if (t->sched.rank == RANK_FAIR && t->sched.group)
		fair_mark(t);
}

/*
 * Unlocks; makes the CPU look again when @act: another one by an interrupt, this one when it
 * reschedules.
 */
static LOCK_UNCHECKED void unlock_and_act(struct runqueue *rq, bool act)
{
	struct cpu *cpu = cpu_of_rq(rq);

	if (act)
		rq->resched = 1;
	spin_unlock(&rq->lock);
	if (act && cpu != arch_cpu_self())
		ipi_send(cpu);
}

LOCK_UNCHECKED bool sched_lend(struct thread *t, uint16_t rank, const struct loan *loan)
{
	struct runqueue *rq = rq_lock_thread(t);
	uint16_t old = t->sched.rank;
	bool act = false, changed;

	if (unlikely(rank == RANK_DEADLINE || t->sched.place.lent)) {
		act = deadline_hooks->lend(rq, t, rank, loan);
		changed = true;
	} else {
		t->sched.borrowed_rank = rank;
		if (t->sched.state != THREAD_DEAD && MAX(own_rank(&t->sched), rank) != old)
			act = change(rq, t, (struct change){ 0 });
		changed = t->sched.rank != old;
	}
	unlock_and_act(rq, act);
	return changed;
}

/*
 * rank vs wait
 *   CPU 0: changes the rank of T           CPU 1: T
 *   .                                      lock(q), T queued by its old rank
 *   lock(rq1), new rank, T runs: marked    .
 *   unlock(rq1)                            lock(rq1), T blocked; marked: finds its new place
 *   .                                      unlock(q), unlock(rq1)
 *   looks again: T has its place           (the other order: T is blocked and finds no mark)
 *
 * While T is blocked and its rq is locked neither T can return from the wait nor whoever woke it
 * from sched_wake(), so q is there. Its lock comes before rq's and is therefore only tried.
 */
__cold LOCK_UNCHECKED void sched_rank_waiter(struct thread *t)
{
	while (atomic_load_relaxed(&t->waiter.queue)) {
		struct runqueue *rq = rq_lock_thread(t);
		struct wait_queue *q = atomic_load_relaxed(&t->waiter.queue);
		bool waits = q && t->sched.state == THREAD_BLOCKED;
		bool locked = waits && spin_trylock(&q->lock);

		if (locked && atomic_load_relaxed(&t->waiter.queue) == q)
			wait_rank_again(q, &t->waiter, t->sched.rank);
		if (locked)
			spin_unlock(&q->lock);
		spin_unlock(&rq->lock);
		if (locked || !waits)
			return;
		arch_cpu_relax();
	}
}

LOCK_UNCHECKED void sched_rank_refresh(struct thread *t)
{
	struct runqueue *rq = rq_lock_thread(t);
	bool act = false;

	if (t->sched.state != THREAD_DEAD &&
	    MAX(own_rank(&t->sched), t->sched.borrowed_rank) != t->sched.rank)
		act = change(rq, t, (struct change){ 0 });
	unlock_and_act(rq, act);
}

__cold void sched_ext_ends(struct thread *t)
{
	ext_hooks->ends(t);
}

/* With @rq, the thread's, locked: unlocks it. */
static LOCK_UNCHECKED int set_attr(struct runqueue *rq, struct thread *t, struct change c,
				   unsigned long flags)
{
	if (t->sched.state == THREAD_DEAD) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return -ESRCH;
	}
	unlock_and_act(rq, change(rq, t, c));
	inherit_rank_changed(t);
	sched_reschedule_self(flags);
	return 0;
}

LOCK_UNCHECKED int sched_set_attr(struct thread *t, const struct sched_attr *attr)
{
	const char *expected;

	if (sched_attr_fault(attr, &expected))
		return -EINVAL;
	if (unlikely(attr->sched_policy == SCHED_DEADLINE))
		return deadline_hooks->set_attr(t, attr);
	if (unlikely(attr->sched_policy == SCHED_SPORADIC))
		return sporadic_hooks->set_attr(t, attr);
	return sched_apply_attr_any(t, attr);
}

LOCK_UNCHECKED int sched_apply_attr(struct thread *t, const struct sched_attr *a,
				    const struct cpumask *mask, const struct deadline *d)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);

	if (t->sched.deadline == d && cpumask_equal(&t->affinity, mask))
		return set_attr(rq, t, (struct change){ .attr = a }, flags);
	spin_unlock_irqrestore(&rq->lock, flags);
	return -EAGAIN;
}

LOCK_UNCHECKED int sched_apply_attr_any(struct thread *t, const struct sched_attr *a)
{
	unsigned long flags = arch_irq_save();

	return set_attr(rq_lock_thread(t), t, (struct change){ .attr = a }, flags);
}

LOCK_UNCHECKED int sched_set_policy(struct thread *t, int policy, int priority, int nice)
{
	struct sched_attr a = {
		.size = sizeof(a),
		.sched_policy = (uint32_t)policy,
		.sched_nice = nice,
		.sched_priority = (uint32_t)priority,
	};
	const char *expected;
	unsigned long flags;
	struct runqueue *rq;

	if (sched_attr_fault(&a, &expected))
		return -EINVAL;
	flags = arch_irq_save();
	rq = rq_lock_thread(t);
	if (is_fair(t->sched.policy) && is_fair(a.sched_policy))
		a.sched_runtime = t->sched.fair.slice_ns;
	return set_attr(rq, t, (struct change){ .attr = &a }, flags);
}

LOCK_UNCHECKED int sched_set_priority(struct thread *t, int priority)
{
	const char *expected;
	struct sched_attr a;
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	int old, err = 0;

	get_attr(t, &a);
	old = (int)a.sched_priority;
	a.sched_priority = (uint32_t)priority;
	if (sched_attr_fault(&a, &expected))
		err = -EINVAL;
	else if (t->sched.state == THREAD_DEAD)
		err = -ESRCH;
	if (err || priority == old) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return err;
	}
	return set_attr(rq, t, (struct change){ .attr = &a, .head = priority < old }, flags);
}

/* @t, runnable and not running, leaves the place where it waits. */
static void stop_waiting(struct runqueue *rq, struct thread *t)
{
	if (t->sched.unusual & SCHED_MOVE) {
		balance_keep(t);
	} else {
		if (rq_has_fair_running(rq))
			sched_charge_curr(rq);
		class_of(t)->dequeue(rq, t);
	}
}

/* True: @rq's CPU must look again. */
bool sched_affinity_changed(struct runqueue *rq, struct thread *t, bool allowed)
{
	bool waiting = t->sched.state == THREAD_RUNNABLE && rq->curr != t;
	bool was_leaving = t->sched.unusual & SCHED_MOVE;

	if (allowed && !was_leaving) {
		if (waiting && rq->peers && t->sched.rank > RANK_RT)
			rt_waits(rq, t);
		if (!waiting || likely(t->sched.rank != RANK_EXT))
			return false; /* a policy has to be told */
	}
	if (waiting)
		stop_waiting(rq, t);
	t->sched.unusual &= (uint8_t)~SCHED_MOVE;
	if (!allowed)
		t->sched.unusual |= SCHED_MOVE;
	if (waiting && !allowed)
		balance_send_away(rq, t);
	if (waiting && allowed) {
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		return sched_check_preempt(rq, t);
	}
	return rq->curr == t && !allowed;
}

static LOCK_UNCHECKED int set_affinity(struct thread *t, const struct cpumask *mask, bool admitted)
{
	unsigned long flags;
	struct cpumask usable;
	struct runqueue *rq;
	bool act = false;

	flags = arch_irq_save();
	rq = rq_lock_thread(t);
	if (unlikely(t->sched.deadline && !admitted)) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return deadline_hooks->set_affinity(t, mask);
	}
	cpumask_atomic_and(&usable, mask, &cpu_online_mask);
	if (cpumask_empty(&usable)) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return -EINVAL;
	}
	t->affinity = *mask;
	if (t->sched.state != THREAD_DEAD)
		act = sched_affinity_changed(rq, t, cpumask_test(&usable, cpu_of_rq(rq)->index));
	if (t->sched.state == THREAD_RUNNABLE && rq->curr != t && !(t->sched.unusual & SCHED_MOVE))
		balance_kick_idle(cpu_of_rq(rq), mask); /* it may now run where nobody does */
	unlock_and_act(rq, act);
	sched_reschedule_self(flags);
	return 0;
}

int sched_set_affinity(struct thread *t, const struct cpumask *mask)
{
	return set_affinity(t, mask, false);
}

int sched_apply_affinity(struct thread *t, const struct cpumask *mask)
{
	return set_affinity(t, mask, true);
}

LOCK_UNCHECKED uint64_t sched_runtime_ns(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	uint64_t runtime_ns = t->sched.runtime_ns;

	if (rq->curr == t)
		runtime_ns += time_now_ns() - rq->since_ns;
	spin_unlock_irqrestore(&rq->lock, flags);
	return runtime_ns;
}

/*
 * One that runs is interrupted. All are marked, since one that runs may block before the interrupt
 * comes: when a marked one is next switched to, its CPU interrupts itself. So the hook is run at
 * the end of a trap in any case, and nobody who returns from a wait has to look.
 */
LOCK_UNCHECKED void sched_notify(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	bool running = rq->curr == t;

	t->sched.unusual |= SCHED_HOOK;
	spin_unlock(&rq->lock);
	if (running)
		ipi_send(cpu_of_rq(rq));
	arch_irq_restore(flags);
}
