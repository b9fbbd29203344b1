/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What versions 2 and 3 of the GIC have in common: the distributor's registers, priorities, and the
 * device-tree specifier.
 *
 * Priorities: the timer above everything else, so that one value of the priority mask lets it alone
 * through. All others have one priority, so that none preempts another. Where there is a secure
 * side, it may show us a priority p as p/2 + 0x80 in the arbitration, and the mask likewise or,
 * depending on how firmware has set SCR_EL3.FIQ, as it stands; these values keep their order in all
 * three cases, and differ in the upper four bits, which every GIC implements.
 */
#pragma once

#include "core/arch.h"
#include "core/device.h"
#include "core/fdt.h"

#define GIC_SGI_IPI   0u
#define GIC_PPI_FIRST 16u
#define GIC_SPI_FIRST 32u
#define GIC_SPECIAL   1020u /* INTIDs from here on are no interrupts: 1023 is "nothing pending" */

#define GIC_PRIORITY_TIMER 0x40
#define GIC_PRIORITY_OTHER 0xc0
#define GIC_MASK_NONE      0xf0 /* values of the mask let through what is smaller */
#define GIC_MASK_OTHERS    0xc0

#define GICD_CTLR       0x000
#define GICD_TYPER      0x004
#define GICD_IGROUPR    0x080
#define GICD_ISENABLER  0x100
#define GICD_ICENABLER  0x180
#define GICD_ICPENDR    0x280
#define GICD_ICACTIVER  0x380
#define GICD_IPRIORITYR 0x400
#define GICD_ITARGETSR  0x800
#define GICD_ICFGR      0xc00
#define GICD_SGIR       0xf00
#define GICD_IROUTER    0x6000

/* Cells of the binding: kind, number, trigger type. */
#define GIC_KIND_SPI     0u
#define GIC_KIND_PPI     1u
#define GIC_TRIGGER_MASK 0xfu
#define GIC_TRIGGER_EDGE 1u

static inline unsigned gic_irq_count(volatile void *dist)
{
	return MIN(((mmio_read32(dist, GICD_TYPER) & 31) + 1) * 32, GIC_SPECIAL);
}

/* One bit a hwirq, in the distributor or, for hwirq < 32 of a GICv3, in the CPU's redistributor. */
static inline void gic_write_bit(volatile void *base, size_t bank, unsigned hwirq)
{
	mmio_write32(base, bank + hwirq / 32 * 4, 1u << (hwirq % 32));
}

/* Puts 32 interrupts from @first into a known state: off, not pending, not active, one priority. */
static inline void gic_quiesce(volatile void *base, unsigned first)
{
	mmio_write32(base, GICD_ICENABLER + first / 8, ~0u);
	mmio_write32(base, GICD_ICPENDR + first / 8, ~0u);
	mmio_write32(base, GICD_ICACTIVER + first / 8, ~0u);
	for (unsigned i = 0; i < 32; i += 4)
		mmio_write32(base, GICD_IPRIORITYR + first + i, GIC_PRIORITY_OTHER * 0x01010101u);
}

/* Specifier -> INTID; -EINVAL for a kind, number or length that the binding does not have. */
static inline int gic_translate(const uint32_t *cells, int n, unsigned *hwirq)
{
	if (n < 3 || cells[0] > GIC_KIND_PPI ||
	    cells[1] >= (cells[0] == GIC_KIND_PPI ? 16 : GIC_SPECIAL - GIC_SPI_FIRST))
		return -EINVAL;
	*hwirq = cells[1] + (cells[0] == GIC_KIND_PPI ? GIC_PPI_FIRST : GIC_SPI_FIRST);
	return 0;
}

/*
 * Tells the distributor how an SPI is wired, which only the specifier says; called where specifiers
 * are translated, at boot, with the interrupt masked. PPIs are wired into the CPU and need no
 * telling.
 */
static inline void gic_set_trigger(volatile void *dist, unsigned hwirq, uint32_t flags)
{
	size_t reg = GICD_ICFGR + hwirq / 16 * 4;
	uint32_t edge = 2u << (hwirq % 16 * 2), v = mmio_read32(dist, reg);

	if (hwirq >= GIC_SPI_FIRST)
		mmio_write32(dist, reg,
			     (flags & GIC_TRIGGER_MASK) == GIC_TRIGGER_EDGE ? v | edge : v & ~edge);
}

/*
 * The INTID of the timer that the kernel uses (third interrupt of its node), which is to have the
 * higher priority; 27 when not said.
 */
static inline unsigned gic_timer_hwirq(const struct dt *dt)
{
	int node = dt_node_by_compatible(dt, DT_START, "arm,armv8-timer"), n, controller;
	uint32_t cells[DT_ARGS_MAX];
	unsigned hwirq;

	if (dt_interrupt(dt, node, 2, cells, &n, &controller) || gic_translate(cells, n, &hwirq))
		return 27;
	return hwirq;
}
