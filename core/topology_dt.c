/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Topology from the device tree (bindings: cpu/cpu-topology.txt, cpu/cpu-capacity.txt and the
 * Devicetree Specification, 3.8). Each of the three parts is taken whole or not at all: what is
 * wrong in it is said with the node's name and the part counts as absent. Runs once at boot, so
 * nothing here is quick. Node names of the map are "socket", "cluster", "core" and "thread" with a
 * number behind; clusters may lie in one another, the innermost counts.
 */
#include "core/console.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/string.h"
#include "core/topology.h"

#define CACHE_LEVELS_MAX 8
#define NOT_SEEN         UINT16_MAX

static int cpus[ARCH_CPU_MAX]; /* their nodes */

/* Says what is wrong at @node; what the message is about counts as absent. */
static int refuse(const struct dt *dt, int node, const char *what)
{
	printk("topology: %s: %s; ignored\n", dt_name(dt, node), what);
	return -EINVAL;
}

/* Fills cpus[] in the order in which core/cpu.c numbered them. */
static void find_cpus(const struct dt *dt)
{
	unsigned n = 0;
	uint64_t hwid;

	for (int node = dt_first_child(dt, dt_path_node(dt, "/cpus")); node >= 0 && n < cpu_count;
	     node = dt_next_sibling(dt, node))
		if (!arch_cpu_node(dt, node, &hwid))
			cpus[n++] = node;
}

/* ---- cpu-map --------------------------------------------------------------------------------- */

enum kind { SOCKET, CLUSTER, CORE, THREAD, NR_KINDS };

/* "cluster12" is a CLUSTER. */
static enum kind kind_of(const char *name)
{
	static const char *const kinds[] = { "socket", "cluster", "core", "thread" };
	size_t n = strlen(name);
	enum kind kind = SOCKET;

	while (n && name[n - 1] >= '0' && name[n - 1] <= '9')
		n--;
	while (kind < NR_KINDS && (strlen(kinds[kind]) != n || strncmp(name, kinds[kind], n)))
		kind++;
	return name[n] ? kind : NR_KINDS;
}

struct map_walk {
	unsigned seen[NR_KINDS]; /* how many of each kind came before: the numbers of the groups */
	unsigned last;           /* the cluster of the CPU before */
	uint16_t clusters;       /* those that hold a CPU, and not only clusters */
};

static uint16_t last_of(const struct map_walk *walk, enum kind kind)
{
	return (uint16_t)(MAX(walk->seen[kind], 1u) - 1);
}

/* @node has a property "cpu": the CPU is at this place of the map. */
static int map_leaf(const struct dt *dt, int node, struct map_walk *walk)
{
	uint32_t phandle;
	unsigned i = 0;
	int cpu;

	if (dt_u32(dt, node, "cpu", &phandle))
		return refuse(dt, node, "\"cpu\" is not one phandle");
	cpu = dt_phandle_node(dt, phandle);
	if (cpu < 0)
		return refuse(dt, node, "\"cpu\" names no node");
	while (i < cpu_count && cpus[i] != cpu)
		i++;
	if (i == cpu_count)
		return 0; /* one that is disabled may stand in the map */
	if (topology.cpu[i].cluster != NOT_SEEN)
		return refuse(dt, node, "a CPU that the map has already");
	if (!walk->clusters || walk->last != last_of(walk, CLUSTER))
		walk->clusters++;
	walk->last = last_of(walk, CLUSTER);
	topology.cpu[i].package = last_of(walk, SOCKET);
	topology.cpu[i].cluster = (uint16_t)(walk->clusters - 1);
	topology.cpu[i].core = last_of(walk, CORE);
	return 0;
}

static int map_node(const struct dt *dt, int node, struct map_walk *walk)
{
	enum kind kind = kind_of(dt_name(dt, node));

	if (kind == NR_KINDS)
		return refuse(dt, node, "neither socket, cluster, core nor thread");
	walk->seen[kind]++;
	if (kind == SOCKET)
		walk->seen[CLUSTER]++; /* of cores that lie in no cluster */
	if (dt_prop(dt, node, "cpu", NULL))
		return map_leaf(dt, node, walk);
	if (dt_first_child(dt, node) < 0)
		return refuse(dt, node, "an empty place in the map");
	return 0;
}

static int read_map(const struct dt *dt)
{
	int map = dt_path_node(dt, "/cpus/cpu-map"), depth = 0, err = 0;
	struct map_walk walk = { 0 };

	if (map < 0)
		return -ENOENT;
	for (unsigned i = 0; i < cpu_count; i++)
		topology.cpu[i].cluster = NOT_SEEN;
	for (int node = dt_next_node(dt, map, &depth); node >= 0 && depth > 0 && !err;
	     node = dt_next_node(dt, node, &depth))
		err = map_node(dt, node, &walk);
	for (unsigned i = 0; i < cpu_count && !err; i++)
		if (topology.cpu[i].cluster == NOT_SEEN)
			err = refuse(dt, map, "a CPU is missing from the map");
	return err;
}

/* ---- capacity -------------------------------------------------------------------------------- */

static bool all_have_clocks(const struct dt *dt)
{
	uint64_t hz;

	for (unsigned i = 0; i < cpu_count; i++)
		if (dt_u64(dt, cpus[i], "clock-frequency", &hz))
			return false;
	return true;
}

/* DMIPS per MHz, times kHz where every CPU says its clock. -ENOENT: it says none. */
static int raw_capacity(const struct dt *dt, int node, bool clocks, uint64_t *raw)
{
	uint32_t dmips;
	uint64_t hz = 1000;
	int err = dt_u32(dt, node, "capacity-dmips-mhz", &dmips);

	if (err == -ENOENT)
		return err;
	if (clocks)
		dt_u64(dt, node, "clock-frequency", &hz);
	*raw = dmips * (hz / 1000);
	if (err || !*raw || hz / 1000 > UINT32_MAX)
		return refuse(dt, node, "no good \"capacity-dmips-mhz\" or \"clock-frequency\"");
	return 0;
}

static int read_capacities(const struct dt *dt)
{
	static uint64_t raw[ARCH_CPU_MAX];
	bool clocks = all_have_clocks(dt);
	uint64_t most = 0;
	unsigned shift = 0, without = cpu_count, with = 0;

	for (unsigned i = 0; i < cpu_count; i++) {
		int err = raw_capacity(dt, cpus[i], clocks, &raw[i]);

		if (err == -EINVAL)
			return err;
		if (err) {
			without = i;
			continue;
		}
		with++;
		most = MAX(most, raw[i]);
	}
	if (with && without < cpu_count)
		return refuse(dt, cpus[without],
			      "no \"capacity-dmips-mhz\" though others have one");
	while (most >> shift >> 52)
		shift++;
	most >>= shift;
	for (unsigned i = 0; i < cpu_count && with; i++)
		topology.cpu[i].capacity = (uint16_t)MAX(
			((raw[i] >> shift) * TOPOLOGY_CAPACITY_MAX + most / 2) / most, 1ull);
	return 0;
}

/* ---- caches ---------------------------------------------------------------------------------- */

/* The last node of the chain of next-level-cache; -ENOENT: the CPU names none. */
static int last_cache(const struct dt *dt, int node)
{
	uint32_t phandle;
	int cache = -ENOENT, err;

	for (unsigned level = 0; level < CACHE_LEVELS_MAX; level++) {
		err = dt_u32(dt, cache < 0 ? node : cache, "next-level-cache", &phandle);
		if (err == -ENOENT)
			return cache;
		if (err)
			return refuse(dt, node, "\"next-level-cache\" is not one phandle");
		cache = dt_phandle_node(dt, phandle);
		if (cache < 0)
			return refuse(dt, node, "\"next-level-cache\" names no node");
	}
	return refuse(dt, node, "caches in a circle");
}

static int read_caches(const struct dt *dt)
{
	static int seen[ARCH_CPU_MAX];
	unsigned n = 0, without = cpu_count;

	for (unsigned i = 0; i < cpu_count; i++) {
		int cache = last_cache(dt, cpus[i]);
		unsigned id = 0;

		if (cache == -EINVAL)
			return cache;
		if (cache < 0) {
			without = i;
			continue;
		}
		while (id < n && seen[id] != cache)
			id++;
		seen[id] = cache;
		n = MAX(n, id + 1);
		topology.cpu[i].cache = (uint16_t)id;
	}
	if (n && without < cpu_count)
		return refuse(dt, cpus[without], "no \"next-level-cache\" though others have one");
	return n ? 0 : -ENOENT;
}

/* ---- all ------------------------------------------------------------------------------------- */

void topology_init(const struct dt *dt)
{
	const char *why;

	topology_default();
	find_cpus(dt);
	if (read_map(dt))
		topology_default();
	(void)read_capacities(dt); /* equal, unless it knows better */
	if (read_caches(dt))
		for (unsigned i = 0; i < cpu_count; i++)
			topology.cpu[i].cache = topology.cpu[i].cluster;
	if (topology_build(&why)) {
		printk("topology: %s; ignored\n", why);
		topology_default();
		ASSERT(!topology_build(&why));
	}
	if (topology.levels > 1 || topology.clusters > 1)
		printk("topology: %u clusters, %u last-level caches, capacities from %u to %u\n",
		       topology.clusters, topology.caches, topology.level_capacity[0],
		       topology.level_capacity[topology.levels - 1]);
}
