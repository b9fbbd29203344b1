/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARM generic interrupt controller, version 3 (and 4 as far as it is the same): affinity routing,
 * one redistributor per CPU, the CPU interface in system registers. Only for: arm64
 *
 * One interrupt for each entry of handle(), completed before it is dispatched: interrupts stay
 * masked until the handler has returned, so that nothing can come in between, and dispatch is a
 * tail call. What else is pending is taken when the CPU unmasks.
 *
 * No lock: enable bits are set and cleared by writes of their own, priorities are bytes; trigger
 * types change at boot only.
 * SGI 0 is the inter-processor interrupt. cpu->irq_private is the redistributor's SGI frame,
 * cpu->ipi_private the value for ICC_SGI1R_EL1.
 * What may never happen: a CPU addressed by its index; redistributors, routes and SGIs go by
 * affinity.
 */
#include "core/console.h"
#include "core/cpu.h"
#include "core/irq.h"
#include "drivers/irqchip/gic.h"

/* System registers by encoding: assemblers older than the registers know these. */
#define ICC_PMR_EL1     "S3_0_C4_C6_0"
#define ICC_AP1R0_EL1   "S3_0_C12_C9_0"
#define ICC_SGI1R_EL1   "S3_0_C12_C11_5"
#define ICC_IAR1_EL1    "S3_0_C12_C12_0"
#define ICC_EOIR1_EL1   "S3_0_C12_C12_1"
#define ICC_BPR1_EL1    "S3_0_C12_C12_3"
#define ICC_CTLR_EL1    "S3_0_C12_C12_4"
#define ICC_SRE_EL1     "S3_0_C12_C12_5"
#define ICC_IGRPEN1_EL1 "S3_0_C12_C12_7"

#define ICC_CTLR_RSS (1u << 18)

#define GICD_CTLR_GROUP1 (1u << 1) /* EnableGrp1A or, with one security state, EnableGrp1 */
#define GICD_CTLR_ARE    (1u << 4)
#define GICD_CTLR_RWP    (1u << 31)
#define GICD_TYPER_RSS   (1u << 26)

#define GICR_TYPER        0x08
#define GICR_WAKER        0x14
#define GICR_SGI_FRAME    0x10000
#define GICR_TYPER_VLPIS  (1u << 1)
#define GICR_TYPER_LAST   (1u << 4)
#define GICR_WAKER_SLEEP  (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)

#define REGIONS_MAX 8
#define POLL_MAX    1000000 /* reads of a register that answers within microseconds, or never */

static struct {
	volatile void *base;
	size_t bytes;
} regions[REGIONS_MAX];       /* [i] */
static unsigned region_count; /* [i] */
static uint64_t frame_stride; /* [i] 0: by GICR_TYPER */
static volatile void *dist;   /* [i] */
static int gic_node = -1;     /* [i] */
static unsigned timer_hwirq;  /* [i] */

static bool poll_clear(volatile void *base, size_t reg, uint32_t bit)
{
	for (unsigned i = 0; i < POLL_MAX; i++)
		if (!(mmio_read32(base, reg) & bit))
			return true;
	return false;
}

static void gicv3_handle(void)
{
	uint64_t hwirq = arch_device_reg_read(ICC_IAR1_EL1);

	/*
	 * What the sender of the interrupt stored is read after the acknowledge that says it was
	 * sent.
	 */
	arch_device_reg_sync();
	if (hwirq == GIC_SGI_IPI) {
		arch_device_reg_write(ICC_EOIR1_EL1, GIC_SGI_IPI);
		trap_ipi();
		return;
	}
	if (unlikely(hwirq >= GIC_SPECIAL))
		return;
	arch_device_reg_write(ICC_EOIR1_EL1, hwirq);
	irq_dispatch((unsigned)hwirq);
}

static volatile void *bank_of(unsigned hwirq)
{
	return hwirq < GIC_SPI_FIRST ? arch_cpu_self()->irq_private : dist;
}

static void gicv3_mask(unsigned hwirq)
{
	gic_write_bit(bank_of(hwirq), GICD_ICENABLER, hwirq);
}

static void gicv3_unmask(unsigned hwirq)
{
	gic_write_bit(bank_of(hwirq), GICD_ISENABLER, hwirq);
}

/*
 * The barrier makes earlier stores visible before the interrupt can be; a system register write
 * does not wait for a mere dmb.
 */
static void gicv3_ipi_send(struct cpu *target)
{
	arch_device_reg_publish();
	arch_device_reg_write(ICC_SGI1R_EL1, (uintptr_t)target->ipi_private);
	arch_device_reg_sync();
}

/* hwid has the layout of MPIDR_EL1 and so of GICD_IROUTER. */
static int gicv3_set_affinity(unsigned hwirq, struct cpu *cpu)
{
	if (hwirq < GIC_SPI_FIRST || hwirq >= GIC_SPECIAL)
		return -EINVAL;
	mmio_write64(dist, GICD_IROUTER + hwirq * 8ul, cpu->hwid);
	return 0;
}

static int gicv3_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	int err = controller == gic_node ? gic_translate(cells, n, hwirq) : -EINVAL;

	if (!err)
		gic_set_trigger(dist, *hwirq, cells[2]);
	return err;
}

static unsigned long gicv3_timer_only(bool on, unsigned long state)
{
	unsigned long old;

	arch_irq_disable();
	old = arch_device_reg_read(ICC_PMR_EL1);
	arch_device_reg_write(ICC_PMR_EL1, on ? GIC_MASK_OTHERS : state);
	arch_device_reg_sync();
	if (on)
		arch_irq_enable();
	return old;
}

static unsigned affinity(uint64_t hwid, unsigned level)
{
	return (hwid >> (level == 3 ? 32 : level * 8)) & 0xff;
}

/* Aff0 is a bit in a list of 16, chosen by the range selector. */
static uint64_t sgi_value(uint64_t hwid)
{
	uint64_t aff0 = affinity(hwid, 0);

	return (uint64_t)affinity(hwid, 3) << 48 | aff0 / 16 << 44 |
	       (uint64_t)affinity(hwid, 2) << 32 | (uint64_t)affinity(hwid, 1) << 16 |
	       1ull << aff0 % 16;
}

static size_t redist_step(uint64_t typer)
{
	if (frame_stride)
		return frame_stride;
	return typer & GICR_TYPER_VLPIS ? 0x40000 : 0x20000;
}

/* The redistributor whose GICR_TYPER names @hwid; NULL. */
static volatile void *redist_find(uint64_t hwid)
{
	uint32_t wanted = (uint32_t)((hwid & 0xffffff) | (uint64_t)affinity(hwid, 3) << 24);

	for (unsigned r = 0; r < region_count; r++) {
		uint64_t typer = 0;

		for (size_t at = 0; at + 0x20000 <= regions[r].bytes && !(typer & GICR_TYPER_LAST);
		     at += redist_step(typer)) {
			volatile void *frame = (volatile char *)regions[r].base + at;

			typer = mmio_read64(frame, GICR_TYPER);
			if (typer >> 32 == wanted)
				return frame;
		}
	}
	return NULL;
}

static void redist_init(struct cpu *cpu, volatile void *frame)
{
	volatile void *sgi = (volatile char *)frame + GICR_SGI_FRAME;

	mmio_write32(frame, GICR_WAKER, mmio_read32(frame, GICR_WAKER) & ~GICR_WAKER_SLEEP);
	if (!poll_clear(frame, GICR_WAKER, GICR_WAKER_ASLEEP))
		printk("gicv3: redistributor of CPU id 0x%llx stays asleep\n",
		       (unsigned long long)cpu->hwid);
	mmio_write32(sgi, GICD_IGROUPR, ~0u);
	gic_quiesce(sgi, 0);
	mmio_write8(sgi, GICD_IPRIORITYR + timer_hwirq, GIC_PRIORITY_TIMER);
	mmio_write32(sgi, GICD_ISENABLER, 1u << GIC_SGI_IPI);
	cpu->irq_private = (void *)(uintptr_t)sgi;
}

static void cpu_interface_init(struct cpu *cpu)
{
	arch_device_reg_write(ICC_SRE_EL1, arch_device_reg_read(ICC_SRE_EL1) | 1);
	arch_device_reg_sync();
	if (!(arch_device_reg_read(ICC_SRE_EL1) & 1))
		printk("gicv3: CPU id 0x%llx: firmware withholds the system register interface\n",
		       (unsigned long long)cpu->hwid);
	arch_device_reg_write(ICC_CTLR_EL1, 0); /* EOIR drops the priority and deactivates */
	arch_device_reg_write(ICC_BPR1_EL1, 0);
	arch_device_reg_write(ICC_AP1R0_EL1,
			      0); /* nothing that a boot loader acknowledged may hold us back */
	arch_device_reg_write(ICC_PMR_EL1, GIC_MASK_NONE);
	arch_device_reg_write(ICC_IGRPEN1_EL1, 1);
	arch_device_reg_sync();
	if (affinity(cpu->hwid, 0) >= 16 && !(arch_device_reg_read(ICC_CTLR_EL1) & ICC_CTLR_RSS))
		printk("gicv3: CPU id 0x%llx cannot be sent interrupts: no range selector\n",
		       (unsigned long long)cpu->hwid);
}

static void gicv3_cpu_init(struct cpu *cpu)
{
	volatile void *frame = redist_find(cpu->hwid);

	if (!frame) {
		printk("gicv3: no redistributor for CPU id 0x%llx; parked\n",
		       (unsigned long long)cpu->hwid);
		arch_cpu_halt();
	}
	cpu->ipi_private = (void *)(uintptr_t)sgi_value(cpu->hwid);
	redist_init(cpu, frame);
	cpu_interface_init(cpu);
}

static void gicv3_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	for (unsigned hwirq = GIC_SPI_FIRST; hwirq < gic_irq_count(dist); hwirq++)
		if (mmio_read64(dist, GICD_IROUTER + hwirq * 8ul) == cpu->hwid)
			gicv3_set_affinity(hwirq, heir);
}

static const struct irq_chip gicv3_chip = {
	.name = "GICv3",
	.handle = gicv3_handle,
	.cpu_init = gicv3_cpu_init,
	.cpu_exit = gicv3_cpu_exit,
	.mask = gicv3_mask,
	.unmask = gicv3_unmask,
	.set_affinity = gicv3_set_affinity,
	.translate = gicv3_translate,
	.timer_only = gicv3_timer_only,
};

/* All SPIs off, in the group that arrives as IRQ, routed to the boot CPU. */
static void dist_init(uint64_t boot_hwid)
{
	unsigned count = gic_irq_count(dist);

	mmio_write32(dist, GICD_CTLR, 0);
	poll_clear(dist, GICD_CTLR, GICD_CTLR_RWP);
	mmio_write32(dist, GICD_CTLR, GICD_CTLR_ARE);
	poll_clear(dist, GICD_CTLR, GICD_CTLR_RWP);
	for (unsigned first = GIC_SPI_FIRST; first < count; first += 32) {
		mmio_write32(dist, GICD_IGROUPR + first / 8, ~0u);
		gic_quiesce(dist, first);
	}
	for (unsigned hwirq = GIC_SPI_FIRST; hwirq < count; hwirq++)
		mmio_write64(dist, GICD_IROUTER + hwirq * 8ul, boot_hwid);
	mmio_write32(dist, GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GROUP1);
	poll_clear(dist, GICD_CTLR, GICD_CTLR_RWP);
}

static int map_regions(const struct dt *dt, int node)
{
	uint32_t count = 1;

	if (dt_u32(dt, node, "#redistributor-regions", &count) == -EINVAL || count < 1 ||
	    count > REGIONS_MAX) {
		printk("gicv3: #redistributor-regions: expected 1..%d\n", REGIONS_MAX);
		return -EINVAL;
	}
	if (dt_u64(dt, node, "redistributor-stride", &frame_stride))
		frame_stride = 0;
	for (region_count = 0; region_count < count; region_count++) {
		regions[region_count].base = device_map_reg(dt, node, 1 + (int)region_count,
							    &regions[region_count].bytes);
		if (!regions[region_count].base)
			return -EINVAL;
	}
	return 0;
}

static int gicv3_probe(const struct dt *dt, int node)
{
	size_t bytes;
	int err;

	if (irq_root())
		return -ENODEV; /* a second one, behind the root: none of its interrupts is used */
	dist = device_map_reg(dt, node, 0, &bytes);
	if (!dist)
		return -EINVAL;
	err = map_regions(dt, node);
	if (err)
		return err;
	gic_node = node;
	timer_hwirq = gic_timer_hwirq(dt);
	dist_init(arch_cpu_self()->hwid);
	ipi_send = gicv3_ipi_send;
	ipi_name = "SGI";
	irq_root_set(&gicv3_chip);
	return 0;
}

DRIVER(gicv3, DRIVER_IRQCHIP, gicv3_probe, "arm,gic-v3");
