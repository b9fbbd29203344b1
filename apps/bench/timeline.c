/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ties a clock with coarse ticks to the cycle counter, so that "when did the deadline pass" is
 * known to the cycle although the clock itself cannot tell.
 *
 * A pair (clock, cycles read right behind it) says that the clock had that value counter_overhead
 * cycles before the second number. Within one tick the pairs differ by where in the tick they were
 * taken; the earliest one possible is the beginning of the tick. So of many pairs at all phases the
 * least difference is the answer. Under an emulator with virtual time it is exact; on hardware it
 * is good to a few cycles.
 *
 * Callers: a thread that stays on one CPU, whose cycle counter is meant. No locks.
 */
#include "bench.h"

#define RATE_PART 100 /* the rate is taken over this part of a second */
#define PHASES    512

uint64_t counter_now(uint64_t *cycles)
{
	uint64_t now = arch_counter();

	*cycles = arch_cycles();
	return now;
}

/* To the nearest whole number if it is that but for the error of the measurement. */
static uint64_t rate(uint64_t cycles, uint64_t ticks)
{
	uint64_t ratio = (cycles << TIMELINE_SHIFT) / ticks, half = 1ull << (TIMELINE_SHIFT - 1);
	uint64_t whole = (ratio + half) >> TIMELINE_SHIFT << TIMELINE_SHIFT;
	uint64_t distance = whole > ratio ? whole - ratio : ratio - whole;

	return distance < ratio / 1000 ? whole : ratio;
}

/* A different number of instructions each time, to meet the clock at every phase of its tick. */
static __noinline void wait_a_little(unsigned i)
{
	for (volatile unsigned k = 0; k < i % 61; k++)
		;
}

void timeline_init(struct timeline *tl, uint64_t (*now)(uint64_t *cycles), uint64_t hz)
{
	uint64_t cycles, start_cycles, t, start = now(&start_cycles);

	do {
		t = now(&cycles);
	} while (t - start < hz / RATE_PART);
	tl->ratio = rate(cycles - start_cycles, t - start);
	tl->base = t;
	tl->base_cycles = cycles - counter_overhead;
	for (unsigned i = 0; i < PHASES; i++) {
		int64_t ahead;

		wait_a_little(i);
		t = now(&cycles);
		ahead = (int64_t)(timeline_cycles(tl, t) - (cycles - counter_overhead));
		if (ahead > 0)
			tl->base_cycles -= (uint64_t)ahead;
	}
}

uint64_t timeline_cycles(const struct timeline *tl, uint64_t clock_value)
{
	return tl->base_cycles + ((clock_value - tl->base) * tl->ratio >> TIMELINE_SHIFT);
}
