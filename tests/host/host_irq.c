/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines of a test (see host_irq.h). A line is one word, so that whoever raises it and
 * whoever unmasks it do not miss each other: the one who sets the second bit interrupts the CPU.
 * Everything is an atomic of core/atomic.h: a search sees it.
 */
#include "tests/host/host_irq.h"
#include "arch/host/host.h"
#include "core/cpu.h"
#include "core/irq.h"

#define HIGH    1u
#define ENABLED 2u
#define BOTH    (HIGH | ENABLED)

static uint32_t lines[HOST_LINES];   /* [a] */
static uint32_t targets[HOST_LINES]; /* [a] index of the CPU that takes it */

static void set(unsigned hwirq, uint32_t bit)
{
	if ((atomic_fetch_or_acq_rel(&lines[hwirq], bit) | bit) == BOTH)
		host_irq_raise(cpu_at(atomic_load_relaxed(&targets[hwirq])));
}

static void reset(unsigned hwirq, uint32_t bit)
{
	atomic_fetch_and_acq_rel(&lines[hwirq], ~bit);
}

static void mask(unsigned hwirq)
{
	reset(hwirq, ENABLED);
}

static void unmask(unsigned hwirq)
{
	set(hwirq, ENABLED);
}

/* One that has moved meanwhile is another CPU's. */
static void handle(void)
{
	for (unsigned i = 0; i < HOST_LINES; i++)
		while (atomic_load_acquire(&lines[i]) == BOTH &&
		       atomic_load_relaxed(&targets[i]) == arch_cpu_self()->index)
			irq_dispatch(i);
}

static int set_affinity(unsigned hwirq, struct cpu *cpu)
{
	atomic_store_relaxed(&targets[hwirq], cpu->index);
	if (atomic_load_acquire(&lines[hwirq]) == BOTH)
		host_irq_raise(cpu);
	return 0;
}

static void cpu_init(struct cpu *cpu)
{
	(void)cpu;
}

static void cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	for (unsigned i = 0; i < HOST_LINES; i++)
		if (atomic_load_relaxed(&targets[i]) == cpu->index)
			set_affinity(i, heir);
}

static const struct irq_chip chip = {
	.name = "lines",
	.handle = handle,
	.cpu_init = cpu_init,
	.cpu_exit = cpu_exit,
	.mask = mask,
	.unmask = unmask,
	.set_affinity = set_affinity,
};

void host_lines_init(void)
{
	irq_root_set(&chip);
	for (unsigned i = 0; i < HOST_LINES; i++)
		irq_free(i);
}

void host_line_raise(unsigned hwirq)
{
	set(hwirq, HIGH);
}

void host_line_lower(unsigned hwirq)
{
	reset(hwirq, HIGH);
}

bool host_line_is_high(unsigned hwirq)
{
	return atomic_load_relaxed(&lines[hwirq]) & HIGH;
}
