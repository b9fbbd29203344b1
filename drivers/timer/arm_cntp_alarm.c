/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arm generic timer's physical comparator (CNTP) as an alarm device. The kernel runs on the
 * virtual one (CNTV), so this one is free. Only for: arm64
 *
 * Callers: set() and ack() act on the comparator of the CPU they run on, with irqs masked or from a
 * thread that stays on one CPU. No locks. The interrupt line is a level that follows the
 * comparison: switching the comparator off in ack() is what takes it back. Without an EL2 that
 * withholds it, CNTPCT counts like CNTVCT; entered at EL2, boot code lets EL1 use both.
 */
#include "core/alarm.h"
#include "core/arch.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/time.h"

#define PHYSICAL_TIMER_INDEX 1 /* in the node's interrupts: secure, physical, virtual, hypervisor */

static uint64_t cntp_now(uint64_t *cycles)
{
	uint64_t now;

	arch_device_reg_sync();
	now = arch_device_reg_read("cntpct_el0");
	*cycles = arch_cycles();
	return now;
}

static void cntp_set(uint64_t deadline)
{
	arch_device_reg_write("cntp_cval_el0", deadline);
	arch_device_reg_write("cntp_ctl_el0", 1);
	arch_device_reg_sync();
}

static void cntp_ack(void)
{
	arch_device_reg_write("cntp_ctl_el0", 0);
	arch_device_reg_sync();
}

static struct alarm cntp_alarm = {
	.name = "CNTP",
	.now = cntp_now,
	.set = cntp_set,
	.ack = cntp_ack,
};

static int cntp_probe(const struct dt *dt, int node)
{
	int err = irq_of_node(dt, node, PHYSICAL_TIMER_INDEX, &cntp_alarm.hwirq);

	if (err)
		return -ENODEV;
	cntp_alarm.hz = time_base.hz;
	alarm_register(&cntp_alarm);
	return 0;
}

DRIVER(arm_cntp_alarm, DRIVER_TIMER, cntp_probe, "arm,armv8-timer", "arm,armv7-timer");
