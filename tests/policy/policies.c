/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every policy that is built in, one after the other under the same short load: threads that compute
 * at several nice values, some that sleep, some that block on each other, some that come and go. Each
 * has to go on under the policy and after it; the policy has to be the one that schedules, and to
 * have ended by nothing but our wish.
 *
 * `make run APP=tests/policy POLICY=a,b,c BOOT="policy=none"`; a number: ms for each (400).
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/cpu.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "sched/ext/ext.h"
#include "sched/sched.h"

#define BUSY     6
#define SLEEPERS 3
#define PAIR     2
#define THREADS  (BUSY + SLEEPERS + PAIR)

static uint64_t progress[THREADS]; /* [a] */
static struct thread *threads[THREADS];
static struct semaphore ball[PAIR];
static uint32_t stop; /* [a] */

static bool stopped(void)
{
	return atomic_load_relaxed(&stop);
}

static void went_on(unsigned i)
{
	atomic_store_relaxed(&progress[i], atomic_load_relaxed(&progress[i]) + 1);
}

static void compute(unsigned n)
{
	for (volatile unsigned i = 0; i < n; i++)
		;
}

static void *busy(void *arg)
{
	while (!stopped()) {
		compute(5000);
		went_on((unsigned)(uintptr_t)arg);
	}
	return NULL;
}

static void *sleeper(void *arg)
{
	while (!stopped()) {
		compute(400);
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
		went_on((unsigned)(uintptr_t)arg);
	}
	return NULL;
}

static void *player(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg - BUSY - SLEEPERS;

	while (!stopped()) {
		semaphore_wait_until(&ball[me], time_now_ns() + 5 * NSEC_PER_MSEC);
		compute(500);
		went_on((unsigned)(uintptr_t)arg);
		semaphore_post(&ball[1 - me]);
	}
	return NULL;
}

static void *short_lived(void *arg)
{
	compute(1000);
	return arg;
}

static int start_all(void)
{
	static const int8_t nices[] = { 0, -2, 3, 1, -1, 0 };
	int err = 0;

	for (unsigned i = 0; i < PAIR; i++)
		semaphore_init(&ball[i], i == 0);
	for (uintptr_t i = 0; i < THREADS && !err; i++) {
		struct thread_attr attr = { .name = i < BUSY            ? "busy" :
						    i < BUSY + SLEEPERS ? "sleeper" :
									  "player",
					    .nice = i < BUSY ? nices[i] : 0 };

		err = thread_create(&threads[i], &attr,
				    i < BUSY            ? busy :
				    i < BUSY + SLEEPERS ? sleeper :
							  player,
				    (void *)i);
	}
	return err;
}

/* 0 if every thread did something in @ns; names the one that did not. */
static int live(uint64_t ns, const char *under)
{
	uint64_t before[THREADS], end_ns = time_now_ns() + ns;
	struct cpumask one = { 0 };
	unsigned came = 0;

	cpumask_set(&one, cpu_count - 1);
	for (unsigned i = 0; i < THREADS; i++)
		before[i] = atomic_load_relaxed(&progress[i]);
	thread_set_affinity(threads[0], &one);
	while (time_now_ns() < end_ns) {
		struct thread *t;

		if (thread_create(&t, NULL, short_lived, NULL) || thread_join(t, NULL))
			return printf("%s: no thread, or no end of it\n", under), 1;
		came++;
		/* not while somebody is waited for that might be behind it */
		sched_set_policy(threads[1], SCHED_FIFO, 1, 0);
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
		sched_set_policy(threads[1], SCHED_OTHER, 0, -2);
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
	}
	thread_set_affinity(threads[0], &cpu_online_mask);
	for (unsigned i = 0; i < THREADS; i++)
		if (atomic_load_relaxed(&progress[i]) == before[i])
			return printf("%s: thread %u of %d did nothing\n", under, i, THREADS), 1;
	return came == 0;
}

static int try_policy(struct sched_ext_ops *ops, uint64_t ns)
{
	struct cpumask boot = { .bits = { 1 } };
	int err;

	/* some start timers where they are loaded */
	thread_set_affinity(thread_current(), &boot);
	err = ext_load(ops);
	thread_set_affinity(thread_current(), &cpu_online_mask);
	if (err)
		return printf("%s: not loaded: %d\n", ops->name, err), 1;
	err = live(ns, ops->name);
	if (!err && threads[2]->sched.rank != RANK_EXT)
		err = printf("%s: threads are not in its class\n", ops->name);
	if (ext_unload() && !err)
		err = printf("%s: was unloaded already\n", ops->name);
	if (!err && ext.info.kind != SCX_EXIT_UNREG)
		err = printf("%s: ended with kind %d\n", ops->name, (int)ext.info.kind);
	if (!err)
		printf("policy %s: everybody went on\n", ops->name);
	return err != 0;
}

int main(int argc, char **argv)
{
	uint64_t ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 400) * NSEC_PER_MSEC;
	int err = sched_set_policy(thread_current(), SCHED_FIFO, 50, 0);

	if (err || start_all())
		return 1;
	for (unsigned i = 0; ext_policy_at(i) && !err; i++)
		err = try_policy(ext_policy_at(i), ns);
	if (!err)
		err = live(3 * ns, "afterwards");
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < THREADS && !err; i++)
		thread_join(threads[i], NULL);
	return err;
}
