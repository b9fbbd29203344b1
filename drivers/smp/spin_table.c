/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting CPUs that firmware has left in a loop, each looking at a word of memory for where to go:
 * enable-method "spin-table", as on Raspberry Pi 3 and 4.
 * Only for: arm64
 *
 * They look with their caches off, and enter with them off and no argument. So three things must be
 * in memory, not in our cache, before the event that wakes them: the released words, the table by
 * which boot code finds a CPU's struct cpu, and (arch_cpu_start() has seen to it) what the
 * way to C reads. A CPU can be released once: nobody puts it back into firmware's loop.
 *
 * Callers: boot, and later one at a time, irqs on or off. No lock.
 */
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/mem/mem.h"
#include "core/string.h"

static const struct dt *spin_tree; /* [i] */
static unsigned spin_released;     /* [o] by whoever starts CPUs */

/* The CPU node with this id, when it waits at a spin table; *@word: where it looks. */
static bool find_word(uint64_t hwid, pa_t *word)
{
	uint64_t id;

	for (int node = dt_first_child(spin_tree, dt_path_node(spin_tree, "/cpus")); node >= 0;
	     node = dt_next_sibling(spin_tree, node)) {
		const char *method = dt_string(spin_tree, node, "enable-method");

		if (!arch_cpu_node(spin_tree, node, &id) && id == hwid)
			return method && !strcmp(method, "spin-table") &&
			       !dt_u64(spin_tree, node, "cpu-release-addr", word) &&
			       IS_ALIGNED(*word, sizeof(uint64_t));
	}
	return false;
}

/*
 * Most words lie in memory that is mapped as such, reserved. Where firmware keeps them outside of
 * what it calls memory, they are written past the caches.
 */
static void word_write(pa_t word, uint64_t value)
{
	volatile uint64_t *va = direct_va(word);

	if (word >= DIRECT_MAP_BYTES || arch_pa((const void *)(uintptr_t)va) != word)
		va = mmio_map(word, sizeof(*va));
	if (!va)
		return; /* it is not heard of again, and named as not up */
	*va = value;
	arch_cache_op(CACHE_CLEAN_POC, (const void *)(uintptr_t)va, sizeof(*va));
}

static int spin_release(struct cpu *cpu)
{
	pa_t word;

	if (!find_word(cpu->hwid, &word))
		return -ENOTSUP;
	if (spin_released == ARCH_CPU_MAX)
		return -ENOMEM;
	arch_release_table[spin_released++] =
		(struct arch_released){ .hwid = cpu->hwid, .cpu = (uintptr_t)cpu };
	arch_cache_op(CACHE_CLEAN_POC, arch_release_table, sizeof(arch_release_table));
	word_write(word, arch_pa((const void *)(uintptr_t)arch_release_entry));
	arch_event_send();
	return 0;
}

/* No node has it as its compatible string, so this looks for one itself. */
static int spin_probe(const struct dt *dt, int node)
{
	uint64_t id;
	pa_t word;

	spin_tree = dt;
	for (node = dt_first_child(dt, dt_path_node(dt, "/cpus")); node >= 0;
	     node = dt_next_sibling(dt, node))
		if (!arch_cpu_node(dt, node, &id) && find_word(id, &word)) {
			arch_cpu_release = spin_release;
			return 0;
		}
	return -ENODEV;
}

DRIVER(spin_table, DRIVER_POWER, spin_probe, "fallback,spin-table");
