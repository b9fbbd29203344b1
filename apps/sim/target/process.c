/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator in an image: the whole virtual machine, its kernel included, is one thread of the
 * real one. In place of arch/host/linux.c and host/process.c: memory comes from the C library,
 * nothing is protected, scenarios are in the image (tools/scenarios.py).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/sim.h"
#include "arch/host/host.h"
#include "core/mem/page.h"

void *host_memory_map(size_t bytes)
{
	void *va = aligned_alloc(PAGE_SIZE, bytes);

	return va ? memset(va, 0, bytes) : NULL;
}

void host_memory_unmap(void *va, size_t bytes)
{
	(void)bytes;
	free(va);
}

int host_memory_protect(void *va, size_t bytes, unsigned prot)
{
	(void)va, (void)bytes, (void)prot;
	return -ENOTSUP;
}

bool host_memory_is_mapped(const void *va)
{
	(void)va;
	return true;
}

int host_call_chain(void **pc, int n)
{
	(void)pc, (void)n;
	return 0;
}

void host_die(int status)
{
	exit(status);
}

void process_progress(uint64_t now_ns, uint64_t end_ns)
{
	(void)now_ns, (void)end_ns;
}

/* No policies are built into it there. */
void process_catch_faults(void)
{
}

/* Nobody asks for it there. */
int64_t process_cpu_ns(void)
{
	return INT64_MIN;
}

const char *process_read(const char *path)
{
	for (unsigned i = 0; sim_scenarios[i].file; i++)
		if (!strcmp(sim_scenarios[i].file, path))
			return sim_scenarios[i].text;
	fprintf(stderr, "%s: not in this image, which has:", path);
	for (unsigned i = 0; sim_scenarios[i].file; i++)
		fprintf(stderr, " %s", sim_scenarios[i].file);
	fprintf(stderr, "\n");
	return NULL;
}
