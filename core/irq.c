/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt dispatch: one root controller, one table of handlers by the controller's own numbers. A
 * handler runs with interrupts masked on the stack of the thread it interrupted, and ends by
 * setting need_resched at most; the switch is made by trap_exit(). The table is written under
 * irq_lock and read without it: an entry is complete before its interrupt is unmasked, and
 * forgotten after it is masked.
 */
#include "core/irq.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/hotplug.h"
#include "core/panic.h"
#include "core/thread.h"

struct irq_action {
	void (*fn)(void *arg);
	void *arg;
};

static struct irq_action irq_actions[IRQ_MAX];
static struct spinlock irq_lock = SPINLOCK_INIT(LOCK_IRQ);
static const struct irq_chip *root;
static void (*root_handle)(void); /* root->handle, one load nearer */

void (*ipi_send)(struct cpu *target);
const char *ipi_name = "none";

void irq_root_set(const struct irq_chip *chip)
{
	root = chip;
	root_handle = chip->handle;
}

const struct irq_chip *irq_root(void)
{
	return root;
}

void trap_irq(void)
{
	root_handle();
}

/*
 * Stands in every entry that nobody requested, with its own number as the argument: the dispatch
 * needs no test.
 */
static void irq_unexpected(void *arg)
{
	unsigned hwirq = (unsigned)(uintptr_t)arg;

	printk("irq %u: no handler; masked\n", hwirq);
	root->mask(hwirq);
}

static void irq_forget(unsigned hwirq)
{
	irq_actions[hwirq] = (struct irq_action){ irq_unexpected, (void *)(uintptr_t)hwirq };
}

void irq_dispatch(unsigned long hwirq)
{
	struct irq_action *a = &irq_actions[hwirq];

	a->fn(a->arg);
}

void trap_ipi(void)
{
	if (unlikely(panic_in_progress()))
		arch_cpu_halt();
	sched_ipi(arch_cpu_self());
}

int irq_request(unsigned hwirq, void (*fn)(void *arg), void *arg)
{
	unsigned long flags;
	int err = -EBUSY;

	if (hwirq >= IRQ_MAX || !fn)
		return -EINVAL;
	flags = spin_lock_irqsave(&irq_lock);
	if (irq_actions[hwirq].fn == irq_unexpected) {
		irq_actions[hwirq].arg = arg;
		atomic_store_release(&irq_actions[hwirq].fn, fn);
		err = 0;
	}
	spin_unlock_irqrestore(&irq_lock, flags);
	return err;
}

void irq_free(unsigned hwirq)
{
	unsigned long flags;

	irq_mask(hwirq);
	flags = spin_lock_irqsave(&irq_lock);
	irq_forget(hwirq);
	spin_unlock_irqrestore(&irq_lock, flags);
}

/* On this CPU none runs now. */
void irq_synchronize(void)
{
	if (cpu_count > 1)
		cpu_all_see();
}

void irq_unmask(unsigned hwirq)
{
	root->unmask(hwirq);
}

void irq_mask(unsigned hwirq)
{
	root->mask(hwirq);
}

int irq_of_node(const struct dt *dt, int node, int index, unsigned *hwirq)
{
	uint32_t cells[DT_ARGS_MAX];
	int n, controller;
	int err = dt_interrupt(dt, node, index, cells, &n, &controller);

	return err ? err : root->translate(cells, n, controller, hwirq);
}

int irq_init(const struct dt *dt)
{
	for (unsigned hwirq = 0; hwirq < IRQ_MAX; hwirq++)
		irq_forget(hwirq);
	device_probe_class(dt, DRIVER_IRQCHIP);
	if (!root) {
		printk("no interrupt controller that this kernel knows; supported:");
		device_list_supported(DRIVER_IRQCHIP);
		return -ENODEV;
	}
	device_probe_class(dt, DRIVER_IPI);
	return 0;
}

void irq_cpu_init(struct cpu *cpu)
{
	root->cpu_init(cpu);
}

void irq_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	root->cpu_exit(cpu, heir);
}
