/* SPDX-License-Identifier: BSD-2-Clause */
/* SCHED_DEADLINE by Linux's calls: what is refused, periods by sched_yield(), SIGXCPU. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define MS 1000000ull

static volatile int overruns;

static int set(uint64_t runtime, uint64_t deadline, uint64_t period, uint64_t flags)
{
	struct sched_attr a = { .size = sizeof(a),
				.sched_policy = SCHED_DEADLINE,
				.sched_flags = flags,
				.sched_runtime = runtime,
				.sched_deadline = deadline,
				.sched_period = period };

	return sched_setattr(0, &a, 0);
}

static int back(void)
{
	struct sched_param p = { 0 };

	return sched_setscheduler(0, SCHED_OTHER, &p);
}

static void refusals(void)
{
	struct sched_param p = { 0 };
	struct sched_attr a;

	EQ(sched_get_priority_max(SCHED_DEADLINE), 0);
	FAILS(set(1000, 10 * MS, 10 * MS, 0), EINVAL);
	FAILS(set(10 * MS, 5 * MS, 20 * MS, 0), EINVAL);
	FAILS(set(MS, 10 * MS, 5 * MS, 0), EINVAL);
	FAILS(set(2000, 50000, 50000, 0), EINVAL);
	FAILS(set(MS, 10 * MS, 10 * MS, 64), EINVAL);
	FAILS(set(96 * MS, 100 * MS, 100 * MS, 0), EBUSY);
	FAILS(sched_setscheduler(0, SCHED_DEADLINE, &p), EINVAL);
	EQ(sched_getscheduler(0), SCHED_OTHER);
	EQ(set(2 * MS, 10 * MS, 0, SCHED_FLAG_RESET_ON_FORK), 0);
	EQ(sched_getscheduler(0), SCHED_DEADLINE);
	EQ(sched_getattr(0, &a, sizeof(a), 0), 0);
	EQ(a.sched_runtime, 2 * MS);
	EQ(a.sched_deadline, 10 * MS);
	EQ(a.sched_period, 10 * MS);
	EQ(a.sched_flags, SCHED_FLAG_RESET_ON_FORK);
	EQ(a.sched_priority, 0);
	EQ(back(), SCHED_DEADLINE);
	EQ(sched_getscheduler(0), SCHED_OTHER);
}

/* Each yield ends with the period. */
static void periods(void)
{
	struct timespec from, to;
	long long ns;

	EQ(set(2 * MS, 10 * MS, 10 * MS, 0), 0);
	sched_yield();
	from = now(CLOCK_MONOTONIC);
	for (int i = 0; i < 5; i++)
		sched_yield();
	to = now(CLOCK_MONOTONIC);
	ns = (to.tv_sec - from.tv_sec) * 1000000000ll + to.tv_nsec - from.tv_nsec;
	CHECK(ns > 49900000 && ns < 50100000);
	back();
}

static void count(int signo)
{
	overruns += signo == SIGXCPU;
}

/* 2 ms in 10, for 50 ms. */
static void signals(void)
{
	struct sigaction a = { .sa_handler = count };
	struct timespec end;

	EQ(sigaction(SIGXCPU, &a, NULL), 0);
	EQ(set(2 * MS, 10 * MS, 10 * MS, SCHED_FLAG_DL_OVERRUN), 0);
	end = in_ms(CLOCK_MONOTONIC, 50);
	for (;;) {
		struct timespec ts = now(CLOCK_MONOTONIC);

		if (ts.tv_sec > end.tv_sec || (ts.tv_sec == end.tv_sec && ts.tv_nsec > end.tv_nsec))
			break;
	}
	back();
	CHECK(overruns >= 4 && overruns <= 6);
}

static void *policy_of_child(void *arg)
{
	*(int *)arg = sched_getscheduler(0);
	return NULL;
}

/* A thread that it makes has none. */
static void children(void)
{
	pthread_t t;
	int policy = -1;

	EQ(set(2 * MS, 10 * MS, 10 * MS, 0), 0);
	EQ(pthread_create(&t, NULL, policy_of_child, &policy), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(policy, SCHED_OTHER);
	back();
}

static void subsets(void)
{
	cpu_set_t one, old;

	usleep(50000); /* what was admitted before is free again */
	EQ(sched_getaffinity(0, sizeof(old), &old), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	EQ(set(9 * MS, 10 * MS, 10 * MS, 0), 0);
	FAILS(set(96 * MS, 100 * MS, 100 * MS, 0), EBUSY);
	EQ(sched_setaffinity(0, sizeof(old), &old), 0);
	back();
}

int main(void)
{
	refusals();
	periods();
	signals();
	children();
	subsets();
	return test_end();
}
