/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mutex, semaphore and condition variable promise call by call: error codes, limits, time-outs
 * that have passed already, hand-over to the best waiter, and a broadcast that wakes all that
 * waited and ends although a better one waits again each time. (Their races: test_sched.c.)
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "tests/host/host_seeds.h"

#define WORKERS 6
#define US      NSEC_PER_USEC

static struct semaphore sem;
static struct mutex mutex;
static struct condition cond;
static struct thread *threads[WORKERS];
static unsigned order[WORKERS * 4], ordered, through;
static bool open;

static void become(int priority)
{
	struct cpumask only = { 0 };

	cpumask_set(&only, 0);
	CHECK(!thread_set_affinity(thread_current(), &only));
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, priority, 0));
}

static void start(unsigned i, int policy, int priority, void *(*entry)(void *))
{
	struct thread_attr attr = { .policy = (uint8_t)policy, .priority = (uint8_t)priority };

	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void run(void (*first)(void *))
{
	struct scenario s = { .first = first, .cpus_from = 1, .cpus_to = 2, .seeds = 10 };

	run_seeds(&s);
}

static void semaphore_first(void *arg)
{
	uint64_t start_ns;

	(void)arg;
	semaphore_init(&sem, 2);
	CHECK(!semaphore_trywait(&sem));
	CHECK(!semaphore_wait_until(&sem, 0)); /* a unit is there: the time does not matter */
	CHECK(semaphore_trywait(&sem) == -EAGAIN);
	CHECK(semaphore_wait_until(&sem, 0) == -ETIMEDOUT);
	start_ns = time_now_ns();
	CHECK(semaphore_wait_until(&sem, start_ns + 50 * US) == -ETIMEDOUT);
	CHECK(time_now_ns() >= start_ns + 50 * US && time_now_ns() < start_ns + 55 * US);
	CHECK(semaphore_trywait(&sem) == -EAGAIN);
	CHECK(!semaphore_post(&sem)); /* the word still says that somebody may wait */
	CHECK(!semaphore_trywait(&sem));
	semaphore_init(&sem, SEMAPHORE_MAX);
	CHECK(semaphore_post(&sem) == -EOVERFLOW);
	CHECK(!semaphore_trywait(&sem) && !semaphore_post(&sem));
}

static void semaphore_calls(void **state)
{
	(void)state;
	run(semaphore_first);
}

static void *lock_and_note(void *arg)
{
	CHECK(!mutex_lock(&mutex));
	order[ordered++] = (unsigned)(uintptr_t)arg;
	CHECK(!mutex_unlock(&mutex));
	return NULL;
}

static void *lock_late(void *arg)
{
	uint64_t until_ns = time_now_ns() + 20 * US;

	(void)arg;
	CHECK(mutex_lock_until(&mutex, until_ns) == -ETIMEDOUT);
	CHECK(time_now_ns() >= until_ns);
	CHECK(mutex_trylock(&mutex) == -EBUSY && mutex_unlock(&mutex) == -EPERM);
	return NULL;
}

static void mutex_first(void *arg)
{
	(void)arg;
	become(50);
	mutex_init(&mutex);
	CHECK(mutex_unlock(&mutex) == -EPERM);
	CHECK(!mutex_lock(&mutex));
	CHECK(mutex_lock(&mutex) == -EDEADLK && mutex_lock_until(&mutex, 0) == -EDEADLK &&
	      mutex_trylock(&mutex) == -EBUSY);
	for (unsigned i = 0; i < 3; i++)
		start(i, SCHED_FIFO, 60 + (int)i, lock_and_note);
	start(3, SCHED_FIFO, 70, lock_late);
	thread_sleep_until(time_now_ns() + 100 * US);
	CHECK(!ordered);
	CHECK(!mutex_unlock(&mutex)); /* handed to the best, who hands it on before we run again */
	CHECK(ordered == 3 && order[0] == 2 && order[1] == 1 && order[2] == 0);
	CHECK(!mutex_trylock(&mutex) && !mutex_unlock(&mutex));
	CHECK(!mutex_lock_until(&mutex, 0) && !mutex_unlock(&mutex));
	join_all(4);
}

static void mutex_calls(void **state)
{
	(void)state;
	run(mutex_first);
}

static void *wait_for_open(void *arg)
{
	CHECK(!mutex_lock(&mutex));
	while (!open) {
		CHECK(!condition_wait(&cond, &mutex));
		order[ordered++ % ARRAY_SIZE(order)] = (unsigned)(uintptr_t)arg;
	}
	through++;
	CHECK(!mutex_unlock(&mutex));
	return NULL;
}

static void condition_first(void *arg)
{
	uint64_t until_ns;

	(void)arg;
	become(50);
	mutex_init(&mutex);
	condition_init(&cond);
	condition_signal(&cond); /* nobody there: forgotten */
	CHECK(condition_wait(&cond, &mutex) == -EPERM);
	CHECK(!mutex_lock(&mutex));
	until_ns = time_now_ns() + 30 * US;
	CHECK(condition_wait_until(&cond, &mutex, until_ns) == -ETIMEDOUT &&
	      time_now_ns() >= until_ns);
	CHECK(mutex_lock(&mutex) == -EDEADLK && !mutex_unlock(&mutex));
	for (unsigned i = 0; i < 4; i++)
		start(i, SCHED_FIFO, 60 + (int)i % 2, wait_for_open);
	/* 1 and 3 are the better ones, 1 came first; then it waits behind 3 */
	condition_signal(&cond);
	condition_signal(&cond);
	CHECK(ordered == 2 && order[0] == 1 && order[1] == 3);
	CHECK(!mutex_lock(&mutex));
	open = true;
	CHECK(!mutex_unlock(&mutex));
	condition_broadcast(&cond);
	CHECK(through == 4);
	join_all(4);
}

static void condition_calls(void **state)
{
	(void)state;
	run(condition_first);
}

/*
 * Threads of better rank find the gate shut and wait again at once, in front of those that the
 * broadcast is still to wake.
 */
static void broadcast_first(void *arg)
{
	(void)arg;
	become(10);
	mutex_init(&mutex);
	condition_init(&cond);
	for (unsigned i = 0; i < 3; i++)
		start(i, SCHED_FIFO, 60, wait_for_open);
	start(3, SCHED_FIFO, 5, wait_for_open);
	thread_sleep_until(time_now_ns() + 50 * US);
	condition_broadcast(&cond);
	CHECK(ordered == 3);
	thread_sleep_until(time_now_ns() + 50 * US);
	CHECK(ordered == 4 && order[3] == 3);
	open = true;
	condition_broadcast(&cond);
	join_all(4);
}

static void a_broadcast_wakes_each_once(void **state)
{
	(void)state;
	run(broadcast_first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(semaphore_calls),
		cmocka_unit_test(mutex_calls),
		cmocka_unit_test(condition_calls),
		cmocka_unit_test(a_broadcast_wakes_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
