/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARM PL031, a clock of the day that counts seconds in one register. Reading it has no side
 * effects, so any number of CPUs may do so.
 */
#include "core/arch.h"
#include "core/device.h"
#include "core/rtc.h"
#include "core/time.h"

#define DATA 0x000

static volatile void *pl031_base; /* [i] */

static uint64_t pl031_read_ns(void)
{
	return mmio_read32(pl031_base, DATA) * NSEC_PER_SEC;
}

static const struct rtc pl031_rtc = { .name = "pl031", .read_ns = pl031_read_ns };

static int pl031_probe(const struct dt *dt, int node)
{
	pl031_base = device_map_reg(dt, node, 0, NULL);
	if (!pl031_base)
		return -ENOMEM;
	rtc_device = &pl031_rtc;
	return 0;
}

DRIVER(pl031, DRIVER_RTC, pl031_probe, "arm,pl031");
