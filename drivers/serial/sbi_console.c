/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console of last resort: SBI firmware's own, for boards whose UART has no driver here. Polled
 * both ways; a byte costs a firmware call, so this is for messages and not for measuring. The debug
 * console extension when firmware has it, else the legacy calls.
 *
 * Callers: the console, with its lock held or in a panic, irqs masked. Takes no lock and keeps no
 * state but which calls to use.
 *
 * Only for: riscv
 */
#include "core/arch.h"
#include "core/console.h"
#include "core/device.h"

static bool tx_ready(void)
{
	return true; /* firmware waits for its UART itself */
}

static void tx_byte_dbcn(uint8_t byte)
{
	sbi_call(SBI_DBCN, SBI_DBCN_WRITE_BYTE, byte, 0, 0, 0);
}

static void tx_byte_legacy(uint8_t byte)
{
	sbi_call(SBI_LEGACY_PUTCHAR, 0, byte, 0, 0, 0);
}

/*
 * Reading wants a physical address of our own: one byte of .bss, only used under the console lock.
 */
static int rx_byte_dbcn(void)
{
	static volatile uint8_t byte;
	struct sbi_ret r = sbi_call(SBI_DBCN, SBI_DBCN_READ, 1, arch_pa((const void *)&byte), 0, 0);

	return !r.error && r.value == 1 ? byte : -1;
}

static int rx_byte_legacy(void)
{
	long byte = sbi_call(SBI_LEGACY_GETCHAR, 0, 0, 0, 0, 0).error;

	return byte >= 0 && byte <= 255 ? (int)byte : -1;
}

static const struct uart uart_dbcn = {
	.name = "SBI debug console",
	.tx_ready = tx_ready,
	.tx_byte = tx_byte_dbcn,
	.rx_byte = rx_byte_dbcn,
};

static const struct uart uart_legacy = {
	.name = "SBI console",
	.tx_ready = tx_ready,
	.tx_byte = tx_byte_legacy,
	.rx_byte = rx_byte_legacy,
};

/* @node is -1: this is no device of the tree. */
static int sbi_console_probe(const struct dt *dt, int node)
{
	struct sbi_ret dbcn = sbi_call(SBI_BASE, SBI_BASE_PROBE, SBI_DBCN, 0, 0, 0);

	(void)dt;
	(void)node;
	console_bind(!dbcn.error && dbcn.value ? &uart_dbcn : &uart_legacy);
	return 0;
}

DRIVER(sbi_console, DRIVER_SERIAL, sbi_console_probe, "fallback,console");
