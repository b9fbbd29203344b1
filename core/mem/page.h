/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical pages: a buddy allocator, O(log n), over every RAM region of the device tree less what
 * is reserved. Pages are handed out by their direct-map address; a block of 2^order pages is
 * aligned to its size, in physical and in virtual addresses. Lock: its own (LOCK_PAGES), irqs
 * masked inside. Context: any but trap_fault.
 */
#pragma once

#include "core/arch.h"
#include "core/mem/layout.h"

/*
 * Where physical address 0 appears; arch/host, whose memory is an array of a process, has it
 * elsewhere.
 */
#ifndef ARCH_DIRECT_MAP_BASE
#define ARCH_DIRECT_MAP_BASE DIRECT_MAP_BASE
#endif

#define PAGE_MAX_ORDER 18  /* 1 GiB */
#define PAGE_RANGE_MAX 128 /* pieces that page_add_range() takes */

/*
 * Boot: tells the allocator of one free physical range, already in the direct map; may be called
 * several times, in any order. One byte a page, kept at the start of the range, is the allocator's
 * own. -EINVAL: less than two whole pages, or above the direct map; -EEXIST: overlaps a range given
 * before; -ENOSPC: PAGE_RANGE_MAX ranges are in use.
 */
int page_add_range(pa_t start, pa_t end) __must_check;

/* 2^order pages, not cleared; NULL when out of memory or @order > PAGE_MAX_ORDER. */
void *page_alloc(unsigned order) __must_check;
void *page_alloc_zero(unsigned order) __must_check;
/* Of the smallest block that holds @bytes; above PAGE_MAX_ORDER: none does. */
static inline unsigned page_order(size_t bytes)
{
	unsigned order = 0;

	while (((size_t)PAGE_SIZE << order) < bytes)
		order++;
	return order;
}

/*
 * @va and @order as given and got. A double free, another order or a foreign pointer is a broken
 * invariant: panic.
 */
void page_free(void *va, unsigned order);
/* Of what page_alloc() can give: now, and with nothing allocated. */
size_t page_free_bytes(void);
size_t page_total_bytes(void);

static inline void *direct_va(pa_t pa)
{
	return (void *)(uintptr_t)(ARCH_DIRECT_MAP_BASE + pa);
}

static inline pa_t direct_pa(const void *va)
{
	return (uintptr_t)va - ARCH_DIRECT_MAP_BASE;
}
