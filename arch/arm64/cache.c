/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cache maintenance by address. CPUs and table walks are coherent with each other, so only two
 * customers need it: CPUs whose MMU is still off (they read memory past the caches: CLEAN_POC what
 * they will read) and code that was written as data (SYNC_ICACHE).
 *
 * Cleaning invalidates as well. On a Cortex-A53 up to r0p4 a line that is being evicted may pass a
 * clean on its way, and up to r0p2 a clean may go wrong beside other accesses (errata 855873, 819472,
 * 824069, 826319, 827319); the two together have neither fault, and cost nothing here.
 *
 * Callers: any context. INVALIDATE_POC throws away what is dirty in the first and last line too:
 * give whole lines.
 */
#include "core/arch.h"
#include "arch/arm64/regs.h"

/*
 * Bytes in the smallest line; @shift: the field of CTR_EL0, which counts 4-byte words as a power of
 * two.
 */
static size_t line_bytes(unsigned shift)
{
	return 4ul << ((read_sysreg(ctr_el0) >> shift) & 15);
}

#define FOR_EACH_LINE(p, va, bytes, line)                                                       \
	for (uintptr_t p = ALIGN_DOWN((uintptr_t)(va), line), _end = (uintptr_t)(va) + (bytes); \
	     p < _end; p += (line))

static void clean_poc(const void *va, size_t bytes)
{
	size_t line = line_bytes(16);

	FOR_EACH_LINE(p, va, bytes, line)
	__asm__ volatile("dc civac, %0" : : "r"(p) : "memory");
	dsb(sy);
}

static void invalidate_poc(const void *va, size_t bytes)
{
	size_t line = line_bytes(16);

	FOR_EACH_LINE(p, va, bytes, line)
	__asm__ volatile("dc ivac, %0" : : "r"(p) : "memory");
	dsb(sy);
}

static void sync_icache(const void *va, size_t bytes)
{
	size_t dline = line_bytes(16), iline = line_bytes(0);

	FOR_EACH_LINE(p, va, bytes, dline)
	__asm__ volatile("dc civac, %0" : : "r"(p) : "memory");
	dsb(ish);
	FOR_EACH_LINE(p, va, bytes, iline)
	__asm__ volatile("ic ivau, %0" : : "r"(p) : "memory");
	dsb(ish);
	isb();
}

void arch_cache_op(enum cache_op op, const void *va, size_t bytes)
{
	if (op == CACHE_CLEAN_POC)
		clean_poc(va, bytes);
	else if (op == CACHE_INVALIDATE_POC)
		invalidate_poc(va, bytes);
	else
		sync_icache(va, bytes);
}
