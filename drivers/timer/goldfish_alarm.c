/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The goldfish real-time clock of QEMU's RISC-V virt machine as an alarm device: nanoseconds, and
 * an interrupt at an exact one of them. (QEMU has to run it in virtual time for that: -rtc
 * clock=vm, which tools/fairlead/qemu.py gives together with -icount.)
 *
 * Callers: any context; one user at a time, no locks. Reading TIME_LOW holds the value that
 * TIME_HIGH then shows; writing ALARM_LOW arms the alarm with the ALARM_HIGH that was written
 * before it. An alarm in the past fires at once.
 */
#include "core/alarm.h"
#include "core/arch.h"
#include "core/device.h"
#include "core/irq.h"
#include "core/time.h"

#define TIME_LOW        0x00
#define TIME_HIGH       0x04
#define ALARM_LOW       0x08
#define ALARM_HIGH      0x0c
#define IRQ_ENABLED     0x10
#define CLEAR_INTERRUPT 0x1c

static volatile void *goldfish_base; /* [i] */

static uint64_t goldfish_now(uint64_t *cycles)
{
	volatile void *base = goldfish_base;
	uint32_t low = mmio_read32(base, TIME_LOW);

	*cycles = arch_cycles();
	return (uint64_t)mmio_read32(base, TIME_HIGH) << 32 | low;
}

static void goldfish_set(uint64_t deadline)
{
	mmio_write32(goldfish_base, IRQ_ENABLED, 1);
	mmio_write32(goldfish_base, ALARM_HIGH, (uint32_t)(deadline >> 32));
	mmio_write32(goldfish_base, ALARM_LOW, (uint32_t)deadline);
}

static void goldfish_ack(void)
{
	mmio_write32(goldfish_base, CLEAR_INTERRUPT, 1);
}

static struct alarm goldfish_alarm = {
	.name = "goldfish-rtc",
	.hz = NSEC_PER_SEC,
	.now = goldfish_now,
	.set = goldfish_set,
	.ack = goldfish_ack,
};

static int goldfish_probe(const struct dt *dt, int node)
{
	int err = irq_of_node(dt, node, 0, &goldfish_alarm.hwirq);

	if (err)
		return err;
	goldfish_base = device_map_reg(dt, node, 0, NULL);
	if (!goldfish_base)
		return -ENOMEM;
	alarm_register(&goldfish_alarm);
	return 0;
}

DRIVER(goldfish_alarm, DRIVER_TIMER, goldfish_probe, "google,goldfish-rtc");
