/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The masked-stretch meter: how long a CPU keeps interrupts masked, at most, and where. It is in
 * images built with METER=1 and in no other: there, core/meter_inline.h puts counting functions
 * before those that mask and unmask, and the linker puts others before the upcalls of interrupts.
 *
 * A stretch begins where a CPU with interrupts on masks them or takes an interrupt, and ends where
 * it unmasks them; a switch within goes on with it. One that waits for an interrupt (idle) ends
 * there, and the next begins when it comes. Time in firmware is taken off and kept apart. What a CPU
 * does before it first unmasks, and after it goes off or panics, belongs to no stretch.
 *
 * Unit: what arch_cycles() counts; under an emulator with virtual time, instructions. There the
 * CPUs run in turns on one clock: a stretch with another CPU's turn inside is counted as discarded.
 */
#pragma once

#include "core/base.h"

#ifndef MASK_METER
#define MASK_METER 0
#endif

struct meter_stretch {
	uint64_t cycles;   /* without firmware */
	uint64_t firmware; /* cycles in it */
	uintptr_t begin;   /* the code that masked; for an interrupt, its upcall */
	uintptr_t end;     /* the code that unmasked */
};

struct meter_total {
	uint64_t stretches; /* longer than METER_FLOOR_CYCLES */
	uint64_t discarded;
	struct meter_stretch firmware; /* the one with the most time in firmware */
};

#define METER_FLOOR_CYCLES 300u /* shorter ones are not looked at */
#define METER_SITES        24u  /* kept for each CPU: by pairs of begin and end, the longest */

#if MASK_METER
/* Around a call of firmware. Context: any. */
void meter_firmware_begin(void);
void meter_firmware_end(void);
#else
static inline void meter_firmware_begin(void)
{
}
static inline void meter_firmware_end(void)
{
}
#endif

/* Forgets all that was seen. Context: thread; nobody reads meanwhile. */
void meter_reset(void);
/*
 * The longest of each pair of begin and end, of all CPUs together, longest first; at most @max.
 * How many. Context: thread; what other CPUs do meanwhile may be missed.
 */
unsigned meter_read(struct meter_stretch *out, unsigned max, struct meter_total *total);
