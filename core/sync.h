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
	uint8_t options; /* [i] */
	uint8_t ceiling; /* [w] real-time priority of every owner; 0: none */
	uint8_t state;   /* [w] of a robust one */
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
bool mutex_is_mine(const struct mutex *m);

/* ---- between mutex.c, inherit.c, sync.c and thread.c ------------------------------------------ */

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
	struct wait_queue waiters;
};
#define SEMAPHORE_MAX 0x7fffffff
#define SEMAPHORE_INIT(n)                                \
	{                                                \
		.count = (n), .waiters = WAIT_QUEUE_INIT \
	}

void semaphore_init(struct semaphore *s, int32_t count);
int semaphore_post(struct semaphore *s);                          /* any context. 0, -EOVERFLOW */
void semaphore_wait(struct semaphore *s);                         /* thread */
int semaphore_trywait(struct semaphore *s);                       /* any. 0, -EAGAIN */
int semaphore_wait_until(struct semaphore *s, uint64_t until_ns); /* thread. 0, -ETIMEDOUT */

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
