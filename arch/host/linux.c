/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the machine needs of the process it runs in and cannot get from the C standard library:
 * memory with holes, the call chain, the end. The one file of arch/host that knows Linux; the
 * simulator on a target has another one in its place (apps/sim/target/).
 */
#include "arch/host/host.h"

#include <execinfo.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void *host_memory_map(size_t bytes)
{
	void *va = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return va == MAP_FAILED ? NULL : va;
}

void host_memory_unmap(void *va, size_t bytes)
{
	munmap(va, bytes);
}

int host_memory_protect(void *va, size_t bytes, unsigned prot)
{
	int host_prot = (prot & MAP_READ ? PROT_READ : 0) | (prot & MAP_WRITE ? PROT_WRITE : 0) |
			(prot & MAP_EXEC ? PROT_EXEC : 0);

	return mprotect(va, bytes, host_prot) ? -EINVAL : 0;
}

int host_call_chain(void **pc, int n)
{
	return backtrace(pc, n);
}

void host_die(int status)
{
	host_dies(status);
	fflush(NULL);
	_exit(status);
}
