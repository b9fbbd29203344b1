/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the fairness application share: busy threads that count what they do by the
 * cycle counter, so that the scheduler's account of CPU time is not its own witness.
 */
#pragma once

#include "core/cpu.h"
#include "core/thread.h"

#define HOGS_MAX 64u

/*
 * A busy thread. Its own fields are written by itself, in look(); those of stints and lag by
 * whoever comes after it on the CPU.
 */
struct hog {
	struct thread *thread;
	struct place *place; /* where it looked last; NULL: not yet */
	uint64_t blocks;     /* of work that are done */
	uint64_t own;        /* cycles between two looks with nobody else in between */
	uint64_t block;      /* the last one of these: how long a block is, with its look */
	uint64_t first_ns;   /* thread_runtime_ns() at its first look */
	uint64_t ran_ns;     /* the same when it was over, since the first look */
	bool sampled;
	uint64_t arrived;             /* cycles, when this stint began */
	uint64_t stints, slice_error; /* cycles by which a stint was no whole number of slices */
	int64_t lag_min, lag_max;     /* of work, in blocks * hogs.weight */
	/* given */
	unsigned index;
	int nice;
	uint32_t weight;
};

/* A CPU, as its hogs see it. Written there with irqs masked. */
struct place {
	struct hog *last; /* who looked last; NULL: nobody yet */
	uint64_t seen;    /* when, in cycles */
	uint64_t blocks;  /* done here, by all */
	bool cut;         /* this stint is no measure: it began before measuring did */
	uint64_t gap_max;
	/* between the last look of one and the first of another, counted for both */
	uint64_t gap[HOGS_MAX];
};

extern struct hogs {
	struct hog hog[HOGS_MAX];
	struct place place[ARCH_CPU_MAX];
	uint64_t weight;       /* of all */
	unsigned block_loops;  /* how long a block is */
	uint64_t slice_cycles; /* 0: slices are not looked at */
	bool over;             /* [a] each samples its CPU time at its next look */
	bool stop;             /* [a] each ends at its next look */
} hogs;

/* Work of a fixed number of instructions, and a look. False: it is time to end. Context: thread. */
bool hog_block(struct hog *h);
bool hog_look(struct hog *h);
/* A thread that does nothing else; the argument is its struct hog. */
void *hog_main(void *hog);
/* On one CPU, where nobody runs but the caller: the lag of @h as it stands now. */
void hog_note_lag(struct hog *h, const struct place *p);
