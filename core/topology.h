/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the CPUs are built together: which share a cluster, a cache or a package, and how fast each
 * is. Filled once before the second CPU starts, by topology_init() from the device tree (on
 * arch/host by the machine's options), and read by everybody without a lock afterwards. Whoever
 * asks for "the CPUs of ..." gets a mask, so that placement costs the words of a mask and no loop.
 */
#pragma once

#include "core/cpumask.h"

struct dt;

#define TOPOLOGY_CAPACITY_MAX 1024u /* of the fastest CPU */
#define TOPOLOGY_LEVELS       8     /* different capacities in one machine */

/* Ids count from 0 and are the number of a group among its like in the whole machine. */
struct topology_cpu {
	uint16_t core;     /* CPUs of one core are its hardware threads */
	uint16_t cluster;  /* the innermost cluster */
	uint16_t package;  /* socket */
	uint16_t cache;    /* last-level cache; without any said in the tree: the cluster */
	uint16_t capacity; /* 1..TOPOLOGY_CAPACITY_MAX: speed relative to the fastest */
};

struct topology {
	struct topology_cpu cpu[ARCH_CPU_MAX];     /* [i] by CPU index */
	struct cpumask cluster_cpus[ARCH_CPU_MAX]; /* [i] by cluster */
	struct cpumask cache_cpus[ARCH_CPU_MAX];   /* [i] by cache */
	/* [i] by rising capacity: the CPUs with at least so much */
	struct cpumask level_cpus[TOPOLOGY_LEVELS];
	uint16_t level_capacity[TOPOLOGY_LEVELS]; /* [i] */
	uint16_t levels;                          /* [i] 1: all CPUs are equally fast */
	uint16_t clusters, caches;                /* [i] how many */
	bool grouped;                             /* [i] more than one of either */
	bool idle_looks; /* [a] an idle CPU has more to look for: unequal CPUs, a policy */
	/* [i] all others as each CPU sees them: of its cluster, behind its cache, the rest */
	uint16_t nearest[ARCH_CPU_MAX][ARCH_CPU_MAX];
};

extern struct topology topology;

/*
 * From /cpus: cpu-map (socket, cluster, core, thread), capacity-dmips-mhz (times clock-frequency
 * where every CPU has one), next-level-cache. A part that is not there or wrong, the latter with a
 * message, counts as: one cluster, one package, equal CPUs. After cpu_enumerate(). Context: boot.
 */
void topology_init(const struct dt *dt);
/* One cluster of equal CPUs; for whoever then fills topology.cpu[] and builds. Context: boot. */
void topology_default(void);
/*
 * Makes the masks from topology.cpu[]. -EINVAL: a capacity of 0 or above the maximum, an id above
 * the number of CPUs, or more than TOPOLOGY_LEVELS capacities; *why says which. Context: boot.
 */
int __must_check topology_build(const char **why);

static inline unsigned cpu_capacity(unsigned cpu)
{
	return topology.cpu[cpu].capacity;
}

/* The CPUs of @cpu's cluster, and those that share its last-level cache; both with itself. */
static inline const struct cpumask *cpu_cluster_mask(unsigned cpu)
{
	return &topology.cluster_cpus[topology.cpu[cpu].cluster];
}

static inline const struct cpumask *cpu_cache_mask(unsigned cpu)
{
	return &topology.cache_cpus[topology.cpu[cpu].cache];
}
