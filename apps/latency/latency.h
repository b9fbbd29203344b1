/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the latency application share: the options, and one struct a measuring thread.
 */
#pragma once

#include "core/cpumask.h"
#include "core/thread.h"

#define THREADS_MAX   1024u
#define HISTOGRAM_MAX 1000000u /* cyclictest's own limit */
#define LOAD_MAX      1000u

struct options {
	unsigned threads;
	unsigned priority; /* 0: none, fair */
	int policy;
	uint64_t interval_ns;
	uint64_t loops;       /* 0: until the duration is over */
	uint64_t duration_ns; /* 0: until the loops are done */
	unsigned buckets;     /* 0: no histogram */
	bool nanoseconds;     /* latencies, printed and sent */
	bool bucket_is_ns;    /* else a microsecond */
	bool print_histogram;
	bool quiet;
	bool pinned; /* thread i on the i-th CPU of cpus, round and round */
	struct cpumask cpus;
	unsigned load; /* busy fair threads on each CPU that is measured */
};

/* 0; 1: --help was printed; -EINVAL after one line on stderr that names the option and what was
 * expected. */
int options_parse(struct options *o, int argc, char **argv);
/* "fifo", "rr", "other" */
const char *policy_name(int policy);

/* One measuring thread. Written by it alone, read by the reporter meanwhile: each word by itself is
 * whole. */
struct meter {
	uint64_t n;                              /* [a] wake-ups so far */
	uint64_t min_ns, act_ns, max_ns, sum_ns; /* [a] */
	uint64_t overflows;                      /* [a] */
	uint32_t *buckets;                       /* [a] each; NULL: no histogram */
	const struct options *options;           /* [i] */
	uint64_t start_ns;                       /* [i] of the first wake-up */
	uint64_t end_ns;       /* [i] no wake-up is programmed for then or later */
	struct thread *thread; /* [i] */
	unsigned cpu;          /* [i] where it is pinned */
	int32_t tid;           /* [i] */
} __aligned_to(ARCH_CACHE_LINE_BYTES);

/* report.c */
void report_begin(const struct options *o);
/* Latencies so far and progress, as records. */
void report_live(const struct options *o, const struct meter *meters, uint64_t now_ns);
void report_end(const struct options *o, const struct meter *meters);
