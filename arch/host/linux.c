/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the machine needs of the process it runs in and cannot get from the C standard library:
 * memory with holes, the call chain, the end. The one file of arch/host that knows Linux; the
 * simulator on a target has another one in its place (apps/sim/target/).
 */
#include "arch/host/host.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>
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

bool host_memory_is_mapped(const void *va)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

	return !msync((void *)ALIGN_DOWN((uintptr_t)va, page), page, MS_ASYNC);
}

int host_call_chain(void **pc, int n)
{
	return backtrace(pc, n);
}

/* ---- signals --------------------------------------------------------------------------------- */

#define LOOK_EVERY_US 200000 /* of CPU time */

static char signal_stack[64 * 1024];

/* Its counterpart on a board is an exception; where the process itself is to blame it ends by it. */
static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	host_fault(number == SIGILL  ? "undefined instruction" :
		   number == SIGFPE  ? "arithmetic exception" :
		   number == SIGTRAP ? "breakpoint" :
				       "bad access",
		   (uintptr_t)info->si_addr, number == SIGILL ? (uintptr_t)info->si_addr : 0);
	signal(number, SIG_DFL);
}

/* On the stack it finds: it may lead to another virtual CPU. */
static void on_time(int number)
{
	(void)number;
	host_look_at_time();
}

void host_catch_faults(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	const stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	const struct itimerval every = { .it_interval = { .tv_usec = LOOK_EVERY_US },
					 .it_value = { .tv_usec = LOOK_EVERY_US } };
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigaltstack(&stack, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigaction(faults[i], &action, NULL);
	action = (struct sigaction){ .sa_handler = on_time, .sa_flags = SA_RESTART | SA_NODEFER };
	sigaction(SIGVTALRM, &action, NULL);
	setitimer(ITIMER_VIRTUAL, &every, NULL);
}

void host_die(int status)
{
	host_dies(status);
	fflush(NULL);
	_exit(status);
}
