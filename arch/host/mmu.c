/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: the process's own, where a physical address is the virtual one. In place of core/mem:
 * pages from malloc, and thread stacks from mmap.
 *
 *   mapping:  | record | guard | extra room | slot: what core/thread.c asked for |
 *
 * The extra room is for the host's larger frames (its C library, sanitizers). Freed slots are kept,
 * oldest first out, poisoned while they are free, and filled with junk when used again: whoever
 * touches a dead thread or counts on cleared memory is found out. One OS thread: no locks.
 */
#include "arch/host/host.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/thread.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#define EXTRA_BYTES (64ul * 1024)
#define KEEP_FREE   64 /* freed slots kept at least, before the oldest is used again */
#define JUNK        0xa5

struct stack_record {
	struct list_head node; /* in live or in freed */
	size_t bytes;          /* of the slot */
};

static struct list_head live = { &live, &live }, freed = { &freed, &freed };
static unsigned nr_freed;

/* ---- pages ----------------------------------------------------------------------------------- */

static size_t pages_used;

void *page_alloc(unsigned order)
{
	void *va = order > PAGE_MAX_ORDER ? NULL :
					    aligned_alloc(PAGE_SIZE << order, PAGE_SIZE << order);

	if (va)
		pages_used += PAGE_SIZE << order;
	return va;
}

void *page_alloc_zero(unsigned order)
{
	void *va = page_alloc(order);

	return va ? memset(va, 0, PAGE_SIZE << order) : NULL;
}

void page_free(void *va, unsigned order)
{
	pages_used -= PAGE_SIZE << order;
	free(va);
}

size_t page_total_bytes(void)
{
	return PAGE_SIZE << PAGE_MAX_ORDER;
}

size_t page_free_bytes(void)
{
	return page_total_bytes() - MIN(pages_used, page_total_bytes());
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static struct stack_record *record_of(const void *stack)
{
	return (struct stack_record *)((uintptr_t)stack - EXTRA_BYTES - 2 * PAGE_SIZE);
}

static void *stack_of(struct stack_record *r)
{
	return (char *)r + 2 * PAGE_SIZE + EXTRA_BYTES;
}

void *host_stack_bottom(const void *stack)
{
	return (char *)record_of(stack) + 2 * PAGE_SIZE;
}

void *host_stack_map(size_t bytes)
{
	size_t all = 2 * PAGE_SIZE + EXTRA_BYTES + bytes;
	struct stack_record *r = mmap(NULL, all, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (r == MAP_FAILED)
		return NULL;
	if (mprotect((char *)r + PAGE_SIZE, PAGE_SIZE, PROT_NONE)) {
		munmap(r, all);
		return NULL;
	}
	r->bytes = bytes;
	list_add_tail(&r->node, &live);
	return stack_of(r);
}

static struct stack_record *reuse(size_t bytes)
{
	if (nr_freed <= KEEP_FREE)
		return NULL;
	list_for_each(node, &freed) {
		struct stack_record *r = container_of(node, struct stack_record, node);

		if (r->bytes != bytes)
			continue;
		list_del(node);
		list_add_tail(node, &live);
		nr_freed--;
		return r;
	}
	return NULL;
}

void *stack_alloc(size_t bytes, bool *cached)
{
	struct stack_record *r = bytes <= STACK_SLOT_MAX ? reuse(bytes) : NULL;

	*cached = r != NULL;
	if (!r)
		return bytes <= STACK_SLOT_MAX ? host_stack_map(bytes) : NULL;
	ASAN_UNPOISON_MEMORY_REGION(host_stack_bottom(stack_of(r)), EXTRA_BYTES + bytes);
	return memset(stack_of(r), JUNK, bytes);
}

void stack_free(void *stack, size_t bytes)
{
	struct stack_record *r = record_of(stack);

	ASSERT(r->bytes == bytes);
	list_del(&r->node);
	list_add_tail(&r->node, &freed);
	nr_freed++;
	ASAN_POISON_MEMORY_REGION(host_stack_bottom(stack), EXTRA_BYTES + bytes);
}

bool stack_is_guard(uintptr_t addr)
{
	list_for_each(node, &live)
		if (addr - (uintptr_t)node - PAGE_SIZE < PAGE_SIZE)
			return true;
	return false;
}

/*
 * A slot in use holds its thread at the top, where core/thread.c puts it; the boot CPU's stack
 * holds none.
 */
void host_each_thread(void (*each)(struct thread *t, void *arg), void *arg)
{
	list_for_each(node, &live) {
		struct stack_record *r = container_of(node, struct stack_record, node);
		struct thread *t =
			(struct thread *)((char *)stack_of(r) + r->bytes - THREAD_TLS_OFFSET);

		if (t->stack == stack_of(r) && t->stack_bytes == r->bytes)
			each(t, arg);
	}
}

/* ---- translation ----------------------------------------------------------------------------- */

int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	int host_prot = (prot & MAP_READ ? PROT_READ : 0) | (prot & MAP_WRITE ? PROT_WRITE : 0) |
			(prot & MAP_EXEC ? PROT_EXEC : 0);

	if (va != pa || mprotect((void *)va, bytes, host_prot))
		return -EINVAL;
	return 0;
}

void arch_unmap(uintptr_t va, size_t bytes)
{
	if (mprotect((void *)va, bytes, PROT_NONE))
		panic("unmap of 0x%lx: not memory of this process", (unsigned long)va);
}

pa_t arch_pa(const void *va)
{
	return (pa_t)(uintptr_t)va;
}
