/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap's memory: one area of addresses, mapped from its bottom as far as the end has ever been.
 * Growing maps whole pages; shrinking only moves the end and keeps the pages for the next growth,
 * as allocators that shrink at all do it over and over.
 *
 * Callers: thread context, one at a time; the C library's allocator calls with its lock held, so
 * there is none here. vm_map_fresh() takes its own. What may never happen: the end above what is
 * mapped.
 */
#include "core/mem/mem.h"

static uintptr_t heap_end = HEAP_AREA_BASE;    /* of what malloc owns */
static uintptr_t heap_mapped = HEAP_AREA_BASE; /* heap_end <= heap_mapped, page-aligned */

/*
 * Asks first whether so much memory is free at all: one malloc of everything must not starve the
 * others while it fails.
 */
static int heap_map_to(uintptr_t end)
{
	size_t bytes = ALIGN_UP(end, PAGE_SIZE) - heap_mapped;
	int err;

	if (bytes > page_free_bytes())
		return -ENOMEM;
	err = vm_map_fresh(heap_mapped, bytes);
	if (!err)
		heap_mapped += bytes;
	return err;
}

void *heap_sbrk(ptrdiff_t bytes)
{
	uintptr_t old = heap_end, room = HEAP_AREA_BASE + HEAP_AREA_BYTES - old;

	if (bytes > 0 && (uintptr_t)bytes > room)
		return NULL;
	if (bytes < 0 && -(uintptr_t)bytes > old - HEAP_AREA_BASE)
		return NULL;
	if (old + (uintptr_t)bytes > heap_mapped && heap_map_to(old + (uintptr_t)bytes))
		return NULL;
	heap_end = old + (uintptr_t)bytes;
	return (void *)old;
}
