/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The speed of the line (drivers/serial/speed.c): what `baud=`, stdout-path and a UART's clock make
 * of it, with trees like those of the boards, and what is said when they make nothing.
 *
 * Sources: drivers/serial/speed.c core/bootargs.c core/fdt.c core/fdt_value.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "core/bootargs.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "drivers/serial/speed.h"

enum { PL011 = 64, NS16550 = 1 }; /* divisors in 64ths, in ones */

static char blob[4096], said[4096];
static struct dt tree;
static int uart;

void printk(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

const char *device_path(const struct dt *dt, int node, char *buf, size_t size)
{
	snprintf(buf, size, "/%s", dt_name(dt, node));
	return buf;
}

static void must(int err)
{
	if (err < 0)
		fail_msg("libfdt: %s", fdt_strerror(err));
}

/*
 * A UART with `clock-frequency` @direct_hz, or a clock of @fixed_hz, or one whose speed only its own
 * driver knows; 0: without. @stdout_path may be NULL.
 */
static void tree_make(uint32_t direct_hz, uint32_t fixed_hz, bool unknown, const char *stdout_path,
		      const char *bootargs)
{
	int node, argc;
	const char *why;
	char **argv;

	must(fdt_create_empty_tree(blob, sizeof(blob)));
	must(node = fdt_add_subnode(blob, 0, "clock"));
	must(fdt_setprop_u32(blob, node, "phandle", 7));
	must(fdt_setprop_u32(blob, node, "#clock-cells", unknown ? 1 : 0));
	if (fixed_hz)
		must(fdt_setprop_u32(blob, node, "clock-frequency", fixed_hz));
	must(node = fdt_add_subnode(blob, 0, "chosen"));
	if (stdout_path)
		must(fdt_setprop_string(blob, node, "stdout-path", stdout_path));
	must(node = fdt_add_subnode(blob, 0, "serial"));
	if (direct_hz)
		must(fdt_setprop_u32(blob, node, "clock-frequency", direct_hz));
	if (fixed_hz || unknown) {
		must(fdt_setprop_u32(blob, node, "clocks", 7));
		if (unknown)
			must(fdt_appendprop_u32(blob, node, "clocks", 19));
	}
	assert_int_equal(dt_open(&tree, blob, sizeof(blob), &why), 0);
	uart = dt_path_node(&tree, "/serial");
	assert_true(uart >= 0);
	said[0] = '\0';
	assert_int_equal(bootargs_parse(bootargs, &argc, &argv), 0);
}

static void assert_speed(uint32_t steps, uint32_t hz, uint32_t rate)
{
	uint32_t divisor = uart_divisor(&tree, uart, steps, 0xffff * steps);
	double actual = divisor ? (double)hz * steps / 16 / divisor : 0;

	if (actual < rate * 0.97 || actual > rate * 1.03)
		fail_msg("%u Hz, divisor %u: %.0f baud for %u", hz, divisor, actual, rate);
	assert_string_equal(said, "");
}

static void assert_refused(uint32_t steps, const char *why)
{
	assert_int_equal(uart_divisor(&tree, uart, steps, 0xffff * steps), 0);
	assert_string_equal(said, why);
}

/* Nothing is given: the boot argument is asked for first, as it stays set once it was. */
static void without_the_argument_stdout_path_decides(void **state)
{
	(void)state;
	tree_make(0, 24000000, false, "/serial:921600n8", "");
	assert_false(uart_speed_given());
	assert_speed(PL011, 24000000, 921600);
	tree_make(3686400, 0, false, "/serial", "");
	assert_speed(NS16550, 3686400, 115200);
	tree_make(3686400, 0, false, NULL, "");
	assert_speed(NS16550, 3686400, 115200);
	tree_make(0, 0, false, "/serial:115200", "");
	assert_refused(PL011, ""); /* nobody asked */
}

static void the_argument_goes_before_it(void **state)
{
	static const struct {
		uint32_t steps, hz, rate;
	} good[] = {
		{ PL011, 48000000, 115200 },   { PL011, 48000000, 921600 },
		{ PL011, 48000000, 3000000 },  { PL011, 24000000, 1500000 },
		{ PL011, 9216000, 115200 },    { PL011, 9216000, 576000 },
		{ PL011, 9216000, 460800 },    { PL011, 24000000, 300 },
		{ NS16550, 24000000, 115200 }, { NS16550, 24000000, 1500000 },
		{ NS16550, 24000000, 500000 }, { NS16550, 3686400, 230400 },
		{ NS16550, 3686400, 9600 },
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text), "baud=%u", good[i].rate);
		tree_make(good[i].hz, 0, false, "/serial:9600", text);
		assert_true(uart_speed_given());
		assert_speed(good[i].steps, good[i].hz, good[i].rate);
		tree_make(0, good[i].hz, false, "/serial:9600", text);
		assert_speed(good[i].steps, good[i].hz, good[i].rate);
	}
}

static void what_a_clock_cannot_make_is_refused(void **state)
{
	(void)state;
	tree_make(0, 9216000, false, NULL, "baud=921600"); /* Raspberry Pi 5: at most 576000 */
	assert_refused(
		PL011,
		"baud=921600: refused, /serial: its clock allows no rate within 3 % of that\n");
	tree_make(24000000, 0, false, NULL, "baud=921600"); /* a whole divisor: 750000 or 1500000 */
	assert_refused(
		NS16550,
		"baud=921600: refused, /serial: its clock allows no rate within 3 % of that\n");
	tree_make(24000000, 0, false, NULL, "baud=1"); /* below the largest divisor */
	assert_refused(NS16550,
		       "baud=1: refused, /serial: its clock allows no rate within 3 % of that\n");
	tree_make(24000000, 0, false, NULL, "baud=18446744073709551615");
	assert_refused(
		NS16550,
		"baud=4294967295: refused, /serial: its clock allows no rate within 3 % of that\n");
}

static void without_a_clock_it_is_refused(void **state)
{
	(void)state;
	tree_make(0, 0, false, NULL, "baud=115200");
	assert_refused(PL011, "baud=115200: refused, /serial: the device tree gives it no clock\n");
	tree_make(0, 0, true, NULL, "baud=115200"); /* Raspberry Pi 3, 4: from a clock driver */
	assert_refused(PL011, "baud=115200: refused, /serial: the device tree gives it no clock\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_argument_stdout_path_decides),
		cmocka_unit_test(the_argument_goes_before_it),
		cmocka_unit_test(what_a_clock_cannot_make_is_refused),
		cmocka_unit_test(without_a_clock_it_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
