/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sv39 translation tables: three levels, leaves of 1 GiB, 2 MiB and 4 KiB. riscv_boot() is the
 * first C code to run; it builds the tables that stay (image with exact permissions, device tree
 * read-only) and goes on to kernel_main().
 *
 * Callers of arch_map() and arch_unmap() serialise (core/mem/vm.c). A new leaf needs an sfence here
 * only: a CPU that holds on to "not mapped" from before takes a fault that riscv_exception()
 * recognises and repeats. A leaf that goes away is flushed everywhere before arch_unmap() returns.
 * All flushes are of everything: flushing by address is what the U74's errata CIP-453 and CIP-1200
 * are about. What may never happen: a leaf both writable and executable.
 */
#include "arch/riscv/port.h"
#include "core/atomic.h"
#include "core/mem/mem.h"

#define TABLE_ENTRIES      512
#define LEVEL_TOP          2
#define LEVEL_BYTES(level) (PAGE_SIZE << 9 * (level))
#define BLOCK_BYTES        LEVEL_BYTES(1)

extern char text_start[], text_end[], rodata_start[], rodata_end[], data_start[];

uint64_t riscv_satp; /* [i] */

static uint64_t kernel_root[TABLE_ENTRIES] __aligned_to(PAGE_SIZE);
static pa_t image_pa; /* [i] where image_start lies */

void riscv_sfence_local(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

static bool is_leaf(uint64_t pte)
{
	return pte & PTE_LEAF_BITS;
}

static bool is_table(uint64_t pte)
{
	return (pte & PTE_VALID) && !is_leaf(pte);
}

static pa_t pte_pa(uint64_t pte)
{
	return pte >> PTE_PPN_SHIFT << PAGE_SHIFT;
}

static uint64_t pa_pte(pa_t pa)
{
	return pa >> PAGE_SHIFT << PTE_PPN_SHIFT;
}

/* Tables come from the image's own memory first, and that is not in the direct map. */
static uint64_t *table_at(uint64_t pte)
{
	pa_t pa = pte_pa(pte);

	if (pa - image_pa < (size_t)(image_end - image_start))
		return (uint64_t *)(void *)(image_start + (pa - image_pa));
	return direct_va(pa);
}

static pa_t table_pa(const void *table)
{
	if ((uintptr_t)table >= IMAGE_BASE)
		return image_pa + (size_t)((const char *)table - image_start);
	return direct_pa(table);
}

static unsigned table_index(uintptr_t va, int level)
{
	return va >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

/* The table must be seen cleared or filled by every walker that can see the pointer to it. */
static void table_link(uint64_t *entry, const uint64_t *table)
{
	atomic_store_release(entry, pa_pte(table_pa(table)) | PTE_VALID);
}

/* Turns the leaf *@entry of @level into a table of smaller ones with the same meaning. */
static int leaf_split(uint64_t *entry, int level)
{
	uint64_t *table = table_page_alloc();

	if (!table)
		return -ENOMEM;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++)
		table[i] = *entry + pa_pte(i * LEVEL_BYTES(level - 1));
	table_link(entry, table);
	return 0;
}

/* Makes sure that *@entry of @level points to a table. */
static int table_make(uint64_t *entry, int level)
{
	uint64_t *table;

	if (is_table(*entry))
		return 0;
	if (*entry & PTE_VALID)
		return leaf_split(entry, level);
	table = table_page_alloc();
	if (!table)
		return -ENOMEM;
	table_link(entry, table);
	return 0;
}

/* The entry of @va at the lowest level that has one, and that level. */
static uint64_t *entry_find(uintptr_t va, int *level)
{
	uint64_t *table = kernel_root, *entry;

	for (*level = LEVEL_TOP;; (*level)--) {
		entry = &table[table_index(va, *level)];
		if (!is_table(*entry) || !*level)
			return entry;
		table = table_at(*entry);
	}
}

static bool canonical(uintptr_t va)
{
	return (intptr_t)va >> 38 == -1; /* the upper half is all there is */
}

/*
 * Writes one leaf, as large as alignment, size and the tables that are there allow. Returns its
 * size; 0: no memory.
 */
static size_t leaf_map(uintptr_t va, pa_t pa, size_t bytes, uint64_t bits)
{
	uint64_t *table = kernel_root;

	for (int level = LEVEL_TOP;; level--) {
		uint64_t *entry = &table[table_index(va, level)];

		if (IS_ALIGNED(va | pa, LEVEL_BYTES(level)) && bytes >= LEVEL_BYTES(level) &&
		    (!level || !is_table(*entry))) {
			atomic_store_release(entry, pa_pte(pa) | bits);
			return LEVEL_BYTES(level);
		}
		if (table_make(entry, level))
			return 0;
		table = table_at(*entry);
	}
}

static uint64_t prot_bits(unsigned prot)
{
	uint64_t bits = PTE_PRESET | PTE_READ;

	ASSERT((prot & (MAP_WRITE | MAP_EXEC)) != (MAP_WRITE | MAP_EXEC));
	if (prot & MAP_WRITE)
		bits |= PTE_WRITE;
	if (prot & MAP_EXEC)
		bits |= PTE_EXEC;
	return bits; /* MAP_DEVICE: memory types are fixed by physical address here */
}

int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	uint64_t bits = prot_bits(prot);
	size_t done;

	ASSERT(IS_ALIGNED(va | pa | bytes, PAGE_SIZE) && canonical(va));
	for (; bytes; va += done, pa += done, bytes -= done) {
		done = leaf_map(va, pa, bytes, bits);
		if (!done)
			return -ENOMEM;
	}
	riscv_sfence_local();
	return 0;
}

/*
 * Takes away what maps @va, or skips the hole there; returns how far that reached. A block that is
 * only partly meant is split.
 */
static size_t leaf_unmap(uintptr_t va, size_t bytes)
{
	int level;
	uint64_t *entry = entry_find(va, &level);
	size_t block = LEVEL_BYTES(level);

	if (!(*entry & PTE_VALID))
		return MIN(bytes, block - (va & (block - 1)));
	if (!IS_ALIGNED(va, block) || bytes < block) {
		ASSERT(leaf_split(entry, level) == 0);
		return 0;
	}
	atomic_store_relaxed(entry, 0);
	return block;
}

void arch_unmap(uintptr_t va, size_t bytes)
{
	size_t done;

	ASSERT(IS_ALIGNED(va | bytes, PAGE_SIZE) && canonical(va));
	for (; bytes; va += done, bytes -= done)
		done = leaf_unmap(va, bytes);
	riscv_sfence_local();
	riscv_sfence_others();
}

pa_t arch_pa(const void *p)
{
	uintptr_t va = (uintptr_t)p;
	int level;
	uint64_t pte;

	if (!canonical(va))
		return 0;
	pte = *entry_find(va, &level);
	return pte & PTE_VALID ? pte_pa(pte) + (va & (LEVEL_BYTES(level) - 1)) : 0;
}

bool riscv_mapped(uintptr_t va, uint64_t pte_bit)
{
	int level;

	return canonical(va) &&
	       (*entry_find(va, &level) & (PTE_VALID | pte_bit)) == (PTE_VALID | pte_bit);
}

/* ---- boot ------------------------------------------------------------------------------------ */

static void map_or_refuse(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	if (arch_map(va, pa, bytes, prot))
		riscv_boot_refuse("no memory for translation tables");
}

static void map_image_part(const char *start, const char *end, unsigned prot)
{
	if (start < end)
		map_or_refuse((uintptr_t)start, table_pa(start), (size_t)(end - start), prot);
}

static void map_image(void)
{
	map_image_part(text_start, text_end, MAP_READ | MAP_EXEC);
	map_image_part(rodata_start, rodata_end, MAP_READ);
	map_image_part(data_start, boot_stack_guard, MAP_READ | MAP_WRITE);
	map_image_part(boot_stack_guard + PAGE_SIZE, boot_fault_guard, MAP_READ | MAP_WRITE);
	map_image_part(boot_fault_guard + PAGE_SIZE, image_end, MAP_READ | MAP_WRITE);
}

static void map_fdt(pa_t fdt_pa)
{
	pa_t start = ALIGN_DOWN(fdt_pa, BLOCK_BYTES);

	if (fdt_pa >= DIRECT_MAP_BYTES - FDT_BOOT_WINDOW)
		riscv_boot_refuse("the device tree lies above 128 GiB");
	map_or_refuse((uintptr_t)direct_va(start), start, FDT_BOOT_WINDOW, MAP_READ);
}

static void use_kernel_root(void)
{
	uint64_t satp;

	riscv_satp = 8ull << 60 | table_pa(kernel_root) >> PAGE_SHIFT;
	__asm__ volatile("csrw satp, %1\n\tsfence.vma\n\tcsrr %0, satp"
			 : "=r"(satp)
			 : "r"(riscv_satp)
			 : "memory");
}

/* The other CPUs only fetch and read through the boot tables. */
static void protect_boot_tables(void)
{
	for (unsigned i = 0; riscv_boot_image[i]; i++)
		riscv_boot_image[i] &= ~(uint64_t)PTE_WRITE;
}

__noreturn void riscv_boot(pa_t fdt_pa, uint64_t hwid, uint64_t entry_cycles, pa_t image);

/* On the boot tables and the boot stack. */
void riscv_boot(pa_t fdt_pa, uint64_t hwid, uint64_t entry_cycles, pa_t image)
{
	image_pa = image;
	map_image();
	map_fdt(fdt_pa);
	use_kernel_root();
	protect_boot_tables();
	kernel_main(fdt_pa, hwid, entry_cycles);
}
