/* SPDX-License-Identifier: BSD-2-Clause */
/* See attr.h. st->attr keeps what the thread has, so that a change names only what it changes. */
#include "apps/sim/attr.h"

#include "sched/deadline.h"

static void merge(struct change *now, const struct change *c)
{
	if (c->given & GIVEN_POLICY) {
		now->policy = c->policy;
		now->priority = 0;
	}
	if (c->given & GIVEN_PRIORITY)
		now->priority = c->priority;
	if (c->given & GIVEN_NICE)
		now->nice = c->nice;
	if (c->given & GIVEN_SLICE)
		now->slice_ns = c->slice_ns;
	if (c->policy == POLICY_DEADLINE) {
		now->runtime_ns = c->runtime_ns;
		now->deadline_ns = c->deadline_ns;
		now->period_ns = c->period_ns;
	}
}

static const struct cpumask *mask_of(const struct sim_thread *st, const struct change *c,
				     struct cpumask *one)
{
	if (!c->each_cpu)
		return &c->cpus;
	cpumask_clear(one);
	cpumask_set(one, (unsigned)(st - watch.threads) % cpu_count);
	return one;
}

static bool is_real_time(const struct change *c)
{
	return c->policy == POLICY_FIFO || c->policy == POLICY_RR || c->policy == POLICY_DEADLINE;
}

static int set_deadline(struct sim_thread *st)
{
	const struct change *c = &st->attr;
	const struct sched_attr attr = { .size = sizeof(attr),
					 .sched_policy = SCHED_DEADLINE,
					 .sched_runtime = c->runtime_ns,
					 .sched_deadline = c->deadline_ns,
					 .sched_period = c->period_ns };
	int err = sched_deadline_use();

	return err ? err : sched_set_attr(st->thread, &attr);
}

static int set_policy(struct sim_thread *st)
{
	const struct change *c = &st->attr;
	bool rt = is_real_time(c);
	const struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = c->policy,
		.sched_priority = c->priority,
		.sched_nice = rt ? 0 : c->nice,
		.sched_runtime = rt ? 0 : c->slice_ns,
	};

	return sched_set_attr(st->thread, &attr);
}

static int set_attr(struct sim_thread *st)
{
	if (st->attr.policy == POLICY_DEADLINE)
		return set_deadline(st);
	return set_policy(st);
}

int attr_create(struct sim_thread *st, const struct change *c, void *(*entry)(void *))
{
	struct cpumask one;
	struct thread_attr attr = { .name = st->spec->name,
				    .stack_bytes = ARCH_STACK_MIN_BYTES,
				    .affinity = mask_of(st, c, &one),
				    .detached = true };

	merge(&st->attr, c);
	attr.policy = st->attr.policy;
	attr.priority = st->attr.priority;
	attr.nice = st->attr.nice;
	attr.slice_ns = st->attr.slice_ns;
	if (attr.policy == POLICY_DEADLINE) { /* attr_begin() follows */
		attr.policy = SCHED_FIFO;
		attr.priority = 98;
	}
	return thread_create(&st->thread, &attr, entry, st);
}

int attr_begin(struct sim_thread *st)
{
	return st->attr.policy == POLICY_DEADLINE ? set_deadline(st) : 0;
}

int attr_attach(struct sim_thread *st, int group)
{
	return group_attach(group == NO_GROUP ? NULL : watch.groups[group].group, st->thread);
}

/* Who comes back from real time is new to the fair class: the reference has to be told. */
int attr_set(struct sim_thread *st, const struct change *c)
{
	struct cpumask one;
	bool was_real_time = is_real_time(&st->attr);
	int err = 0;

	if (c->given & GIVEN_CPUS)
		err = thread_set_affinity(st->thread, mask_of(st, c, &one));
	if (!err && c->given & GIVEN_GROUP)
		err = attr_attach(st, c->group);
	if (err || !(c->given & ~(GIVEN_CPUS | GIVEN_GROUP)))
		return err;
	merge(&st->attr, c);
	if (was_real_time && !is_real_time(&st->attr))
		watch_forget(st);
	return set_attr(st);
}
