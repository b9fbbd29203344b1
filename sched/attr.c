/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes of threads: class, priority, nice, affinity, CPU time; and what a new thread or CPU
 * starts with. A change to a thread that waits takes it out of its queue and puts it back under the
 * same lock; to one that runs elsewhere, it makes that CPU look again.
 */
#include "sched/sched.h"
#include "core/irq.h"

void sched_init_cpu(struct cpu *cpu, struct thread *idle)
{
	struct runqueue *rq = &cpu->rq;

	*rq = (struct runqueue){ .curr = idle, .idle = idle, .slice_end_ns = UINT64_MAX };
	spin_init(&rq->lock, LOCK_RUNQUEUE);
	eevdf_init(&rq->fair);
	list_init(&rq->outgoing);
	for (unsigned i = 0; i < ARRAY_SIZE(rq->rt.level); i++)
		list_init(&rq->rt.level[i]);
	idle->sched =
		(struct sched_entity){ .rank = RANK_IDLE, .state = THREAD_RUNNABLE, .cpu = cpu };
}

static int check_policy(int policy, int priority, int nice)
{
	if (policy == SCHED_FIFO || policy == SCHED_RR)
		return priority >= 1 && priority <= 99 ? 0 : -EINVAL;
	if (policy != SCHED_OTHER || priority != 0)
		return -EINVAL;
	return nice >= -20 && nice <= 19 ? 0 : -EINVAL;
}

static void set_policy(struct sched_entity *s, int policy, int priority, int nice)
{
	s->policy = (uint8_t)policy;
	s->priority = (uint8_t)priority;
	s->nice = (int8_t)nice;
	s->rank = policy == SCHED_OTHER ? RANK_FAIR : (uint16_t)(RANK_RT + (unsigned)priority);
	s->unusual &= (uint8_t)~SCHED_SLICED;
	if (policy != SCHED_FIFO)
		s->unusual |= SCHED_SLICED;
	s->rr_left_ns = RR_QUANTUM_NS;
}

int sched_thread_init(struct thread *t, const struct thread_attr *attr)
{
	struct sched_entity *s = &t->sched;

	if (check_policy(attr->policy, attr->priority, attr->nice))
		return -EINVAL;
	s->state = THREAD_WAKING;
	s->unusual = 0;
	s->cpu = NULL;
	s->runtime_ns = 0;
	set_policy(s, attr->policy, attr->priority, attr->nice);
	if (s->rank == RANK_FAIR)
		eevdf_entity_init(&s->fair, eevdf_nice_weight[attr->nice + 20], FAIR_SLICE_NS);
	return 0;
}

/* Unlocks; makes the CPU look again when @act: this one at once, another by an interrupt. */
static LOCK_UNCHECKED void unlock_and_act(struct runqueue *rq, bool act, unsigned long flags)
{
	struct cpu *cpu = cpu_of_rq(rq);

	if (act)
		rq->resched = 1;
	spin_unlock(&rq->lock);
	if (act && cpu != arch_cpu_self())
		ipi_send(cpu);
	sched_reschedule_self(flags);
}

/*
 * The thread that runs changes class: it leaves the sums of the old one and enters those of the new
 * one as its running thread.
 */
static void change_running(struct runqueue *rq, struct thread *t, int policy, int priority,
			   int nice)
{
	if (rq->fair_curr == t && policy != SCHED_OTHER) {
		rq->fair_curr = NULL;
		fair_leave(rq, t);
	}
	if (t->sched.rank != RANK_FAIR && policy == SCHED_OTHER) {
		fair_settle(rq);
		rq->fair_held = false;
		if (rq->fair_curr)
			eevdf_put(&rq->fair, &rq->fair_curr->sched.fair);
		eevdf_entity_init(&t->sched.fair, eevdf_nice_weight[nice + 20], FAIR_SLICE_NS);
		fair_join(rq, t, EEVDF_PLACE_NEW);
		rq->fair_curr = t;
	} else if (policy == SCHED_OTHER) {
		eevdf_set_weight(&rq->fair, &t->sched.fair, eevdf_nice_weight[nice + 20]);
		arch_sched_event(SCHED_EVENT_WEIGHT, cpu_of_rq(rq), t, NULL,
				 t->sched.fair.weight);
	}
	set_policy(&t->sched, policy, priority, nice);
	rq->slice_end_ns = UINT64_MAX; /* the rescheduling that follows sets it */
}

static void change_waiting(struct runqueue *rq, struct thread *t, int policy, int priority,
			   int nice)
{
	bool runnable = t->sched.state == THREAD_RUNNABLE && !(t->sched.unusual & SCHED_MOVE);
	bool was_fair = t->sched.rank == RANK_FAIR;

	if (runnable)
		class_of(t)->dequeue(rq, t);
	set_policy(&t->sched, policy, priority, nice);
	if (policy == SCHED_OTHER && was_fair)
		eevdf_set_weight(&rq->fair, &t->sched.fair, eevdf_nice_weight[nice + 20]);
	else if (policy == SCHED_OTHER)
		eevdf_entity_init(&t->sched.fair, eevdf_nice_weight[nice + 20], FAIR_SLICE_NS);
	if (runnable)
		sched_enqueue(rq, t, was_fair ? EEVDF_PLACE_MOVE : EEVDF_PLACE_NEW);
}

LOCK_UNCHECKED int sched_set_policy(struct thread *t, int policy, int priority, int nice)
{
	unsigned long flags;
	struct runqueue *rq;
	bool act = true;

	if (check_policy(policy, priority, nice))
		return -EINVAL;
	flags = arch_irq_save();
	rq = rq_lock_thread(t);
	if (t->sched.state == THREAD_DEAD) {
		spin_unlock_irqrestore(&rq->lock, flags);
		return -ESRCH;
	}
	if (rq_has_fair_running(rq))
		sched_charge_curr(rq);
	if (rq->curr == t) {
		change_running(rq, t, policy, priority, nice);
	} else {
		change_waiting(rq, t, policy, priority, nice);
		act = t->sched.state == THREAD_RUNNABLE && sched_check_preempt(rq, t);
	}
	unlock_and_act(rq, act, flags);
	return 0;
}

/* @t, runnable and not running, leaves the place where it waits. */
static void stop_waiting(struct runqueue *rq, struct thread *t)
{
	if (t->sched.unusual & SCHED_MOVE) {
		balance_keep(t);
	} else {
		if (rq_has_fair_running(rq))
			sched_charge_curr(rq);
		class_of(t)->dequeue(rq, t);
	}
}

/* The new mask is set. True: @rq's CPU must look again. */
static bool affinity_changed(struct runqueue *rq, struct thread *t, bool allowed)
{
	bool waiting = t->sched.state == THREAD_RUNNABLE && rq->curr != t;
	bool was_leaving = t->sched.unusual & SCHED_MOVE;

	if (allowed && !was_leaving) {
		if (waiting)
			/* it may have become one that somebody idle can take */
			balance_kick_idle(cpu_of_rq(rq), &t->affinity);
		return false;
	}
	if (waiting)
		stop_waiting(rq, t);
	t->sched.unusual &= (uint8_t)~SCHED_MOVE;
	if (!allowed)
		t->sched.unusual |= SCHED_MOVE;
	if (waiting && !allowed)
		balance_send_away(rq, t);
	if (waiting && allowed) {
		sched_enqueue(rq, t, EEVDF_PLACE_MOVE);
		return sched_check_preempt(rq, t);
	}
	return rq->curr == t && !allowed;
}

LOCK_UNCHECKED int sched_set_affinity(struct thread *t, const struct cpumask *mask)
{
	unsigned long flags;
	struct cpumask usable;
	struct runqueue *rq;
	bool act = false;

	cpumask_and(&usable, mask, &cpu_online_mask);
	if (cpumask_empty(&usable))
		return -EINVAL;
	flags = arch_irq_save();
	rq = rq_lock_thread(t);
	t->affinity = *mask;
	if (t->sched.state != THREAD_DEAD)
		act = affinity_changed(rq, t, cpumask_test(mask, cpu_of_rq(rq)->index));
	if (t->sched.state == THREAD_RUNNABLE && rq->curr != t && !(t->sched.unusual & SCHED_MOVE))
		balance_kick_idle(cpu_of_rq(rq), mask); /* it may now run where nobody does */
	unlock_and_act(rq, act, flags);
	return 0;
}

LOCK_UNCHECKED uint64_t sched_runtime_ns(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	uint64_t runtime_ns = t->sched.runtime_ns;

	if (rq->curr == t)
		runtime_ns += time_now_ns() - rq->since_ns;
	spin_unlock_irqrestore(&rq->lock, flags);
	return runtime_ns;
}

/*
 * One that runs is interrupted. One that does not is marked, and when it is next switched to, its
 * CPU interrupts itself: so the hook is run at the end of a trap in any case, and nobody who
 * returns from a wait has to look.
 */
LOCK_UNCHECKED void sched_notify(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	bool running = rq->curr == t;

	if (!running)
		t->sched.unusual |= SCHED_HOOK;
	spin_unlock(&rq->lock);
	if (running)
		ipi_send(cpu_of_rq(rq));
	arch_irq_restore(flags);
}
