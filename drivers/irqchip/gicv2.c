/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARM generic interrupt controller, version 2: distributor and CPU interface in memory, up to eight
 * CPUs.
 * Only for: arm64
 *
 * One interrupt for each entry of handle(), completed before it is dispatched: interrupts stay
 * masked until the handler has returned, so that nothing can come in between, and dispatch is a
 * tail call. What else is pending is taken when the CPU unmasks.
 *
 * No lock: enable bits are set and cleared by writes of their own, priorities and targets are
 * bytes; trigger types change at boot only.
 * SGI 0 is the inter-processor interrupt. What may never happen: a write to a register of another
 * CPU's interface; they are banked.
 */
#include "core/cpu.h"
#include "core/irq.h"
#include "drivers/irqchip/gic.h"

#define GICC_CTLR 0x00
#define GICC_PMR  0x04
#define GICC_BPR  0x08
#define GICC_IAR  0x0c
#define GICC_EOIR 0x10

#define IAR_INTID 0x3ffu

static volatile void *dist, *cpuif; /* [i] */
static unsigned timer_hwirq;        /* [i] */
static int gic_node = -1;           /* [i] */

static void gicv2_handle(void)
{
	volatile void *regs = cpuif;
	uint32_t iar = mmio_read32(regs, GICC_IAR);
	unsigned hwirq = iar & IAR_INTID;

	if (unlikely(hwirq >= GIC_SPECIAL))
		return;
	/*
	 * What the sender of the interrupt stored is read after the acknowledge that says it was
	 * sent.
	 */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	mmio_write32(regs, GICC_EOIR, iar);
	if (hwirq == GIC_SGI_IPI)
		trap_ipi();
	else
		irq_dispatch(hwirq);
}

static void gicv2_mask(unsigned hwirq)
{
	gic_write_bit(dist, GICD_ICENABLER, hwirq);
}

static void gicv2_unmask(unsigned hwirq)
{
	gic_write_bit(dist, GICD_ISENABLER, hwirq);
}

/* ipi_private is the value for GICD_SGIR: the target's interface bit; SGI 0. */
static void gicv2_ipi_send(struct cpu *target)
{
	arch_io_barrier();
	mmio_write32(dist, GICD_SGIR, (uint32_t)(uintptr_t)target->ipi_private);
}

static int gicv2_set_affinity(unsigned hwirq, struct cpu *cpu)
{
	if (hwirq < GIC_SPI_FIRST || hwirq >= GIC_SPECIAL)
		return -EINVAL;
	mmio_write8(dist, GICD_ITARGETSR + hwirq, (uint8_t)(uintptr_t)cpu->irq_private);
	return 0;
}

static int gicv2_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	int err = controller == gic_node ? gic_translate(cells, n, hwirq) : -EINVAL;

	if (!err)
		gic_set_trigger(dist, *hwirq, cells[2]);
	return err;
}

/* Read back, so that the new mask holds before the CPU is unmasked. */
static unsigned long gicv2_timer_only(bool on, unsigned long state)
{
	unsigned long old;

	arch_irq_disable();
	old = mmio_read32(cpuif, GICC_PMR);
	mmio_write32(cpuif, GICC_PMR, on ? GIC_MASK_OTHERS : (uint32_t)state);
	(void)mmio_read32(cpuif, GICC_PMR);
	arch_io_barrier();
	if (on)
		arch_irq_enable();
	return old;
}

/*
 * This CPU's bit in target lists: what the first eight target registers, which are banked, read as.
 * On one CPU they may read 0.
 */
static uint32_t interface_bit(void)
{
	for (size_t i = 0; i < GIC_SPI_FIRST; i++) {
		uint32_t mask = mmio_read8(dist, GICD_ITARGETSR + i);

		if (mask)
			return mask;
	}
	return 1;
}

static void gicv2_cpu_init(struct cpu *cpu)
{
	uint32_t bit = interface_bit();

	cpu->irq_private = (void *)(uintptr_t)bit;
	cpu->ipi_private = (void *)(uintptr_t)(bit << 16);
	gic_quiesce(dist, 0);
	mmio_write8(dist, GICD_IPRIORITYR + timer_hwirq, GIC_PRIORITY_TIMER);
	mmio_write32(dist, GICD_ISENABLER, 1u << GIC_SGI_IPI);
	mmio_write32(cpuif, GICC_BPR, 0);
	mmio_write32(cpuif, GICC_PMR, GIC_MASK_NONE);
	mmio_write32(cpuif, GICC_CTLR, 1);
}

static void gicv2_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	for (unsigned hwirq = GIC_SPI_FIRST; hwirq < gic_irq_count(dist); hwirq++)
		if (mmio_read8(dist, GICD_ITARGETSR + hwirq) == (uintptr_t)cpu->irq_private)
			gicv2_set_affinity(hwirq, heir);
}

static const struct irq_chip gicv2_chip = {
	.name = "GICv2",
	.handle = gicv2_handle,
	.cpu_init = gicv2_cpu_init,
	.cpu_exit = gicv2_cpu_exit,
	.mask = gicv2_mask,
	.unmask = gicv2_unmask,
	.set_affinity = gicv2_set_affinity,
	.translate = gicv2_translate,
	.timer_only = gicv2_timer_only,
};

/*
 * All SPIs off and aimed at the boot CPU. Groups are left alone: where there are two, the secure
 * side has given us ours.
 */
static void dist_init(void)
{
	uint32_t bit = interface_bit();
	unsigned count = gic_irq_count(dist);

	mmio_write32(dist, GICD_CTLR, 0);
	for (unsigned first = GIC_SPI_FIRST; first < count; first += 32) {
		gic_quiesce(dist, first);
		for (unsigned i = 0; i < 32; i += 4)
			mmio_write32(dist, GICD_ITARGETSR + first + i, bit * 0x01010101u);
	}
	mmio_write32(dist, GICD_CTLR, 1);
}

static int gicv2_probe(const struct dt *dt, int node)
{
	size_t bytes;

	if (irq_root())
		return -ENODEV; /* a second one, behind the root: none of its interrupts is used */
	dist = device_map_reg(dt, node, 0, &bytes);
	cpuif = device_map_reg(dt, node, 1, &bytes);
	if (!dist || !cpuif)
		return -EINVAL;
	gic_node = node;
	timer_hwirq = gic_timer_hwirq(dt);
	dist_init();
	ipi_send = gicv2_ipi_send;
	ipi_name = "SGI";
	irq_root_set(&gicv2_chip);
	return 0;
}

DRIVER(gicv2, DRIVER_IRQCHIP, gicv2_probe, "arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic",
       "arm,cortex-a7-gic");
