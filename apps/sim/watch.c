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
#include "apps/sim/levels.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/panic.h"
#include "sched/sched.h"

#define NO_CPU UINT32_MAX

struct watch watch;

static const struct scenario *scenario;

/* The entry function of a scenario's threads gives its struct sim_thread as argument. */
struct sim_thread *watch_thread(const struct thread *t)
{
	struct sim_thread *st = t->arg;

	if (st >= watch.threads && st < watch.threads + scenario->nr_threads)
		return st;
	return NULL;
}

void watch_init(const struct scenario *s)
{
	scenario = s;
	watch.threads = calloc(s->nr_threads, sizeof(struct sim_thread));
	watch.cpus = calloc(s->cpus, sizeof(struct watch_cpu));
	watch.busy_at_ns = calloc(s->nr_expects + 1, sizeof(uint64_t));
	ASSERT(watch.threads && watch.cpus && watch.busy_at_ns);
	levels_init(s);
	for (unsigned i = 0; i < s->nr_threads; i++)
		watch.threads[i].cpu = NO_CPU;
	for (unsigned i = 0; i < s->nr_expects; i++)
		watch.busy_at_ns[i] = UINT64_MAX;
	watch.hash = 0xcbf29ce484222325ull;
	watch.all_busy_since_ns = UINT64_MAX;
	watch.wasted_since_ns = UINT64_MAX;
	watch.start_ns = UINT64_MAX;
	watch.limit_ns = UINT64_MAX;
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
	for (struct sim_group *g = levels_group(c->thread->sched.group); g; g = g->parent)
		g->cpu_ns += ns;
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

static void switched(struct cpu *cpu, const struct thread *prev, const struct thread *next,
		     uint64_t reason)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];
	struct sim_thread *to = watch_thread(next);

	hash_switch(cpu, prev, next, reason);
	end_stint(c, to, reason);
	count_busy(c->curr, to);
	levels_serve(cpu->index, next);
	if (watch.compares_lags)
		levels_compare(cpu);
	c->resumed = !c->curr && prev->tid;
	c->curr = to;
	c->thread = next;
	c->stint_ns = host_now_ns;
	watch.switches++;
	if (!to)
		return;
	watch.misplaced += !cpumask_test(&next->affinity, cpu->index);
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
	const struct sim_group *g = levels_group(a ? a->sched.group : gc->group);

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

void watch_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
		 const struct thread *b, uint64_t arg)
{
	struct watch_cpu *c = &watch.cpus[cpu->index];

	if (watch.log)
		log_event(what, cpu, a, b, arg);
	charge(c);
	/* one that changed its class since is charged as a real-time thread */
	if (c->curr &&
	    (what == SCHED_EVENT_SWITCH || (c->serves && c->thread->sched.rank == RANK_FAIR)))
		compare_clocks(c->curr, c->thread);
	levels_served(cpu->index);
	if (what == SCHED_EVENT_SWITCH)
		switched(cpu, a, b, arg);
	else
		levels_event(what, cpu->index, a, arg);
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

static bool waits(const struct sim_thread *st)
{
	const struct thread *t = st->thread;

	return t && !st->exited && t->sched.state == THREAD_RUNNABLE && t->sched.cpu &&
	       t->sched.cpu->rq.curr != t;
}

/* How many of @idle could run one of those that wait. A policy cannot be asked. */
static unsigned nr_usable(const struct cpumask *idle)
{
	struct cpumask usable = { 0 };
	unsigned nr = 0;

	for (unsigned i = 0; i < scenario->nr_threads; i++)
		if (waits(&watch.threads[i])) {
			nr++;
			for (unsigned k = 0; k < scenario->cpus; k++)
				if (cpumask_test(idle, k) &&
				    cpumask_test(&watch.threads[i].thread->affinity, k))
					cpumask_set(&usable, k);
		}
	return MIN(nr, cpumask_count(&usable));
}

/* CPUs that are idle although somebody waits who may run there; classes that are asked say 1 for any number. */
static unsigned wasted_now(void)
{
	struct cpumask idle = { 0 };

	for (unsigned i = 0; i < scenario->cpus; i++)
		if (host_cpu_is_idle(i) && cpumask_test(&cpu_online_mask, i))
			cpumask_set(&idle, i);
	if (cpumask_empty(&idle))
		return 0;
	if (watch.policy || watch.waits)
		return nr_usable(&idle);
	for (unsigned i = 0; i < scenario->cpus; i++)
		if (!cpumask_test(&idle, i) && cpu_at(i)->rq.nr_ready &&
		    may_run(&cpu_at(i)->rq, &idle))
			return 1;
	return 0;
}

static void note_waste(void)
{
	if (watch.wasted_since_ns != UINT64_MAX)
		watch.wasted_max_ns = MAX(watch.wasted_max_ns, host_now_ns - watch.wasted_since_ns);
	watch.idle_ns += watch.nr_idle * (host_now_ns - watch.idle_at_ns);
	watch.idle_at_ns = host_now_ns;
	watch.nr_idle = wasted_now();
	if (!watch.nr_idle)
		watch.wasted_since_ns = UINT64_MAX;
	else if (watch.wasted_since_ns == UINT64_MAX)
		watch.wasted_since_ns = host_now_ns;
}

static void note_waits(void)
{
	for (unsigned i = 0; i < scenario->nr_threads; i++) {
		struct sim_thread *st = &watch.threads[i];

		if (st->waits_since_ns)
			st->waited_ns = MAX(st->waited_ns, host_now_ns - st->waits_since_ns);
		if (!waits(st))
			st->waits_since_ns = 0;
		else if (!st->waits_since_ns)
			st->waits_since_ns = host_now_ns;
	}
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
	if (host_now_ns > watch.limit_ns)
		panic("the policy keeps the director: %s",
		      watch.start_ns == UINT64_MAX ? "its init() or init_task() does not end" :
						     "the scenario should have ended");
	if (watch.start_ns == UINT64_MAX)
		return;
	if (watch.waste)
		note_waste();
	if (watch.waits)
		note_waits();
	if (watch.throttling)
		note_throttled();
}

/* ---- phases ---------------------------------------------------------------------------------- */

void watch_start(void)
{
	for (unsigned i = 0; watch.log && i < scenario->nr_groups; i++)
		printf("log group %u %d\n", i + 1, number_of(watch.groups[i].parent));
	watch.start_ns = watch.idle_at_ns = host_now_ns;
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
		st->stint_max_ns = st->waited_ns = 0;
	}
	fluid_reset(&watch.director.fluid);
	for (unsigned i = 0; i < scenario->nr_groups; i++) {
		watch.groups[i].cpu_ns = watch.groups[i].throttled_ns = 0;
		for (unsigned k = 0; k < scenario->cpus; k++)
			fluid_reset(&watch.groups[i].on[k].entity);
	}
	watch.throttled_since_ns = host_now_ns;
	watch.switches = watch.migrations = 0;
	watch.wasted_max_ns = watch.idle_ns = watch.misplaced = 0;
	watch.wasted_since_ns = UINT64_MAX;
	watch.idle_at_ns = host_now_ns;
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
	if (watch.waste)
		note_waste();
	if (watch.waits)
		note_waits();
	for (unsigned i = 0; i < scenario->nr_threads; i++)
		fluid_settle(&watch.threads[i].fluid);
	for (unsigned i = 0; i < scenario->nr_groups; i++)
		for (unsigned k = 0; k < scenario->cpus; k++)
			fluid_settle(&watch.groups[i].on[k].entity);
}
