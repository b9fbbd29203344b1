/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows of `make bench` through the names of POSIX, each beside the core's row of the same name
 * without "posix_": the same threads at the same priorities do the same, on one CPU. An image of its
 * own, so that the size of the other one is the kernel's; samples and time line are the other one's.
 * For the same reason features.c is here.
 *
 * The loop of each row is its core row's. Errors are not looked at where they are counted; a call
 * that failed would not come back, or not in this time.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "bench.h"
#include "core/time.h"

#define BLOCKS   20u
#define IN_BLOCK 100u
#define CREATED  50u
#define PRIORITY 10u
#define WAKEUPS  1000u
#define WARM_UP  8u
#define GAP_NS   30000u
#define PHASE_NS 7u

static sem_t ping, pong;
static struct timeline counter_line;
static bool hog_ends;

/* A POSIX thread; @priority 0: of the fair class. */
static pthread_t start(unsigned priority, void *(*entry)(void *), void *arg)
{
	struct sched_param param = { .sched_priority = (int)priority };
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, priority ? SCHED_FIFO : SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &param);
	ASSERT(!pthread_create(&t, &attr, entry, arg));
	return t;
}

static void end(pthread_t t)
{
	ASSERT(!pthread_join(t, NULL));
}

/* ---- in blocks ------------------------------------------------------------------------------- */

static void *pong_back(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < (BLOCKS + 1) * IN_BLOCK; i++) {
		sem_wait(&ping);
		sem_post(&pong);
	}
	return NULL;
}

static __noinline void round_trips(unsigned n)
{
	while (n--) {
		sem_post(&ping);
		sem_wait(&pong);
	}
}

static __noinline void mutex_pairs(unsigned n)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	while (n--) {
		pthread_mutex_lock(&m);
		pthread_mutex_unlock(&m);
	}
}

static __noinline void semaphore_pairs(unsigned n)
{
	while (n--) {
		sem_post(&pong);
		sem_wait(&pong);
	}
}

static void *do_nothing(void *arg)
{
	return arg;
}

static __noinline void create_and_join(unsigned n)
{
	while (n--) {
		pthread_t t;

		ASSERT(!pthread_create(&t, NULL, do_nothing, NULL)); /* inherits FIFO */
		pthread_join(t, NULL);
	}
}

static __noinline void yields(unsigned n)
{
	while (n--)
		sched_yield();
}

struct work {
	void (*fn)(unsigned n);
	unsigned n, operations; /* @fn(@n) is so many operations */
};

static void *measure(void *arg)
{
	const struct work *w = arg;

	for (unsigned block = 0; block <= BLOCKS; block++) {
		uint64_t begin = arch_cycles(), over;

		w->fn(w->n);
		over = arch_cycles();
		if (block) /* the first one warms up */
			sample_add(w->operations, over - begin);
	}
	return NULL;
}

static void *yield_back(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < (BLOCKS + 1) * IN_BLOCK + IN_BLOCK; i++)
		sched_yield();
	return NULL;
}

static void with_peer(const char *name, struct work work, void *(*entry)(void *),
		      unsigned peer_priority)
{
	pthread_t peer;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	peer = start(peer_priority, entry, NULL);
	end(start(PRIORITY, measure, &work));
	end(peer);
	row_send(name);
}

static void alone(const char *name, void (*fn)(unsigned n), unsigned n)
{
	struct work work = { fn, n, n };

	end(start(PRIORITY, measure, &work));
	row_send(name);
}

/* ---- from the timer to the thread ------------------------------------------------------------ */

static void *wait_for_timer(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WARM_UP + WAKEUPS; i++) {
		uint64_t cycles, deadline_ns = time_now_ns() + GAP_NS + i * PHASE_NS % 1009;
		struct timespec at = { (time_t)(deadline_ns / NSEC_PER_SEC),
				       (long)(deadline_ns % NSEC_PER_SEC) };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		cycles = arch_cycles();
		if (i >= WARM_UP)
			sample_add(1, cycles + 1 -
					      timeline_cycles(&counter_line,
							      ns_to_cycles(deadline_ns)));
	}
	return NULL;
}

static void *be_busy(void *arg)
{
	(void)arg;
	while (!atomic_load_relaxed(&hog_ends))
		;
	return NULL;
}

static void *calibrate(void *arg)
{
	(void)arg;
	timeline_init(&counter_line, counter_now, time_base.hz);
	return NULL;
}

static void timer(const char *name, bool busy)
{
	pthread_t hog = 0;

	atomic_store_relaxed(&hog_ends, false);
	if (busy)
		hog = start(0, be_busy, NULL);
	end(start(50, wait_for_timer, NULL));
	atomic_store_relaxed(&hog_ends, true);
	if (busy)
		end(hog);
	row_send(name);
}

int main(int argc, char **argv)
{
	struct work trips = { round_trips, IN_BLOCK, IN_BLOCK };
	/* One yield of each of the two is two switches. */
	struct work two = { yields, IN_BLOCK, 2 * IN_BLOCK };

	(void)argv;
	measure_init();
	if (argc > 1) { /* "two": on a machine of two CPUs */
		rows_features_two();
		return 0;
	}
	with_peer("posix_yield_fifo_2", two, yield_back, PRIORITY);
	with_peer("posix_sem_pingpong_fifo", trips, pong_back, PRIORITY);
	with_peer("posix_sem_pingpong_fifo_hi", trips, pong_back, PRIORITY + 1);
	alone("posix_mutex_uncontended", mutex_pairs, IN_BLOCK);
	alone("posix_sem_uncontended", semaphore_pairs, IN_BLOCK);
	alone("posix_thread_create_join", create_and_join, CREATED);
	end(start(50, calibrate, NULL));
	timer("posix_timer_to_thread_idle", false);
	timer("posix_timer_to_thread_hog", true);
	rows_features();
	return 0;
}
