/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows sem_*, mutex_uncontended and thread_create_join, on CPU 0.
 *
 * A ping-pong's round trip is two posts, two waits and two switches, counted by the thread that
 * begins it; the loops of both are included. Uncontended pairs are counted in blocks, their loop
 * included. create + join is counted in the steady state: the stack comes from the cache of stacks
 * and no mapping changes.
 */
#include "bench.h"

#include "core/sync.h"

#define BLOCKS   20u
#define IN_BLOCK 100u
#define CREATED  50u
#define PRIORITY 10u

static struct semaphore ping, pong;

static void *pong_back(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < (BLOCKS + 1) * IN_BLOCK; i++) {
		semaphore_wait(&ping);
		semaphore_post(&pong);
	}
	return NULL;
}

static __noinline void round_trips(unsigned n)
{
	while (n--) {
		semaphore_post(&ping);
		semaphore_wait(&pong);
	}
}

static __noinline void mutex_pairs(unsigned n)
{
	static struct mutex m = MUTEX_INIT;

	while (n--) {
		mutex_lock(&m);
		mutex_unlock(&m);
	}
}

static __noinline void semaphore_pairs(unsigned n)
{
	static struct semaphore s = SEMAPHORE_INIT(0);

	while (n--) {
		semaphore_post(&s);
		semaphore_wait(&s);
	}
}

static void *do_nothing(void *arg)
{
	return arg;
}

/* The new thread inherits the affinity; a failure would count less, so it must not pass. */
static __noinline void create_and_join(unsigned n)
{
	static const struct thread_attr attr = { .policy = SCHED_FIFO, .priority = PRIORITY };
	struct thread *t;

	while (n--) {
		ASSERT(!thread_create(&t, &attr, do_nothing, NULL));
		thread_join(t, NULL);
	}
}

struct work {
	void (*fn)(unsigned n);
	unsigned n;
};

static void *measure(void *arg)
{
	const struct work *w = arg;

	for (unsigned block = 0; block <= BLOCKS; block++) {
		uint64_t start = arch_cycles(), end;

		w->fn(w->n);
		end = arch_cycles();
		if (block) /* the first one warms up */
			sample_add(w->n, end - start);
	}
	return NULL;
}

static void pingpong(const char *name, unsigned priority, unsigned peer_priority)
{
	struct work w = { round_trips, IN_BLOCK };
	struct thread *peer, *t;

	semaphore_init(&ping, 0);
	semaphore_init(&pong, 0);
	peer = thread_on(0, peer_priority, 0, pong_back, NULL);
	t = thread_on(0, priority, 0, measure, &w);
	thread_end(t);
	thread_end(peer);
	row_send(name);
}

static void alone(const char *name, void (*fn)(unsigned n), unsigned n)
{
	struct work w = { fn, n };

	thread_end(thread_on(0, PRIORITY, 0, measure, &w));
	row_send(name);
}

void rows_sync(void)
{
	pingpong("sem_pingpong_fifo", PRIORITY, PRIORITY);
	pingpong("sem_pingpong_fifo_hi", PRIORITY, PRIORITY + 1);
	pingpong("sem_pingpong_fair", 0, 0);
	alone("mutex_uncontended", mutex_pairs, IN_BLOCK);
	alone("sem_uncontended", semaphore_pairs, IN_BLOCK);
	alone("thread_create_join", create_and_join, CREATED);
}
