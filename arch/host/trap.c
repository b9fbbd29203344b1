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
