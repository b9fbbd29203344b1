/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device registers: addresses are handed out from the bottom of an area and never taken back.
 * Drivers that ask for the same registers share a mapping, as long as the table of mappings has
 * room; beyond that they get one each.
 *
 * Callers: thread context or boot. mmio_lock guards the table and the end of what is handed out,
 * never a mapping in progress: two CPUs that ask at the same moment may get two mappings, which
 * does no harm.
 */
#include "core/lock.h"
#include "core/mem/mem.h"

#define MAPPING_MAX 64
#define BLOCK_BYTES (1ul << 21) /* what one entry of a middle-level table can map */

struct mapping {
	pa_t pa;
	size_t bytes;
	uintptr_t va;
};

static struct spinlock mmio_lock = SPINLOCK_INIT(LOCK_MM);
static struct mapping mapping_table[MAPPING_MAX];
static unsigned mapping_count;
static uintptr_t mmio_end = MMIO_AREA_BASE;

static uintptr_t mapping_find(pa_t pa, size_t bytes)
{
	for (const struct mapping *m = mapping_table; m < mapping_table + mapping_count; m++)
		if (pa >= m->pa && pa - m->pa < m->bytes && bytes <= m->bytes - (pa - m->pa))
			return m->va + (pa - m->pa);
	return 0;
}

/*
 * Large ones lie like their physical addresses within a block, so that blocks can map them. 0: the
 * area is full.
 */
static uintptr_t address_take(pa_t pa, size_t bytes)
{
	uintptr_t va = mmio_end;

	if (bytes >= BLOCK_BYTES)
		va = ALIGN_UP(va, BLOCK_BYTES) + pa % BLOCK_BYTES;
	if (bytes > MMIO_AREA_BASE + MMIO_AREA_BYTES - va)
		return 0;
	mmio_end = va + bytes;
	return va;
}

static uintptr_t find_or_take(pa_t pa, size_t bytes, bool *found)
{
	unsigned long flags = spin_lock_irqsave(&mmio_lock);
	uintptr_t va = mapping_find(pa, bytes);

	*found = va != 0;
	if (!va)
		va = address_take(pa, bytes);
	spin_unlock_irqrestore(&mmio_lock, flags);
	return va;
}

static void mapping_record(pa_t pa, size_t bytes, uintptr_t va)
{
	unsigned long flags = spin_lock_irqsave(&mmio_lock);

	if (mapping_count < MAPPING_MAX)
		mapping_table[mapping_count++] = (struct mapping){ pa, bytes, va };
	spin_unlock_irqrestore(&mmio_lock, flags);
}

volatile void *mmio_map(pa_t pa, size_t bytes)
{
	pa_t start = ALIGN_DOWN(pa, PAGE_SIZE), end = ALIGN_UP(pa + bytes, PAGE_SIZE), next;
	uintptr_t va;
	bool found;

	if (end <= start || end - start > MMIO_AREA_BYTES)
		return NULL;
	va = find_or_take(start, end - start, &found);
	if (!va)
		return NULL;
	/* Up to a block at a time: the lock inside vm_map() is held with irqs masked. */
	for (pa_t at = start; !found && at < end; at = next) {
		next = MIN(ALIGN_UP(at + 1, BLOCK_BYTES), end);
		if (vm_map(va + (at - start), at, next - at, MAP_READ | MAP_WRITE | MAP_DEVICE))
			return NULL;
	}
	if (!found)
		mapping_record(start, end - start, va);
	return (volatile void *)(va + (pa - start));
}
