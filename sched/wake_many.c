/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many wake-ups at once: each CPU's lock is taken once for all who wait there, and its CPU is told
 * once. What is done for each is what sched_wake() does for one; nobody is switched to here. A thread
 * that is to go to another CPU is handed over between two locks, as wake_general() does it.
 *
 * No second interrupt: rq->resched says that one is on its way, because whoever sets it for another
 * CPU sends it, and that CPU alone takes it back, with the lock, when it decides.
 */
#include "sched/sched.h"
#include "core/irq.h"

/* A FIFO thread that has no other CPU, or there is none: it waits where it was. */
static inline bool stays(const struct runqueue *rq, const struct thread *t)
{
	return t->sched.state_unusual == THREAD_BLOCKED && (!rq->peers || !rt_may_wander(t)) &&
	       likely(cpumask_atomic_test(&cpu_online_mask,
					  container_of(rq, struct cpu, rq)->index));
}

/* True: rq's CPU must act. */
static bool queue_fifo(struct runqueue *rq, struct thread *t)
{
	t->sched.state = THREAD_RUNNABLE;
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
	if (t->sched.rank <= rq->curr->sched.rank)
		return false;
	rq->resched = 1;
	return true;
}

/* @t, blocked, is to go to another CPU, and does; false: it stays. */
static bool moves(struct runqueue *rq, struct thread *t)
{
	struct cpu *prev = cpu_of_rq(rq), *cpu = balance_select(t, prev, false);

	t->sched.state = THREAD_WAKING;
	t->sched.unusual &= (uint8_t)~SCHED_MOVE;
	if (cpu == prev)
		return false;
	if (t->sched.rank == RANK_FAIR && t->sched.fair.delayed)
		fair_leave_delayed(rq, t);
	atomic_store_release(&t->sched.cpu, cpu);
	return true;
}

/* @t has come to its CPU. True: that one must act. */
static bool queue_general(struct runqueue *rq, struct thread *t)
{
	bool act;

	t->sched.state = THREAD_RUNNABLE;
	if (unlikely(t->sched.unusual & SCHED_MOVE)) {
		/* its affinity changed on the way: this CPU, claimed for it, may be idle still */
		balance_send_away(rq, t);
		return true;
	}
	sched_enqueue(rq, t, EEVDF_PLACE_WAKE);
	act = sched_check_preempt(rq, t);
	if (!act) {
		atomic_fence_seq_cst(); /* as in sched.c */
		if (!cpumask_atomic_empty(&cpu_idle_mask))
			balance_kick_idle(cpu_of_rq(rq), &t->affinity);
	}
	return act;
}

/* Those of @threads, up to 32, that are in *@left and belong to @cpu. */
static void wake_at(struct cpu *cpu, struct thread *const *threads, uint32_t *left)
{
	struct runqueue *rq = &cpu->rq;
	bool local = cpu == arch_cpu_self(), act = false, told;

	spin_lock(&rq->lock);
	told = rq->resched;
	for (uint32_t rest = *left, i = 0; rest; rest >>= 1, i++) {
		struct thread *t = threads[i];

		if (!(rest & 1) || atomic_load_acquire(&t->sched.cpu) != cpu)
			continue;
		if (t->sched.state == THREAD_BLOCKED && !stays(rq, t) && moves(rq, t))
			continue;
		*left &= ~(1u << i);
		if (t->sched.state == THREAD_BLOCKED)
			act |= queue_fifo(rq, t);
		else if (t->sched.state == THREAD_WAKING)
			act |= queue_general(rq, t);
		else
			t->sched.unusual |= SCHED_WOKEN; /* on its way to block, finds it */
	}
	spin_unlock(&rq->lock);
	if (act && !told && !local)
		ipi_send(cpu);
}

void sched_wake_many(struct thread *const *threads, unsigned n)
{
	uint32_t left = (uint32_t)((1ull << n) - 1);

	ASSERT(n <= SCHED_WAKE_MANY);
	for (unsigned i = 0; left; i = i + 1 < n ? i + 1 : 0)
		if (left >> i & 1)
			wake_at(atomic_load_acquire(&threads[i]->sched.cpu), threads, &left);
}
