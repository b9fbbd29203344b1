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

/* Says what is wrong at @node; what the message is about counts as absent. */
static int refuse(const struct dt *dt, int node, const char *what)
{
	printk("topology: %s: %s; ignored\n", dt_name(dt, node), what);
	return -EINVAL;
}

/* The CPU of device-tree node @node; NULL: none that this kernel runs on. */
static struct cpu *cpu_of_node(const struct dt *dt, int node)
{
	uint64_t hwid;

	if (node < 0 || arch_cpu_node(dt, node, &hwid))
		return NULL;
	for (unsigned i = 0; i < cpu_count; i++)
		if (cpu_at(i)->hwid == hwid)
			return cpu_at(i);
	return NULL;
}

/* The next CPU node of /cpus after @node (0: the first) that this kernel runs on, and its CPU. */
static int next_cpu(const struct dt *dt, int node, struct cpu **cpu)
{
	node = node ? dt_next_sibling(dt, node) : dt_first_child(dt, dt_path_node(dt, "/cpus"));
	for (; node >= 0; node = dt_next_sibling(dt, node)) {
		*cpu = cpu_of_node(dt, node);
		if (*cpu)
			break;
	}
	return node;
}

/* ---- cpu-map --------------------------------------------------------------------------------- */

/* "cluster12" is a "cluster". */
static bool is_kind(const char *name, const char *kind)
{
	size_t n = strlen(kind);

	if (strncmp(name, kind, n) || !name[n])
		return false;
	for (name += n; *name; name++)
		if (*name < '0' || *name > '9')
			return false;
	return true;
}

/* Group of the node on the way from the map to the CPU: a number for each, in order. */
struct map_walk {
	unsigned sockets, clusters, cores;
};

/* @node has a property "cpu": the CPU is at this place of the map. */
static int map_leaf(const struct dt *dt, int node, const struct map_walk *walk)
{
	uint32_t phandle;
	int target;
	struct cpu *cpu;

	if (dt_u32(dt, node, "cpu", &phandle))
		return refuse(dt, node, "\"cpu\" is not one phandle");
	target = dt_phandle_node(dt, phandle);
	if (target < 0 || dt_parent(dt, target) != dt_path_node(dt, "/cpus"))
		return refuse(dt, node, "\"cpu\" names no node of /cpus");
	cpu = cpu_of_node(dt, target);
	if (!cpu)
		return 0; /* disabled: may stand in the map */
	if (topology.cpu[cpu->index].cluster != NOT_SEEN)
		return refuse(dt, node, "a CPU that the map has already");
	topology.cpu[cpu->index].package = (uint16_t)(MAX(walk->sockets, 1u) - 1);
	topology.cpu[cpu->index].cluster = (uint16_t)(MAX(walk->clusters, 1u) - 1);
	topology.cpu[cpu->index].core = (uint16_t)(MAX(walk->cores, 1u) - 1);
	return 0;
}

static int map_node(const struct dt *dt, int node, struct map_walk *walk)
{
	const char *name = dt_name(dt, node);

	if (is_kind(name, "socket")) {
		walk->sockets++;
		walk->clusters++; /* of cores that lie in no cluster */
	} else if (is_kind(name, "cluster")) {
		walk->clusters++;
	} else if (is_kind(name, "core")) {
		walk->cores++;
	} else if (!is_kind(name, "thread")) {
		return refuse(dt, node, "neither socket, cluster, core nor thread");
	}
	if (dt_prop(dt, node, "cpu", NULL))
		return map_leaf(dt, node, walk);
	if (dt_first_child(dt, node) < 0)
		return refuse(dt, node, "an empty place in the map");
	return 0;
}

/* Cluster ids of clusters that hold only clusters are used by nobody: closes the gaps. */
static void number_clusters(void)
{
	unsigned next = 0;

	for (unsigned id = 0, n = 0; n < cpu_count; id++) {
		bool used = false;

		for (unsigned i = 0; i < cpu_count; i++)
			if (topology.cpu[i].cluster == id) {
				topology.cpu[i].cluster = (uint16_t)next;
				used = true;
				n++;
			}
		next += used;
	}
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
	if (!err)
		number_clusters();
	return err;
}

/* ---- capacity -------------------------------------------------------------------------------- */

/*
 * The unscaled capacity of one CPU: DMIPS per MHz, times kHz where every CPU says its clock.
 * -ENOENT: it says none.
 */
static int raw_capacity(const struct dt *dt, int node, bool clocks, uint64_t *raw)
{
	uint32_t dmips;
	uint64_t hz = 1000;
	int err = dt_u32(dt, node, "capacity-dmips-mhz", &dmips);

	if (err)
		return err == -ENOENT ?
			       err :
			       refuse(dt, node, "\"capacity-dmips-mhz\" is not one number");
	if (clocks)
		dt_u64(dt, node, "clock-frequency", &hz);
	*raw = dmips * (hz / 1000);
	if (!*raw || hz / 1000 > UINT32_MAX)
		return refuse(dt, node, "a capacity or clock of 0, or beyond 4 THz");
	return 0;
}

/* The greatest unscaled capacity. -ENOENT: some CPU has none. */
static int greatest_capacity(const struct dt *dt, bool clocks, uint64_t *greatest)
{
	struct cpu *cpu;
	unsigned with = 0;

	*greatest = 0;
	for (int node = next_cpu(dt, 0, &cpu); node >= 0; node = next_cpu(dt, node, &cpu)) {
		uint64_t raw;
		int err = raw_capacity(dt, node, clocks, &raw);

		if (err && err != -ENOENT)
			return err;
		if (!err) {
			*greatest = MAX(*greatest, raw);
			with++;
		} else if (with) {
			return refuse(dt, node, "no \"capacity-dmips-mhz\" though others have one");
		}
	}
	return with ? 0 : -ENOENT;
}

static bool all_have_clocks(const struct dt *dt)
{
	struct cpu *cpu;
	uint64_t hz;

	for (int node = next_cpu(dt, 0, &cpu); node >= 0; node = next_cpu(dt, node, &cpu))
		if (dt_u64(dt, node, "clock-frequency", &hz) || !hz)
			return false;
	return true;
}

static int read_capacities(const struct dt *dt)
{
	bool clocks = all_have_clocks(dt);
	uint64_t greatest, raw;
	struct cpu *cpu;
	unsigned shift = 0;
	int err = greatest_capacity(dt, clocks, &greatest);

	if (err)
		return err;
	while (greatest >> shift >> 52)
		shift++;
	for (int node = next_cpu(dt, 0, &cpu); node >= 0; node = next_cpu(dt, node, &cpu)) {
		if (raw_capacity(dt, node, clocks, &raw))
			return refuse(dt, node, "no \"capacity-dmips-mhz\" though others have one");
		raw = ((raw >> shift) * TOPOLOGY_CAPACITY_MAX + (greatest >> shift) / 2) /
		      (greatest >> shift);
		topology.cpu[cpu->index].capacity = (uint16_t)MAX(raw, 1ull);
	}
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
	int seen[ARCH_CPU_MAX], without = -ENOENT;
	unsigned n = 0;
	struct cpu *cpu;

	for (int node = next_cpu(dt, 0, &cpu); node >= 0; node = next_cpu(dt, node, &cpu)) {
		int cache = last_cache(dt, node);
		unsigned i = 0;

		if (cache == -ENOENT)
			without = node;
		else if (cache < 0)
			return cache;
		while (i < n && seen[i] != cache)
			i++;
		if (i == n && cache >= 0)
			seen[n++] = cache;
		topology.cpu[cpu->index].cache = (uint16_t)i;
	}
	if (n && without >= 0)
		return refuse(dt, without, "no \"next-level-cache\" though others have one");
	return n ? 0 : -ENOENT;
}

/* ---- all ------------------------------------------------------------------------------------- */

void topology_init(const struct dt *dt)
{
	const char *why;

	topology_default();
	if (read_map(dt)) {
		for (unsigned i = 0; i < cpu_count; i++) {
			topology.cpu[i].cluster = 0;
			topology.cpu[i].package = 0;
			topology.cpu[i].core = (uint16_t)i;
		}
	}
	if (read_capacities(dt))
		for (unsigned i = 0; i < cpu_count; i++)
			topology.cpu[i].capacity = TOPOLOGY_CAPACITY_MAX;
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
