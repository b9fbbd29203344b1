/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks and sleeping. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/times.h>
#include <unistd.h>

#include "test.h"

static volatile int handled;

static void handler(int signo)
{
	(void)signo;
	handled++;
}

static void reading(void)
{
	const clockid_t ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
				  CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW };
	struct timespec a, b;
	struct timeval tv;
	struct tms tms;

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		EQ(clock_gettime(ids[i], &a), 0);
		EQ(clock_gettime(ids[i], &b), 0);
		CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
		EQ(clock_getres(ids[i], &a), 0);
		EQ(a.tv_sec, 0);
		CHECK(a.tv_nsec > 0 && a.tv_nsec <= 1000000);
		EQ(clock_getres(ids[i], NULL), 0);
	}
	FAILS(clock_gettime(99, &a), EINVAL);
	FAILS(clock_getres(99, &a), EINVAL);
	/* The boards of this suite have a clock of the day, and the tests' machine a right one. */
	a = now(CLOCK_REALTIME);
	CHECK(a.tv_sec > 1700000000);
	EQ(gettimeofday(&tv, NULL), 0);
	CHECK(tv.tv_sec - a.tv_sec <= 1 && time(NULL) - a.tv_sec <= 1);
	CHECK(times(&tms) != (clock_t)-1);
	EQ(timespec_get(&a, TIME_UTC), TIME_UTC);
	EQ(timespec_get(&a, 99), 0);
}

static void setting(void)
{
	struct timespec was = now(CLOCK_REALTIME), ts = { 1000000000, 5 };
	struct timespec mono = now(CLOCK_MONOTONIC);

	EQ(clock_settime(CLOCK_REALTIME, &ts), 0);
	EQ(now(CLOCK_REALTIME).tv_sec / 10, 100000000);
	CHECK(ms_since(mono) < 5000);
	EQ(clock_settime(CLOCK_REALTIME, &was), 0);
	FAILS(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
	FAILS(clock_settime(99, &ts), EINVAL);
	FAILS(clock_settime(CLOCK_REALTIME, &bad_time), EINVAL);
	ts.tv_nsec = -1;
	FAILS(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
}

static void *burn(void *arg)
{
	struct timespec start = now(CLOCK_THREAD_CPUTIME_ID), ts;
	clockid_t id;

	do {
		ts = now(CLOCK_THREAD_CPUTIME_ID);
	} while ((ts.tv_sec - start.tv_sec) * 1000000000 + ts.tv_nsec - start.tv_nsec < 5000000);
	EQ(pthread_getcpuclockid(pthread_self(), &id), 0);
	EQ(clock_gettime(id, arg), 0);
	return NULL;
}

static void cpu_time(void)
{
	struct timespec before = now(CLOCK_PROCESS_CPUTIME_ID), after, thread;
	clockid_t id;
	pthread_t t;

	EQ(pthread_create(&t, NULL, burn, &thread), 0);
	EQ(pthread_join(t, NULL), 0);
	CHECK(thread.tv_sec || thread.tv_nsec >= 5000000);
	after = now(CLOCK_PROCESS_CPUTIME_ID);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >=
	      5000000);
	EQ(pthread_getcpuclockid(t, &id), ESRCH);
	EQ(clock_getcpuclockid(0, &id), 0);
	EQ(clock_gettime(id, &after), 0);
	EQ(clock_getcpuclockid(12345, &id), ESRCH);
}

static void sleeping(void)
{
	struct timespec start = now(CLOCK_MONOTONIC), ts = { 0, 20000000 }, left = { 7, 7 };
	struct timespec negative = { -1, 0 }, past = { 0, 0 };

	EQ(nanosleep(&ts, &left), 0);
	CHECK(ms_since(start) >= 20);
	FAILS(nanosleep(&bad_time, NULL), EINVAL);
	FAILS(nanosleep(&negative, NULL), EINVAL);
	start = now(CLOCK_MONOTONIC);
	EQ(usleep(10000), 0);
	CHECK(ms_since(start) >= 10);
	start = now(CLOCK_MONOTONIC);
	ts = in_ms(CLOCK_MONOTONIC, 20);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
	CHECK(ms_since(start) >= 19);
	ts = in_ms(CLOCK_REALTIME, 20);
	EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL), 0);
	EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL), 0);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL), 0);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad_time, NULL), EINVAL);
	EQ(clock_nanosleep(99, 0, &past, NULL), EINVAL);
	EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &past, NULL), EINVAL);
	EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &past, NULL), ENOTSUP);
}

static void *sleep_long(void *arg)
{
	struct timespec ts = { 10, 0 }, left = { 0, 0 };

	(void)arg;
	FAILS(nanosleep(&ts, &left), EINTR);
	CHECK(left.tv_sec >= 5 && left.tv_sec < 10);
	left.tv_sec = 0;
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &left), EINTR);
	CHECK(left.tv_sec >= 5);
	ts = in_ms(CLOCK_REALTIME, 10000);
	EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL), EINTR);
	CHECK(sleep(10) >= 5);
	return NULL;
}

static void interrupted(void)
{
	struct sigaction a;
	pthread_t t;

	memset(&a, 0, sizeof(a));
	a.sa_handler = handler;
	a.sa_flags = SA_RESTART; /* sleeping is never restarted */
	EQ(sigaction(SIGUSR1, &a, NULL), 0);
	EQ(pthread_create(&t, NULL, sleep_long, NULL), 0);
	for (int i = 1; i <= 4; i++) {
		sleep_ms(20);
		EQ(pthread_kill(t, SIGUSR1), 0);
		sleep_ms(20);
		EQ(handled, i);
	}
	EQ(pthread_join(t, NULL), 0);
}

/* Whoever sleeps until a time of day wakes when the clock is set past it. */
static struct timespec far;

static void *sleep_far(void *arg)
{
	EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &far, NULL), 0);
	return arg;
}

static void set_forward(void)
{
	struct timespec was = now(CLOCK_REALTIME), start = now(CLOCK_MONOTONIC);
	pthread_t t;

	far = was;
	far.tv_sec += 1000;
	EQ(pthread_create(&t, NULL, sleep_far, NULL), 0);
	sleep_ms(20);
	EQ(clock_settime(CLOCK_REALTIME, &far), 0);
	EQ(pthread_join(t, NULL), 0);
	CHECK(ms_since(start) < 10000);
	EQ(clock_settime(CLOCK_REALTIME, &was), 0);
}

/* The first look finds out what time it is, which takes time: no later one may be seconds ahead of it. */
static void first_look(void)
{
	time_t first = time(NULL);
	struct timespec second = now(CLOCK_REALTIME);

	CHECK(second.tv_sec * 1000l + second.tv_nsec / 1000000 - first * 1000l < 500);
	CHECK(difftime(second.tv_sec, first) == 0.0);
}

static void ticks(void)
{
	EQ(CLOCKS_PER_SEC, 1000000);
	EQ(sysconf(_SC_CLK_TCK), 100);
}

int main(void)
{
	first_look();
	ticks();
	reading();
	setting();
	cpu_time();
	sleeping();
	interrupted();
	set_forward();
	return test_end();
}
