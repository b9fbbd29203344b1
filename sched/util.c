/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The average of sched/util.h. Powers of one half come from a table of 32 steps an octave. Caller
 * holds the rq lock of the thread, but for thread_util(), which takes it.
 */
#include "sched/util.h"
#include "core/topology.h"
#include "sched/sched.h"

#define STEPS   32
#define STEP_LN 93032640ull /* 2^32 * ln(2) / STEPS */

/* 2^32 * 2^-(i / 32) */
static const uint32_t half_power[STEPS] = {
	0xffffffff, 0xfa83b2db, 0xf5257d15, 0xefe4b99c, 0xeac0c6e8, 0xe5b906e7, 0xe0ccdeec,
	0xdbfbb798, 0xd744fccb, 0xd2a81d92, 0xce248c15, 0xc9b9bd86, 0xc5672a11, 0xc12c4cca,
	0xbd08a39f, 0xb8fbaf47, 0xb504f334, 0xb123f582, 0xad583eea, 0xa9a15ab5, 0xa5fed6aa,
	0xa2704303, 0x9ef53261, 0x9b8d39ba, 0x9837f052, 0x94f4efa9, 0x91c3d374, 0x8ea4398b,
	0x8b95c1e4, 0x88980e81, 0x85aac368, 0x82cd8699,
};

/*
 * 2^32 * 2^-(@ns / 32 ms): whole steps from the table, the rest by the first terms of the series of
 * e^-x, so that a thousand short intervals make the same as a long one.
 */
static uint64_t decay(uint64_t ns)
{
	uint64_t octaves = ns / UTIL_HALF_NS, at = ns % UTIL_HALF_NS * STEPS;
	uint64_t x = at % UTIL_HALF_NS * STEP_LN / UTIL_HALF_NS;

	if (octaves >= 32)
		return 0;
	x = (1ull << 32) - x + (x * x >> 33);
	return (half_power[at / UTIL_HALF_NS] * (x >> 1) >> 31) >> octaves;
}

uint32_t util_next(uint32_t avg, uint64_t passed_ns, uint64_t ran_ns, unsigned capacity)
{
	uint64_t y, rate;

	if (!passed_ns)
		return avg;
	y = decay(passed_ns);
	ran_ns = MIN(ran_ns, passed_ns);
	while (passed_ns >> 32) {
		passed_ns >>= 1;
		ran_ns >>= 1;
	}
	rate = ((ran_ns << (UTIL_SHIFT + 10)) / passed_ns) * capacity / TOPOLOGY_CAPACITY_MAX;
	return (uint32_t)((avg * y + rate * ((1ull << 32) - y)) >> 32);
}

void util_update(struct thread *t, uint64_t now_ns, uint64_t runtime_ns)
{
	struct util *u = &t->sched.util;

	if (now_ns <= u->at_ns)
		return;
	u->avg = util_next(u->avg, now_ns - u->at_ns, runtime_ns - u->runtime_ns,
			   cpu_capacity(t->sched.cpu->index));
	u->at_ns = now_ns;
	u->runtime_ns = runtime_ns;
}

uint32_t util_read(struct thread *t, uint64_t now_ns)
{
	struct runqueue *rq = &t->sched.cpu->rq;
	uint64_t runtime_ns = t->sched.runtime_ns;

	if (rq->curr == t)
		runtime_ns += now_ns - rq->since_ns;
	util_update(t, now_ns, runtime_ns);
	return t->sched.util.avg >> UTIL_SHIFT;
}

LOCK_UNCHECKED uint32_t thread_util(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);
	uint32_t util = util_read(t, time_now_ns());

	spin_unlock_irqrestore(&rq->lock, flags);
	return util;
}
