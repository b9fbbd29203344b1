/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SiFive's UART: FU540, FU740, QEMU sifive_u.
 *
 * Callers: core/console.c, with the console lock held and irqs masked, or in panic. One instance,
 * the console's; a second node is declined. FIFOs of eight bytes, always on. Firmware has set the
 * baud rate; `baud=` changes it where the tree gives a clock.
 *
 * The interrupts are levels: "fewer than n bytes to send", "more than n received". Nothing is to be
 * acknowledged. Reading data takes a byte out of the FIFO, so that "is there one" and the byte are
 * one read.
 */
#include "drivers/serial/speed.h"
#include "core/arch.h"
#include "core/console.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

enum {
	TXDATA = 0x00,
	RXDATA = 0x04,
	TXCTRL = 0x08,
	RXCTRL = 0x0c,
	IE = 0x10,
	IP = 0x14,
	DIV = 0x18
};
enum { CTRL_ON = 1 << 0, I_TX = 1 << 0, I_RX = 1 << 1 };

#define TXDATA_FULL  0x80000000u
#define RXDATA_EMPTY 0x80000000u
#define MARK(n)      ((uint32_t)(n) << 16) /* of TXCTRL and RXCTRL */
#define TX_LOW       4
#define REG_BYTES    0x1c

/*
 * When the FIFO is empty the last byte is still on its way, which nothing shows: ten bits, 87 us at
 * 115200 baud. The boards' clocks count 1 to 10 MHz.
 */
#define LAST_BYTE_TICKS 1000

static struct {
	volatile void *base;
	int node;
	uint32_t ie;
	uint64_t last_byte; /* arch_counter() */
} sifive;

static bool sifive_tx_ready(void)
{
	return !(mmio_read32(sifive.base, TXDATA) & TXDATA_FULL);
}

static void sifive_tx_byte(uint8_t byte)
{
	mmio_write32(sifive.base, TXDATA, byte);
	sifive.last_byte = arch_counter();
}

/* The first interrupt condition is "less than TX_LOW bytes"; asked with 1 it means "none". */
static bool sifive_tx_idle(void)
{
	bool empty;

	mmio_write32(sifive.base, TXCTRL, CTRL_ON | MARK(1));
	empty = mmio_read32(sifive.base, IP) & I_TX;
	mmio_write32(sifive.base, TXCTRL, CTRL_ON | MARK(TX_LOW));
	if (!empty)
		sifive.last_byte = arch_counter();
	return empty && arch_counter() - sifive.last_byte > LAST_BYTE_TICKS;
}

static void sifive_tx_irq(bool on)
{
	sifive.ie = on ? sifive.ie | I_TX : sifive.ie & ~(uint32_t)I_TX;
	mmio_write32(sifive.base, IE, sifive.ie);
}

static int sifive_rx_byte(void)
{
	uint32_t value = mmio_read32(sifive.base, RXDATA);

	return value & RXDATA_EMPTY ? -1 : (int)(value & 0xff);
}

static void sifive_irq(void *arg)
{
	(void)arg;
	console_irq();
}

static int sifive_irq_start(const struct dt *dt)
{
	unsigned hwirq;
	int err = irq_of_node(dt, sifive.node, 0, &hwirq);

	if (!err)
		err = irq_request(hwirq, sifive_irq, NULL);
	if (err)
		return err;
	sifive.ie = I_RX;
	mmio_write32(sifive.base, IE, sifive.ie);
	irq_unmask(hwirq);
	return 0;
}

static const struct uart sifive_uart = {
	.name = "sifive",
	.tx_ready = sifive_tx_ready,
	.tx_byte = sifive_tx_byte,
	.tx_idle = sifive_tx_idle,
	.tx_irq = sifive_tx_irq,
	.rx_byte = sifive_rx_byte,
	.irq_start = sifive_irq_start,
};

/* The register holds one less than the clocks of a bit; uart_divisor() counts in 16ths of that. */
static void baud_setup(const struct dt *dt, int node)
{
	uint32_t clocks = uart_divisor(dt, node, 16, 0xffff);

	if (clocks)
		mmio_write32(sifive.base, DIV, clocks - 1);
}

static int sifive_probe(const struct dt *dt, int node)
{
	size_t bytes;
	volatile void *base;

	if (sifive.base)
		return -ENODEV;
	base = device_map_reg(dt, node, 0, &bytes);
	if (!base || bytes < REG_BYTES)
		return -EINVAL;
	sifive.base = base;
	sifive.node = node;
	if (uart_speed_given())
		baud_setup(dt, node);
	mmio_write32(sifive.base, IE, 0);
	mmio_write32(sifive.base, TXCTRL, CTRL_ON | MARK(TX_LOW));
	mmio_write32(sifive.base, RXCTRL, CTRL_ON | MARK(0));
	console_bind(&sifive_uart);
	return 0;
}

DRIVER(sifive_uart, DRIVER_SERIAL, sifive_probe, "sifive,uart0");
