/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many wake-ups at once: each CPU's lock is taken once for all who wait there, and its CPU is told
 * once. What is done for each is what sched_wake() does for one; nobody is switched to here. A thread
 * that is to go to another CPU is handed over between two locks, as sched.c does it for one.
 *
 * No second interrupt: rq->resched says that one is on its way, because whoever sets it for another
 * CPU sends it, and that CPU alone takes it back, with the lock, when it decides. An idle one does not
 * decide if whom it was told of has been taken away by then: so somebody has to wait there, too.
 */
#include "sched/sched.h"
#include "core/irq.h"

/* A FIFO thread that has no other CPU, or there is none: it waits where it was, @online. */
static inline bool stays(const struct runqueue *rq, const struct thread *t, bool online)
{
	return t->sched.state_unusual == THREAD_BLOCKED && online &&
	       (!rq->peers || !rt_may_wander(t));
}

/* True: rq's CPU must act. */
static inline bool queue_fifo(struct runqueue *rq, struct thread *t)
{
	t->sched.state = THREAD_RUNNABLE;
	rt_put_tail(&rq->rt, t);
	rq->nr_ready++;
	if (likely(t->sched.rank <= rq->curr->sched.rank))
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

/* One that is not as usual. 1: this CPU must act; 0: not; -1: it is to go to another one. */
static __noinline int wake_general(struct runqueue *rq, struct thread *t)
{
	if (t->sched.state == THREAD_BLOCKED && moves(rq, t))
		return -1;
	if (t->sched.state == THREAD_WAKING)
		return queue_general(rq, t);
	t->sched.unusual |= SCHED_WOKEN; /* on its way to block, finds it */
	return 0;
}

/* Those of @threads, up to 32, that are in @left and belong to @cpu. Who is left then. */
static inline uint32_t wake_at(struct cpu *cpu, struct thread *const *threads, uint32_t left)
{
	struct runqueue *rq = &cpu->rq;
	bool act = false, told, online;
	uint32_t bit = 1;

	spin_lock(&rq->lock);
	told = rq->resched && rq->nr_ready;
	online = cpumask_atomic_test(&cpu_online_mask, cpu->index);
	for (; bit && bit <= left; bit <<= 1, threads++) {
		struct thread *t = *threads;
		int does;

		if (!(left & bit) || atomic_load_relaxed(&t->sched.cpu) != cpu)
			continue;
		does = likely(stays(rq, t, online)) ? queue_fifo(rq, t) : wake_general(rq, t);
		if (does < 0)
			continue;
		act |= does;
		left &= ~bit;
	}
	spin_unlock(&rq->lock);
	if (act && !told && cpu != arch_cpu_self())
		ipi_send(cpu);
	return left;
}

void sched_wake_many(struct thread *const *threads, unsigned n)
{
	uint32_t left = (uint32_t)((1ull << n) - 1);

	ASSERT(n && n <= SCHED_WAKE_MANY);
	for (unsigned i = 0; left; i = i + 1 < n ? i + 1 : 0)
		if (left >> i & 1)
			left = wake_at(atomic_load_acquire(&threads[i]->sched.cpu), threads, left);
}
