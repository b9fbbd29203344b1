/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The "mini UART" of the Raspberry Pi 1 to 4, which is their serial console unless firmware was told
 * otherwise. Much like a 16550 with a FIFO of 8 bytes, but: no line errors but overruns, eight bits
 * by two bits of LCR, and a speed that follows the core clock, which firmware holds still while its
 * setting enable_uart=1 is there. The tree gives no clock, so the speed stays as firmware has set it.
 *
 * Callers: core/console.c, with the console lock held and irqs masked, or in panic. One instance,
 * the console's; a second node is declined. Its interrupt is shared with two SPI controllers that
 * nobody uses here.
 *
 * Only for: arm64
 */
#include "drivers/serial/bcm_pins.h"
#include "drivers/serial/speed.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

enum { IO = 0x00, IER = 0x04, LCR = 0x0c, MCR = 0x10, LSR = 0x14, CNTL = 0x20 };
enum { IER_RX = 1, IER_TX = 2 };
enum { LCR_8BIT = 0x03 };
enum { LSR_DATA = 0x01, LSR_SPACE = 0x20, LSR_IDLE = 0x40 };
enum { CNTL_RX_TX = 0x03 };

#define AUX_ENABLES      0x04 /* of the block that it is a part of */
#define AUX_ENABLES_UART 1u
#define MINI_UART_BYTES  0x24

static struct {
	volatile void *base;
	int node;
	uint32_t ier;
} mini;

static bool mini_tx_ready(void)
{
	return mmio_read32(mini.base, LSR) & LSR_SPACE;
}

static void mini_tx_byte(uint8_t byte)
{
	mmio_write32(mini.base, IO, byte);
}

static bool mini_tx_idle(void)
{
	return mmio_read32(mini.base, LSR) & LSR_IDLE;
}

static void mini_tx_irq(bool on)
{
	mini.ier = on ? mini.ier | IER_TX : mini.ier & ~(uint32_t)IER_TX;
	mmio_write32(mini.base, IER, mini.ier);
}

static int mini_rx_byte(void)
{
	return mmio_read32(mini.base, LSR) & LSR_DATA ? (int)(mmio_read32(mini.base, IO) & 0xff) :
							-1;
}

static void mini_irq(void *arg)
{
	(void)arg;
	console_irq();
}

static int mini_irq_start(const struct dt *dt)
{
	unsigned hwirq;
	int err = irq_of_node(dt, mini.node, 0, &hwirq);

	if (!err)
		err = irq_request(hwirq, mini_irq, NULL);
	if (err)
		return err;
	mini.ier = IER_RX;
	mmio_write32(mini.base, IER, mini.ier);
	irq_unmask(hwirq);
	return 0;
}

static const struct uart mini_uart = {
	.name = "mini-UART",
	.tx_ready = mini_tx_ready,
	.tx_byte = mini_tx_byte,
	.tx_idle = mini_tx_idle,
	.tx_irq = mini_tx_irq,
	.rx_byte = mini_rx_byte,
	.irq_start = mini_irq_start,
};

/* Its registers read as nothing until the block that it lies in has it enabled. */
static void enable_in_block(const struct dt *dt)
{
	int node = dt_node_by_compatible(dt, DT_START, "brcm,bcm2835-aux");
	size_t bytes;
	volatile void *aux = node < 0 ? NULL : device_map_reg(dt, node, 0, &bytes);

	if (aux && bytes >= AUX_ENABLES + 4)
		mmio_write32(aux, AUX_ENABLES, mmio_read32(aux, AUX_ENABLES) | AUX_ENABLES_UART);
}

static int mini_probe(const struct dt *dt, int node)
{
	size_t bytes;
	volatile void *base;

	if (mini.base)
		return -ENODEV;
	base = device_map_reg(dt, node, 0, &bytes);
	if (!base || bytes < MINI_UART_BYTES)
		return -EINVAL;
	mini.base = base;
	mini.node = node;
	bcm_pins_for_uart(dt, node);
	enable_in_block(dt);
	if (uart_speed_given())
		(void)uart_divisor(dt, node, 1, 0xffff); /* refuses: there is no clock */
	mmio_write32(mini.base, IER, 0);
	mmio_write32(mini.base, LCR, LCR_8BIT);
	mmio_write32(mini.base, MCR, 0);
	mmio_write32(mini.base, CNTL, CNTL_RX_TX);
	console_bind(&mini_uart);
	return 0;
}

DRIVER(bcm_mini_uart, DRIVER_SERIAL, mini_probe, "brcm,bcm2835-aux-uart");
