/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stack slots while memory is refused: core/mem/stack.c and core/mem/vm.c, included, over a model of
 * translation tables and pages. Slots of all sizes are taken and freed on three CPUs, at random, and
 * any request for a page may fail, also half-way through a slot. What must hold: slots never
 * overlap, each lies over a guard that is not mapped, what is mapped is what is in use or cached,
 * no page and no slot is lost, and no page is given back while it is mapped.
 *
 * Pages are those of a memory file, mapped as a whole for the direct map and one by one for stacks.
 *
 * Sources: core/lock.c tests/host/host_stub.c
 * Flags: -Iarch/host -ffunction-sections -Wl,--gc-sections
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/arch.h"
#include "core/mem/layout.h"

#undef ARCH_DIRECT_MAP_BASE
#undef STACK_AREA_BASE
#undef STACK_AREA_BYTES
#define ARCH_DIRECT_MAP_BASE 0x200000000000ul /* clear of what the sanitizers use */
#define STACK_AREA_BASE      0x210000000000ul
#define STACK_AREA_BYTES     (400ul << 20)

#include "core/mem/stack.c"
#include "core/mem/vm.c"

#define CPUS       3
#define PAGES      6000u
#define AREA_PAGES (STACK_AREA_BYTES / PAGE_SIZE)
#define SLOTS      200

char boot_stack_guard[PAGE_SIZE], boot_fault_guard[PAGE_SIZE];

void assert_failed(const struct assert_place *at)
{
	_fail(at->file, at->line);
	abort();
}

static uint64_t random_state;

static uint64_t draw(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static int memory_file;
static unsigned free_page[PAGES], nr_free; /* a stack of page numbers */
static unsigned reserved;                  /* so many of the free ones are refused */
static unsigned one_in;                    /* and one request in so many; 0: none */
static bool in_use[PAGES], mapped[PAGES];

void *page_alloc_zero(unsigned order)
{
	unsigned page;

	assert_int_equal(order, 0);
	if (nr_free <= reserved || (one_in && !draw(one_in)))
		return NULL;
	page = free_page[--nr_free];
	assert_false(in_use[page] || mapped[page]);
	in_use[page] = true;
	return memset(direct_va((pa_t)page << PAGE_SHIFT), 0, PAGE_SIZE);
}

void page_free(void *va, unsigned order)
{
	unsigned page = (unsigned)(direct_pa(va) >> PAGE_SHIFT);

	assert_int_equal(order, 0);
	assert_true(page < PAGES && in_use[page] && !mapped[page]);
	in_use[page] = false;
	free_page[nr_free++] = page;
}

size_t page_total_bytes(void)
{
	return PAGES * PAGE_SIZE;
}

/* ---- translation ----------------------------------------------------------------------------- */

static pa_t translation[AREA_PAGES]; /* physical address + 1; 0: not mapped */
static bool has_table[CHUNK_MAX];
static unsigned nr_mapped, nr_tables; /* tables in pages of the allocator */

static bool table_exists(uintptr_t va)
{
	unsigned chunk = (unsigned)((va - STACK_AREA_BASE) / CHUNK_BYTES);
	uint8_t *table;

	if (has_table[chunk])
		return true;
	table = table_page_alloc();
	has_table[chunk] = table != NULL;
	nr_tables += table && (table < table_pool[0] || table >= table_pool[TABLE_POOL_PAGES]);
	return has_table[chunk];
}

int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	pa_t *entry = &translation[(va - STACK_AREA_BASE) / PAGE_SIZE];

	assert_int_equal(bytes, PAGE_SIZE);
	assert_int_equal(prot, MAP_READ | MAP_WRITE);
	if (!table_exists(va))
		return -ENOMEM;
	assert_true(!*entry && in_use[pa >> PAGE_SHIFT] && !mapped[pa >> PAGE_SHIFT]);
	*entry = pa + 1;
	mapped[pa >> PAGE_SHIFT] = true;
	nr_mapped++;
	assert_true(mmap((void *)va, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 memory_file, (off_t)pa) == (void *)va);
	return 0;
}

pa_t arch_pa(const void *va)
{
	pa_t entry = translation[((uintptr_t)va - STACK_AREA_BASE) / PAGE_SIZE];

	return entry ? entry - 1 : 0;
}

static void area_close(uintptr_t va, size_t bytes)
{
	assert_true(mmap((void *)va, bytes, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			 0) == (void *)va);
}

void arch_unmap(uintptr_t va, size_t bytes)
{
	for (uintptr_t at = va; at < va + bytes; at += PAGE_SIZE) {
		pa_t *entry = &translation[(at - STACK_AREA_BASE) / PAGE_SIZE];

		assert_true(*entry);
		mapped[(*entry - 1) >> PAGE_SHIFT] = false;
		*entry = 0;
		nr_mapped--;
	}
	area_close(va, bytes);
}

/* ---- slots in use ---------------------------------------------------------------------------- */

static struct cpu cpus[CPUS];
static struct slot {
	char *at;
	size_t bytes;
	uint64_t tag;
} slots[SLOTS];
static unsigned nr_slots, nr_refused;

static void tag_pages(const struct slot *s)
{
	for (size_t at = 0; at < s->bytes; at += PAGE_SIZE)
		*(uint64_t *)(s->at + at + 64) = s->tag + at;
}

static void check_tags(const struct slot *s)
{
	for (size_t at = 0; at < s->bytes; at += PAGE_SIZE)
		assert_int_equal(*(uint64_t *)(s->at + at + 64), s->tag + at);
}

static void check_cleared(const struct slot *s)
{
	for (size_t at = 0; at < s->bytes; at += 64)
		assert_int_equal(*(uint64_t *)(s->at + at), 0);
}

static void take(void)
{
	struct slot *s = &slots[nr_slots];
	bool cached;

	s->bytes = PAGE_SIZE << (draw(8) ? draw(4) : draw(SLOT_CLASSES));
	s->tag = random_state;
	s->at = stack_alloc(s->bytes, &cached);
	nr_refused += !s->at;
	if (!s->at)
		return;
	assert_true(IS_ALIGNED((uintptr_t)s->at, s->bytes));
	assert_true(stack_is_guard((uintptr_t)s->at - 1) && !stack_is_guard((uintptr_t)s->at));
	assert_true(stack_is_guard((uintptr_t)s->at - s->bytes));
	assert_false(arch_pa(s->at - 1) || arch_pa(s->at - s->bytes));
	if (!cached)
		check_cleared(s);
	tag_pages(s);
	nr_slots++;
}

static void give(unsigned i)
{
	check_tags(&slots[i]);
	stack_free(slots[i].at, slots[i].bytes);
	slots[i] = slots[--nr_slots];
}

/* Slots that are neither free nor in a cache, as the chunks count them. */
static unsigned slots_taken(void)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < chunk_count; i++) {
		const struct stack_chunk *chunk = chunk_at(i);

		if (chunk->class != CLASS_NONE)
			taken += (unsigned)(STACK_SLOT_MAX / (PAGE_SIZE << chunk->class)) -
				 chunk->nr_free;
	}
	return taken;
}

static void check_pages(void)
{
	unsigned pages = 0, taken = nr_slots, records = 0;

	for (unsigned i = 0; i < nr_slots; i++)
		pages += (unsigned)(slots[i].bytes / PAGE_SIZE);
	for (unsigned class = 0; class < CACHED_CLASSES; class ++) {
		unsigned cached = shared_cached[class];

		assert_true(cached <= SHARED_CACHE_MAX(class));
		for (unsigned i = 0; i < CPUS; i++)
			cached += cpus[i].stack_cached[class];
		pages += cached << class;
		taken += cached;
	}
	assert_int_equal(nr_mapped, pages);
	assert_int_equal(slots_taken(), taken);
	for (unsigned i = 0; i < ARRAY_SIZE(chunk_page); i++)
		records += chunk_page[i] != NULL;
	/* and up to two tables that vm_map() keeps ready */
	assert_in_range(PAGES - 1 - nr_free - (nr_mapped + nr_tables + records), 0, 2);
}

static void set_up(void)
{
	memory_file = memfd_create("pages", 0);
	assert_true(memory_file >= 0 && !ftruncate(memory_file, PAGES * PAGE_SIZE));
	assert_true(mmap((void *)ARCH_DIRECT_MAP_BASE, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, memory_file,
			 0) == (void *)ARCH_DIRECT_MAP_BASE);
	area_close(STACK_AREA_BASE, STACK_AREA_BYTES);
	for (unsigned i = 1; i < PAGES; i++) /* physical address 0 says: not mapped */
		free_page[nr_free++] = i;
	in_use[0] = true;
	reserved = 0;
	for (unsigned i = 0; i < CPUS; i++)
		cpus[i].arch.lock_id = i + 1;
}

static void slots_without_memory(void **state)
{
	(void)state;
	set_up();
	for (unsigned seed = 1; seed <= 60; seed++) {
		random_state = seed * 0x9e3779b97f4a7c15;
		one_in = draw(2) ? 0 : 2 + (unsigned)draw(40);
		reserved = draw(2) ? 0 : nr_free - MIN(nr_free, (unsigned)draw(400));
		for (unsigned step = 0; step < 300; step++) {
			host_self->cpu = &cpus[draw(CPUS)];
			if (nr_slots < SLOTS && (!nr_slots || draw(2)))
				take();
			else
				give((unsigned)draw(nr_slots));
			check_pages();
		}
		if (draw(3) == 0)
			while (nr_slots)
				give(0);
	}
	assert_true(nr_refused > 100);
	one_in = reserved = 0;
	while (nr_slots)
		give(0);
	check_pages();
	for (unsigned i = 0; i < SLOTS / 2; i++) { /* with memory all is as before */
		take();
		assert_int_equal(nr_slots, i + 1);
	}
	check_pages();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(slots_without_memory) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
