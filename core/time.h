/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time: 64-bit monotonic nanoseconds since boot of the counter, the same on every CPU. Above this
 * file nobody sees cycles of the counter. The conversions are one shift and one high multiply each:
 *   ns     = high64((cycles << time_base.shift) * time_base.ns_mult)         ns_mult    = 10^9 * 2^(64 - shift) / hz
 *   cycles = high64((ns << 1) * time_base.cycle_mult), then up to the tick at or after   cycle_mult = hz * 2^63 / 10^9
 */
#pragma once

#include "core/arch.h"

struct time_base {
	uint64_t shift;      /* [i] first, beside its factor: one pair of loads */
	uint64_t ns_mult;    /* [i] */
	uint64_t cycle_mult; /* [i] */
	uint64_t hz;         /* [i] 1 kHz .. 1 GHz */
} __aligned_to(32);          /* one base register serves all fields */

extern struct time_base time_base;

/* Sets up the conversion for a counter of @hz; -EINVAL outside 1 kHz..1 GHz. Context: boot. */
int clock_init(uint64_t hz);

static inline uint64_t high64(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> 64);
}

static inline uint64_t cycles_to_ns(uint64_t cycles)
{
	return high64(cycles << time_base.shift, time_base.ns_mult);
}

/*
 * The first counter value at which cycles_to_ns() is at least @ns. UINT64_MAX (never) stays
 * UINT64_MAX.
 */
static inline uint64_t ns_to_cycles(uint64_t ns)
{
	uint64_t cycles;

	if (ns >> 63)
		return UINT64_MAX;
	cycles = high64(ns << 1, time_base.cycle_mult);
	while (cycles_to_ns(cycles) < ns)
		cycles++;
	return cycles;
}

/* Context: any. */
static inline uint64_t time_now_ns(void)
{
	return cycles_to_ns(arch_counter());
}

/* The same as a call: files that are built for size share one copy. */
uint64_t time_now_ns_call(void);
#ifdef BUILT_SMALL
#define time_now_ns() time_now_ns_call()
#endif
