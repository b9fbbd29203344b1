/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which UART is the console: the one that firmware names, else the first that a driver takes, else
 * firmware itself.
 *
 * Callers: the boot CPU, once. No lock is held here; a driver's probe calls console_bind(). A tree
 * that names a console nobody can drive is bad input: a message (kept in the ring until somebody
 * can print it), and the next candidate.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

static uint64_t baud;
BOOT_PARAM(baud, BOOT_U64, &baud, "bits a second of the console; absent: as firmware set it");

static int stdout_probe(const struct dt *dt)
{
	int node = dt_stdout(dt, NULL), err = -ENODEV;
	char path[DEVICE_PATH_BYTES];

	if (node < 0)
		return -ENODEV;
	err = device_probe_node(dt, node, DRIVER_SERIAL);
	if (err) {
		printk("console: stdout-path names %s, which no driver takes; supported:",
		       device_path(dt, node, path, sizeof(path)));
		device_list_supported(DRIVER_SERIAL);
	}
	return err;
}

static int first_probe(const struct dt *dt)
{
	for (int node = dt_next_node(dt, DT_START, NULL); node >= 0;
	     node = dt_next_node(dt, node, NULL))
		if (device_enabled(dt, node) && device_probe_node(dt, node, DRIVER_SERIAL) == 0)
			return 0;
	return -ENODEV;
}

int console_init(const struct dt *dt)
{
	if (console_bound())
		return 0;
	if ((!dt || (stdout_probe(dt) && first_probe(dt))) &&
	    device_probe_node(dt, DEVICE_FALLBACK, DRIVER_SERIAL))
		return -ENODEV;
	if (irq_root())
		console_irq_start(dt);
	return 0;
}

bool console_baud_given(void)
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

uint32_t console_divisor(const struct dt *dt, int node, uint32_t steps, uint32_t max)
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
