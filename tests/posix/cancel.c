/* SPDX-License-Identifier: BSD-2-Clause */
/* Cancellation: every blocking cancellation point, deferred and asynchronous, cleanup handlers, states and types. */
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "test.h"

static sem_t never, ready;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t sleeper;
static mqd_t empty, full;
static int cleaned;

static void block_sem_wait(void)
{
	sem_wait(&never);
}

static void block_sem_timedwait(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	sem_timedwait(&never, &at);
}

static void block_sem_clockwait(void)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 60000);

	sem_clockwait(&never, CLOCK_MONOTONIC, &at);
}

/* The mutex is ours again when the cleanup handler runs. */
static void unlock(void *m)
{
	EQ(pthread_mutex_unlock(m), 0);
}

static void block_cond_wait(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	for (;;)
		pthread_cond_wait(&cond, &mutex);
	pthread_cleanup_pop(1);
}

static void block_cond_timedwait(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	while (!pthread_cond_timedwait(&cond, &mutex, &at))
		;
	pthread_cleanup_pop(1);
}

static void block_join(void)
{
	pthread_join(sleeper, NULL);
}

static void block_nanosleep(void)
{
	struct timespec ts = { 60, 0 };

	nanosleep(&ts, NULL);
}

static void block_clock_nanosleep(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
}

static void block_sleep(void)
{
	sleep(60);
}

static void block_usleep(void)
{
	usleep(60000000);
}

static void block_pause(void)
{
	pause();
}

/* As main() has blocked it. */
static void sigusr2_blocked(void *arg)
{
	sigset_t set;

	EQ(pthread_sigmask(SIG_BLOCK, arg, &set), 0);
	EQ(sigismember(&set, SIGUSR2), 1);
}

static void block_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_cleanup_push(sigusr2_blocked, NULL);
	sigsuspend(&none);
	pthread_cleanup_pop(0);
}

static void block_sigwait(void)
{
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigwait(&set, &signo);
}

static void block_sigtimedwait(void)
{
	struct timespec ts = { 60, 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigtimedwait(&set, NULL, &ts);
}

static void block_mq_receive(void)
{
	char text[16];

	mq_receive(empty, text, sizeof(text), NULL);
}

static void block_mq_send(void)
{
	mq_send(full, "x", 1, 0);
}

static void block_testcancel(void)
{
	for (;;)
		pthread_testcancel();
}

static void (*const blocks[])(void) = {
	block_sem_wait,       block_sem_timedwait, block_sem_clockwait, block_cond_wait,
	block_cond_timedwait, block_join,          block_nanosleep,     block_clock_nanosleep,
	block_sleep,          block_usleep,        block_pause,         block_sigsuspend,
	block_sigwait,        block_sigtimedwait,  block_mq_receive,    block_mq_send,
	block_testcancel,
};

static void count_cleaned(void *order)
{
	EQ((long)order, 2 - cleaned);
	cleaned++;
}

static void *blocked(void *arg)
{
	pthread_cleanup_push(count_cleaned, (void *)1);
	pthread_cleanup_push(count_cleaned, (void *)2);
	sem_post(&ready);
	blocks[(long)arg]();
	printf("FAILED: number %ld came back\n", (long)arg);
	test_failures++;
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

/* While it blocks, and just before it does. */
static void each_point(long which, long delay_ms)
{
	pthread_t t;
	void *result;

	cleaned = 0;
	EQ(pthread_create(&t, NULL, blocked, (void *)which), 0);
	sem_wait(&ready);
	if (delay_ms)
		sleep_ms(delay_ms);
	EQ(pthread_cancel(t), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(cleaned, 2);
}

static void *sleep_long(void *arg)
{
	sleep(3600);
	return arg;
}

/* ---- states and types ------------------------------------------------------------------------ */

static volatile int step;

static void *disabled_first(void *arg)
{
	int old;

	EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
	EQ(old, PTHREAD_CANCEL_ENABLE);
	sem_post(&ready);
	wait_for(&step);
	pthread_testcancel();
	sleep_ms(1);
	step = 2;
	EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old), 0);
	EQ(old, PTHREAD_CANCEL_DISABLE);
	step = 3; /* deferred: it goes on to a cancellation point */
	pthread_testcancel();
	step = 4;
	return arg;
}

static void *spin_for_ever(void *arg)
{
	int old;
	volatile double x = 1;

	pthread_cleanup_push(count_cleaned, (void *)2);
	EQ(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old), 0);
	EQ(old, PTHREAD_CANCEL_DEFERRED);
	sem_post(&ready);
	for (;;)
		x = x * 1.000001;
	pthread_cleanup_pop(0);
	return arg;
}

static void *cancel_self(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cancel(pthread_self());
	test_failures++;
	return arg;
}

static void *exit_with_cleanup(void *arg)
{
	pthread_cleanup_push(count_cleaned, (void *)2);
	pthread_cleanup_push(count_cleaned, (void *)9);
	pthread_cleanup_pop(0);
	pthread_exit((void *)77);
	pthread_cleanup_pop(0);
	return arg;
}

static void states(void)
{
	pthread_t t;
	void *result;

	EQ(pthread_setcancelstate(17, NULL), EINVAL);
	EQ(pthread_setcanceltype(17, NULL), EINVAL);
	EQ(pthread_create(&t, NULL, disabled_first, NULL), 0);
	sem_wait(&ready);
	EQ(pthread_cancel(t), 0);
	sleep_ms(5);
	step = 1;
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(step, 3);
	cleaned = 0;
	EQ(pthread_create(&t, NULL, spin_for_ever, NULL), 0);
	sem_wait(&ready);
	EQ(pthread_cancel(t), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(cleaned, 1);
	EQ(pthread_create(&t, NULL, cancel_self, NULL), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	cleaned = 0;
	EQ(pthread_create(&t, NULL, exit_with_cleanup, NULL), 0);
	EQ(pthread_join(t, &result), 0);
	EQ((long)result, 77);
	EQ(cleaned, 1);
	EQ(pthread_cancel(t), ESRCH);
}

/* A thread whose join was cancelled can still be joined; a mutex is no cancellation point. */
static void *lock_it(void *arg)
{
	sem_post(&ready);
	EQ(pthread_mutex_lock(&mutex), 0);
	step = 10;
	EQ(pthread_mutex_unlock(&mutex), 0);
	pthread_testcancel();
	step = 11;
	return arg;
}

static void not_a_point(void)
{
	pthread_t t;
	void *result;

	pthread_mutex_lock(&mutex);
	EQ(pthread_create(&t, NULL, lock_it, NULL), 0);
	sem_wait(&ready);
	sleep_ms(5);
	EQ(pthread_cancel(t), 0);
	sleep_ms(5);
	pthread_mutex_unlock(&mutex);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(step, 10);
}

int main(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 16 };
	void *result;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sem_init(&never, 0, 0);
	sem_init(&ready, 0, 0);
	empty = mq_open("/empty", O_CREAT | O_RDWR, 0600, &attr);
	full = mq_open("/full", O_CREAT | O_RDWR, 0600, &attr);
	CHECK(empty != -1 && full != -1);
	EQ(mq_send(full, "x", 1, 0), 0);
	EQ(pthread_create(&sleeper, NULL, sleep_long, NULL), 0);
	for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		each_point(i, 3);
		each_point(i, 0);
	}
	states();
	not_a_point();
	EQ(pthread_cancel(sleeper), 0);
	EQ(pthread_join(sleeper, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(mq_close(empty), 0);
	EQ(mq_unlink("/empty"), 0);
	return test_end();
}
