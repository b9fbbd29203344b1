/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups of threads and clusters of CPUs. What the kernel would refuse is a mistake of the file. See
 * parse.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/parse.h"
#include "sched/group.h"

/* ---- groups ---------------------------------------------------------------------------------- */

/* in.word is the key; false: it is @keys' first, "parent". */
static bool read_group_attr(struct group_change *c, const char *keys)
{
	unsigned key = in_one_of("group", keys) + (strncmp(keys, "parent", 6) ? 1 : 0);

	in_want(in.word, "=");
	if (key == 1) {
		c->weight = (uint32_t)in_number_of("weight", GROUP_WEIGHT_MIN, GROUP_WEIGHT_MAX);
	} else if (key == 2) {
		in_next();
		c->quota_ns = in_is("none") ? 0 : in_word_time("quota", in.word);
		if (!in_is("none") && (c->quota_ns < GROUP_QUOTA_MIN_NS ||
				       c->quota_ns > GROUP_PERIOD_MAX_NS * in.s->cpus))
			in_bad("quota", "none, or a time from 100us to the period for each CPU");
	} else if (key == 3) {
		c->period_ns = in_time_of("period");
		if (c->period_ns < GROUP_PERIOD_MIN_NS || c->period_ns > GROUP_PERIOD_MAX_NS)
			in_bad("period", "a time 1ms..1s");
	}
	c->given |= key ? 1u << (key - 1) : 0;
	return key;
}

/* What group_set_quota() would refuse. */
static void check_group_attr(const struct group_change *c)
{
	char range[80];

	in.word[0] = 0;
	if (c->quota_ns && !(c->given & GIVEN_PERIOD))
		in_mistake(in.line, "period", "", "period=1ms..1s with a quota");
	if (c->given & GIVEN_PERIOD && !c->quota_ns)
		in_mistake(in.line, "quota", "", "a quota with the period");
	if (c->quota_ns <= c->period_ns * in.s->cpus)
		return;
	snprintf(range, sizeof(range), "at most the period for each of %u CPUs", in.s->cpus);
	in_mistake(in.line, "quota", "more than the period allows", range);
}

void line_group(void)
{
	struct group_spec g = { .parent = NO_GROUP,
				.depth = 1,
				.attr.weight = GROUP_WEIGHT_DEFAULT };

	in_new_name("group", g.name);
	if (in_is_taken(g.name))
		in_bad("group", "a name that is not taken");
	if (in.s->nr_groups == GROUPS_MAX)
		in_bad("group", "at most 64 groups");
	while (in_peek()) {
		in_next();
		if (read_group_attr(&g.attr, "parent weight quota period"))
			continue;
		in_next();
		g.parent = in_find_group("parent", "a group declared above");
		g.depth = in.s->groups[g.parent].depth + 1;
		if (g.depth > GROUP_DEPTH_MAX)
			in_bad("parent", "at most 8 groups within each other");
	}
	check_group_attr(&g.attr);
	*ADD(in.s->groups, in.s->nr_groups) = g;
}

/* "set NAME weight=..." in an event; in.word is the name. */
void parse_group_event(struct op *op, int group)
{
	struct group_change c = { 0 };

	*op = (struct op){ .code = OP_GROUP, .a = in.s->nr_group_changes, .b = (uint64_t)group };
	while (in_peek()) {
		in_next();
		read_group_attr(&c, "weight quota period");
	}
	if (!c.given) {
		in_next();
		in_bad("set", "weight quota period");
	}
	check_group_attr(&c);
	*ADD(in.s->group_changes, in.s->nr_group_changes) = c;
}

/* ---- clusters -------------------------------------------------------------------------------- */

static void add_to_cluster(unsigned cpu, const struct topology_cpu *t)
{
	char number[12];

	snprintf(number, sizeof(number), "%u", cpu);
	if (cpumask_test(&in.s->clustered, cpu))
		in_mistake(in.line, "cpus", number, "a CPU that is in no cluster yet");
	cpumask_set(&in.s->clustered, cpu);
	in.s->topology[cpu] = *t;
	in.s->topology[cpu].core = (uint16_t)cpu;
}

void line_cluster(void)
{
	struct topology_cpu t = { .cluster = (uint16_t)in.s->nr_clusters,
				  .cache = (uint16_t)in.s->nr_clusters,
				  .capacity = TOPOLOGY_CAPACITY_MAX };
	struct cpumask cpus = { 0 };

	if (in.s->nr_specs)
		in_bad("cluster", "clusters before the first thread");
	if (!in.s->topology)
		in.s->topology = calloc(ARCH_CPU_MAX, sizeof(struct topology_cpu));
	if (!in.s->topology)
		in_bad("cluster", "memory for it");
	while (in_peek()) {
		unsigned key;

		in_next();
		key = in_one_of("cluster", "cpus capacity cache");
		in_want("cluster", "=");
		if (key == 1) {
			t.capacity = (uint16_t)in_number_of("capacity", 1, TOPOLOGY_CAPACITY_MAX);
		} else if (key == 2) {
			t.cache = (uint16_t)in_number_of("cache", 0, in.s->cpus - 1);
		} else {
			in_next();
			in_cpu_list(&cpus, "");
		}
	}
	if (cpumask_empty(&cpus))
		in_mistake(in.line, "cpus", "", "the cluster's, such as cpus=0-3");
	in.s->nr_clusters++;
	cpumask_for_each(i, &cpus)
		add_to_cluster(i, &t);
}

/* What topology_build() would refuse. */
void check_clusters(void)
{
	unsigned nr_levels = 0;
	uint16_t levels[TOPOLOGY_LEVELS + 1];
	char number[12];

	for (unsigned i = 0; in.s->topology && i < in.s->cpus; i++) {
		unsigned k = 0;

		snprintf(number, sizeof(number), "%u", i);
		if (!cpumask_test(&in.s->clustered, i))
			in_mistake(in.line, "cluster", number,
				   "every CPU in a cluster, or no clusters");
		while (k < nr_levels && levels[k] != in.s->topology[i].capacity)
			k++;
		if (k == nr_levels)
			levels[nr_levels++] = in.s->topology[i].capacity;
		if (nr_levels > TOPOLOGY_LEVELS)
			in_mistake(in.line, "capacity", "too many", "at most 8 different ones");
	}
}
