/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main() of the simulator, in a process of this machine and in an image: one scenario, once. Where
 * its text comes from and how it ends are the business of host/process.c and target/process.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/sim.h"
#include "arch/host/host.h"

int main(int argc, char **argv);

static int usage(void)
{
	fprintf(stderr,
		"usage: sim [--seed=N] [--cpus=1..1024] [--boot=arguments] [--strict] [--progress] [--log] SCENARIO\n");
	return 2;
}

static bool number(const char *arg, const char *name, uint64_t *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(arg, name, n) || arg[n] < '0' || arg[n] > '9')
		return false;
	*value = strtoull(arg + n, &end, 0);
	return !*end;
}

static bool read_option(struct sim_options *o, const char *arg)
{
	uint64_t cpus;

	if (number(arg, "--seed=", &o->seed))
		return true;
	if (number(arg, "--cpus=", &cpus) && cpus >= 1 && cpus <= ARCH_CPU_MAX) {
		o->cpus = (unsigned)cpus;
		return true;
	}
	if (!strncmp(arg, "--boot=", 7)) {
		o->boot = arg + 7;
		return true;
	}
	if (!strcmp(arg, "--progress")) {
		o->progress = process_progress;
		return true;
	}
	if (!strcmp(arg, "--strict")) {
		o->strict = true;
		return true;
	}
	if (!strcmp(arg, "--log")) {
		o->log = true;
		return true;
	}
	if (arg[0] == '-' || o->file)
		return false;
	o->file = arg;
	return true;
}

/* The machine's stacks are still there: the process ends without looking at them. */
int main(int argc, char **argv)
{
	struct sim_options o = { .seed = 1 };

	for (int i = 1; i < argc; i++)
		if (!read_option(&o, argv[i]))
			return usage();
	if (!o.file)
		return usage();
	o.text = process_read(o.file);
	host_die(o.text ? sim_run(&o) : 2);
}
