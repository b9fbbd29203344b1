/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `top`: what each thread used of a CPU since the last time, most first. A thread that came and went
 * in between is not seen.
 */
#include <string.h>

#include "core/time.h"
#include "shell.h"
#include "words.h"

#define LINES   20
#define POLL_NS (20 * NSEC_PER_MSEC)

static struct {
	uint64_t interval_ns;
	long times; /* 0: until a key */
} options;

/* How much more than in @before; all of it if it is new. */
static uint64_t used_since(const struct rows *before, const struct row *r)
{
	const struct row *old = row_of(before, r->tid);

	if (!old || old->runtime_ns > r->runtime_ns || strncmp(old->name, r->name, sizeof(r->name)))
		return r->runtime_ns;
	return r->runtime_ns - old->runtime_ns;
}

/* In thousandths of one CPU. */
static unsigned permille(uint64_t ns, uint64_t of_ns)
{
	return of_ns ? (unsigned)((ns * 1000 + of_ns / 2) / of_ns) : 0;
}

static void show_row(const struct row *r, uint64_t used_ns, uint64_t elapsed_ns)
{
	unsigned share = permille(used_ns, elapsed_ns);

	say("%5d %-15.*s %-8s %-8s %3u %-5s %4u.%u\n", (int)r->tid, THREAD_NAME_BYTES, r->name,
	    policy_name(r->policy), class_name(r), r->cpu, state_name(r), share / 10, share % 10);
}

/* The rows come in order of what they used: each time the largest that is left. */
static void show(const struct rows *before, const struct rows *now, uint64_t elapsed_ns)
{
	uint64_t all_ns = 0, last_ns = UINT64_MAX;
	unsigned share, shown = 0, last = 0;
	struct cpumask online;

	for (unsigned i = 0; i < now->n; i++)
		all_ns += used_since(before, &now->row[i]);
	cpumask_snapshot(&online, &cpu_online_mask);
	share = permille(all_ns, elapsed_ns * cpumask_count(&online));
	say("%u threads, %u CPUs online, %u.%u %% busy\n", now->n, cpumask_count(&online),
	    share / 10, share % 10);
	say("%5s %-15s %-8s %-8s %3s %-5s %6s\n", "TID", "NAME", "POLICY", "CLASS", "CPU", "STATE",
	    "%CPU");
	while (shown < LINES) {
		unsigned best = now->n;
		uint64_t best_ns = 0;

		for (unsigned i = 0; i < now->n; i++) {
			uint64_t ns = used_since(before, &now->row[i]);

			if ((ns < last_ns || (ns == last_ns && i > last)) &&
			    (best == now->n || ns > best_ns)) {
				best = i;
				best_ns = ns;
			}
		}
		if (best == now->n || !best_ns)
			return;
		show_row(&now->row[best], best_ns, elapsed_ns);
		last = best;
		last_ns = best_ns;
		shown++;
	}
}

/* Until @ns; false: a key came before. */
static bool pause_until(uint64_t ns)
{
	while (time_now_ns() < ns) {
		uint64_t next_ns = time_now_ns() + POLL_NS;

		thread_sleep_until(MIN(ns, next_ns));
		if (shell_key())
			return false;
	}
	return true;
}

static int parse(int argc, char **argv)
{
	options.interval_ns = NSEC_PER_SEC;
	options.times = 0;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc || (strcmp(argv[i], "-d") && strcmp(argv[i], "-n")))
			return command_usage(argv[0]);
		if (argv[i][1] == 'd' && (!word_seconds(argv[i + 1], &options.interval_ns) ||
					  options.interval_ns < 10 * NSEC_PER_MSEC ||
					  options.interval_ns > 3600 * NSEC_PER_SEC))
			return complain(argv[0], "interval '%s': 0.01..3600 seconds expected",
					argv[i + 1]);
		if (argv[i][1] == 'n' && !word_integer(argv[i + 1], 1, 1000000, &options.times))
			return complain(argv[0], "times '%s': 1..1000000 expected", argv[i + 1]);
	}
	return 0;
}

int run_top(int argc, char **argv)
{
	struct rows before = { 0 }, now;
	uint64_t then_ns, now_ns;
	int err = parse(argc, argv);

	if (err)
		return err;
	then_ns = time_now_ns();
	err = rows_take(&before);
	for (long i = 0; !err && (!options.times || i < options.times); i++) {
		if (!pause_until(then_ns + options.interval_ns))
			break;
		now_ns = time_now_ns();
		err = rows_take(&now);
		if (err)
			break;
		if (!options.times)
			say("\x1b[H\x1b[J"); /* the same place of the screen again */
		show(&before, &now, now_ns - then_ns);
		rows_free(&before);
		before = now;
		then_ns = now_ns;
	}
	rows_free(&before);
	return err ? complain(argv[0], "out of memory") : 0;
}
