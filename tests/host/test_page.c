/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page allocator against a reference that knows only which pages are in use: random allocation
 * and freeing over split ranges, exhaustion, merging back to the state of the start, and the
 * assertions on wrong frees. Physical memory is an array at a fixed address; the file under test is
 * included, with its direct map moved there, and links with core/lock.c and core/string.c or what
 * else supplies spin_lock_slow(), lock_debug_*() and memset().
 *
 * Sources: core/lock.c core/string.c tests/host/host_stub.c
 * Flags: -Iarch/host -fno-builtin -ffunction-sections -Wl,--gc-sections
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/arch.h"

#undef ARCH_DIRECT_MAP_BASE
#define ARCH_DIRECT_MAP_BASE 0x200000000000ul /* clear of what the sanitizers use */

#include "core/mem/page.c"

#define ARENA_PA    0x40000000ul
#define ARENA_PAGES 8192u
#define ARENA_BYTES (ARENA_PAGES * PAGE_SIZE)
#define BLOCKS_MAX  4096u

static jmp_buf assert_jump;
static bool assert_expected;

void assert_failed(const struct assert_place *at)
{
	if (assert_expected)
		longjmp(assert_jump, 1);
	_fail(at->file, at->line);
	abort();
}

/*
 * Runs @statement; true when an ASSERT fails in it. The allocator's lock stays taken then: reset()
 * is next.
 */
#define ASSERTS(statement)                   \
	({                                   \
		volatile bool failed = true; \
		assert_expected = true;      \
		if (!setjmp(assert_jump)) {  \
			statement;           \
			failed = false;      \
		}                            \
		assert_expected = false;     \
		failed;                      \
	})

static uint32_t random_state = 4711;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* The reference. */
static uint8_t page_state[ARENA_PAGES]; /* 0: not the allocator's, 1: free, 2: in use */
static struct {
	void *va;
	unsigned order;
} block[BLOCKS_MAX];
static unsigned block_count;
static uint8_t rubbish_now;

static void *arena_va(size_t page)
{
	return direct_va(ARENA_PA + page * PAGE_SIZE);
}

static size_t arena_page(const void *va)
{
	return (direct_pa(va) - ARENA_PA) / PAGE_SIZE;
}

/*
 * A new, empty allocator over memory full of rubbish, such as the allocator's own bytes of an
 * earlier life.
 */
static void reset(void)
{
	static const uint8_t rubbish[] = { 0xa5,       BLOCK_USED,     BLOCK_USED | 1,
					   BLOCK_FREE, BLOCK_FREE | 1, BLOCK_FREE | 2 };
	static unsigned next;

	memset(range_table, 0, sizeof(range_table));
	range_count = 0;
	free_mask = free_pages = total_pages = 0;
	spin_init(&page_lock, LOCK_PAGES);
	rubbish_now = rubbish[next++ % ARRAY_SIZE(rubbish)];
	memset(direct_va(ARENA_PA), rubbish_now, ARENA_BYTES);
	memset(page_state, 0, sizeof(page_state));
	block_count = 0;
}

/* Gives pages [first, end) and marks what the allocator can hand out of it. */
static void add(size_t first, size_t end)
{
	assert_int_equal(page_add_range(ARENA_PA + first * PAGE_SIZE, ARENA_PA + end * PAGE_SIZE),
			 0);
	for (unsigned i = 0; i < range_count; i++)
		for (uint64_t p = range_table[i].first; p < range_table[i].end; p++)
			page_state[p - ARENA_PA / PAGE_SIZE] = 1;
}

static size_t count_state(uint8_t s)
{
	size_t n = 0;

	for (size_t i = 0; i < ARENA_PAGES; i++)
		n += page_state[i] == s;
	return n;
}

/*
 * Walks the lists: each free page of the reference is in exactly one free block, and no two buddies
 * are both free.
 */
static void check_lists(void)
{
	static uint8_t seen[ARENA_PAGES];

	memset(seen, 0, sizeof(seen));
	for (unsigned order = 0; order <= PAGE_MAX_ORDER; order++) {
		assert_int_equal(free_mask >> order & 1, !list_empty(&free_list[order]));
		list_for_each(l, &free_list[order]) {
			size_t page = arena_page(l);
			uint64_t number = direct_pa(l) >> PAGE_SHIFT,
				 buddy = number ^ 1ull << order;
			const struct page_range *r = range_of(number);

			assert_non_null(r);
			assert_true(IS_ALIGNED(direct_pa(l), PAGE_SIZE << order));
			if (order < PAGE_MAX_ORDER && buddy >= r->first && buddy < r->end)
				assert_int_not_equal(*block_byte(r, buddy), BLOCK_FREE | order);
			for (size_t i = page; i < page + (1ul << order); i++)
				assert_int_equal(seen[i]++, 0);
		}
	}
	for (size_t i = 0; i < ARENA_PAGES; i++)
		assert_int_equal(seen[i], page_state[i] == 1);
	assert_int_equal(page_free_bytes(), count_state(1) * PAGE_SIZE);
}

/* Is there an aligned run of free pages, inside one range, that a block of @order fits in? */
static bool reference_fits(unsigned order)
{
	size_t n = 1ul << order;

	for (size_t page = 0; page + n <= ARENA_PAGES; page += n) {
		const struct page_range *r = range_of(ARENA_PA / PAGE_SIZE + page);
		size_t i = 0;

		while (i < n && page_state[page + i] == 1)
			i++;
		if (i == n && r && ARENA_PA / PAGE_SIZE + page + n <= r->end)
			return true;
	}
	return false;
}

static bool alloc_one(unsigned order)
{
	void *va = page_alloc(order);
	size_t page = arena_page(va);

	if (!va) {
		assert_false(reference_fits(order));
		return false;
	}
	assert_true(IS_ALIGNED(direct_pa(va), PAGE_SIZE << order));
	for (size_t i = page; i < page + (1ul << order); i++) {
		assert_int_equal(page_state[i], 1);
		page_state[i] = 2;
	}
	/* All of it is ours: lists and bytes must not mind. */
	memset(va, (int)order + 1, PAGE_SIZE << order);
	assert_true(block_count < BLOCKS_MAX);
	block[block_count].va = va;
	block[block_count++].order = order;
	return true;
}

static void free_one(unsigned i)
{
	uint8_t *va = block[i].va;
	unsigned order = block[i].order;

	for (size_t at = 0; at < PAGE_SIZE << order; at += 509)
		assert_int_equal(va[at], order + 1);
	memset(page_state + arena_page(va), 1, 1ul << order);
	page_free(va, order);
	block[i] = block[--block_count];
}

/*
 * Random work that fills and drains in turn; then everything back, which must restore the lists of
 * the start.
 */
static void churn(int steps)
{
	size_t orders_free = free_mask, at_start = page_free_bytes();

	for (int i = 0; i < steps; i++) {
		bool fill = i / 700 % 2 == 0;
		unsigned order = random_below(4) ? random_below(4) : random_below(9);

		if (block_count && random_below(10) < (fill ? 3 : 6))
			free_one(random_below(block_count));
		else if (block_count < BLOCKS_MAX)
			alloc_one(order);
		if (i % 97 == 0)
			check_lists();
	}
	while (block_count)
		free_one(random_below(block_count));
	check_lists();
	assert_int_equal(free_mask, orders_free);
	assert_int_equal(page_free_bytes(), at_start);
	assert_int_equal(page_free_bytes(), page_total_bytes());
}

static void one_range(void **state)
{
	(void)state;
	reset();
	add(0, ARENA_PAGES);
	/* Two pages hold 8190 bytes. */
	assert_int_equal(page_total_bytes(), (ARENA_PAGES - 2) * PAGE_SIZE);
	churn(6000);
}

static void split_ranges(void **state)
{
	(void)state;
	for (int round = 0; round < 8; round++) {
		size_t at = random_below(9);

		reset();
		while (at < ARENA_PAGES - 4) {
			size_t n = 2 + random_below(random_below(2) ? 20 : 1500);
			size_t end = MIN(at + n, (size_t)ARENA_PAGES);

			add(at, end);
			/* 0: neighbours, which must not merge into each other. */
			at = end + random_below(3);
		}
		check_lists();
		churn(2500);
	}
}

static void ranges_in_any_order(void **state)
{
	(void)state;
	reset();
	add(4096, 5000);
	add(1, 99);
	add(6000, 8192);
	add(99, 4096);
	check_lists();
	churn(3000);
}

static void unusable_ranges(void **state)
{
	(void)state;
	reset();
	assert_int_equal(page_add_range(ARENA_PA, ARENA_PA), -EINVAL);
	assert_int_equal(page_add_range(ARENA_PA, ARENA_PA + PAGE_SIZE), -EINVAL);
	assert_int_equal(page_add_range(ARENA_PA + 1, ARENA_PA + 3 * PAGE_SIZE - 1), -EINVAL);
	assert_int_equal(page_add_range(ARENA_PA + PAGE_SIZE, ARENA_PA), -EINVAL);
	assert_int_equal(page_add_range(DIRECT_MAP_BYTES - PAGE_SIZE, DIRECT_MAP_BYTES + PAGE_SIZE),
			 -EINVAL);
	assert_int_equal(page_add_range(UINT64_MAX - PAGE_SIZE, UINT64_MAX), -EINVAL);
	assert_int_equal(page_total_bytes(), 0);
	assert_null(page_alloc(0));
	add(0, 2);
	assert_int_equal(page_total_bytes(), PAGE_SIZE);
	add(10, 20);
	assert_int_equal(page_add_range(ARENA_PA + 19 * PAGE_SIZE, ARENA_PA + 30 * PAGE_SIZE),
			 -EEXIST);
	assert_int_equal(page_add_range(ARENA_PA + 8 * PAGE_SIZE, ARENA_PA + 11 * PAGE_SIZE),
			 -EEXIST);
	assert_int_equal(page_add_range(ARENA_PA + 2 * PAGE_SIZE, ARENA_PA + 30 * PAGE_SIZE),
			 -EEXIST);
	check_lists();
}

static void unaligned_ends_are_cut(void **state)
{
	(void)state;
	reset();
	assert_int_equal(page_add_range(ARENA_PA + 1, ARENA_PA + 5 * PAGE_SIZE - 1), 0);
	/* Pages 1..3, one of them holds the bytes. */
	assert_int_equal(page_total_bytes(), 2 * PAGE_SIZE);
	assert_int_equal(*(uint8_t *)arena_va(0), rubbish_now);
	assert_int_equal(*(uint8_t *)arena_va(4), rubbish_now);
}

static void too_many_ranges(void **state)
{
	(void)state;
	reset();
	for (size_t i = 0; i < PAGE_RANGE_MAX; i++)
		add(3 * i, 3 * i + 2);
	assert_int_equal(page_add_range(ARENA_PA + 6000 * PAGE_SIZE, ARENA_PA + 6010 * PAGE_SIZE),
			 -ENOSPC);
	check_lists();
	churn(500);
}

static void exhaustion(void **state)
{
	(void)state;
	reset();
	add(3, 2048);
	for (unsigned order = PAGE_MAX_ORDER + 1; order-- > 0;)
		while (alloc_one(order))
			;
	assert_int_equal(page_free_bytes(), 0);
	assert_int_equal(count_state(1), 0);
	assert_null(page_alloc(0));
	assert_null(page_alloc(PAGE_MAX_ORDER + 1));
	assert_null(page_alloc(64));
	while (block_count)
		free_one(0);
	check_lists();
}

static void zeroed_pages(void **state)
{
	(void)state;
	reset();
	add(0, 100);
	for (unsigned order = 0; order < 5; order++) {
		const uint8_t *p = page_alloc_zero(order);

		assert_non_null(p);
		for (size_t i = 0; i < PAGE_SIZE << order; i++)
			assert_int_equal(p[i], 0);
	}
}

static void check_wrong_frees(void)
{
	void *va;

#define FRESH() (reset(), add(0, 600), add(700, 800), va = page_alloc(2), assert_non_null(va))
	FRESH();
	page_free(va, 2);
	assert_true(ASSERTS(page_free(va, 2)));
	FRESH();
	assert_true(ASSERTS(page_free(va, 1)));
	FRESH();
	assert_true(ASSERTS(page_free(va, 3)));
	FRESH();
	assert_true(ASSERTS(page_free((uint8_t *)va + PAGE_SIZE, 0)));
	FRESH();
	assert_true(ASSERTS(page_free((uint8_t *)va + 2 * PAGE_SIZE, 1)));
	FRESH();
	assert_true(ASSERTS(page_free((uint8_t *)va + 8, 2)));
	FRESH();
	assert_true(ASSERTS(page_free(arena_va(650), 0))); /* between the ranges */
	FRESH();
	assert_true(ASSERTS(page_free(arena_va(0), 0))); /* the allocator's own bytes */
	FRESH();
	assert_true(ASSERTS(page_free(arena_va(5000), 0)));
	FRESH();
	assert_true(ASSERTS(page_free(NULL, 0)));
	FRESH();
	assert_false(ASSERTS(page_free(va, 2)));
	check_lists();
#undef FRESH
}

static void wrong_frees_assert(void **state)
{
	(void)state;
	for (int i = 0; i < 7; i++) /* 11 resets each: every case meets every rubbish */
		check_wrong_frees();
}

/*
 * The second of two buddies is freed last, merges into the first, and no longer begins a block:
 * freeing it again is seen.
 */
static void double_free_after_merge_asserts(void **state)
{
	void *a, *b;

	(void)state;
	reset();
	add(0, 600);
	b = page_alloc(0);
	do {
		a = b;
		b = page_alloc(0);
		assert_true(a && b);
	} while ((direct_pa(a) ^ direct_pa(b)) != PAGE_SIZE || a > b);
	page_free(a, 0); /* the lower one: allocation goes upwards */
	page_free(b, 0);
	assert_true(ASSERTS(page_free(b, 0)));
}

static void write_after_free_asserts(void **state)
{
	struct list_head *l;

	(void)state;
	reset();
	add(0, 600);
	l = page_alloc(0);
	assert_non_null(l);
	page_free(l, 0);
	/* As a stray store to the links would. */
	free_list[arch_bit_lowest(free_mask)].next = arena_va(0);
	assert_true(ASSERTS(assert_non_null(page_alloc(0))));
}

static int setup(void **state)
{
	void *want = direct_va(ARENA_PA);

	(void)state;
	return mmap(want, ARENA_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == want ?
		       0 :
		       -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_range),
		cmocka_unit_test(split_ranges),
		cmocka_unit_test(ranges_in_any_order),
		cmocka_unit_test(unusable_ranges),
		cmocka_unit_test(unaligned_ends_are_cut),
		cmocka_unit_test(too_many_ranges),
		cmocka_unit_test(exhaustion),
		cmocka_unit_test(zeroed_pages),
		cmocka_unit_test(wrong_frees_assert),
		cmocka_unit_test(double_free_after_merge_asserts),
		cmocka_unit_test(write_after_free_asserts),
	};

	return cmocka_run_group_tests_name("page", tests, setup, NULL);
}
