/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real time over the CPUs: no FIFO or RR thread waits while a CPU where it may run runs a worse
 * one, but for the time that an inter-processor interrupt takes. So the M best run on M CPUs, as
 * far as affinities leave the choice.
 *
 * Push. A thread that wakes, and would wait, is put on the CPU that runs the worst (rt_select()).
 * One that begins to wait all the same (displaced, moved, its attributes changed) is moved by the
 * next interrupt, when its registers are saved: rt_waits() asks for it, rt_answer() does it.
 *
 * Pull. If no CPU runs a worse one, @t is offered: rq->rt.offered of its CPU is its priority, and
 * every CPU where it may run has rt.elsewhere set. A CPU that takes its next real-time thread from
 * its queue comes by there anyway on its cold way (rt_take()), one that has none left by
 * rt_stop(), and an idle one pulls by itself. It looks, without a lock, whether what is offered
 * beats what it has, and asks itself for an interrupt, in which it takes the thread. If nobody offers
 * anything, elsewhere is reset. So a CPU without real-time threads that wait elsewhere never looks.
 *
 * offer vs fall
 *   CPU 0: T waits behind curr              CPU 1: N is next, worse than T
 *   lock(rq0), T queued                     lock(rq1), takes N: elsewhere is set
 *   offered = T's priority                  elsewhere = RT_CHANGES
 *   fence                                   fence
 *   CPU 1 knows, and runs a better one: T   something better offered? asks itself
 *   waits; else asks for a push             curr = N, unlock(rq1)
 *
 * One of the two sees what the other wrote. A push sets elsewhere to RT_KNOWS under the lock of the
 * CPU that is to know: before or after a whole decision of that CPU, never within, so curr is true.
 *
 * No storm: locks are taken in pairs, one pair a step, by one CPU for each queue that asked, for a
 * thread that was seen to be better. Bounded: RT_STEPS of them, then another interrupt.
 */
#include "core/irq.h"
#include "sched/balance.h"

#define RT_PUSH  1u
#define RT_PULL  2u
#define RT_STEPS 8

/* Values of rq->rt.elsewhere besides 0, nobody offers anything. */
enum {
	RT_KNOWS = 1, /* others do */
	RT_CHANGES,   /* the same, and its curr may be about to be a worse one */
};

/* The rank that a CPU runs, or is about to. No lock: a guess; with its lock: exact. */
static __cold uint32_t rank_at(const struct cpu *cpu)
{
	uint32_t waits = atomic_peek_relaxed(&cpu->rq.rt.highest);
	uint32_t runs = atomic_peek_relaxed(&atomic_load_relaxed(&cpu->rq.curr)->sched.rank);

	if (atomic_peek_relaxed(&cpu->rq.rt.unserved) == RT_SERVING)
		return RANK_RT + RT_LEVELS;
	return waits ? MAX(runs, RANK_RT + waits) : runs;
}

/* The online CPU of @allowed, other than @from, that runs the worst below @rank; NULL: none. */
static __cold struct cpu *lowest_below(const struct cpumask *allowed, const struct cpu *from,
				       uint32_t rank)
{
	struct cpumask cpus;
	struct cpu *best = NULL;

	cpumask_atomic_and(&cpus, allowed, &cpu_online_mask);
	cpumask_for_each(i, &cpus) {
		uint32_t there = rank_at(cpu_at(i));

		if (cpu_at(i) != from && there < rank) {
			best = cpu_at(i);
			rank = there;
		}
	}
	return best;
}

__cold struct cpu *rt_select(const struct thread *t, struct cpu *cpu)
{
	uint32_t here = rank_at(cpu);
	struct cpu *lower;

	if (here < RANK_RT)
		return cpu;
	lower = lowest_below(&t->affinity, cpu, MIN(here, t->sched.rank));
	return lower ? lower : cpu;
}

/*
 * Any CPU pushes, since it takes the lock first. But a CPU pulls for itself: only it knows that it
 * is not just about to run something worse.
 */
static __cold void ask(struct runqueue *rq, uint32_t what)
{
	if (atomic_fetch_or_acq_rel(&rq->rt.asked, what) & what)
		return;
	atomic_fetch_add_acq_rel(&balance_outgoing, 1u);
	ipi_send(what == RT_PULL ? cpu_of_rq(rq) : arch_cpu_self());
}

/* True: somebody asked for it, and nobody else does it. */
static __cold bool asked(struct runqueue *rq, uint32_t what)
{
	if (!(atomic_load_relaxed(&rq->rt.asked) & what) ||
	    !(atomic_fetch_and_acq_rel(&rq->rt.asked, ~what) & what))
		return false;
	atomic_fetch_add_acq_rel(&balance_outgoing, -1u);
	return true;
}

/* A CPU of @allowed other than @from runs a worse one than @rank, or does not know of offers. */
static __cold struct cpu *unaware_or_worse(const struct cpumask *allowed, const struct cpu *from,
					   uint32_t rank)
{
	struct cpumask cpus;

	cpumask_atomic_and(&cpus, allowed, &cpu_online_mask);
	cpumask_for_each(i, &cpus)
		if (cpu_at(i) != from &&
		    atomic_load_acquire(&cpu_at(i)->rq.rt.elsewhere) != RT_KNOWS)
			return cpu_at(i);
	return lowest_below(allowed, from, rank);
}

__cold void rt_waits(struct runqueue *rq, const struct thread *t)
{
	if (!rt_may_wander(t))
		return;
	atomic_store_relaxed(&rq->rt.offered, MAX(rq->rt.offered, t->sched.priority));
	atomic_fence_seq_cst();
	if (unaware_or_worse(&t->affinity, cpu_of_rq(rq), t->sched.rank))
		ask(rq, RT_PUSH);
}

/* The best offer of another CPU above @priority, of those not in @refused; NULL: none. */
static __cold struct cpu *best_offer(const struct cpu *cpu, uint32_t priority,
				     const struct cpumask *refused)
{
	struct cpu *best = NULL;

	for (unsigned i = 0; i < cpu_count; i++) {
		uint32_t offered = atomic_load_relaxed(&cpu_at(i)->rq.rt.offered);

		if (cpu_at(i) != cpu && offered > priority && !cpumask_test(refused, i)) {
			best = cpu_at(i);
			priority = offered;
		}
	}
	return best;
}

/*
 * The lock is held across the switch that follows, so the interrupt comes after it. What this CPU
 * is about to run does not show in its curr yet: until it does, nobody may rely on what he sees
 * there.
 */
__cold void rt_falls(struct runqueue *rq, uint32_t priority)
{
	static const struct cpumask none;
	struct cpu *cpu = cpu_of_rq(rq);

	atomic_store_relaxed(&rq->rt.elsewhere, (uint16_t)RT_CHANGES);
	atomic_fence_seq_cst();
	if (best_offer(cpu, priority, &none))
		ask(rq, RT_PULL);
	else if (!best_offer(cpu, 0, &none))
		atomic_store_relaxed(&rq->rt.elsewhere, (uint16_t)0);
}

/* ---- with locks ------------------------------------------------------------------------------ */

/* The best that waits: it will run here as soon as this CPU looks. */
static bool is_next(const struct runqueue *rq, const struct thread *t)
{
	return t->sched.rank > rq->curr->sched.rank && t == rt_first(&rq->rt) &&
	       rq->rt.unserved != RT_SERVING;
}

/*
 * May @t, which waits on @rq, go to *to, which runs a worse one; or, if that is NULL, to which CPU
 * that does, or that has to be told; or, without @to, to any other CPU at all?
 */
static __cold bool suits(struct runqueue *rq, const struct thread *t, struct cpu **to)
{
	if (is_next(rq, t) || !rt_may_wander(t))
		return false;
	if (!to)
		return true;
	if (*to)
		return cpumask_test(&t->affinity, (*to)->index) && t->sched.rank > rank_at(*to);
	*to = unaware_or_worse(&t->affinity, cpu_of_rq(rq), t->sched.rank);
	return *to != NULL;
}

/* The best that waits and suits, or NULL; not further than STEAL_SCAN. */
static __cold struct thread *find(struct runqueue *rq, struct cpu **to)
{
	struct rt_queue *q = &rq->rt;
	unsigned scanned = 0;

	if (q->front && suits(rq, q->front, to))
		return q->front;
	for (unsigned level = MIN(q->highest, DEADLINE_LEVEL - 1u); level > 0 && q->nr_listed;
	     level--)
		list_for_each(node, &q->level[level]) {
			struct thread *t = container_of(node, struct thread, sched.node);

			if (suits(rq, t, to))
				return t;
			if (++scanned == STEAL_SCAN)
				return NULL;
		}
	return NULL;
}

/*
 * @to is told that there are offers, and takes the best of @from that suits it. What @from goes on
 * to offer is found by those that look again. True: it has taken one.
 */
static __cold bool visit(struct cpu *from, struct cpu *to)
{
	bool online, act = false;
	struct thread *t, *left;

	spin_lock_pair(&from->rq.lock, &to->rq.lock);
	atomic_store_release(&to->rq.rt.elsewhere, (uint16_t)RT_KNOWS);
	online = cpumask_atomic_test(&cpu_online_mask, to->index);
	t = online ? find(&from->rq, &to) : NULL;
	if (t) {
		balance_move(&from->rq, &to->rq, t);
		act = sched_check_preempt(&to->rq, t);
	}
	left = find(&from->rq, NULL);
	atomic_store_relaxed(&from->rq.rt.offered, left ? left->sched.priority : 0u);
	spin_unlock(&from->rq.lock);
	spin_unlock(&to->rq.lock);
	if (act && to != arch_cpu_self())
		ipi_send(to);
	return t != NULL;
}

__cold bool rt_pull(struct cpu *cpu)
{
	struct cpumask refused = { 0 };

	atomic_fence_seq_cst();
	for (unsigned n = 0; n < RT_STEPS; n++) {
		uint32_t here = rank_at(cpu);
		struct cpu *from = best_offer(cpu, here > RANK_RT ? here - RANK_RT : 0, &refused);

		if (!from)
			return false;
		if (visit(from, cpu))
			return true;
		cpumask_set(&refused, from->index);
	}
	return false;
}

static void push(struct cpu *cpu)
{
	struct runqueue *rq = &cpu->rq;

	for (unsigned n = 0; n < RT_STEPS; n++) {
		struct cpu *to = NULL;

		spin_lock_call(&rq->lock);
		atomic_fence_seq_cst();
		if (!find(rq, &to))
			to = NULL;
		spin_unlock(&rq->lock);
		if (!to)
			return;
		visit(cpu, to);
	}
	ask(rq, RT_PUSH);
}

__cold void rt_answer(struct cpu *cpu)
{
	if (asked(&cpu->rq, RT_PULL))
		rt_pull(cpu);
	for (unsigned i = 0; i < cpu_count; i++)
		if (asked(&cpu_at(i)->rq, RT_PUSH))
			push(cpu_at(i));
}
