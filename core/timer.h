/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per-CPU timer queues over the one-shot hardware timer: two trees by expiry with their first nodes
 * cached, one of them for urgent timers, which go before all others; add and cancel O(log n). At
 * most TIMER_BATCH expire in one interrupt, and none is begun TIMER_BATCH_NS after the first. If more
 * are due the hardware fires again: at once for an urgent one, else TIMER_BATCH_GAP_NS later, so that
 * whoever was woken runs. Thus nobody is kept out for longer than a batch.
 */
#pragma once

#include "core/lock.h"
#include "core/rbtree.h"

struct cpu;

#define TIMER_BATCH        8
#define TIMER_BATCH_NS     100ull /* nobody is begun after that */
#define TIMER_BATCH_GAP_NS 500ull
#define TIMER_SOON_NS      2000ull /* one that is due by then is looked for in the same batch */
#define TIMER_NEST_MAX     4       /* timer windows within timer functions */

struct timer {
	struct rb_node node; /* [t] */
	uint64_t expires_ns; /* [t] */
	/* [t] whose queue it is or was last in; changes under both queues' locks while armed */
	struct cpu *cpu;
	bool armed; /* [t] */
	/* [t] for a real-time thread: before all others that are due; set it before timer_add() */
	bool urgent;
	/* [i] runs in irq context, irqs masked, no lock held, timer not armed */
	void (*fn)(struct timer *timer);
};

struct timer_tree {
	struct rb_root tree; /* [t] */
	/* [t] when the first is due; UINT64_MAX: there is none. Its CPU reads it without the lock */
	uint64_t first_ns;
};

struct timer_queue {
	/* rank LOCK_TIMER; guards [t] of the timers queued here */
	struct spinlock lock;
	struct timer_tree trees[2]; /* by timer.urgent */
	/*
	 * [a] whose function is being called, by depth: one inside an open timer window of another
	 */
	struct timer *running[TIMER_NEST_MAX];
	/* [o] what the hardware will fire at; UINT64_MAX: nothing */
	uint64_t armed_ns;
};

void timer_queue_init(struct timer_queue *q);
void timer_init(struct timer *t, void (*fn)(struct timer *timer));
/*
 * Arms @t on this CPU for @expires_ns; a past time fires at once. Context: any, irqs masked; @t not
 * armed.
 */
void timer_add(struct timer *t, uint64_t expires_ns);
/*
 * True: it was armed and will not run. False: it was not armed, or its function has begun. Context:
 * any, irqs masked.
 */
bool timer_cancel(struct timer *t);
/*
 * The same, and its function is not running when this returns. Not from within it, nor with a lock
 * held that it takes. Context: thread.
 */
void timer_cancel_wait(struct timer *t);
/*
 * Before its memory goes: of one that its function, or another CPU, arms again and again. Whoever
 * does must know by now that it is over. Neither armed nor running when this returns; not from
 * within its function, nor with a lock held that it takes. Context: thread.
 */
void timer_stop(struct timer *t);

/* Programs the hardware if @deadline_ns comes before what it is set to. Own CPU, irqs masked. */
void timer_arm(struct cpu *cpu, uint64_t deadline_ns);

/* ---- for those who move timers between queues ------------------------------------------------ */

/* q->lock held; @t is in no queue, and in @q. */
void timer_insert(struct timer_queue *q, struct timer *t) LOCK_REQUIRES(q->lock);
void timer_erase(struct timer_queue *q, struct timer *t) LOCK_REQUIRES(q->lock);

/* When the first of @q is due; UINT64_MAX: it is empty. The queue's CPU, or q->lock held. */
static inline uint64_t timer_first_ns(const struct timer_queue *q)
{
	return MIN(atomic_load_relaxed(&q->trees[0].first_ns),
		   atomic_load_relaxed(&q->trees[1].first_ns));
}
