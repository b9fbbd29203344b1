/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins of the Raspberry Pi 1 to 4 for the console: GPIO 14 sends and GPIO 15 receives, for the first
 * PL011 or for the mini UART. Firmware sets them for the UART that it takes for the console, and its
 * trees connect the PL011 to Bluetooth; a console is for whoever holds the cable.
 *
 * Callers: UART drivers' probes, on the boot CPU. Registers are read and written back, with nobody
 * else at them.
 */
#include "drivers/serial/bcm_pins.h"
#include "core/arch.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/string.h"

/* With bus addresses, as the trees of all these chips have them. */
#define PATH_GPIO      "/soc/gpio@7e200000"
#define NAME_PL011     "serial@7e201000"
#define NAME_MINI_UART "serial@7e215040"

#define GPFSEL1        0x04 /* three bits a pin, from pin 10 on */
#define GPPUD          0x94 /* BCM2835 to 2837 */
#define GPPUDCLK0      0x98
#define PUP_PDN_CNTRL0 0xe4 /* BCM2711: two bits a pin */
#define GPIO_BYTES     0xb0
#define GPIO_BYTES_NEW 0xe8

#define PIN_TX      14u
#define PIN_RX      15u
#define ALT0        4u
#define ALT5        2u
#define SELECT(pin) (3 * ((pin)-10))
#define PULL_UP     2u
#define PULL_UP_NEW 1u
#define SETTLE_READS \
	150 /* at least so many core clocks; a read of a register takes more than one */

static void settle(volatile void *gpio)
{
	for (unsigned i = 0; i < SETTLE_READS; i++)
		(void)mmio_read32(gpio, GPFSEL1);
}

/* An open input would be noise, and each byte of it an interrupt. */
static void pull_up(volatile void *gpio, bool is_new)
{
	if (is_new) {
		uint32_t pulls = mmio_read32(gpio, PUP_PDN_CNTRL0) & ~(3u << 2 * PIN_RX);

		mmio_write32(gpio, PUP_PDN_CNTRL0, pulls | PULL_UP_NEW << 2 * PIN_RX);
		return;
	}
	mmio_write32(gpio, GPPUD, PULL_UP);
	settle(gpio);
	mmio_write32(gpio, GPPUDCLK0, 1u << PIN_RX);
	settle(gpio);
	mmio_write32(gpio, GPPUD, 0);
	mmio_write32(gpio, GPPUDCLK0, 0);
}

static void select_function(volatile void *gpio, uint32_t alt)
{
	uint32_t old = mmio_read32(gpio, GPFSEL1);
	uint32_t select = old & ~(7u << SELECT(PIN_TX) | 7u << SELECT(PIN_RX));

	select |= alt << SELECT(PIN_TX) | alt << SELECT(PIN_RX);
	if (select != old)
		mmio_write32(gpio, GPFSEL1, select);
}

void bcm_pins_for_uart(const struct dt *dt, int node)
{
	int gpio_node = dt_path_node(dt, PATH_GPIO);
	bool is_new = dt_stringlist_has(dt, gpio_node, "compatible", "brcm,bcm2711-gpio"),
	     is_pl011 = !strcmp(dt_name(dt, node), NAME_PL011);
	volatile void *gpio;
	size_t bytes;

	if ((!is_new && !dt_stringlist_has(dt, gpio_node, "compatible", "brcm,bcm2835-gpio")) ||
	    (!is_pl011 && strcmp(dt_name(dt, node), NAME_MINI_UART)))
		return;
	gpio = device_map_reg(dt, gpio_node, 0, &bytes);
	if (!gpio || bytes < (is_new ? GPIO_BYTES_NEW : GPIO_BYTES))
		return;
	pull_up(gpio, is_new);
	select_function(gpio, is_pl011 ? ALT0 : ALT5);
}
