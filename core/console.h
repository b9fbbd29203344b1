/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console: one UART that carries text and, between lines, binary frames (docs/UART.md). Output
 * goes to a ring that the UART's transmit interrupt drains; nobody waits for the wire but the
 * functions that say so. Before a UART is bound, text is kept in the ring; before its interrupt is
 * started, and on a UART without one, output is polled. In a panic the ring is sent and then all
 * output is polled.
 *
 * Text that does not fit is dropped in whole pieces and counted, so are frames; a line "[console:
 * 96 bytes dropped]" follows when room returns.
 */
#pragma once

#include "core/base.h"

struct dt;

/*
 * A UART driver fills this and calls console_bind(). All but irq_start called with the console lock
 * held or in panic, irqs masked.
 */
struct uart {
	const char *name;
	bool (*tx_ready)(void);        /* room for one byte */
	void (*tx_byte)(uint8_t byte); /* only when tx_ready() */
	bool (*tx_idle)(void);         /* all bytes are on the wire; NULL: always */
	void (*tx_irq)(bool on);       /* on while the ring holds bytes; NULL: output is polled */
	int (*rx_byte)(void);          /* next received byte or -1 */
	/*
	 * Requests the interrupt, whose handler calls console_irq(), and enables reception; 0 or
	 * -errno. NULL: tx_irq works from the start.
	 */
	int (*irq_start)(const struct dt *dt);
};

void console_bind(const struct uart *uart);
/*
 * From the driver's interrupt handler: moves bytes both ways, bounded work. Irqs masked, no lock
 * held.
 */
void console_irq(void);
/*
 * Binds /chosen/stdout-path, else the first serial node with a driver, else a firmware console (a
 * driver with compatible "fallback,console", probed with node -1); -ENODEV: nothing usable (boot
 * goes on silently). Starts the interrupt when there is a root controller already. Does nothing
 * when a UART is bound; with @dt NULL (the tree is unusable) only the firmware console is tried, so
 * that a boot that fails early can call it again before it says why. Context: boot.
 */
int console_init(const struct dt *dt);
bool console_bound(void);
/*
 * After irq_init(): from polled to interrupt-driven. 0, also when the UART has no interrupt;
 * -errno: stays polled. Context: boot.
 */
int console_irq_start(const struct dt *dt);
/*
 * Any context, any lock held, never waits: text that does not fit is dropped and counted. Ends
 * lines with '\n'; the wire gets "\r\n".
 */
void printk(const char *fmt, ...) __printf_like(1, 2);
void printk_v(const char *fmt, va_list *ap) __printf_like(1, 0);

/*
 * Thread context: waits for room in the ring; returns @n. Bytes 0 are left out: on the wire they
 * delimit frames.
 */
size_t console_write(const char *text, size_t n);
/*
 * Thread context: waits until all of the ring is on the wire. In a panic and with polled output:
 * any context.
 */
void console_flush(void);

/*
 * Any context, any lock held: queues one frame whole or not at all. 0, -EINVAL: no such channel,
 * -EMSGSIZE, -EAGAIN (no room, counted as discarded). While a line of text is open, frames wait for
 * its end; they go into the middle of it only when a reader waits behind it (a prompt), at
 * console_flush(), and when more of them wait than CONSOLE_HELD_BYTES.
 */
#define CONSOLE_HELD_BYTES 1024
int console_frame(unsigned channel, const void *payload, size_t n);
/* Thread context: the same, waiting for room. */
int console_frame_wait(unsigned channel, const void *payload, size_t n);
/*
 * Thread context: one record of the result channel, JSON text without line breaks, in as many
 * frames as it takes.
 */
int console_record(const char *json, size_t n);
/*
 * Frames sent and discarded so far, as `channel` records, and the `exit` record. Thread context,
 * waits for room; or in panic.
 */
void console_exit_record(int status);
/* Thread context: received bytes; waits for at least one. */
size_t console_read(char *buf, size_t n);
/* The same without waiting: 0 if there is none. */
size_t console_read_now(char *buf, size_t n);

/*
 * From panic() with the other CPUs stopped: takes the UART without the lock, sends the ring;
 * everything printed later is polled.
 */
void console_panic_takeover(void);
