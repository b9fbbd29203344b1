/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fairness on the target, with threads that really run: what `make fairness BOARD=` measures.
 *
 *   fairness SCENE=MILLISECONDS...      one after the other
 *
 * Nothing is judged here: records of kind "scene", "cpu" and "late" (docs/UART.md) carry what was
 * counted, and tools/fairness.py knows the limits. main() is a FIFO thread above all others on CPU 0
 * that sleeps while a scene runs; it creates the threads, so on one CPU all of them begin at once.
 * For virtual time (ICOUNT=1): a cycle is a ns there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/print.h"
#include "core/record.h"
#include "core/time.h"
#include "fairness.h"
#include "sched/eevdf.h"

typedef unsigned long long ull; /* for the formatter */

#define SLEEP_NS       NSEC_PER_MSEC /* of the sleeper */
#define SLEEPER_BLOCKS 4u            /* and what it does then: 20 us */
#define LATE_MAX       32768u
#define LATE_A_RECORD  32u
#define BLOCK_LOOPS    50u /* of 100 instructions */
/*
 * An emulator whose CPUs take turns ends a turn when some timer is due. So with several CPUs a FIFO
 * thread on each one wakes so often, for a moment; it costs all of them the same. And blocks are
 * shorter, since there are more gaps.
 */
#define TICK_NS       (500 * NSEC_PER_USEC)
#define TICKING_LOOPS 10u
/* On several CPUs hogs go on so long after they were sampled: each gap gets its other side. */
#define TAIL_NS (50 * NSEC_PER_MSEC)

struct scene {
	const char *name;
	unsigned cpus, hogs;
	bool all_nice;     /* hog i has nice -20 + i */
	uint64_t slice_ns; /* of the hogs; 0: the default */
	uint64_t from_ns;  /* stints count from here */
	bool sleeper;      /* one more thread, that sleeps most of the time */
	uint64_t sleeper_slice_ns;
	unsigned block_loops;
};

static const struct scene scenes[] = {
	{ .name = "hogs2", .cpus = 1, .hogs = 2 },
	{ .name = "hogs8", .cpus = 1, .hogs = 8 },
	{ .name = "hogs63", .cpus = 1, .hogs = 63 },
	{ .name = "nice40", .cpus = 1, .hogs = 40, .all_nice = true },
	{ .name = "slice",
	  .cpus = 1,
	  .hogs = 3,
	  .slice_ns = 700 * NSEC_PER_USEC,
	  .from_ns = 100 * NSEC_PER_MSEC,
	  .block_loops = 1 },
	{ .name = "sleeper", .cpus = 1, .hogs = 8, .sleeper = true },
	{ .name = "sleeper100us",
	  .cpus = 1,
	  .hogs = 8,
	  .sleeper = true,
	  .sleeper_slice_ns = 100 * NSEC_PER_USEC },
	{ .name = "hogs5on4", .cpus = 4, .hogs = 5, .block_loops = TICKING_LOOPS },
	{ .name = "hogs6on4", .cpus = 4, .hogs = 6, .block_loops = TICKING_LOOPS },
	{ .name = "hogs8on4", .cpus = 4, .hogs = 8, .block_loops = TICKING_LOOPS },
	{ .name = "hogs13on4", .cpus = 4, .hogs = 13, .block_loops = TICKING_LOOPS },
};

static uint32_t late_ns[LATE_MAX];
static unsigned nr_late;
static uint64_t start_ns[HOGS_MAX], end_ns[HOGS_MAX];

/* ---- threads --------------------------------------------------------------------------------- */

static void *sleeper_main(void *arg)
{
	struct hog *h = arg;

	while (hog_block(h)) {
		uint64_t due_ns = time_now_ns() + SLEEP_NS;

		thread_sleep_until(due_ns);
		if (nr_late < LATE_MAX)
			late_ns[nr_late++] = (uint32_t)(time_now_ns() - due_ns);
		for (unsigned i = 1; i < SLEEPER_BLOCKS; i++)
			hog_block(h);
	}
	return NULL;
}

/* Of real time, one on each CPU; see TICK_NS. */
static void *ticker_main(void *arg)
{
	struct hog *h = arg;
	uint64_t next_ns = time_now_ns() + TICK_NS + h->index * TICK_NS / cpu_count;

	do {
		thread_sleep_until(next_ns);
		next_ns += TICK_NS;
	} while (hog_look(h));
	return NULL;
}

static void create(const struct scene *s, unsigned i, void *(*entry)(void *), uint64_t slice_ns)
{
	struct hog *h = &hogs.hog[i];
	bool ticker = entry == ticker_main;
	struct cpumask only = { 0 };
	struct thread_attr attr = { .name = "hog",
				    .slice_ns = slice_ns,
				    .affinity = &cpu_online_mask };
	int err;

	if (ticker) {
		cpumask_set(&only, i - s->hogs);
		attr.affinity = &only;
		attr.policy = SCHED_FIFO;
		attr.priority = 50;
	}
	*h = (struct hog){ .index = i };
	h->nice = s->all_nice ? (int)i - 20 : 0;
	h->weight = eevdf_nice_weight[h->nice + 20];
	attr.nice = (int8_t)h->nice;
	err = thread_create(&h->thread, &attr, entry, h);
	if (err) {
		fprintf(stderr, "fairness: thread %u of %s: %s\n", i, s->name, strerror(-err));
		exit(1);
	}
}

static unsigned threads_of(const struct scene *s)
{
	return s->hogs + s->sleeper + (s->cpus > 1 ? s->cpus : 0);
}

/* All weights are known before the first hog runs. */
static void begin(const struct scene *s)
{
	memset(&hogs, 0, sizeof(hogs));
	nr_late = 0;
	hogs.block_loops = s->block_loops ? s->block_loops : BLOCK_LOOPS;
	hogs.slice_cycles = s->from_ns ? s->slice_ns : 0;
	for (unsigned i = 0; i < threads_of(s); i++)
		hogs.weight += eevdf_nice_weight[s->all_nice ? i : 20];
	for (unsigned i = 0; i < s->hogs; i++)
		create(s, i, hog_main, s->slice_ns);
	if (s->sleeper)
		create(s, s->hogs, sleeper_main, s->sleeper_slice_ns);
	for (unsigned i = 0; i < s->cpus && s->cpus > 1; i++)
		create(s, s->hogs + i, ticker_main, 0);
}

/* Stints begin to count; the one that was interrupted does not. */
static void begin_stints(const struct scene *s)
{
	for (unsigned i = 0; i < s->hogs; i++)
		hogs.hog[i].slice_error = 0;
	hogs.place[0].cut = true;
}

static void read_cpu_times(const struct scene *s, uint64_t *ns)
{
	for (unsigned i = 0; i < threads_of(s); i++)
		ns[i] = thread_runtime_ns(hogs.hog[i].thread);
}

static void run(const struct scene *s, uint64_t ns)
{
	uint64_t t0_ns;

	begin(s);
	t0_ns = time_now_ns();
	read_cpu_times(s, start_ns);
	if (s->from_ns)
		thread_sleep_until(t0_ns + s->from_ns);
	begin_stints(s);
	thread_sleep_until(t0_ns + ns);
	read_cpu_times(s, end_ns);
	for (unsigned i = 0; i < threads_of(s) && s->cpus == 1; i++)
		hog_note_lag(&hogs.hog[i], &hogs.place[0]);
	atomic_store_relaxed(&hogs.over, true);
	if (s->cpus > 1)
		thread_sleep_until(time_now_ns() + TAIL_NS);
	atomic_store_relaxed(&hogs.stop, true);
	for (unsigned i = 0; i < threads_of(s); i++)
		thread_join(hogs.hog[i].thread, NULL);
}

/* ---- records --------------------------------------------------------------------------------- */

static void send_scene(const struct scene *s, uint64_t ns)
{
	uint64_t gap_max = 0;

	for (unsigned i = 0; i < s->cpus; i++)
		gap_max = MAX(gap_max, hogs.place[i].gap_max);
	record_send("{\"r\":\"scene\",\"scene\":\"%s\",\"cpus\":%u,\"ns\":%llu,\"weight\":%llu,"
		    "\"gap_max\":%llu}",
		    s->name, s->cpus, (ull)ns, (ull)hogs.weight, (ull)gap_max);
}

static void send_thread(const struct scene *s, const struct hog *h)
{
	uint64_t gap = 0;

	for (unsigned i = 0; i < s->cpus; i++)
		gap += hogs.place[i].gap[h->index];
	record_send(
		"{\"r\":\"cpu\",\"scene\":\"%s\",\"i\":%u,\"nice\":%d,\"weight\":%u,"
		"\"other\":%u,\"cpu_ns\":%llu,\"blocks\":%llu,\"block\":%llu,\"own\":%llu,\"gap\":%llu,\"ran_ns\":%llu,"
		"\"stints\":%llu,\"slice_error\":%llu,\"lag_min\":%lld,\"lag_max\":%lld}",
		s->name, h->index, h->nice, h->weight, h->index >= s->hogs,
		(ull)(end_ns[h->index] - start_ns[h->index]), (ull)h->blocks, (ull)h->block,
		(ull)h->own, (ull)gap, (ull)h->ran_ns, (ull)h->stints, (ull)h->slice_error,
		(long long)h->lag_min, (long long)h->lag_max);
}

static void send_late(const struct scene *s)
{
	for (unsigned i = 0; i < nr_late;) {
		char list[LATE_A_RECORD * 11 + 1];
		size_t n = 0;

		for (unsigned k = 0; k < LATE_A_RECORD && i < nr_late; k++, i++)
			n += fmt_buf(list + n, sizeof(list) - n, k ? ",%u" : "%u", late_ns[i]);
		record_send("{\"r\":\"late\",\"scene\":\"%s\",\"ns\":[%s]}", s->name, list);
	}
}

static void report(const struct scene *s, uint64_t ns)
{
	send_scene(s, ns);
	for (unsigned i = 0; i < threads_of(s); i++)
		send_thread(s, &hogs.hog[i]);
	send_late(s);
	printf("fairness: %s: %llu ms\n", s->name, (ull)(ns / NSEC_PER_MSEC));
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* "hogs8=1000" */
static const struct scene *find(const char *arg, uint64_t *ns)
{
	const char *value = strchr(arg, '=');
	char *end;

	if (!value || value[1] < '0' || value[1] > '9')
		return NULL;
	*ns = strtoull(value + 1, &end, 10) * NSEC_PER_MSEC;
	for (unsigned i = 0; i < ARRAY_SIZE(scenes) && !*end; i++)
		if (strlen(scenes[i].name) == (size_t)(value - arg) &&
		    !strncmp(scenes[i].name, arg, (size_t)(value - arg)))
			return &scenes[i];
	return NULL;
}

static int usage(const char *arg)
{
	fprintf(stderr, "fairness: %s: expected SCENE=MILLISECONDS; scenes:", arg);
	for (unsigned i = 0; i < ARRAY_SIZE(scenes); i++)
		fprintf(stderr, " %s (%u CPU%s)", scenes[i].name, scenes[i].cpus,
			scenes[i].cpus > 1 ? "s" : "");
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct cpumask first = { 0 };
	uint64_t ns;

	for (int i = 1; i < argc; i++) {
		const struct scene *s = find(argv[i], &ns);

		if (!s || s->cpus != cpumask_count(&cpu_online_mask))
			return usage(argv[i]);
	}
	if (argc < 2)
		return usage("no argument");
	cpumask_set(&first, 0);
	if (thread_set_affinity(thread_current(), &first) ||
	    sched_set_policy(thread_current(), SCHED_FIFO, 99, 0))
		return 1;
	for (int i = 1; i < argc; i++) {
		const struct scene *s = find(argv[i], &ns);

		run(s, ns);
		report(s, ns);
	}
	return 0;
}
