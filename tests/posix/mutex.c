/* SPDX-License-Identifier: BSD-2-Clause */
/* Mutexes: types, errors, time-outs, attributes, mutual exclusion. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "test.h"

static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
static sem_t locked, release;
static long counter;

static void *hold(void *m)
{
	EQ(pthread_mutex_lock(m), 0);
	sem_post(&locked);
	sem_wait(&release);
	EQ(pthread_mutex_unlock(m), 0);
	return NULL;
}

static void held_by_another(pthread_mutex_t *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 20), mono = in_ms(CLOCK_MONOTONIC, 20);
	struct timespec past = { 0, 0 };
	pthread_t t;

	EQ(pthread_create(&t, NULL, hold, m), 0);
	sem_wait(&locked);
	EQ(pthread_mutex_trylock(m), EBUSY);
	EQ(pthread_mutex_unlock(m), EPERM);
	EQ(pthread_mutex_destroy(m), EBUSY);
	EQ(pthread_mutex_timedlock(m, &past), ETIMEDOUT);
	EQ(pthread_mutex_timedlock(m, &at), ETIMEDOUT);
	EQ(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &mono), ETIMEDOUT);
	EQ(pthread_mutex_clocklock(m, 99, &mono), EINVAL);
	EQ(pthread_mutex_timedlock(m, &bad_time), EINVAL);
	sem_post(&release);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_mutex_timedlock(m, &bad_time), 0); /* not looked at: it is free */
	EQ(pthread_mutex_unlock(m), 0);
	EQ(pthread_mutex_unlock(m), EPERM);
}

static void *unlock_it(void *m)
{
	return (void *)(long)pthread_mutex_unlock(m);
}

static void of_type(int type, int again)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_t t;
	void *result;
	int got;

	EQ(pthread_mutexattr_init(&a), 0);
	EQ(pthread_mutexattr_settype(&a, type), 0);
	EQ(pthread_mutexattr_gettype(&a, &got), 0);
	EQ(got, type);
	EQ(pthread_mutex_init(&m, &a), 0);
	EQ(pthread_mutexattr_destroy(&a), 0);
	EQ(pthread_mutex_lock(&m), 0);
	if (again >= 0)
		EQ(pthread_mutex_lock(&m), again);
	EQ(pthread_mutex_trylock(&m), type == PTHREAD_MUTEX_RECURSIVE ? 0 : EBUSY);
	EQ(pthread_create(&t, NULL, unlock_it, &m), 0);
	EQ(pthread_join(t, &result), 0);
	EQ((long)result, EPERM);
	if (type == PTHREAD_MUTEX_RECURSIVE) {
		EQ(pthread_mutex_unlock(&m), 0);
		EQ(pthread_mutex_unlock(&m), 0);
	}
	EQ(pthread_mutex_unlock(&m), 0);
	EQ(pthread_mutex_unlock(&m), EPERM);
	held_by_another(&m);
	EQ(pthread_mutex_destroy(&m), 0);
	EQ(pthread_mutex_lock(&m), EINVAL);
	EQ(pthread_mutex_trylock(&m), EINVAL);
	EQ(pthread_mutex_unlock(&m), EINVAL);
	EQ(pthread_mutex_destroy(&m), EINVAL);
	EQ(pthread_mutex_init(&m, NULL), 0);
	EQ(pthread_mutex_destroy(&m), 0);
}

/* NORMAL: locking twice is a deadlock, which signals interrupt and a time-out ends. */
static volatile int handled;

static void handler(int signo)
{
	(void)signo;
	handled = 1;
}

static void *deadlock(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 100);

	EQ(pthread_mutex_lock(m), 0);
	EQ(pthread_mutex_timedlock(m, &at), ETIMEDOUT);
	EQ(pthread_mutex_unlock(m), 0);
	return m;
}

static void normal_deadlocks(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_NORMAL);
	EQ(pthread_mutex_init(&m, &a), 0);
	signal(SIGUSR1, handler);
	EQ(pthread_create(&t, NULL, deadlock, &m), 0);
	sleep_ms(30);
	EQ(pthread_kill(t, SIGUSR1), 0);
	wait_for(&handled);
	EQ(pthread_join(t, NULL), 0);
}

static void attributes(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	int value;

	EQ(pthread_mutexattr_init(&a), 0);
	EQ(pthread_mutexattr_gettype(&a, &value), 0);
	EQ(value, PTHREAD_MUTEX_DEFAULT);
	EQ(pthread_mutexattr_settype(&a, 99), EINVAL);
	EQ(pthread_mutexattr_getprotocol(&a, &value), 0);
	EQ(value, PTHREAD_PRIO_NONE);
	EQ(pthread_mutexattr_setprotocol(&a, 99), EINVAL);
	CHECK(sysconf(_SC_THREAD_PRIO_INHERIT) > 0 && sysconf(_SC_THREAD_PRIO_PROTECT) > 0);
	EQ(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT), 0);
	EQ(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_PROTECT), 0);
	EQ(pthread_mutexattr_getprotocol(&a, &value), 0);
	EQ(value, PTHREAD_PRIO_PROTECT);
	EQ(pthread_mutexattr_setprioceiling(&a, 0), EINVAL);
	EQ(pthread_mutexattr_setprioceiling(&a, 100), EINVAL);
	EQ(pthread_mutexattr_setprioceiling(&a, 50), 0);
	EQ(pthread_mutexattr_getprioceiling(&a, &value), 0);
	EQ(value, 50);
	EQ(pthread_mutexattr_getpshared(&a, &value), 0);
	EQ(value, PTHREAD_PROCESS_PRIVATE);
	EQ(pthread_mutexattr_setpshared(&a, 99), EINVAL);
	EQ(pthread_mutexattr_getrobust(&a, &value), 0);
	EQ(value, PTHREAD_MUTEX_STALLED);
	EQ(pthread_mutexattr_setrobust(&a, 99), EINVAL);
	EQ(pthread_mutexattr_destroy(&a), 0);
	EQ(pthread_mutexattr_settype(&a, PTHREAD_MUTEX_NORMAL), EINVAL);
	EQ(pthread_mutexattr_destroy(&a), EINVAL);
	EQ(pthread_mutex_init(&m, &a), EINVAL);
	EQ(pthread_mutex_getprioceiling(&m, &value), EINVAL);
	EQ(pthread_mutex_setprioceiling(&m, 5, &value), EINVAL);
	EQ(pthread_mutex_consistent(&m), EINVAL);
}

/* ---- protocols and robustness ---------------------------------------------------------------- */

static pthread_mutex_t special;
static volatile int order_n;
static char order[4];

static void init_special(int protocol, int ceiling, int robust)
{
	pthread_mutexattr_t a;

	EQ(pthread_mutexattr_init(&a), 0);
	EQ(pthread_mutexattr_setprotocol(&a, protocol), 0);
	EQ(pthread_mutexattr_setprioceiling(&a, ceiling), 0);
	EQ(pthread_mutexattr_setrobust(&a, robust), 0);
	EQ(pthread_mutex_init(&special, &a), 0);
}

static pthread_t start(int priority, void *(*entry)(void *), void *arg)
{
	struct sched_param param = { .sched_priority = priority };
	pthread_attr_t a;
	cpu_set_t one;
	pthread_t t;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&a, SCHED_FIFO);
	pthread_attr_setschedparam(&a, &param);
	pthread_attr_setaffinity_np(&a, sizeof(one), &one);
	EQ(pthread_create(&t, &a, entry, arg), 0);
	return t;
}

static void *high(void *arg)
{
	EQ(pthread_mutex_lock(&special), 0);
	order[order_n++] = 'h';
	EQ(pthread_mutex_unlock(&special), 0);
	return arg;
}

static void *middle(void *arg)
{
	order[order_n++] = 'm';
	return arg;
}

/* It owns the mutex while the others come: with inheritance the high one is not behind the middle one. */
static void *low(void *arg)
{
	pthread_t t[2];

	EQ(pthread_mutex_lock(&special), 0);
	t[0] = start(30, high, NULL);
	t[1] = start(20, middle, NULL);
	EQ(pthread_mutex_unlock(&special), 0);
	EQ(pthread_join(t[0], NULL), 0);
	EQ(pthread_join(t[1], NULL), 0);
	return arg;
}

static void *too_high(void *arg)
{
	int old;

	EQ(pthread_mutex_lock(&special), EINVAL);
	EQ(pthread_mutex_trylock(&special), EINVAL);
	EQ(pthread_mutex_setprioceiling(&special, 60, &old), 0); /* this need not keep to it */
	EQ(old, 50);
	EQ(pthread_mutex_lock(&special), 0);
	EQ(pthread_mutex_setprioceiling(&special, 70, &old), 0);
	EQ(old, 60);
	EQ(pthread_mutex_unlock(&special), 0);
	return arg;
}

static void protocols(void)
{
	int value;

	init_special(PTHREAD_PRIO_INHERIT, 1, PTHREAD_MUTEX_STALLED);
	EQ(pthread_join(start(10, low, NULL), NULL), 0);
	CHECK(order_n == 2 && order[0] == 'h' && order[1] == 'm');
	EQ(pthread_mutex_getprioceiling(&special, &value), EINVAL);
	EQ(pthread_mutex_destroy(&special), 0);
	order_n = 0;
	init_special(PTHREAD_PRIO_NONE, 1, PTHREAD_MUTEX_STALLED);
	EQ(pthread_join(start(10, low, NULL), NULL), 0);
	CHECK(order_n == 2 && order[0] == 'm' && order[1] == 'h');
	EQ(pthread_mutex_destroy(&special), 0);
	order_n = 0;
	init_special(PTHREAD_PRIO_PROTECT, 40, PTHREAD_MUTEX_STALLED);
	EQ(pthread_join(start(10, low, NULL), NULL), 0);
	CHECK(order_n == 2 && order[0] == 'h' &&
	      order[1] == 'm'); /* neither ran before it was unlocked */
	EQ(pthread_mutex_getprioceiling(&special, &value), 0);
	EQ(value, 40);
	EQ(pthread_mutex_setprioceiling(&special, 50, &value), 0);
	EQ(value, 40);
	EQ(pthread_mutex_getprioceiling(&special, &value), 0);
	EQ(value, 50);
	EQ(pthread_mutex_setprioceiling(&special, 100, &value), EINVAL);
	EQ(pthread_join(start(51, too_high, NULL), NULL), 0);
	EQ(pthread_mutex_destroy(&special), 0);
}

static void *end_with_it(void *arg)
{
	EQ(pthread_mutex_lock(&special), 0);
	return arg;
}

static void die_with_it(void)
{
	pthread_t t;

	EQ(pthread_create(&t, NULL, end_with_it, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
}

static void robustness(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 1000);

	init_special(PTHREAD_PRIO_INHERIT, 1, PTHREAD_MUTEX_ROBUST);
	EQ(pthread_mutex_lock(&special), 0);
	EQ(pthread_mutex_consistent(&special), EINVAL);
	EQ(pthread_mutex_unlock(&special), 0);
	die_with_it();
	EQ(pthread_mutex_lock(&special), EOWNERDEAD);
	EQ(pthread_mutex_consistent(&special), 0);
	EQ(pthread_mutex_unlock(&special), 0);
	EQ(pthread_mutex_lock(&special), 0);
	EQ(pthread_mutex_unlock(&special), 0);
	die_with_it();
	EQ(pthread_mutex_timedlock(&special, &at), EOWNERDEAD);
	EQ(pthread_mutex_unlock(&special), 0); /* without pthread_mutex_consistent() */
	EQ(pthread_mutex_lock(&special), ENOTRECOVERABLE);
	EQ(pthread_mutex_trylock(&special), ENOTRECOVERABLE);
	EQ(pthread_mutex_destroy(&special), 0);
	init_special(PTHREAD_PRIO_NONE, 1, PTHREAD_MUTEX_ROBUST);
	die_with_it();
	EQ(pthread_mutex_trylock(&special), EOWNERDEAD);
	EQ(pthread_mutex_consistent(&special), 0);
	EQ(pthread_mutex_unlock(&special), 0);
	EQ(pthread_mutex_destroy(&special), 0);
}

static void *count(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&shared);
		counter++;
		pthread_mutex_unlock(&shared);
	}
	return arg;
}

static void exclusion(void)
{
	static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, count, NULL), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(counter, 8000);
	EQ(pthread_mutex_lock(&recursive), 0);
	EQ(pthread_mutex_lock(&recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), EPERM);
}

int main(void)
{
	sem_init(&locked, 0, 0);
	sem_init(&release, 0, 0);
	of_type(PTHREAD_MUTEX_DEFAULT, EDEADLK);
	of_type(PTHREAD_MUTEX_ERRORCHECK, EDEADLK);
	of_type(PTHREAD_MUTEX_RECURSIVE, 0);
	of_type(PTHREAD_MUTEX_NORMAL, -1);
	normal_deadlocks();
	attributes();
	protocols();
	robustness();
	exclusion();
	return test_end();
}
