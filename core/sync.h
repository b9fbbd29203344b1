/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutex, semaphore, condition variable. The uncontended paths are a compare-and-swap in thread
 * context and take no lock; everything else happens under the object's wait-queue lock.
 *
 * Lock legend: [w] the lock of the object's queue, [i] immutable after init, [a] atomic.
 */
#pragma once

#include "core/inherit.h"
#include "core/wait.h"

/* For mutex_init_with(). */
enum {
	MUTEX_NO_INHERIT = 1, /* its waiters lend their priority to nobody */
	MUTEX_ROBUST = 2,     /* its owner may end: the next one is told */
	/* who waits in a circle of at most INHERIT_DEPTH_MAX threads gets -EDEADLK */
	MUTEX_FIND_DEADLOCK = 4,
	MUTEX_OPTIONS = 7,
};

/* Inherits priority, if not told otherwise (core/inherit.h). */
struct mutex {
	uintptr_t owner; /* [a] the thread and two bits, see mutex.c; 0: free */
	struct wait_queue waiters;
	struct lend lend;
	const struct mutex_special *special; /* [i] NULL: made by MUTEX_INIT or mutex_init() */
	uint16_t least_rank;                 /* [w] that it lends to every owner; 0: none */
	int16_t result;                      /* [w] of taking a robust one: 0, -E... */
	uint8_t options;                     /* [i] */
	uint8_t ceiling;                     /* [w] priority of every owner; 0: none */
};
#define MUTEX_INIT                                     \
	{                                              \
		.owner = 0, .waiters = WAIT_QUEUE_INIT \
	}

void mutex_init(struct mutex *m);
/* @options: MUTEX_*; @ceiling: 1..99, or 0 for none. 0, -EINVAL */
int mutex_init_with(struct mutex *m, unsigned options, unsigned ceiling);
/*
 * Context: thread. Not recursive: -EDEADLK when the caller owns it. With a ceiling: -EINVAL when
 * the caller's own priority is above it. Robust: -EOWNERDEAD when its last owner ended, and the
 * caller owns it; -ENOTRECOVERABLE when somebody unlocked it after that without
 * mutex_consistent(), for ever.
 */
int mutex_lock(struct mutex *m);
int mutex_trylock(struct mutex *m);                       /* the same, or -EBUSY */
int mutex_lock_until(struct mutex *m, uint64_t until_ns); /* the same, or -ETIMEDOUT */
int mutex_unlock(struct mutex *m);                        /* 0, -EPERM: not the owner */
/* After -EOWNERDEAD, by the owner: what it protects is in order again. 0, -EINVAL */
int mutex_consistent(struct mutex *m);
/* From now on, and for the caller if he owns it. 0, -EINVAL: not 1..99, or it has no ceiling */
int mutex_set_ceiling(struct mutex *m, unsigned ceiling);
bool mutex_is_mine(const struct mutex *m);

/* ---- between mutex.c, mutex_special.c, inherit.c, sync.c and thread.c ------------------------- */

#define MUTEX_SLOW 2ul /* in the owner word, for good: no fast path */

/* What only those of mutex_init_with() do. The queue is locked for the first and not for the rest. */
struct mutex_special {
	int (*refused)(const struct mutex *m); /* why the caller may not have it; 0: he may */
	int (*trylock)(struct mutex *m);
	/* @self waits for @m; irqs masked */
	bool (*closes_a_circle)(struct mutex *m, struct thread *self);
};

/* @self ends: gives up his robust mutexes. NULL: there was never one. */
extern void (*mutex_exit_robust)(struct thread *self);
/* With the queue locked: sets the waiters bit, or takes the mutex if it is free. */
bool mutex_take_or_mark(struct mutex *m, uintptr_t self);
/* Wakes the next of those who will never have it; each wakes the one behind. */
void mutex_wake_next(struct mutex *m);
/* With the queue locked, for the caller, who has taken it: what that returns. */
int mutex_own(struct mutex *m);
/* With the queue locked: @self, the owner, gives it up to the best waiter, who is returned. */
struct thread *mutex_hand_over(struct mutex *m, struct thread *self) LOCK_REQUIRES(m->waiters.lock);

struct thread *mutex_owner(const struct mutex *m); /* NULL: free */
/* What @m, its queue locked, lends has changed: as inherit_lend() for its owner. */
struct thread *mutex_lend(struct mutex *m);
/* Gives @m up, which the caller owns: the next owner, to be woken, or NULL. Irqs masked. */
struct thread *mutex_release(struct mutex *m);
/* @self owns some and ends. */
void mutex_owner_exits(struct thread *self);

/*
 * count: >= 0 units; -1: none, and the queue may hold waiters (then the word changes only under the
 * lock).
 */
struct semaphore {
	int32_t count; /* [a] */
	bool watched;  /* [w] there is a struct semaphore_watch for it */
	struct wait_queue waiters;
};
#define SEMAPHORE_MAX 0x7fffffff
#define SEMAPHORE_INIT(n)                                \
	{                                                \
		.count = (n), .waiters = WAIT_QUEUE_INIT \
	}

void semaphore_init(struct semaphore *s, int32_t count);
int semaphore_post(struct semaphore *s);      /* any context. 0, -EOVERFLOW */
int semaphore_post_slow(struct semaphore *s); /* the same, where the count was seen below 0 */
/*
 * Many at once. The waiters that get a unit, best first, are made runnable in chunks of SEMAPHORE_CHUNK
 * with interrupts masked: for each chunk every CPU is locked and told once, and who is to run is
 * decided once; one post at a time decides, and may switch, for each. It is for threads of other CPUs
 * and fair ones: a real-time thread of this CPU that takes over at once is handed the CPU by a single
 * post in less. Context: any; in an interrupt all is one stretch, so @n should be small there.
 *
 * @n units of one. 0; -EINVAL: @n < 0; -EOVERFLOW: the rest is not posted.
 */
#define SEMAPHORE_CHUNK 3
int semaphore_post_many(struct semaphore *s, int32_t n);
/* A unit of each of @n. 0; -EOVERFLOW: those that have SEMAPHORE_MAX got none, all others have. */
int semaphore_post_array(struct semaphore *const *array, unsigned n);
void semaphore_wait(struct semaphore *s);                         /* thread */
int semaphore_trywait(struct semaphore *s);                       /* any. 0, -EAGAIN */
int semaphore_wait_until(struct semaphore *s, uint64_t until_ns); /* thread. 0, -ETIMEDOUT */

/*
 * Somebody who wants to know that there is a unit, and takes none: core/event_queue.h. While count is
 * -1 he is in the queue, behind all threads and twice. So no thread is ever alone there, and those
 * ways that are counted, of one waiter, have nothing to ask.
 */
#define SEMAPHORE_WATCH_RANK 0 /* of no thread that waits */
struct semaphore_watch {
	struct waiter waiter[2]; /* [w] */
	/*
	 * With the lock held: @n units come, and nobody but he is in the queue. He takes himself
	 * off and sets the count. Whom to wake, or NULL
	 */
	struct thread *(*ready)(struct semaphore *s, int32_t n);
};

/* The lock held, @w the first waiter of rank SEMAPHORE_WATCH_RANK: tells it. */
static inline struct thread *semaphore_tell(struct semaphore *s, const struct waiter *w, int32_t n)
{
	return container_of(w, struct semaphore_watch, waiter[0])->ready(s, n);
}

struct condition {
	/* its lock has rank LOCK_CONDITION: a mutex's lock is taken inside */
	struct wait_queue waiters;
	uint32_t ticket;  /* [w] of the next to wait */
	uint32_t waiting; /* [w] */
};
#define CONDITION_INIT                                              \
	{                                                           \
		.waiters = {.lock = SPINLOCK_INIT(LOCK_CONDITION) } \
	}

void condition_init(struct condition *c);
/* Context: thread, @m held by the caller; held again on return. */
int condition_wait(struct condition *c, struct mutex *m);
/* 0, -ETIMEDOUT; of the mutex: -EOWNERDEAD, -ENOTRECOVERABLE */
int condition_wait_until(struct condition *c, struct mutex *m, uint64_t until_ns);
void condition_signal(struct condition *c);    /* any */
void condition_broadcast(struct condition *c); /* thread */
