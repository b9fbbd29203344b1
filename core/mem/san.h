/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What allocators tell the address sanitizer of builds with SAN=1: which memory nobody may touch.
 * Code compiled with instrumentation then ends in a panic when it touches it. In other builds all
 * of this is empty and costs nothing.
 *
 * Context: any, any locks held; none is taken but by san_cover() and san_start(), which allocate.
 * The caller owns the memory it speaks of: it poisons before it gives memory away and unpoisons
 * after it got it.
 */
#pragma once

#include "core/base.h"

/* Why memory is not to be touched; the values of the shadow. */
enum san_kind {
	SAN_FREED_PAGE = 0x81,
	SAN_FREED_STACK,
	/* beside a block of the C library's heap; a struct san_heap_block ends there */
	SAN_HEAP_BEFORE,
	SAN_HEAP_AFTER,
	SAN_FREED_HEAP,
	/* the C library's again: its own calls of memset() and the like may touch it */
	SAN_HEAP_RETURNED,
};

/* Lies right before the bytes of a heap block, so that a report can say whose they are. */
struct san_heap_block {
	uint64_t magic;
	size_t bytes;           /* as asked for */
	void *base;             /* what the C library's own malloc returned, for */
	size_t room;            /* so many bytes */
	uintptr_t allocated_by; /* return addresses */
	uintptr_t freed_by;     /* 0: in use */
};
_Static_assert(sizeof(struct san_heap_block) % 16 == 0,
	       "the bytes behind it keep malloc's alignment");

#ifdef FAIRLEAD_SAN

/* @va: a multiple of 8. Bytes up to the next such multiple behind the end become poisoned too. */
void san_poison(const void *va, size_t bytes, enum san_kind kind);
/* The same; bytes behind the end, up to the next multiple of 8, become poisoned. */
void san_unpoison(const void *va, size_t bytes);
/*
 * Has the sanitizer track [va, va + bytes), all of it free to use. 0, -ENOMEM. Context: thread,
 * boot.
 */
int san_cover(uintptr_t va, size_t bytes) __must_check;
/* Boot, when all of RAM is covered: poisons the pages that are free. */
void san_start(void);

/* Instrumented code has larger frames. Above the limit stacks have room to spare anyway. */
#define SAN_STACK_FACTOR     2
#define SAN_STACK_FACTOR_MAX (256 * 1024)

static inline size_t san_stack_bytes(size_t bytes)
{
	return bytes <= SAN_STACK_FACTOR_MAX ? bytes * SAN_STACK_FACTOR : bytes;
}

#else

static inline void san_poison(const void *va, size_t bytes, enum san_kind kind)
{
	(void)va, (void)bytes, (void)kind;
}

static inline void san_unpoison(const void *va, size_t bytes)
{
	(void)va, (void)bytes;
}

static inline int san_cover(uintptr_t va, size_t bytes)
{
	(void)va, (void)bytes;
	return 0;
}

static inline void san_start(void)
{
}

static inline size_t san_stack_bytes(size_t bytes)
{
	return bytes;
}

#endif
