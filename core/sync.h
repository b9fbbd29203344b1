/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutex, semaphore, condition variable. The uncontended paths are a compare-and-swap in thread
 * context and take no lock; everything else happens under the object's wait-queue lock.
 */
#pragma once

#include "core/wait.h"

/* owner: the thread, bit 0 set when somebody waits (then both fast paths fail); 0: free. */
struct mutex {
	uintptr_t owner; /* [a] */
	struct wait_queue waiters;
};
#define MUTEX_INIT                                     \
	{                                              \
		.owner = 0, .waiters = WAIT_QUEUE_INIT \
	}

void mutex_init(struct mutex *m);
/* Context: thread. Not recursive: -EDEADLK when the caller owns it. */
int mutex_lock(struct mutex *m);
int mutex_trylock(struct mutex *m);                       /* 0, -EBUSY */
int mutex_lock_until(struct mutex *m, uint64_t until_ns); /* 0, -ETIMEDOUT, -EDEADLK */
int mutex_unlock(struct mutex *m);                        /* 0, -EPERM: not the owner */

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
/* 0, -ETIMEDOUT */
int condition_wait_until(struct condition *c, struct mutex *m, uint64_t until_ns);
void condition_signal(struct condition *c);    /* any */
void condition_broadcast(struct condition *c); /* thread */
