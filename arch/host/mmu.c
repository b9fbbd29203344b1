/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: the process's own, where a physical address is the virtual one. In place of core/mem.
 *
 * Pages come from one arena, lowest address first, so that what is allocated first has the lower
 * address wherever the process lies: the order of two run-queue locks does not depend on the
 * process. Freed ones are used again before new ones, poisoned while they are free.
 *
 *   a stack:  | guard | extra room | slot: what core/thread.c asked for | record |
 *
 * The extra room is for the host's larger frames (its C library, sanitizers). Freed slots are kept,
 * oldest first out, poisoned while they are free, and filled with junk when used again: whoever
 * touches a dead thread or counts on cleared memory is found out. A guard costs the process a
 * mapping, of which Linux gives it 65530: the first GUARDS stacks have one. One OS thread: no locks.
 */
#include "arch/host/host.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/thread.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#define EXTRA_BYTES (64ul * 1024)
#define GUARDS      10000
#ifndef HOST_ARENA_BYTES
#define HOST_ARENA_BYTES (1ul << 30)
#endif
#define KEEP_FREE 64 /* freed slots kept at least, before the oldest is used again */
#define JUNK      0xa5

struct stack_record {
	struct list_head node; /* in live or in freed */
	size_t bytes;          /* of the slot */
	bool guarded;
} __aligned_to(64);

static struct list_head live = { &live, &live }, freed = { &freed, &freed };
static unsigned nr_freed, nr_guards;

/* ---- pages ----------------------------------------------------------------------------------- */

static struct {
	char *base, *at, *end;
	struct list_head free[PAGE_MAX_ORDER + 1]; /* the next pointer is NULL: not used yet */
	size_t used;
} arena;

static void *arena_take(unsigned order)
{
	char *va;

	if (!arena.end) {
		arena.base = arena.at = host_memory_map(HOST_ARENA_BYTES);
		if (!arena.at)
			return NULL;
		arena.end = arena.at + HOST_ARENA_BYTES;
	}
	va = (char *)ALIGN_UP((uintptr_t)arena.at, PAGE_SIZE << order);
	if (va > arena.end || (size_t)(arena.end - va) < PAGE_SIZE << order)
		return NULL;
	arena.at = va + (PAGE_SIZE << order);
	return va;
}

void *page_alloc(unsigned order)
{
	void *va;

	if (order > PAGE_MAX_ORDER)
		return NULL;
	if (arena.free[order].next && !list_empty(&arena.free[order])) {
		va = arena.free[order].next;
		list_del(va);
	} else {
		va = arena_take(order);
		if (!va)
			return NULL;
	}
	ASAN_UNPOISON_MEMORY_REGION(va, PAGE_SIZE << order);
	memset(va, JUNK, PAGE_SIZE << order);
	arena.used += PAGE_SIZE << order;
	return va;
}

void *page_alloc_zero(unsigned order)
{
	void *va = page_alloc(order);

	return va ? memset(va, 0, PAGE_SIZE << order) : NULL;
}

void page_free(void *va, unsigned order)
{
	if (!arena.free[order].next)
		list_init(&arena.free[order]);
	list_add_head(va, &arena.free[order]);
	arena.used -= PAGE_SIZE << order;
	/* all but the links of the list */
	ASAN_POISON_MEMORY_REGION((char *)va + sizeof(struct list_head),
				  (PAGE_SIZE << order) - sizeof(struct list_head));
}

size_t page_total_bytes(void)
{
	return PAGE_SIZE << PAGE_MAX_ORDER;
}

size_t page_free_bytes(void)
{
	return page_total_bytes() - MIN(arena.used, page_total_bytes());
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static struct stack_record *record_of(const void *stack, size_t bytes)
{
	return (struct stack_record *)((uintptr_t)stack + bytes);
}

static void *stack_of(struct stack_record *r)
{
	return (char *)r - r->bytes;
}

void *host_stack_bottom(const void *stack)
{
	return (char *)(uintptr_t)stack - EXTRA_BYTES;
}

void *host_stack_map(size_t bytes)
{
	size_t all =
		ALIGN_UP(PAGE_SIZE + EXTRA_BYTES + bytes + sizeof(struct stack_record), PAGE_SIZE);
	char *base = host_memory_map(all);
	struct stack_record *r;

	if (!base)
		return NULL;
	r = (struct stack_record *)(base + all) - 1;
	r->bytes = bytes;
	r->guarded = nr_guards < GUARDS && !host_memory_protect(base, PAGE_SIZE, 0);
	nr_guards += r->guarded;
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
	struct stack_record *r = record_of(stack, bytes);

	ASSERT(r->bytes == bytes);
	list_del(&r->node);
	list_add_tail(&r->node, &freed);
	nr_freed++;
	ASAN_POISON_MEMORY_REGION(host_stack_bottom(stack), EXTRA_BYTES + bytes);
}

bool stack_is_guard(uintptr_t addr)
{
	list_for_each(node, &live) {
		struct stack_record *r = container_of(node, struct stack_record, node);
		uintptr_t guard = ALIGN_DOWN((uintptr_t)host_stack_bottom(stack_of(r)), PAGE_SIZE);

		if (r->guarded && addr < guard && guard - addr <= PAGE_SIZE)
			return true;
	}
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
			(struct thread *)((char *)stack_of(r) + r->bytes - HOST_THREAD_BYTES);

		if (t->stack == stack_of(r) && t->stack_bytes == r->bytes)
			each(t, arg);
	}
}

/* ---- translation ----------------------------------------------------------------------------- */

int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot)
{
	return va == pa ? host_memory_protect((void *)va, bytes, prot) : -EINVAL;
}

void arch_unmap(uintptr_t va, size_t bytes)
{
	if (host_memory_protect((void *)va, bytes, 0))
		panic("unmap of 0x%lx: not memory of this process", (unsigned long)va);
}

pa_t arch_pa(const void *va)
{
	const char *at = va;
	bool there = (at >= arena.base && at < arena.at) || host_memory_is_mapped(va);

	return there ? (pa_t)(uintptr_t)va : 0;
}
