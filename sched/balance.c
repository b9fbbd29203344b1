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
#include "core/hotplug.h"
#include "core/irq.h"

struct cpumask cpu_idle_mask;

/*
 * Threads on all outgoing lists, and 1 while a CPU comes or goes: saves the look at every CPU on
 * each interrupt.
 */
static uint32_t outgoing_count; /* [a] */

static bool cpu_is_idle(const struct cpu *cpu)
{
	return atomic_load_relaxed(&cpu->rq.curr) == cpu->rq.idle &&
	       !atomic_load_relaxed(&cpu->rq.nr_ready);
}

/*
 * Claims one idle CPU of @allowed other than @from, looking upwards from there: clears its bit, so
 * that two wakers do not choose the same one. (@from's own bit may still be set: an idle CPU takes
 * interrupts before it clears it.) With @kick, a waiting thread counts on it: the mark is set
 * before the bit is cleared, so that a CPU which leaves idle with its bit claimed sees it. A mark
 * without a claim costs one look, no more.
 */
static struct cpu *claim_idle(const struct cpumask *allowed, unsigned from, bool kick)
{
	struct cpumask idle;

	cpumask_snapshot(&idle, &cpu_idle_mask);
	cpumask_and(&idle, &idle, allowed);
	cpumask_reset(&idle, from);
	while (!cpumask_empty(&idle)) {
		unsigned i = cpumask_next(&idle, from);
		uint64_t bit;

		if (i >= ARCH_CPU_MAX)
			i = cpumask_next(&idle, 0);
		bit = 1ull << (i % 64);
		if (kick)
			atomic_store_relaxed(&cpu_at(i)->rq.kicked, 1u);
		if (atomic_fetch_and_acq_rel(&cpu_idle_mask.bits[i / 64], ~bit) & bit &&
		    likely(cpumask_test(&cpu_online_mask, i)))
			return cpu_at(i);
		cpumask_reset(&idle, i);
	}
	return NULL;
}

/* The least loaded online CPU of @allowed, @prev when equal. */
static struct cpu *least_loaded(const struct cpumask *allowed, struct cpu *prev)
{
	struct cpumask candidates;
	struct cpu *best = NULL;
	uint32_t best_load = UINT32_MAX;

	cpumask_and(&candidates, allowed, &cpu_online_mask);
	cpumask_for_each(i, &candidates) {
		struct cpu *cpu = cpu_at(i);
		uint32_t load = atomic_load_relaxed(&cpu->rq.nr_ready) +
				(atomic_load_relaxed(&cpu->rq.curr) != cpu->rq.idle);

		if (load < best_load || (load == best_load && cpu == prev)) {
			best = cpu;
			best_load = load;
		}
	}
	return best;
}

/*
 * The previous CPU if it is idle, else an idle one, else the previous one; a new thread goes where
 * least waits.
 */
struct cpu *balance_select(struct thread *t, struct cpu *prev, bool fork)
{
	bool allowed = fork ? cpumask_test(&t->affinity, prev->index) :
			      !(t->sched.unusual & SCHED_MOVE);
	struct cpu *cpu;

	if (allowed && cpu_is_idle(prev))
		return prev;
	cpu = claim_idle(&t->affinity, prev->index, false);
	if (cpu)
		return cpu;
	if (allowed && (!fork || cpu_count == 1))
		return prev;
	cpu = least_loaded(&t->affinity, prev);
	return likely(cpu) ? cpu : hotplug_place(t, fork);
}

void balance_kick_idle(struct cpu *from, const struct cpumask *allowed)
{
	struct cpu *cpu;

	atomic_fence_seq_cst(); /* what waits is visible before the mask is read: see idle_wait() */
	cpu = claim_idle(allowed, from->index, true);
	if (cpu)
		ipi_send(cpu);
}

static struct thread *steal(const struct runqueue *rq, const struct cpumask *cpus)
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
	cpumask_and(&idle, &idle, &cpu_online_mask);
	cpumask_reset(&idle, cpu_of_rq(rq)->index);
	t = steal(rq, &idle);
	if (t)
		balance_kick_idle(cpu_of_rq(rq), &t->affinity);
}

/* Moves @t, which waits on @from, to @to; both locked. */
static void move(struct runqueue *from, struct runqueue *to, struct thread *t)
{
	if (rq_has_fair_running(from))
		sched_charge_curr(from);
	class_of(t)->dequeue(from, t);
	t->sched.cpu = cpu_of_rq(to);
	sched_enqueue(to, t, EEVDF_PLACE_MOVE);
}

static bool pull_from(struct cpu *cpu, struct cpu *victim)
{
	struct cpumask self = { 0 };
	struct thread *t;

	spin_lock_pair(&cpu->rq.lock, &victim->rq.lock);
	if (likely(cpumask_test(&cpu_online_mask, cpu->index)))
		cpumask_set(&self, cpu->index);
	t = steal(&victim->rq, &self);
	if (t)
		move(&victim->rq, &cpu->rq, t);
	spin_unlock(&victim->rq.lock);
	spin_unlock(&cpu->rq.lock);
	return t != NULL;
}

/*
 * Threads that wait on @victim and will not run there at once: an idle CPU with one is about to run
 * it.
 */
static bool has_waiting(const struct cpu *victim)
{
	return atomic_load_relaxed(&victim->rq.nr_ready) >
	       (atomic_load_relaxed(&victim->rq.curr) == victim->rq.idle);
}

/* Every other CPU is looked at, beginning with the next one, so that thieves spread. */
bool balance_pull(struct cpu *cpu)
{
	for (unsigned i = 1; i < cpu_count; i++) {
		struct cpu *victim = cpu_at((cpu->index + i) % cpu_count);

		if (has_waiting(victim) && pull_from(cpu, victim))
			return true;
	}
	return false;
}

/*
 * Whoever kicked @cpu counts on it to take one thread, but it has work of its own, took another
 * one, or may not run that one. Each thread that waits anywhere is its CPU's to look at again.
 */
void balance_pass_on(struct cpu *cpu)
{
	atomic_store_relaxed(&cpu->rq.kicked, 0u);
	for (unsigned i = 0; i < cpu_count && !cpumask_empty(&cpu_idle_mask); i++) {
		struct cpu *victim = cpu_at(i);

		if (!has_waiting(victim))
			continue;
		spin_lock(&victim->rq.lock);
		balance_kick_waiting(&victim->rq);
		spin_unlock(&victim->rq.lock);
	}
}

void balance_send_away(struct runqueue *rq, struct thread *t)
{
	struct cpu *to = claim_idle(&t->affinity, cpu_of_rq(rq)->index, false);

	if (!to)
		to = least_loaded(&t->affinity, cpu_of_rq(rq));
	if (unlikely(!to))
		to = hotplug_place(t, false);
	ASSERT(to != cpu_of_rq(rq));
	list_add_tail(&t->sched.node, &rq->outgoing);
	atomic_fetch_add_acq_rel(&outgoing_count, 1u);
	ipi_send(to);
}

/* @t, on the outgoing list of its CPU, leaves it. */
void balance_keep(struct thread *t)
{
	list_del(&t->sched.node);
	atomic_fetch_add_acq_rel(&outgoing_count, -1u);
}

/* Takes those that may run on @cpu. */
static void take_from(struct cpu *cpu, struct cpu *from)
{
	struct runqueue *rq = &cpu->rq;

	spin_lock_pair(&rq->lock, &from->rq.lock);
	for (struct list_head *node = from->rq.outgoing.next, *next; node != &from->rq.outgoing;
	     node = next) {
		struct thread *t = container_of(node, struct thread, sched.node);

		next = node->next;
		if (!cpumask_test(&t->affinity, cpu->index))
			continue;
		balance_keep(t);
		t->sched.unusual &= (uint8_t)~SCHED_MOVE;
		t->sched.cpu = cpu;
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		if (!sched_check_preempt(rq, t))
			balance_kick_idle(cpu, &t->affinity);
	}
	spin_unlock(&from->rq.lock);
	spin_unlock(&rq->lock);
}

void balance_look_closely(uint32_t change)
{
	atomic_fetch_add_acq_rel(&outgoing_count, change);
}

static __noinline void look_closely(struct cpu *cpu)
{
	cpu_change_seen(cpu);
	if (!cpumask_test(&cpu_online_mask, cpu->index))
		return;
	for (unsigned i = 0; i < cpu_count; i++) {
		struct cpu *from = cpu_at(i);

		if (from != cpu &&
		    atomic_load_relaxed(&from->rq.outgoing.next) != &from->rq.outgoing)
			take_from(cpu, from);
	}
}

void balance_take_outgoing(struct cpu *cpu)
{
	if (unlikely(atomic_load_acquire(&outgoing_count)))
		look_closely(cpu);
}
