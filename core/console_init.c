/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which UART is the console: the one that firmware names, else the first that a driver takes, else
 * firmware itself.
 *
 * Callers: the boot CPU, once. No lock is held here; a driver's probe calls console_bind(). A tree
 * that names a console nobody can drive is bad input: a message (kept in the ring until somebody
 * can print it), and the next candidate.
 */
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

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
		if (device_probe_node(dt, node, DRIVER_SERIAL) == 0)
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
