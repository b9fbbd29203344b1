/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator in a process of this machine: files and real time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "apps/sim/sim.h"
#include "arch/host/host.h"

#define PROGRESS_SECONDS 2

static char *read_open(FILE *f)
{
	char *text = NULL;
	long size;

	if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		return NULL;
	text = calloc((size_t)size + 1, 1);
	if (text && fread(text, 1, (size_t)size, f) == (size_t)size)
		return text;
	free(text);
	return NULL;
}

const char *process_read(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = f ? read_open(f) : NULL;

	if (!text)
		perror(path);
	if (f)
		fclose(f);
	return text;
}

void process_catch_faults(void)
{
	host_catch_faults();
}

int64_t process_cpu_ns(void)
{
	return (int64_t)clock() * (1000000000 / CLOCKS_PER_SEC);
}

/* For tools/sim.py to show. */
void process_progress(uint64_t now_ns, uint64_t end_ns)
{
	static time_t last;
	time_t now = time(NULL);

	if (!last)
		last = now;
	if (now < last + PROGRESS_SECONDS)
		return;
	last = now;
	fprintf(stderr, "progress %llu%% of %llu virtual seconds\n",
		(unsigned long long)(now_ns * 100 / end_ns),
		(unsigned long long)(end_ns / 1000000000));
}
