/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rings know of each thread: slots by number, in pages that stay until the policy is gone,
 * so that a handle of long ago may be looked at. A handle is the number and how often the slot was
 * given away.
 */
#include "core/mem/page.h"
#include "sched/ext/rings.h"

#define PER_PAGE  (PAGE_SIZE / sizeof(struct ring_slot))
#define PAGES_MAX 2048

static struct ring_slot *pages[PAGES_MAX]; /* [a] */
static unsigned nr_pages;                  /* slots_lock */
static struct list_head free_slots;        /* slots_lock */
static struct spinlock slots_lock = SPINLOCK_INIT(LOCK_EXT);

/* slots_lock held. NULL: none is free. */
static struct ring_slot *take(struct task_struct *p)
{
	struct ring_slot *slot;

	if (!free_slots.next || list_empty(&free_slots))
		return NULL;
	slot = list_first(&free_slots, struct ring_slot, order);
	list_del_init(&slot->order);
	*slot = (struct ring_slot){
		.p = p, .index = slot->index, .generation = slot->generation + 1, .wait = slot->wait
	};
	return slot;
}

static LOCK_UNCHECKED bool add_page(void)
{
	struct ring_slot *page = page_alloc_zero(0);
	unsigned long flags;
	bool room;

	if (!page)
		return false;
	flags = spin_lock_irqsave(&slots_lock);
	room = nr_pages < PAGES_MAX;
	if (!free_slots.next)
		list_init(&free_slots);
	for (unsigned i = 0; room && i < PER_PAGE; i++) {
		page[i].index = nr_pages * (uint32_t)PER_PAGE + i;
		list_add_tail(&page[i].order, &free_slots);
	}
	if (room)
		atomic_store_release(&pages[nr_pages++], page);
	spin_unlock_irqrestore(&slots_lock, flags);
	if (!room)
		page_free(page, 0);
	return room;
}

LOCK_UNCHECKED struct ring_slot *ring_slot_alloc(struct task_struct *p)
{
	for (;;) {
		unsigned long flags = spin_lock_irqsave(&slots_lock);
		struct ring_slot *slot = take(p);

		spin_unlock_irqrestore(&slots_lock, flags);
		if (slot || !add_page())
			return slot;
	}
}

LOCK_UNCHECKED void ring_slot_free(struct ring_slot *slot)
{
	unsigned long flags = spin_lock_irqsave(&slots_lock);

	slot->p = NULL;
	atomic_store_relaxed(&slot->generation, slot->generation + 1);
	list_add_head(&slot->order, &free_slots);
	spin_unlock_irqrestore(&slots_lock, flags);
}

struct ring_slot *ring_slot_find(uint64_t handle)
{
	uint32_t index = (uint32_t)handle;
	struct ring_slot *page;

	if (index / PER_PAGE >= PAGES_MAX)
		return NULL;
	page = atomic_load_acquire(&pages[index / PER_PAGE]);
	return page ? &page[index % PER_PAGE] : NULL;
}

/* Nobody calls anything of this any more. */
void ring_slots_end(void)
{
	for (unsigned i = 0; i < nr_pages; i++) {
		page_free(pages[i], 0);
		pages[i] = NULL;
	}
	nr_pages = 0;
	list_init(&free_slots);
}
