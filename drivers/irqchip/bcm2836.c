/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interrupt controllers of the BCM2836 and BCM2837 (Raspberry Pi 2, 3 and Zero 2 W): the local one
 * beside the cores, which is the root, and behind it "armctrl" for the interrupts of all devices.
 * Only for: arm64
 *
 * Numbers: 0..9 are the local sources (generic timers 0..3, mailboxes 4..7, armctrl 8, PMU 9), of
 * each core; armctrl's bank b, bit n is 32 + 32 b + n. The inter-processor interrupt is mailbox 0.
 * All interrupts of armctrl go to one core, so that setting the affinity of one moves them all.
 *
 * There are no priorities. What lets the timer alone through is that it becomes an FIQ while the
 * window is open: the CPU has IRQs masked as before, and FIQs come by vectors of their own.
 *
 * No lock: armctrl's enable bits are set and cleared by writes of their own; the registers of a core
 * are written by that core only, with interrupts masked. Core numbers are the lowest affinity field,
 * as the controller's own.
 */
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

/* Of the local controller; those of a core 4, the mailboxes 16 bytes from those of the next. */
#define GPU_ROUTE     0x0c
#define PMU_ROUTE_SET 0x10
#define PMU_ROUTE_CLR 0x14
#define TIMER_CONTROL 0x40 /* bit n: source n as IRQ; bit 4 + n: as FIQ */
#define MBOX_CONTROL  0x50
#define IRQ_SOURCE    0x60
#define MBOX0_SET     0x80
#define MBOX0_CLEAR   0xc0
#define LOCAL_BYTES   0x100

#define SOURCE_CNTV 3u
#define SOURCE_MBOX 4u
#define SOURCE_GPU  8u
#define SOURCE_PMU  9u
#define CORES       4u

#define FIQ_OF(source) (1u << (4 + (source)))

/* Of armctrl; bank 0 is the "basic" one, in which banks 1 and 2 are announced. */
#define PENDING_BASIC  0x00
#define PENDING(bank)  (4u * (bank))
#define FIQ_CONTROL    0x0c
#define ENABLE(bank)   ((bank) ? 0x0c + 4u * (bank) : 0x18)
#define DISABLE(bank)  ((bank) ? 0x18 + 4u * (bank) : 0x24)
#define ARMCTRL_BYTES  0x28
#define BASIC_OWN      0x000000ffu
#define BASIC_OF_BANK1 0x00007d00u /* "something there", and some of its lines themselves */
#define BASIC_OF_BANK2 0x001f8200u

#define ARMCTRL_FIRST 32u
#define BANKS         3u
#define BANK_LINES    32u

#define DAIF_F 0x40ul

static volatile void *local, *armctrl;         /* [i] */
static int local_node = -1, armctrl_node = -1; /* [i] */
static const uint8_t bank_lines[BANKS] = { 8, 32, 32 };

static volatile void *core_regs(void)
{
	return arch_cpu_self()->irq_private;
}

static void armctrl_handle(void)
{
	uint32_t basic = mmio_read32(armctrl, PENDING_BASIC), pending = basic & BASIC_OWN;
	unsigned bank = 0;

	if (basic & BASIC_OF_BANK1) {
		bank = 1;
		pending = mmio_read32(armctrl, PENDING(1));
	} else if (basic & BASIC_OF_BANK2) {
		bank = 2;
		pending = mmio_read32(armctrl, PENDING(2));
	}
	if (pending)
		irq_dispatch(ARMCTRL_FIRST + bank * BANK_LINES + arch_bit_lowest(pending));
}

/*
 * One source for each entry. What the sender of the interrupt stored is read after the acknowledge
 * that says it was sent.
 */
static void bcm2836_handle(void)
{
	const struct cpu *self = arch_cpu_self();
	uint32_t pending = mmio_read32(self->irq_private, IRQ_SOURCE);
	unsigned source;

	if (unlikely(!pending))
		return;
	source = arch_bit_lowest(pending);
	if (source == SOURCE_MBOX) {
		mmio_write32(self->ipi_private, MBOX0_CLEAR - MBOX0_SET, 1);
		arch_io_barrier();
		trap_ipi();
	} else if (source == SOURCE_GPU) {
		armctrl_handle();
	} else {
		irq_dispatch(source);
	}
}

static void bcm2836_ipi_send(struct cpu *target)
{
	arch_io_barrier();
	mmio_write32(target->ipi_private, 0, 1);
}

/* Local timers, of this core. */
static void timer_enable(unsigned source, bool on)
{
	unsigned long flags = arch_irq_save();
	volatile void *regs = core_regs();
	uint32_t bits = mmio_read32(regs, TIMER_CONTROL), bit = 1u << source;

	mmio_write32(regs, TIMER_CONTROL, on ? bits | bit : bits & ~bit);
	arch_irq_restore(flags);
}

static void pmu_enable(bool on)
{
	unsigned long flags = arch_irq_save();
	unsigned core = (unsigned)(arch_cpu_self()->hwid % CORES);

	mmio_write32(local, on ? PMU_ROUTE_SET : PMU_ROUTE_CLR, 1u << core);
	arch_irq_restore(flags);
}

static void set_enabled(unsigned hwirq, bool on)
{
	unsigned bank = (hwirq - ARMCTRL_FIRST) / BANK_LINES;

	if (hwirq <= SOURCE_CNTV)
		timer_enable(hwirq, on);
	else if (hwirq == SOURCE_PMU)
		pmu_enable(on);
	else if (hwirq >= ARMCTRL_FIRST && bank < BANKS && armctrl)
		mmio_write32(armctrl, on ? ENABLE(bank) : DISABLE(bank), 1u << hwirq % 32);
}

static void bcm2836_mask(unsigned hwirq)
{
	set_enabled(hwirq, false);
}

static void bcm2836_unmask(unsigned hwirq)
{
	set_enabled(hwirq, true);
}

static int bcm2836_set_affinity(unsigned hwirq, struct cpu *cpu)
{
	if (hwirq < ARMCTRL_FIRST || hwirq >= ARMCTRL_FIRST + BANKS * BANK_LINES)
		return -EINVAL;
	mmio_write32(local, GPU_ROUTE, (uint32_t)(cpu->hwid % CORES));
	return 0;
}

static int bcm2836_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	if (n != 2)
		return -EINVAL;
	if (controller == local_node && cells[0] <= SOURCE_PMU) {
		*hwirq = cells[0];
		return 0;
	}
	if (controller != armctrl_node || cells[0] >= BANKS || cells[1] >= bank_lines[cells[0]])
		return -EINVAL;
	*hwirq = ARMCTRL_FIRST + cells[0] * BANK_LINES + cells[1];
	return 0;
}

/*
 * The state: bit 0, the timer was an FIQ; bit 6, FIQs were masked, as they are in every exception's
 * handler. FIQs are masked while the route changes, and the route has changed (it is read back)
 * before they are not any more: without a window an FIQ is an error.
 */
static unsigned long bcm2836_timer_only(bool on, unsigned long state)
{
	volatile void *regs = core_regs();
	unsigned long daif = arch_device_reg_read("daif"), was_fiq, fiqs_masked;
	uint32_t bits;

	arch_device_reg_write("daif", daif | DAIF_F);
	bits = mmio_read32(regs, TIMER_CONTROL);
	was_fiq = bits & FIQ_OF(SOURCE_CNTV) ? 1 : 0;
	bits &= ~(FIQ_OF(SOURCE_CNTV) | 1u << SOURCE_CNTV);
	bits |= on || state & 1 ? FIQ_OF(SOURCE_CNTV) : 1u << SOURCE_CNTV;
	mmio_write32(regs, TIMER_CONTROL, bits);
	(void)mmio_read32(regs, TIMER_CONTROL);
	arch_io_barrier();
	fiqs_masked = on ? 0 : state & DAIF_F;
	arch_device_reg_write("daif", (daif & ~DAIF_F) | fiqs_masked);
	return was_fiq | (on ? daif & DAIF_F : state & DAIF_F);
}

static void bcm2836_cpu_init(struct cpu *cpu)
{
	unsigned core = (unsigned)(cpu->hwid % CORES);
	volatile char *mailbox = (volatile char *)local + MBOX0_SET + 16 * core;

	cpu->irq_private = (char *)local + 4 * core;
	cpu->ipi_private = (void *)(uintptr_t)mailbox;
	mmio_write32(cpu->irq_private, TIMER_CONTROL, 0);
	mmio_write32(local, PMU_ROUTE_CLR, 1u << core | 1u << (4 + core));
	mmio_write32(mailbox, MBOX0_CLEAR - MBOX0_SET, ~0u);
	mmio_write32(cpu->irq_private, MBOX_CONTROL, 1);
}

static void bcm2836_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	if ((mmio_read32(local, GPU_ROUTE) & 3) == cpu->hwid % CORES)
		mmio_write32(local, GPU_ROUTE, (uint32_t)(heir->hwid % CORES));
}

static const struct irq_chip bcm2836_chip = {
	.name = "BCM2836",
	.handle = bcm2836_handle,
	.cpu_init = bcm2836_cpu_init,
	.cpu_exit = bcm2836_cpu_exit,
	.mask = bcm2836_mask,
	.unmask = bcm2836_unmask,
	.set_affinity = bcm2836_set_affinity,
	.translate = bcm2836_translate,
	.timer_only = bcm2836_timer_only,
};

/* Everything off. A tree without it leaves us the timers and IPIs, and the console is polled. */
static void armctrl_probe(const struct dt *dt)
{
	size_t bytes;
	int node = dt_node_by_compatible(dt, DT_START, "brcm,bcm2836-armctrl-ic");
	volatile void *regs = node < 0 ? NULL : device_map_reg(dt, node, 0, &bytes);

	if (!regs || bytes < ARMCTRL_BYTES)
		return;
	armctrl = regs;
	armctrl_node = node;
	mmio_write32(armctrl, FIQ_CONTROL, 0);
	for (unsigned bank = 0; bank < BANKS; bank++)
		mmio_write32(armctrl, DISABLE(bank), ~0u);
}

/*
 * The BCM2711 has one too, beside a GIC that all is wired to. The root is what the timers are wired
 * to.
 */
static bool is_root(const struct dt *dt, int node)
{
	static const char *const timers[] = { "arm,armv7-timer", "arm,armv8-timer" };
	uint32_t cells[DT_ARGS_MAX];
	int n, controller;

	for (unsigned i = 0; i < ARRAY_SIZE(timers); i++)
		if (!dt_interrupt(dt, dt_node_by_compatible(dt, DT_START, timers[i]), 0, cells, &n,
				  &controller) &&
		    controller == node)
			return true;
	return false;
}

static int bcm2836_probe(const struct dt *dt, int node)
{
	size_t bytes;

	if (irq_root() || !is_root(dt, node))
		return -ENODEV;
	local = device_map_reg(dt, node, 0, &bytes);
	if (!local || bytes < LOCAL_BYTES)
		return -EINVAL;
	local_node = node;
	armctrl_probe(dt);
	mmio_write32(local, GPU_ROUTE, (uint32_t)(arch_cpu_self()->hwid % CORES));
	ipi_send = bcm2836_ipi_send;
	ipi_name = "mailbox";
	irq_root_set(&bcm2836_chip);
	return 0;
}

DRIVER(bcm2836, DRIVER_IRQCHIP, bcm2836_probe, "brcm,bcm2836-l1-intc");
