/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPU a thread runs on: placement of those that wake, pulling by a CPU that is idle, and
 * sending away a thread whose affinity changed.
 *
 * Rules: two rq locks are held at once only here, and only by spin_lock_pair(). A thread that is
 * queued has its registers saved, because the rq lock is held across the switch that took it off
 * its CPU: whoever has the lock may move it.
 *
 * steal vs switch
 *   CPU 0: thief                       CPU 1: victim, T running
 *   .                                  lock(rq1), T queued, picks N, switch T -> N
 *   lock(rq0), lock(rq1) ... waits     N: unlock(rq1)
 *   takes T, whole                     .
 *
 * A running thread whose CPU left its affinity cannot be queued elsewhere before its registers are
 * saved: it is put on rq->outgoing, and the CPU it is meant for takes it from there on an
 * inter-processor interrupt, with both locks.
 */
#include "sched/sched.h"
#include "core/irq.h"
#include "core/topology.h"
#include "sched/balance.h"

struct cpumask cpu_idle_mask;

/*
 * Threads on all outgoing lists, and 1 while a CPU comes or goes: saves the look at every CPU on
 * each interrupt.
 */
uint32_t balance_outgoing; /* [a] */
const struct balance_hotplug *balance_hotplug;

static bool cpu_is_idle(const struct cpu *cpu)
{
	return atomic_load_relaxed(&cpu->rq.curr) == cpu->rq.idle &&
	       !atomic_load_relaxed(&cpu->rq.nr_ready);
}

/* Claims one CPU of @idle, which is the caller's copy, looking upwards from @from. */
static struct cpu *claim_one(struct cpumask *idle, unsigned from, bool kick)
{
	while (!cpumask_empty(idle)) {
		unsigned i = cpumask_next(idle, from);
		uint64_t bit;

		if (i >= ARCH_CPU_MAX)
			i = cpumask_next(idle, 0);
		bit = 1ull << (i % 64);
		if (kick)
			atomic_store_relaxed(&cpu_at(i)->rq.kicked, 1u);
		if (atomic_fetch_and_acq_rel(&cpu_idle_mask.bits[cpumask_word(i)], ~bit) & bit &&
		    likely(cpumask_atomic_test(&cpu_online_mask, i)))
			return cpu_at(i);
		cpumask_reset(idle, i);
	}
	return NULL;
}

/*
 * Claims one idle CPU of @allowed other than @from, near to it rather than far: clears its bit, so
 * that two wakers do not choose the same one. (@from's own bit may still be set: an idle CPU takes
 * interrupts before it clears it.) With @kick, a waiting thread counts on it: the mark is set
 * before the bit is cleared, so that a CPU which leaves idle with its bit claimed sees it. A mark
 * without a claim costs one look, no more.
 */
struct cpu *balance_claim(const struct cpumask *allowed, unsigned from, bool kick)
{
	struct cpumask idle, near;
	struct cpu *cpu;

	cpumask_snapshot(&idle, &cpu_idle_mask);
	cpumask_and(&idle, &idle, allowed);
	cpumask_atomic_and(&idle, &idle, &cpu_online_mask);
	cpumask_reset(&idle, from);
	if (cpumask_empty(&idle))
		return NULL;
	if (topology.grouped) {
		cpumask_and(&near, &idle, cpu_cluster_mask(from));
		cpu = claim_one(&near, from, kick);
		cpumask_and(&near, &idle, cpu_cache_mask(from));
		if (!cpu)
			cpu = claim_one(&near, from, kick);
		if (cpu)
			return cpu;
	}
	return claim_one(&idle, from, kick);
}

static __noinline struct cpu *select_idle(struct thread *t, struct cpu *prev, bool stay, bool fork)
{
	struct cpu *cpu = balance_claim(&t->affinity, prev->index, false);

	if (cpu)
		return cpu;
	cpu = stay ? prev : balance_least_loaded(&t->affinity, prev);
	if (unlikely(!cpu))
		return balance_hotplug->place(t, fork);
	return t->sched.rank > RANK_RT ? rt_select(t, cpu) : cpu;
}

static __noinline struct cpu *select_unequal(struct thread *t, struct cpu *prev, bool allowed,
					     bool fork)
{
	bool prev_idle = allowed && cpu_is_idle(prev);
	struct cpu *cpu = balance_claim_fit(t, prev, prev_idle, fork);

	if (cpu)
		return cpu;
	return prev_idle ? prev : select_idle(t, prev, allowed && !fork, fork);
}

/*
 * The previous CPU if it is idle, else an idle one near to it, else any idle one; else a real-time
 * thread goes where the worst runs, another one stays, and a new one goes where least waits.
 */
struct cpu *balance_select(struct thread *t, struct cpu *prev, bool fork)
{
	bool allowed = cpumask_test(&t->affinity, prev->index) &&
		       cpumask_atomic_test(&cpu_online_mask, prev->index);
	bool stay = allowed && (!fork || cpu_count == 1);

	if (unlikely(topology.levels > 1))
		return select_unequal(t, prev, allowed, fork);
	if ((allowed && cpu_is_idle(prev)) || (stay && !prev->rq.peers))
		return prev;
	return select_idle(t, prev, stay, fork);
}

void balance_kick_idle(struct cpu *from, const struct cpumask *allowed)
{
	struct cpu *cpu;

	monitor_watch();
	atomic_fence_seq_cst(); /* what waits is visible before the mask is read: see idle_wait() */
	cpu = balance_claim(allowed, from->index, true);
	if (cpu)
		ipi_send(cpu);
}

struct thread *balance_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	struct thread *t = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(sched_classes) && !t; i++)
		t = sched_classes[i]->steal(rq, cpus);
	return t;
}

void balance_kick_waiting(struct runqueue *rq)
{
	struct cpumask idle;
	struct thread *t;

	cpumask_snapshot(&idle, &cpu_idle_mask);
	cpumask_atomic_and(&idle, &idle, &cpu_online_mask);
	cpumask_reset(&idle, cpu_of_rq(rq)->index);
	t = balance_steal(rq, &idle);
	if (t)
		balance_kick_idle(cpu_of_rq(rq), &t->affinity);
}

/* Moves @t, which waits on @from, to @to; both locked. */
void balance_move(struct runqueue *from, struct runqueue *to, struct thread *t)
{
	if (rq_has_fair_running(from))
		sched_charge_curr(from);
	class_of(t)->dequeue(from, t);
	t->sched.cpu = cpu_of_rq(to);
	sched_enqueue(to, t, EEVDF_PLACE_MOVE);
}

/*
 * Waits until @victim's lock is free, out of its queue: whoever has it may be taking the very
 * thread, and a row of thieves would keep out those who have to do with @victim. False: nothing is
 * left to take there, or there is work here.
 */
static bool worth_a_lock(struct cpu *cpu, struct cpu *victim)
{
	while (spin_is_locked(&victim->rq.lock)) {
		if (!cpu_has_waiting(victim) || atomic_load_relaxed(&cpu->rq.nr_ready))
			return false;
		arch_cpu_relax();
	}
	return true;
}

static __noinline bool pull_from(struct cpu *cpu, struct cpu *victim)
{
	struct cpumask self = { 0 };
	struct thread *t;

	if (rt_pull(cpu))
		return true;
	if (!worth_a_lock(cpu, victim))
		return false;
	spin_lock_pair(&cpu->rq.lock, &victim->rq.lock);
	if (likely(cpumask_atomic_test(&cpu_online_mask, cpu->index)))
		cpumask_set(&self, cpu->index);
	t = balance_steal(&victim->rq, &self);
	if (t)
		balance_move(&victim->rq, &cpu->rq, t);
	spin_unlock(&victim->rq.lock);
	spin_unlock(&cpu->rq.lock);
	if (!t)
		monitor_watch();
	return t != NULL;
}

/* Unequal CPUs, or a policy. */
static __cold bool look_further(struct cpu *cpu)
{
	if (topology.levels > 1 && balance_pull_misfit(cpu))
		return true;
	return ext_hooks && ext_hooks->idle(cpu);
}

/* Every other CPU is looked at, the near ones first. */
bool balance_pull(struct cpu *cpu)
{
	const uint16_t *nearest = topology.nearest[cpu->index], *end = nearest + cpu_count - 1;

	for (; nearest < end; nearest++)
		if (cpu_has_waiting(cpu_at(*nearest)) && pull_from(cpu, cpu_at(*nearest)))
			return true;
	return unlikely(topology.idle_looks) && look_further(cpu);
}

void balance_take_outgoing(struct cpu *cpu)
{
	if (unlikely(atomic_load_acquire(&balance_outgoing)))
		balance_take_all(cpu);
}
