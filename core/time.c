/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock's conversion factors (see time.h). Set once at boot, before the second CPU starts; read
 * by everybody.
 */
#include "core/time.h"

struct time_base time_base;

uint64_t time_now_ns_call(void)
{
	return (time_now_ns)();
}

#define CLOCK_HZ_MIN 1000ull

int clock_init(uint64_t hz)
{
	unsigned shift = 1;

	if (hz < CLOCK_HZ_MIN || hz > NSEC_PER_SEC)
		return -EINVAL;
	while ((hz << shift) <= NSEC_PER_SEC)
		shift++;
	time_base.hz = hz;
	time_base.shift = shift;
	/*
	 * 10^9 * 2^(64 - shift) / hz, below 2^64 because hz << shift > 10^9. Divided in two steps:
	 * no 128-bit division on a board.
	 */
	time_base.ns_mult = 0;
	for (uint64_t i = 0, rest = NSEC_PER_SEC; i <= 64 - shift; i++, rest = rest % hz * 2)
		time_base.ns_mult = time_base.ns_mult * 2 + rest / hz;
	time_base.cycle_mult = 0;
	for (uint64_t i = 0, rest = hz; i <= 63; i++, rest = rest % NSEC_PER_SEC * 2)
		time_base.cycle_mult = time_base.cycle_mult * 2 + rest / NSEC_PER_SEC;
	return 0;
}
