/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image on the wrong board (drivers/board/board.c): what is said with the root of each board's
 * tree, and that nothing is said where nothing is known or all is well.
 *
 * Sources: drivers/board/board.c core/bootargs.c core/fdt.c core/fdt_value.c
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

extern const struct driver __start_drivers[], __stop_drivers[];

static char said[1024];

void printk(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

static void must(int err)
{
	if (err < 0)
		fail_msg("libfdt: %s", fdt_strerror(err));
}

static bool driver_names(const char *compatible)
{
	for (const char *const *name = __start_drivers->compatible; *name; name++)
		if (!strcmp(*name, compatible))
			return true;
	return false;
}

/* As core/device.c does it: by the root's strings, where the driver names one of them. */
static const char *probe(const char *special, const char *general, const char *model,
			 const char *bootargs)
{
	static char blob[2048], text[64];
	char **argv;
	const char *why;
	struct dt tree;
	int argc;

	must(fdt_create_empty_tree(blob, sizeof(blob)));
	must(fdt_setprop_string(blob, 0, "compatible", special));
	must(fdt_appendprop_string(blob, 0, "compatible", general));
	if (model)
		must(fdt_setprop_string(blob, 0, "model", model));
	assert_int_equal(dt_open(&tree, blob, sizeof(blob), &why), 0);
	snprintf(text, sizeof(text), "%s", bootargs);
	said[0] = '\0';
	assert_int_equal(bootargs_parse(text, &argc, &argv), 0);
	if (driver_names(special) || driver_names(general))
		assert_int_equal(__start_drivers->probe(&tree, dt_root(&tree)), -ENODEV);
	return said;
}

static void without_the_argument_nothing_is_said(void **state)
{
	(void)state;
	assert_ptr_equal(__start_drivers + 1, __stop_drivers);
	assert_string_equal(probe("raspberrypi,4-model-b", "brcm,bcm2711", "x", ""), "");
}

static void the_right_board_is_silent(void **state)
{
	(void)state;
	assert_string_equal(probe("raspberrypi,3-model-b", "brcm,bcm2837", "x", "board=rpi3"), "");
	assert_string_equal(probe("raspberrypi,model-zero-2-w", "brcm,bcm2837", "x", "board=rpi3"),
			    "");
	assert_string_equal(probe("raspberrypi,400", "brcm,bcm2711", "x", "board=rpi4"), "");
	assert_string_equal(probe("raspberrypi,5-model-b", "brcm,bcm2712", "x", "board=rpi5"), "");
	assert_string_equal(probe("milkv,mars", "starfive,jh7110", "x", "board=visionfive2"), "");
	assert_string_equal(probe("linux,dummy-virt", "", "x", "board=virt-arm64"), "");
	assert_string_equal(probe("riscv-virtio", "", "x", "board=virt-riscv64"), "");
	assert_string_equal(
		probe("sifive,hifive-unleashed-a00", "sifive,fu540", "x", "board=sifive-u"), "");
	assert_string_equal(
		probe("microchip,mpfs-icicle-kit", "microchip,mpfs", "x", "board=icicle"), "");
}

static void the_wrong_board_is_named(void **state)
{
	(void)state;
	assert_string_equal(
		probe("raspberrypi,3-model-b", "brcm,bcm2837", "Raspberry Pi 3 Model B",
		      "board=rpi4"),
		"board=rpi4: the image was made for another board; this is Raspberry Pi 3 Model B: make image BOARD=rpi3\n");
	assert_string_equal(
		probe("milkv,mars", "starfive,jh7110", NULL, "board=virt-riscv64"),
		"board=virt-riscv64: the image was made for another board; this is one without a name: make image BOARD=visionfive2\n");
}

static void of_an_unknown_board_nothing_is_said(void **state)
{
	(void)state;
	assert_string_equal(probe("acme,board", "acme,chip", "x", "board=rpi4"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_argument_nothing_is_said),
		cmocka_unit_test(the_right_board_is_silent),
		cmocka_unit_test(the_wrong_board_is_named),
		cmocka_unit_test(of_an_unknown_board_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
