/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The utilisation average against the series it stands for, summed up in steps of 1 us in floating
 * point: random patterns of running and waiting, intervals from microseconds to seconds, slower
 * CPUs; and a thread's on the virtual machine, read while it runs, sleeps and shares its CPU.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/topology.h"
#include "sched/sched.h"
#include "sched/util.h"
#include "tests/host/host_seeds.h"

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

static uint64_t state = 88172645463325252ull;

static uint64_t pick(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

/* @us microseconds in which a share of @rate ran. */
static double series(double avg, uint64_t us, double rate)
{
	static double y;

	if (y == 0)
		y = exp2(-1.0 / 32000);
	for (uint64_t i = 0; i < us; i++)
		avg = avg * y + rate * 1024 * (1 - y);
	return avg;
}

static void follows_the_series(void **arg)
{
	(void)arg;
	for (unsigned round = 0; round < 300; round++) {
		double exact = (double)pick(1025);
		uint32_t avg = (uint32_t)exact << UTIL_SHIFT;
		unsigned capacity = round % 2 ? 1024 : 1 + (unsigned)pick(1024);

		for (unsigned i = 0; i < 50; i++) {
			static const uint64_t longest_us[] = { 10, 1000, 30000, 200000 };
			uint64_t us =
				1 + pick(longest_us[pick(ARRAY_SIZE(longest_us) - (i % 8 > 0))]);
			uint64_t ran_us = pick(3) ? pick(us + 1) : pick(2) * us;
			double rate = (double)ran_us / (double)us * capacity / 1024;

			avg = util_next(avg, us * US, ran_us * US, capacity);
			exact = series(exact, us, rate);
			if (fabs((double)avg / (1 << UTIL_SHIFT) - exact) >= 1)
				fail_msg("round %u, step %u: %f, exact %f", round, i,
					 (double)avg / (1 << UTIL_SHIFT), exact);
		}
	}
}

/* In one step or in many: the same, and nothing drifts. */
static void steps_do_not_matter(void **arg)
{
	(void)arg;
	for (unsigned round = 0; round < 2000; round++) {
		uint32_t start = (uint32_t)pick((1024u << UTIL_SHIFT) + 1), many = start, one;
		uint64_t n = 1 + pick(1000), step_ns = 1 + pick(3 * MS), ran_ns = pick(step_ns + 1);

		one = util_next(start, n * step_ns, n * ran_ns, 1024);
		for (uint64_t i = 0; i < n; i++)
			many = util_next(many, step_ns, ran_ns, 1024);
		assert_true(fabs((double)one - many) < (1 << UTIL_SHIFT));
	}
}

static void ends(void **arg)
{
	const uint32_t full = 1024u << UTIL_SHIFT;

	(void)arg;
	assert_int_equal(util_next(full, 0, 0, 1024), full);
	assert_int_equal(util_next(full, UINT64_MAX, 0, 1024), 0);
	assert_true(full - util_next(0, 3600ull * NSEC_PER_SEC, 3600ull * NSEC_PER_SEC, 1024) < 4);
	assert_true(abs((int)(util_next(full, UTIL_HALF_NS, 0, 1024) - full / 2)) < 4);
	assert_true(util_next(0, MS, 5 * MS, 1024) <= full); /* no more than all of it */
	for (uint64_t ns = 1; ns < 1ull << 40; ns = ns * 5 / 3 + 1)
		assert_true(util_next(full, ns, ns, 1024) <= full &&
			    util_next(full, ns, ns, 1024) > full - 8);
}

/* ---- threads on the machine ------------------------------------------------------------------ */

static void near_to(uint32_t util, double expected, const char *what)
{
	if (fabs((double)util - expected) > 12) {
		fprintf(stderr, "%s: %u, expected %.1f\n", what, (unsigned)util, expected);
		CHECK(!"utilisation");
	}
}

static void *pattern(void *arg)
{
	struct thread *self = thread_current();
	uint64_t half_ms = UTIL_HALF_NS / MS;
	double expected;

	for (unsigned i = 0; i < 40; i++)
		host_compute(10 * MS);
	near_to(thread_util(self), 1024, "after 400 ms of work");
	thread_sleep_until(time_now_ns() + half_ms * MS);
	near_to(thread_util(self), 512, "after a half-life of sleep");
	thread_sleep_until(time_now_ns() + NSEC_PER_SEC);
	near_to(thread_util(self), 0, "after a second of sleep");
	host_compute(2 * half_ms * MS);
	near_to(thread_util(self), 768, "after two half-lives of work");
	for (unsigned i = 0; i < 100; i++) {
		host_compute(2 * MS);
		thread_sleep_until(time_now_ns() + 6 * MS);
	}
	expected = 256 * exp2(-3.0 / 32); /* the mean of the saw-tooth, 3 ms after its middle */
	near_to(thread_util(self), expected, "2 ms in 8");
	return arg;
}

/* Alone, nobody looks while it runs or sleeps: block and wake-up alone must tell these apart. */
static void *long_turns(void *arg)
{
	struct thread *self = thread_current();

	thread_sleep_until(time_now_ns() + NSEC_PER_SEC);
	host_compute(200 * MS);
	thread_sleep_until(time_now_ns() + NSEC_PER_SEC);
	host_compute(32 * MS);
	near_to(thread_util(self), 512, "a half-life of work after a long sleep");
	return arg;
}

static void pattern_first(void *arg)
{
	struct thread *t = NULL;
	struct thread_attr attr = { .name = "pattern" };

	(void)arg;
	CHECK(!thread_create(&t, &attr, pattern, NULL) && !thread_join(t, NULL));
	CHECK(!thread_create(&t, &attr, long_turns, NULL));
	thread_sleep_until(time_now_ns() + 100 * MS);
	near_to(thread_util(t), 512 * exp2(-100.0 / 32), "a new one, asleep, read by another");
	CHECK(!thread_join(t, NULL));
}

static void of_threads(void **arg)
{
	struct scenario s = { .first = pattern_first, .cpus_from = 1, .cpus_to = 2, .seeds = 10 };

	(void)arg;
	run_seeds(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_series),
		cmocka_unit_test(steps_do_not_matter),
		cmocka_unit_test(ends),
		cmocka_unit_test(of_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
