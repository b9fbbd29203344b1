/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the latency application says: records for the host while it measures (docs/UART.md), and at
 * the end the lines and the histogram in cyclictest's layout.
 *
 * Called by the main thread, which is fair and therefore below what it reports on. The meters are
 * read while their threads write them: each number is whole, but a minimum may be one wake-up older
 * than the average beside it. At the end the threads are gone and all agrees.
 */
#include "latency.h"

#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/print.h"
#include "core/record.h"
#include "core/time.h"
#include "sched/sched.h"

typedef unsigned long long ull; /* for printf */

struct figures {
	uint64_t n, min, act, avg, max;
};

static uint64_t shown(const struct options *o, uint64_t ns)
{
	return o->nanoseconds ? ns : ns / NSEC_PER_USEC;
}

static struct figures figures_of(const struct options *o, const struct meter *m)
{
	uint64_t n = atomic_load_relaxed(&m->n), sum_ns = atomic_load_relaxed(&m->sum_ns);
	uint64_t min_ns = atomic_load_relaxed(&m->min_ns);

	return (struct figures){
		.n = n,
		.min = min_ns == UINT64_MAX ? 0 : shown(o, min_ns),
		.act = shown(o, atomic_load_relaxed(&m->act_ns)),
		.avg = n ? shown(o, sum_ns / n) : 0,
		.max = shown(o, atomic_load_relaxed(&m->max_ns)),
	};
}

static void send_meter(const struct options *o, const struct meter *m, unsigned t)
{
	struct figures f = figures_of(o, m);

	record_send(
		"{\"r\":\"lat\",\"t\":%u,\"tid\":%d,\"cpu\":%u,\"prio\":%u,\"interval_us\":%llu,\"n\":%llu,\"min\":%llu,"
		"\"act\":%llu,\"avg\":%llu,\"max\":%llu,\"unit\":\"%s\"}",
		t, (int)m->tid, m->cpu, o->priority, (ull)(o->interval_ns / NSEC_PER_USEC),
		(ull)f.n, (ull)f.min, (ull)f.act, (ull)f.avg, (ull)f.max,
		o->nanoseconds ? "ns" : "us");
}

static void send_info(const char *key, const char *value)
{
	printf("# %s: %s\n", key, value);
	record_send("{\"r\":\"info\",\"key\":\"%s\",\"value\":\"%s\"}", key, value);
}

void report_begin(const struct options *o)
{
	char text[64];

	fmt_buf(text, sizeof(text), "%llu us", (ull)(FAIR_SLICE_NS / NSEC_PER_USEC));
	send_info("default slice", text);
	fmt_buf(text, sizeof(text), "%llu Hz", (ull)time_base.hz);
	send_info("timer frequency", text);
	send_info("tick source", arch_timer_name());
	fmt_buf(text, sizeof(text), "%s, priority %u", policy_name(o->policy), o->priority);
	send_info("policy", text);
	fmt_buf(text, sizeof(text), "%u busy fair threads on each CPU", o->load);
	if (o->load)
		send_info("load", text);
}

void report_live(const struct options *o, const struct meter *meters, uint64_t now_ns)
{
	uint64_t done = atomic_load_relaxed(&meters->n), total = o->loops;

	if (o->duration_ns && now_ns > meters->start_ns) {
		done = MIN(now_ns - meters->start_ns, o->duration_ns) / NSEC_PER_MSEC;
		total = o->duration_ns / NSEC_PER_MSEC;
	}
	for (unsigned t = 0; t < o->threads; t++)
		send_meter(o, &meters[t], t);
	record_send("{\"r\":\"progress\",\"done\":%llu,\"total\":%llu,\"what\":\"%s\"}", (ull)done,
		    (ull)total, o->duration_ns ? "ms" : "wake-ups");
}

/* ---- the histogram --------------------------------------------------------------------------- */

#define BUCKETS_PER_RECORD 48 /* of up to ten digits each */

/* The next non-empty bucket at or after @from; o->buckets when there is none. */
static unsigned next_bucket(const struct options *o, const struct meter *m, unsigned from)
{
	while (from < o->buckets && !m->buckets[from])
		from++;
	return from;
}

/* One record of buckets from @from on, up to the next empty ones; returns the first that is not in
 * it. */
static unsigned send_buckets(const struct options *o, const struct meter *m, unsigned t,
			     unsigned from)
{
	char text[RECORD_MAX_BYTES];
	int n = fmt_buf(text, sizeof(text),
			"{\"r\":\"hist\",\"t\":%u,\"unit\":\"%s\",\"from\":%u,\"counts\":[", t,
			o->bucket_is_ns ? "ns" : "us", from);
	unsigned i = from;

	do {
		n += fmt_buf(text + n, sizeof(text) - (size_t)n, "%s%u", i == from ? "" : ",",
			     m->buckets[i]);
		i++;
	} while (i < o->buckets && i < from + BUCKETS_PER_RECORD && m->buckets[i]);
	n += fmt_buf(text + n, sizeof(text) - (size_t)n, "]}");
	console_record(text, (size_t)n);
	return i;
}

static void send_histogram(const struct options *o, const struct meter *m, unsigned t)
{
	unsigned i = next_bucket(o, m, 0);

	while (i < o->buckets)
		i = next_bucket(o, m, send_buckets(o, m, t, i));
	if (m->n == m->overflows) /* the thread has a column all the same */
		record_send("{\"r\":\"hist\",\"t\":%u,\"unit\":\"%s\",\"from\":0,\"counts\":[0]}",
			    t, o->bucket_is_ns ? "ns" : "us");
	record_send("{\"r\":\"histend\",\"t\":%u,\"overflows\":%llu,\"total\":%llu,\"size\":%u}", t,
		    (ull)m->overflows, (ull)m->n, o->buckets);
}

static void print_rows(const struct options *o, const struct meter *meters)
{
	for (unsigned row = 0; row < o->buckets; row++) {
		printf("%06d ", row);
		for (unsigned t = 0; t < o->threads; t++)
			printf("%s%06u", t ? "\t" : "", (unsigned)meters[t].buckets[row]);
		printf("\n");
	}
}

static void print_histogram(const struct options *o, const struct meter *meters)
{
	printf("# Histogram\n");
	print_rows(o, meters);
	printf("# Total:");
	for (unsigned t = 0; t < o->threads; t++)
		printf(" %09llu", (ull)(meters[t].n - meters[t].overflows));
	printf("\n# Min Latencies:");
	for (unsigned t = 0; t < o->threads; t++)
		printf(" %05llu", (ull)figures_of(o, &meters[t]).min);
	printf("\n# Avg Latencies:");
	for (unsigned t = 0; t < o->threads; t++)
		printf(" %05llu", (ull)figures_of(o, &meters[t]).avg);
	printf("\n# Max Latencies:");
	for (unsigned t = 0; t < o->threads; t++)
		printf(" %05llu", (ull)figures_of(o, &meters[t]).max);
	printf("\n# Histogram Overflows:");
	for (unsigned t = 0; t < o->threads; t++)
		printf(" %05llu", (ull)meters[t].overflows);
	printf("\n");
}

static void print_meter(const struct options *o, const struct meter *m, unsigned t)
{
	const char *layout =
		o->nanoseconds ?
			"T:%2u (%5d) P:%2u I:%llu C:%7llu Min:%7llu Act:%8llu Avg:%8llu Max:%8llu\n" :
			"T:%2u (%5d) P:%2u I:%llu C:%7llu Min:%7llu Act:%5llu Avg:%5llu Max:%8llu\n";
	struct figures f = figures_of(o, m);

	printf(layout, t, (int)m->tid, o->priority, (ull)(o->interval_ns / NSEC_PER_USEC), (ull)f.n,
	       (ull)f.min, (ull)f.act, (ull)f.avg, (ull)f.max);
}

void report_end(const struct options *o, const struct meter *meters)
{
	for (unsigned t = 0; t < o->threads; t++) {
		send_meter(o, &meters[t], t);
		if (o->buckets)
			send_histogram(o, &meters[t], t);
	}
	if (o->buckets && o->print_histogram)
		print_histogram(o, meters);
	for (unsigned t = 0; t < o->threads; t++)
		print_meter(o, &meters[t], t);
}
