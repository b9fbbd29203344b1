/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs here share: checks that say where they failed, and small steps. They are
 * ordinary POSIX programs: nothing of the kernel's is included, and they run elsewhere as well.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int test_checks, test_failures;

#define CHECK(expr)                                                              \
	do {                                                                     \
		test_checks++;                                                   \
		if (!(expr)) {                                                   \
			test_failures++;                                         \
			printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #expr); \
		}                                                                \
	} while (0)

#define EQ(expr, expected)                                                                         \
	do {                                                                                       \
		long long _got = (long long)(expr), _want = (long long)(expected);                 \
		test_checks++;                                                                     \
		if (_got != _want) {                                                               \
			test_failures++;                                                           \
			printf("FAILED %s:%d: %s is %lld, expected %s %lld\n", __FILE__, __LINE__, \
			       #expr, _got, #expected, _want);                                     \
		}                                                                                  \
	} while (0)

/* -1 with this errno. */
#define FAILS(expr, error)        \
	do {                      \
		errno = 0;        \
		EQ((expr), -1);   \
		EQ(errno, error); \
	} while (0)

static inline int test_end(void)
{
	printf("%d checks, %d failed\n", test_checks, test_failures);
	return test_failures ? 1 : 0;
}

static inline struct timespec now(clockid_t clock_id)
{
	struct timespec ts;

	clock_gettime(clock_id, &ts);
	return ts;
}

static inline struct timespec in_ms(clockid_t clock_id, long ms)
{
	struct timespec ts = now(clock_id);

	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static inline long ms_since(struct timespec from)
{
	struct timespec ts = now(CLOCK_MONOTONIC);

	return (ts.tv_sec - from.tv_sec) * 1000 + (ts.tv_nsec - from.tv_nsec) / 1000000;
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Until *flag, which another thread sets; a failure after 10 s. */
static inline void wait_for(volatile int *flag)
{
	struct timespec start = now(CLOCK_MONOTONIC);

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE) && ms_since(start) < 10000)
		sleep_ms(1);
	CHECK(*flag);
}

static const struct timespec bad_time = { 1, 1000000000 };
