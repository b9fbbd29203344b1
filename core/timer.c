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

void timer_queue_init(struct timer_queue *q)
{
	spin_init(&q->lock, LOCK_TIMER);
	for (unsigned i = 0; i < ARRAY_SIZE(q->trees); i++) {
		rb_init(&q->trees[i].tree);
		q->trees[i].first_ns = UINT64_MAX;
	}
	for (unsigned i = 0; i < TIMER_NEST_MAX; i++)
		q->running[i] = NULL;
	q->armed_ns = UINT64_MAX;
}

void timer_init(struct timer *t, void (*fn)(struct timer *timer))
{
	*t = (struct timer){ .fn = fn };
}

static inline struct timer *first(const struct timer_tree *tree)
{
	return container_of(rb_first(&tree->tree), struct timer, node);
}

/*
 * Behind those that are due at the same time. Written out, since it is most of what interrupts are
 * masked for when there are many: a key of one more spares each level an instruction.
 */
static inline void insert_among(struct rb_root *tree, struct timer *t)
{
	uint64_t key = t->expires_ns + (t->expires_ns != UINT64_MAX);
	struct rb_node *p, *next;
	unsigned long side;

	if (unlikely(!tree->root))
		rb_grow(tree);
	next = tree->root;
	do {
		p = next;
		side = container_of(p, struct timer, node)->expires_ns < key;
		next = p->child[side];
	} while (next);
	rb_link(tree, &t->node, p, side);
}

/* One alone is the usual case: it makes no call. */
void timer_insert(struct timer_queue *q, struct timer *t)
{
	struct timer_tree *tree = &q->trees[t->urgent];

	if (t->expires_ns < tree->first_ns)
		atomic_store_relaxed(&tree->first_ns, t->expires_ns);
	if (rb_empty(&tree->tree))
		rb_insert_alone(&tree->tree, &t->node);
	else
		insert_among(&tree->tree, t);
}

static inline void tree_erase(struct timer_tree *tree, struct timer *t)
{
	uint64_t first_ns = UINT64_MAX;

	if (likely(rb_is_alone(&tree->tree))) {
		rb_erase_alone(&tree->tree);
	} else {
		rb_erase(&tree->tree, &t->node);
		first_ns = first(tree)->expires_ns;
	}
	atomic_store_relaxed(&tree->first_ns, first_ns);
}

void timer_erase(struct timer_queue *q, struct timer *t)
{
	tree_erase(&q->trees[t->urgent], t);
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
	timer_insert(q, t);
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
		timer_erase(q, t);
		t->armed = false;
	}
	spin_unlock(&q->lock);
	return armed;
}

static bool cancel(struct timer *t)
{
	unsigned long flags = arch_irq_save();
	bool cancelled = timer_cancel(t);

	arch_irq_restore(flags);
	return cancelled;
}

static void wait_until_run(const struct timer *t, const struct cpu *cpu)
{
	for (unsigned i = 0; i < TIMER_NEST_MAX; i++)
		while (atomic_load_acquire(&cpu->timers.running[i]) == t)
			arch_cpu_relax();
}

void timer_cancel_wait(struct timer *t)
{
	if (!cancel(t) && t->cpu)
		wait_until_run(t, t->cpu);
}

void timer_stop(struct timer *t)
{
	cancel(t);
	for (unsigned i = 0; i < cpu_count; i++)
		wait_until_run(t, cpu_at(i));
}

/*
 * The first timer that is due, an urgent one if there is one, taken off and noted. NULL: it was
 * taken back meanwhile.
 */
static inline struct timer *timer_pop_due(struct timer_queue *q, struct timer **running,
					  uint64_t now_ns)
{
	struct timer_tree *tree = &q->trees[1];
	struct timer *t = NULL;

	spin_lock(&q->lock);
	if (tree->first_ns > now_ns)
		tree = &q->trees[0];
	if (likely(tree->first_ns <= now_ns)) {
		t = first(tree);
		tree_erase(tree, t);
		t->armed = false;
		atomic_store_relaxed(running, t);
	}
	spin_unlock(&q->lock);
	return t;
}

/* Where this CPU notes whose function it calls: free, behind those of windows that are open. */
static struct timer **running_slot(struct timer_queue *q)
{
	struct timer **running = q->running;

	while (unlikely(*running))
		ASSERT(++running < q->running + TIMER_NEST_MAX);
	return running;
}

/*
 * The rest of a batch that began at @begin_ns. If more are due than it takes, the hardware fires
 * again after a gap in which whoever was woken runs: without it the next batch would come before a
 * single instruction of theirs. Nothing lower than real time runs in the way of an urgent one.
 */
static __noinline uint64_t timer_run_more(struct timer_queue *q, struct timer **running,
					  uint64_t begin_ns)
{
	uint64_t now_ns = begin_ns, next_ns;

	for (unsigned left = TIMER_BATCH - 1; left > 0; left--) {
		struct timer *t;

		now_ns = time_now_ns();
		next_ns = timer_first_ns(q);
		if (next_ns > now_ns)
			return next_ns;
		if (now_ns - begin_ns >= TIMER_BATCH_NS)
			break;
		t = timer_pop_due(q, running, now_ns);
		if (!t)
			break;
		t->fn(t);
		atomic_store_release(running, NULL);
	}
	next_ns = atomic_load_relaxed(&q->trees[0].first_ns);
	if (next_ns <= now_ns)
		next_ns = now_ns + TIMER_BATCH_GAP_NS;
	return MIN(next_ns, atomic_load_relaxed(&q->trees[1].first_ns));
}

/*
 * Runs what is due and returns when to come again. Nobody but this CPU makes first_ns smaller,
 * unless it is told to look again (core/hotplug.c).
 */
static uint64_t timer_run(struct cpu *cpu, uint64_t now_ns)
{
	struct timer_queue *q = &cpu->timers;
	struct timer **running = running_slot(q);
	uint64_t next_ns = timer_first_ns(q);
	struct timer *t;

	if (next_ns > now_ns)
		return next_ns;
	t = timer_pop_due(q, running, now_ns);
	if (likely(t)) {
		t->fn(t);
		atomic_store_release(running, NULL);
	}
	next_ns = timer_first_ns(q);
	if (likely(next_ns >= now_ns + TIMER_SOON_NS))
		return next_ns;
	return timer_run_more(q, running, now_ns);
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
