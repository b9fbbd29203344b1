/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per-CPU timer queues (see timer.h). A timer is added to the queue of the CPU that calls, and
 * fires there, or where a CPU that goes off has put it. Any CPU may cancel it. The function runs with no lock held, so it may take any lock
 * and wake anybody; queue->running says whose is being called, and lives in the CPU and not in the
 * timer, because the function may be what lets the timer's owner go away. Never with a lock of rank
 * LOCK_TIMER or above held.
 */
#include "core/timer.h"
#include "core/cpu.h"
#include "core/thread.h"
#include "core/time.h"

bool timer_less(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct timer, node)->expires_ns <
	       container_of(b, struct timer, node)->expires_ns;
}

void timer_queue_init(struct timer_queue *q)
{
	spin_init(&q->lock, LOCK_TIMER);
	rb_init(&q->tree);
	for (unsigned i = 0; i < TIMER_NEST_MAX; i++)
		q->running[i] = NULL;
	q->armed_ns = UINT64_MAX;
}

void timer_init(struct timer *t, void (*fn)(struct timer *timer))
{
	*t = (struct timer){ .fn = fn };
}

void timer_arm(struct cpu *cpu, uint64_t deadline_ns)
{
	if (deadline_ns >= cpu->timers.armed_ns)
		return;
	atomic_store_relaxed(&cpu->timers.armed_ns, deadline_ns);
	arch_timer_set(ns_to_cycles(deadline_ns));
}

void timer_add(struct timer *t, uint64_t expires_ns)
{
	struct cpu *cpu = arch_cpu_self();
	struct timer_queue *q = &cpu->timers;

	ASSERT(!t->armed);
	spin_lock(&q->lock);
	t->cpu = cpu;
	t->armed = true;
	t->expires_ns = expires_ns;
	rb_insert(&q->tree, &t->node, timer_less);
	spin_unlock(&q->lock);
	timer_arm(cpu, expires_ns);
}

/* The queue @t is or was last in, locked: it cannot move to another meanwhile. */
static LOCK_UNCHECKED struct timer_queue *timer_lock_queue(struct timer *t)
{
	for (;;) {
		struct cpu *cpu = atomic_load_relaxed(&t->cpu);

		spin_lock(&cpu->timers.lock);
		if (likely(t->cpu == cpu))
			return &cpu->timers;
		spin_unlock(&cpu->timers.lock);
	}
}

LOCK_UNCHECKED bool timer_cancel(struct timer *t)
{
	struct timer_queue *q;
	bool armed;

	if (!t->cpu)
		return false;
	q = timer_lock_queue(t);
	armed = t->armed;
	if (armed) {
		rb_erase(&q->tree, &t->node);
		t->armed = false;
	}
	spin_unlock(&q->lock);
	return armed;
}

void timer_cancel_wait(struct timer *t)
{
	unsigned long flags = arch_irq_save();
	bool cancelled = timer_cancel(t);

	arch_irq_restore(flags);
	if (cancelled || !t->cpu)
		return;
	for (unsigned i = 0; i < TIMER_NEST_MAX; i++)
		while (atomic_load_acquire(&t->cpu->timers.running[i]) == t)
			arch_cpu_relax();
}

/* The first timer that is due, taken off; NULL and *next_ns when none is. */
static struct timer *timer_pop_due(struct timer_queue *q, unsigned level, uint64_t now_ns,
				   uint64_t *next_ns)
{
	struct timer *t = NULL;

	spin_lock(&q->lock);
	*next_ns = timer_first_ns(q);
	if (*next_ns <= now_ns) {
		t = container_of(rb_first(&q->tree), struct timer, node);
		rb_erase(&q->tree, &t->node);
		t->armed = false;
	}
	atomic_store_release(&q->running[level], t);
	spin_unlock(&q->lock);
	return t;
}

/* Nobody's function runs any more. Returns when the next one is due, which may have passed. */
static uint64_t timer_end_batch(struct timer_queue *q, unsigned level)
{
	uint64_t next_ns;

	spin_lock(&q->lock);
	next_ns = timer_first_ns(q);
	atomic_store_release(&q->running[level], NULL);
	spin_unlock(&q->lock);
	return next_ns;
}

/*
 * A batch only. If more are due, the hardware fires again after a gap in which whoever was woken
 * runs: without it the next batch would come before a single instruction of theirs.
 */
uint64_t timer_run(struct cpu *cpu, uint64_t now_ns)
{
	struct timer_queue *q = &cpu->timers;
	uint64_t next_ns = UINT64_MAX;
	unsigned level = 0;

	while (unlikely(q->running[level]))
		ASSERT(++level < TIMER_NEST_MAX);
	for (unsigned i = 0; i < TIMER_BATCH; i++) {
		struct timer *t = timer_pop_due(q, level, now_ns, &next_ns);

		if (!t)
			return next_ns;
		t->fn(t);
	}
	next_ns = timer_end_batch(q, level);
	now_ns = time_now_ns();
	return next_ns <= now_ns ? now_ns + TIMER_BATCH_GAP_NS : next_ns;
}

void trap_timer(void *unused)
{
	struct cpu *cpu = arch_cpu_self();
	uint64_t now_ns = time_now_ns(), next_ns;

	(void)unused;
	atomic_store_relaxed(&cpu->timers.armed_ns, UINT64_MAX);
	next_ns = timer_run(cpu, now_ns);
	sched_timer(cpu, now_ns, next_ns);
	if (cpu->timers.armed_ns == UINT64_MAX)
		arch_timer_set(UINT64_MAX);
}
