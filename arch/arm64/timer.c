/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generic timer: CNTVCT_EL0 as the clock, one virtual timer (CNTV) per CPU as the one-shot. The
 * virtual one is there at EL1 whether a hypervisor is below or not; boot.S has set its offset to 0
 * where we came from EL2.
 *
 * arch_timer_init() runs on each CPU, interrupts masked, the boot CPU first. The window functions
 * run with interrupts masked on any stack but the fault stack; the pair nests.
 */
#include "core/arch.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/irq.h"
#include "arch/arm64/regs.h"

#define TIMER_INDEX_VIRTUAL \
	2                /* "interrupts" of the node: secure, non-secure, virtual, hypervisor */
#define INTID_VIRTUAL 27 /* recommended by the architecture's base system specification */

static unsigned timer_hwirq; /* [i] */

uint64_t arch_timer_hz(const char **why)
{
	uint64_t hz = read_sysreg(cntfrq_el0) & 0xffffffff;

	if (!hz)
		*why = "timer frequency is 0: firmware has not set CNTFRQ_EL0";
	return hz;
}

const char *arch_timer_name(void)
{
	return "CNTV";
}

static unsigned timer_find_hwirq(void)
{
	const struct dt *dt = firmware_tree();
	int node = dt ? dt_node_by_compatible(dt, DT_START, "arm,armv8-timer") : -ENOENT;
	unsigned hwirq;

	if (node < 0 && dt)
		node = dt_node_by_compatible(dt, DT_START, "arm,armv7-timer");
	if (node >= 0 && !irq_of_node(dt, node, TIMER_INDEX_VIRTUAL, &hwirq))
		return hwirq;
	printk("timer: the device tree does not name its interrupt; taking %u\n", INTID_VIRTUAL);
	return INTID_VIRTUAL;
}

void arch_timer_init(struct cpu *cpu)
{
	(void)cpu;
	if (!timer_hwirq) {
		timer_hwirq = timer_find_hwirq();
		irq_request(timer_hwirq, trap_timer, NULL);
	}
	arch_timer_set(UINT64_MAX);
	write_sysreg(cntv_ctl_el0, 1);
	isb();
	irq_unmask(timer_hwirq);
}

extern const char trap_vectors[], trap_vectors_window[];

/*
 * The vectors become those that do not end in trap_exit(); then the controller lets nothing but the
 * timer through, and this CPU takes it. A window inside a window leaves them to the outer one. The
 * barriers: an exception right after a write may still go by the old vectors.
 */
unsigned long arch_timer_window_open(void)
{
	write_sysreg(vbar_el1, trap_vectors_window);
	isb();
	return irq_root()->timer_only(true, 0);
}

void arch_timer_window_close(unsigned long state)
{
	if (irq_root()->timer_only(false, state) == state)
		return;
	write_sysreg(vbar_el1, trap_vectors);
	isb();
}
