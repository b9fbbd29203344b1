/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The callbacks of a policy whose decisions a thread makes. All of it is the kernel's, so each is a
 * helper: nothing is given up in the middle.
 *
 * A CPU takes what was decided for it alone, or for all, whichever has the smaller virtual time; what
 * was promoted goes before that if it has waited for longer, so that neither starves the other.
 * Verdicts move from the ring to the trees in thread_sched_complete(), or here if somebody comes by
 * earlier: at most DRAIN at a time, so that no gap between two threads depends on how many there are.
 */
#include "sched/ext/rings.h"

#define DRAIN        2
#define DRAIN_ROUNDS 4  /* while nobody is found */
#define SCAN         32 /* how many that may not run here are passed by */

static struct thread_sched *decider_of(struct task_struct *p)
{
	return ring_cpus[atomic_load_relaxed(&ext_task_of(p)->cpu)].s;
}

static bool nobody_waits(const struct thread_sched *s)
{
	return !atomic_load_relaxed(&s->nr_scheduled) && !atomic_load_relaxed(&s->nr_waiting);
}

static void insert_at_once(struct thread_sched *s, struct task_struct *p)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ring_options.slice_ns, 0);
	atomic_fetch_add_relaxed(&s->counters.kernel, 1ull);
}

/* An idle CPU, if nobody is before it. */
s32 thread_sched_on_select_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	EXT_HELPER;
	struct thread_sched *s = ring_cpus[prev_cpu].s;
	bool idle = false;
	s32 cpu;

	if (!nobody_waits(s))
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		insert_at_once(s, p);
	return cpu;
}

/* The same for one that may run on one CPU only, whom select_cpu() is not asked about. */
static bool run_at_once(struct thread_sched *s, struct task_struct *p, s32 cpu)
{
	if (!nobody_waits(s) || !scx_bpf_test_and_clear_cpu_idle(cpu))
		return false;
	insert_at_once(s, p);
	return true;
}

static void fill(struct thread_sched_event *event, struct ring_slot *slot, u64 flags)
{
	const struct task_struct *p = slot->p;
	uint64_t runtime_ns = MAX(p->sum_exec_runtime, slot->told_runtime_ns);

	*event = (struct thread_sched_event){
		.handle = ring_handle(slot),
		.enqueued_ns = slot->since_ns,
		.vtime = slot->vtime,
		.used_ns = runtime_ns - slot->told_runtime_ns,
		.burst_ns = runtime_ns - slot->slept_runtime_ns,
		.flags = flags,
		.wait = slot->wait,
		.weight = p->scx.weight,
		.tid = p->pid,
		.cpu = atomic_load_relaxed(&ext_task_of(slot->p)->cpu),
		.nr_cpus = (uint16_t)p->nr_cpus_allowed,
	};
	__builtin_memcpy(event->name, p->comm, TASK_COMM_LEN);
	slot->told_runtime_ns = runtime_ns;
}

/* False: the ring is full. */
static bool tell(struct thread_sched *s, struct ring_slot *slot, u64 flags) LOCK_REQUIRES(s->lock)
{
	uint32_t unread = s->event_tail - atomic_load_acquire(&s->event_head);

	if (unread >= s->entries) {
		s->counters.congested++;
		return false;
	}
	if (flags & SCX_ENQ_WAKEUP)
		slot->slept_runtime_ns = MAX(slot->p->sum_exec_runtime, slot->told_runtime_ns);
	slot->since_ns = scx_bpf_now();
	slot->where = RING_WAITING;
	list_add_tail(&slot->order, &s->waiting);
	s->nr_waiting++;
	fill(&s->events[s->event_tail & (s->entries - 1)], slot, flags);
	atomic_store_release(&s->event_tail, s->event_tail + 1);
	s->counters.events++;
	s->counters.ring_max = MAX(s->counters.ring_max, unread + 1);
	if (!unread)
		s->unread_since_ns = slot->since_ns;
	rings_arm(s, slot->since_ns +
			     (unread || s->active ? rings_promote_ns() : ring_options.wake_ns));
	return true;
}

LOCK_UNCHECKED void thread_sched_on_enqueue(struct task_struct *p, u64 enq_flags)
{
	EXT_HELPER;
	struct ring_slot *slot = ring_slot_of(p);
	struct thread_sched *s = decider_of(p);
	bool told, activated = false;

	if (slot->where != RING_OUT)
		thread_sched_on_dequeue(p, 0);
	if (enq_flags & SCX_ENQ_WAKEUP && !(enq_flags & SCX_ENQ_CPU_SELECTED) &&
	    run_at_once(s, p, ext_task_of(p)->cpu))
		return;
	spin_lock(&s->lock);
	atomic_store_relaxed(&slot->s, s);
	told = tell(s, slot, enq_flags);
	/* this CPU has nobody else: it need not become idle to find that out */
	if (told && enq_flags & SCX_ENQ_LAST)
		activated = rings_activate(s);
	spin_unlock(&s->lock);
	if (!told)
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, ring_options.slice_ns, 0);
	rings_wake(s, activated);
}

LOCK_UNCHECKED void thread_sched_on_dequeue(struct task_struct *p, u64 deq_flags)
{
	EXT_HELPER;
	struct ring_slot *slot = ring_slot_of(p);
	struct thread_sched *s = slot->s;

	(void)deq_flags;
	if (!s)
		return;
	spin_lock(&s->lock);
	if (slot->where != RING_OUT)
		rings_leave(s, slot);
	spin_unlock(&s->lock);
}

/* What it used in another class, or before the policy was loaded, is not the policy's to charge. */
void thread_sched_on_enable(struct task_struct *p)
{
	EXT_HELPER;
	struct ring_slot *slot = ring_slot_of(p);
	const struct thread *t = ext_task_of(p)->thread;

	if (t)
		slot->told_runtime_ns = slot->slept_runtime_ns = t->sched.runtime_ns;
}

LOCK_UNCHECKED void thread_sched_on_exit_task(struct task_struct *p,
					      struct scx_exit_task_args *args)
{
	EXT_HELPER;
	struct ring_slot *slot = ring_slot_of(p);
	unsigned long flags = arch_irq_save();

	(void)args;
	if (slot) {
		thread_sched_on_dequeue(p, 0);
		ext_task_of(p)->thread_sched = NULL;
		ring_slot_free(slot);
	}
	arch_irq_restore(flags);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static bool may_run(const struct ring_slot *slot, s32 cpu)
{
	return cpumask_test(slot->p->cpus_ptr, (unsigned)cpu);
}

static struct ring_slot *first_of(const struct rb_root *tree, s32 cpu)
{
	struct rb_node *n = rb_first(tree);

	for (int i = 0; n && i < SCAN; i++) {
		struct ring_slot *slot = container_of(n, struct ring_slot, node);

		if (likely(may_run(slot, cpu)))
			return slot;
		n = tree->root ? rb_next(n) : NULL;
	}
	return NULL;
}

/* The next for @cpu; NULL: nobody is decided who may run here. */
static struct ring_slot *next_for(struct thread_sched *s, s32 cpu) LOCK_REQUIRES(s->lock)
{
	struct ring_slot *own = first_of(&ring_cpus[cpu].tree, cpu),
			 *shared = first_of(&s->shared, cpu), *promoted;

	if (!own || (shared && rings_before(&shared->node, &own->node)))
		own = shared;
	if (likely(list_empty(&s->promoted)))
		return own;
	promoted = list_first(&s->promoted, struct ring_slot, order);
	return own && own->since_ns < promoted->since_ns ? own : promoted;
}

/*
 * As scx_bpf_dsq_insert(). Not if it was taken from the policy, which is about to be told: then what
 * was decided is void, and must not take effect later, when it is the policy's again. False: so it is.
 */
static bool insert(struct ext_cpu *x, struct ring_slot *slot, u64 dsq_id)
{
	struct ext_task *e = ext_task_of(slot->p);
	uint32_t seq = atomic_load_acquire(&e->seq), where = atomic_load_acquire(&e->where);

	if (where != EXT_QUEUED && where != EXT_QUEUEING && where != EXT_RUNNING)
		return false;
	if (atomic_load_relaxed(&e->seq) != seq)
		return false;
	x->buffered[x->nr_buffered++] = (struct ext_buffered){
		.e = e, .seq = seq, .insert = { .dsq_id = dsq_id, .slice = slot->slice_ns }
	};
	return true;
}

/* False: nobody. */
static bool give(struct thread_sched *s, s32 cpu) LOCK_REQUIRES(s->lock)
{
	struct ring_slot *slot;

	while ((slot = next_for(s, cpu)) && scx_bpf_dispatch_nr_slots()) {
		bool here = may_run(slot, cpu), done;

		done = insert(&ext_cpus[cpu], slot,
			      here ? SCX_DSQ_LOCAL_ON | (u64)cpu : SCX_DSQ_GLOBAL);
		rings_leave(s, slot);
		if (likely(done && here))
			return true;
		s->counters.cancelled += !done;
	}
	return false;
}

/* Verdicts that nobody has taken yet; those who are to run them are told. False: none is for @cpu. */
static __noinline LOCK_UNCHECKED bool drain_and_give(struct thread_sched *s, s32 cpu)
{
	struct cpumask kick = { 0 }, preempt = { 0 };
	uint32_t drained = 0, before;
	bool given = false;

	spin_lock(&s->lock);
	for (int i = 0; i < DRAIN_ROUNDS && !given; i++) {
		before = drained;
		drained += rings_drain(s, DRAIN, &kick, &preempt);
		if (drained != before)
			given = give(s, cpu);
	}
	spin_unlock(&s->lock);
	cpumask_reset(&kick, (unsigned)cpu);
	cpumask_reset(&preempt, (unsigned)cpu);
	cpumask_for_each(other, &kick)
		scx_bpf_kick_cpu((s32)other, 0);
	cpumask_for_each(other, &preempt)
		scx_bpf_kick_cpu((s32)other, SCX_KICK_PREEMPT);
	/* the scheduling thread finds nothing left to tell of */
	if (drained > given)
		rings_kick_idle(s, drained - given);
	return given;
}

LOCK_UNCHECKED void thread_sched_on_dispatch(s32 cpu, struct task_struct *prev)
{
	EXT_HELPER;
	struct thread_sched *s = ring_cpus[cpu].s;
	bool activated = false, given = false, waits;

	if (unlikely(rings_undrained(s)))
		given = drain_and_give(s, cpu);
	spin_lock(&s->lock);
	given = given || give(s, cpu);
	waits = rings_unread(s) || s->pending;
	/* early enough for the next time, or too late already */
	if (waits && (!given || !s->nr_scheduled) && !rings_undrained(s))
		activated = rings_activate(s);
	if (!given && !waits && prev && !s->nr_scheduled && !s->nr_waiting) {
		prev->scx.slice = ring_options.slice_ns;
		s->counters.kept++;
	}
	spin_unlock(&s->lock);
	rings_wake(s, activated);
}
