/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translation tables: the kernel half of the 39-bit address space (core/mem/layout.h), three
 * levels, 4 KiB granule; leaves of 1 GiB, 2 MiB or 4 KiB as alignment allows. boot_main() gives the
 * image its exact permissions and leaves the lower half off.
 *
 * Callers serialise (core/mem/vm.c holds LOCK_MM; boot is alone). Hardware walks run at any time on
 * any CPU, so an entry is one 64-bit store, a new table is in memory before the entry that leads to
 * it, and an entry that changes its address or type is first made invalid and invalidated on all
 * CPUs. Tables are never freed.
 *
 * What may never happen: a page both writable and executable. prot_bits() refuses it, and
 * SCTLR_EL1.WXN enforces it.
 */
#include "core/arch.h"
#include "core/mem/mem.h"
#include "arch/arm64/regs.h"

#define PTE_ADDRESS   0x0000fffffffff000ull
#define PTE_PXN       (1ull << PTE_PXN_BIT)
#define PTE_UXN       (1ull << PTE_UXN_BIT)
#define TABLE_ENTRIES 512
#define LEAF_LEVEL    3
/*
 * More pages than this are invalidated by dropping the whole TLB, which by then is the cheaper way.
 */
#define TLB_PAGES_MAX 64

_Static_assert(BOOT_DIRECT_INDEX == ((DIRECT_MAP_BASE >> 30) & 511),
	       "boot.S: place of the direct map");
_Static_assert(BOOT_IMAGE_INDEX == ((IMAGE_BASE >> 30) & 511), "boot.S: place of the image");
_Static_assert(DIRECT_MAP_BYTES == 1ul << BOOT_DIRECT_BITS, "boot.S: size of the direct map");
_Static_assert(FDT_BOOT_WINDOW == 2ul << BOOT_BLOCK_SHIFT, "boot.S: blocks of the device tree");

/* link.ld */
extern char text_start[], text_end[], rodata_start[], rodata_end[], data_start[], bss_end[];

uint64_t image_pa; /* [i] */
static uint64_t *root;

static pa_t image_pa_of(const void *va)
{
	return image_pa + ((uintptr_t)va - IMAGE_BASE);
}

/* Table pages lie in the image (before the page allocator is up) or in the direct map. */
static pa_t table_pa(const void *table)
{
	return (uintptr_t)table >= IMAGE_BASE ? image_pa_of(table) : direct_pa(table);
}

static uint64_t *table_va(uint64_t entry)
{
	pa_t pa = entry & PTE_ADDRESS;

	if (pa - image_pa < (pa_t)(IMAGE_END_FAR - image_start))
		return (uint64_t *)(IMAGE_BASE + (pa - image_pa));
	return direct_va(pa);
}

static unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + 9 * (LEAF_LEVEL - level);
}

static uint64_t *entry_at(uint64_t *table, unsigned level, uintptr_t va)
{
	return &table[(va >> level_shift(level)) % TABLE_ENTRIES];
}

static bool is_table(uint64_t entry, unsigned level)
{
	return level < LEAF_LEVEL && (entry & 3) == PTE_TABLE;
}

static void entry_write(uint64_t *entry, uint64_t v)
{
	__atomic_store_n(entry, v, __ATOMIC_RELAXED);
}

/*
 * Makes earlier entry_write() visible to walks, then drops what the TLBs of all CPUs hold for @va.
 */
static void tlb_drop(uintptr_t va, size_t bytes)
{
	dsb(ishst);
	if (bytes > TLB_PAGES_MAX * PAGE_SIZE)
		__asm__ volatile("tlbi vmalle1is" : : : "memory");
	else
		for (uintptr_t end = va + bytes; va < end; va += PAGE_SIZE)
			__asm__ volatile("tlbi vaale1is, %0"
					 :
					 : "r"((va >> PAGE_SHIFT) & ((1ull << 44) - 1))
					 : "memory");
	dsb(ish);
	isb();
}

/* Replaces the leaf at @entry by a table that maps the same. */
static int leaf_split(uint64_t *entry, unsigned level, uintptr_t va)
{
	uint64_t *table = table_page_alloc();
	uint64_t step = 1ull << level_shift(level + 1), leaf = *entry;

	if (!table)
		return -ENOMEM;
	if (level + 1 == LEAF_LEVEL)
		leaf |= PTE_PAGE;
	for (unsigned i = 0; i < TABLE_ENTRIES; i++)
		table[i] = leaf + i * step;
	entry_write(entry, 0);
	tlb_drop(va, PAGE_SIZE);
	entry_write(entry, table_pa(table) | PTE_TABLE);
	return 0;
}

/* The table below @entry, made when there is none. */
static int table_below(uint64_t *entry, unsigned level, uintptr_t va, uint64_t **out)
{
	int err = 0;

	if (!(*entry & PTE_VALID)) {
		uint64_t *table = table_page_alloc();

		if (!table)
			return -ENOMEM;
		dsb(ishst);
		entry_write(entry, table_pa(table) | PTE_TABLE);
	} else if (!is_table(*entry, level)) {
		err = leaf_split(entry, level, va);
	}
	*out = err ? NULL : table_va(*entry);
	return err;
}

/* Attribute bits of a leaf; 0 for what this kernel never maps. */
static uint64_t prot_bits(unsigned prot)
{
	uint64_t bits = PTE_VALID | PTE_AF | PTE_INNER | PTE_UXN;

	if (!(prot & MAP_READ) || ((prot & MAP_EXEC) && (prot & (MAP_WRITE | MAP_DEVICE))))
		return 0;
	if (!(prot & MAP_WRITE))
		bits |= PTE_RO;
	if (!(prot & MAP_EXEC))
		bits |= PTE_PXN;
	if (prot & MAP_DEVICE)
		bits |= PTE_DEVICE;
	return bits;
}

/* A permission may change in place; anything else goes through an invalid entry. */
static void leaf_write(uint64_t *entry, uintptr_t va, uint64_t leaf)
{
	uint64_t old = *entry;

	if ((old & PTE_VALID) && ((old ^ leaf) & ~(PTE_RO | PTE_PXN))) {
		entry_write(entry, 0);
		tlb_drop(va, PAGE_SIZE);
	}
	entry_write(entry, leaf);
	if (old & PTE_VALID)
		tlb_drop(va, PAGE_SIZE);
}

static unsigned largest_level(uintptr_t va, pa_t pa, size_t bytes)
{
	unsigned level = 1;

	while (level < LEAF_LEVEL && (((va | pa) & ((1ul << level_shift(level)) - 1)) ||
				      bytes < 1ul << level_shift(level)))
		level++;
	return level;
}

/*
 * Writes one leaf, no larger than alignment and the tables that exist allow. Returns its size or
 * -errno.
 */
static long map_leaf(uintptr_t va, pa_t pa, size_t bytes, uint64_t bits)
{
	unsigned want = largest_level(va, pa, bytes);
	uint64_t *table = root, *entry;

	for (unsigned level = 1;; level++) {
		entry = entry_at(table, level, va);
		if (level >= want && !is_table(*entry, level)) {
			leaf_write(entry, va,
				   pa | bits | (level == LEAF_LEVEL ? PTE_PAGE : PTE_BLOCK));
			return 1l << level_shift(level);
		}
		int err = table_below(entry, level, va, &table);

		if (err)
			return err;
	}
}

int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	uint64_t bits = prot_bits(prot);
	long done = 0;

	if (!bits)
		return -EINVAL;
	for (; bytes; va += (size_t)done, pa += (size_t)done, bytes -= (size_t)done) {
		done = map_leaf(va, pa, bytes, bits);
		if (done < 0)
			break;
	}
	dsb(ishst);
	isb();
	return done < 0 ? (int)done : 0;
}

/*
 * Clears the leaf at @va when it lies within @bytes, splits it when it does not. Returns how far to
 * go on.
 */
static size_t unmap_leaf(uintptr_t va, size_t bytes)
{
	uint64_t *table = root;

	for (unsigned level = 1;; level++) {
		size_t span = 1ul << level_shift(level);
		uint64_t *entry = entry_at(table, level, va);

		if (!(*entry & PTE_VALID))
			return span - (va & (span - 1));
		if (!is_table(*entry, level) && !(va & (span - 1)) && span <= bytes) {
			entry_write(entry, 0);
			return span;
		}
		int err = table_below(entry, level, va, &table);

		ASSERT(!err); /* no page to split a block with: blocks are unmapped at boot only */
	}
}

void arch_unmap(uintptr_t va, size_t bytes)
{
	size_t done;

	for (size_t at = 0; at < bytes; at += done)
		done = unmap_leaf(va + at, bytes - at);
	tlb_drop(va, bytes);
}

/* Asks the hardware's own walker, so that the answer is what an access would find. */
pa_t arch_pa(const void *va)
{
	unsigned long flags = arch_irq_save();
	uint64_t par;

	__asm__ volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(va) : "memory");
	arch_irq_restore(flags);
	return par & 1 ? 0 : (par & PTE_ADDRESS) | ((uintptr_t)va & (PAGE_SIZE - 1));
}

static void map_at_boot(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	int err = arch_map(va, pa, bytes, prot);

	ASSERT(!err); /* the static pool of core/mem/vm.c is sized for this */
}

/*
 * Text, constants, data with holes under the two boot stacks; the boot tables stay readable for who
 * debugs a secondary.
 */
static void map_sections(void)
{
	static const struct {
		const char *start, *end;
		unsigned prot;
	} sections[] = {
		{ text_start, text_end, MAP_READ | MAP_EXEC },
		{ rodata_start, rodata_end, MAP_READ },
		{ data_start, boot_stack_guard, MAP_READ | MAP_WRITE },
		{ boot_stack, boot_fault_guard, MAP_READ | MAP_WRITE },
		{ boot_fault_stack, bss_end, MAP_READ | MAP_WRITE },
		{ bss_end, image_end, MAP_READ },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++)
		map_at_boot((uintptr_t)sections[i].start, image_pa_of(sections[i].start),
			    (size_t)(sections[i].end - sections[i].start), sections[i].prot);
}

static void map_fdt(pa_t fdt)
{
	pa_t start = ALIGN_DOWN(fdt, 1ul << BOOT_BLOCK_SHIFT);

	map_at_boot(DIRECT_MAP_BASE + start, start, FDT_BOOT_WINDOW, MAP_READ);
}

/*
 * The identity map is for code whose MMU has just come on; from here on an address in the lower
 * half faults.
 */
static void lower_half_off(void)
{
	write_sysreg(tcr_el1, read_sysreg(tcr_el1) | TCR_EPD0);
	isb();
	__asm__ volatile("tlbi vmalle1\n\tdsb nsh\n\tisb" : : : "memory");
}

/* From boot.S: at the link address, on the boot stack, .bss clear, the image mapped coarsely. */
void boot_main(pa_t image, pa_t fdt, uint64_t entry_cycles)
{
	image_pa = image;
	root = table_page_alloc();
	map_sections();
	map_fdt(fdt);
	boot_data.mair = read_sysreg(mair_el1);
	boot_data.tcr = read_sysreg(tcr_el1);
	boot_data.ttbr0 = read_sysreg(ttbr0_el1);
	boot_data.ttbr1 = table_pa(root);
	boot_data.sctlr = SCTLR_RUN;
	boot_switch_root(boot_data.ttbr1, boot_data.sctlr, image);
	lower_half_off();
	kernel_main(fdt, read_sysreg(mpidr_el1) & MPIDR_AFFINITY, entry_cycles);
}
