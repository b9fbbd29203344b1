/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The masks of core/topology.h, from what is known about each CPU. Runs at boot, on one CPU, before
 * anybody reads the result; where the knowledge comes from: core/topology_dt.c, arch/host.
 */
#include "core/topology.h"
#include "core/cpu.h"
#include "core/string.h"

struct topology topology;

void topology_default(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		topology.cpu[i] = (struct topology_cpu){ .core = (uint16_t)i,
							 .capacity = TOPOLOGY_CAPACITY_MAX };
}

/* Puts @capacity among the levels, which are sorted. False: there are too many. */
static bool add_level(unsigned capacity)
{
	unsigned i = 0;

	while (i < topology.levels && topology.level_capacity[i] < capacity)
		i++;
	if (i < topology.levels && topology.level_capacity[i] == capacity)
		return true;
	if (topology.levels == TOPOLOGY_LEVELS)
		return false;
	for (unsigned j = topology.levels++; j > i; j--)
		topology.level_capacity[j] = topology.level_capacity[j - 1];
	topology.level_capacity[i] = (uint16_t)capacity;
	return true;
}

static const char *check(const struct topology_cpu *t)
{
	if (t->capacity < 1 || t->capacity > TOPOLOGY_CAPACITY_MAX)
		return "a capacity outside 1..1024";
	if (t->cluster >= ARCH_CPU_MAX || t->cache >= ARCH_CPU_MAX)
		return "more clusters or caches than CPUs";
	if (!add_level(t->capacity))
		return "more than 8 different capacities";
	return NULL;
}

static void add_to_masks(unsigned cpu)
{
	const struct topology_cpu *t = &topology.cpu[cpu];

	cpumask_set(&topology.cluster_cpus[t->cluster], cpu);
	cpumask_set(&topology.cache_cpus[t->cache], cpu);
	topology.clusters = MAX(topology.clusters, (uint16_t)(t->cluster + 1));
	topology.caches = MAX(topology.caches, (uint16_t)(t->cache + 1));
	for (unsigned i = 0; i < topology.levels && topology.level_capacity[i] <= t->capacity; i++)
		cpumask_set(&topology.level_cpus[i], cpu);
}

static unsigned distance(unsigned a, unsigned b)
{
	const struct topology_cpu *x = &topology.cpu[a], *y = &topology.cpu[b];

	if (x->cluster == y->cluster)
		return 0;
	return x->cache == y->cache ? 1 : 2;
}

/* Among equally near ones each CPU begins with the next, so that not all look at the same first. */
static void order_others(unsigned cpu)
{
	unsigned n = 0;

	for (unsigned far = 0; far <= 2; far++)
		for (unsigned i = 1; i < cpu_count; i++) {
			unsigned other = (cpu + i) % cpu_count;

			if (distance(cpu, other) == far)
				topology.nearest[cpu][n++] = (uint16_t)other;
		}
}

int topology_build(const char **why)
{
	const size_t masks = offsetof(struct topology, cluster_cpus);

	memset((char *)&topology + masks, 0, offsetof(struct topology, nearest) - masks);
	for (unsigned i = 0; i < cpu_count; i++) {
		*why = check(&topology.cpu[i]);
		if (*why)
			return -EINVAL;
	}
	for (unsigned i = 0; i < cpu_count; i++)
		add_to_masks(i);
	topology.grouped = topology.clusters > 1 || topology.caches > 1;
	topology.idle_looks = topology.levels > 1;
	for (unsigned i = 0; i < cpu_count; i++)
		order_others(i);
	return 0;
}
