/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The largest single operation of the fair class among 100,000 that can run: the queue's part of
 * yield, end of slice, block and wake-up, each timed alone with interrupts masked, with weights of
 * all nice values and slices of 0.1 to 100 ms at random from a fixed seed. The queue is one of its
 * own: nothing else runs meanwhile. What a real operation has besides (lock, clock, switch) is in
 * the rows yield_fair_*.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/time.h"
#include "sched/eevdf.h"

#define ENTITIES   100000u
#define OPERATIONS 40000u

static struct eevdf_queue queue;
static struct eevdf_entity *entities, *curr;
static uint64_t random_state = 88172645463325252ull, worst;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)(random_state * 0x2545f4914f6cdd1dull >> 32) % n;
}

static void op_yield(void)
{
	eevdf_charge(&queue, curr, random_below(5000));
	eevdf_yield(&queue, curr);
	curr = eevdf_rotate(&queue, curr);
}

static void op_expire(void)
{
	eevdf_charge(&queue, curr, eevdf_slice_left_ns(curr));
	eevdf_renew(curr);
	curr = eevdf_rotate(&queue, curr);
}

/* Part of the slice, then away: the next one is picked and taken out. */
static void op_block(void)
{
	eevdf_charge(&queue, curr, eevdf_slice_left_ns(curr) / 2);
	if (eevdf_eligible(&queue, curr))
		eevdf_leave(&queue, curr);
	else
		eevdf_delay(&queue, curr);
	eevdf_release(&queue);
	curr = eevdf_pick(&queue, NULL);
	eevdf_take(&queue, curr);
}

static struct eevdf_entity *sleeper;

static void op_wake(void)
{
	eevdf_charge(&queue, curr, random_below(5000));
	eevdf_release(&queue);
	if (sleeper->delayed) {
		eevdf_undelay(&queue, sleeper);
		eevdf_request(sleeper);
	} else {
		eevdf_join(&queue, sleeper, EEVDF_PLACE_WAKE);
	}
	eevdf_put(&queue, sleeper);
	eevdf_preempts(&queue, curr, sleeper);
}

static void timed(void (*op)(void))
{
	unsigned long flags = arch_irq_save();
	uint64_t start = arch_cycles();

	op();
	worst = MAX(worst, arch_cycles() - start - counter_overhead);
	arch_irq_restore(flags);
}

static void fill(void)
{
	for (unsigned i = 0; i < ENTITIES; i++) {
		struct eevdf_entity *e = &entities[i];
		uint64_t slice_ns = SCHED_SLICE_MIN_NS;

		for (uint32_t decade = random_below(3); decade; decade--)
			slice_ns *= 10;
		eevdf_entity_init(e, eevdf_nice_weight[random_below(40)],
				  slice_ns + slice_ns * 9 * random_below(1000) / 1000);
		eevdf_join(&queue, e, EEVDF_PLACE_NEW);
		eevdf_put(&queue, e);
	}
	curr = eevdf_pick(&queue, NULL);
	eevdf_take(&queue, curr);
}

void rows_tree(void)
{
	entities = malloc(ENTITIES * sizeof(*entities));
	if (!entities) {
		fprintf(stderr, "bench: no memory for %u entities\n", ENTITIES);
		exit(1);
	}
	eevdf_init(&queue);
	fill();
	for (unsigned i = 0; i < OPERATIONS; i++) {
		timed(op_yield);
		timed(op_expire);
		sleeper = curr;
		timed(op_block);
		timed(op_wake);
	}
	row_send_value("fair_op_max_100000", worst, "cycles");
	free(entities);
}
