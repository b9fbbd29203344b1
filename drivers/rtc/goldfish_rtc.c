/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The goldfish clock of QEMU's RISC-V virt machine as a clock of the day: nanoseconds in two
 * registers, of which reading the low one holds the high one still. One reader at a time: probing
 * and the one reading behind it. (drivers/timer/goldfish_alarm.c is about the alarm in it.)
 */
#include "core/arch.h"
#include "core/device.h"
#include "core/rtc.h"

#define TIME_LOW  0x00
#define TIME_HIGH 0x04

static volatile void *goldfish_base; /* [i] */

static uint64_t goldfish_read_ns(void)
{
	uint32_t low = mmio_read32(goldfish_base, TIME_LOW);

	return (uint64_t)mmio_read32(goldfish_base, TIME_HIGH) << 32 | low;
}

static const struct rtc goldfish_rtc = { .name = "goldfish-rtc", .read_ns = goldfish_read_ns };

static int goldfish_rtc_probe(const struct dt *dt, int node)
{
	goldfish_base = device_map_reg(dt, node, 0, NULL);
	if (!goldfish_base)
		return -ENOMEM;
	rtc_device = &goldfish_rtc;
	return 0;
}

DRIVER(goldfish_rtc, DRIVER_RTC, goldfish_rtc_probe, "google,goldfish-rtc");
