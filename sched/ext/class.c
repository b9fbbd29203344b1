/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ext class and the idle thread below it, as the class table sees them: bookkeeping under the
 * rq lock. What the policy is to hear is posted; ext_stop() alone, for a thread that may go on or
 * for idle, drops the lock and makes the step.
 *
 * stop vs the rest: while the lock is dropped rq->curr is still the thread that stops, and it is in
 * no queue. So nobody can take it, but its rank or affinity may change, as that of any thread that
 * runs; this is looked at when the lock is held again. A thread that blocks makes no step: it could
 * be woken and run elsewhere while its registers are in use.
 */
#include "sched/balance.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"
#include "sched/ext/watch.h"
#include "core/irq.h"
#include "core/panic.h"
#include "core/topology.h"

struct ext_cpu ext_cpus[ARCH_CPU_MAX];

/* ---- what is owed to the policy -------------------------------------------------------------- */

LOCK_UNCHECKED struct ext_cpu *ext_inbox_lock(struct ext_task *e)
{
	for (;;) {
		struct ext_cpu *x = &ext_cpus[atomic_load_relaxed(&e->home)];

		(spin_lock)(&x->lock);
		if (likely(x == &ext_cpus[e->home]))
			return x;
		spin_unlock(&x->lock);
	}
}

/*
 * One that is in a step is not listed: the step does that when it is done, if something is owed
 * still.
 */
LOCK_UNCHECKED void ext_post(struct ext_task *e, unsigned cpu, uint32_t events,
			     uint32_t void_events)
{
	struct ext_cpu *x = ext_inbox_lock(e);

	atomic_store_relaxed(&e->owed, (e->owed & ~void_events) | events);
	atomic_fence_seq_cst(); /* ext_busy_end() sees it, or is seen to be done */
	if (ext_index(x) != cpu) {
		if (e->listed)
			list_del(&e->inbox);
		e->listed = false;
		atomic_store_relaxed(&e->home, (uint16_t)cpu);
		spin_unlock(&x->lock);
		x = ext_inbox_lock(e);
	}
	if (!e->listed && e->owed && !atomic_load_relaxed(&e->busy)) {
		list_add_tail(&e->inbox, &x->inbox);
		e->listed = true;
	}
	spin_unlock(&x->lock);
}

LOCK_UNCHECKED void ext_forget(struct ext_task *e)
{
	struct ext_cpu *x = ext_inbox_lock(e);

	e->thread = NULL;
	spin_unlock(&x->lock);
}

bool ext_want_step(struct runqueue *rq)
{
	struct ext_cpu *x = ext_cpu_of(rq);

	if (rq->curr->sched.rank > RANK_EXT) {
		x->idle_seen = false; /* when that one is done */
		return false;
	}
	if (rq->curr == rq->idle && !x->token) {
		x->token = true;
		rq->nr_ready++;
	}
	rq->resched = 1;
	return cpu_of_rq(rq) != arch_cpu_self();
}

static void token_take(struct runqueue *rq, struct ext_cpu *x)
{
	if (x->token)
		rq->nr_ready--;
	x->token = false;
}

/* ---- the class ------------------------------------------------------------------------------- */

static void ext_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place how)
{
	struct ext_task *e = t->sched.ext;
	uint32_t events = EXT_EV_RUNNABLE | EXT_EV_ENQUEUE;

	ASSERT(e->where == EXT_OUT);
	if (how == EEVDF_PLACE_WAKE)
		events |= EXT_EV_SELECT;
	if (how == EEVDF_PLACE_NEW)
		events |= EXT_EV_SELECT | EXT_EV_FORK;
	e->where = EXT_INBOX;
	e->woken = how == EEVDF_PLACE_WAKE;
	atomic_store_relaxed(&e->cpu, (uint16_t)cpu_of_rq(rq)->index);
	e->runnable_ns = (time_now_ns)();
	rq->nr_ready++;
	ext_post(e, cpu_of_rq(rq)->index, events, 0);
}

static void ext_dequeue(struct runqueue *rq, struct thread *t)
{
	struct ext_task *e = t->sched.ext;
	struct ext_cpu *x = ext_cpu_of(rq);

	switch ((enum ext_where)e->where) {
	case EXT_LOCAL:
		list_del(&e->node.list);
		x->nr_local--;
		rq->nr_ready--;
		break;
	case EXT_STAGED:
		x->staged = NULL;
		rq->nr_ready--;
		ext_post(e, cpu_of_rq(rq)->index, EXT_EV_STOPPING, 0);
		break;
	case EXT_INBOX:
		rq->nr_ready--;
		break;
	case EXT_QUEUED:
		ext_dsq_take(e);
		ext_post(e, cpu_of_rq(rq)->index, EXT_EV_DEQUEUE, 0);
		break;
	case EXT_QUEUEING: /* the step finds another number, and tells */
		break;
	case EXT_OUT:
	case EXT_RUNNING:
		panic("thread %d leaves a queue that it is not in", (int)t->tid);
	}
	e->where = EXT_OUT;
	e->seq++;
	e->runnable_ns = 0;
	EXT_SHADOW(EXT_SHADOW_OUT, e, cpu_of_rq(rq)->index, 0, 0);
}

static void ext_charge(struct runqueue *rq, struct thread *t, uint64_t delta_ns)
{
	struct task_struct *p = &t->sched.ext->p;

	(void)rq;
	if (p->scx.slice != SCX_SLICE_INF)
		p->scx.slice -= MIN(p->scx.slice, delta_ns);
	p->sum_exec_runtime = t->sched.runtime_ns;
}

static bool better_waits(const struct runqueue *rq)
{
	return rq->rt.highest || rq->fair.nr;
}

/*
 * It gives way to a higher class, without a step: with slice left it goes before all others here,
 * without it to the policy.
 */
static void give_way(struct runqueue *rq, struct ext_cpu *x, struct ext_task *e)
{
	bool slice_left = e->p.scx.slice != 0;

	EXT_SHADOW(slice_left ? EXT_SHADOW_PREEMPT : EXT_SHADOW_HOLD, e, ext_index(x), 0, 0);
	e->where = slice_left ? EXT_LOCAL : EXT_INBOX;
	e->runnable_ns = rq->since_ns;
	rq->nr_ready++;
	if (slice_left) {
		list_add_head(&e->node.list, &x->local);
		x->nr_local++;
	}
	ext_post(e, ext_index(x), slice_left ? EXT_EV_STOPPING : EXT_EV_STOPPING | EXT_EV_ENQUEUE,
		 0);
}

/* It blocks, ends, or goes to another CPU. */
static void stop_for_good(struct runqueue *rq, struct thread *t)
{
	struct ext_task *e = t->sched.ext;
	bool moves = t->sched.state == THREAD_RUNNABLE;

	e->where = EXT_OUT;
	e->seq++;
	EXT_SHADOW(moves ? EXT_SHADOW_HOLD : EXT_SHADOW_SLEEP, e, cpu_of_rq(rq)->index, 0, 0);
	if (!moves) {
		e->slept = true;
		if (unlikely(atomic_load_acquire(&ext_watching)))
			ext_watch_blocks(ext_cpu_of(rq));
	}
	ext_post(e, cpu_of_rq(rq)->index,
		 moves ? EXT_EV_STOPPING : EXT_EV_STOPPING | EXT_EV_QUIESCENT | EXT_EV_SLEEP, 0);
	if (t->sched.state == THREAD_DEAD) {
		EXT_SHADOW(EXT_SHADOW_EXIT, e, cpu_of_rq(rq)->index, 0, 0);
		ext_forget(e);
		ext_post(e, cpu_of_rq(rq)->index, EXT_EV_DISABLE | EXT_EV_EXIT, 0);
	}
	if (!ext_cpu_of(rq)->token) {
		ext_cpu_of(rq)->token = true;
		rq->nr_ready++;
	}
}

/* The lock is held again: what became of @t meanwhile? True: it was seen to. */
static bool changed_meanwhile(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	if (t->sched.rank != RANK_EXT) {
		class_of(t)->stop(rq, t, why);
		return true;
	}
	if (t->sched.unusual & SCHED_MOVE) {
		stop_for_good(rq, t);
		balance_send_away(rq, t);
		return true;
	}
	return false;
}

static LOCK_UNCHECKED void step_unlocked(struct runqueue *rq, struct ext_task *prev,
					 enum stop_reason why)
{
	struct ext_cpu *x = ext_cpu_of(rq);

	spin_unlock(&rq->lock);
	ext_step(x, prev, why);
	(spin_lock)(&rq->lock);
}

static void stop_idle(struct runqueue *rq, struct ext_cpu *x)
{
	token_take(rq, x);
	if (x->staged || better_waits(rq))
		x->idle_seen = false; /* the step that was wanted is made when they are done */
	else
		step_unlocked(rq, NULL, STOP_PREEMPTED);
}

static void ext_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	struct ext_cpu *x = ext_cpu_of(rq);
	struct ext_task *e = t->sched.ext;

	if (t == rq->idle) {
		ASSERT(why != STOP_BLOCKED);
		return stop_idle(rq, x);
	}
	if (why == STOP_BLOCKED)
		return stop_for_good(rq, t);
	if (why == STOP_YIELDED || x->preempt)
		e->p.scx.slice = 0;
	x->preempt = false;
	if (better_waits(rq) || x->staged)
		return give_way(rq, x, e);
	step_unlocked(rq, e, why);
	if (changed_meanwhile(rq, t, why))
		ext_drop_prev(x, e);
	else
		ext_put_prev(rq, e);
}

static struct thread *ext_pick(struct runqueue *rq)
{
	struct ext_task *e = ext_cpu_of(rq)->staged;

	return e ? e->thread : rq->idle;
}

static void ext_start(struct runqueue *rq, struct thread *t)
{
	struct ext_cpu *x = ext_cpu_of(rq);
	struct ext_task *e = t->sched.ext;

	if (t == rq->idle)
		return;
	ASSERT(x->staged == e);
	x->staged = NULL;
	x->idle_seen = false;
	e->where = EXT_RUNNING;
	EXT_SHADOW(EXT_SHADOW_RUN, e, ext_index(x), 0, 0);
	if (unlikely(atomic_load_acquire(&ext_watching)) && e->woken)
		ext_watch_runs(x, rq->since_ns - MIN(e->runnable_ns, rq->since_ns));
	e->woken = false;
	e->runnable_ns = 0;
	rq->nr_ready--;
}

static uint64_t ext_slice_ns(const struct runqueue *rq, const struct thread *t)
{
	const struct ext_cpu *x = &ext_cpus[container_of(rq, const struct cpu, rq)->index];
	uint64_t slice_ns = t->sched.ext->p.scx.slice;

	if (unlikely(x->again))
		return 0;
	if (slice_ns != SCX_SLICE_INF && x->tick_ns)
		return MIN(slice_ns, x->tick_ns > rq->since_ns ? x->tick_ns - rq->since_ns : 0);
	return slice_ns;
}

/* It is for the policy to say: a step, in which the running thread goes on as a rule. */
static bool ext_preempts(struct runqueue *rq, struct thread *t)
{
	(void)rq;
	return t->sched.rank == RANK_EXT;
}

/* Only who is not handed to the policy yet: where the others run is the policy's decision. */
static struct thread *ext_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct ext_cpu *x = &ext_cpus[container_of(rq, const struct cpu, rq)->index];
	struct thread *found = NULL;
	int n = 0;

	(spin_lock)(&x->lock);
	list_for_each(pos, &x->inbox) {
		struct ext_task *e = container_of(pos, struct ext_task, inbox);

		if (e->where == EXT_INBOX && e->thread->sched.cpu == cpu_at(ext_index(x)) &&
		    cpumask_intersects(&e->thread->affinity, cpus)) {
			found = e->thread;
			break;
		}
		if (++n == STEAL_SCAN)
			break;
	}
	spin_unlock(&x->lock);
	return found;
}

/*
 * @cpu has nothing to do, and has said so in cpu_idle_mask: the policy is asked once more. True: a
 * step is wanted. Irqs masked, no lock held.
 */
LOCK_UNCHECKED bool ext_idle(struct cpu *cpu)
{
	struct ext_cpu *x = &ext_cpus[cpu->index];
	bool again = false;

	if (!atomic_load_acquire(&ext.ops))
		return false;
	/* again when a thread has run, or was sent here: not whenever some interrupt comes */
	if (x->idle_seen && !x->arriving.nr)
		return false;
	x->idle_seen = true;
	(spin_lock)(&cpu->rq.lock);
	if (!x->token) {
		x->token = again = true;
		cpu->rq.nr_ready++;
	}
	spin_unlock(&cpu->rq.lock);
	return again;
}

void ext_ends(struct runqueue *rq, struct thread *t)
{
	struct ext_task *e = t->sched.ext;

	EXT_SHADOW(EXT_SHADOW_EXIT, e, cpu_of_rq(rq)->index, 0, 0);
	ext_forget(e);
	t->sched.ext = NULL;
	ext_post(e, cpu_of_rq(rq)->index, EXT_EV_DISABLE | EXT_EV_EXIT, 0);
}

/* ---- attributes ------------------------------------------------------------------------------ */

uint16_t ext_rank(const struct sched_entity *s, uint32_t policy)
{
	if (!s->ext->enabled || (ext.partial && policy != SCHED_EXT))
		return RANK_FAIR;
	return RANK_EXT;
}

void ext_changed(struct runqueue *rq, struct thread *t, uint16_t old_rank)
{
	struct ext_task *e = t->sched.ext;
	unsigned cpu = cpu_of_rq(rq)->index;
	bool was = old_rank == RANK_EXT, is = t->sched.rank == RANK_EXT;

	if (was && !is) {
		EXT_SHADOW(EXT_SHADOW_LEAVE, e, cpu, 0, 0);
		if (e->where == EXT_RUNNING) {
			e->where = EXT_OUT;
			e->seq++;
		}
		ext_post(e, cpu, EXT_EV_STOPPING | EXT_EV_QUIESCENT | EXT_EV_DISABLE,
			 EXT_EV_RUNNABLE | EXT_EV_ENQUEUE | EXT_EV_SELECT | EXT_EV_RUNNING |
				 EXT_EV_ENABLE);
		if (e->p.flags & PF_EXITING) /* the class it ends in has no part in this */
			ext_ends(rq, t);
	} else if (!was && is) {
		ext_post(e, cpu, EXT_EV_ENABLE, 0);
		if (rq->curr == t) {
			e->where = EXT_RUNNING;
			e->p.scx.slice = SCX_SLICE_DFL;
			EXT_SHADOW(EXT_SHADOW_ENTER, e, cpu, 0, 0);
			ext_post(e, cpu, EXT_EV_RUNNABLE | EXT_EV_RUNNING, 0);
		}
	}
}

void ext_class_install(void)
{
	for (unsigned i = 0; i < ARCH_CPU_MAX; i++) {
		struct ext_cpu *x = &ext_cpus[i];

		spin_init(&x->lock, LOCK_EXT);
		list_init(&x->inbox);
		list_init(&x->local);
		ext_dsq_init(&x->arriving, SCX_DSQ_LOCAL_ON | i);
	}
	/* until the first thread is in the class these do what idle's own did */
	idle_class.start = ext_start;
	idle_class.pick = ext_pick;
	idle_class.enqueue = ext_enqueue;
	idle_class.dequeue = ext_dequeue;
	idle_class.charge = ext_charge;
	idle_class.slice_ns = ext_slice_ns;
	idle_class.preempts = ext_preempts;
	idle_class.steal = ext_steal;
	atomic_store_release(&idle_class.stop, ext_stop);
	topology.idle_looks = true;
}
