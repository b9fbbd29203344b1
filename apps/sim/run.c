/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of a scenario are small interpreters of their list of operations. The director is a FIFO
 * thread of the highest priority that sleeps until the next event; it alone creates threads. A
 * thread that has exited is left alone by whatever is meant for it.
 *
 * What threads of the machine share (samples, times of posts) needs no lock: nothing of it is
 * touched between two steps of the machine.
 */
#include "apps/sim/run.h"

#include <stdlib.h>
#include <string.h>

#include "apps/sim/attr.h"
#include "core/hotplug.h"
#include "core/panic.h"
#include "core/time.h"
#include "sched/deadline.h"
#include "sched/ext/ext.h"

/* A semaphore with the times at which it was posted, oldest first. */
struct timed_semaphore {
	struct semaphore semaphore;
	uint64_t *posted_ns; /* a ring */
	unsigned first, nr, room;
};

struct samples *run_samples;
struct run_policy run_policy;

static const struct scenario *scenario;
static struct mutex *mutexes;
static struct timed_semaphore *semaphores;
static uint64_t start_ns;

/* ---- samples --------------------------------------------------------------------------------- */

static void add_sample(struct sim_thread *st, uint64_t late_ns)
{
	struct samples *all = &run_samples[st->spec - scenario->specs];
	uint64_t wake = st->wakes++;

	if (host_now_ns < start_ns + scenario->from_ns)
		return;
	if (all->nr == all->room) {
		all->room = all->room ? 2 * all->room : 64;
		all->at = realloc(all->at, all->room * sizeof(struct sample));
		ASSERT(all->at);
	}
	all->at[all->nr++] = (struct sample){ .late_ns = (uint32_t)MIN(late_ns, UINT32_MAX),
					      .wake = (uint32_t)MIN(wake, UINT32_MAX) };
}

static void note_post(struct timed_semaphore *s, uint64_t now_ns)
{
	if (s->nr == s->room) {
		unsigned room = s->room ? 2 * s->room : 16;
		uint64_t *ring = malloc(room * sizeof(uint64_t));

		ASSERT(ring);
		for (unsigned i = 0; i < s->nr; i++)
			ring[i] = s->posted_ns[(s->first + i) % s->room];
		free(s->posted_ns);
		s->posted_ns = ring;
		s->first = 0;
		s->room = room;
	}
	s->posted_ns[(s->first + s->nr++) % s->room] = now_ns;
}

/* Units that were there at the start have no time. */
static uint64_t take_post(struct timed_semaphore *s)
{
	uint64_t ns;

	if (!s->nr)
		return 0;
	ns = s->posted_ns[s->first];
	s->first = (s->first + 1) % s->room;
	s->nr--;
	return ns;
}

/* ---- what a thread does ---------------------------------------------------------------------- */

struct loops {
	uint64_t left[LOOPS_MAX]; /* times, of the loops that are open; 0: for ever */
	unsigned depth;
};

static uint64_t draw(struct sim_thread *st, uint64_t low, uint64_t high)
{
	if (low == high)
		return low;
	st->random ^= st->random << 13;
	st->random ^= st->random >> 7;
	st->random ^= st->random << 17;
	return low + (st->random >> 11) % (high - low + 1);
}

static void sleep_until(struct sim_thread *st, uint64_t ns)
{
	thread_sleep_until(ns);
	add_sample(st, time_now_ns() - ns);
}

static void wait_for(struct sim_thread *st, struct timed_semaphore *s)
{
	uint64_t posted_ns;

	if (!semaphore_trywait(&s->semaphore)) {
		take_post(s);
		return;
	}
	semaphore_wait(&s->semaphore);
	posted_ns = take_post(s);
	if (posted_ns)
		add_sample(st, time_now_ns() - posted_ns);
}

static void post(struct timed_semaphore *s)
{
	note_post(s, time_now_ns());
	if (semaphore_post(&s->semaphore))
		panic("a semaphore of the scenario overflows");
}

static void must(int err, const char *what, const struct sim_thread *st)
{
	if (err)
		panic("%s of thread %s[%u]: error %d", what, st->spec->name,
		      (unsigned)(st - watch.threads) - st->spec->first, err);
}

static void *thread_main(void *arg);

static void create(struct sim_thread *st)
{
	if (st->thread)
		return;
	semaphore_init(&st->woken, 0);
	must(attr_create(st, &st->spec->attr, thread_main), "create", st);
	if (st->spec->attr.given & GIVEN_GROUP)
		attr_attach(st, st->spec->attr.group);
}

/* The parser has seen to the ranges. */
static void create_groups(void)
{
	for (unsigned i = 0; i < scenario->nr_groups; i++) {
		const struct group_spec *g = &scenario->groups[i];
		const struct group_attr attr = { .weight = g->attr.weight,
						 .quota_ns = g->attr.quota_ns,
						 .period_ns = g->attr.period_ns };

		if (group_create(&watch.groups[i].group,
				 g->parent == NO_GROUP ? NULL : watch.groups[g->parent].group,
				 &attr))
			panic("group %s: no memory", g->name);
	}
}

static void change_group(const struct op *op)
{
	const struct group_change *c = &scenario->group_changes[op->a];
	struct thread_group *g = watch.groups[op->b].group;
	int err = 0;

	if (c->given & GIVEN_WEIGHT)
		err = group_set_weight(g, c->weight);
	if (!err && c->given & GIVEN_QUOTA)
		err = group_set_quota(g, c->quota_ns, c->period_ns);
	if (err)
		panic("set of group %s: error %d", scenario->groups[op->b].name, err);
}

/* Calls @each for the threads that @target names; @self: when it names none. */
static void each_target(const struct op *op, struct sim_thread *self,
			void (*each)(struct sim_thread *st, const struct op *op))
{
	const struct target *t = &op->target;
	const struct spec *spec;

	if (t->spec < 0) {
		each(self, op);
		return;
	}
	spec = &scenario->specs[t->spec];
	for (unsigned i = 0; i < spec->count; i++)
		if (t->instance < 0 || i == (unsigned)t->instance)
			each(&watch.threads[spec->first + i], op);
}

static void do_wake(struct sim_thread *st, const struct op *op)
{
	(void)op;
	if (st->thread && !st->exited)
		semaphore_post(&st->woken);
}

static void do_start(struct sim_thread *st, const struct op *op)
{
	(void)op;
	create(st);
}

static void do_set(struct sim_thread *st, const struct op *op)
{
	if (!st->thread || st->exited)
		return;
	must(attr_set(st, &scenario->changes[op->a]), "set", st);
}

/* The last CPU stays: that is for the scenario to know. */
static void change_cpu(const struct op *op)
{
	unsigned cpu = (unsigned)op->a;
	int err = op->code == OP_OFFLINE ? cpu_offline(cpu) : cpu_online(cpu);

	if (err)
		panic("CPU %u %s: error %d", cpu, op->code == OP_OFFLINE ? "offline" : "online",
		      err);
}

/* What needs nothing of the thread that does it. */
static void do_common(const struct op *op, struct sim_thread *self)
{
	if (op->code == OP_POST)
		post(&semaphores[op->a]);
	else if (op->code == OP_WAKE)
		each_target(op, self, do_wake);
	else if (op->code == OP_START)
		each_target(op, self, do_start);
	else if (op->code == OP_SET)
		each_target(op, self, do_set);
	else if (op->code == OP_GROUP)
		change_group(op);
	else if (op->code == OP_OFFLINE || op->code == OP_ONLINE)
		change_cpu(op);
}

/* The index of what comes next. */
static unsigned do_loop(struct loops *l, const struct op *op, unsigned i)
{
	if (op->code == OP_LOOP) {
		l->left[l->depth++] = op->a;
		return i + 1;
	}
	if (l->left[l->depth - 1] == 1) {
		l->depth--;
		return i + 1;
	}
	if (l->left[l->depth - 1])
		l->left[l->depth - 1]--;
	return (unsigned)op->a;
}

/* It began with the period before, and had until its deadline; without one until the next. */
static void end_job(struct sim_thread *st, uint64_t now_ns)
{
	uint64_t took_ns = now_ns - st->release_ns;

	if (!st->release_ns || now_ns < start_ns + scenario->from_ns)
		return;
	st->jobs++;
	st->response_ns = MAX(st->response_ns, took_ns);
	st->misses += st->attr.deadline_ns && took_ns > st->attr.deadline_ns;
}

/*
 * Uses its budget until @rest_ns of it are left: by halves, because interrupts take their part of
 * it meanwhile.
 */
static void exhaust(uint64_t rest_ns)
{
	uint64_t left_ns;

	while ((left_ns = (uint64_t)deadline_left_ns(NULL)) > rest_ns)
		host_compute((left_ns - rest_ns + 1) / 2);
}

static void next_period(struct sim_thread *st, uint64_t begin_ns, uint64_t period_ns)
{
	uint64_t now_ns = time_now_ns(), done = (now_ns - begin_ns) / period_ns;

	end_job(st, now_ns);
	st->release_ns = begin_ns + (done + 1) * period_ns;
	sleep_until(st, begin_ns + (done + 1) * period_ns);
}

/* With a deadline it ends the job, and the next one begins with the next period. */
static void yield(struct sim_thread *st)
{
	end_job(st, time_now_ns());
	if (st->release_ns)
		st->release_ns += st->attr.period_ns;
	sched_yield_current();
}

static void do_op(struct sim_thread *st, const struct op *op, uint64_t begin_ns)
{
	switch (op->code) {
	case OP_RUN:
		host_compute(draw(st, op->a, op->b));
		break;
	case OP_SLEEP:
		sleep_until(st, time_now_ns() + draw(st, op->a, op->b));
		break;
	case OP_EXHAUST:
		exhaust(op->a);
		break;
	case OP_PERIOD:
		next_period(st, begin_ns, op->a);
		break;
	case OP_LOCK:
		must(mutex_lock(&mutexes[op->a]), "lock", st);
		break;
	case OP_UNLOCK:
		must(mutex_unlock(&mutexes[op->a]), "unlock", st);
		break;
	case OP_WAIT:
		wait_for(st, &semaphores[op->a]);
		break;
	case OP_YIELD:
		yield(st);
		break;
	case OP_BLOCK:
		semaphore_wait(&st->woken);
		break;
	default:
		do_common(op, st);
	}
}

static void *thread_main(void *arg)
{
	struct sim_thread *st = arg;
	const struct spec *spec = st->spec;
	struct loops loops = { .depth = 0 };
	uint64_t begin_ns;
	unsigned i = 0;

	must(attr_begin(st), "deadline", st);
	begin_ns = time_now_ns();
	if (spec->attr.policy == POLICY_DEADLINE && deadline_left_ns(&st->release_ns))
		st->release_ns -= spec->attr.deadline_ns;

	while (i < spec->nr_ops && spec->ops[i].code != OP_EXIT) {
		const struct op *op = &spec->ops[i];

		if (op->code != OP_LOOP && op->code != OP_END) {
			do_op(st, op, begin_ns);
			i++;
			continue;
		}
		st->loops += op->code == OP_END && loops.depth == 1;
		i = do_loop(&loops, op, i);
	}
	st->exited = true;
	return NULL;
}

/* ---- the director ---------------------------------------------------------------------------- */

#define LOAD_NS NSEC_PER_SEC /* that a policy may take to be loaded; and to let a scenario end */

__attribute__((weak)) int ext_boot_load(void);

static void load_policy(void)
{
	if (!ext_boot_load)
		return;
	watch.limit_ns = host_now_ns + LOAD_NS;
	if (ext_boot_load())
		host_exit(2);
	watch.limit_ns = UINT64_MAX;
	watch.policy = ext.ops;
	if (ext.ops)
		run_policy.name = ext.ops->name;
}

static void end(void)
{
	watch_end();
	run_policy.lived = ext.ops && !ext.exit_kind;
}

struct moment {
	uint64_t at_ns;
	unsigned order; /* of the file, when two are at once */
	struct op op;
	void (*call)(void);
};

static int compare_moments(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* `from`, late starts, events and the end, in the order of time. */
static struct moment *moments(unsigned *nr)
{
	struct moment *all =
		calloc(scenario->nr_specs + scenario->nr_events + 2, sizeof(struct moment));
	unsigned n = 0;

	ASSERT(all);
	all[n++] = (struct moment){ .at_ns = scenario->from_ns, .call = watch_from };
	for (unsigned i = 0; i < scenario->nr_specs; i++)
		if (scenario->specs[i].start_ns && scenario->specs[i].start_ns != START_NEVER)
			all[n++] = (struct moment){
				.at_ns = scenario->specs[i].start_ns,
				.op = { .code = OP_START,
					.target = { .spec = (int)i, .instance = -1 } },
			};
	for (unsigned i = 0; i < scenario->nr_events; i++)
		all[n++] = (struct moment){ .at_ns = scenario->events[i].at_ns,
					    .op = scenario->events[i].op };
	all[n++] = (struct moment){ .at_ns = scenario->time_ns, .call = end };
	for (unsigned i = 0; i < n; i++)
		all[i].order = i;
	qsort(all, n, sizeof(struct moment), compare_moments);
	*nr = n;
	return all;
}

void run_init(const struct scenario *s, uint64_t seed)
{
	scenario = s;
	mutexes = calloc(s->nr_mutexes + 1, sizeof(struct mutex));
	semaphores = calloc(s->nr_semaphores + 1, sizeof(struct timed_semaphore));
	run_samples = calloc(s->nr_specs, sizeof(struct samples));
	ASSERT(mutexes && semaphores && run_samples);
	for (unsigned i = 0; i < s->nr_mutexes; i++)
		mutex_init(&mutexes[i]);
	for (unsigned i = 0; i < s->nr_semaphores; i++)
		semaphore_init(&semaphores[i].semaphore, (int32_t)s->semaphores[i].value);
	for (unsigned i = 0; i < s->nr_specs; i++)
		for (unsigned k = 0; k < s->specs[i].count; k++) {
			struct sim_thread *st = &watch.threads[s->specs[i].first + k];

			st->spec = &s->specs[i];
			st->random = (seed + 1) * 0x9e3779b97f4a7c15ull +
				     (s->specs[i].first + k) * 0xd1342543de82ef95ull;
			st->random |= 1;
		}
}

void run_director(void *unused)
{
	unsigned nr;
	struct moment *all = moments(&nr);

	(void)unused;
	if (sched_set_policy(thread_current(), SCHED_FIFO, 99, 0))
		panic("the director is refused its priority");
	load_policy();
	create_groups();
	for (unsigned i = 0; i < scenario->nr_threads; i++)
		if (!watch.threads[i].spec->start_ns)
			create(&watch.threads[i]);
	start_ns = time_now_ns();
	if (watch.policy)
		watch.limit_ns = start_ns + scenario->time_ns + LOAD_NS;
	watch_start();
	for (unsigned i = 0; i < nr; i++) {
		if (all[i].at_ns)
			thread_sleep_until(start_ns + all[i].at_ns);
		if (all[i].call)
			all[i].call();
		else
			do_common(&all[i].op, NULL);
	}
	host_exit(0);
}
