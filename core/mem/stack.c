/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stack slots: where they lie, which are free, and a cache of those that are still mapped.
 *
 *   STACK_AREA:  | chunk 0: 2 MiB, slots of one size | chunk 1 | ...
 *   a chunk:     | guard | stack | guard | stack | ...         equal in size, the guard not mapped
 *
 * A chunk gets its size of slot when it is first used and loses it when its last slot is free. Its
 * record (64 bytes, with a bit for each slot) lies in a page that serves 64 chunks, and one
 * translation table serves a chunk. So beside its pages a slot costs 0.4 % of its size: 16.25 bytes
 * for 4 KiB, 65 for 16 KiB.
 *
 * A freed slot of a small size goes to the CPU's own cache (no lock, irqs masked), if that is full
 * to a shared one, and only then is it unmapped. The links lie in the lowest bytes of the cached
 * stacks.
 *
 * Locks: stack_lock for chunks and the shared cache; it is never held while memory is mapped or
 * unmapped. All steps are O(1) but the mapping, which goes page by page. What may never happen: a
 * slot given out that somebody else can still reach through a stale translation; therefore it is
 * marked free after vm_unmap_free() only.
 */
#include "core/cpu.h"
#include "core/mem/mem.h"
#include "core/mem/san.h"

#define CHUNK_BYTES    (2 * STACK_SLOT_MAX)
#define CHUNK_MAX      (STACK_AREA_BYTES / CHUNK_BYTES)
#define SLOT_CLASSES   9 /* PAGE_SIZE << class, up to STACK_SLOT_MAX */
#define CACHED_CLASSES 5 /* those that are cached: up to 64 KiB, which POSIX threads have */
/* Slots of one class in the cache of a CPU, and in the shared one: no more than 512 KiB and 2 MiB. */
#define CPU_CACHE_MAX(class)    MIN(16u, (512u << 10) / (PAGE_SIZE << (class)))
#define SHARED_CACHE_MAX(class) MIN(64u, (2u << 20) / (PAGE_SIZE << (class)))
#define CLASS_NONE              0xff

struct stack_chunk {
	uint64_t free[4];      /* [s] bit n: slot n is free */
	struct list_head node; /* [s] in class_chunks or unused_chunks; in none when full */
	uint32_t index;        /* [i] place in STACK_AREA */
	uint16_t nr_free;      /* [s] */
	uint8_t class;         /* [s] read without the lock by stack_is_guard() */
} __aligned_to(64);

#define CHUNKS_A_PAGE (PAGE_SIZE / sizeof(struct stack_chunk)) /* 64 */

/* [s]: under this lock. */
static struct spinlock stack_lock = SPINLOCK_INIT(LOCK_STACKS);
static struct stack_chunk *chunk_page[CHUNK_MAX / CHUNKS_A_PAGE]; /* [s] read without the lock */
static unsigned chunk_count;                        /* [s] chunks that have a record */
static struct list_head class_chunks[SLOT_CLASSES]; /* [s] those with a free slot */
static struct list_head unused_chunks = { &unused_chunks, &unused_chunks }; /* [s] no class */
static struct list_head shared_cache[CACHED_CLASSES]; /* [s] singly linked, last in first out */
static unsigned shared_cached[CACHED_CLASSES];        /* [s] */

/* Of arch/<name>/link.ld: the pages below the stacks of the boot CPU. */
extern char boot_stack_guard[], boot_fault_guard[];

/* ---- slots ----------------------------------------------------------------------------------- */

static unsigned slot_class(size_t bytes)
{
	unsigned class = 0;

	while (PAGE_SIZE << class < bytes)
		class ++;
	return class;
}

static struct stack_chunk *chunk_at(unsigned index)
{
	struct stack_chunk *page = atomic_load_acquire(&chunk_page[index / CHUNKS_A_PAGE]);

	return page ? &page[index % CHUNKS_A_PAGE] : NULL;
}

static struct stack_chunk *chunk_of(uintptr_t addr)
{
	uintptr_t offset = addr - STACK_AREA_BASE;

	return offset < STACK_AREA_BYTES ? chunk_at((unsigned)(offset / CHUNK_BYTES)) : NULL;
}

/* The next chunk of the area that was never used; its record page comes first. */
static struct stack_chunk *chunk_new(void)
{
	struct stack_chunk *page, *chunk;

	if (chunk_count == CHUNK_MAX)
		return NULL;
	if (!chunk_at(chunk_count)) {
		page = page_alloc_zero(0);
		if (!page)
			return NULL;
		for (unsigned i = 0; i < CHUNKS_A_PAGE; i++)
			page[i].class = CLASS_NONE;
		atomic_store_release(&chunk_page[chunk_count / CHUNKS_A_PAGE], page);
	}
	chunk = chunk_at(chunk_count);
	chunk->index = chunk_count++;
	return chunk;
}

/* A chunk of no class becomes one of @class with all slots free. */
static struct stack_chunk *chunk_open(unsigned class)
{
	struct stack_chunk *chunk;

	if (list_empty(&unused_chunks)) {
		chunk = chunk_new();
		if (!chunk)
			return NULL;
	} else {
		chunk = list_first(&unused_chunks, struct stack_chunk, node);
		list_del(&chunk->node);
	}
	chunk->class = (uint8_t) class;
	chunk->nr_free = (uint16_t)(CHUNK_BYTES / 2 / (PAGE_SIZE << class));
	for (unsigned i = 0; i < chunk->nr_free; i += 64)
		chunk->free[i / 64] = chunk->nr_free - i >= 64 ? ~0ull :
								 (1ull << chunk->nr_free) - 1;
	list_add_head(&chunk->node, &class_chunks[class]);
	return chunk;
}

/* Takes a slot's addresses, nothing being mapped there; 0 when there are none. */
static uintptr_t slot_take(unsigned class)
{
	struct list_head *chunks = &class_chunks[class];
	struct stack_chunk *chunk;
	unsigned word = 0, slot;

	if (!chunks->next)
		list_init(chunks);
	chunk = list_empty(chunks) ? chunk_open(class) :
				     list_first(chunks, struct stack_chunk, node);
	if (!chunk)
		return 0;
	while (!chunk->free[word])
		word++;
	slot = arch_bit_lowest(chunk->free[word]);
	chunk->free[word] &= ~(1ull << slot);
	if (!--chunk->nr_free)
		list_del(&chunk->node);
	slot += word * 64;
	return STACK_AREA_BASE + chunk->index * CHUNK_BYTES + (2 * slot + 1) * (PAGE_SIZE << class);
}

static void slot_give(uintptr_t va, unsigned class)
{
	struct stack_chunk *chunk = chunk_of(va);
	unsigned slots = (unsigned)(STACK_SLOT_MAX / (PAGE_SIZE << class));
	unsigned slot = (unsigned)(va % CHUNK_BYTES / (2 * (PAGE_SIZE << class)));

	ASSERT(chunk && chunk->class == class);
	ASSERT(!(chunk->free[slot / 64] >> (slot % 64) & 1)); /* else freed twice */
	chunk->free[slot / 64] |= 1ull << (slot % 64);
	if (!chunk->nr_free++)
		list_add_head(&chunk->node, &class_chunks[class]);
	if (chunk->nr_free < slots)
		return;
	list_del(&chunk->node);
	chunk->class = CLASS_NONE;
	list_add_head(&chunk->node, &unused_chunks);
}

/* ---- caches ---------------------------------------------------------------------------------- */

/*
 * Both caches are stacks of struct list_head of which only next is used; the count says when one is
 * empty.
 */
static void *cache_pop(struct list_head *cache, unsigned *count)
{
	struct list_head *stack = cache->next;

	cache->next = stack->next;
	--*count;
	return stack;
}

static void cache_push(struct list_head *cache, unsigned *count, void *stack)
{
	struct list_head *node = stack;

	node->next = cache->next;
	cache->next = node;
	++*count;
}

static void *cpu_cache_take(unsigned class)
{
	unsigned long flags = arch_irq_save();
	struct cpu *cpu = arch_cpu_self();
	void *stack = NULL;

	if (cpu->stack_cached[class])
		stack = cache_pop(&cpu->stack_cache[class], &cpu->stack_cached[class]);
	arch_irq_restore(flags);
	return stack;
}

static bool cpu_cache_give(void *stack, unsigned class)
{
	unsigned long flags = arch_irq_save();
	struct cpu *cpu = arch_cpu_self();
	bool room = cpu->stack_cached[class] < CPU_CACHE_MAX(class);

	if (room)
		cache_push(&cpu->stack_cache[class], &cpu->stack_cached[class], stack);
	arch_irq_restore(flags);
	return room;
}

/*
 * The shared cache's stack, else addresses for a new one: *@va, with nothing mapped; 0 when there
 * are none.
 */
static void *shared_cache_take(unsigned class, uintptr_t *va)
{
	unsigned long flags = spin_lock_irqsave(&stack_lock);
	void *stack = NULL;

	if (class < CACHED_CLASSES && shared_cached[class])
		stack = cache_pop(&shared_cache[class], &shared_cached[class]);
	else
		*va = slot_take(class);
	spin_unlock_irqrestore(&stack_lock, flags);
	return stack;
}

static bool shared_cache_give(void *stack, unsigned class)
{
	unsigned long flags = spin_lock_irqsave(&stack_lock);
	bool room = shared_cached[class] < SHARED_CACHE_MAX(class);

	if (room)
		cache_push(&shared_cache[class], &shared_cached[class], stack);
	spin_unlock_irqrestore(&stack_lock, flags);
	return room;
}

/* ---- what mem.h promises --------------------------------------------------------------------- */

static void slot_return(uintptr_t va, unsigned class)
{
	unsigned long flags = spin_lock_irqsave(&stack_lock);

	slot_give(va, class);
	spin_unlock_irqrestore(&stack_lock, flags);
}

static __noinline void *stack_alloc_slow(unsigned class, bool *cached)
{
	uintptr_t va = 0;
	void *stack = shared_cache_take(class, &va);

	*cached = stack != NULL;
	if (stack)
		san_unpoison(stack, PAGE_SIZE << class);
	if (stack || !va)
		return stack;
	if (vm_map_fresh(va, PAGE_SIZE << class)) {
		slot_return(va, class);
		return NULL;
	}
	return (void *)va;
}

static __noinline void stack_free_slow(void *stack, unsigned class)
{
	if (class < CACHED_CLASSES && shared_cache_give(stack, class))
		return;
	san_unpoison(stack, PAGE_SIZE << class); /* hardware tracks it from here on */
	vm_unmap_free((uintptr_t)stack, PAGE_SIZE << class);
	slot_return((uintptr_t)stack, class);
}

void *stack_alloc(size_t bytes, bool *cached)
{
	unsigned class;
	void *stack;

	if (bytes > STACK_SLOT_MAX)
		return NULL;
	class = slot_class(bytes);
	ASSERT(bytes == PAGE_SIZE << class);
	if (class < CACHED_CLASSES) {
		stack = cpu_cache_take(class);
		if (stack) {
			san_unpoison(stack, bytes);
			*cached = true;
			return stack;
		}
	}
	return stack_alloc_slow(class, cached);
}

void stack_free(void *stack, size_t bytes)
{
	unsigned class = slot_class(bytes);

	ASSERT(bytes <= STACK_SLOT_MAX && bytes == PAGE_SIZE << class &&
	       IS_ALIGNED((uintptr_t)stack, bytes));
	san_poison(stack, bytes, SAN_FREED_STACK);
	if (class >= CACHED_CLASSES || !cpu_cache_give(stack, class))
		stack_free_slow(stack, class);
}

bool stack_is_guard(uintptr_t addr)
{
	const struct stack_chunk *chunk = chunk_of(addr);

	if (!chunk)
		return addr - (uintptr_t)boot_stack_guard < PAGE_SIZE ||
		       addr - (uintptr_t)boot_fault_guard < PAGE_SIZE;
	return chunk->class != CLASS_NONE &&
	       addr % (2 * (PAGE_SIZE << chunk->class)) < PAGE_SIZE << chunk->class;
}
