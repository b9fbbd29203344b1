/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The speed of the line, for the UART drivers: from the boot argument `baud=`, else from the
 * options of stdout-path. Runs once, at boot.
 */
#include "drivers/serial/speed.h"
#include "core/bootargs.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"

static uint64_t baud;
BOOT_PARAM(baud, BOOT_U64, &baud, "bits a second of the console; absent: as firmware set it");

bool uart_speed_given(void)
{
	return baud != 0;
}

static uint32_t baud_wanted(const struct dt *dt)
{
	const char *options = NULL;
	uint32_t rate = 0;

	if (baud)
		return (uint32_t)MIN(baud, (uint64_t)UINT32_MAX);
	dt_stdout(dt, &options);
	for (; options && *options >= '0' && *options <= '9' && rate < 100000000; options++)
		rate = rate * 10 + (uint32_t)(*options - '0');
	return rate ? rate : 115200;
}

static uint32_t uart_clock_hz(const struct dt *dt, int node)
{
	struct dt_args clock;
	uint32_t hz = 0;

	if (dt_u32(dt, node, "clock-frequency", &hz) &&
	    dt_phandle_args(dt, node, "clocks", "#clock-cells", 0, &clock) == 0)
		dt_u32(dt, clock.target, "clock-frequency", &hz);
	return hz;
}

uint32_t uart_divisor(const struct dt *dt, int node, uint32_t steps, uint32_t max)
{
	uint32_t hz = uart_clock_hz(dt, node), rate = baud_wanted(dt);
	uint64_t divisor = ((uint64_t)hz * steps / 8 / rate + 1) / 2;
	uint64_t permille = divisor ? (uint64_t)hz * steps * 1000 / (16 * divisor) / rate : 0;
	char path[DEVICE_PATH_BYTES];

	if (divisor >= steps && divisor <= max && permille >= 970 && permille <= 1030)
		return (uint32_t)divisor;
	if (baud)
		printk("baud=%u: refused, %s: %s\n", rate,
		       device_path(dt, node, path, sizeof(path)),
		       hz ? "its clock allows no rate within 3 % of that" :
			    "the device tree gives it no clock");
	return 0;
}
