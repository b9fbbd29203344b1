/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contended half of spinlocks, and the rank checker of debug builds.
 *
 * A waiter appends itself to the queue with one compare-and-swap of the tail, then spins on its own
 * node until its predecessor passes the head on, then on the owner half of the word. Only the head
 * of the queue may take a lock that has a tail; the fast path needs the whole word to be 0. So the
 * lock is granted in arrival order, and each waiter spins on its own cache line.
 *
 *   owner: CPU 1        head: CPU 2                    CPU 3
 *   unlock: owner = 0   sees owner 0                   spins on its node
 *   .                   tail is 3, not me:
 *   .                   owner = 2; node[3].ready = 1   head now: spins on owner
 */
#include "core/lock.h"
#include "core/cpu.h"
#include "core/panic.h"

/* Puts @self at the tail. True when the lock was free after all and is now ours. */
static bool lock_join_queue(struct spinlock *l, uint32_t self, uint32_t *prev_tail)
{
	uint32_t word = atomic_load_relaxed(&l->word);

	for (;;) {
		uint32_t new = word ? (word & 0xffff) | self << 16 : self;

		if (atomic_cas_acq_rel(&l->word, &word, new)) {
			*prev_tail = word >> 16;
			return word == 0;
		}
	}
}

/*
 * At the head with the owner gone: takes the lock, and passes the head on if somebody waits behind.
 */
static void lock_take_head(struct spinlock *l, uint32_t self, struct lock_node *node)
{
	uint32_t alone = self << 16;
	struct lock_node *next;

	if (atomic_cas_acquire(&l->word, &alone, self))
		return;
	atomic_store_relaxed(&l->owner, (uint16_t)self);
	while (!(next = atomic_load_acquire(&node->next)))
		arch_cpu_relax();
	atomic_store_release(&next->ready, 1u);
}

void spin_lock_slow(void *lock, unsigned long self_id)
{
	struct spinlock *l = lock;
	uint32_t self = (uint32_t)self_id;
	struct lock_node *node = &arch_cpu_self()->lock_node;
	uint32_t prev_tail;

	ASSERT(!spin_held(l));
	node->next = NULL;
	node->ready = 0;
	if (lock_join_queue(l, self, &prev_tail))
		return;
	if (prev_tail) {
		atomic_store_release(&cpu_at(prev_tail - 1)->lock_node.next, node);
		while (!atomic_load_acquire(&node->ready))
			arch_cpu_relax();
	}
	while (atomic_load_acquire(&l->owner))
		arch_cpu_relax();
	lock_take_head(l, self, node);
}

__noinline __attribute__((flatten)) void spin_lock_call(struct spinlock *l)
{
	spin_lock(l);
}

unsigned long(spin_lock_irqsave)(struct spinlock *l)
{
	unsigned long flags = arch_irq_save();

	spin_lock_call(l);
	return flags;
}

void spin_lock_pair(struct spinlock *a, struct spinlock *b)
{
	struct spinlock *first = a < b ? a : b, *second = a < b ? b : a;

	spin_lock_call(first);
	spin_lock_call(second);
}

/*
 * Equal ranks are allowed for the second lock of a pair only, which is the one at the higher
 * address.
 */
void lock_debug_acquire(const struct spinlock *l)
{
	struct lock_ranks *r = &arch_cpu_self()->lock_ranks;

	ASSERT(!arch_irq_enabled());
	for (unsigned i = 0; i < r->n; i++)
		if (r->held[i] > l->rank ||
		    (r->held[i] == l->rank && l->rank != LOCK_RUNQUEUE && l->rank != LOCK_TIMER))
			panic("lock order: rank %u taken while holding rank %u", l->rank,
			      r->held[i]);
	lock_debug_tried(l);
}

void lock_debug_tried(const struct spinlock *l)
{
	struct lock_ranks *r = &arch_cpu_self()->lock_ranks;

	ASSERT(r->n < ARRAY_SIZE(r->held));
	r->held[r->n++] = l->rank;
}

void lock_debug_release(const struct spinlock *l)
{
	struct lock_ranks *r = &arch_cpu_self()->lock_ranks;

	ASSERT(spin_held(l));
	for (unsigned i = r->n; i-- > 0;)
		if (r->held[i] == l->rank) {
			r->held[i] = r->held[--r->n];
			return;
		}
	panic("lock order: rank %u released but not held", l->rank);
}
