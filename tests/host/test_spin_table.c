/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spin tables, with the caches that emulation has not: what the driver stores is in its cache only,
 * and comes to memory by arch_cache_op(). The waiting CPU looks at memory, past the caches, when the
 * event is sent. The driver is included; firmware's tree is made with libfdt.
 *
 * Sources: core/fdt.c core/fdt_value.c tests/host/host_stub.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "core/arch.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/mem/mem.h"

#define WORDS_PA    0xd8ull
#define FAR_WORD    0x9000000000ull /* behind the direct map */
#define ENTRY_PA    0x201230ull
#define TABLE_BYTES ((ARCH_CPU_MAX + 1) * sizeof(struct arch_released))

struct arch_released {
	uint64_t hwid, cpu;
};
static struct arch_released arch_release_table[ARCH_CPU_MAX + 1];
static int (*arch_cpu_release)(struct cpu *cpu);

static uint8_t low[4096]; /* physical 0.. as the kernel sees it, through its cache */
static uint64_t far_word; /* device memory: no cache */
static struct {           /* what is in memory */
	uint8_t low[4096];
	struct arch_released table[ARCH_CPU_MAX + 1];
} memory;
static unsigned events;
static uint64_t seen_word[4]; /* by whoever waits, at the last event */
static bool table_was_first;

static void arch_release_entry(void)
{
}

static void *fake_direct_va(pa_t pa)
{
	return pa < sizeof(low) ? low + pa : (void *)&far_word;
}

pa_t arch_pa(const void *va)
{
	const uint8_t *p = va;

	if ((uintptr_t)va == (uintptr_t)arch_release_entry)
		return ENTRY_PA;
	return p >= low && p < low + sizeof(low) ? (pa_t)(p - low) : 0;
}

volatile void *mmio_map(pa_t pa, size_t bytes)
{
	assert_int_equal(pa, FAR_WORD);
	assert_int_equal(bytes, 8);
	return &far_word;
}

void arch_cache_op(enum cache_op op, const void *va, size_t bytes)
{
	const uint8_t *p = va;

	assert_int_equal(op, CACHE_CLEAN_POC);
	if (va == (const void *)arch_release_table) {
		memcpy(memory.table, va, bytes);
		return;
	}
	if (va == (const void *)&far_word)
		return;
	assert_true(p >= low && p + bytes <= low + sizeof(low));
	table_was_first = memory.table[0].cpu != 0;
	memcpy(memory.low + (p - low), p, bytes);
}

static void arch_event_send(void)
{
	events++;
	memcpy(seen_word, memory.low + WORDS_PA, sizeof(seen_word));
}

int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid)
{
	const char *type = dt_string(dt, node, "device_type");

	return !type || strcmp(type, "cpu") || dt_u64(dt, node, "reg", hwid) ? -ENOENT : 0;
}

#define direct_va fake_direct_va
#undef DIRECT_MAP_BYTES
#define DIRECT_MAP_BYTES 0x2000000000ull
#include "core/device.h"
#undef DRIVER
#define DRIVER(ident, cls, fn, ...) \
	static const struct driver ident##_driver = { #ident, cls, NULL, fn }
#include "drivers/smp/spin_table.c"

/* ---- trees ----------------------------------------------------------------------------------- */

static uint8_t blob[8192];
static struct dt tree;

static void add_cpu(unsigned id, const char *method, uint64_t word)
{
	char name[16];

	snprintf(name, sizeof(name), "cpu@%x", id);
	assert_int_equal(fdt_begin_node(blob, name), 0);
	fdt_property_string(blob, "device_type", "cpu");
	fdt_property_u32(blob, "reg", id);
	if (method)
		fdt_property_string(blob, "enable-method", method);
	if (word)
		fdt_property_u64(blob, "cpu-release-addr", word);
	fdt_end_node(blob);
}

static void tree_begin(void)
{
	memset(low, 0, sizeof(low));
	memset(&memory, 0, sizeof(memory));
	memset(arch_release_table, 0, sizeof(arch_release_table));
	events = spin_released = 0;
	far_word = 0;
	table_was_first = false;
	arch_cpu_release = NULL;
	assert_int_equal(fdt_create(blob, sizeof(blob)), 0);
	fdt_finish_reservemap(blob);
	fdt_begin_node(blob, "");
	fdt_begin_node(blob, "cpus");
	fdt_property_u32(blob, "#address-cells", 1);
	fdt_property_u32(blob, "#size-cells", 0);
}

static int tree_probe(void)
{
	const char *why;

	fdt_end_node(blob);
	fdt_end_node(blob);
	assert_int_equal(fdt_finish(blob), 0);
	assert_int_equal(dt_open(&tree, blob, sizeof(blob), &why), 0);
	return spin_table_driver.probe(&tree, DEVICE_FALLBACK);
}

static void four_cpus(void)
{
	tree_begin();
	for (unsigned i = 0; i < 4; i++)
		add_cpu(i, "spin-table", WORDS_PA + 8 * i);
	assert_int_equal(tree_probe(), 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* A CPU that looks when the event comes finds the word, and itself by then. */
static void test_all_is_in_memory_at_the_event(void **state)
{
	struct cpu cpu = { .hwid = 2 };

	(void)state;
	four_cpus();
	assert_int_equal(arch_cpu_release(&cpu), 0);
	assert_int_equal(events, 1);
	assert_int_equal(seen_word[2], ENTRY_PA);
	assert_int_equal(seen_word[0] | seen_word[1] | seen_word[3], 0);
	assert_true(table_was_first);
	assert_int_equal(memory.table[0].hwid, 2);
	assert_int_equal(memory.table[0].cpu, (uintptr_t)&cpu);
	assert_int_equal(memory.table[1].cpu, 0);
}

static void test_each_cpu_has_its_word_and_entry(void **state)
{
	struct cpu cpus[3] = { { .hwid = 1 }, { .hwid = 2 }, { .hwid = 3 } };

	(void)state;
	four_cpus();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(arch_cpu_release(&cpus[i]), 0);
	assert_int_equal(events, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(seen_word[i + 1], ENTRY_PA);
		assert_int_equal(memory.table[i].hwid, i + 1);
		assert_int_equal(memory.table[i].cpu, (uintptr_t)&cpus[i]);
	}
	assert_int_equal(seen_word[0], 0);
	assert_int_equal(memory.table[3].cpu, 0);
}

static void test_word_outside_of_memory_is_mapped(void **state)
{
	struct cpu cpu = { .hwid = 1 };

	(void)state;
	tree_begin();
	add_cpu(0, "spin-table", WORDS_PA);
	add_cpu(1, "spin-table", FAR_WORD);
	assert_int_equal(tree_probe(), 0);
	assert_int_equal(arch_cpu_release(&cpu), 0);
	assert_int_equal(far_word, ENTRY_PA);
	assert_int_equal(events, 1);
}

static void test_others_are_refused(void **state)
{
	struct cpu cpu = { 0 };

	(void)state;
	tree_begin();
	add_cpu(0, "spin-table", WORDS_PA);
	add_cpu(1, "psci", WORDS_PA + 8);
	add_cpu(2, "spin-table", 0);
	add_cpu(3, "spin-table", WORDS_PA + 4);
	add_cpu(4, NULL, WORDS_PA + 16);
	assert_int_equal(tree_probe(), 0);
	for (cpu.hwid = 1; cpu.hwid < 6; cpu.hwid++)
		assert_int_equal(arch_cpu_release(&cpu), -ENOTSUP);
	assert_int_equal(events, 0);
	assert_int_equal(memory.table[0].cpu, 0);
}

static void test_tree_without_spin_tables(void **state)
{
	(void)state;
	tree_begin();
	add_cpu(0, "psci", 0);
	assert_int_equal(tree_probe(), -ENODEV);
	assert_null(arch_cpu_release);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_in_memory_at_the_event),
		cmocka_unit_test(test_each_cpu_has_its_word_and_entry),
		cmocka_unit_test(test_word_outside_of_memory_is_mapped),
		cmocka_unit_test(test_others_are_refused),
		cmocka_unit_test(test_tree_without_spin_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
