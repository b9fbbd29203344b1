/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the policies whose decisions a thread makes (thread_sched.h): rings.c is what the framework
 * calls, thread_sched.c what the scheduling thread calls, thread_life.c how both begin and end.
 *
 * Where a thread that waits is (struct ring_slot.where), all under the lock of the scheduling thread
 * that decides for its CPU:
 *
 *   OUT -> WAITING, with an event -> DECIDED, in a tree by vtime -> OUT: inserted
 *             \-> PROMOTED, in a list by arrival ------------------^
 *
 * Each way out of WAITING ends a wait: its number is counted up, so a verdict about an older one is
 * void. The rings themselves need no lock between the two sides: one of them writes, one reads.
 *
 * decide vs block
 *   scheduling thread                     dispatch() on some CPU
 *   complete(): takes verdicts            .
 *   .                                     nobody left, an event waits: active, so only "wanted"
 *   lock: wanted? goes on at once         .
 *   else not active, unlock, waits        the next one posts the semaphore
 *
 * Lock legend: [l] thread_sched.lock, [t] the scheduling thread, [a] atomic, [i] immutable while the
 * policy is loaded. The lock has the rank LOCK_EXT: nothing is woken up while it is held.
 */
#pragma once

#include "core/sync.h"
#include "core/timer.h"
#include "sched/ext/ext.h"
#include "sched/ext/thread_sched.h"

enum ring_where { RING_OUT, RING_WAITING, RING_DECIDED, RING_PROMOTED };

/* Of a thread that the policy knows. */
struct ring_slot {
	struct task_struct *p;  /* NULL: nobody has it. Changes under slots_lock and [l] */
	uint32_t index;         /* [i] */
	uint32_t generation;    /* [a] counts its users: half of the handle */
	struct thread_sched *s; /* [l] of itself, where it waits */
	uint32_t wait;          /* [l] */
	enum ring_where where;  /* [l] */
	struct list_head order; /* [l] WAITING, PROMOTED: in order of arrival; nobody's: free */
	struct rb_node node;    /* [l] DECIDED */
	struct rb_root *tree;   /* [l] DECIDED */
	uint64_t vtime, slice_ns, since_ns; /* [l] */
	uint64_t told_runtime_ns;           /* [l] up to the last event */
	uint64_t slept_runtime_ns;          /* [l] up to when it slept last */
};

struct thread_sched {
	struct spinlock lock;
	unsigned index;      /* [i] */
	struct cpumask cpus; /* [i] it decides for these */
	uint32_t entries;    /* [i] of each ring */
	unsigned ring_order; /* [i] of their pages */
	struct thread_sched_event *events;
	struct thread_sched_verdict *verdicts;
	uint32_t event_head, verdict_tail;  /* [a] written by [t] */
	uint32_t event_tail, verdict_head;  /* [a] written by [l] */
	struct list_head waiting, promoted; /* [l] struct ring_slot.order */
	struct rb_root shared;              /* [l] DECIDED for any of its CPUs, by vtime */
	uint32_t nr_waiting, nr_scheduled;  /* [l] */
	uint32_t pending;                   /* [l] */
	bool active;                        /* [l] woken up, and not waiting again yet */
	bool wanted;                        /* [l] while active: there is more */
	bool kicked;                        /* [l] thread_sched_kick() */
	bool timer_on;                      /* [l] */
	uint64_t timer_ns;                  /* [l] when it comes, if it is on */
	uint64_t unread_since_ns;           /* [l] of the oldest that was not taken; or earlier */
	uint32_t ending;                    /* [a] */
	bool alive;                         /* [a] its function has not returned */
	bool in_call;                       /* [t] in the kernel: a fault there is the kernel's */
	uint32_t faults;                    /* [t] */
	bool stalled;                       /* [l] */
	uint32_t burst;                     /* [t] events taken in this activation */
	uint64_t spent_ns, checked_ns; /* [l] active and able to run; when that was looked at */
	struct semaphore more, gone;   /* to the thread, from the thread */
	struct timer timer;
	struct thread *thread;                 /* [i] */
	struct thread_sched_counters counters; /* [l] */
};

/* By CPU: who decides for it, and what is decided for it alone. */
struct ring_cpu {
	struct thread_sched *s; /* [i] */
	struct rb_root tree;    /* [l] of it */
};

extern struct thread_sched_options ring_options; /* [i], with all defaults filled in */

/* How old an event gets. */
static inline uint64_t rings_promote_ns(void)
{
	return ring_options.bound_ns - ring_options.bound_ns / 8;
}

/* Events; verdicts. */
static inline uint32_t rings_unread(const struct thread_sched *s)
{
	return atomic_load_relaxed(&s->event_tail) - atomic_load_relaxed(&s->event_head);
}

static inline uint32_t rings_undrained(const struct thread_sched *s)
{
	return atomic_load_acquire(&s->verdict_tail) - atomic_load_relaxed(&s->verdict_head);
}

extern struct ring_cpu ring_cpus[ARCH_CPU_MAX];

/* ---- rings.c: lock held ---------------------------------------------------------------------- */

/* At most @max verdicts take effect. How many did. @kick: CPUs that are to look; with @preempt */
uint32_t rings_drain(struct thread_sched *s, uint32_t max, struct cpumask *kick,
		     struct cpumask *preempt) LOCK_REQUIRES(s->lock);
/* The thread is to run: true: semaphore_post(&s->more) has to follow, without the lock. */
bool rings_activate(struct thread_sched *s) LOCK_REQUIRES(s->lock);
/* The other half: no lock held. */
void rings_wake(struct thread_sched *s, bool activated);
/* The timer comes at @at_ns, or earlier. Irqs masked. */
void rings_arm(struct thread_sched *s, uint64_t at_ns) LOCK_REQUIRES(s->lock);
/* A wait ends. */
void rings_leave(struct thread_sched *s, struct ring_slot *slot) LOCK_REQUIRES(s->lock);
/* In order of virtual time; of struct ring_slot.node. */
bool rings_before(const struct rb_node *a, const struct rb_node *b);
/* Idle CPUs of @s are to look for work, @n of them at most. No lock held. */
void rings_kick_idle(struct thread_sched *s, uint32_t n);
void rings_timer(struct timer *timer);

/* ---- ring_slots.c --------------------------------------------------------------------------------- */

/* NULL: no memory, or too many threads. Context: thread. */
struct ring_slot *ring_slot_alloc(struct task_struct *p);
/* It is nobody's: in no list. */
void ring_slot_free(struct ring_slot *slot);
/* NULL: there never was one. It may be another's by now: compare the handle. */
struct ring_slot *ring_slot_find(uint64_t handle);
void ring_slots_end(void);

static inline uint64_t ring_handle(const struct ring_slot *slot)
{
	return (uint64_t)atomic_load_relaxed(&slot->generation) << 32 | slot->index;
}

static inline struct ring_slot *ring_slot_of(struct task_struct *p)
{
	return ext_task_of(p)->thread_sched;
}
