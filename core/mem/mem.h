/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory set-up and the virtual areas of core/mem/layout.h: the direct map, device registers,
 * thread stacks, the heap.
 */
#pragma once

#include "core/mem/page.h"

struct dt;

/* Of arch/<name>/link.ld: the image, page-aligned. */
extern char image_start[], image_end[];
/* Through memory: it lies behind the program's data, out of an instruction's reach. */
#define IMAGE_END_FAR                                             \
	({                                                        \
		static char *const volatile _far_end = image_end; \
		_far_end;                                         \
	})

/* ---- mem.c ----------------------------------------------------------------------------------- */

/*
 * Boot CPU: reads the memory nodes (any number, one or two cells), maps them in the direct map,
 * gives what is neither image, device tree nor reserved to the page allocator. @fdt_pa, @fdt_bytes:
 * where the tree lies. The tree stays mapped at its direct-map address, read-only; the rest of the
 * boot window over it goes. 0; -EINVAL, -ENOMEM with *why set to a message that names the thing.
 * Memory that cannot be used is said by printk and left alone.
 */
int mem_init(const struct dt *dt, pa_t fdt_pa, size_t fdt_bytes, const char **why) __must_check;

/* ---- vm.c ------------------------------------------------------------------------------------ */

/*
 * arch code: one cleared page for a translation table, usable before and after the page allocator
 * is up; NULL when out.
 */
void *table_page_alloc(void);

/* arch_map() under LOCK_MM, irqs masked meanwhile: the caller keeps @bytes small, or is booting. */
int vm_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot) __must_check;
/* Maps fresh, cleared memory, page by page; all or nothing. -ENOMEM. Context: thread, boot. */
int vm_map_fresh(uintptr_t va, size_t bytes) __must_check;
/*
 * Takes that mapping away and gives the pages back. Nobody may use the addresses any more. Context:
 * thread, boot.
 */
void vm_unmap_free(uintptr_t va, size_t bytes);

/* ---- mmio.c ---------------------------------------------------------------------------------- */

/*
 * Device registers; uncached, never executable, never unmapped. Asking for the same registers again
 * gives the same address. NULL: out of address space or table pages. Context: boot, thread.
 */
volatile void *mmio_map(pa_t pa, size_t bytes);

/* ---- stack.c --------------------------------------------------------------------------------- */

#define STACK_SLOT_MAX (1ul << 20)

/*
 * Thread stacks. A slot is @bytes of mapped memory (a power of two, PAGE_SIZE..STACK_SLOT_MAX),
 * aligned to its size, over an unmapped guard of the same size: guards cost address space, not
 * memory. Freed slots stay mapped in a bounded cache, so that the steady state changes no mapping.
 * Context: thread or boot, not on the stack that is freed. Returns the lowest mapped address; NULL:
 * no memory, or larger than STACK_SLOT_MAX. *@cached: true when it came from the cache (its bytes
 * are those its last user left, but for the lowest 16); false: the slot is cleared.
 */
void *stack_alloc(size_t bytes, bool *cached) __must_check;
void stack_free(void *stack, size_t bytes);
/*
 * Is @addr in the guard below a thread's stack or below the boot stacks? No lock: trap_fault asks.
 * Context: any.
 */
bool stack_is_guard(uintptr_t addr);

/* ---- heap.c ---------------------------------------------------------------------------------- */

/*
 * The heap behind malloc: moves its end by @bytes and returns the old end, or NULL when there is no
 * memory for it or the end would leave the area; then nothing has changed. New memory is cleared
 * the first time only. Context: thread, one caller at a time (the C library's lock).
 */
void *heap_sbrk(ptrdiff_t bytes);
