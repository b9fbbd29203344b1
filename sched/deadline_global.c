/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines over several CPUs: of the threads that may run on more than one, those with the earliest
 * deadlines run, each on a CPU of its affinity. Who has to wait is sent to a CPU that runs something
 * later ("push"); a CPU whose deadline thread stops looks for an earlier one that waits elsewhere
 * ("pull"). Pinned threads take no part: a set that is divided by CPUs has no migration, and no look
 * at another CPU.
 *
 * Each queue says for all to read what it runs and what first could go from it. Both are hints: a push
 * goes by the list of threads that change CPU (balance.c) and is decided anew where it arrives; a
 * pull is decided with both locks held, from an interrupt that the CPU sends itself, since whoever
 * stops holds the lock of its own CPU already.
 *
 * push vs pull
 *   CPU 0: T begins to wait                CPU 1: its deadline thread stops
 *   movable_ns = T's deadline              running_ns = none
 *   fence                                  fence
 *   reads running_ns of CPU 1              reads movable_ns of CPU 0
 *   one of the two sees the other
 */
#include "sched/deadline.h"
#include "core/irq.h"
#include "sched/balance.h"

bool deadline_is_movable(const struct thread *t)
{
	bool one = false;

	for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
		uint64_t w = t->affinity.bits[i];

		if (!w)
			continue;
		if (one || w & (w - 1))
			return true;
		one = true;
	}
	return false;
}

/* rq->lock held; what waits in @q has changed. */
void deadline_publish(struct deadline_queue *q)
{
	struct rb_node *n = rb_first(&q->ready);
	uint64_t first_ns = UINT64_MAX;

	for (unsigned i = 0; q->nr_movable && n && i < STEAL_SCAN; n = rb_next(n), i++)
		if (deadline_thread(n)->sched.place.movable) {
			first_ns = deadline_thread(n)->sched.place.until_ns;
			break;
		}
	atomic_store_relaxed(&q->movable_ns, first_ns);
}

/* ---- push ------------------------------------------------------------------------------------ */

/* What would have to be later than a thread's deadline, so that it runs there at once. */
static uint64_t deadline_on(const struct cpu *cpu)
{
	const struct deadline_queue *q = &deadline_queues[cpu->index];

	return atomic_load_relaxed(&q->running_ns);
}

/* The CPU that runs what is later than @t, latest first, the lowest rank among those without. */
static struct cpu *find_later(const struct runqueue *rq, const struct thread *t)
{
	struct cpumask others;
	struct cpu *best = NULL;
	uint64_t best_ns = t->sched.place.until_ns;
	uint32_t best_rank = UINT32_MAX;

	cpumask_atomic_and(&others, &t->affinity, &cpu_online_mask);
	cpumask_reset(&others, container_of(rq, struct cpu, rq)->index);
	cpumask_for_each(i, &others) {
		struct cpu *cpu = cpu_at(i);
		uint64_t ns = deadline_on(cpu);
		uint32_t rank =
			atomic_peek_relaxed(&atomic_load_relaxed(&cpu->rq.curr)->sched.rank);

		if (ns > best_ns || (best && ns == best_ns && rank < best_rank)) {
			best = cpu;
			best_ns = ns;
			best_rank = rank;
		}
	}
	return best;
}

/* rq->lock held. Where @t, which waits on @rq behind others, could run now; NULL: nowhere. */
struct cpu *deadline_find_cpu(struct runqueue *rq, const struct thread *t)
{
	struct cpu *cpu;

	atomic_fence_seq_cst();
	cpu = balance_claim(&t->affinity, cpu_of_rq(rq)->index, false);
	return cpu ? cpu : find_later(rq, t);
}

/* ---- pull ------------------------------------------------------------------------------------ */

/* What the next thread of @q will have at best. */
static uint64_t next_ns(const struct deadline_queue *q)
{
	struct rb_node *n = rb_first(&q->ready);
	uint64_t first_ns = n ? deadline_thread(n)->sched.place.until_ns : UINT64_MAX;

	return MIN(first_ns, atomic_load_relaxed(&q->running_ns));
}

/*
 * The CPU, none of @without, where somebody waits with the earliest deadline, before @before_ns; NULL:
 * nobody does.
 */
static struct cpu *find_earlier(const struct cpumask *without, uint64_t before_ns)
{
	struct cpu *best = NULL;

	for (unsigned i = 0; i < cpu_count; i++) {
		uint64_t ns = atomic_load_relaxed(&deadline_queues[i].movable_ns);

		if (ns < before_ns && !cpumask_test(without, i)) {
			best = cpu_at(i);
			before_ns = ns;
		}
	}
	return best;
}

/* rq->lock held: a deadline thread has stopped here, or runs with a lower rank. */
void deadline_look_elsewhere(struct runqueue *rq)
{
	struct deadline_queue *q = deadline_queue_of(rq);
	struct cpumask self = { 0 };

	if (cpu_count == 1)
		return;
	cpumask_set(&self, q->cpu->index);
	atomic_fence_seq_cst();
	if (atomic_load_relaxed(&q->pulls) || !find_earlier(&self, next_ns(q)))
		return;
	/* the interrupt comes by deadline_pull() */
	atomic_fetch_add_acq_rel(&balance_outgoing, 1u);
	atomic_store_release(&q->pulls, true);
	ipi_send(q->cpu);
}

/*
 * Both locked: the first that may come. Who is about to run stays: there would be nobody who looks for
 * another one for that CPU.
 */
static struct thread *find_movable(const struct deadline_queue *from, const struct cpu *to)
{
	struct rb_node *n = rb_first(&from->ready);

	if (n && deadline_thread(n)->sched.place.until_ns < from->running_ns)
		n = rb_next(n);
	for (unsigned i = 0; n && i < STEAL_SCAN; n = rb_next(n), i++)
		if (cpumask_test(&deadline_thread(n)->affinity, to->index))
			return deadline_thread(n);
	return NULL;
}

/* What @cpu's next thread will have then. */
static LOCK_UNCHECKED uint64_t pull_from(struct cpu *cpu, struct cpu *victim)
{
	struct runqueue *rq = &cpu->rq;
	struct thread *t;
	uint64_t ns;

	spin_lock_pair(&rq->lock, &victim->rq.lock);
	t = find_movable(deadline_queue_of(&victim->rq), cpu);
	if (t && cpumask_atomic_test(&cpu_online_mask, cpu->index) &&
	    t->sched.place.until_ns < next_ns(deadline_queue_of(rq))) {
		balance_move(&victim->rq, rq, t);
		sched_check_preempt(rq, t);
	}
	ns = next_ns(deadline_queue_of(rq));
	spin_unlock(&victim->rq.lock);
	spin_unlock(&rq->lock);
	return ns;
}

/*
 * On an inter-processor interrupt, no lock held. Another CPU may have been quicker, or the first that
 * waits there may not come here: then somebody else still waits for this one, at a third CPU.
 */
void deadline_pull(struct cpu *cpu)
{
	struct deadline_queue *q = &deadline_queues[cpu->index];
	struct cpumask seen = { 0 };
	uint64_t before_ns;
	struct cpu *victim;

	if (!atomic_load_acquire(&q->pulls))
		return;
	atomic_store_relaxed(&q->pulls, false);
	atomic_fetch_add_acq_rel(&balance_outgoing, -1u);
	before_ns = atomic_load_relaxed(&q->running_ns);
	cpumask_set(&seen, cpu->index);
	while ((victim = find_earlier(&seen, before_ns))) {
		before_ns = pull_from(cpu, victim);
		cpumask_set(&seen, victim->index);
	}
}
