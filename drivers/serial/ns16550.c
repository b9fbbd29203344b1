/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550 and its relatives: QEMU virt (riscv64), Synopsys DesignWare UARTs (JH7110 and many
 * other chips).
 *
 * Callers: core/console.c, with the console lock held and irqs masked, or in panic. One instance,
 * the console's; a second node is declined. Registers lie 1 << reg-shift bytes apart and are
 * accessed reg-io-width bytes wide. Firmware has set the baud rate; the divisor is left alone, for
 * the clock is often not in the tree.
 *
 * "Transmitter empty" says that the whole FIFO is free, so one look at it is worth a FIFO of bytes:
 * tx_left counts them.
 */
#include "drivers/serial/speed.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

enum { DATA = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, DW_USR = 31 };
enum { IER_RX = 1, IER_TX = 2 };
enum { IIR_ID = 0x0f, IIR_DW_BUSY = 0x07, IIR_RX_TIMEOUT = 0x0c, IIR_FIFO_ON = 0xc0 };
enum { FCR_ON = 0x01, FCR_RX_QUARTER = 0x40 };
enum { LCR_8BIT = 0x03, LCR_DIVISOR = 0x80 };
enum { MCR_READY = 0x03, MCR_OUT2 = 0x08 /* lets interrupts out on PC-like parts */ };
enum { LSR_DATA = 0x01, LSR_ERRORS = 0x1c, LSR_THR_EMPTY = 0x20, LSR_IDLE = 0x40 };

#define FIFO_BYTES 16 /* the least that a FIFO has; a longer one is not filled */

static struct {
	volatile void *base;
	uint32_t shift, width;
	int node;
	uint8_t ier;
	uint8_t fifo_bytes, tx_left;
} port;

static uint8_t reg_read(unsigned reg)
{
	size_t off = (size_t)reg << port.shift;

	return port.width == 4 ? (uint8_t)mmio_read32(port.base, off) : mmio_read8(port.base, off);
}

static void reg_write(unsigned reg, uint8_t value)
{
	size_t off = (size_t)reg << port.shift;

	if (port.width == 4)
		mmio_write32(port.base, off, value);
	else
		mmio_write8(port.base, off, value);
}

static bool ns16550_tx_ready(void)
{
	if (!port.tx_left && (reg_read(LSR) & LSR_THR_EMPTY))
		port.tx_left = port.fifo_bytes;
	return port.tx_left != 0;
}

static void ns16550_tx_byte(uint8_t byte)
{
	port.tx_left--;
	reg_write(DATA, byte);
}

static bool ns16550_tx_idle(void)
{
	return reg_read(LSR) & LSR_IDLE;
}

static void ns16550_tx_irq(bool on)
{
	port.ier = on ? port.ier | IER_TX : port.ier & ~IER_TX;
	reg_write(IER, port.ier);
}

static int ns16550_rx_byte(void)
{
	uint8_t status;

	while ((status = reg_read(LSR)) & LSR_DATA) {
		uint8_t byte = reg_read(DATA);

		if (!(status & LSR_ERRORS))
			return byte;
	}
	return -1;
}

/*
 * Two habits of the DesignWare part: an LCR write while it was busy raises an interrupt of its own,
 * which a read of USR ends; and a receive time-out can come without data, which a read of the data
 * register ends.
 */
static void ns16550_irq(void *arg)
{
	uint8_t id = reg_read(IIR) & IIR_ID;

	(void)arg;
	if (id == IIR_DW_BUSY)
		reg_read(DW_USR);
	if (id == IIR_RX_TIMEOUT && !(reg_read(LSR) & LSR_DATA))
		reg_read(DATA);
	console_irq();
}

static int ns16550_irq_start(const struct dt *dt)
{
	unsigned hwirq;
	int err = irq_of_node(dt, port.node, 0, &hwirq);

	if (!err)
		err = irq_request(hwirq, ns16550_irq, NULL);
	if (err)
		return err;
	port.ier = IER_RX;
	reg_write(IER, port.ier);
	irq_unmask(hwirq);
	return 0;
}

/*
 * Only when the boot argument asks: the divisor hides behind the data registers while LCR says so.
 */
static void baud_setup(const struct dt *dt, int node)
{
	uint32_t divisor = uart_divisor(dt, node, 1, 0xffff);

	if (!divisor)
		return;
	reg_write(LCR, LCR_8BIT | LCR_DIVISOR);
	reg_write(DATA, (uint8_t)divisor);
	reg_write(IER, (uint8_t)(divisor >> 8));
	reg_write(LCR, LCR_8BIT);
}

static void port_setup(const struct dt *dt, int node)
{
	uint8_t lcr = reg_read(LCR);

	port.ier = 0;
	reg_write(IER, 0);
	if (uart_speed_given())
		baud_setup(dt, node);
	if ((lcr & (LCR_8BIT | LCR_DIVISOR)) != LCR_8BIT)
		reg_write(LCR, LCR_8BIT);
	reg_write(FCR, FCR_ON | FCR_RX_QUARTER);
	port.fifo_bytes = (reg_read(IIR) & IIR_FIFO_ON) == IIR_FIFO_ON ? FIFO_BYTES : 1;
	port.tx_left = 0;
	reg_write(MCR, reg_read(MCR) | MCR_READY | MCR_OUT2);
}

static const struct uart ns16550_uart = {
	.name = "ns16550",
	.tx_ready = ns16550_tx_ready,
	.tx_byte = ns16550_tx_byte,
	.tx_idle = ns16550_tx_idle,
	.tx_irq = ns16550_tx_irq,
	.rx_byte = ns16550_rx_byte,
	.irq_start = ns16550_irq_start,
};

static int ns16550_probe(const struct dt *dt, int node)
{
	char path[DEVICE_PATH_BYTES];
	uint32_t shift = 0, width = 1;

	if (port.base)
		return -ENODEV;
	dt_u32(dt, node, "reg-shift", &shift);
	dt_u32(dt, node, "reg-io-width", &width);
	if (shift > 3 || (width != 1 && width != 4)) {
		printk("%s: reg-shift %u, reg-io-width %u; expected a shift of 0 to 3 and a width of 1 or 4\n",
		       device_path(dt, node, path, sizeof(path)), shift, width);
		return -EINVAL;
	}
	port.base = device_map_reg(dt, node, 0, NULL);
	if (!port.base)
		return -EINVAL;
	port.shift = shift;
	port.width = width;
	port.node = node;
	port_setup(dt, node);
	console_bind(&ns16550_uart);
	return 0;
}

DRIVER(ns16550, DRIVER_SERIAL, ns16550_probe, "ns16550a", "ns16550", "snps,dw-apb-uart");
