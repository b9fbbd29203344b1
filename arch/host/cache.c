/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Caches: those of the host are coherent for everything a process can do; there is nothing to
 * maintain.
 */
#include "core/arch.h"

void arch_cache_op(enum cache_op op, const void *va, size_t bytes)
{
	(void)op;
	(void)va;
	(void)bytes;
}
