/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPUs there are and how they come up. Numbers follow the order of the device tree's /cpus;
 * the boot CPU may have any of them. All CPUs are started before the first is waited for. A CPU and
 * the boot CPU agree on "in time or too late" by one compare-and-swap of cpu->online.
 */
#include "core/cpu.h"
#include "core/console.h"
#include "core/fdt.h"
#include "core/irq.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/string.h"
#include "core/thread.h"
#include "core/time.h"

#define CPU_START_TIMEOUT_NS (10 * NSEC_PER_SEC)

struct cpu *cpu_table[ARCH_CPU_MAX];
unsigned cpu_count;
struct cpumask cpu_online_mask;

static struct cpu *boot_cpu; /* [i] woken by those that come up */

unsigned cpumask_next(const struct cpumask *m, unsigned from)
{
	for (unsigned i = from / 64; i < CPUMASK_WORDS; i++) {
		uint64_t w = m->bits[i];

		if (i == from / 64)
			w &= ~0ull << (from % 64);
		if (w)
			return i * 64 + arch_bit_lowest(w);
	}
	return ARCH_CPU_MAX;
}

/* The next CPU node after @node (0: the first) that this kernel can run on. */
static int next_cpu(const struct dt *dt, int node, uint64_t *hwid)
{
	node = node ? dt_next_sibling(dt, node) : dt_first_child(dt, dt_path_node(dt, "/cpus"));
	while (node >= 0 && arch_cpu_node(dt, node, hwid))
		node = dt_next_sibling(dt, node);
	return node;
}

static unsigned index_of(const struct dt *dt, uint64_t boot_hwid)
{
	uint64_t hwid;
	unsigned index = 0;

	if (!dt)
		return 0;
	for (int node = next_cpu(dt, 0, &hwid); node >= 0;
	     node = next_cpu(dt, node, &hwid), index++)
		if (hwid == boot_hwid)
			return index;
	return 0;
}

static void cpu_init_common(struct cpu *cpu, unsigned index, uint64_t hwid)
{
	cpu->index = index;
	cpu->hwid = hwid;
	timer_queue_init(&cpu->timers);
	for (unsigned i = 0; i < ARRAY_SIZE(cpu->stack_cache); i++)
		list_init(&cpu->stack_cache[i]);
	cpu_table[index] = cpu;
}

void cpu_init_boot(struct cpu *cpu, struct thread *idle, const struct dt *dt, uint64_t hwid)
{
	cpu_init_common(cpu, index_of(dt, hwid), hwid);
	boot_cpu = cpu;
	arch_cpu_init(cpu);
	memcpy(idle->name, "idle/boot", 10);
	cpumask_set(&idle->affinity, cpu->index);
	/* names the thread; idle uses no TLS */
	idle->context.tls = (uintptr_t)idle + THREAD_TLS_OFFSET;
	arch_tls_set(idle->context.tls);
	sched_init_cpu(cpu, idle);
	cpu->online = CPU_ONLINE;
	cpumask_set(&cpu_online_mask, cpu->index);
}

static struct cpu *cpu_alloc(void)
{
	return page_alloc_zero(page_order(sizeof(struct cpu)));
}

int cpu_enumerate(const struct dt *dt)
{
	uint64_t hwid;

	cpu_count = 0;
	for (int node = next_cpu(dt, 0, &hwid); node >= 0; node = next_cpu(dt, node, &hwid)) {
		struct cpu *cpu;

		if (cpu_count == ARCH_CPU_MAX) {
			printk("cpu: more than %u CPUs in the device tree; the rest is left off\n",
			       ARCH_CPU_MAX);
			break;
		}
		if (cpu_table[cpu_count] == boot_cpu) {
			cpu_count++;
			continue;
		}
		cpu = cpu_alloc();
		if (!cpu)
			return -ENOMEM;
		cpu_init_common(cpu, cpu_count++, hwid);
		if (!thread_alloc_idle(cpu))
			return -ENOMEM;
	}
	cpu_count = MAX(cpu_count, boot_cpu->index + 1);
	return 0;
}

bool cpu_report_online(struct cpu *cpu)
{
	uint32_t offline = CPU_OFFLINE;

	if (!atomic_cas_acq_rel(&cpu->online, &offline, CPU_ONLINE))
		return false;
	cpumask_atomic_set(&cpu_online_mask, cpu->index);
	ipi_send(boot_cpu);
	return true;
}

static bool all_online(const struct cpumask *started)
{
	struct cpumask missing;

	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		missing.bits[i] = started->bits[i] & ~atomic_load_acquire(&cpu_online_mask.bits[i]);
	return cpumask_empty(&missing);
}

static void give_up_on(struct cpu *cpu)
{
	uint32_t offline = CPU_OFFLINE;

	if (atomic_cas_acq_rel(&cpu->online, &offline, CPU_TOO_LATE))
		printk("cpu %u (id 0x%llx): not up %llu s after its start; left off\n", cpu->index,
		       (unsigned long long)cpu->hwid, CPU_START_TIMEOUT_NS / NSEC_PER_SEC);
}

/* The boot CPU sleeps meanwhile: each CPU that comes up interrupts it. */
static void wait_for(const struct cpumask *started)
{
	uint64_t deadline_ns = time_now_ns() + CPU_START_TIMEOUT_NS;

	while (!all_online(started) && time_now_ns() < deadline_ns) {
		timer_arm(boot_cpu, deadline_ns);
		arch_cpu_idle();
	}
	cpumask_for_each(i, started)
		give_up_on(cpu_at(i));
}

void cpu_start_all(unsigned limit)
{
	struct cpumask started;
	unsigned n = 1;

	cpumask_clear(&started);
	for (unsigned i = 0; i < cpu_count && (!limit || n < limit); i++) {
		struct cpu *cpu = cpu_at(i);
		int err;

		if (cpu == boot_cpu)
			continue;
		err = arch_cpu_start(cpu);
		if (err) {
			printk("cpu %u (id 0x%llx): firmware refused to start it: error %d\n", i,
			       (unsigned long long)cpu->hwid, err);
			continue;
		}
		cpumask_set(&started, i);
		n++;
	}
	wait_for(&started);
}
