/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arm PrimeCell UART (PL011): QEMU virt, Raspberry Pi 3 to 5.
 *
 * Callers: core/console.c, with the console lock held and irqs masked, or in panic. One instance,
 * the console's; a second node is declined. Firmware has set pins (but those of the Raspberry Pi's
 * header), clock and baud rate, and the
 * divisor is left alone unless it was never set or the boot argument `baud=` asks for another.
 *
 * The transmit interrupt comes when the FIFO falls through its mark, not while it is below: whoever
 * turns it on must have filled the FIFO first (core/console.c does), and the handler clears it
 * before it writes, never after.
 */
#include "drivers/serial/bcm_pins.h"
#include "drivers/serial/speed.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

enum {
	DR = 0x00,
	FR = 0x18,
	IBRD = 0x24,
	FBRD = 0x28,
	LCRH = 0x2c,
	CR = 0x30,
	IFLS = 0x34,
	IMSC = 0x38,
	ICR = 0x44
};
enum { DR_ERRORS = 0x700 /* framing, parity, break: the byte is not one */ };
enum { FR_BUSY = 1 << 3, FR_RXFE = 1 << 4, FR_TXFF = 1 << 5 };
enum { LCRH_FEN = 1 << 4, LCRH_8BIT = 3 << 5 };
enum { CR_UARTEN = 1 << 0, CR_TXE = 1 << 8, CR_RXE = 1 << 9, CR_ON = CR_UARTEN | CR_TXE | CR_RXE };
enum { IFLS_MARKS = 0 /* transmit at 1/8 full, receive at 1/8 full */ };
enum { INT_RX = 1 << 4, INT_TX = 1 << 5, INT_RX_TIMEOUT = 1 << 6, INT_ALL = 0x7ff };

#define SETTLE_TRIES 200000

static struct {
	volatile void *base;
	int node;
	uint32_t imsc;
} pl011;

static bool pl011_tx_ready(void)
{
	return !(mmio_read32(pl011.base, FR) & FR_TXFF);
}

static void pl011_tx_byte(uint8_t byte)
{
	mmio_write32(pl011.base, DR, byte);
}

static bool pl011_tx_idle(void)
{
	return !(mmio_read32(pl011.base, FR) & FR_BUSY);
}

static void pl011_tx_irq(bool on)
{
	pl011.imsc = on ? pl011.imsc | INT_TX : pl011.imsc & ~(uint32_t)INT_TX;
	mmio_write32(pl011.base, IMSC, pl011.imsc);
}

static int pl011_rx_byte(void)
{
	while (!(mmio_read32(pl011.base, FR) & FR_RXFE)) {
		uint32_t value = mmio_read32(pl011.base, DR);

		if (!(value & DR_ERRORS))
			return value & 0xff;
	}
	return -1;
}

/* The receive interrupts go away when the FIFO is read. */
static void pl011_irq(void *arg)
{
	(void)arg;
	mmio_write32(pl011.base, ICR, INT_ALL & ~(INT_RX | INT_RX_TIMEOUT));
	console_irq();
}

static int pl011_irq_start(const struct dt *dt)
{
	unsigned hwirq;
	int err = irq_of_node(dt, pl011.node, 0, &hwirq);

	if (!err)
		err = irq_request(hwirq, pl011_irq, NULL);
	if (err)
		return err;
	pl011.imsc = INT_RX | INT_RX_TIMEOUT;
	mmio_write32(pl011.base, IMSC, pl011.imsc);
	irq_unmask(hwirq);
	return 0;
}

/*
 * The line format may only change while the UART is off and has sent what it had. The divisor
 * takes effect at the write of LCRH that follows it.
 */
static void line_setup(const struct dt *dt, int node)
{
	uint32_t lcrh = mmio_read32(pl011.base, LCRH), cr = mmio_read32(pl011.base, CR);
	bool keep = mmio_read32(pl011.base, IBRD) != 0 && !uart_speed_given();
	uint32_t divisor = keep ? 0 : uart_divisor(dt, node, 64, 0xffff << 6);

	if (keep && (cr & CR_ON) == CR_ON && (lcrh & LCRH_FEN))
		return;
	for (unsigned i = 0; (cr & CR_UARTEN) && i < SETTLE_TRIES && !pl011_tx_idle(); i++)
		;
	mmio_write32(pl011.base, CR, cr & ~(uint32_t)CR_UARTEN);
	if (divisor) {
		mmio_write32(pl011.base, IBRD, divisor >> 6);
		mmio_write32(pl011.base, FBRD, divisor & 63);
	}
	mmio_write32(pl011.base, LCRH, keep ? lcrh | LCRH_FEN : LCRH_8BIT | LCRH_FEN);
	mmio_write32(pl011.base, CR, cr | CR_ON);
}

static const struct uart pl011_uart = {
	.name = "pl011",
	.tx_ready = pl011_tx_ready,
	.tx_byte = pl011_tx_byte,
	.tx_idle = pl011_tx_idle,
	.tx_irq = pl011_tx_irq,
	.rx_byte = pl011_rx_byte,
	.irq_start = pl011_irq_start,
};

static int pl011_probe(const struct dt *dt, int node)
{
	if (pl011.base)
		return -ENODEV;
	pl011.base = device_map_reg(dt, node, 0, NULL);
	if (!pl011.base)
		return -EINVAL;
	pl011.node = node;
	bcm_pins_for_uart(dt, node);
	mmio_write32(pl011.base, IMSC, 0);
	line_setup(dt, node);
	mmio_write32(pl011.base, IFLS, IFLS_MARKS);
	mmio_write32(pl011.base, ICR, INT_ALL);
	console_bind(&pl011_uart);
	return 0;
}

DRIVER(pl011, DRIVER_SERIAL, pl011_probe, "arm,pl011");
