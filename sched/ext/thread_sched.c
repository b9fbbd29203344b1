/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduling thread's side of the rings: the calls of thread_sched.h that it makes. While one of
 * them runs, a fault is the kernel's own (thread_life.c).
 */
#include "core/console.h"
#include "core/irq.h"
#include "sched/ext/rings.h"

#define DRAIN 8 /* verdicts under one hold of the lock */

bool thread_sched_dequeue(struct thread_sched *s, struct thread_sched_event *event)
{
	uint32_t head = s->event_head;

	if (head == atomic_load_acquire(&s->event_tail))
		return false;
	*event = s->events[head & (s->entries - 1)];
	atomic_store_release(&s->event_head, head + 1);
	s->burst++;
	return true;
}

/* Until the ring is empty; then those who are to run what was decided are told. */
static LOCK_UNCHECKED void drain(struct thread_sched *s)
{
	struct cpumask kick = { 0 }, preempt = { 0 };
	uint32_t n = 0, now;

	do {
		unsigned long flags = spin_lock_irqsave(&s->lock);

		now = rings_drain(s, DRAIN, &kick, &preempt);
		spin_unlock_irqrestore(&s->lock, flags);
		n += now;
	} while (now == DRAIN);
	if (!n)
		return;
	cpumask_for_each(cpu, &preempt)
		scx_bpf_kick_cpu((s32)cpu, SCX_KICK_PREEMPT);
	cpumask_for_each(cpu, &kick)
		scx_bpf_kick_cpu((s32)cpu, 0);
	rings_kick_idle(s, n);
}

static int fault_of(const struct thread_sched_verdict *v)
{
	if (v->cpu < THREAD_SCHED_ANY_CPU || (v->cpu >= 0 && (unsigned)v->cpu >= cpu_count))
		return -EINVAL;
	if (v->flags & ~THREAD_SCHED_PREEMPT || (v->flags && v->cpu < 0))
		return -EINVAL;
	return 0;
}

int thread_sched_dispatch(struct thread_sched *s, const struct thread_sched_verdict *verdict)
{
	uint32_t tail = s->verdict_tail;
	int err = fault_of(verdict);

	if (err)
		return err;
	if (tail - atomic_load_acquire(&s->verdict_head) >= s->entries) {
		s->in_call = true;
		drain(s);
		s->in_call = false;
	}
	s->verdicts[tail & (s->entries - 1)] = *verdict;
	atomic_store_release(&s->verdict_tail, tail + 1);
	return 0;
}

LOCK_UNCHECKED int thread_sched_select_cpu(struct thread_sched *s,
					   const struct thread_sched_event *event, int prev_cpu,
					   uint64_t wake_flags)
{
	struct ring_slot *slot = ring_slot_find(event->handle);
	int cpu = -ESRCH;
	unsigned long flags;
	bool idle = false;

	if (prev_cpu < 0 || (unsigned)prev_cpu >= cpu_count)
		return -EINVAL;
	s->in_call = true;
	flags = spin_lock_irqsave(&s->lock);
	if (slot && ring_handle(slot) == event->handle && atomic_load_relaxed(&slot->s) == s &&
	    slot->where == RING_WAITING && slot->wait == event->wait) {
		cpu = scx_bpf_select_cpu_dfl(slot->p, prev_cpu, wake_flags, &idle);
		cpu = idle ? cpu : -EBUSY;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	if (idle)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	s->in_call = false;
	return cpu;
}

/* False: there is more already. */
static LOCK_UNCHECKED bool rest(struct thread_sched *s, uint32_t pending)
{
	unsigned long flags = spin_lock_irqsave(&s->lock);

	s->counters.burst_max = MAX(s->counters.burst_max, s->burst);
	s->burst = 0;
	s->pending = pending;
	s->spent_ns = 0;
	s->active = s->kicked || (s->wanted && (rings_unread(s) || pending));
	s->wanted = s->kicked = false;
	if (!s->active && rings_unread(s)) {
		s->unread_since_ns = (time_now_ns)();
		rings_arm(s, s->unread_since_ns + ring_options.wake_ns);
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return !s->active;
}

void thread_sched_complete(struct thread_sched *s, uint32_t pending)
{
	s->in_call = true;
	drain(s);
	if (rest(s, pending) && !thread_sched_exited(s))
		semaphore_wait(&s->more);
	s->in_call = false;
}

LOCK_UNCHECKED void thread_sched_kick(struct thread_sched *s)
{
	unsigned long flags = spin_lock_irqsave(&s->lock);
	bool activated = rings_activate(s);

	s->kicked = !activated;
	spin_unlock_irqrestore(&s->lock, flags);
	rings_wake(s, activated);
}

bool thread_sched_exited(const struct thread_sched *s)
{
	return atomic_load_acquire(&s->ending);
}

unsigned thread_sched_index(const struct thread_sched *s)
{
	return s->index;
}
