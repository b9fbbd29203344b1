/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the image is for this board. One kernel runs on all boards of an architecture, so a card
 * made for another one may well start, with the wrong firmware's settings and device tree. The boot
 * argument `board=`, which an image carries, and the root of the device tree tell.
 *
 * Callers: device_probe_class(), once, on the boot CPU. Binds to nothing: it says one line and
 * declines. Boards that are not listed here are not known and nothing is said of them. Another board
 * adds a line to boards[] and its string to DRIVER().
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/string.h"

static char board[24];
BOOT_PARAM(board, BOOT_STRING, &board, "the board that the image was made for");

/* By the chip, for a board's variants have trees of their own. */
static const struct {
	const char *name, *compatible;
} boards[] = {
	{ "virt-arm64", "linux,dummy-virt" },
	{ "virt-riscv64", "riscv-virtio" },
	{ "rpi3", "brcm,bcm2837" },
	{ "rpi4", "brcm,bcm2711" },
	{ "rpi5", "brcm,bcm2712" },
	{ "visionfive2", "starfive,jh7110" },
	{ "sifive-u", "sifive,hifive-unleashed-a00" },
	{ "icicle", "microchip,mpfs" },
};

/* The name of the board whose tree has @node as its root; NULL: none of them. */
static const char *board_name(const struct dt *dt, int node)
{
	const char *compatible;

	for (int i = 0; (compatible = dt_string_at(dt, node, "compatible", i)); i++)
		for (size_t j = 0; j < ARRAY_SIZE(boards); j++)
			if (!strcmp(compatible, boards[j].compatible))
				return boards[j].name;
	return NULL;
}

static int board_probe(const struct dt *dt, int node)
{
	const char *name = board_name(dt, node), *model = dt_string(dt, node, "model");

	if (*board && name && node == dt_root(dt) && strcmp(board, name))
		printk("board=%s: the image was made for another board; this is %s: make image BOARD=%s\n",
		       board, model ? model : "one without a name", name);
	return -ENODEV;
}

DRIVER(board, DRIVER_TIMER, board_probe, "linux,dummy-virt", "riscv-virtio", "brcm,bcm2837",
       "brcm,bcm2711", "brcm,bcm2712", "starfive,jh7110", "sifive,hifive-unleashed-a00",
       "microchip,mpfs");
