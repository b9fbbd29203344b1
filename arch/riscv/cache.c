/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Caches. The boards this port knows keep DMA and all CPUs coherent, and translation tables are
 * read through the caches, so that cleaning and invalidating are a matter of order only.
 * Instruction fetch is the exception: fence.i, here and on every other CPU. Context: any; not with
 * irqs masked for long on big machines, since the firmware call waits for the other CPUs.
 */
#include "arch/riscv/port.h"

void arch_cache_op(enum cache_op op, const void *va, size_t bytes)
{
	(void)va;
	(void)bytes;
	arch_io_barrier();
	if (op != CACHE_SYNC_ICACHE)
		return;
	__asm__ volatile("fence.i" ::: "memory");
	if (riscv_harts_started)
		sbi_call(SBI_RFENCE, SBI_RFENCE_FENCE_I, 0, -1ul, 0, 0);
}
