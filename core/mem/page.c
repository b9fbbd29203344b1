/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page allocator: binary buddies. A block of 2^order pages lies at a multiple of its size; its
 * buddy differs in one bit of the page number. Freeing merges with the buddy while that is free, of
 * the same order and in the same range.
 *
 * Per page there is one byte, in an array at the start of the range: what block begins here. The
 * links of the free lists lie in the free pages themselves, so nothing else is stored. A mask of
 * the orders whose list is not empty makes the search one bit operation. Allocation and freeing
 * take at most PAGE_MAX_ORDER steps, and freeing a binary search over the ranges.
 *
 * Callers: any context but trap_fault. page_lock guards everything and is the only lock taken; irqs
 * are masked for as long as it is held. Clearing pages happens outside of it. What may never
 * happen: a page in two blocks. A byte that does not say "allocated, this order" when its block is
 * freed is therefore a panic.
 */
#include "core/mem/page.h"

#include "core/cpumask.h"
#include "core/list.h"
#include "core/lock.h"
#include "core/mem/san.h"
#include "core/string.h"

/* The byte of a page: one of these plus the order when a block begins here, else 0. */
#define BLOCK_NONE 0x00
#define BLOCK_FREE 0x40
#define BLOCK_USED 0x80

/* Page numbers: physical address / PAGE_SIZE. */
struct page_range {
	uint64_t first, end; /* [i] the pages that blocks are made of */
	uint8_t *block;      /* [i] array, element 0 is page first; elements under page_lock */
};

static struct spinlock page_lock = SPINLOCK_INIT(LOCK_PAGES);
static struct page_range range_table[PAGE_RANGE_MAX]; /* sorted; changes at boot only */
static unsigned range_count;
static struct list_head free_list[PAGE_MAX_ORDER + 1];
static uint64_t free_mask; /* bit n: free_list[n] is not empty */
static uint64_t free_pages, total_pages;

static struct list_head *block_links(uint64_t page)
{
	return direct_va(page << PAGE_SHIFT);
}

static uint8_t *block_byte(const struct page_range *r, uint64_t page)
{
	return &r->block[page - r->first];
}

static void block_push(const struct page_range *r, uint64_t page, unsigned order)
{
	*block_byte(r, page) = (uint8_t)(BLOCK_FREE | order);
	list_add_head(block_links(page), &free_list[order]);
	free_mask |= 1ull << order;
}

static void block_pull(const struct page_range *r, uint64_t page, unsigned order)
{
	*block_byte(r, page) = BLOCK_NONE;
	list_del(block_links(page));
	if (list_empty(&free_list[order]))
		free_mask &= ~(1ull << order);
}

/* Index of the first range that ends after @page; range_count if there is none. */
static unsigned range_after(uint64_t page)
{
	unsigned low = 0, high = range_count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (range_table[mid].end > page)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static const struct page_range *range_of(uint64_t page)
{
	unsigned i = range_after(page);

	return i < range_count && range_table[i].first <= page ? &range_table[i] : NULL;
}

/* Merges the block with its free buddies and puts the result on its list. */
static void block_release(const struct page_range *r, uint64_t page, unsigned order)
{
	for (; order < PAGE_MAX_ORDER; order++) {
		uint64_t buddy = page ^ (1ull << order);

		if (buddy < r->first || buddy >= r->end ||
		    *block_byte(r, buddy) != (BLOCK_FREE | order))
			break;
		block_pull(r, buddy, order);
		page &= ~(1ull << order);
	}
	block_push(r, page, order);
}

/*
 * Cuts the range into the largest aligned blocks: at most two of each order, and those of the
 * highest.
 */
static void range_release(const struct page_range *r)
{
	for (uint64_t page = r->first; page < r->end;) {
		unsigned order = page ? MIN(arch_bit_lowest(page), (unsigned)PAGE_MAX_ORDER) :
					PAGE_MAX_ORDER;

		while (page + (1ull << order) > r->end)
			order--;
		block_push(r, page, order);
		page += 1ull << order;
	}
}

static void free_lists_init(void)
{
	for (unsigned i = 0; i <= PAGE_MAX_ORDER; i++)
		list_init(&free_list[i]);
}

/*
 * Room in the sorted table for [first, end), or NULL with *err set. The bytes of a range count as
 * part of it.
 */
static struct page_range *range_insert(uint64_t first, uint64_t end, int *err)
{
	unsigned at = range_after(first);

	*err = -EEXIST;
	if (at < range_count && direct_pa(range_table[at].block) >> PAGE_SHIFT < end)
		return NULL;
	*err = -ENOSPC;
	if (range_count == PAGE_RANGE_MAX)
		return NULL;
	for (unsigned i = range_count++; i > at; i--)
		range_table[i] = range_table[i - 1];
	return &range_table[at];
}

int page_add_range(pa_t start, pa_t end)
{
	uint64_t first = ALIGN_UP(start, PAGE_SIZE) >> PAGE_SHIFT, last = end >> PAGE_SHIFT,
		 bytes_pages;
	struct page_range *r;
	unsigned long flags;
	int err;

	if (end > DIRECT_MAP_BYTES || start > end || last < first + 2)
		return -EINVAL;
	/*
	 * One byte a page, those of the array's own pages left out: ceil(n / (PAGE_SIZE + 1))
	 * pages.
	 */
	bytes_pages = (last - first + PAGE_SIZE) / (PAGE_SIZE + 1);
	flags = spin_lock_irqsave(&page_lock);
	if (!range_count)
		free_lists_init();
	r = range_insert(first, last, &err);
	if (r) {
		r->first = first + bytes_pages;
		r->end = last;
		r->block = direct_va(first << PAGE_SHIFT);
		memset(r->block, BLOCK_NONE, r->end - r->first);
		range_release(r);
		total_pages += r->end - r->first;
		free_pages += r->end - r->first;
		err = 0;
	}
	spin_unlock_irqrestore(&page_lock, flags);
	return err;
}

/* Takes the smallest free block that is large enough and gives back the upper halves. */
static void *block_take(unsigned order)
{
	uint64_t fits = free_mask & ~0ull << order, page;
	const struct page_range *r;
	unsigned have;

	if (!fits)
		return NULL;
	have = arch_bit_lowest(fits);
	page = direct_pa(free_list[have].next) >> PAGE_SHIFT;
	r = range_of(page);
	/* Else somebody wrote to a free page. */
	ASSERT(r && *block_byte(r, page) == (BLOCK_FREE | have));
	block_pull(r, page, have);
	while (have-- > order)
		block_push(r, page + (1ull << have), have);
	*block_byte(r, page) = (uint8_t)(BLOCK_USED | order);
	free_pages -= 1ull << order;
	return direct_va(page << PAGE_SHIFT);
}

void *page_alloc(unsigned order)
{
	unsigned long flags;
	void *va;

	if (order > PAGE_MAX_ORDER)
		return NULL;
	flags = spin_lock_irqsave(&page_lock);
	va = block_take(order);
	spin_unlock_irqrestore(&page_lock, flags);
	if (va)
		san_unpoison(va, PAGE_SIZE << order);
	return va;
}

void *page_alloc_zero(unsigned order)
{
	void *va = page_alloc(order);

	if (va)
		memset(va, 0, PAGE_SIZE << order);
	return va;
}

void page_free(void *va, unsigned order)
{
	uint64_t page = direct_pa(va) >> PAGE_SHIFT;
	const struct page_range *r;
	unsigned long flags;

	flags = spin_lock_irqsave(&page_lock);
	r = range_of(page);
	/* Else not from page_alloc(); then: freed twice, or with another order. */
	ASSERT(IS_ALIGNED((uintptr_t)va, PAGE_SIZE) && r);
	ASSERT(*block_byte(r, page) == (BLOCK_USED | order));
	*block_byte(r, page) = BLOCK_NONE;
	free_pages += 1ull << order;
	san_poison(va, PAGE_SIZE << order, SAN_FREED_PAGE);
	block_release(r, page, order);
	spin_unlock_irqrestore(&page_lock, flags);
}

size_t page_free_bytes(void)
{
	return atomic_load_relaxed(&free_pages) << PAGE_SHIFT;
}

size_t page_total_bytes(void)
{
	return atomic_load_relaxed(&total_pages) << PAGE_SHIFT;
}
