/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See levels.h. Runs between two steps of the machine, as watch.c does: it reads the scheduler's data
 * and touches nothing.
 */
#include "apps/sim/levels.h"

#include <stdlib.h>

#include "sched/sched.h"

static const struct scenario *scenario;

/* Fair threads that are not the scenario's: the director. */
static struct fluid_member *member_of(const struct thread *t)
{
	struct sim_thread *st = watch_thread(t);

	return st ? &st->fluid : &watch.director.fluid;
}

struct sim_group *levels_group(const struct thread_group *g)
{
	for (unsigned i = 0; g && i < scenario->nr_groups; i++)
		if (watch.groups[i].group == g)
			return &watch.groups[i];
	return NULL;
}

/* Of the members of @g, NULL: at the top. */
static struct fluid_queue *queue_at(unsigned cpu, struct sim_group *g)
{
	return g ? &g->on[cpu].queue : &watch.cpus[cpu].fluid;
}

void levels_init(const struct scenario *s)
{
	scenario = s;
	watch.groups = calloc(s->nr_groups + 1, sizeof(struct sim_group));
	ASSERT(watch.groups);
	for (unsigned i = 0; i < s->nr_groups; i++) {
		struct sim_group *g = &watch.groups[i];

		g->on = calloc(s->cpus, sizeof(struct sim_group_cpu));
		ASSERT(g->on);
		if (s->groups[i].parent != NO_GROUP)
			g->parent = &watch.groups[s->groups[i].parent];
	}
}

/* ---- who is served --------------------------------------------------------------------------- */

/* The thread that runs has been charged: at each level. */
void levels_served(unsigned cpu)
{
	struct watch_cpu *c = &watch.cpus[cpu];
	uint64_t ns;

	if (!c->thread || !c->serves)
		return;
	ns = c->thread->sched.runtime_ns - c->runtime_ns;
	c->runtime_ns += ns;
	fluid_served(queue_at(cpu, c->leaf), c->runtime_ns);
	for (struct sim_group *g = c->leaf; g; g = g->parent) {
		g->on[cpu].runtime_ns += ns;
		fluid_served(queue_at(cpu, g->parent), g->on[cpu].runtime_ns);
	}
}

static void serve_entity(unsigned cpu, struct sim_group *g)
{
	fluid_runs(queue_at(cpu, g->parent), &g->on[cpu].entity, g->on[cpu].runtime_ns);
}

/* From here on @t is served, if it is fair. */
void levels_serve(unsigned cpu, const struct thread *t)
{
	struct watch_cpu *c = &watch.cpus[cpu];
	struct fluid_member *m = member_of(t);
	struct sim_group *g = c->leaf;

	fluid_runs(queue_at(cpu, g), NULL, 0);
	for (; g; g = g->parent)
		fluid_runs(queue_at(cpu, g->parent), NULL, 0);
	c->leaf = levels_group(t->sched.group);
	c->runtime_ns = t->sched.runtime_ns;
	c->serves = m->queue == queue_at(cpu, c->leaf);
	if (!c->serves) {
		c->leaf = NULL;
		return;
	}
	fluid_runs(queue_at(cpu, c->leaf), m, c->runtime_ns);
	for (g = c->leaf; g; g = g->parent)
		serve_entity(cpu, g);
}

/* ---- beside the scheduler's own idea ------------------------------------------------------- */

/* Where the scheduler keeps what it knows about @m; NULL: it is not compared. */
static struct eevdf_entity *entity_of(unsigned cpu, struct fluid_member *m)
{
	struct sim_thread *st = container_of(m, struct sim_thread, fluid);

	for (unsigned i = 0; i < scenario->nr_groups; i++)
		if (m == &watch.groups[i].on[cpu].entity)
			return &watch.groups[i].group->on[cpu].entity;
	return st->thread ? &st->thread->sched.fair : NULL;
}

static void compare_queue(unsigned cpu, struct fluid_queue *q, const struct eevdf_queue *theirs)
{
	for (unsigned i = 0; i < q->nr; i++) {
		struct eevdf_entity *e = entity_of(cpu, q->members[i]);
		int64_t off_ns;

		if (!e)
			continue;
		off_ns = eevdf_lag_ns(theirs, e) - fluid_lag_ns(q->members[i]);
		watch.lag_difference_ns =
			MAX(watch.lag_difference_ns, (uint64_t)(off_ns < 0 ? -off_ns : off_ns));
	}
}

/*
 * What the scheduler thinks of its members' lag beside what the reference does: the one place that
 * reads it, and for nothing else. Only in the queues where a thread was picked: where nobody looked,
 * as before a switch to real time, one who has paid what it owed is still counted.
 */
void levels_compare(struct cpu *cpu)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];

	if (!c->serves)
		return;
	compare_queue(cpu->index, &c->fluid, &cpu->rq.fair);
	for (struct sim_group *g = c->leaf; g; g = g->parent)
		compare_queue(cpu->index, &g->on[cpu->index].queue,
			      &g->group->on[cpu->index].queue);
}

/* ---- events --------------------------------------------------------------------------------- */

static void queue_event(enum sched_event what, struct fluid_queue *q, struct fluid_member *m,
			uint32_t weight, uint64_t runtime_ns)
{
	switch (what) {
	case SCHED_EVENT_JOIN:
		fluid_join(q, m, weight, runtime_ns);
		break;
	case SCHED_EVENT_LEAVE:
		fluid_leave(q, m);
		break;
	case SCHED_EVENT_WEIGHT:
		fluid_weight(q, m, weight);
		break;
	case SCHED_EVENT_DELAY:
		fluid_delay(q, m);
		break;
	case SCHED_EVENT_RESUME:
		fluid_resume(q, m, runtime_ns);
		break;
	default:
		break;
	}
}

/* Of a group in its parent's queue. It may come while a member of it runs, which has just come, too. */
static void group_event(enum sched_event what, struct watch_cpu *c, unsigned cpu,
			const struct group_cpu *gc)
{
	struct sim_group *g = levels_group(gc->group), *above;

	if (!g)
		return;
	queue_event(what, queue_at(cpu, g->parent), &g->on[cpu].entity, gc->entity.weight,
		    g->on[cpu].runtime_ns);
	for (above = c->serves ? c->leaf : NULL; above; above = above->parent)
		if (above == g && what == SCHED_EVENT_JOIN)
			serve_entity(cpu, g);
}

void levels_event(enum sched_event what, unsigned cpu, const struct thread *a, uint64_t arg)
{
	struct watch_cpu *c = &watch.cpus[cpu];

	if (!a) {
		group_event(what, c, cpu, (const struct group_cpu *)(uintptr_t)arg);
		return;
	}
	queue_event(what, queue_at(cpu, levels_group(a->sched.group)), member_of(a), (uint32_t)arg,
		    a->sched.runtime_ns);
	if (what == SCHED_EVENT_JOIN && c->thread == a)
		levels_serve(cpu, a);
}

uint64_t levels_sum_error_ns(unsigned cpu)
{
	uint64_t worst = fluid_sum_error_ns(&watch.cpus[cpu].fluid);

	for (unsigned i = 0; i < scenario->nr_groups; i++)
		worst = MAX(worst, fluid_sum_error_ns(&watch.groups[i].on[cpu].queue));
	return worst;
}
