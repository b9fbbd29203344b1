/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals, time-outs, wake-ups and cancellation against each other, at random and all at once: no
 * wait is lost, no unit of a semaphore is lost or made, every thread ends.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "test.h"

#define WORKERS 6
#define ROUNDS  200 /* unless the first argument says otherwise */

static sem_t units;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static mqd_t queue;
static volatile int running, handled;
static int in_hand; /* units that workers took */

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static struct timespec in_us(clockid_t clock_id, long us)
{
	struct timespec ts = now(clock_id);

	ts.tv_nsec += us * 1000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static void handler(int signo)
{
	int old, error = errno;

	(void)signo;
	if (__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED) % 16)
		return;
	/* A handler may wait; but it must not be cancelled within what it interrupts. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	usleep(20);
	pthread_setcancelstate(old, NULL);
	errno = error;
}

static void unlock(void *m)
{
	pthread_mutex_unlock(m);
}

static void wait_cond(uint32_t us)
{
	struct timespec at = in_us(CLOCK_REALTIME, us);

	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	pthread_cond_timedwait(&cond, &mutex, &at);
	pthread_cleanup_pop(1);
}

static void wait_queue(uint32_t us)
{
	struct timespec at = in_us(CLOCK_REALTIME, us);
	char text[8];

	mq_timedreceive(queue, text, sizeof(text), NULL, &at);
}

/* A unit is in hand from here until it is given back: cancelling comes before or after, not within. */
static void take_unit(uint32_t us)
{
	struct timespec at = in_us(CLOCK_MONOTONIC, us);
	int old;

	if (sem_clockwait(&units, CLOCK_MONOTONIC, &at))
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	__atomic_fetch_add(&in_hand, 1, __ATOMIC_SEQ_CST);
	CHECK(in_hand <= 3);
	__atomic_fetch_sub(&in_hand, 1, __ATOMIC_SEQ_CST);
	sem_post(&units);
	pthread_setcancelstate(old, NULL);
}

static void *work(void *arg)
{
	uint32_t state = (uint32_t)(uintptr_t)arg * 7919 + 1;

	for (;;) {
		uint32_t us = next(&state) % 300;

		switch (next(&state) % 5) {
		case 0:
			take_unit(us);
			break;
		case 1:
			wait_cond(us);
			break;
		case 2:
			wait_queue(us);
			break;
		case 3:
			usleep(us);
			break;
		case 4:
			pthread_testcancel();
			pthread_mutex_lock(&mutex);
			pthread_cond_broadcast(&cond);
			pthread_mutex_unlock(&mutex);
			break;
		}
	}
	return NULL;
}

static void *disturb(void *arg)
{
	pthread_t *t = arg;
	uint32_t state = 99;

	while (running) {
		uint32_t what = next(&state);

		pthread_kill(t[what % WORKERS], SIGUSR1);
		if (what % 3 == 0)
			pthread_cond_signal(&cond);
		if (what % 5 == 0)
			mq_send(queue, "x", 1, what % 7);
		usleep(what % 200); /* an emulated CPU that spins for a lock is slow */
	}
	return NULL;
}

static void *block_all_and_disturb(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	return disturb(arg);
}

static void *end_at_once(void *arg)
{
	return arg;
}

static void *look_at(void *arg)
{
	volatile pthread_t *id = arg;
	struct sched_param param;
	int policy;

	while (running) {
		int err = pthread_kill(*id, SIGUSR1);

		CHECK(err == 0 || err == ESRCH);
		err = pthread_getschedparam(*id, &policy, &param);
		CHECK(err == 0 || err == ESRCH);
	}
	return NULL;
}

/* A thread can be asked for before the call that makes it has returned, and after it was joined. */
static void ids_of_the_unborn(unsigned rounds)
{
	pthread_t id = pthread_self(), observer;

	running = 1;
	EQ(pthread_create(&observer, NULL, look_at, &id), 0);
	for (unsigned i = 0; i < rounds; i++) {
		EQ(pthread_create(&id, NULL, end_at_once, NULL), 0);
		EQ(pthread_join(id, NULL), 0);
	}
	running = 0;
	EQ(pthread_join(observer, NULL), 0);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : ROUNDS;
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 8 };
	pthread_t t[WORKERS], d;
	uint32_t state = 5;
	void *result;
	int value;

	sem_init(&units, 0, 3);
	queue = mq_open("/stress", O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
	signal(SIGUSR1, handler);
	ids_of_the_unborn(5 * rounds);
	for (uintptr_t i = 0; i < WORKERS; i++)
		EQ(pthread_create(&t[i], NULL, work, (void *)i), 0);
	running = 1;
	EQ(pthread_create(&d, NULL, block_all_and_disturb, t), 0);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned which = next(&state) % WORKERS;

		usleep(next(&state) % 500);
		EQ(pthread_cancel(t[which]), 0);
		EQ(pthread_join(t[which], &result), 0);
		CHECK(result == PTHREAD_CANCELED);
		EQ(pthread_create(&t[which], NULL, work, (void *)(uintptr_t)(i + 100)), 0);
	}
	running = 0;
	EQ(pthread_join(d, NULL), 0);
	for (int i = 0; i < WORKERS; i++) {
		EQ(pthread_cancel(t[i]), 0);
		EQ(pthread_join(t[i], &result), 0);
	}
	EQ(sem_getvalue(&units, &value), 0);
	EQ(value, 3);
	CHECK(handled > 0);
	return test_end();
}
