/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How late do threads wake up? cyclictest for Fairlead: each measuring thread sleeps until absolute
 * times one interval apart and takes the difference between the clock when it runs and the time it
 * asked for.
 *
 * The measuring loop neither allocates nor prints: it writes its own meter (latency.h). The main
 * thread, which is fair and runs when nothing else has to, sends what the meters show four times a
 * second. The first wake-ups of the threads are spread evenly over one interval, so that threads on
 * different CPUs do not measure each other's use of memory, or of an emulator's one core.
 * --load starts busy fair threads, pinned to each measured CPU; they stop when the last measuring
 * thread has ended.
 */
#include "latency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/time.h"

#define REPORT_NS    (250 * NSEC_PER_MSEC)
#define LEAD_TIME_NS (20 * NSEC_PER_MSEC) /* for the threads to start before the first wake-up */

static struct options options;
static unsigned running; /* [a] measuring threads */
static bool load_ends;   /* [a] */

/* ---- measuring ------------------------------------------------------------------------------- */

/* The owner alone writes; atomic so that the reporter never sees half a number. */
static void count(struct meter *m, uint64_t late_ns)
{
	uint64_t bucket = m->options->bucket_is_ns ? late_ns : late_ns / NSEC_PER_USEC;

	atomic_store_relaxed(&m->act_ns, late_ns);
	if (late_ns < m->min_ns)
		atomic_store_relaxed(&m->min_ns, late_ns);
	if (late_ns > m->max_ns)
		atomic_store_relaxed(&m->max_ns, late_ns);
	atomic_store_relaxed(&m->sum_ns, m->sum_ns + late_ns);
	atomic_store_relaxed(&m->n, m->n + 1);
	if (!m->buckets)
		return;
	if (bucket < m->options->buckets)
		m->buckets[bucket]++;
	else
		m->overflows++;
}

/* A wake-up that came later than the next one was due leaves those between out, as cyclictest does.
 */
static uint64_t next_after(const struct meter *m, uint64_t next_ns, uint64_t now_ns)
{
	next_ns += m->options->interval_ns;
	while (next_ns < now_ns)
		next_ns += m->options->interval_ns;
	return next_ns;
}

static void *measure(void *arg)
{
	struct meter *m = arg;
	uint64_t next_ns = m->start_ns, loops = m->options->loops;

	while (next_ns < m->end_ns && (!loops || m->n < loops)) {
		uint64_t now_ns;

		thread_sleep_until(next_ns);
		now_ns = time_now_ns();
		count(m, now_ns - next_ns);
		next_ns = next_after(m, next_ns, now_ns);
	}
	atomic_fetch_add_acq_rel(&running, -1u);
	return NULL;
}

static void *be_busy(void *arg)
{
	(void)arg;
	while (!atomic_load_relaxed(&load_ends))
		;
	return NULL;
}

/* ---- setting up ------------------------------------------------------------------------------ */

/* The @i-th CPU of @mask, counted round and round. */
static unsigned nth_cpu(const struct cpumask *mask, unsigned i)
{
	i %= cpumask_count(mask);
	cpumask_for_each(cpu, mask)
		if (i-- == 0)
			return cpu;
	return 0;
}

static int start_thread(struct thread **out, const char *name, unsigned i,
			const struct cpumask *cpus, bool load, void *(*entry)(void *), void *arg)
{
	char text[THREAD_NAME_BYTES];
	struct thread_attr attr = { .name = text, .affinity = cpus };
	int err;

	snprintf(text, sizeof(text), "%s/%u", name, i);
	if (!load) {
		attr.policy = (uint8_t)options.policy;
		attr.priority = (uint8_t)options.priority;
	}
	err = thread_create(out, &attr, entry, arg);
	if (err)
		fprintf(stderr, "latency: thread %s: %s\n", text, strerror(-err));
	return err;
}

static int meter_start(struct meter *m, unsigned i, uint64_t start_ns)
{
	struct cpumask cpus = options.cpus;

	*m = (struct meter){ .options = &options, .min_ns = UINT64_MAX };
	m->cpu = nth_cpu(&options.cpus, i);
	if (options.pinned) {
		cpumask_clear(&cpus);
		cpumask_set(&cpus, m->cpu);
	}
	m->start_ns = start_ns + options.interval_ns * i / options.threads;
	m->end_ns = options.duration_ns ? start_ns + options.duration_ns : UINT64_MAX / 2;
	if (options.buckets) {
		m->buckets = calloc(options.buckets, sizeof(*m->buckets));
		if (!m->buckets) {
			fprintf(stderr,
				"latency: no memory for a histogram of %u buckets; expected a smaller -h\n",
				options.buckets);
			return -ENOMEM;
		}
	}
	atomic_fetch_add_acq_rel(&running, 1u);
	if (start_thread(&m->thread, "latency", i, &cpus, false, measure, m)) {
		atomic_fetch_add_acq_rel(&running, -1u);
		return -EAGAIN;
	}
	m->tid = thread_tid(m->thread);
	return 0;
}

/* The CPUs that threads are measured on: with fewer threads than CPUs, not all. */
static struct cpumask measured_cpus(void)
{
	struct cpumask cpus = options.cpus;

	if (!options.pinned)
		return cpus;
	cpumask_clear(&cpus);
	for (unsigned i = 0; i < options.threads; i++)
		cpumask_set(&cpus, nth_cpu(&options.cpus, i));
	return cpus;
}

/* Detached: they end by themselves when load_ends is set. */
static int load_start(void)
{
	struct cpumask cpus = measured_cpus();
	int err = 0;

	cpumask_for_each(cpu, &cpus)
		for (unsigned i = 0; i < options.load && !err; i++) {
			struct cpumask only = { 0 };
			struct thread *t;

			cpumask_set(&only, cpu);
			err = start_thread(&t, "load", i, &only, true, be_busy, NULL);
			if (!err)
				thread_detach(t);
		}
	return err;
}

/* Four records a second until all threads have ended. */
static void report_until_end(const struct meter *meters)
{
	uint64_t next_ns = time_now_ns();
	unsigned sent = 0;

	while (atomic_load_acquire(&running)) {
		next_ns += REPORT_NS / 10;
		thread_sleep_until(next_ns);
		if (!options.quiet && ++sent % 10 == 0)
			report_live(&options, meters, time_now_ns());
	}
}

static int run(struct meter *meters)
{
	uint64_t start_ns = time_now_ns() + LEAD_TIME_NS;
	unsigned started = 0;
	int err = 0;

	while (started < options.threads && !err) {
		err = meter_start(&meters[started], started, start_ns);
		started += !err;
	}
	if (!err)
		err = load_start();
	if (!err)
		report_until_end(meters);
	atomic_store_relaxed(&load_ends, true);
	if (err)
		return err; /* said already; the threads that run end with the system */
	for (unsigned i = 0; i < started; i++)
		thread_join(meters[i].thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int err = options_parse(&options, argc, argv);
	struct meter *meters;

	if (err)
		return err < 0 ? 2 : 0;
	meters = aligned_alloc(ARCH_CACHE_LINE_BYTES, options.threads * sizeof(*meters));
	if (!meters) {
		fprintf(stderr, "latency: no memory for %u threads; expected a smaller -t\n",
			options.threads);
		return 1;
	}
	report_begin(&options);
	if (run(meters))
		return 1;
	report_end(&options, meters);
	return 0;
}
