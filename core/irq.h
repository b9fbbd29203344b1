/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts between the trap upcalls and the drivers. One root controller; its driver fills struct
 * irq_chip and calls irq_root_set(). Numbers are the controller's own ("hwirq"): INTID on a GIC,
 * source on a PLIC.
 */
#pragma once

#include "core/base.h"

struct cpu;
struct dt;

#define IRQ_MAX 1024 /* hwirq numbers 0..1023 */

struct irq_chip {
	const char *name;
	/* Claims, dispatches by irq_dispatch() and completes pending interrupts; irqs masked. */
	void (*handle)(void);
	void (*cpu_init)(struct cpu *cpu); /* on each CPU, irqs masked */
	/* on @cpu, irqs masked, in no handler: what goes to it goes to @heir, which is up */
	void (*cpu_exit)(struct cpu *cpu, struct cpu *heir);
	void (*mask)(unsigned hwirq);
	void (*unmask)(unsigned hwirq); /* per-CPU interrupts: of the calling CPU */
	int (*set_affinity)(unsigned hwirq, struct cpu *cpu);
	/* Device-tree cells of one interrupt specifier, given to node @controller -> hwirq; -EINVAL. */
	int (*translate)(const uint32_t *cells, int n, int controller, unsigned *hwirq);
	/*
	 * On: lets only the timer through (GIC priority mask, or as an FIQ) and lets the CPU take
	 * it; returns what the state was. Off: masks the CPU and puts @state back; returns what it
	 * was before, equal to @state when this window was inside another. NULL where the CPU does
	 * this itself (RISC-V sie).
	 */
	unsigned long (*timer_only)(bool on, unsigned long state);
};

/* Context: boot. */
void irq_root_set(const struct irq_chip *chip);
const struct irq_chip *irq_root(void);
/*
 * Finds and probes the root controller of the tree; -ENODEV with a message naming what is
 * supported.
 */
int irq_init(const struct dt *dt);
void irq_cpu_init(struct cpu *cpu);
/* @cpu, itself, is to have no interrupts any more: @heir gets them. */
void irq_cpu_exit(struct cpu *cpu, struct cpu *heir);

/*
 * Context: thread, boot. @fn(@arg) runs with irqs masked on the interrupted thread's stack. -EBUSY
 * if taken, -EINVAL.
 */
int irq_request(unsigned hwirq, void (*fn)(void *arg), void *arg);
void irq_free(unsigned hwirq);
/* Returns when whatever handler ran anywhere when it was called has returned. Context: thread. */
void irq_synchronize(void);
void irq_unmask(unsigned hwirq);
void irq_mask(unsigned hwirq);
/* The hwirq of interrupt @index of device node @node. */
int irq_of_node(const struct dt *dt, int node, int index, unsigned *hwirq);

/* Context: irq; called by the controller's driver. */
void irq_dispatch(unsigned long hwirq);

/*
 * Sends an inter-processor interrupt; set by the driver that owns the means (GIC, SSWI) or by
 * firmware (SBI). Context: any, irqs masked. Stores made before the call are visible to the
 * target's handler.
 */
extern void (*ipi_send)(struct cpu *target);
extern const char *ipi_name;
