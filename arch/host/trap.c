/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions: a bad access ends the process (with the sanitizer's report), but for one in a guarded
 * call after host_catch_faults(). The backtrace is the process's unwinder's.
 */
#include "arch/host/host.h"
#include "core/arch.h"
#include "core/console.h"
#include "core/panic.h"

uintptr_t arch_trap_pc(const struct trap_frame *tf)
{
	return tf ? tf->pc : 0;
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

/* The signal's frame is left behind: it was on a stack of its own. */
void host_fault(const char *what, uintptr_t addr, uintptr_t pc)
{
	if (!arch_guarded())
		return;
	host_self->fault = what;
	host_self->fault_addr = addr;
	host_self->fault_pc = pc;
	longjmp(host_self->guard, 1);
}

/* Behind the call that was given up, where the kernel's own functions may be called again. */
static void take_fault(void)
{
	struct trap_frame tf = { .pc = host_self->fault_pc };
	const char *what = host_self->fault;

	host_self->fault = NULL;
	if (!fault_taken || !fault_taken(&tf, what, host_self->fault_addr, NULL))
		panic("%s at 0x%lx, in the kernel", what, (unsigned long)host_self->fault_addr);
}

/* On the caller's stack: what it is to be kept from, a process cannot take anyway. */
long arch_guarded_call(long (*fn)(long, long, long), long a, long b, long c, uintptr_t stack_top)
{
	volatile long result = 0;

	(void)stack_top;
	host_self->guarded = true;
	if (!setjmp(host_self->guard))
		result = fn(a, b, c);
	else if (host_self->fault)
		take_fault();
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
