/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Busy threads that look at the cycle counter after each block of work.
 *
 * What lies between two looks of one thread, with nobody else's look on that CPU in between, is its
 * own, interrupts included, as the scheduler counts them, too. What lies between the looks of two,
 * the gap, has a switch in it, and the rest of the block that one of them was in. The scheduler reads
 * its clock somewhere within the gap, so
 *
 *     own <= CPU time <= own + gaps on either side.
 *
 * Blocks are all equally long, whatever comes in between: a count of them is a measure of service
 * that has nothing to do with clocks. On one CPU it is what lag is taken from: it turns where a
 * thread begins and ends to be served, so it is looked at there, for both of them.
 *
 * Looks are made with irqs masked, on the CPU they are about. Under an emulator whose CPUs take
 * turns, blocks are no measure on several CPUs; cycles are.
 */
#include "fairness.h"

struct hogs hogs;

void hog_note_lag(struct hog *h, const struct place *p)
{
	int64_t lag = (int64_t)(p->blocks * h->weight - h->blocks * hogs.weight);

	h->lag_min = MIN(h->lag_min, lag);
	h->lag_max = MAX(h->lag_max, lag);
}

/*
 * Whoever is owed the few ns by which a timer was late is served first, so now and then one has
 * several slices in a row; then the end of the last one is what counts.
 */
static void end_stint(struct hog *h, struct place *p, uint64_t now)
{
	uint64_t cycles = now - h->arrived, slice = hogs.slice_cycles;
	uint64_t whole = slice ? MAX((cycles + slice / 2) / slice, 1ull) * slice : 0;

	h->stints++;
	if (slice && !p->cut && !hogs.over)
		h->slice_error = MAX(h->slice_error, (uint64_t)ABS((int64_t)(cycles - whole)));
	p->cut = false;
}

/* The first look of @h after somebody else's. */
static __noinline void arrive(struct hog *h, struct place *p, uint64_t now)
{
	struct hog *prev = p->last;

	if (prev) {
		uint64_t gap = now - p->seen;

		p->gap[prev->index] += gap;
		p->gap[h->index] += gap;
		p->gap_max = MAX(p->gap_max, gap);
		end_stint(prev, p, now);
		hog_note_lag(prev, p);
	}
	hog_note_lag(h, p);
	if (!h->place)
		h->first_ns = thread_runtime_ns(thread_current());
	h->arrived = now;
	h->place = p;
	p->last = h;
}

/* Irqs masked. */
static void look(struct hog *h)
{
	struct place *p = &hogs.place[arch_cpu_self()->index];
	uint64_t now = arch_cycles();

	if (likely(p->last == h && h->place == p)) {
		h->own += h->sampled ? 0 : now - p->seen;
		h->block = now - p->seen;
	} else {
		arrive(h, p, now);
	}
	h->blocks++;
	p->blocks++;
	p->seen = now;
	if (unlikely(atomic_load_relaxed(&hogs.over) && !h->sampled)) {
		h->ran_ns = thread_runtime_ns(thread_current()) - h->first_ns;
		h->sampled = true;
	}
}

/* Nothing but instructions: an emulator is quick with these. */
static void work(unsigned loops)
{
	for (; loops; loops--)
		__asm__ volatile(".rept 98\n\tnop\n\t.endr");
}

bool hog_look(struct hog *h)
{
	unsigned long flags = arch_irq_save();
	bool stop;

	look(h);
	stop = atomic_load_relaxed(&hogs.stop);
	arch_irq_restore(flags);
	return !stop;
}

bool hog_block(struct hog *h)
{
	work(hogs.block_loops);
	return hog_look(h);
}

void *hog_main(void *hog)
{
	while (hog_block(hog))
		;
	return NULL;
}
