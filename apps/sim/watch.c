/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See watch.h. Everything here runs between two steps of the machine: it may read the scheduler's
 * data, because nothing moves, and must not call what a virtual CPU would: no atomics of
 * core/atomic.h, no locks, no clock but host_now_ns.
 *
 * CPU time is counted twice: by the switches seen here and by the scheduler's own account; the
 * difference is a result (clock_error). The fluid reference goes by the scheduler's account,
 * because that is what it can share out.
 */
#include "apps/sim/watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "sched/sched.h"

#define NO_CPU UINT32_MAX

struct watch watch;

static const struct scenario *scenario;

/* The entry function of a scenario's threads gives its struct sim_thread as argument. */
static struct sim_thread *sim_thread_of(const struct thread *t)
{
	struct sim_thread *st = t->arg;

	if (st >= watch.threads && st < watch.threads + scenario->nr_threads)
		return st;
	return NULL;
}

/* Fair threads that are not the scenario's: the director. */
static struct fluid_member *member_of(const struct thread *t)
{
	struct sim_thread *st = sim_thread_of(t);

	return st ? &st->fluid : &watch.director.fluid;
}

static struct sim_group *group_of(const struct thread_group *g)
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

static void init_groups(const struct scenario *s)
{
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

void watch_init(const struct scenario *s)
{
	scenario = s;
	watch.threads = calloc(s->nr_threads, sizeof(struct sim_thread));
	watch.cpus = calloc(s->cpus, sizeof(struct watch_cpu));
	watch.busy_at_ns = calloc(s->nr_expects + 1, sizeof(uint64_t));
	ASSERT(watch.threads && watch.cpus && watch.busy_at_ns);
	init_groups(s);
	for (unsigned i = 0; i < s->nr_threads; i++)
		watch.threads[i].cpu = NO_CPU;
	for (unsigned i = 0; i < s->nr_expects; i++)
		watch.busy_at_ns[i] = UINT64_MAX;
	watch.hash = 0xcbf29ce484222325ull;
	watch.all_busy_since_ns = UINT64_MAX;
	watch.wasted_since_ns = UINT64_MAX;
	watch.start_ns = UINT64_MAX;
}

/* ---- switches -------------------------------------------------------------------------------- */

/* FNV-1a over the bytes of @value, lowest first. */
static void hash_add(uint64_t value, unsigned bytes)
{
	for (; bytes; bytes--, value >>= 8)
		watch.hash = (watch.hash ^ (value & 0xff)) * 0x100000001b3ull;
}

static void hash_switch(const struct cpu *cpu, const struct thread *prev, const struct thread *next,
			uint64_t reason)
{
	hash_add(host_now_ns, 8);
	hash_add(cpu->index, 2);
	hash_add((uint64_t)prev->tid, 4);
	hash_add((uint64_t)next->tid, 4);
	hash_add(reason, 1);
	watch.hashed++;
}

/* All CPUs have been busy up to now: whose moment was in that time? */
static void note_all_busy(void)
{
	if (watch.all_busy_since_ns == UINT64_MAX || watch.start_ns == UINT64_MAX)
		return;
	for (unsigned i = 0; i < scenario->nr_expects; i++) {
		const struct expect *e = &scenario->expects[i];
		uint64_t after_ns = watch.start_ns + e->after;

		if (e->metric == METRIC_ALL_BUSY && watch.busy_at_ns[i] == UINT64_MAX &&
		    host_now_ns >= after_ns)
			watch.busy_at_ns[i] = MAX(watch.all_busy_since_ns, after_ns) - after_ns;
	}
}

static void count_busy(const struct sim_thread *prev, const struct sim_thread *next)
{
	if (!prev == !next)
		return;
	if (next && ++watch.nr_busy == scenario->cpus)
		watch.all_busy_since_ns = host_now_ns;
	if (prev && watch.nr_busy-- == scenario->cpus) {
		note_all_busy();
		watch.all_busy_since_ns = UINT64_MAX;
	}
}

static void charge(struct watch_cpu *c)
{
	uint64_t ns = host_now_ns - c->since_ns;

	c->since_ns = host_now_ns;
	if (!c->curr)
		return;
	c->curr->cpu_ns += ns;
	c->curr->whole_ns += ns;
	for (struct sim_group *g = group_of(c->thread->sched.group); g; g = g->parent)
		g->cpu_ns += ns;
}

/* ---- who is served --------------------------------------------------------------------------- */

/* The thread that runs has been charged: at each level. */
static void served(unsigned cpu)
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
static void serve(unsigned cpu, const struct thread *t)
{
	struct watch_cpu *c = &watch.cpus[cpu];
	struct fluid_member *m = member_of(t);
	struct sim_group *g = c->leaf;

	fluid_runs(queue_at(cpu, g), NULL, 0);
	for (; g; g = g->parent)
		fluid_runs(queue_at(cpu, g->parent), NULL, 0);
	c->leaf = group_of(t->sched.group);
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

/*
 * An event is told after @st, which runs, was charged: since the last one both accounts have grown
 * by the same, but for the steps between the scheduler's look at the clock and its word. Real time is
 * charged when it stops.
 */
static void compare_clocks(struct sim_thread *st, const struct thread *t)
{
	int64_t off_ns = (int64_t)(st->whole_ns - t->sched.runtime_ns);

	watch.clock_error_ns = MAX(watch.clock_error_ns, (uint64_t)(off_ns < 0 ? -off_ns : off_ns));
	st->whole_ns = t->sched.runtime_ns;
}

/* Not one that the director cut in two. */
static void end_stint(struct watch_cpu *c, const struct sim_thread *next, uint64_t reason)
{
	uint64_t ns = host_now_ns - c->stint_ns;

	if (!c->curr || !next || c->resumed || reason != STOP_PREEMPTED ||
	    watch.start_ns == UINT64_MAX || c->stint_ns < watch.start_ns + scenario->from_ns)
		return;
	c->curr->stint_min_ns = MIN(c->curr->stint_min_ns, ns);
	c->curr->stint_max_ns = MAX(c->curr->stint_max_ns, ns);
}

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
static void compare_lags(struct cpu *cpu)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];

	if (!c->serves)
		return;
	compare_queue(cpu->index, &c->fluid, &cpu->rq.fair);
	for (struct sim_group *g = c->leaf; g; g = g->parent)
		compare_queue(cpu->index, &g->on[cpu->index].queue,
			      &g->group->on[cpu->index].queue);
}

static void switched(struct cpu *cpu, const struct thread *prev, const struct thread *next,
		     uint64_t reason)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];
	struct sim_thread *to = sim_thread_of(next);

	hash_switch(cpu, prev, next, reason);
	end_stint(c, to, reason);
	count_busy(c->curr, to);
	serve(cpu->index, next);
	if (watch.compares_lags)
		compare_lags(cpu);
	c->resumed = !c->curr && prev->tid;
	c->curr = to;
	c->thread = next;
	c->stint_ns = host_now_ns;
	watch.switches++;
	if (!to)
		return;
	to->switches++;
	if (to->cpu != cpu->index && to->cpu != NO_CPU) {
		to->migrations++;
		watch.migrations++;
	}
	to->cpu = cpu->index;
}

/* From 1; 0: none. */
static int number_of(const struct sim_group *g)
{
	return g ? (int)(g - watch.groups) + 1 : 0;
}

/*
 * "log <event> <ns> <cpu> <tid> <tid or 0> <arg> <tid that runs> <its CPU time, by the scheduler>
 * <number of the group whose queue it is about, or 0>": all that the reference goes by, for a check
 * of the reference itself. A group counts as a thread with its number, negative, as tid.
 */
static void log_event(enum sched_event what, const struct cpu *cpu, const struct thread *a,
		      const struct thread *b, uint64_t arg)
{
	static const char *const names[] = {
		"switch", "join", "leave", "weight", "delay", "resume"
	};
	const struct thread *runs = watch.cpus[cpu->index].thread;
	const struct group_cpu *gc = a ? NULL : (const struct group_cpu *)(uintptr_t)arg;
	const struct sim_group *g = group_of(a ? a->sched.group : gc->group);

	printf("log %s %llu %u %d %d %llu %d %llu %d\n", names[what],
	       (unsigned long long)host_now_ns, cpu->index, a ? (int)a->tid : -number_of(g),
	       b ? (int)b->tid : 0, (unsigned long long)(a ? arg : gc->entity.weight),
	       runs ? (int)runs->tid : 0, runs ? (unsigned long long)runs->sched.runtime_ns : 0,
	       number_of(a ? g : g->parent));
}

void watch_forget(struct sim_thread *st)
{
	fluid_forget(&st->fluid);
	if (watch.log)
		printf("log forget %d\n", (int)st->thread->tid);
}

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
	struct sim_group *g = group_of(gc->group), *above;

	if (!g)
		return;
	queue_event(what, queue_at(cpu, g->parent), &g->on[cpu].entity, gc->entity.weight,
		    g->on[cpu].runtime_ns);
	for (above = c->serves ? c->leaf : NULL; above; above = above->parent)
		if (above == g && what == SCHED_EVENT_JOIN)
			serve_entity(cpu, g);
}

void watch_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
		 const struct thread *b, uint64_t arg)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];

	if (watch.log)
		log_event(what, cpu, a, b, arg);
	charge(c);
	if (c->curr && (what == SCHED_EVENT_SWITCH || c->serves))
		compare_clocks(c->curr, c->thread);
	served(cpu->index);
	if (!a)
		group_event(what, c, cpu->index, (const struct group_cpu *)(uintptr_t)arg);
	else if (what == SCHED_EVENT_SWITCH)
		switched(cpu, a, b, arg);
	else
		queue_event(what, queue_at(cpu->index, group_of(a->sched.group)), member_of(a),
			    (uint32_t)arg, a->sched.runtime_ns);
	if (what == SCHED_EVENT_JOIN && a && c->thread == a)
		serve(cpu->index, a);
	if (watch.progress && !(watch.hashed & 0xffff))
		watch.progress(host_now_ns);
}

/* ---- between the events ---------------------------------------------------------------------- */

static bool may_run(const struct runqueue *rq, const struct cpumask *idle)
{
	for (unsigned i = 0; i < ARRAY_SIZE(sched_classes); i++)
		if (sched_classes[i]->steal(rq, idle))
			return true;
	return false;
}

static bool wasted_now(void)
{
	struct cpumask idle = { 0 };

	for (unsigned i = 0; i < scenario->cpus; i++)
		if (host_cpu_is_idle(i) && cpumask_test(&cpu_online_mask, i))
			cpumask_set(&idle, i);
	if (cpumask_empty(&idle))
		return false;
	for (unsigned i = 0; i < scenario->cpus; i++)
		if (!cpumask_test(&idle, i) && cpu_at(i)->rq.nr_ready &&
		    may_run(&cpu_at(i)->rq, &idle))
			return true;
	return false;
}

static void note_waste(void)
{
	if (watch.wasted_since_ns != UINT64_MAX)
		watch.wasted_max_ns = MAX(watch.wasted_max_ns, host_now_ns - watch.wasted_since_ns);
	if (!wasted_now())
		watch.wasted_since_ns = UINT64_MAX;
	else if (watch.wasted_since_ns == UINT64_MAX)
		watch.wasted_since_ns = host_now_ns;
}

static void note_throttled(void)
{
	for (unsigned i = 0; i < scenario->nr_groups; i++)
		for (unsigned k = 0; watch.groups[i].group && k < scenario->cpus; k++) {
			struct sim_group_cpu *on = &watch.groups[i].on[k];

			if (on->throttled)
				watch.groups[i].throttled_ns +=
					host_now_ns - watch.throttled_since_ns;
			on->throttled = watch.groups[i].group->on[k].throttled;
		}
	watch.throttled_since_ns = host_now_ns;
}

/* What is so now stays so until time has passed. */
void watch_moment(bool quiet)
{
	(void)quiet;
	if (watch.start_ns == UINT64_MAX)
		return;
	if (watch.waste)
		note_waste();
	if (watch.throttling)
		note_throttled();
}

uint64_t watch_sum_error_ns(unsigned cpu)
{
	uint64_t worst = fluid_sum_error_ns(&watch.cpus[cpu].fluid);

	for (unsigned i = 0; i < scenario->nr_groups; i++)
		worst = MAX(worst, fluid_sum_error_ns(&watch.groups[i].on[cpu].queue));
	return worst;
}

/* ---- phases ---------------------------------------------------------------------------------- */

void watch_start(void)
{
	for (unsigned i = 0; watch.log && i < scenario->nr_groups; i++)
		printf("log group %u %d\n", i + 1, number_of(watch.groups[i].parent));
	watch.start_ns = host_now_ns;
}

/* All that counts from here on is set back. */
void watch_from(void)
{
	if (watch.log)
		printf("log from %llu\n", (unsigned long long)host_now_ns);
	for (unsigned i = 0; i < scenario->cpus; i++)
		charge(&watch.cpus[i]);
	for (unsigned i = 0; i < scenario->nr_threads; i++) {
		struct sim_thread *st = &watch.threads[i];

		fluid_reset(&st->fluid);
		st->cpu_ns = st->switches = st->migrations = st->loops = 0;
		st->stint_min_ns = UINT64_MAX;
		st->stint_max_ns = 0;
	}
	fluid_reset(&watch.director.fluid);
	for (unsigned i = 0; i < scenario->nr_groups; i++) {
		watch.groups[i].cpu_ns = watch.groups[i].throttled_ns = 0;
		for (unsigned k = 0; k < scenario->cpus; k++)
			fluid_reset(&watch.groups[i].on[k].entity);
	}
	watch.throttled_since_ns = host_now_ns;
	watch.switches = watch.migrations = 0;
	watch.wasted_max_ns = 0;
	watch.wasted_since_ns = UINT64_MAX;
}

void watch_end(void)
{
	if (watch.log)
		printf("log end %llu\n", (unsigned long long)host_now_ns);
	note_all_busy();
	for (unsigned i = 0; i < scenario->cpus; i++)
		charge(&watch.cpus[i]);
	if (watch.throttling)
		note_throttled();
	for (unsigned i = 0; i < scenario->nr_threads; i++)
		fluid_settle(&watch.threads[i].fluid);
	for (unsigned i = 0; i < scenario->nr_groups; i++)
		for (unsigned k = 0; k < scenario->cpus; k++)
			fluid_settle(&watch.groups[i].on[k].entity);
}
