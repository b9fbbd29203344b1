/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts instructions on the kernel's hot paths. Each row is one record of kind "count"
 * (docs/UART.md); docs/LATENCY.md says what each means.
 *
 *   bench [one] [two] [boot]      groups of rows; none named: all that this number of CPUs allows
 *
 * "one" is meant for a system of one CPU: more of them change the paths, because a waker then looks
 * for an idle one. "two" is what crosses CPUs. tools/bench.py boots each group on the machine it is
 * meant for and puts the rows together. Measuring threads are FIFO threads above main(), which
 * waits for them; main() alone prints.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "core/main.h"
#include "core/time.h"

static unsigned cpus_online(void)
{
	return cpumask_count(&cpu_online_mask);
}

static void rows_one_cpu(void)
{
	rows_yield();
	rows_tree();
	rows_sync();
	rows_interrupt();
	rows_load();
}

void rows_boot(void)
{
	row_send_value("boot_to_thread_ns",
		       cycles_to_ns(boot_info.first_thread_cycles) -
			       cycles_to_ns(boot_info.entry_cycles),
		       "ns");
}

static const struct group {
	const char *name;
	unsigned cpus; /* at least */
	void (*run)(void);
} groups[] = {
	{ "one", 1, rows_one_cpu },
	{ "two", 2, rows_two_cpus },
	{ "boot", 1, rows_boot },
};

static const struct group *find_group(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		if (strcmp(groups[i].name, name) == 0)
			return &groups[i];
	return NULL;
}

/* 0, or 2 with a message. */
static int check(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct group *g = find_group(argv[i]);

		if (!g) {
			fprintf(stderr,
				"bench: %s: unknown group of rows; expected one, two or boot\n",
				argv[i]);
			return 2;
		}
		if (g->cpus > cpus_online()) {
			fprintf(stderr, "bench: %s: expected at least %u CPUs online, found %u\n",
				g->name, g->cpus, cpus_online());
			return 2;
		}
	}
	return 0;
}

static bool wanted(const struct group *g, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (find_group(argv[i]) == g)
			return true;
	return argc < 2 && g->cpus <= cpus_online();
}

int main(int argc, char **argv)
{
	int err = check(argc, argv);

	if (err)
		return err;
	measure_init();
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		if (wanted(&groups[i], argc, argv))
			groups[i].run();
	return 0;
}
