/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions: the process has none of its own (a bad access ends it, with the sanitizer's report),
 * so there is no trap frame to look into. The backtrace is the process's unwinder's.
 */
#include "arch/host/host.h"
#include "core/arch.h"
#include "core/console.h"

uintptr_t arch_trap_pc(const struct trap_frame *tf)
{
	(void)tf;
	return 0;
}

void arch_trap_dump(const struct trap_frame *tf)
{
	(void)tf;
	printk("(no registers: a virtual CPU takes no exceptions)\n");
}

void arch_backtrace(const struct trap_frame *tf, void (*each)(void *ctx, uintptr_t pc), void *ctx)
{
	void *pc[64];
	int n = host_call_chain(pc, ARRAY_SIZE(pc));

	(void)tf;
	for (int i = 1; i < n; i++)
		each(ctx, (uintptr_t)pc[i]);
}

/* On the caller's stack: what it is to be kept from, a process cannot take anyway. */
long arch_guarded_call(long (*fn)(long, long, long), long a, long b, long c, uintptr_t stack_top)
{
	volatile long result = 0;

	(void)stack_top;
	host_self->guarded = true;
	if (!setjmp(host_self->guard))
		result = fn(a, b, c);
	host_self->guarded = false;
	host_self->guard_divert = false;
	return result;
}

void arch_guarded_abort(void)
{
	longjmp(host_self->guard, 1);
}

void arch_guarded_divert(struct trap_frame *tf)
{
	(void)tf;
	host_self->guard_divert = true;
}

bool arch_guarded(void)
{
	return host_self->guarded && !host_self->irqs_on;
}
