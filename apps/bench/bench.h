/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the bench application share: samples, records, threads on a CPU, and two time
 * lines tied together.
 *
 * docs/LATENCY.md says for each row what is counted, from where to where.
 */
#pragma once

#include "core/thread.h"

/* ---- measure.c: samples and their record ----------------------------------------------------- */

#define SAMPLES_MAX 1024u

/* One sample is @operations operations that took @cycles. */
struct samples {
	unsigned n;
	struct {
		uint32_t operations;
		uint64_t cycles;
	} sample[SAMPLES_MAX];
};

/* Static: written by the thread that measures, read by main() once that thread has ended. */
extern struct samples samples;

/* What lies between two reads of the cycle counter in a row; taken off by sample_add(). Set by
 * measure_init(). */
extern uint64_t counter_overhead;

void measure_init(void);

static inline void sample_add(uint64_t operations, uint64_t cycles)
{
	samples.sample[samples.n].operations = (uint32_t)operations;
	samples.sample[samples.n++].cycles = cycles - counter_overhead;
}

/* Sends the record of row @name from the samples and empties them. Waits until the UART is silent,
 * so that no interrupt of its disturbs the next row. */
void row_send(const char *name);
/* A row of one value that is not in cycles. */
void row_send_value(const char *name, uint64_t value, const char *unit);

/* A thread on CPU @cpu; @priority 0: fair, else FIFO. Ends the run with a message when there is no
 * memory for it. */
struct thread *thread_on(unsigned cpu, unsigned priority, int nice, void *(*entry)(void *),
			 void *arg);
void thread_end(struct thread *t);

/* ---- timeline.c: when does a clock reach a value, in cycles? --------------------------------- */

/* cycles = base_cycles + (clock - base) * ratio / 2^TIMELINE_SHIFT, exact on an emulator whose
 * ratio is a whole number. */
#define TIMELINE_SHIFT 20

struct timeline {
	uint64_t base;
	uint64_t base_cycles;
	uint64_t ratio;
};

/* @now reads the clock, then arch_cycles() with nothing in between. Takes two hundredths of a
 * second. Irqs on; the thread stays on one CPU. */
void timeline_init(struct timeline *tl, uint64_t (*now)(uint64_t *cycles), uint64_t hz);
/* The cycle at which the clock becomes @clock_value. */
uint64_t timeline_cycles(const struct timeline *tl, uint64_t clock_value);
/* The kernel's own counter, for timeline_init(). */
uint64_t counter_now(uint64_t *cycles);

/* ---- the rows -------------------------------------------------------------------------------- */

void rows_yield(void);     /* yield.c */
void rows_tree(void);      /* tree.c */
void rows_sync(void);      /* sync.c */
void rows_interrupt(void); /* interrupt.c */
void rows_load(void);      /* load.c */
void rows_two_cpus(void);  /* cross.c: needs CPUs 0 and 1 */
void rows_boot(void);      /* main.c */
/* features.c of bench_posix, beside the rows of POSIX; the second one needs two CPUs */
void rows_features(void);
void rows_features_two(void);
