/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sanitizers of a build with SAN=1 must find, and what they must not. Other builds have
 * none of this.
 *
 * Each SAN_CRASH() does one wrong thing, in a function that is not inlined and gives the report its
 * name; tests/qemu/test_san.py knows what the report must say. The names of the macros tell that
 * file's tests from those that every build has.
 */
#ifdef FAIRLEAD_SAN

#include <malloc.h>
#include <stdlib.h>

#include "core/mem/mem.h"
#include "tests/target/test.h"

#define SAN_CRASH(ident) CRASH(ident)
#define SAN_TEST(ident)  TEST(ident)

static volatile uint64_t sink;

/* Keeps the compiler from knowing what it got. */
static void *opaque(const void *p)
{
	void *volatile v = (void *)(uintptr_t)p;

	return v;
}

static int opaque_int(int n)
{
	volatile int v = n;

	return v;
}

static __noinline void store_byte(char *p)
{
	*(volatile char *)p = 1;
}

static __noinline void store_word(uint64_t *p)
{
	*(volatile uint64_t *)p = 1;
}

static __noinline uint64_t load_word(const uint64_t *p)
{
	return *(const volatile uint64_t *)p;
}

/* ---- kasan: pages and stacks ----------------------------------------------------------------- */

SAN_CRASH(san_page_use_after_free)
{
	uint64_t *page = page_alloc(0);

	store_word(opaque(page));
	page_free(page, 0);
	store_word(opaque(page + 100));
	printk("not reached\n");
}

SAN_CRASH(san_page_never_allocated)
{
	char *page = page_alloc(0);
	size_t away = PAGE_SIZE * (page_free_bytes() / PAGE_SIZE / 2);

	sink = load_word(opaque(arch_pa(page + away) ? page + away : page - away));
}

static void *return_stack(void *arg)
{
	(void)arg;
	return thread_current()->stack;
}

SAN_CRASH(san_stack_use_after_free)
{
	char *stack = join(spawn(ANY_CPU, SCHED_OTHER, 0, return_stack, NULL));

	store_word(opaque(stack + 1024));
}

SAN_CRASH(san_thread_use_after_free)
{
	struct thread *t = spawn(ANY_CPU, SCHED_OTHER, 0, return_stack, NULL);

	join(t);
	sink = (uintptr_t)((struct thread *)opaque(t))->stack;
}

/* ---- kasan: heap ----------------------------------------------------------------------------- */

SAN_CRASH(san_heap_overflow)
{
	char *p = malloc(13);

	store_byte(opaque(p + 12));
	store_byte(opaque(p + 13));
}

SAN_CRASH(san_heap_underflow)
{
	char *p = malloc(16);

	store_byte(opaque(p - 1));
}

SAN_CRASH(san_heap_overflow_by_memcpy)
{
	char *p = calloc(4, 8), to[64];

	memcpy(to, opaque(p), (size_t)opaque_int(33));
	sink = (uint64_t)to[0];
}

SAN_CRASH(san_heap_use_after_free)
{
	uint64_t *p = malloc(100);

	free(p);
	store_word(opaque(p + 1));
}

SAN_CRASH(san_large_heap_use_after_free)
{
	uint64_t *p = malloc(100000);

	free(p);
	store_word(opaque(p + 1));
}

SAN_CRASH(san_heap_use_after_realloc)
{
	uint64_t *p = malloc(8), *old = opaque(p);

	p = realloc(p, 16);
	store_word(p);
	store_word(opaque(old));
}

SAN_CRASH(san_heap_double_free)
{
	void *p = malloc(1);

	free(p);
	free(opaque(p));
	printk("not reached\n");
}

SAN_CRASH(san_heap_invalid_free)
{
	char *p = malloc(64);

	free(opaque(p + 16));
	printk("not reached\n");
}

/* ---- ubsan ----------------------------------------------------------------------------------- */

SAN_CRASH(san_signed_overflow)
{
	sink = (uint64_t)(opaque_int(INT32_MAX) + opaque_int(1));
}

SAN_CRASH(san_index_out_of_bounds)
{
	static int table[4];

	sink = (uint64_t)table[opaque_int(4)];
}

SAN_CRASH(san_shift_too_far)
{
	sink = (uint64_t)(1 << opaque_int(32));
}

SAN_CRASH(san_division_by_zero)
{
	sink = (uint64_t)(1 / opaque_int(0));
}

SAN_CRASH(san_null)
{
	sink = (uintptr_t) & ((struct thread *)opaque(NULL))->affinity;
}

/* ---- what must pass -------------------------------------------------------------------------- */

/* Every byte that was asked for may be touched, at every alignment. */
SAN_TEST(san_heap_blocks_are_whole)
{
	for (size_t bytes = 1; bytes < 200; bytes++) {
		size_t align = (size_t)16 << bytes % 8;
		char *p = memalign(align, bytes);

		REQUIRE(p);
		CHECK_EQ((uintptr_t)p % align, 0);
		for (size_t i = 0; i < bytes; i++)
			store_byte(p + i);
		CHECK_EQ(malloc_usable_size(p), bytes);
		p = realloc(p, bytes + 1);
		REQUIRE(p);
		CHECK_EQ(p[bytes - 1], 1);
		store_byte(p + bytes);
		free(p);
	}
}

/* Blocks of all sizes come and go; each keeps what was written to it. */
SAN_TEST(san_heap_keeps_its_bytes)
{
	static struct {
		uint8_t *p;
		size_t bytes;
		uint8_t fill;
	} block[64];
	uint64_t seed = 99;

	for (unsigned round = 0; round < 3000; round++) {
		unsigned i = random_below(&seed, ARRAY_SIZE(block));

		for (size_t at = 0; at < block[i].bytes; at++)
			REQUIRE(block[i].p[at] == block[i].fill);
		free(block[i].p);
		block[i].bytes = random_below(&seed, random_below(&seed, 16) ? 300 : 20000);
		block[i].fill = (uint8_t)round;
		block[i].p = malloc(block[i].bytes);
		REQUIRE(block[i].p);
		memset(block[i].p, block[i].fill, block[i].bytes);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(block); i++) {
		free(block[i].p);
		block[i].bytes = 0;
		block[i].p = NULL;
	}
}

static void *use_whole_stack(void *arg)
{
	struct thread *self = thread_current();

	for (uint64_t *p = self->stack; p < (uint64_t *)self; p += 8)
		sink = load_word(p);
	return arg;
}

/* Slots come from the caches, are freed and come again; each time they are whole. */
SAN_TEST(san_stacks_are_whole)
{
	for (unsigned round = 0; round < 100; round++) {
		struct thread *t[4];

		for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
			t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, use_whole_stack, NULL);
		for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
			join(t[i]);
	}
}

SAN_TEST(san_pages_are_whole)
{
	for (unsigned order = 0; order < 6; order++) {
		char *page = page_alloc(order);

		REQUIRE(page);
		for (size_t at = 0; at < PAGE_SIZE << order; at += 56)
			store_byte(page + at);
		memset(page, 0, PAGE_SIZE << order);
		page_free(page, order);
	}
}

#endif
