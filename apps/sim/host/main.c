/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator as a program of this machine: reads the file, shows progress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/sim/sim.h"

static int usage(void)
{
	fprintf(stderr, "usage: fairlead-sim [--seed=N] [--cpus=1..1024] [--progress] FILE\n");
	return 2;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;
	long size;

	if (f && !fseek(f, 0, SEEK_END) && (size = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
		text = calloc((size_t)size + 1, 1);
		if (text && fread(text, 1, (size_t)size, f) != (size_t)size) {
			free(text);
			text = NULL;
		}
	}
	if (!text)
		perror(path);
	if (f)
		fclose(f);
	return text;
}

/* A line every two seconds, where the terminal's cursor stays; for tools/sim.py to show. */
static void progress(uint64_t now_ns, uint64_t end_ns)
{
	static time_t last;
	time_t now = time(NULL);

	if (!last)
		last = now;
	if (now < last + 2)
		return;
	last = now;
	fprintf(stderr, "progress %llu%% of %llu virtual seconds\n",
		(unsigned long long)(now_ns * 100 / end_ns),
		(unsigned long long)(end_ns / 1000000000));
}

static int number(const char *arg, const char *name, uint64_t *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(arg, name, n) || arg[n] < '0' || arg[n] > '9')
		return 0;
	*value = strtoull(arg + n, &end, 0);
	return !*end;
}

int main(int argc, char **argv)
{
	struct sim_options o = { .seed = 1 };
	uint64_t cpus = 0;
	int status;

	for (int i = 1; i < argc; i++) {
		if (number(argv[i], "--seed=", &o.seed))
			continue;
		if (number(argv[i], "--cpus=", &cpus) && cpus >= 1 && cpus <= 1024)
			continue;
		if (!strcmp(argv[i], "--progress"))
			o.progress = progress;
		else if (argv[i][0] != '-' && !o.file)
			o.file = argv[i];
		else
			return usage();
	}
	if (!o.file)
		return usage();
	o.cpus = (unsigned)cpus;
	o.text = read_file(o.file);
	if (!o.text)
		return 2;
	status = sim_run(&o);
	fflush(stdout);
	/* the machine's stacks are still mapped: leave without looking at them */
	_Exit(status);
}
