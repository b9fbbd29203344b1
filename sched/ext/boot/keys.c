/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The magic key sequence ends the policy that is loaded, whoever it starves: the bytes are looked at
 * in the UART's receive interrupt, and the ejector has the highest priority.
 *
 * Linked in with a policy or the shell; console_bind() and console_irq() of the console come by here
 * then (the linker's --wrap), and no other image has anything of it. On a UART without an interrupt
 * (the SBI console) the sequence is swallowed, and does nothing.
 */
#include "core/atomic.h"
#include "core/console.h"
#include "sched/ext/boot/keys.h"
#include "sched/ext/ext.h"

void __real_console_bind(const struct uart *uart);
void __wrap_console_bind(const struct uart *uart);
void __real_console_irq(void);
void __wrap_console_irq(void);

/* Under the console's lock. */
static const struct uart *below;
static struct uart watched;
static struct ext_keys keys;

static uint32_t asked; /* [a] the sequence came */

static int rx_byte(void)
{
	bool complete;
	int c;

	do {
		c = below->rx_byte();
		if (c < 0)
			return c;
		c = ext_keys_feed(&keys, (uint8_t)c, &complete);
		if (complete)
			atomic_store_relaxed(&asked, 1u);
	} while (c < 0);
	return c;
}

void __wrap_console_bind(const struct uart *uart)
{
	below = uart;
	watched = *uart;
	watched.rx_byte = rx_byte;
	__real_console_bind(&watched);
}

/* Not under the console's lock, which nobody may hold who takes another. */
void __wrap_console_irq(void)
{
	__real_console_irq();
	if (atomic_load_relaxed(&asked) && atomic_swap_acq_rel(&asked, 0u))
		ext_exit(SCX_EXIT_SYSRQ, 0, "Ctrl-] Ctrl-] S on the console");
}
