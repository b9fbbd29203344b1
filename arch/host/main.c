/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program of the virtual machine: main() of the process, and a shell's way to give the number of
 * CPUs and the seed. The application's main() is compiled under the name app_main
 * (boards/host/board.mk) and runs as the first thread.
 */
#include "arch/host/host.h"
#include "core/main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void first(void *arg)
{
	app_start(arg);
}

static int usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--cpus=1..1024] [--seed=number] [--boot=arguments] [-- arguments of the application]\n",
		program);
	return 2;
}

static bool number_after(const char *arg, const char *name, uint64_t *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(arg, name, n) || !arg[n])
		return false;
	*value = strtoull(arg + n, &end, 0);
	return !*end;
}

int main(int argc, char **argv)
{
	uint64_t cpus = 4, seed = 1;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strncmp(argv[i], "--boot=", 7)) {
			if (host_boot_arguments(argv[i] + 7))
				return 2;
		} else if (!number_after(argv[i], "--cpus=", &cpus) &&
			   !number_after(argv[i], "--seed=", &seed)) {
			return usage(argv[0]);
		}
	if (cpus < 1 || cpus > 1024)
		return usage(argv[0]);
	argv[i < argc ? i : argc - 1] = argv[0]; /* the application's argv[0] */
	boot_info.argc = i < argc ? argc - i : 1;
	boot_info.argv = i < argc ? argv + i : argv + argc - 1;
	return host_run((unsigned)cpus, seed, first, NULL);
}
