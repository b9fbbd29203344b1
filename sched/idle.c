/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The idle class: one thread a CPU, in no queue, always ready, never stolen. Caller holds rq->lock.
 */
#include "sched/sched.h"

static void idle_stop(struct runqueue *rq, struct thread *t, enum stop_reason why)
{
	(void)rq;
	(void)t;
	ASSERT(why != STOP_BLOCKED);
}

static struct thread *idle_pick(struct runqueue *rq)
{
	return rq->idle;
}

static void idle_start(struct runqueue *rq, struct thread *t)
{
	ASSERT(t == rq->idle);
}

static struct thread *idle_steal(const struct runqueue *rq, const struct cpumask *cpus)
{
	(void)rq;
	(void)cpus;
	return NULL;
}

struct sched_class idle_class = {
	.name = "idle",
	.rank = RANK_IDLE,
	.stop = idle_stop,
	.pick = idle_pick,
	.start = idle_start,
	.steal = idle_steal,
};
