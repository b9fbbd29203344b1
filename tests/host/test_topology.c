/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Topology from device trees: fdt_seeds/clusters.dts, whose answers stand here, QEMU's machines,
 * and the first one damaged in every part: each damage is named on the console and costs its part
 * only.
 *
 * Sources: core/topology.c core/topology_dt.c core/fdt.c core/fdt_value.c tests/host/host_stub.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "core/console.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/topology.h"

#ifndef FDT_SEEDS
#define FDT_SEEDS "tests/host/fdt_seeds"
#endif

#define BLOB_BYTES 16384

static char blob[BLOB_BYTES], said[1024];
static struct cpu cpus[32];
static struct dt tree;

unsigned cpu_count;

void printk(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

void assert_failed(const struct assert_place *at_place)
{
	fail_msg("%s:%d: %s", at_place->file, at_place->line, at_place->expr);
	abort();
}

int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid)
{
	const char *type = dt_string(dt, node, "device_type");
	uint64_t size;

	if (!type || strcmp(type, "cpu") || !dt_status_ok(dt, node))
		return -ENOENT;
	return dt_reg_raw(dt, node, 0, hwid, &size);
}

static void load(const char *name)
{
	static char packed[65536];
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dtb", FDT_SEEDS, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened: start the test in the source tree's root", path);
	assert_true(fread(packed, 1, sizeof(packed), f) > 0);
	fclose(f);
	assert_int_equal(fdt_open_into(packed, blob, BLOB_BYTES), 0);
}

/* Numbers the CPUs as core/cpu.c does and reads the topology. */
static void read_topology(void)
{
	const char *why;
	uint64_t hwid;

	assert_int_equal(dt_open(&tree, blob, BLOB_BYTES, &why), 0);
	cpu_count = 0;
	for (int node = dt_first_child(&tree, dt_path_node(&tree, "/cpus")); node >= 0;
	     node = dt_next_sibling(&tree, node)) {
		if (arch_cpu_node(&tree, node, &hwid))
			continue;
		cpus[cpu_count] = (struct cpu){ .index = cpu_count, .hwid = hwid };
		cpu_table[cpu_count] = &cpus[cpu_count];
		cpu_count++;
	}
	said[0] = '\0';
	memset(&topology, 0xff, sizeof(topology));
	topology_init(&tree);
}

static int at(const char *path)
{
	int node = fdt_path_offset(blob, path);

	if (node < 0)
		fail_msg("%s: %s", path, fdt_strerror(node));
	return node;
}

static void open_clusters(void)
{
	load("clusters");
}

static uint64_t bits(const struct cpumask *m)
{
	for (unsigned i = 1; i < CPUMASK_WORDS; i++)
		assert_int_equal(m->bits[i], 0);
	return m->bits[0];
}

static void check_map(void)
{
	static const uint16_t core[] = { 0, 0, 1, 1, 2, 3, 5, 6, 7 };
	static const uint16_t cluster[] = { 0, 0, 0, 0, 1, 1, 1, 2, 2 };
	static const uint16_t package[] = { 0, 0, 0, 0, 0, 0, 0, 1, 1 };

	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(topology.cpu[i].core, core[i]);
		assert_int_equal(topology.cpu[i].cluster, cluster[i]);
		assert_int_equal(topology.cpu[i].package, package[i]);
	}
	assert_int_equal(topology.clusters, 3);
	assert_int_equal(bits(cpu_cluster_mask(2)), 0x00f);
	assert_int_equal(bits(cpu_cluster_mask(5)), 0x070);
	assert_int_equal(bits(cpu_cluster_mask(8)), 0x180);
}

static void check_capacities(void)
{
	static const unsigned capacity[] = { 1024, 1024, 1024, 1024, 256, 256, 256, 768, 768 };

	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(cpu_capacity(i), capacity[i]);
	assert_int_equal(topology.levels, 3);
	assert_int_equal(topology.level_capacity[0], 256);
	assert_int_equal(topology.level_capacity[1], 768);
	assert_int_equal(topology.level_capacity[2], 1024);
	assert_int_equal(bits(&topology.level_cpus[0]), 0x1ff);
	assert_int_equal(bits(&topology.level_cpus[1]), 0x18f);
	assert_int_equal(bits(&topology.level_cpus[2]), 0x00f);
}

static void check_caches(void)
{
	assert_int_equal(topology.caches, 2);
	assert_int_equal(bits(cpu_cache_mask(0)), 0x07f);
	assert_int_equal(bits(cpu_cache_mask(7)), 0x180);
}

static void everything(void **state)
{
	(void)state;
	open_clusters();
	read_topology();
	assert_int_equal(cpu_count, 9);
	assert_string_equal(
		said, "topology: 3 clusters, 2 last-level caches, capacities from 256 to 1024\n");
	check_map();
	check_capacities();
	check_caches();
}

static void nothing_said(void **state)
{
	static const char *const machines[] = { "qemu-arm64-gicv3", "qemu-riscv64",
						"qemu-riscv64-sifive" };

	(void)state;
	for (unsigned m = 0; m < ARRAY_SIZE(machines); m++) {
		load(machines[m]);
		read_topology();
		assert_string_equal(said, "");
		assert_true(cpu_count > 1);
		assert_int_equal(topology.levels, 1);
		assert_int_equal(topology.clusters, 1);
		assert_int_equal(bits(cpu_cluster_mask(0)), (1ull << cpu_count) - 1);
		assert_int_equal(bits(cpu_cache_mask(0)), (1ull << cpu_count) - 1);
		assert_int_equal(cpu_capacity(cpu_count - 1), 1024);
	}
}

/* Without clocks the capacity is what the tree calls so. */
static void capacity_without_clocks(void **state)
{
	(void)state;
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at("/cpus/cpu@9"), "clock-frequency"), 0);
	read_topology();
	assert_int_equal(cpu_capacity(0), 1024);
	assert_int_equal(cpu_capacity(4), 512);
	assert_int_equal(cpu_capacity(8), 1024);
}

static void capacity_of_wide_clocks(void **state)
{
	(void)state;
	open_clusters();
	for (unsigned i = 0; i < 10; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/cpus/cpu@%x", i);
		assert_int_equal(fdt_setprop_u64(blob, at(path), "clock-frequency",
						 i < 4 ? 4000000000000ull : 1000000000000ull),
				 0);
		assert_int_equal(fdt_setprop_u32(blob, at(path), "capacity-dmips-mhz", UINT32_MAX),
				 0);
	}
	read_topology();
	assert_int_equal(cpu_capacity(0), 1024);
	assert_int_equal(cpu_capacity(8), 256);
}

/* ---- damage: the message, and which of the three parts is then as if it were not there ------- */

enum part { MAP, CAPACITY, CACHE };

static void expect(enum part damaged, const char *message)
{
	read_topology();
	if (!strstr(said, message) || !strstr(said, "ignored"))
		fail_msg("expected \"%s\", said: \"%s\"", message, said);
	if (damaged != MAP)
		check_map();
	else
		assert_int_equal(topology.clusters, 1);
	if (damaged != CAPACITY)
		check_capacities();
	else
		assert_int_equal(topology.levels, 1);
	if (damaged != CACHE)
		check_caches();
	else
		for (unsigned i = 0; i < cpu_count; i++)
			assert_int_equal(topology.cpu[i].cache, topology.cpu[i].cluster);
	for (unsigned i = 0; i < cpu_count; i++)
		assert_true(cpumask_test(cpu_cluster_mask(i), i) &&
			    cpumask_test(cpu_cache_mask(i), i) && cpu_capacity(i));
}

#define CORE5 "/cpus/cpu-map/socket0/cluster0/cluster1/core1"

static void damaged_map(void **state)
{
	uint32_t other;

	(void)state;
	open_clusters();
	assert_int_equal(fdt_setprop_u32(blob, at(CORE5), "cpu", 0x7777), 0);
	expect(MAP, "core1: \"cpu\" names no node");
	open_clusters();
	assert_int_equal(fdt_setprop_u32(blob, at(CORE5), "cpu",
					 fdt_get_phandle(blob, at("/cpus/cache-l3"))),
			 0);
	read_topology(); /* a node of /cpus that is no CPU this kernel runs on may stand in the map */
	assert_non_null(strstr(said, "cpu-map: a CPU is missing from the map"));
	open_clusters();
	other = fdt_get_phandle(blob, at("/cpus/cpu@0"));
	assert_int_equal(fdt_setprop_u32(blob, at(CORE5), "cpu", other), 0);
	expect(MAP, "core1: a CPU that the map has already");
	open_clusters();
	assert_int_equal(fdt_setprop(blob, at(CORE5), "cpu", "ab", 3), 0);
	expect(MAP, "core1: \"cpu\" is not one phandle");
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at(CORE5), "cpu"), 0);
	expect(MAP, "core1: an empty place in the map");
	open_clusters();
	assert_int_equal(fdt_del_node(blob, at(CORE5)), 0);
	expect(MAP, "cpu-map: a CPU is missing from the map");
	open_clusters();
	assert_int_equal(fdt_set_name(blob, at(CORE5), "kern1"), 0);
	expect(MAP, "kern1: neither socket, cluster, core nor thread");
	open_clusters();
	assert_int_equal(fdt_set_name(blob, at(CORE5), "core"), 0);
	expect(MAP, "core: neither socket, cluster, core nor thread");
}

static void damaged_capacity(void **state)
{
	(void)state;
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at("/cpus/cpu@5"), "capacity-dmips-mhz"), 0);
	expect(CAPACITY, "cpu@5: no \"capacity-dmips-mhz\" though others have one");
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at("/cpus/cpu@0"), "capacity-dmips-mhz"), 0);
	expect(CAPACITY, "cpu@0: no \"capacity-dmips-mhz\" though others have one");
	open_clusters();
	assert_int_equal(fdt_setprop(blob, at("/cpus/cpu@5"), "capacity-dmips-mhz", "x", 2), 0);
	expect(CAPACITY, "cpu@5: no good \"capacity-dmips-mhz\"");
	open_clusters();
	assert_int_equal(fdt_setprop_u32(blob, at("/cpus/cpu@5"), "capacity-dmips-mhz", 0), 0);
	expect(CAPACITY, "cpu@5: no good \"capacity-dmips-mhz\"");
	open_clusters();
	assert_int_equal(fdt_setprop_u64(blob, at("/cpus/cpu@5"), "clock-frequency", UINT64_MAX),
			 0);
	expect(CAPACITY, "cpu@5: no good \"capacity-dmips-mhz\"");
	open_clusters();
	for (unsigned i = 0; i < 10; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/cpus/cpu@%x", i);
		assert_int_equal(
			fdt_setprop_u32(blob, at(path), "capacity-dmips-mhz", 100 + 7 * i * i), 0);
	}
	read_topology();
	assert_non_null(strstr(said, "more than 8 different capacities; ignored"));
	assert_int_equal(topology.levels, 1);
}

static void damaged_caches(void **state)
{
	(void)state;
	open_clusters();
	assert_int_equal(fdt_setprop_u32(blob, at("/cpus/cpu@5"), "next-level-cache", 0x7777), 0);
	expect(CACHE, "cpu@5: \"next-level-cache\" names no node");
	open_clusters();
	assert_int_equal(fdt_setprop(blob, at("/cpus/cpu@5"), "next-level-cache", "", 0), 0);
	expect(CACHE, "cpu@5: \"next-level-cache\" is not one phandle");
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at("/cpus/cpu@5"), "next-level-cache"), 0);
	expect(CACHE, "cpu@5: no \"next-level-cache\" though others have one");
	open_clusters();
	assert_int_equal(fdt_delprop(blob, at("/cpus/cpu@0"), "next-level-cache"), 0);
	expect(CACHE, "cpu@0: no \"next-level-cache\" though others have one");
	open_clusters();
	assert_int_equal(fdt_setprop_u32(blob, at("/cpus/cache-l3"), "next-level-cache",
					 fdt_get_phandle(blob, at("/cpus/cache-slow"))),
			 0);
	expect(CACHE, "cpu@0: caches in a circle");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(nothing_said),
		cmocka_unit_test(capacity_without_clocks),
		cmocka_unit_test(capacity_of_wide_clocks),
		cmocka_unit_test(damaged_map),
		cmocka_unit_test(damaged_capacity),
		cmocka_unit_test(damaged_caches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
