/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real time: who runs on several virtual CPUs, and the order within a level. host_check.c sees at
 * every quiet moment that no real-time thread waits while a CPU where it may run runs a worse one.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/sync.h"
#include "sched/sched.h"
#include "tests/host/host_seeds.h"

#define WORKERS 24
#define US      NSEC_PER_USEC
#define MS      NSEC_PER_MSEC

static struct thread *threads[WORKERS];
static struct mutex mutexes[2];
static struct semaphore sem;
static bool stop;

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	struct scenario s = { .first = first, .cpus_from = from, .cpus_to = to, .seeds = seeds };

	run_seeds(&s);
}

static struct thread *make(int policy, int level, const struct cpumask *mask,
			   void *(*entry)(void *), uintptr_t arg)
{
	struct thread_attr attr = { .name = "worker", .affinity = mask, .policy = (uint8_t)policy };
	struct thread *t = NULL;

	attr.priority = (uint8_t)(policy == SCHED_OTHER ? 0 : level);
	CHECK(!thread_create(&t, &attr, entry, (void *)arg));
	return t;
}

static void become(int policy, int level)
{
	CHECK(!sched_set_policy(thread_current(), policy, level, 0));
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void draw_mask(struct cpumask *mask)
{
	do {
		cpumask_clear(mask);
		for (unsigned i = 0; i < cpu_count; i++)
			if (draw(2))
				cpumask_set(mask, i);
	} while (cpumask_empty(mask));
}

/* ---- several CPUs ---------------------------------------------------------------------------- */

static void change_somebody(unsigned n)
{
	struct thread *t = threads[draw(n)];
	struct cpumask mask;

	switch (draw(3)) {
	case 0:
		draw_mask(&mask);
		CHECK(!thread_set_affinity(t, &mask));
		break;
	case 1:
		CHECK(!sched_set_policy(t, SCHED_OTHER, 0, 0));
		break;
	default:
		CHECK(!sched_set_policy(t, draw(2) ? SCHED_FIFO : SCHED_RR, 1 + (int)draw(40), 0));
	}
}

static void *work(void *arg)
{
	struct mutex *m = &mutexes[draw(2)];

	while (!atomic_load_relaxed(&stop)) {
		switch (draw(5)) {
		case 0:
			sleep_for(draw(20 * US));
			break;
		case 1:
			mutex_lock(m);
			host_compute(draw(10 * US));
			mutex_unlock(m);
			break;
		case 2:
			semaphore_post(&sem);
			break;
		case 3:
			semaphore_wait_until(&sem, time_now_ns() + draw(30 * US));
			break;
		default:
			host_compute(draw(20 * US));
		}
	}
	return arg;
}

/* Sleeps, loans, wake-ups, changes of priority, class and affinity, all at once. */
static void storm_first(void *arg)
{
	unsigned n = cpu_count + 1 + (unsigned)draw(WORKERS - cpu_count - 1);

	(void)arg;
	semaphore_init(&sem, 0);
	mutex_init(&mutexes[0]);
	mutex_init(&mutexes[1]);
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make((int)draw(3), 1 + (int)draw(60), NULL, work, i);
	for (unsigned i = 0; i < 60; i++) {
		change_somebody(n);
		sleep_for(draw(30 * US));
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	stop = true;
	join_all(n);
}

static void storm(void **state)
{
	(void)state;
	run(storm_first, 2, 5, 60);
	run(storm_first, 8, 8, 30);
}

static void *hog(void *arg)
{
	host_compute((uintptr_t)arg);
	return NULL;
}

static bool runs(const struct thread *t)
{
	return t->sched.cpu->rq.curr == t;
}

/* Without any other event, the best run within microseconds: of changes, and of those that end. */
static void best_first(void *arg)
{
	unsigned n = 2 * cpu_count, best;

	(void)arg;
	become(SCHED_FIFO, 99);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make(SCHED_FIFO, 10 + (int)i, NULL, hog, 50 * MS);
	for (unsigned i = 0; i < 20; i++) {
		unsigned above = 0;
		int level = 1 + (int)draw(90);

		best = (unsigned)draw(n);
		CHECK(!sched_set_policy(threads[best], SCHED_FIFO, level, 0));
		sleep_for(100 * US);
		host_compute(10 *
			     US); /* on a CPU of its own: one thread fewer of the others runs */
		for (unsigned j = 0; j < n; j++)
			above += j != best && threads[j]->sched.priority >= level;
		CHECK(above + 1 >= cpu_count || runs(threads[best]));
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(!sched_set_policy(threads[i], SCHED_FIFO, 10, 0));
	join_all(n);
}

static void the_best_run(void **state)
{
	(void)state;
	run(best_first, 2, 6, 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(storm),
		cmocka_unit_test(the_best_run),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
