/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hot path, all of it: yield, block, wake, preempt, tick, idle, and sched_finish(), where every
 * switch ends.
 *
 * A switch is a chain of tail calls that ends in arch_switch(), which saves the interrupt state
 * with the registers and jumps to sched_finish() on the other stack; so nothing is pushed but what
 * the switch itself saves. The fast paths below are for FIFO threads ("usual" ones: sched.unusual
 * == 0) that stay on this CPU; whatever is not that goes through schedule(), by the class table.
 * Deleting a fast path changes no behaviour.
 *
 * Rules: the rq lock is taken with irqs masked, held across the switch, released by the incoming
 * thread. One clock read per decision: it ends one thread's charge and begins the next one's.
 * Nothing here allocates, prints or loops without bound.
 *
 * idle vs kick
 *   CPU 0: idle, irqs masked            CPU 1: waker
 *   sees nr_ready 0                     .
 *   .                                   lock(rq0), T queued, nr_ready 1, unlock(rq0)
 *   .                                   inter-processor interrupt: pending on CPU 0, though masked
 *   waits for interrupt: returns at once
 *   sees nr_ready 1, switches           a kick before, during or after the wait has the same outcome
 */
#include "sched/balance.h"
#include "sched/group.h"
#include "sched/util.h"
#include "core/irq.h"
#include "core/panic.h"

const struct sched_class *const sched_classes[3] = { &rt_class, &fair_class, &idle_class };

/* ---- small steps ----------------------------------------------------------------------------- */

/*
 * Asked after somebody began to wait here, and the fence puts it in that order: a CPU that goes
 * idle says so before it looks for waiting threads, so one of the two sees the other.
 */
static inline bool somebody_idles(void)
{
	atomic_fence_seq_cst();
	return !cpumask_atomic_empty(&cpu_idle_mask);
}

/* Reads the clock and books what @curr has used since the last time. Returns how much that was. */
static inline uint64_t account(struct runqueue *rq, struct thread *curr)
{
	uint64_t now_ns = time_now_ns(), delta_ns = now_ns - rq->since_ns;

	rq->since_ns = now_ns;
	curr->sched.runtime_ns += delta_ns;
	return delta_ns;
}

/* The same, and tells the class. */
void sched_charge_curr(struct runqueue *rq)
{
	struct thread *curr = rq->curr;
	uint64_t delta_ns = account(rq, curr);

	if (likely(curr->sched.unusual & SCHED_FLAT))
		eevdf_charge(&rq->fair, &curr->sched.fair, delta_ns);
	else if (curr->sched.unusual & SCHED_SLICED)
		class_of(curr)->charge(rq, curr, delta_ns);
}

/*
 * Sets the end of @curr's slice, which begins now, and sees that the timer does not come later. Own
 * CPU.
 */
static void slice_begin(struct runqueue *rq, struct thread *curr)
{
	uint64_t slice_ns = UINT64_MAX;

	if (curr->sched.unusual & SCHED_SLICED)
		slice_ns = class_of(curr)->slice_ns(rq, curr);
	rq->slice_end_ns = slice_ns == UINT64_MAX ? UINT64_MAX : rq->since_ns + slice_ns;
	timer_arm(cpu_of_rq(rq), rq->slice_end_ns);
}

/* Tail-called at the end of every decision to run @next in place of @prev. */
static inline __attribute__((always_inline)) void switch_to(struct runqueue *rq,
							    struct thread *prev,
							    struct thread *next,
							    enum stop_reason why,
							    unsigned long flags)
{
	arch_sched_event(SCHED_EVENT_SWITCH, cpu_of_rq(rq), prev, next, why);
	rq->curr = next;
	rq->resched = 0;
	arch_switch(prev, next, flags);
}

/*
 * The first act on the other side: arch_switch() jumps here on @next's stack; @irq_flags are those
 * it left with.
 */
LOCK_UNCHECKED void sched_finish(struct thread *prev, unsigned long irq_flags)
{
	struct runqueue *rq = &arch_cpu_self()->rq;

	(void)prev;
	ASSERT_HOT(spin_held(&rq->lock));
	spin_unlock(&rq->lock);
	arch_irq_restore(irq_flags);
}

static struct thread *pick(struct runqueue *rq)
{
	for (unsigned i = 0; i < ARRAY_SIZE(sched_classes); i++) {
		struct thread *t = sched_classes[i]->pick(rq);

		if (t)
			return t;
	}
	panic("cpu %u: nothing to run, not even idle", arch_cpu_self()->index);
}

/* The interrupt is taken as soon as @next runs unmasked, and trap_exit() finds the hook. */
static __noinline void remind_of_hook(struct runqueue *rq, struct thread *next)
{
	next->sched.unusual &= (uint8_t)~SCHED_HOOK;
	ipi_send(cpu_of_rq(rq));
}

/*
 * Somebody waits here while another CPU is idle: tells one that may take @prev, if it was displaced
 * just now, and one that may take another: of several that one interrupt woke, each better than
 * @prev, one runs and nobody has heard of the rest. rq->curr is the next thread already.
 */
static __cold void kick_for_waiting(struct runqueue *rq, struct thread *prev)
{
	bool displaced = prev->sched.state == THREAD_RUNNABLE && prev != rq->curr &&
			 prev != rq->idle &&
			 !(prev->sched.unusual & (SCHED_MOVE | SCHED_THROTTLED));

	if (displaced)
		balance_kick_idle(cpu_of_rq(rq), &prev->affinity);
	if (rq->nr_ready > displaced)
		balance_kick_waiting(rq);
}

/* The end of a decision for the thread that runs already. */
static LOCK_UNCHECKED void keep_running(struct runqueue *rq, unsigned long flags)
{
	rq->resched = 0;
	spin_unlock(&rq->lock);
	arch_irq_restore(flags);
}

/* The general way from @prev to whoever is best, by the class table. Tail-call it. */
static __noinline LOCK_UNCHECKED void schedule(struct runqueue *rq, struct thread *prev,
					       enum stop_reason why, unsigned long flags)
{
	struct thread *next;

	sched_charge_curr(rq);
	if (unlikely(prev->sched.unusual & SCHED_MOVE) && why != STOP_BLOCKED) {
		class_of(prev)->stop(rq, prev, STOP_BLOCKED);
		balance_send_away(rq, prev);
	} else {
		class_of(prev)->stop(rq, prev, why);
	}
	next = pick(rq);
	class_of(next)->start(rq, next);
	rq->curr = next;
	if (unlikely(rq->nr_ready && somebody_idles()))
		kick_for_waiting(rq, prev);
	slice_begin(rq, next);
	if (unlikely(next->sched.unusual & SCHED_HOOK))
		remind_of_hook(rq, next);
	if (next == prev)
		return keep_running(rq, flags);
	switch_to(rq, prev, next, why, flags);
}

/* ---- yield ----------------------------------------------------------------------------------- */

/*
 * From the fair thread @prev to the fair entity @n, which is in the sums and not in the tree; @prev
 * is back in the tree if it is another. Tail-call it.
 */
static inline __attribute__((always_inline)) LOCK_UNCHECKED void switch_fair(struct runqueue *rq,
									     struct thread *prev,
									     struct eevdf_entity *n,
									     enum stop_reason why,
									     unsigned long flags)
{
	struct thread *next = container_of(n, struct thread, sched.fair);

	rq->slice_end_ns = rq->since_ns + eevdf_slice_left_ns(n);
	if (unlikely(rq->slice_end_ns < cpu_of_rq(rq)->timers.armed_ns))
		timer_arm(cpu_of_rq(rq), rq->slice_end_ns);
	if (unlikely(next == prev))
		return keep_running(rq, flags);
	rq->fair_curr = next;
	if (unlikely(next->sched.unusual & SCHED_HOOK))
		remind_of_hook(rq, next);
	switch_to(rq, prev, next, why, flags);
}

/* In thread context it yields; with interrupts masked it has come to the end of its request. */
static __noinline LOCK_UNCHECKED void yield_fair(struct runqueue *rq, struct thread *prev,
						 unsigned long flags)
{
	enum stop_reason why = arch_irq_flags_enabled(flags) ? STOP_YIELDED : STOP_PREEMPTED;
	struct eevdf_entity *e = &prev->sched.fair;

	eevdf_charge(&rq->fair, e, account(rq, prev));
	eevdf_yield(&rq->fair, e);
	if (eevdf_has_paid(&rq->fair))
		arch_cold_call(fair_release, rq, 0);
	switch_fair(rq, prev, eevdf_rotate(&rq->fair, e), why, flags);
}

static __noinline void yield_slow(struct runqueue *rq, struct thread *prev, unsigned long flags)
{
	bool fair = prev->sched.unusual == (SCHED_SLICED | SCHED_FLAT);

	if (likely(fair && !rq->rt.highest && rq->fair.left))
		yield_fair(rq, prev, flags);
	else
		schedule(rq, prev, STOP_YIELDED, flags);
}

/* Lets threads of the same rank go first. Context: thread. */
LOCK_UNCHECKED void sched_yield_current(void)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = &arch_cpu_self()->rq;
	struct thread *prev = rq->curr, *next;

	ASSERT_HOT(arch_irq_flags_enabled(flags));
	spin_lock(&rq->lock);
	if (unlikely(prev->sched.unusual || rq->rt.highest != prev->sched.priority))
		return yield_slow(rq, prev, flags);
	next = rt_first(&rq->rt);
	if (unlikely(next->sched.unusual))
		return yield_slow(rq, prev, flags);
	rt_rotate(&rq->rt, prev, next);
	account(rq, prev);
	switch_to(rq, prev, next, STOP_YIELDED, flags);
}

/* ---- block ----------------------------------------------------------------------------------- */

/*
 * Since @prev queued to wait its rank may have changed, or it was woken. The queue's lock is still
 * held, if the wait has one, so its place can be set right before anybody else looks.
 */
static __cold __noinline LOCK_UNCHECKED void block_marked(struct runqueue *rq, struct thread *prev,
							  struct spinlock *wait_lock,
							  unsigned long flags)
{
	struct wait_queue *q = atomic_load_relaxed(&prev->waiter.queue);

	if (wait_lock && q && wait_lock == &q->lock)
		wait_rank_again(q, &prev->waiter, prev->sched.rank);
	if (wait_lock)
		spin_unlock(wait_lock);
	if (!atomic_peek_relaxed(&prev->hook))
		prev->sched.unusual &= (uint8_t)~SCHED_HOOK;
	if (!(prev->sched.unusual & SCHED_WOKEN))
		return schedule(rq, prev, STOP_BLOCKED, flags);
	prev->sched.unusual &= (uint8_t)~SCHED_WOKEN;
	prev->sched.state = THREAD_RUNNABLE;
	spin_unlock(&rq->lock);
	sched_reschedule_self(flags);
}

LOCK_UNCHECKED void sched_block(struct spinlock *wait_lock, unsigned long flags)
{
	struct runqueue *rq = &arch_cpu_self()->rq;
	struct thread *prev = rq->curr, *next;

	ASSERT_HOT(arch_irq_flags_enabled(flags));
	spin_lock(&rq->lock);
	prev->sched.state = THREAD_BLOCKED;
	if (unlikely(prev->sched.unusual)) {
		if (unlikely(prev->sched.unusual & (SCHED_WOKEN | SCHED_HOOK)))
			return block_marked(rq, prev, wait_lock, flags);
		if (wait_lock)
			spin_unlock(wait_lock);
		return schedule(rq, prev, STOP_BLOCKED, flags);
	}
	if (wait_lock)
		spin_unlock(wait_lock);
	if (rq->rt.highest) {
		next = rt_first(&rq->rt);
		if (unlikely(next->sched.unusual))
			return schedule(rq, prev, STOP_BLOCKED, flags);
		rt_take(&rq->rt, next);
		rq->nr_ready--;
	} else {
		if (rq->fair.nr)
			return schedule(rq, prev, STOP_BLOCKED, flags);
		next = rq->idle;
	}
	account(rq, prev);
	switch_to(rq, prev, next, STOP_BLOCKED, flags);
}

LOCK_UNCHECKED void sched_exit(void)
{
	struct runqueue *rq = &arch_cpu_self()->rq;

	spin_lock_call(&rq->lock);
	rq->curr->sched.state = THREAD_DEAD;
	if (unlikely(rq->curr->sched.group))
		atomic_fetch_add_acq_rel(&rq->curr->sched.group->members, -1u);
	schedule(rq, rq->curr, STOP_BLOCKED, arch_irq_flags_masked());
	panic("a dead thread ran");
}

/* ---- wake ------------------------------------------------------------------------------------ */

/* Is @t, which has just begun to wait on @rq, to run before its current thread? */
static bool beats_curr(struct runqueue *rq, struct thread *t)
{
	if (t->sched.rank != rq->curr->sched.rank)
		return t->sched.rank > rq->curr->sched.rank;
	return class_of(t)->preempts && class_of(t)->preempts(rq, t);
}

/* V must stand at now before anybody is placed at it. */
void sched_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place how)
{
	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	class_of(t)->enqueue(rq, t, how);
}

/*
 * @t has begun to wait and the running fair thread goes on: it needs another slice end if it was
 * alone, and therefore had none, or if @t is to come in as soon as it has had its share.
 */
static bool fair_slice_shrinks(const struct runqueue *rq, const struct thread *t)
{
	const struct eevdf_entity *e = &t->sched.fair, *curr = &rq->fair_curr->sched.fair;

	return rq->slice_end_ns == UINT64_MAX ||
	       (eevdf_before(e->deadline, curr->deadline) && eevdf_eligible(&rq->fair, e));
}

/* Until another CPU takes it. */
static __cold void wait_behind_real_time(struct runqueue *rq, struct thread *t)
{
	if (rq->slice_end_ns == UINT64_MAX)
		monitor_watch();
	if (rq->peers && t->sched.rank > RANK_RT)
		rt_waits(rq, t);
	if (t->sched.rank == RANK_FAIR && rq->fair.nr == 1)
		server_fair_waits(rq);
}

/*
 * Sets rq->resched when @t, which has just begun to wait, is to run before the current thread, or
 * when the current fair thread needs another slice end on another CPU. True: rq's CPU must act.
 */
__cold bool sched_check_preempt(struct runqueue *rq, struct thread *t)
{
	bool act = beats_curr(rq, t);

	if (!act && rq->curr != rq->fair_curr) {
		wait_behind_real_time(rq, t);
	} else if (!act && fair_slice_shrinks(rq, t)) {
		if (cpu_of_rq(rq) == arch_cpu_self())
			slice_begin(rq, rq->curr);
		else
			act = true;
	}
	if (act)
		rq->resched = 1;
	return act;
}

/*
 * Makes @t wait on @rq, which is locked, and sees that the right CPU acts: this one by a switch,
 * another by an interrupt, an idle one if somebody now waits here who could run there. Unlocks.
 * Tail-call it.
 */
static __cold LOCK_UNCHECKED void place(struct runqueue *rq, struct thread *t, enum eevdf_place how,
					unsigned long flags)
{
	struct cpu *cpu = cpu_of_rq(rq);
	bool local = cpu == arch_cpu_self(), act = false;

	t->sched.state = THREAD_RUNNABLE;
	if (unlikely(t->sched.unusual & SCHED_MOVE)) {
		/* its affinity changed on the way: this CPU, claimed for it, may be idle still */
		balance_send_away(rq, t);
		ipi_send(cpu);
	} else {
		sched_enqueue(rq, t, how);
		act = sched_check_preempt(rq, t);
		if (!act && somebody_idles())
			balance_kick_idle(cpu, &t->affinity);
	}
	if (act && local && arch_irq_flags_enabled(flags))
		return schedule(rq, rq->curr, STOP_PREEMPTED, flags);
	spin_unlock(&rq->lock);
	if (act && !local)
		ipi_send(cpu);
	arch_irq_restore(flags);
}

/*
 * Gives way in thread context if something better came while irqs were masked. They are let in
 * first: what the caller did and the switch may both be long. One of them may see to resched, and
 * this may be another CPU then.
 */
__cold LOCK_UNCHECKED void sched_reschedule_self(unsigned long flags)
{
	struct runqueue *rq;

	arch_irq_restore(flags);
	if (!arch_irq_flags_enabled(flags))
		return;
	flags = arch_irq_save();
	rq = &arch_cpu_self()->rq;
	if (!atomic_peek_relaxed(&rq->resched)) {
		arch_irq_restore(flags);
		return;
	}
	spin_lock_call(&rq->lock);
	schedule(rq, rq->curr, STOP_PREEMPTED, flags);
}

/*
 * @t's old CPU is locked, so its registers are saved. Moves it to a better CPU, if there is one,
 * between two locks: it is in no queue.
 */
static __cold LOCK_UNCHECKED void wake_general(struct runqueue *rq, struct thread *t,
					       unsigned long flags)
{
	struct cpu *prev = cpu_of_rq(rq), *cpu;

	ASSERT(t->sched.state == THREAD_BLOCKED);
	cpu = balance_select(t, prev, false);
	t->sched.state = THREAD_WAKING;
	t->sched.unusual &= (uint8_t)~SCHED_MOVE;
	if (cpu != prev) {
		if (t->sched.rank == RANK_FAIR && t->sched.fair.delayed)
			fair_leave_delayed(rq, t);
		/* whoever locks the new CPU for @t is to see what was written to @t here */
		atomic_store_release(&t->sched.cpu, cpu);
		spin_unlock(&rq->lock);
		rq = &cpu->rq;
		spin_lock_call(&rq->lock);
	}
	place(rq, t, EEVDF_PLACE_WAKE, flags);
}

/* A FIFO thread whose CPU is another one and idle: it runs there. */
static __noinline LOCK_UNCHECKED void wake_idle_cpu(struct runqueue *rq, struct thread *t,
						    unsigned long flags)
{
	t->sched.state = THREAD_RUNNABLE;
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
	rq->resched = 1;
	spin_unlock(&rq->lock);
	ipi_send(cpu_of_rq(rq));
	arch_irq_restore(flags);
}

/*
 * The woken FIFO thread is better than the running one, which is not FIFO or may have to go to
 * another CPU.
 */
static __noinline LOCK_UNCHECKED void wake_switch(struct runqueue *rq, struct thread *t,
						  unsigned long flags)
{
	struct thread *curr = rq->curr;

	if (!curr->sched.unusual && !rq->resched && !rt_may_wander(curr)) {
		rt_put_head(&rq->rt, curr);
		rq->nr_ready++;
		account(rq, curr);
		return switch_to(rq, curr, t, STOP_PREEMPTED, flags);
	}
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
	schedule(rq, rq->curr, STOP_PREEMPTED, flags);
}

/* @t, FIFO, is not better than the running one and has no other CPU. */
static LOCK_UNCHECKED void wake_to_wait(struct runqueue *rq, struct thread *t, unsigned long flags)
{
	t->sched.state = THREAD_RUNNABLE;
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
	spin_unlock(&rq->lock);
	arch_irq_restore(flags);
}

/* @t, on its way to block, finds the mark. */
static LOCK_UNCHECKED void wake_running(struct runqueue *rq, struct thread *t, unsigned long flags)
{
	ASSERT(rq->curr == t);
	t->sched.unusual |= SCHED_WOKEN;
	spin_unlock(&rq->lock);
	arch_irq_restore(flags);
}

static __noinline LOCK_UNCHECKED void wake_elsewhere(struct runqueue *rq, struct thread *t,
						     unsigned long flags)
{
	if (t->sched.state_unusual != THREAD_BLOCKED) {
		if (unlikely(t->sched.state == THREAD_RUNNABLE))
			wake_running(rq, t, flags);
		else
			wake_general(rq, t, flags);
		return;
	}
	if (cpu_of_rq(rq) != arch_cpu_self() && rq->curr == rq->idle && !rq->nr_ready)
		wake_idle_cpu(rq, t, flags);
	else if (cpu_of_rq(rq) == arch_cpu_self() && !rt_may_wander(t))
		wake_to_wait(rq, t, flags);
	else
		wake_general(rq, t, flags);
}

LOCK_UNCHECKED void sched_wake(struct thread *t, unsigned long flags)
{
	struct cpu *self = arch_cpu_self(), *cpu = t->sched.cpu;
	struct runqueue *rq = &cpu->rq;
	struct thread *curr;
	bool better;

	spin_lock(&rq->lock);
	curr = rq->curr;
	better = t->sched.rank > curr->sched.rank;
	if (unlikely(t->sched.state_unusual != THREAD_BLOCKED || cpu != self ||
		     (!better && rq->peers)))
		return wake_elsewhere(rq, t, flags);
	t->sched.state = THREAD_RUNNABLE;
	if (!better || !arch_irq_flags_enabled(flags)) {
		rt_put_tail(&rq->rt, t);
		rq->nr_ready++;
		if (better)
			rq->resched = 1;
		spin_unlock(&rq->lock);
		arch_irq_restore(flags);
		return;
	}
	if (unlikely(curr->sched.unusual || rq->resched_peers))
		return wake_switch(rq, t, flags);
	rt_put_head(&rq->rt, curr);
	rq->nr_ready++;
	account(rq, curr);
	switch_to(rq, curr, t, STOP_PREEMPTED, flags);
}

LOCK_UNCHECKED void sched_start_placed(struct thread *t, unsigned long flags)
{
	struct cpu *cpu = balance_select(t, arch_cpu_self(), true);

	t->sched.cpu = cpu;
	spin_lock(&cpu->rq.lock);
	place(&cpu->rq, t, EEVDF_PLACE_NEW, flags);
}

/* Masked from the look at the hooks on: whoever installs them waits for those who saw none. */
int sched_start(struct thread *t)
{
	unsigned long flags = arch_irq_save();

	if (unlikely(ext_hooks)) {
		arch_irq_restore(flags);
		return ext_hooks->start(t);
	}
	sched_start_placed(t, flags);
	return 0;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/*
 * No real-time thread takes over. Mostly it is between fair threads: a request is served, which is
 * like yielding with nothing left of it; or somebody with a shorter request or an earlier deadline
 * woke up, who has all of its request, not only to parity: else it may be stopped just before it
 * would have slept. Anything else goes by the class table.
 */
static __noinline LOCK_UNCHECKED void preempt_fair(struct runqueue *rq, struct thread *prev)
{
	struct eevdf_entity *e = &prev->sched.fair, *n;
	bool fair = prev->sched.unusual == (SCHED_SLICED | SCHED_FLAT);

	if (likely(fair && !rq->rt.highest && rq->fair.left &&
		   cpumask_atomic_empty(&cpu_idle_mask))) {
		sched_charge_curr(rq);
		if (eevdf_has_paid(&rq->fair))
			fair_release(rq, 0);
		if (eevdf_expired(e)) {
			fair_check_lag(rq, prev);
			return yield_fair(rq, prev, arch_irq_flags_masked());
		}
		n = eevdf_pick(&rq->fair, e);
		if (n == e) {
			slice_begin(rq, prev);
			return keep_running(rq, arch_irq_flags_masked());
		}
		eevdf_take(&rq->fair, n);
		eevdf_put(&rq->fair, e);
		rq->fair_paused = prev;
		return switch_fair(rq, prev, n, STOP_PREEMPTED, arch_irq_flags_masked());
	}
	schedule(rq, prev, STOP_PREEMPTED, arch_irq_flags_masked());
}

/*
 * Something better waits, or the slice is over: from the end of an interrupt, never on idle, which
 * takes none. A fair thread that real time takes the CPU from stays in rq->fair_curr, in the sums,
 * ready to go on without touching the tree; what it ran is noted and charged when its class is next
 * asked for anything.
 */
static __noinline LOCK_UNCHECKED void preempt(struct cpu *cpu)
{
	struct runqueue *rq = &cpu->rq;
	struct thread *prev = rq->curr, *next;
	uint32_t unusual;

	spin_lock(&rq->lock);
	next = rq->rt.front;
	if (unlikely(!next || next->sched.unusual || !cpumask_atomic_empty(&cpu_idle_mask)))
		return preempt_fair(rq, prev);
	unusual = prev->sched.unusual;
	/* flat, with or without a hook, and not to move: it runs, so it is rq->fair_curr */
	if (unusual - SCHED_FLAT < SCHED_WOKEN) {
		rt_take(&rq->rt, next);
		rq->slice_end_ns = UINT64_MAX;
		rq->fair_owed_ns += account(rq, prev);
	} else if (unusual == 0 && next->sched.rank > prev->sched.rank &&
		   !(rq->peers && rt_may_wander(prev))) {
		rt_take(&rq->rt, next);
		rt_put_head(&rq->rt, prev);
		account(rq, prev);
	} else {
		return preempt_fair(rq, prev);
	}
	switch_to(rq, prev, next, STOP_PREEMPTED, arch_irq_flags_masked());
}

/*
 * One hook at a time: an interrupt that finds one running leaves the next to it, so that no number of
 * them takes more of the stack than two interrupts do.
 */
static __cold void run_hook_masked(struct thread *self)
{
	if (atomic_peek_relaxed(&arch_cpu_self()->rq.resched))
		preempt(arch_cpu_self());
	if (self->in_hook)
		return;
	self->in_hook = true;
	do {
		arch_irq_enable();
		thread_run_hook();
		arch_irq_disable();
	} while (atomic_peek_relaxed(&self->hook));
	self->in_hook = false;
	if (atomic_peek_relaxed(&arch_cpu_self()->rq.resched))
		preempt(arch_cpu_self());
}

/* The only place where an interrupt becomes a switch. */
void trap_exit(void)
{
	struct cpu *cpu = arch_cpu_self();

	if (unlikely(atomic_peek_relaxed(&cpu->rq.curr->hook)))
		return run_hook_masked(cpu->rq.curr);
	if (atomic_peek_relaxed(&cpu->rq.resched))
		preempt(cpu);
}

/*
 * The slice is over: who is next is decided at the end of the interrupt. Only this CPU clears
 * resched or sets slice_end_ns.
 */
static __noinline void slice_over(struct cpu *cpu, uint64_t now_ns, uint64_t next_timer_ns)
{
	struct runqueue *rq = &cpu->rq;

	rq->slice_end_ns = UINT64_MAX;
	atomic_store_relaxed(&rq->resched, 1u);
	if (unlikely(now_ns >= rq->balance_ns))
		balance_tick(cpu, now_ns);
	timer_arm(cpu, next_timer_ns);
}

void sched_timer(struct cpu *cpu, uint64_t now_ns, uint64_t next_timer_ns)
{
	if (unlikely(cpu->rq.slice_end_ns <= now_ns))
		return slice_over(cpu, now_ns, next_timer_ns);
	timer_arm(cpu, MIN(cpu->rq.slice_end_ns, next_timer_ns));
}

void sched_ipi(struct cpu *cpu)
{
	balance_take_outgoing(cpu);
}

/* ---- idle ------------------------------------------------------------------------------------ */

/*
 * Says that this CPU is idle before it looks for work elsewhere: a waker that queues a thread and
 * then finds no idle CPU is seen by balance_pull().
 */
static inline void idle_wait(struct cpu *cpu, unsigned index)
{
	if (unlikely(atomic_peek_relaxed(&cpu->server.timer.armed)))
		server_idle(&cpu->rq);
	cpumask_atomic_set(&cpu_idle_mask, index);
	atomic_fence_seq_cst();
	if (!balance_pull(cpu) && likely(!atomic_load_relaxed(&cpu->rq.nr_ready_kicked)))
		arch_cpu_idle();
	else if (atomic_peek_relaxed(&cpu->rq.kicked))
		balance_pass_on(cpu);
	cpumask_atomic_reset(&cpu_idle_mask, index);
}

/* Not for one FIFO thread alone. A kick that came meanwhile was for somebody else. */
static __cold LOCK_UNCHECKED void idle_leave_general(struct runqueue *rq)
{
	if (atomic_peek_relaxed(&rq->kicked)) {
		spin_unlock(&rq->lock);
		balance_pass_on(cpu_of_rq(rq));
		spin_lock_call(&rq->lock);
	}
	if (unlikely(rq->rt.elsewhere && !rq->rt.highest))
		rt_falls(rq, 0); /* somebody came before this CPU could pull */
	server_fair_runs(rq);
	schedule(rq, rq->idle, STOP_PREEMPTED, arch_irq_flags_masked());
}

/* Somebody waits here. */
static __noinline LOCK_UNCHECKED void idle_leave(struct runqueue *rq)
{
	struct thread *idle = rq->idle, *next;

	spin_lock(&rq->lock);
	next = rq->rt.front;
	if (unlikely(!next || next->sched.unusual || atomic_peek_relaxed(&rq->nr_ready_kicked) > 1))
		return idle_leave_general(rq);
	rt_take(&rq->rt, next);
	rq->nr_ready = 0; /* it was the only one */
	/* idle is charged for nothing: its time is what no thread had */
	rq->since_ns = time_now_ns();
	switch_to(rq, idle, next, STOP_PREEMPTED, arch_irq_flags_masked());
}

void sched_idle_loop(void)
{
	struct cpu *cpu = arch_cpu_self();
	const unsigned index = cpu->index;

	arch_irq_disable();
	for (;;) {
		if (!atomic_load_relaxed(&cpu->rq.nr_ready))
			idle_wait(cpu, index);
		if (atomic_peek_relaxed(&cpu->rq.nr_ready))
			idle_leave(&cpu->rq);
	}
}
