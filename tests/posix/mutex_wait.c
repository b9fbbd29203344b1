/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals and cancellation against waits for a mutex: handlers run while it waits, and nothing of
 * that is seen outside; asynchronous cancellation ends it, deferred does not. Then at random, from
 * seeds: signals against hand-over and time-outs.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "test.h"

static pthread_mutex_t mutex;
static sem_t ready;
static volatile sig_atomic_t handled;

static void handler(int signo)
{
	(void)signo;
	handled = handled + 1;
}

/* The host may be busy: what has not come in 5 s does not come. */
static void wait_handled(void)
{
	for (int i = 0; i < 5000 && !handled; i++)
		usleep(1000);
	EQ(handled, 1);
}

static void *lock_it(void *arg)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	sem_post(&ready);
	EQ(arg ? pthread_mutex_timedlock(&mutex, &at) : pthread_mutex_lock(&mutex), 0);
	EQ(pthread_mutex_unlock(&mutex), 0);
	return NULL;
}

static void *lock_too_late(void *arg)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 400);

	(void)arg;
	sem_post(&ready);
	EQ(pthread_mutex_timedlock(&mutex, &at), ETIMEDOUT);
	return NULL;
}

static pthread_t waiting(void *(*entry)(void *), void *arg)
{
	pthread_t t;

	EQ(pthread_create(&t, NULL, entry, arg), 0);
	sem_wait(&ready);
	usleep(5000);
	return t;
}

static void signals_run(void *timed)
{
	pthread_t t;

	EQ(pthread_mutex_lock(&mutex), 0);
	t = waiting(lock_it, timed);
	for (int i = 1; i <= 3; i++) {
		handled = 0;
		EQ(pthread_kill(t, SIGUSR1), 0);
		wait_handled();
	}
	EQ(pthread_mutex_unlock(&mutex), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_mutex_lock(&mutex), 0);
	t = waiting(lock_too_late, NULL);
	handled = 0;
	EQ(pthread_kill(t, SIGUSR1), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(handled, 1);
	EQ(pthread_mutex_unlock(&mutex), 0);
}

/* ---- cancellation ---------------------------------------------------------------------------- */

static volatile int cleaned;

static void clean_up(void *arg)
{
	(void)arg;
	cleaned = 1;
}

static void *wait_cancelled(void *arg)
{
	pthread_setcanceltype(arg ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
	pthread_cleanup_push(clean_up, NULL);
	sem_post(&ready);
	EQ(pthread_mutex_lock(&mutex), 0);
	EQ(pthread_mutex_unlock(&mutex), 0);
	pthread_testcancel();
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancelling(void)
{
	void *result;
	pthread_t t;

	EQ(pthread_mutex_lock(&mutex), 0);
	cleaned = 0;
	t = waiting(wait_cancelled, "asynchronous");
	EQ(pthread_cancel(t), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED && cleaned);
	cleaned = 0;
	t = waiting(wait_cancelled, NULL);
	EQ(pthread_cancel(t), 0);
	usleep(5000);
	EQ(cleaned, 0);
	EQ(pthread_mutex_unlock(&mutex), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED && cleaned);
}

/* A waiter that goes to run its handler takes its loan along and brings it back. */
static void lending(void)
{
	struct sched_param high = { .sched_priority = 30 }, low = { .sched_priority = 10 },
			   fair = { 0 };
	pthread_t t;

	EQ(pthread_setschedparam(pthread_self(), SCHED_FIFO, &low), 0);
	EQ(pthread_mutex_lock(&mutex), 0);
	t = waiting(lock_it, NULL);
	EQ(pthread_setschedparam(t, SCHED_FIFO, &high), 0);
	handled = 0;
	EQ(pthread_kill(t, SIGUSR1), 0);
	wait_handled();
	EQ(pthread_mutex_unlock(&mutex), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &fair), 0);
}

/* ---- at random ------------------------------------------------------------------------------- */

#define THREADS 4
#define SIGNALS 150

static unsigned long inside, entered[THREADS];
static volatile int stop;

static unsigned random_of(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

static void *contend(void *arg)
{
	unsigned me = (unsigned)(long)arg % THREADS, seed = (unsigned)(long)arg;

	while (!stop) {
		struct timespec at = in_ms(CLOCK_MONOTONIC, 0);
		int err;

		at.tv_nsec = (at.tv_nsec + random_of(&seed)) % 1000000000;
		if (random_of(&seed) % 2)
			err = pthread_mutex_lock(&mutex);
		else
			err = pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at);
		CHECK(!err || err == ETIMEDOUT);
		if (err)
			continue;
		EQ(inside++, 0);
		for (volatile unsigned n = random_of(&seed) % 300; n; n--)
			;
		entered[me]++;
		if (random_of(&seed) % 8 == 0)
			usleep(random_of(&seed) % 50);
		EQ(--inside, 0);
		EQ(pthread_mutex_unlock(&mutex), 0);
	}
	return NULL;
}

static void at_random(unsigned seed)
{
	pthread_t t[THREADS];
	long sent = 0;

	handled = 0;
	stop = 0;
	for (long i = 0; i < THREADS; i++)
		EQ(pthread_create(&t[i], NULL, contend, (void *)(long)(seed * THREADS + i)), 0);
	for (int i = 0; i < SIGNALS; i++) {
		if (!pthread_kill(t[random_of(&seed) % THREADS], SIGUSR1))
			sent++;
		usleep(random_of(&seed) % 40);
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		EQ(pthread_join(t[i], NULL), 0);
	CHECK(handled > 0 && handled <= sent);
	EQ(pthread_mutex_trylock(&mutex), 0);
	EQ(pthread_mutex_unlock(&mutex), 0);
}

static void of_protocol(int protocol, int robust)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	EQ(pthread_mutexattr_setprotocol(&a, protocol), 0);
	EQ(pthread_mutexattr_setrobust(&a, robust), 0);
	EQ(pthread_mutexattr_setprioceiling(&a, 40), 0);
	EQ(pthread_mutex_init(&mutex, &a), 0);
	signals_run(NULL);
	signals_run("timed");
	cancelling();
	lending();
	for (unsigned seed = 1; seed <= 4; seed++)
		at_random(seed * 7919);
	EQ(pthread_mutex_destroy(&mutex), 0);
}

int main(void)
{
	struct sigaction act = { .sa_handler = handler };

	sem_init(&ready, 0, 0);
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	of_protocol(PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED);
	of_protocol(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
	of_protocol(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST);
	of_protocol(PTHREAD_PRIO_PROTECT, PTHREAD_MUTEX_STALLED);
	return test_end();
}
