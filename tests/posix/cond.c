/* SPDX-License-Identifier: BSD-2-Clause */
/* Condition variables: waking, clocks, time-outs, errors, recursive mutexes. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "test.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, started = PTHREAD_COND_INITIALIZER;
static int waiting, tokens, woken;

static void *take_token(void *arg)
{
	pthread_mutex_lock(&mutex);
	waiting++;
	pthread_cond_signal(&started);
	while (!tokens)
		EQ(pthread_cond_wait(&cond, &mutex), 0);
	tokens--;
	woken++;
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void start(pthread_t t[4])
{
	waiting = woken = tokens = 0;
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, take_token, NULL), 0);
	pthread_mutex_lock(&mutex);
	while (waiting < 4)
		pthread_cond_wait(&started, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void waking(void)
{
	pthread_t t[4];

	start(t);
	EQ(pthread_cond_destroy(&cond), EBUSY);
	for (int i = 0; i < 4; i++) {
		pthread_mutex_lock(&mutex);
		tokens++;
		EQ(pthread_cond_signal(&cond), 0);
		pthread_mutex_unlock(&mutex);
	}
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(woken, 4);
	start(t);
	pthread_mutex_lock(&mutex);
	tokens = 4;
	EQ(pthread_cond_broadcast(&cond), 0);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(woken, 4);
}

static void time_out(clockid_t clock_id)
{
	pthread_condattr_t a;
	pthread_cond_t c;
	struct timespec begin = now(CLOCK_MONOTONIC), at;
	clockid_t got;

	EQ(pthread_condattr_init(&a), 0);
	EQ(pthread_condattr_setclock(&a, clock_id), 0);
	EQ(pthread_condattr_getclock(&a, &got), 0);
	EQ(got, clock_id);
	EQ(pthread_cond_init(&c, &a), 0);
	EQ(pthread_condattr_destroy(&a), 0);
	pthread_mutex_lock(&mutex);
	at = in_ms(clock_id, 30);
	EQ(pthread_cond_timedwait(&c, &mutex, &at), ETIMEDOUT);
	CHECK(ms_since(begin) >= 29);
	EQ(pthread_cond_timedwait(&c, &mutex, &at), ETIMEDOUT); /* it is past */
	EQ(pthread_cond_timedwait(&c, &mutex, &bad_time), EINVAL);
	at = in_ms(CLOCK_MONOTONIC, 10);
	EQ(pthread_cond_clockwait(&c, &mutex, CLOCK_MONOTONIC, &at), ETIMEDOUT);
	EQ(pthread_cond_clockwait(&c, &mutex, 99, &at), EINVAL);
	EQ(pthread_mutex_unlock(&mutex), 0); /* it is ours after each of them */
	EQ(pthread_cond_destroy(&c), 0);
}

static void errors(void)
{
	pthread_condattr_t a;
	pthread_cond_t c;
	struct timespec at = in_ms(CLOCK_REALTIME, 10);
	int value;

	EQ(pthread_cond_init(&c, NULL), 0);
	EQ(pthread_cond_wait(&c, &mutex), EPERM);
	EQ(pthread_cond_timedwait(&c, &mutex, &at), EPERM);
	EQ(pthread_cond_signal(&c), 0); /* nobody waits */
	EQ(pthread_cond_broadcast(&c), 0);
	EQ(pthread_cond_destroy(&c), 0);
	EQ(pthread_cond_destroy(&c), EINVAL);
	EQ(pthread_cond_signal(&c), EINVAL);
	EQ(pthread_cond_broadcast(&c), EINVAL);
	pthread_mutex_lock(&mutex);
	EQ(pthread_cond_wait(&c, &mutex), EINVAL);
	pthread_mutex_unlock(&mutex);
	EQ(pthread_condattr_init(&a), 0);
	EQ(pthread_condattr_setclock(&a, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
	EQ(pthread_condattr_getpshared(&a, &value), 0);
	EQ(value, PTHREAD_PROCESS_PRIVATE);
	EQ(pthread_condattr_setpshared(&a, 9), EINVAL);
	EQ(pthread_condattr_setpshared(&a, PTHREAD_PROCESS_SHARED), 0);
	EQ(pthread_condattr_getpshared(&a, &value), 0);
	EQ(value, PTHREAD_PROCESS_SHARED);
	EQ(pthread_condattr_destroy(&a), 0);
	EQ(pthread_condattr_destroy(&a), EINVAL);
	EQ(pthread_condattr_setclock(&a, CLOCK_REALTIME), EINVAL);
	EQ(pthread_cond_init(&c, &a), EINVAL);
}

static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int flag;

static void *set_flag(void *arg)
{
	pthread_mutex_lock(&recursive);
	flag = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&recursive);
	return arg;
}

/* Both locks are given up while it waits, and taken again. */
static void with_recursive_mutex(void)
{
	pthread_t t;

	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&recursive);
	EQ(pthread_create(&t, NULL, set_flag, NULL), 0);
	while (!flag)
		EQ(pthread_cond_wait(&cond, &recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), 0);
	EQ(pthread_mutex_unlock(&recursive), EPERM);
	EQ(pthread_join(t, NULL), 0);
}

static volatile int handled;

static void handler(int signo)
{
	(void)signo;
	handled = 1;
}

/* A handler runs, and at worst the wait ends without a reason: never with EINTR. */
static void *wait_through_signal(void *arg)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 10000);
	int err = 0;

	pthread_mutex_lock(&mutex);
	while (!handled && !err)
		err = pthread_cond_timedwait(&cond, &mutex, &at);
	EQ(err, 0);
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void with_signals(void)
{
	pthread_t t;

	signal(SIGUSR1, handler);
	EQ(pthread_create(&t, NULL, wait_through_signal, NULL), 0);
	sleep_ms(10);
	EQ(pthread_kill(t, SIGUSR1), 0);
	EQ(pthread_join(t, NULL), 0);
}

int main(void)
{
	waking();
	time_out(CLOCK_REALTIME);
	time_out(CLOCK_MONOTONIC);
	errors();
	with_recursive_mutex();
	with_signals();
	return test_end();
}
