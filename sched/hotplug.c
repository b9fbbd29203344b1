/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler's half of taking a CPU off: everybody goes from it and nobody comes to it.
 *
 * Rules: whoever chooses a CPU reads cpu_online_mask with irqs masked, and has queued the thread
 * before it unmasks them; that is balance_select(), claim_idle(), least_loaded(), and a CPU that
 * pulls or takes what was sent. So once every CPU has taken an interrupt after the bit was cleared,
 * a thread can only be on that CPU because it was there before. Then every thread is looked at
 * once, under its rq lock: one that waits there goes elsewhere by the outgoing list, one that runs
 * there is interrupted and goes likewise, and one that is blocked is marked SCHED_MOVE, by which
 * sched_wake() takes the general way and balance_select() another CPU.
 *
 * waker vs cpu_offline(2)
 *   CPU 0: wakes T, irqs masked            CPU 1: cpu_offline(2)
 *   lock(rq3), T is blocked there          .
 *   CPU 2 is idle and in the mask: chosen  clears CPU 2 in the mask
 *   T's CPU = 2, unlock(rq3)               interrupts all, waits for all
 *   lock(rq2), T queued, unlock(rq2)       .
 *   irqs on: takes the interrupt           all have: looks at T, lock(rq2), T waits there:
 *   .                                      on to outgoing of CPU 2, and whoever may run it is told
 *
 * A thread whose mask has no online CPU left is given all that are. Until that look comes to it, it
 * may still go to the CPU that leaves; if it is just under way there (WAKING), it is marked and
 * sent on by whoever puts it there. A new thread, which the look may miss, is given them at once.
 */
#include "core/console.h"
#include "core/hotplug.h"
#include "core/irq.h"
#include "sched/balance.h"
#include "sched/sched.h"

/* No rq lock held. */
static void say_widened(const struct thread *t, unsigned cpu)
{
	printk("cpu %u off: thread %d %s may now run on any CPU\n", cpu, (int)t->tid, t->name);
}

static struct cpu *place_stray(struct thread *t, bool fork)
{
	unsigned gone = cpumask_next(&t->affinity, 0);

	if (!fork)
		return atomic_load_acquire(&cpu_leaving);
	cpumask_snapshot(&t->affinity, &cpu_online_mask);
	say_widened(t, gone);
	return cpu_at(cpumask_next(&t->affinity, 0));
}

static const struct balance_hotplug hotplug = {
	.seen = cpu_change_seen,
	.place = place_stray,
};

void sched_tell_policy(unsigned cpu, bool online)
{
	const struct ext_hooks *hooks = atomic_load_acquire(&ext_hooks);

	if (hooks)
		hooks->cpu_changes(cpu, online);
}

void sched_change_begin(void)
{
	atomic_store_release(&balance_hotplug, &hotplug);
	atomic_fetch_add_acq_rel(&balance_outgoing, 1u);
}

void sched_change_end(void)
{
	atomic_fetch_add_acq_rel(&balance_outgoing, -1u);
}

/* True: @t, whose rq is locked, could run nowhere, and now may anywhere. */
static bool widen(struct thread *t, struct cpumask *usable)
{
	cpumask_atomic_and(usable, &t->affinity, &cpu_online_mask);
	if (!cpumask_empty(usable))
		return false;
	cpumask_snapshot(usable, &cpu_online_mask);
	t->affinity = *usable;
	return true;
}

/* Irqs masked. One without a CPU is being created: it will look at the mask itself. */
static LOCK_UNCHECKED void settle(struct thread *t)
{
	struct runqueue *rq;
	struct cpumask usable;
	bool widened = false, act = false, allowed, moving;

	if (!atomic_load_acquire(&t->sched.cpu))
		return;
	rq = rq_lock_thread(t);
	if (t->sched.state != THREAD_DEAD) {
		widened = widen(t, &usable);
		allowed = cpumask_test(&usable, cpu_of_rq(rq)->index);
		moving = t->sched.unusual & SCHED_MOVE;
		act = sched_affinity_changed(rq, t, allowed);
		if (allowed && (widened || moving))
			balance_kick_idle(cpu_of_rq(rq), &usable);
	}
	if (act)
		rq->resched = 1;
	spin_unlock(&rq->lock);
	if (act)
		ipi_send(cpu_of_rq(rq));
	if (widened)
		say_widened(t, cpu_leaving->index);
}

void sched_settle_threads(void)
{
	thread_each(settle);
}

bool sched_cpu_is_empty(struct cpu *cpu)
{
	struct runqueue *rq = &cpu->rq;
	unsigned long flags = spin_lock_irqsave(&rq->lock);
	bool empty = rq->curr == rq->idle && !rq->nr_ready && list_empty(&rq->outgoing);

	spin_unlock_irqrestore(&rq->lock, flags);
	return empty;
}

void sched_cpu_left(struct cpu *cpu)
{
	ASSERT(cpu->rq.curr == cpu->rq.idle && !cpu->rq.nr_ready);
	cpu->rq.resched = 0; /* for somebody who has been moved since */
	cpumask_atomic_reset(&cpu_idle_mask, cpu->index);
}
