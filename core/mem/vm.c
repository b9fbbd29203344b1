/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes to the translation tables after boot. arch_map() and arch_unmap() want their callers
 * serialised: mm_lock does that, with irqs masked, so no call made under it may be long. Memory is
 * therefore mapped page by page and unmapped in small batches, the lock dropped in between; as
 * pages need not be contiguous, fragmentation cannot make this fail.
 *
 * Table pages come from the page allocator (LOCK_PAGES, taken under mm_lock), and before it is up,
 * or when it is empty, from a static pool. They are never given back: an area that was mapped once
 * keeps its tables, 4 KiB for 2 MiB.
 *
 * Callers: thread context or boot. What may never happen: two CPUs in arch_map() at once; a page
 * given back while a CPU can still reach it (arch_unmap() returns when no CPU can).
 */
#include "core/lock.h"
#include "core/mem/mem.h"
#include "core/mem/san.h"

#define TABLE_POOL_PAGES  24 /* image and direct map of the first GiB with its holes */
#define SPARE_TABLES      2
#define UNMAP_BATCH_PAGES 6 /* with interrupts masked */

static struct spinlock mm_lock = SPINLOCK_INIT(LOCK_MM);

static uint8_t table_pool[TABLE_POOL_PAGES][PAGE_SIZE] __aligned_to(PAGE_SIZE);
static unsigned table_pool_used;         /* under mm_lock, or boot */
static void *spare_tables[SPARE_TABLES]; /* the same; cleared pages, or NULL */

void *table_page_alloc(void)
{
	/*
	 * Boot code may ask before there are caches, without which locks do not work: no lock until
	 * there is need for one.
	 */
	void *page = NULL;

	for (unsigned i = 0; i < SPARE_TABLES && !page; i++) {
		page = spare_tables[i];
		spare_tables[i] = NULL;
	}
	if (!page && page_total_bytes())
		page = page_alloc_zero(0);
	if (page || table_pool_used == TABLE_POOL_PAGES)
		return page;
	return table_pool[table_pool_used++]; /* .bss: clear */
}

/*
 * One table a level may be needed below the top: they are cleared here, before interrupts are
 * masked. If another CPU takes them meanwhile, they are made under the lock after all.
 */
static void keep_spares(void)
{
	for (unsigned i = 0; i < SPARE_TABLES && page_total_bytes(); i++) {
		unsigned long flags;
		void *page;

		if (atomic_load_relaxed(&spare_tables[i]))
			continue;
		page = page_alloc_zero(0);
		flags = spin_lock_irqsave(&mm_lock);
		if (!spare_tables[i]) {
			spare_tables[i] = page;
			page = NULL;
		}
		spin_unlock_irqrestore(&mm_lock, flags);
		if (page)
			page_free(page, 0);
	}
}

int vm_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	unsigned long flags;
	int err;

	keep_spares();
	flags = spin_lock_irqsave(&mm_lock);
	err = arch_map(va, pa, bytes, prot);

	spin_unlock_irqrestore(&mm_lock, flags);
	return err;
}

static int map_fresh_page(uintptr_t va)
{
	void *page = page_alloc_zero(0);
	int err;

	if (!page)
		return -ENOMEM;
	err = vm_map(va, direct_pa(page), PAGE_SIZE, MAP_READ | MAP_WRITE);
	if (err)
		page_free(page, 0);
	return err;
}

int vm_map_fresh(uintptr_t va, size_t bytes)
{
	if (san_cover(va, bytes))
		return -ENOMEM;
	for (size_t at = 0; at < bytes; at += PAGE_SIZE) {
		int err = map_fresh_page(va + at);

		if (err) {
			vm_unmap_free(va, at);
			return err;
		}
	}
	return 0;
}

/*
 * Unmaps first and frees after that; the addresses of the pages are all that is left of them in
 * between.
 */
static void unmap_batch(uintptr_t va, unsigned n)
{
	pa_t pa[UNMAP_BATCH_PAGES];
	unsigned long flags = spin_lock_irqsave(&mm_lock);

	for (unsigned i = 0; i < n; i++) {
		pa[i] = arch_pa((const void *)(va + i * PAGE_SIZE));
		ASSERT(pa[i]);
	}
	arch_unmap(va, n * PAGE_SIZE);
	spin_unlock_irqrestore(&mm_lock, flags);

	for (unsigned i = 0; i < n; i++)
		page_free(direct_va(pa[i]), 0);
}

void vm_unmap_free(uintptr_t va, size_t bytes)
{
	size_t left = bytes / PAGE_SIZE;

	while (left) {
		unsigned n = (unsigned)MIN(left, (size_t)UNMAP_BATCH_PAGES);

		unmap_batch(va, n);
		va += n * PAGE_SIZE;
		left -= n;
	}
}
