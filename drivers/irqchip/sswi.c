/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACLINT supervisor software interrupts: one 32-bit register a hart; writing 1 makes its software
 * interrupt pending, one store in place of a firmware call of thousands of instructions. The hart
 * clears the pending bit itself (its trap entry does, before trap_ipi()).
 *
 * Register n belongs to entry n of interrupts-extended; its number is never computed from the hart
 * id. Probed once, before the CPUs are enumerated, so each CPU's register is looked up at the first
 * IPI to it. Context of the send: any, irqs masked; no lock.
 *
 * Only for: riscv
 */
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

#define SSWI_CAUSE     1
#define SSWI_REG_BYTES 4
#define SSWI_HARTS_MAX 128

static volatile void *sswi_base;               /* [i] */
static size_t sswi_bytes;                      /* [i] */
static uint64_t sswi_hwid[SSWI_HARTS_MAX];     /* [i] by register */
static uint16_t sswi_index[SSWI_HARTS_MAX];    /* [i] the register's number */
static unsigned sswi_harts;                    /* [i] */
static void (*fallback_send)(struct cpu *cpu); /* [i] for CPUs without a register */

/* Two CPUs may do this at once: both store the same. */
static __noinline volatile uint32_t *find_register(struct cpu *cpu)
{
	for (unsigned i = 0; i < sswi_harts; i++)
		if (sswi_hwid[i] == cpu->hwid) {
			cpu->ipi_private = (char *)sswi_base + sswi_index[i] * SSWI_REG_BYTES;
			return cpu->ipi_private;
		}
	return NULL;
}

static __noinline void send_first(struct cpu *target)
{
	volatile uint32_t *reg = find_register(target);

	if (reg)
		*reg = 1;
	else
		fallback_send(target);
}

/* The barrier: what was stored before is seen by the target when it takes the interrupt. */
static void sswi_send(struct cpu *target)
{
	volatile uint32_t *reg = target->ipi_private;

	arch_io_barrier();
	if (unlikely(!reg)) {
		send_first(target);
		return;
	}
	*reg = 1;
}

/* Entry @index of the list names a hart by its interrupt controller, a child of its CPU node. */
static void add_hart(const struct dt *dt, const struct dt_args *entry, unsigned index)
{
	uint64_t hwid;

	if (entry->n != 1 || entry->cells[0] != SSWI_CAUSE ||
	    arch_cpu_node(dt, dt_parent(dt, entry->target), &hwid))
		return;
	if (sswi_harts == SSWI_HARTS_MAX || (index + 1) * SSWI_REG_BYTES > sswi_bytes)
		return;
	sswi_hwid[sswi_harts] = hwid;
	sswi_index[sswi_harts++] = (uint16_t)index;
}

static int sswi_probe(const struct dt *dt, int node)
{
	struct dt_args entry;
	int err = dt_args_begin(dt, node, "interrupts-extended", "#interrupt-cells", &entry);

	if (err)
		return err;
	if (sswi_base)
		return -EBUSY;
	sswi_base = device_map_reg(dt, node, 0, &sswi_bytes);
	if (!sswi_base)
		return -ENOMEM;
	for (unsigned index = 0; (err = dt_args_next(dt, &entry)) == 0 || err == -ENODEV; index++)
		if (!err)
			add_hart(dt, &entry, index);
	if (!sswi_harts)
		return -ENODEV;
	fallback_send = ipi_send;
	ipi_send = sswi_send;
	ipi_name = "SSWI";
	return 0;
}

DRIVER(sswi, DRIVER_IPI, sswi_probe, "riscv,aclint-sswi");
