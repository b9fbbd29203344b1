/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The step: where a policy is called. On the CPU that schedules, interrupts masked, no lock held.
 *
 * A thread that a step has is "busy": what comes up for it meanwhile is noted and told by the next
 * step, so that a policy never gets two callbacks about one thread at a time.
 *
 * hand-over vs change
 *   CPU 0: step, T in enqueue()           CPU 1: changes T's attributes
 *   rq lock: QUEUEING, seq 7, unlock      .
 *   calls enqueue(T): insert into a queue rq lock: OUT, seq 8, its new class has it, unlock
 *   rq lock: seq is not 7: the insert is  .
 *   dropped, dequeue(T) is owed
 *
 * Who ran here until now is in no queue while the step is made, and other CPUs could not run it
 * before the switch: what enqueue() says of it takes effect in ext_put_prev(), under the rq lock
 * that is held across the switch.
 */
#include "core/inherit.h"
#include "core/irq.h"
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"

/*
 * Calls the policy's callback @cb, if it has one. False: the policy is not trusted, not any more or
 * not since this step began, and was told nothing.
 */
#define CALL(x, what, cb, ...)                                                           \
	({                                                                               \
		struct sched_ext_ops *ops_ = atomic_load_acquire(&ext.ops);              \
		bool trusted_ = ops_ && !bypassing(x);                                   \
		if (trusted_ && ops_->cb)                                                \
			call(x, what, #cb, (long (*)(long, long, long))(void *)ops_->cb, \
			     __VA_ARGS__);                                               \
		trusted_;                                                                \
	})
#define ARG(v) ((long)(v))

/* Of the whole step: what comes up in a bypass is not told by halves when that ends. */
static bool bypassing(const struct ext_cpu *x)
{
	return x->untrusted || atomic_load_relaxed(&ext.bypass);
}

static long call(struct ext_cpu *x, enum ext_op op, const char *name, long (*fn)(long, long, long),
		 long a, long b, long c)
{
	long result;

	x->op = op;
	result = ext_guarded(x, name, fn, a, b, c);
	x->op = EXT_OP_NONE;
	return result;
}

/* ---- busy ------------------------------------------------------------------------------------ */

/*
 * busy vs post
 *   CPU 0: has T in a step                CPU 1: owes something of T
 *   .                                     inbox lock: owed |= event
 *   busy = 0                              fence
 *   fence                                 busy: not listed, left to CPU 0; else listed
 *   owed: inbox lock, listed if it is not .
 */

/* The thread is not freed before ext_busy_end(). Its inbox locked. */
static void pin(struct ext_task *e)
{
	e->pinned = inherit_pin(e->thread);
}

/* The same for one that busy_begin() got, if it has none. */
static LOCK_UNCHECKED void hold(struct ext_task *e)
{
	struct ext_cpu *home;

	if (e->pinned)
		return;
	home = ext_inbox_lock(e);
	pin(e);
	spin_unlock(&home->lock);
}

/* One that runs here, or is about to: it needs no pin. False: another step has it. */
static bool busy_begin(struct ext_task *e)
{
	return !atomic_swap_acq_rel(&e->busy, 1u);
}

/* The first of this CPU's inbox, now busy, with what is owed of it; NULL: nobody. */
static LOCK_UNCHECKED struct ext_task *inbox_take(struct ext_cpu *x, uint32_t *owed)
{
	struct ext_task *e = NULL;

	if (list_empty(&x->inbox))
		return NULL;
	(spin_lock)(&x->lock);
	while (!e && !list_empty(&x->inbox)) {
		e = list_first(&x->inbox, struct ext_task, inbox);
		list_del(&e->inbox);
		e->listed = false;
		atomic_fence_seq_cst(); /* whoever has it sees that at its ext_busy_end() */
		if (busy_begin(e)) {
			pin(e);
			*owed = e->owed;
			atomic_store_relaxed(&e->owed, 0u);
		} else {
			e = NULL;
		}
	}
	spin_unlock(&x->lock);
	return e;
}

static LOCK_UNCHECKED __noinline void list_again(struct ext_task *e)
{
	struct ext_cpu *home = ext_inbox_lock(e);

	if (e->owed && !e->listed && !atomic_load_relaxed(&e->busy)) {
		list_add_tail(&e->inbox, &home->inbox);
		e->listed = true;
	}
	spin_unlock(&home->lock);
}

void ext_busy_end(struct ext_task *e)
{
	struct thread *t = e->pinned;

	e->pinned = NULL;
	atomic_store_release(&e->busy, 0u);
	atomic_fence_seq_cst();
	if (unlikely(atomic_load_relaxed(&e->owed)))
		list_again(e);
	if (t)
		inherit_unpin(t);
}

/* ---- what the policy is told ----------------------------------------------------------------- */

uint32_t ext_weight(const struct thread *t)
{
	uint64_t weight = t->sched.policy == SCHED_IDLE ? EEVDF_WEIGHT_IDLE :
							  eevdf_nice_weight[t->sched.nice + 20];

	weight = (weight * 100 + 512) / 1024;
	weight = MAX(weight, 1ull);
	return (uint32_t)MIN(weight, 10000ull);
}

/* Brings what the policy sees of a thread up to date; racy reads of what its own thread may change. */
static void refresh(struct ext_cpu *x, struct ext_task *e)
{
	struct thread *t = e->thread;
	uint32_t attributes, weight = e->weight;

	if (!t)
		return;
	attributes = t->sched.policy << 8 | (uint8_t)t->sched.nice;
	if (attributes != e->attributes) {
		e->attributes = attributes;
		weight = ext_weight(t);
	}
	if (weight != e->weight) {
		e->weight = e->p.scx.weight = weight;
		e->p.static_prio = e->p.prio = 120 + t->sched.nice;
		CALL(x, EXT_OP_OTHER, set_weight, ARG(&e->p), ARG(weight), 0);
	}
	if (!cpumask_equal(&e->mask, &t->affinity)) {
		e->mask = t->affinity;
		e->mask_ns = time_now_ns();
		e->p.nr_cpus_allowed = (s32)cpumask_count(&e->mask);
		CALL(x, EXT_OP_OTHER, set_cpumask, ARG(&e->p), ARG(&e->mask), 0);
	}
}

static void tell_enable(struct ext_cpu *x, struct ext_task *e)
{
	if (e->told & EXT_TOLD_ENABLED)
		return;
	refresh(x, e);
	if (CALL(x, EXT_OP_OTHER, enable, ARG(&e->p), 0, 0))
		e->told |= EXT_TOLD_ENABLED;
}

static void tell_stopping(struct ext_cpu *x, struct ext_task *e, bool runnable)
{
	if (e->told & EXT_TOLD_RUNNING &&
	    CALL(x, EXT_OP_OTHER, stopping, ARG(&e->p), ARG(runnable), 0))
		e->told &= ~(uint32_t)EXT_TOLD_RUNNING;
}

static void tell_runnable(struct ext_cpu *x, struct ext_task *e, u64 flags)
{
	if (!(e->told & EXT_TOLD_RUNNABLE) &&
	    CALL(x, EXT_OP_OTHER, runnable, ARG(&e->p), ARG(flags), 0))
		e->told |= EXT_TOLD_RUNNABLE;
}

/* One that was there before the policy. */
static void introduce(struct ext_cpu *x, struct ext_task *e)
{
	if (likely(e->told & EXT_TOLD_RUNNABLE))
		return;
	hold(e);
	tell_enable(x, e);
	tell_runnable(x, e, 0);
}

static void tell_running(struct ext_cpu *x, struct ext_task *e)
{
	introduce(x, e);
	if (!(e->told & EXT_TOLD_RUNNING) && CALL(x, EXT_OP_OTHER, running, ARG(&e->p), 0, 0))
		e->told |= EXT_TOLD_RUNNING;
}

static void tell_endings(struct ext_cpu *x, struct ext_task *e, uint32_t owed)
{
	u64 flags = owed & EXT_EV_SLEEP ? SCX_DEQ_SLEEP : SCX_DEQ_SCHED_CHANGE;

	if (owed & EXT_EV_STOPPING)
		tell_stopping(x, e, !(owed & EXT_EV_QUIESCENT));
	if (owed & EXT_EV_DEQUEUE)
		CALL(x, EXT_OP_OTHER, dequeue, ARG(&e->p), ARG(flags), 0);
	if (owed & EXT_EV_QUIESCENT && e->told & EXT_TOLD_RUNNABLE &&
	    CALL(x, EXT_OP_OTHER, quiescent, ARG(&e->p), ARG(flags), 0))
		e->told &= ~(uint32_t)EXT_TOLD_RUNNABLE;
	if (owed & EXT_EV_DISABLE && e->told & EXT_TOLD_ENABLED &&
	    CALL(x, EXT_OP_OTHER, disable, ARG(&e->p), 0, 0)) {
		e->told &= ~(uint32_t)EXT_TOLD_ENABLED;
		e->p.scx.slice = e->p.scx.dsq_vtime = 0;
	}
}

static void tell_exit(struct ext_cpu *x, struct ext_task *e)
{
	struct scx_exit_task_args args = { .cancelled = false };

	if (!bypassing(x) && (!(e->told & EXT_TOLD_INIT) ||
			      CALL(x, EXT_OP_OTHER, exit_task, ARG(&e->p), ARG(&args), 0)))
		return ext_task_free(e);
	e->orphan = true; /* whoever loads or unloads sees to it */
	ext_busy_end(e);
}

/* ---- inserts take effect --------------------------------------------------------------------- */

/* The rq of @e's thread, locked, if it is where it was; NULL: it went elsewhere. Irqs masked. */
static LOCK_UNCHECKED struct runqueue *lock_if(struct ext_task *e, uint32_t seq, uint32_t where)
{
	struct thread *t = e->thread;
	struct runqueue *rq;

	if (!t)
		return NULL;
	rq = rq_lock_thread(t);
	if (e->seq == seq && e->where == where && !atomic_load_relaxed(&e->dsq))
		return rq;
	spin_unlock(&rq->lock);
	return NULL;
}

/* Both rqs of @t's CPU and @x, locked; @t cannot leave them. */
static LOCK_UNCHECKED struct runqueue *lock_both(struct thread *t, struct runqueue *to)
{
	for (;;) {
		struct cpu *cpu = atomic_load_acquire(&t->sched.cpu);

		if (&cpu->rq == to)
			(spin_lock)(&to->lock);
		else
			spin_lock_pair(&cpu->rq.lock, &to->lock);
		if (t->sched.cpu == cpu)
			return &cpu->rq;
		if (&cpu->rq != to)
			spin_unlock(&cpu->rq.lock);
		spin_unlock(&to->lock);
	}
}

LOCK_UNCHECKED bool ext_insert_local(struct ext_cpu *x, struct ext_task *e, uint32_t seq, u64 flags)
{
	struct runqueue *to = &cpu_at(ext_index(x))->rq, *from;
	struct thread *t = e->thread;
	bool ours;

	if (!t)
		return false;
	from = lock_both(t, to);
	ours = e->seq == seq && !e->dsq && (e->where == EXT_QUEUED || e->where == EXT_QUEUEING);
	if (ours) {
		t->sched.cpu = cpu_of_rq(to);
		e->where = EXT_LOCAL;
		if (flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT))
			list_add_head(&e->node.list, &x->local);
		else
			list_add_tail(&e->node.list, &x->local);
		x->nr_local++;
		to->nr_ready++;
		atomic_store_relaxed(&e->cpu, (uint16_t)ext_index(x));
		if (flags & SCX_ENQ_PREEMPT)
			x->preempt = true;
	}
	if (from != to)
		spin_unlock(&from->lock);
	spin_unlock(&to->lock);
	return ours;
}

/*
 * The CPU that a local id means for @e, or -1: none that @e may run on. It is an error of the policy
 * only if it could know: not if another CPU told of the mask while the callback ran here.
 */
static int local_target(struct ext_cpu *x, struct ext_task *e, u64 dsq_id)
{
	u64 cpu = atomic_load_relaxed(&e->cpu);

	if (dsq_id & SCX_DSQ_FLAG_LOCAL_ON)
		cpu = dsq_id & SCX_DSQ_LOCAL_CPU_MASK;
	if (cpu >= cpu_count ||
	    (!cpumask_test(&e->mask, (unsigned)cpu) && e->mask_ns < x->callback_ns))
		ext_exit(SCX_EXIT_ERROR, 0,
			 "local queue of cpu %llu for %s[%d], which may not run there",
			 (unsigned long long)cpu, e->p.comm, e->p.pid);
	if (cpu >= cpu_count || !cpumask_test(&e->thread->affinity, (unsigned)cpu))
		return -1;
	return (int)cpu;
}

/* In the order in which threads come, whatever was asked for. */
static struct ext_dsq *global(struct ext_insert *in)
{
	in->by_vtime = false;
	return &ext.global;
}

/* Where @in leads; the global queue instead of one that cannot be. NULL: the local one of @x. */
static struct ext_dsq *target_of(struct ext_cpu *x, struct ext_task *e, struct ext_insert *in)
{
	struct ext_dsq *q;
	int cpu;

	if (in->dsq_id == SCX_DSQ_GLOBAL || bypassing(x))
		return global(in);
	if (in->dsq_id & SCX_DSQ_FLAG_BUILTIN) {
		cpu = local_target(x, e, in->dsq_id);
		if (cpu < 0)
			return global(in);
		if (!cpumask_atomic_test(&cpu_online_mask, (unsigned)cpu)) {
			x->stats.SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE++;
			return global(in);
		}
		return (unsigned)cpu == ext_index(x) ? NULL : &ext_cpus[cpu].arriving;
	}
	q = ext_dsq_find(in->dsq_id);
	if (!q)
		ext_exit(SCX_EXIT_ERROR, 0, "no dispatch queue 0x%llx for %s[%d]",
			 (unsigned long long)in->dsq_id, e->p.comm, e->p.pid);
	return q ? q : global(in);
}

static void set_slice(struct ext_task *e, const struct ext_insert *in)
{
	if (in->slice)
		e->p.scx.slice = in->slice;
	else if (!e->p.scx.slice)
		e->p.scx.slice = 1; /* as little as there can be */
}

/* @e, rq locked, goes into @q; into the global one if that cannot be. */
static void put(struct ext_dsq *q, struct ext_task *e, struct ext_insert *in)
{
	const char *why;

	e->where = EXT_QUEUED;
	if (ext_dsq_put(q, e, in, &why))
		return;
	ext_exit(SCX_EXIT_ERROR, 0, "dispatch queue 0x%llx, %s[%d]: %s", (unsigned long long)q->id,
		 e->p.comm, e->p.pid, why);
	*in = (struct ext_insert){ .dsq_id = SCX_DSQ_GLOBAL };
	ext_dsq_put(&ext.global, e, in, &why);
}

/* Somebody is in a queue that the CPU @cpu alone empties: it is told, if it must act. */
static LOCK_UNCHECKED void notify(unsigned cpu, u64 flags)
{
	struct runqueue *rq = &cpu_at(cpu)->rq;
	bool act = false;

	(spin_lock)(&rq->lock);
	if (flags & SCX_ENQ_PREEMPT)
		ext_cpus[cpu].preempt = true;
	if (rq->curr == rq->idle || (flags & SCX_ENQ_PREEMPT))
		act = ext_want_step(rq);
	spin_unlock(&rq->lock);
	if (act)
		ipi_send(cpu_at(cpu));
}

LOCK_UNCHECKED void ext_commit(struct ext_cpu *x, struct ext_task *e, uint32_t seq, uint32_t where)
{
	struct ext_insert *in = &e->insert;
	struct runqueue *rq;
	struct ext_dsq *q;

	if (in->dsq_id == SCX_DSQ_INVALID && bypassing(x))
		*in = (struct ext_insert){ .dsq_id = SCX_DSQ_GLOBAL, .slice = EXT_BYPASS_SLICE_NS };
	if (in->dsq_id == SCX_DSQ_INVALID) { /* the policy keeps it */
		rq = lock_if(e, seq, where);
		if (!rq)
			return ext_post(e, ext_index(x), EXT_EV_DEQUEUE, 0);
		e->where = EXT_QUEUED;
		spin_unlock(&rq->lock);
		return;
	}
	q = e->thread ? target_of(x, e, in) : NULL;
	if (!q) {
		set_slice(e, in);
		if (ext_insert_local(x, e, seq, in->flags))
			x->moved = true;
		else
			ext_post(e, ext_index(x), EXT_EV_DEQUEUE, 0);
		return;
	}
	rq = lock_if(e, seq, where);
	if (!rq)
		return ext_post(e, ext_index(x), EXT_EV_DEQUEUE, 0);
	set_slice(e, in);
	put(q, e, in);
	spin_unlock(&rq->lock);
	if (q->id & SCX_DSQ_FLAG_LOCAL_ON)
		notify((unsigned)(q->id & SCX_DSQ_LOCAL_CPU_MASK), in->flags);
}

/* ---- enqueue --------------------------------------------------------------------------------- */

static void default_enqueue(struct ext_task *e)
{
	e->insert = (struct ext_insert){ .dsq_id = SCX_DSQ_GLOBAL, .slice = SCX_SLICE_DFL };
}

static bool has(const struct ext_cpu *x, size_t offset)
{
	struct sched_ext_ops *ops = atomic_load_acquire(&ext.ops);

	return ops && !bypassing(x) && *(void **)(void *)((char *)ops + offset);
}
#define HAS(cb) has(x, offsetof(struct sched_ext_ops, cb))

/* Asks for a CPU; moves the thread's home there. */
static LOCK_UNCHECKED void select_cpu(struct ext_cpu *x, struct ext_task *e, uint32_t seq,
				      u64 wake_flags)
{
	struct runqueue *from;
	s32 prev = (s32)e->thread->sched.cpu->index, cpu = prev;
	bool idle = false;

	x->subject = e;
	if (HAS(select_cpu)) {
		cpu = (s32)call(x, EXT_OP_SELECT, "select_cpu",
				(long (*)(long, long, long))(void *)ext.ops->select_cpu, ARG(&e->p),
				prev, ARG(wake_flags));
	} else if (!bypassing(x)) {
		cpu = scx_bpf_select_cpu_dfl(&e->p, prev, wake_flags, &idle);
		if (idle)
			e->insert = (struct ext_insert){ .dsq_id = SCX_DSQ_LOCAL,
							 .slice = SCX_SLICE_DFL };
	}
	x->subject = NULL;
	if (cpu < 0 || (unsigned)cpu >= cpu_count) {
		ext_exit(SCX_EXIT_ERROR, 0, "select_cpu() of %s[%d] returned cpu %d of %u",
			 e->p.comm, e->p.pid, cpu, cpu_count);
		cpu = prev;
	}
	if (cpu == prev)
		return;
	if (!cpumask_test(&e->thread->affinity, (unsigned)cpu) ||
	    !cpumask_atomic_test(&cpu_online_mask, (unsigned)cpu)) {
		x->stats.SCX_EV_SELECT_CPU_FALLBACK++;
		return;
	}
	from = lock_both(e->thread, &cpu_at((unsigned)cpu)->rq);
	if (e->seq == seq && e->where == EXT_QUEUEING) {
		e->thread->sched.cpu = cpu_at((unsigned)cpu);
		atomic_store_relaxed(&e->cpu, (uint16_t)cpu);
	}
	if (from != &cpu_at((unsigned)cpu)->rq)
		spin_unlock(&from->lock);
	spin_unlock(&cpu_at((unsigned)cpu)->rq.lock);
}

static void call_enqueue(struct ext_cpu *x, struct ext_task *e, u64 flags)
{
	if ((e->p.flags & PF_EXITING) && !(ext.ops->flags & SCX_OPS_ENQ_EXITING)) {
		x->stats.SCX_EV_ENQ_SKIP_EXITING++;
		e->insert = (struct ext_insert){ .dsq_id = SCX_DSQ_LOCAL, .slice = SCX_SLICE_DFL };
		return;
	}
	if (!HAS(enqueue))
		return default_enqueue(e);
	x->subject = e;
	CALL(x, EXT_OP_ENQUEUE, enqueue, ARG(&e->p), ARG(flags), 0);
	x->subject = NULL;
}

/* From the inbox to wherever the policy wants it. */
static LOCK_UNCHECKED void hand_over(struct ext_cpu *x, struct ext_task *e, uint32_t owed)
{
	u64 wake = owed & EXT_EV_FORK ? SCX_WAKE_FORK : SCX_WAKE_TTWU;
	u64 flags = owed & EXT_EV_SELECT ? SCX_ENQ_WAKEUP : 0;
	struct thread *t = e->thread;
	struct runqueue *rq;
	unsigned before;
	uint32_t seq;

	if (!t)
		return;
	rq = rq_lock_thread(t);
	if (e->where != EXT_INBOX) {
		spin_unlock(&rq->lock);
		return;
	}
	e->where = EXT_QUEUEING;
	before = cpu_of_rq(rq)->index;
	atomic_store_relaxed(&e->cpu, (uint16_t)before);
	seq = e->seq;
	rq->nr_ready--;
	spin_unlock(&rq->lock);
	tell_enable(x, e);
	refresh(x, e);
	e->insert.dsq_id = SCX_DSQ_INVALID;
	if ((owed & EXT_EV_SELECT) && e->p.nr_cpus_allowed > 1) {
		select_cpu(x, e, seq, wake);
		flags |= SCX_ENQ_CPU_SELECTED;
	}
	tell_runnable(x, e, flags);
	if (e->insert.dsq_id == SCX_DSQ_INVALID)
		call_enqueue(x, e, flags);
	EXT_SHADOW(EXT_SHADOW_ENQUEUE, e, ext_index(x), before,
		   flags | (owed & EXT_EV_FORK ? EXT_SHADOW_FORK : 0));
	ext_commit(x, e, seq, EXT_QUEUEING);
}

static void deliver(struct ext_cpu *x, struct ext_task *e, uint32_t owed)
{
	tell_endings(x, e, owed);
	if (owed & EXT_EV_EXIT)
		return tell_exit(x, e);
	if (owed & EXT_EV_ENABLE)
		tell_enable(x, e);
	if (owed & EXT_EV_ENQUEUE)
		hand_over(x, e, owed);
	else if (owed & EXT_EV_RUNNABLE)
		tell_runnable(x, e, 0);
	if (owed & EXT_EV_RUNNING)
		tell_running(x, e);
	ext_busy_end(e);
}

static bool better_waits(const struct runqueue *rq)
{
	return atomic_load_relaxed(&rq->rt.highest) || atomic_load_relaxed(&rq->fair.nr);
}

/* False: it has taken long enough, and somebody is left. */
static bool deliver_some(struct ext_cpu *x)
{
	struct ext_task *e;
	uint32_t owed;

	while (!better_waits(&cpu_at(ext_index(x))->rq)) {
		if (unlikely(!list_empty(&x->inbox) && ext_step_is_long(x)))
			return false;
		e = inbox_take(x, &owed);
		if (!e)
			return true;
		deliver(x, e, owed);
	}
	return true;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

/* The first of the local queue is staged. */
static LOCK_UNCHECKED struct ext_task *stage(struct ext_cpu *x)
{
	struct runqueue *rq = &cpu_at(ext_index(x))->rq;
	struct ext_task *e = NULL;

	if (!x->nr_local)
		return NULL;
	(spin_lock)(&rq->lock);
	if (!list_empty(&x->local)) {
		e = container_of(x->local.next, struct ext_task, node.list);
		list_del(&e->node.list);
		x->nr_local--;
		e->where = EXT_STAGED;
		x->staged = e;
	}
	spin_unlock(&rq->lock);
	return e;
}

static bool consume(struct ext_cpu *x, struct ext_dsq *q)
{
	return q->nr && ext_dsq_consume(q, x);
}

/*
 * Another CPU may be about to hand the thread over: enqueue() has told the policy of it, and the rest
 * follows. No step waits for another while it has a thread, so this ends. False: it was taken away.
 */
static bool wait_for(const struct ext_buffered *b)
{
	while (!busy_begin(b->e)) {
		if (atomic_load_relaxed(&b->e->seq) != b->seq)
			return false;
		arch_cpu_relax();
	}
	hold(b->e);
	return true;
}

/* What dispatch() inserted goes where it is to. */
void ext_flush(struct ext_cpu *x)
{
	for (unsigned i = 0; i < x->nr_buffered; i++) {
		struct ext_buffered *b = &x->buffered[i];

		if (!wait_for(b))
			continue;
		if (b->e->seq == b->seq && b->e->where == EXT_QUEUED && !b->e->dsq) {
			b->e->insert = b->insert;
			ext_commit(x, b->e, b->seq, EXT_QUEUED);
			x->moved = true;
		}
		ext_busy_end(b->e);
	}
	x->nr_buffered = 0;
}

static bool dispatch(struct ext_cpu *x, struct ext_task *prev)
{
	x->moved = false;
	CALL(x, EXT_OP_DISPATCH, dispatch, ARG((s32)ext_index(x)), ARG(prev ? &prev->p : NULL), 0);
	ext_flush(x);
	return x->moved;
}

/*
 * Fills the local queue and stages its first. @prev goes on if it has slice again. A policy that
 * dispatches for others alone is asked again in another step, when interrupts were let in.
 */
static struct ext_task *find_next(struct ext_cpu *x, struct ext_task *prev)
{
	struct runqueue *rq = &cpu_at(ext_index(x))->rq;

	if (unlikely(!cpumask_atomic_test(&cpu_online_mask, ext_index(x)))) {
		ext_dsq_to_global(&x->arriving); /* it leaves, and takes nobody more */
		return stage(x);
	}
	for (int i = 0;; i++) {
		struct ext_task *next;

		if (i == EXT_DISPATCH_LOOPS || (i && ext_step_is_long(x))) {
			x->again = true;
			break;
		}
		while (consume(x, &x->arriving))
			;
		next = stage(x);
		if (next)
			return next;
		if (consume(x, &ext.global))
			continue;
		if (better_waits(rq) || !dispatch(x, prev))
			break;
		if (prev && prev->p.scx.slice)
			return NULL;
	}
	return stage(x);
}

static void tick(struct ext_cpu *x, struct ext_task *prev)
{
	struct runqueue *rq = &cpu_at(ext_index(x))->rq;

	if (!HAS(tick)) {
		x->tick_ns = 0;
	} else if (!x->tick_ns) {
		x->tick_ns = rq->since_ns + EXT_TICK_NS;
	} else if (rq->since_ns >= x->tick_ns) {
		x->tick_ns = rq->since_ns + EXT_TICK_NS;
		CALL(x, EXT_OP_OTHER, tick, ARG(&prev->p), 0, 0);
	}
}

/* It goes on: staged without being told of. */
static void keep(struct ext_cpu *x, struct ext_task *prev)
{
	prev->insert = (struct ext_insert){ .dsq_id = SCX_DSQ_LOCAL, .flags = SCX_ENQ_HEAD };
	x->prev_told = false;
}

static bool may_go_on(struct ext_cpu *x, struct ext_task *prev, enum stop_reason why)
{
	if (!(prev->told & EXT_TOLD_RUNNING))
		return prev->p.scx.slice != 0;
	if (why == STOP_YIELDED)
		CALL(x, EXT_OP_OTHER, yield, ARG(&prev->p), ARG(NULL), 0);
	else
		tick(x, prev);
	return prev->p.scx.slice != 0;
}

static void tell_idle(struct ext_cpu *x, bool idle)
{
	if (x->told_idle == idle)
		return;
	x->told_idle = idle;
	if (idle && !better_waits(&cpu_at(ext_index(x))->rq))
		EXT_SHADOW(EXT_SHADOW_IDLE, NULL, ext_index(x), 0, 0);
	CALL(x, EXT_OP_OTHER, update_idle, ARG((s32)ext_index(x)), ARG(idle), 0);
}

/* Who ran here is the policy's again. */
static void give_back(struct ext_cpu *x, struct ext_task *prev, u64 flags, enum stop_reason why)
{
	if (!busy_begin(prev))
		return keep(x, prev);
	EXT_SHADOW(why == STOP_YIELDED ? EXT_SHADOW_YIELD : EXT_SHADOW_BACK, prev, ext_index(x), 0,
		   flags);
	introduce(x, prev);
	tell_stopping(x, prev, true);
	refresh(x, prev);
	prev->insert.dsq_id = SCX_DSQ_INVALID;
	x->prev_told = true; /* busy until ext_put_prev() */
	call_enqueue(x, prev, flags);
}

/* Nobody else is there: goes on, but if the policy wants to hear of it. */
static void last_one(struct ext_cpu *x, struct ext_task *prev, enum stop_reason why)
{
	if (!bypassing(x) && ext.ops->flags & SCX_OPS_ENQ_LAST)
		return give_back(x, prev, SCX_ENQ_LAST, why);
	prev->p.scx.slice = bypassing(x) ? EXT_BYPASS_SLICE_NS : SCX_SLICE_DFL;
	x->stats.SCX_EV_DISPATCH_KEEP_LAST++;
	keep(x, prev);
}

static void tell_next(struct ext_cpu *x, struct ext_task *next)
{
	if (!next->p.scx.slice) {
		next->p.scx.slice = SCX_SLICE_DFL;
		x->stats.SCX_EV_REFILL_SLICE_DFL++;
	}
	if (busy_begin(next)) {
		tell_running(x, next);
		ext_busy_end(next);
	}
}

/* On the idle thread, whose interrupts are handled by calls: those that are pending, and then on. */
static void let_interrupts_in(struct ext_cpu *x)
{
	ipi_send(arch_cpu_self());
	arch_cpu_idle();
	x->step_ns = (time_now_ns)();
}

static void step_from_idle(struct ext_cpu *x)
{
	struct ext_task *next;

	atomic_store_relaxed(&x->claimable, 1u);
	atomic_fence_seq_cst(); /* who inserts now sees that, or is seen below */
	do {
		while (!deliver_some(x))
			let_interrupts_in(x);
		/* not before everybody's events were told, even of those in the local queue */
		x->again = false;
		next = better_waits(&cpu_at(ext_index(x))->rq) ? NULL : find_next(x, NULL);
		if (x->again && !next)
			let_interrupts_in(x);
	} while (x->again && !next);
	x->again = false;
	if (better_waits(&cpu_at(ext_index(x))->rq))
		x->idle_seen = false; /* not all was looked at: again when it is done */
	if (next)
		atomic_store_relaxed(&x->claimable, 0u);
	tell_idle(x, !next);
	if (next)
		tell_next(x, next);
}

static void step_from(struct ext_cpu *x, struct ext_task *prev, enum stop_reason why)
{
	struct ext_task *next;

	x->again = !deliver_some(x);
	if (x->preempt)
		prev->p.scx.slice = 0;
	x->preempt = false;
	if (better_waits(&cpu_at(ext_index(x))->rq) || may_go_on(x, prev, why))
		return keep(x, prev);
	next = find_next(x, prev);
	if (!next && (prev->p.scx.slice || x->again))
		return keep(x, prev);
	if (!next)
		return last_one(x, prev, why);
	give_back(x, prev, 0, why);
	tell_next(x, next);
}

void ext_step(struct ext_cpu *x, struct ext_task *prev, enum stop_reason why)
{
	x->now_ns = 0;
	x->untrusted = atomic_load_acquire(&ext.bypass);
	x->in_step = true;
	ext_budget_begin(x);
	if (prev)
		step_from(x, prev, why);
	else
		step_from_idle(x);
	x->untrusted &= prev != NULL; /* up to ext_put_prev() */
	ext_budget_end(x);
	x->in_step = false;
}

/*
 * The same as notify() with our own rq lock held, and so without that of @cpu. If it is about to
 * idle, either we see that here, or it sees in its last step who is in the queue.
 */
static void notify_locked(unsigned cpu, u64 flags)
{
	struct runqueue *rq = &cpu_at(cpu)->rq;

	if (flags & SCX_ENQ_PREEMPT)
		atomic_store_relaxed(&ext_cpus[cpu].preempt, true);
	atomic_fence_seq_cst();
	if (atomic_load_relaxed(&rq->curr) == rq->idle) {
		ipi_send(cpu_at(cpu));
	} else if (flags & SCX_ENQ_PREEMPT) {
		atomic_store_relaxed(&rq->resched, 1u);
		ipi_send(cpu_at(cpu));
	}
}

static void put_prev(struct runqueue *rq, struct ext_task *e)
{
	struct ext_cpu *x = ext_cpu_of(rq);
	struct ext_insert *in = &e->insert;
	struct ext_dsq *q;

	e->runnable_ns = rq->since_ns;
	if (in->dsq_id == SCX_DSQ_INVALID && !bypassing(x)) {
		e->where = EXT_QUEUED;
		return;
	}
	if (in->dsq_id == SCX_DSQ_INVALID)
		*in = (struct ext_insert){ .dsq_id = SCX_DSQ_LOCAL, .slice = EXT_BYPASS_SLICE_NS };
	if (x->prev_told)
		set_slice(e, in);
	q = x->prev_told ? target_of(x, e, in) : NULL;
	if (q) {
		put(q, e, in);
		if (q->id & SCX_DSQ_FLAG_LOCAL_ON)
			notify_locked((unsigned)(q->id & SCX_DSQ_LOCAL_CPU_MASK), in->flags);
		return;
	}
	rq->nr_ready++;
	if (!x->staged && !x->prev_told) {
		e->where = EXT_STAGED;
		x->staged = e;
		return;
	}
	e->where = EXT_LOCAL;
	if (in->flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT))
		list_add_head(&e->node.list, &x->local);
	else
		list_add_tail(&e->node.list, &x->local);
	x->nr_local++;
}

void ext_put_prev(struct runqueue *rq, struct ext_task *e)
{
	bool busy = ext_cpu_of(rq)->prev_told;

	put_prev(rq, e);
	ext_cpu_of(rq)->untrusted = false;
	if (busy)
		ext_busy_end(e);
}

void ext_drop_prev(struct ext_cpu *x, struct ext_task *e)
{
	x->untrusted = false;
	if (!x->prev_told)
		return;
	ext_post(e, ext_index(x), EXT_EV_DEQUEUE, 0);
	ext_busy_end(e);
}
