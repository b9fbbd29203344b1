/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's side of the rings: what a verdict does, when the scheduling thread is woken up, and
 * what becomes of an event that it takes too long to decide.
 */
#include "sched/ext/rings.h"

#define PROMOTE_MAX 16 /* in one interrupt */
#define SOON_NS     (10 * NSEC_PER_USEC)

struct ring_cpu ring_cpus[ARCH_CPU_MAX];
struct thread_sched_options ring_options;

bool rings_before(const struct rb_node *a, const struct rb_node *b)
{
	return (s64)(container_of(a, struct ring_slot, node)->vtime -
		     container_of(b, struct ring_slot, node)->vtime) < 0;
}

/* ---- waits end ------------------------------------------------------------------------------- */

void rings_leave(struct thread_sched *s, struct ring_slot *slot) LOCK_REQUIRES(s->lock)
{
	switch (slot->where) {
	case RING_WAITING:
		list_del(&slot->order);
		s->nr_waiting--;
		break;
	case RING_PROMOTED:
		list_del(&slot->order);
		s->nr_scheduled--;
		break;
	case RING_DECIDED:
		rb_erase(slot->tree, &slot->node);
		s->nr_scheduled--;
		break;
	case RING_OUT:
		break;
	}
	slot->where = RING_OUT;
	slot->wait++;
}

/* How long it took to decide. */
static void count_age(struct thread_sched *s, uint64_t age_ns) LOCK_REQUIRES(s->lock)
{
	struct thread_sched_counters *c = &s->counters;
	unsigned bucket = age_ns ? 63 - (unsigned)__builtin_clzll(age_ns) : 0;

	c->age_log2[MIN(bucket, THREAD_SCHED_BUCKETS - 1u)]++;
	c->age_max_ns = MAX(c->age_max_ns, age_ns);
	c->late += age_ns > ring_options.bound_ns;
}

static void decided(struct thread_sched *s, struct ring_slot *slot, enum ring_where where)
	LOCK_REQUIRES(s->lock)
{
	uint64_t now_ns = (time_now_ns)();

	count_age(s, now_ns > slot->since_ns ? now_ns - slot->since_ns : 0);
	rings_leave(s, slot);
	slot->where = where;
	s->nr_scheduled++;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

/* The CPU it is for alone; -1: any of @s. */
static int target_of(struct thread_sched *s, const struct ring_slot *slot, int cpu)
	LOCK_REQUIRES(s->lock)
{
	const struct cpumask *allowed = slot->p->cpus_ptr;
	int only = slot->p->nr_cpus_allowed == 1 ? (int)cpumask_next(allowed, 0) : -1;

	if (cpu >= 0 && (!cpumask_test(allowed, (unsigned)cpu) || ring_cpus[cpu].s != s)) {
		s->counters.bounced++;
		cpu = THREAD_SCHED_ANY_CPU;
	}
	return cpu < 0 && only >= 0 && ring_cpus[only].s == s ? only : cpu;
}

/* What it is about still waits. */
static struct ring_slot *valid(struct thread_sched *s, const struct thread_sched_verdict *v)
	LOCK_REQUIRES(s->lock)
{
	struct ring_slot *slot = ring_slot_find(v->handle);

	if (!slot)
		s->counters.failed++;
	else if (atomic_load_relaxed(&slot->s) == s && slot->where == RING_WAITING &&
		 slot->wait == v->wait && ring_handle(slot) == v->handle)
		return slot;
	else
		s->counters.cancelled++;
	return NULL;
}

static void take_effect(struct thread_sched *s, const struct thread_sched_verdict *v,
			struct cpumask *kick, struct cpumask *preempt) LOCK_REQUIRES(s->lock)
{
	struct ring_slot *slot = valid(s, v);
	int cpu;

	if (!slot)
		return;
	cpu = target_of(s, slot, v->cpu);
	decided(s, slot, RING_DECIDED);
	s->counters.verdicts++;
	slot->vtime = v->vtime;
	slot->slice_ns = v->slice_ns ? v->slice_ns : ring_options.slice_ns;
	slot->tree = cpu < 0 ? &s->shared : &ring_cpus[cpu].tree;
	rb_insert(slot->tree, &slot->node, rings_before);
	if (cpu < 0)
		return;
	cpumask_set(v->flags & THREAD_SCHED_PREEMPT ? preempt : kick, (unsigned)cpu);
}

uint32_t rings_drain(struct thread_sched *s, uint32_t max, struct cpumask *kick,
		     struct cpumask *preempt)
{
	uint32_t n = 0;

	for (; n < max && rings_undrained(s); n++) {
		struct thread_sched_verdict v = s->verdicts[s->verdict_head & (s->entries - 1)];

		atomic_store_release(&s->verdict_head, s->verdict_head + 1);
		take_effect(s, &v, kick, preempt);
	}
	return n;
}

/* ---- the thread is woken up ------------------------------------------------------------------ */

static uint64_t stall_look_ns(void)
{
	return ring_options.stall_ns / 16;
}

/*
 * If it cannot be cancelled its function is about to run, here or elsewhere, and looks at everything
 * when it gets the lock.
 */
void rings_arm(struct thread_sched *s, uint64_t at_ns)
{
	if (atomic_load_relaxed(&s->ending))
		return;
	if (s->timer_on && (s->timer_ns <= at_ns || !timer_cancel(&s->timer)))
		return;
	s->timer_on = true;
	s->timer_ns = at_ns;
	timer_add(&s->timer, at_ns);
}

bool rings_activate(struct thread_sched *s)
{
	if (s->active) {
		s->wanted = true;
		return false;
	}
	s->active = true;
	s->wanted = false;
	s->spent_ns = 0;
	s->checked_ns = (time_now_ns)();
	s->counters.activations++;
	rings_arm(s, s->checked_ns + stall_look_ns());
	return true;
}

void rings_wake(struct thread_sched *s, bool activated)
{
	if (activated)
		semaphore_post(&s->more);
}

static LOCK_UNCHECKED bool higher_runs(unsigned cpu)
{
	struct runqueue *rq = &cpu_at(cpu)->rq;
	unsigned long flags = spin_lock_irqsave(&rq->lock);
	bool higher = rq->curr->sched.rank > RANK_EXT;

	spin_unlock_irqrestore(&rq->lock, flags);
	return higher;
}

void rings_kick_idle(struct thread_sched *s, uint32_t n)
{
	cpumask_for_each(cpu, &s->cpus) {
		if (!n || cpu >= cpu_count)
			return;
		if (!atomic_load_relaxed(&ext_cpus[cpu].claimable))
			continue;
		scx_bpf_kick_cpu((s32)cpu, SCX_KICK_IDLE);
		n--;
	}
	/* those that a higher class has look when it is done */
	cpumask_for_each(cpu, &s->cpus)
		if (cpu < cpu_count && cpumask_atomic_test(&cpu_online_mask, cpu) &&
		    higher_runs(cpu))
			scx_bpf_kick_cpu((s32)cpu, 0);
}

/* ---- the oldest event ------------------------------------------------------------------------ */

/* Whoever has waited too long, first come, first served. How many. */
static uint32_t promote(struct thread_sched *s, uint64_t now_ns) LOCK_REQUIRES(s->lock)
{
	uint32_t n = 0;

	while (n < PROMOTE_MAX && !list_empty(&s->waiting)) {
		struct ring_slot *slot = list_first(&s->waiting, struct ring_slot, order);

		if (now_ns < slot->since_ns + rings_promote_ns())
			break;
		decided(s, slot, RING_PROMOTED);
		slot->slice_ns = ring_options.slice_ns;
		list_add_tail(&slot->order, &s->promoted);
		s->counters.promoted++;
		n++;
	}
	return n;
}

/* The thread is active: it decides nothing, and could. A thread that waits for a CPU could not. */
static void look_for_stall(struct thread_sched *s, uint64_t now_ns) LOCK_REQUIRES(s->lock)
{
	struct thread *t = s->thread;
	bool runs = atomic_load_relaxed(&atomic_load_acquire(&t->sched.cpu)->rq.curr) == t;

	if (runs || atomic_load_relaxed(&t->sched.state) == THREAD_BLOCKED)
		s->spent_ns += now_ns - s->checked_ns;
	s->checked_ns = now_ns;
	s->stalled = s->spent_ns >= ring_options.stall_ns;
	if (s->stalled)
		ext_exit(SCX_EXIT_ERROR_STALL, 0,
			 "scheduling thread %s[%d] decided nothing for %llu ms", t->name, t->tid,
			 (unsigned long long)(s->spent_ns / NSEC_PER_MSEC));
}

/* When this is to be looked at again; UINT64_MAX: not before something happens. */
static uint64_t next_look_ns(struct thread_sched *s, uint64_t now_ns) LOCK_REQUIRES(s->lock)
{
	uint64_t at_ns = UINT64_MAX, due_ns = UINT64_MAX;

	if (s->active)
		at_ns = now_ns + stall_look_ns();
	else if (rings_unread(s))
		at_ns = s->unread_since_ns + ring_options.wake_ns;
	if (!list_empty(&s->waiting))
		due_ns = list_first(&s->waiting, struct ring_slot, order)->since_ns +
			 rings_promote_ns();
	return MIN(at_ns, due_ns);
}

LOCK_UNCHECKED void rings_timer(struct timer *timer)
{
	struct thread_sched *s = container_of(timer, struct thread_sched, timer);
	uint64_t now_ns, again_ns;
	bool activated = false;
	uint32_t promoted;

	spin_lock(&s->lock);
	now_ns = (time_now_ns)();
	s->timer_on = false;
	promoted = promote(s, now_ns);
	if (s->active)
		look_for_stall(s, now_ns);
	else if (rings_unread(s) && now_ns >= s->unread_since_ns + ring_options.wake_ns)
		activated = rings_activate(s);
	again_ns = next_look_ns(s, now_ns);
	if (again_ns != UINT64_MAX)
		rings_arm(s, MAX(again_ns, now_ns + SOON_NS));
	spin_unlock(&s->lock);
	rings_wake(s, activated);
	rings_kick_idle(s, promoted);
}
