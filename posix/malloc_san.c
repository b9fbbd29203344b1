/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap of builds with SAN=1: stands before the C library's allocator (the linker's --wrap) and
 * makes each block
 *
 *   | header (struct san_heap_block) | bytes asked for | red zone |
 *
 * of which only the middle may be touched. A freed block is poisoned whole. Small ones then wait in
 * a quarantine before the C library gets them back, so that they are not handed out again at once.
 * What it has back stays poisoned until it is handed out again, but not for memset() and its like,
 * which the C library itself uses on it.
 *
 * Callers: thread context, as for malloc. No lock: the C library's allocator has its own and the
 * quarantine is a ring of atomic swaps. Compiled without instrumentation, as headers are poisoned.
 * What may never happen: a block freed twice; its header says so.
 */
#include <malloc.h>
#include <stdlib.h>

#include "core/atomic.h"
#include "core/mem/san.h"
#include "core/panic.h"
#include "core/string.h"

#define MAGIC             0x6b636f6c62706168ull
#define RED_ZONE_BYTES    32
#define ALIGN_MIN         16
#define QUARANTINE_BLOCKS 256u
#define QUARANTINE_BYTES  4096 /* of the largest block that waits */

#define CALLER ((uintptr_t)__builtin_return_address(0))

void *__real_malloc(size_t bytes);
void __real_free(void *p);

void *__wrap_malloc(size_t bytes);
void __wrap_free(void *p);
void __wrap_cfree(void *p);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_memalign(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
size_t __wrap_malloc_usable_size(void *p);

static void *quarantine[QUARANTINE_BLOCKS]; /* [a] freed blocks */
static uint32_t quarantine_at;              /* [a] */

static struct san_heap_block *block_of(void *p)
{
	return (struct san_heap_block *)p - 1;
}

/* @align: a power of two. */
static void *block_make(size_t bytes, size_t align, uintptr_t by)
{
	size_t around = sizeof(struct san_heap_block) + align + RED_ZONE_BYTES;
	size_t room = bytes > SIZE_MAX / 2 ? bytes : bytes + around; /* the former fails */
	uintptr_t base = (uintptr_t)__real_malloc(room), start;

	if (!base)
		return NULL;
	start = ALIGN_UP(base + sizeof(struct san_heap_block), align);
	*block_of((void *)start) = (struct san_heap_block){
		.magic = MAGIC,
		.bytes = bytes,
		.base = (void *)base,
		.room = room,
		.allocated_by = by,
	};
	san_poison((void *)base, start - base, SAN_HEAP_BEFORE);
	san_poison((void *)start, base + room - start, SAN_HEAP_AFTER);
	san_unpoison((void *)start, bytes);
	return (void *)start;
}

/* What is wrong with freeing @p, if anything. */
static void block_check(void *p, uintptr_t by)
{
	const struct san_heap_block *block = block_of(p);
	char caller[64], first[64];

	symbol_name(by, caller, sizeof(caller));
	if (!IS_ALIGNED((uintptr_t)p, ALIGN_MIN) || block->magic != MAGIC)
		panic("kasan: invalid free of 0x%lx by %s: no block of the heap begins there",
		      (unsigned long)p, caller);
	if (block->freed_by)
		panic("kasan: double free of 0x%lx by %s\n  %zu byte%s, freed by %s before",
		      (unsigned long)p, caller, block->bytes, block->bytes == 1 ? "" : "s",
		      symbol_name(block->freed_by, first, sizeof(first)));
}

static void block_return(void *p)
{
	void *base = block_of(p)->base;

	san_poison(base, block_of(p)->room, SAN_HEAP_RETURNED);
	__real_free(base);
}

static void block_free(void *p, uintptr_t by)
{
	struct san_heap_block *block = block_of(p);
	uint32_t at;

	block_check(p, by);
	block->freed_by = by;
	san_poison(p, block->bytes, SAN_FREED_HEAP);
	if (block->bytes <= QUARANTINE_BYTES) {
		at = atomic_fetch_add_relaxed(&quarantine_at, 1u) % QUARANTINE_BLOCKS;
		p = atomic_swap_acq_rel(&quarantine[at], p);
	}
	if (p)
		block_return(p);
}

void *__wrap_malloc(size_t bytes)
{
	return block_make(bytes, ALIGN_MIN, CALLER);
}

void __wrap_free(void *p)
{
	if (p)
		block_free(p, CALLER);
}

void __wrap_cfree(void *p)
{
	if (p)
		block_free(p, CALLER);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	size_t all;
	void *p;

	if (__builtin_mul_overflow(n, bytes, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	p = block_make(all, ALIGN_MIN, CALLER);
	return p ? memset(p, 0, all) : NULL;
}

/* Always moves: whoever kept the old address is found out. */
void *__wrap_realloc(void *p, size_t bytes)
{
	void *to;

	if (!p)
		return block_make(bytes, ALIGN_MIN, CALLER);
	if (!bytes) {
		block_free(p, CALLER);
		return NULL;
	}
	block_check(p, CALLER);
	to = block_make(bytes, ALIGN_MIN, CALLER);
	if (!to)
		return NULL;
	memcpy(to, p, MIN(bytes, block_of(p)->bytes));
	block_free(p, CALLER);
	return to;
}

void *__wrap_memalign(size_t align, size_t bytes)
{
	if (!align || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return block_make(bytes, MAX(align, (size_t)ALIGN_MIN), CALLER);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return __wrap_memalign(align, bytes);
}

size_t __wrap_malloc_usable_size(void *p)
{
	return p ? block_of(p)->bytes : 0;
}
