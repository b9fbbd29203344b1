/* SPDX-License-Identifier: BSD-2-Clause */
/* Semaphores, unnamed and named. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "test.h"

static sem_t sem;
static volatile int handled;

static void *post_later(void *s)
{
	sleep_ms(10);
	EQ(sem_post(s), 0);
	return NULL;
}

static void unnamed(void)
{
	struct timespec at, begin = now(CLOCK_MONOTONIC);
	pthread_t t;
	int value;

	FAILS(sem_init(&sem, 0, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
	EQ(sem_init(&sem, 0, 1), 0);
	EQ(sem_getvalue(&sem, &value), 0);
	EQ(value, 1);
	EQ(sem_wait(&sem), 0);
	FAILS(sem_trywait(&sem), EAGAIN);
	at = in_ms(CLOCK_REALTIME, 20);
	FAILS(sem_timedwait(&sem, &at), ETIMEDOUT);
	CHECK(ms_since(begin) >= 19);
	FAILS(sem_timedwait(&sem, &bad_time), EINVAL);
	at = in_ms(CLOCK_MONOTONIC, 5);
	FAILS(sem_clockwait(&sem, CLOCK_MONOTONIC, &at), ETIMEDOUT);
	FAILS(sem_clockwait(&sem, 99, &at), EINVAL);
	EQ(pthread_create(&t, NULL, post_later, &sem), 0);
	EQ(sem_wait(&sem), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(sem_post(&sem), 0);
	EQ(sem_timedwait(&sem, &bad_time), 0); /* not looked at: there is a unit */
	EQ(sem_getvalue(&sem, &value), 0);
	EQ(value, 0);
	EQ(sem_destroy(&sem), 0);
	FAILS(sem_destroy(&sem), EINVAL);
	FAILS(sem_wait(&sem), EINVAL);
	FAILS(sem_trywait(&sem), EINVAL);
	FAILS(sem_post(&sem), EINVAL);
	FAILS(sem_getvalue(&sem, &value), EINVAL);
	FAILS(sem_timedwait(&sem, &at), EINVAL);
	EQ(sem_init(&sem, 0, SEM_VALUE_MAX), 0);
	FAILS(sem_post(&sem), EOVERFLOW);
	EQ(sem_destroy(&sem), 0);
}

static void *wait_for_it(void *s)
{
	EQ(sem_wait(s), 0);
	return NULL;
}

static void busy(void)
{
	pthread_t t;

	EQ(sem_init(&sem, 0, 0), 0);
	EQ(pthread_create(&t, NULL, wait_for_it, &sem), 0);
	sleep_ms(20);
	FAILS(sem_destroy(&sem), EBUSY);
	EQ(sem_post(&sem), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(sem_destroy(&sem), 0);
}

static void handler(int signo)
{
	(void)signo;
	handled++;
}

static void *wait_interrupted(void *arg)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 10000);

	(void)arg;
	FAILS(sem_timedwait(&sem, &at), EINTR);
	return NULL;
}

/* A signal ends the wait, unless its handler was installed with SA_RESTART. */
static void interrupted(void)
{
	struct sigaction a;
	pthread_t t;

	memset(&a, 0, sizeof(a));
	a.sa_handler = handler;
	EQ(sigaction(SIGUSR1, &a, NULL), 0);
	EQ(sem_init(&sem, 0, 0), 0);
	EQ(pthread_create(&t, NULL, wait_interrupted, NULL), 0);
	sleep_ms(10);
	EQ(pthread_kill(t, SIGUSR1), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(handled, 1);
	a.sa_flags = SA_RESTART;
	EQ(sigaction(SIGUSR1, &a, NULL), 0);
	EQ(pthread_create(&t, NULL, wait_for_it, &sem), 0);
	sleep_ms(10);
	EQ(pthread_kill(t, SIGUSR1), 0);
	sleep_ms(10);
	EQ(handled, 2);
	EQ(sem_post(&sem), 0);
	EQ(pthread_join(t, NULL), 0);
}

static void named(void)
{
	char longest[NAME_MAX + 3];
	sem_t *a, *b;
	int value;

	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	errno = 0;
	CHECK(sem_open(longest, O_CREAT, 0600, 1) == SEM_FAILED && errno == ENAMETOOLONG);
	CHECK(sem_open("/none", 0) == SEM_FAILED && errno == ENOENT);
	CHECK(sem_open("/a", O_CREAT, 0600, (unsigned)SEM_VALUE_MAX + 1) == SEM_FAILED &&
	      errno == EINVAL);
	a = sem_open("/a", O_CREAT | O_EXCL, 0600, 3);
	CHECK(a != SEM_FAILED);
	CHECK(sem_open("/a", O_CREAT | O_EXCL, 0600, 3) == SEM_FAILED && errno == EEXIST);
	b = sem_open("/a", O_CREAT, 0600, 9);
	CHECK(a == b);
	EQ(sem_getvalue(b, &value), 0);
	EQ(value, 3);
	EQ(sem_close(b), 0);
	EQ(sem_wait(a), 0);
	EQ(sem_unlink("/a"), 0);
	FAILS(sem_unlink("/a"), ENOENT);
	FAILS(sem_unlink(longest), ENAMETOOLONG);
	EQ(sem_post(a), 0); /* still there for who has it open */
	b = sem_open("/a", O_CREAT, 0600, 1);
	CHECK(b != SEM_FAILED && b != a);
	EQ(sem_close(a), 0);
	FAILS(sem_close(a), EINVAL);
	EQ(sem_close(b), 0);
	b = sem_open("/a", 0);
	CHECK(b != SEM_FAILED); /* closed by all, and not unlinked: it stays */
	EQ(sem_close(b), 0);
	EQ(sem_unlink("/a"), 0);
	FAILS(sem_close(&sem), EINVAL);
}

int main(void)
{
	unnamed();
	busy();
	interrupted();
	named();
	return test_end();
}
