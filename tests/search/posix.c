/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the configurations of posix/ share (posix.h).
 */
#include "tests/search/posix.h"

#include "core/thread.h"

#define STACK_BYTES (32 * 1024 - 2048)

struct actor actors[THREADS];

void scene_begin(int signo)
{
	struct sched_param param = { .sched_priority = 10 };
	cpu_set_t cpus;
	sigset_t set;

	for (unsigned i = 0; i < THREADS; i++) {
		semaphore_init(&actors[i].gate, 0);
		semaphore_init(&actors[i].told, 0);
	}
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	CHECK(!pthread_setschedparam(pthread_self(), SCHED_FIFO, &param));
	CHECK(!pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus));
	if (signo) {
		sigemptyset(&set);
		sigaddset(&set, signo);
		CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	}
}

static void *run(void *arg)
{
	struct actor *a = arg;

	semaphore_wait(&a->gate);
	a->part();
	a->done = true;
	return NULL;
}

void scene_make(struct actor *a, unsigned cpus, int priority, void (*part)(void))
{
	struct sched_param param = { .sched_priority = priority };
	pthread_attr_t attr;
	cpu_set_t set;

	a->part = part;
	CPU_ZERO(&set);
	for (unsigned i = 0; i < CPUS_MAX; i++)
		if (cpus >> i & 1)
			CPU_SET(i, &set);
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
	CHECK(!pthread_attr_setschedpolicy(&attr, SCHED_FIFO));
	CHECK(!pthread_attr_setschedparam(&attr, &param));
	CHECK(!pthread_attr_setaffinity_np(&attr, sizeof(set), &set));
	CHECK(!pthread_attr_setstacksize(&attr, STACK_BYTES));
	CHECK(!pthread_create(&a->id, &attr, run, a));
}

void scene_settle(void)
{
	thread_sleep_until(time_now_ns() + 100 * NSEC_PER_USEC);
}

void scene_go(struct actor *a)
{
	semaphore_post(&a->gate);
}

void scene_tell(struct actor *a)
{
	semaphore_post(&a->told);
}

void scene_wait_told(struct actor *a)
{
	semaphore_wait(&a->told);
}

void *scene_join(struct actor *a)
{
	void *result = NULL;

	CHECK(!pthread_join(a->id, &result));
	return result;
}

struct timespec scene_after(clockid_t clock_id, uint64_t ns)
{
	struct timespec ts;

	CHECK(!clock_gettime(clock_id, &ts));
	ns += (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	return (struct timespec){ .tv_sec = (time_t)(ns / NSEC_PER_SEC),
				  .tv_nsec = (long)(ns % NSEC_PER_SEC) };
}
