/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spinlocks. One 32-bit word: low half the owner (CPU index + 1), high half the last waiter (CPU
 * index + 1). Free and uncontended it is taken by one compare-and-swap and released by one 16-bit
 * store; contended, CPUs queue in arrival order and each spins on its own node. The owner is known
 * for free, so that "is it held by me" is an assertion of one compare.
 *
 * Rules: irqs masked while holding one. A CPU waits for one lock at a time, so one node per CPU is
 * enough. Locks are taken in ascending rank; two of one rank only by spin_lock_pair(), lower
 * address first. Checked when LOCK_DEBUG is 1.
 */
#pragma once

#include "core/atomic.h"

/*
 * Annotations read by clang -Wthread-safety in `make lint`; empty for GCC. LOCK_UNCHECKED is for
 * what the analysis cannot follow: a lock that is handed across a switch to the thread that comes,
 * or returned held. There, sched_finish() asserts the owner, and debug builds check the ranks.
 */
#ifdef __clang__
#define LOCK_CAPABILITY(name) __attribute__((capability(name)))
#define LOCK_ACQUIRES(...)    __attribute__((acquire_capability(__VA_ARGS__)))
#define LOCK_RELEASES(...)    __attribute__((release_capability(__VA_ARGS__)))
#define LOCK_REQUIRES(...)    __attribute__((requires_capability(__VA_ARGS__)))
#define LOCK_UNCHECKED        __attribute__((no_thread_safety_analysis))
#else
#define LOCK_CAPABILITY(name)
#define LOCK_ACQUIRES(...)
#define LOCK_RELEASES(...)
#define LOCK_REQUIRES(...)
#define LOCK_UNCHECKED
#endif

#ifndef LOCK_DEBUG
#define LOCK_DEBUG 0
#endif

/* The one table of ranks: a lock may be taken while holding only locks of smaller rank. */
enum lock_rank {
	LOCK_MM = 1,    /* core/mem: translation tables, areas */
	LOCK_STACKS,    /* core/mem: free stack slots */
	LOCK_TIDS,      /* core/thread: the tid table */
	LOCK_POSIX,     /* posix/: threads, signals */
	LOCK_CONDITION, /* a condition variable: its mutex is given up inside */
	LOCK_WAIT,      /* a wait queue, semaphore, mutex, condition variable */
	LOCK_EVENTS,    /* an event queue: told with the lock of a source held */
	LOCK_INHERIT,   /* what a thread has borrowed: core/inherit.h */
	LOCK_RUNQUEUE,  /* a CPU's run queue */
	LOCK_GROUP,     /* sched/group.c: list and quota */
	LOCK_SERVER,    /* a deadline's budget: sched/deadline.h */
	LOCK_EXT,       /* sched/ext: inboxes, dispatch queues */
	LOCK_TIMER,     /* a CPU's timer queue */
	LOCK_PAGES,     /* core/mem/page.c */
	LOCK_IRQ,       /* controller registers shared by CPUs */
	LOCK_CONSOLE,   /* the output ring; last, so that anyone may print */
};

struct LOCK_CAPABILITY("spinlock") spinlock {
	union {
		uint32_t word; /* [a] */
		struct {
			uint16_t owner, tail; /* little endian, both architectures */
		};
	};
	uint8_t rank; /* [i] enum lock_rank */
};

struct lock_node {
	struct lock_node *next; /* [a] who waits behind us */
	uint32_t ready;         /* [a] our turn at the head */
};

struct lock_ranks {
	uint8_t held[8];
	unsigned n;
};

#define SPINLOCK_INIT(r)               \
	{                              \
		.word = 0, .rank = (r) \
	}

static inline void spin_init(struct spinlock *l, enum lock_rank rank)
{
	l->word = 0;
	l->rank = (uint8_t)rank;
}

/* Out of line: contention, and the debug checks. */
void spin_lock_slow(void *l, unsigned long self) LOCK_UNCHECKED;
void lock_debug_acquire(const struct spinlock *l);
void lock_debug_release(const struct spinlock *l);
void lock_debug_tried(const struct spinlock *l);

/*
 * arch_cpu_lock_id(): index + 1 of this CPU, kept in struct arch_cpu so that a lock costs one load
 * to name its owner.
 */
static inline void spin_lock(struct spinlock *l) LOCK_ACQUIRES(*l) LOCK_UNCHECKED
{
	unsigned long self = arch_cpu_lock_id();

	if (LOCK_DEBUG)
		lock_debug_acquire(l);
	if (unlikely(!atomic_take_if_zero(&l->word, self)))
		arch_cold_call(spin_lock_slow, l, self);
}

/* Against the order of ranks, too: whoever fails lets go of what he holds before he tries again. */
static inline bool spin_trylock(struct spinlock *l) LOCK_UNCHECKED
{
	bool taken = atomic_take_if_zero(&l->word, arch_cpu_lock_id());

	if (LOCK_DEBUG && taken)
		lock_debug_tried(l);
	return taken;
}

static inline void spin_unlock(struct spinlock *l) LOCK_RELEASES(*l) LOCK_UNCHECKED
{
	if (LOCK_DEBUG)
		lock_debug_release(l);
	atomic_store_release(&l->owner, (uint16_t)0);
}

static inline bool spin_held(const struct spinlock *l)
{
	return __atomic_load_n(&l->owner, __ATOMIC_RELAXED) == arch_cpu_lock_id();
}

/* Somebody holds it, or did a moment ago. */
static inline bool spin_is_locked(const struct spinlock *l)
{
	return atomic_load_relaxed(&l->owner) != 0;
}

/* The same as a call: files that are built for size share one copy. */
void spin_lock_call(struct spinlock *l) LOCK_ACQUIRES(*l);
#ifdef BUILT_SMALL
#define spin_lock(l) spin_lock_call(l)
#endif

/* A call: where instructions are counted, its two steps are written out. */
unsigned long spin_lock_irqsave(struct spinlock *l) LOCK_ACQUIRES(*l);

#if MASK_METER /* with the place of the caller, not of a function here */
#define LOCK_INLINE inline __attribute__((always_inline))
static LOCK_INLINE unsigned long spin_lock_irqsave_here(struct spinlock *l) LOCK_ACQUIRES(*l)
{
	unsigned long flags = arch_irq_save();

	spin_lock(l);
	return flags;
}
#define spin_lock_irqsave(l) spin_lock_irqsave_here(l)
#else
#define LOCK_INLINE inline
#endif

static LOCK_INLINE void spin_unlock_irqrestore(struct spinlock *l, unsigned long flags)
	LOCK_RELEASES(*l)
{
	spin_unlock(l);
	arch_irq_restore(flags);
}

/* Two locks of one rank, in address order. @a != @b. */
void spin_lock_pair(struct spinlock *a, struct spinlock *b) LOCK_ACQUIRES(*a, *b) LOCK_UNCHECKED;
