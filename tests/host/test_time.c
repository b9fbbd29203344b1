/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conversions between counter and nanoseconds, against 128-bit arithmetic, for counters from 1 kHz
 * to 1 GHz: error below one nanosecond for a century, never backwards; a deadline in nanoseconds
 * becomes the first counter value that shows it, never an earlier one.
 *
 * Sources: core/time.c tests/host/host_stub.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/time.h"

typedef unsigned __int128 u128;

static const uint64_t rates_hz[] = {
	1000,     1001,     32768,    1000000,   4000000,   10000000,  19200000,
	24000000, 54000000, 62500000, 100000000, 333333333, 999999999, 1000000000,
};

static uint64_t random_u64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static uint64_t exact_ns(uint64_t cycles, uint64_t hz)
{
	return (uint64_t)((u128)cycles * NSEC_PER_SEC / hz);
}

static void cycles_become_ns(void **state)
{
	(void)state;
	for (unsigned r = 0; r < ARRAY_SIZE(rates_hz); r++) {
		uint64_t hz = rates_hz[r], century = hz * 3155760000ull;

		assert_int_equal(clock_init(hz), 0);
		assert_int_equal(cycles_to_ns(0), 0);
		for (unsigned i = 0; i < 20000; i++) {
			uint64_t cycles = random_u64() >> (random_u64() % 64), ns;

			if (cycles > century)
				continue;
			ns = cycles_to_ns(cycles);
			assert_true(exact_ns(cycles, hz) - ns <= 1);
			assert_true(cycles_to_ns(cycles + 1) >= ns);
		}
	}
}

static void a_deadline_is_never_early(void **state)
{
	(void)state;
	for (unsigned r = 0; r < ARRAY_SIZE(rates_hz); r++) {
		assert_int_equal(clock_init(rates_hz[r]), 0);
		assert_int_equal(ns_to_cycles(UINT64_MAX), UINT64_MAX);
		assert_int_equal(ns_to_cycles(0), 0);
		for (unsigned i = 0; i < 20000; i++) {
			uint64_t ns = random_u64() >> (1 + random_u64() % 63), cycles;

			if (ns > 3155760000ull * NSEC_PER_SEC)
				continue;
			cycles = ns_to_cycles(ns);
			assert_true(cycles_to_ns(cycles) >= ns);
			assert_true(!cycles || cycles_to_ns(cycles - 1) < ns);
		}
	}
}

static void rates_out_of_range(void **state)
{
	(void)state;
	assert_int_equal(clock_init(0), -EINVAL);
	assert_int_equal(clock_init(999), -EINVAL);
	assert_int_equal(clock_init(NSEC_PER_SEC + 1), -EINVAL);
	assert_int_equal(clock_init(UINT64_MAX), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cycles_become_ns),
		cmocka_unit_test(a_deadline_is_never_early),
		cmocka_unit_test(rates_out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
