/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to the crowd from outside, at random: all attributes, affinity, hooks, groups with
 * and without limits; and threads that are made and end, with stacks of all sizes.
 */
#include "apps/masked/masked.h"

#include "core/time.h"
#include "sched/group.h"

#define GROUPS 6u

static struct thread *threads[4];
static struct thread_group *groups[GROUPS];
static bool with_groups;

static void set_attributes(uint64_t *random)
{
	uint64_t r = random_next(random);
	struct sched_attr a = { .size = sizeof(a), .sched_policy = SCHED_OTHER };

	if (r % 8 == 0) {
		a.sched_policy = r & 64 ? SCHED_FIFO : SCHED_RR;
		a.sched_priority = 1 + (r >> 8) % 50;
	} else {
		a.sched_nice = (int)((r >> 8) % 40) - 20;
		a.sched_runtime = SCHED_SLICE_MIN_NS * (1 + (r >> 16) % 100);
	}
	sched_set_attr(crowd_any(random), &a);
}

static void set_affinity(uint64_t *random)
{
	struct cpumask mask = { 0 };
	unsigned n = cpumask_count(&cpu_online_mask);

	cpumask_set(&mask, (unsigned)(random_next(random) % n));
	cpumask_set(&mask, (unsigned)(random_next(random) % n));
	thread_set_affinity(crowd_any(random), random_next(random) % 4 ? &cpu_online_mask : &mask);
}

static void set_group(uint64_t *random)
{
	uint64_t r = random_next(random);
	struct thread_group *g = groups[r % GROUPS];

	if (r & 0x100)
		group_attach(r & 0x200 ? g : NULL, crowd_any(random));
	else if (r & 0x400)
		group_set_weight(g, 1 + (uint32_t)(r >> 16) % 1000);
	else if (r & 0x800)
		group_set_quota(g, GROUP_QUOTA_MIN_NS, 2 * GROUP_PERIOD_MIN_NS);
	else
		group_set_quota(g, 0, 0);
}

static void hook(struct thread *t)
{
	(void)t;
}

static void *storm(void *arg)
{
	uint64_t random = 4101842887655102017ull;

	(void)arg;
	while (!is_over()) {
		for (unsigned i = 0; i < 8; i++) {
			set_attributes(&random);
			set_affinity(&random);
			if (with_groups)
				set_group(&random);
		}
		thread_set_hook(threads[1], hook);
		sleep_us(100);
	}
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

/* Makes threads and waits for them; those of every fourth have no one who does. */
static void *come_and_go(void *arg)
{
	uint64_t random = 3202034522624059733ull + (uintptr_t)arg;
	struct thread_attr attr = { .name = "passer-by", .affinity = &cpu_online_mask };
	struct thread *t;

	while (!is_over()) {
		uint64_t r = random_next(&random);

		attr.stack_bytes = ARCH_STACK_MIN_BYTES << r % 6;
		attr.detached = r >> 8 & 1;
		if (!thread_create(&t, &attr, nothing, NULL) && !attr.detached)
			thread_join(t, NULL);
		sleep_us(r >> 16 & 127);
	}
	return NULL;
}

void storm_start(bool groups_too)
{
	with_groups = groups_too;
	for (unsigned i = 0; with_groups && i < GROUPS; i++)
		ASSERT(!group_create(&groups[i], i > 3 ? groups[i - 1] : NULL, NULL));
	for (unsigned i = 1; i < ARRAY_SIZE(threads); i++)
		threads[i] =
			load_thread("churn", i == 1 ? 60 : 0, come_and_go, (void *)(uintptr_t)i);
	threads[0] = load_thread("storm", 70, storm, NULL);
}

void storm_end(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		thread_join(threads[i], NULL);
}
