/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt entry and exit of a virtual CPU, on the interrupted thread's stack as on hardware:
 * mask, one upcall, trap_exit(), unmask. Behind trap_exit() the thread may be on another CPU: what
 * is restored is that CPU's mask. A timer interrupt that came through the window of a masked CPU
 * does not end in trap_exit().
 */
#include "arch/host/host.h"
#include "core/arch.h"

static bool timer_due(const struct host_cpu *c)
{
	return c->timer_ns <= host_now_ns && (c->irqs_on || c->window);
}

/* A device's, which goes first, or an inter-processor interrupt. */
static bool other_due(const struct host_cpu *c)
{
	return (host_ipi_due(c) || c->irq_pending) && c->irqs_on;
}

static bool timer_goes_first(const struct host_cpu *c)
{
	if (!timer_due(c) || !other_due(c))
		return timer_due(c);
	return host_choose(HOST_CHOOSE_INTERRUPT, 2);
}

void host_take_irq(void)
{
	host_note(HOST_NOTE_INTERRUPT, host_self, 0);
	host_self->irq_pending = false;
	trap_irq();
}

static void take_one(void)
{
	bool irqs_on = host_self->irqs_on, window = host_self->window,
	     timer = timer_goes_first(host_self);

	host_self->irqs_on = false;
	host_self->window = false;
	host_charge_interrupt();
	if (timer) {
		host_note(HOST_NOTE_INTERRUPT, host_self, 1);
		trap_timer(NULL);
	} else if (host_self->irq_pending) {
		host_take_irq();
	} else {
		host_note(HOST_NOTE_INTERRUPT, host_self, 0);
		host_self->ipi_pending = false;
		trap_ipi();
	}
	if (irqs_on)
		trap_exit();
	host_self->irqs_on = irqs_on;
	host_self->window = window;
	if (!irqs_on && host_self->guard_divert)
		arch_guarded_abort();
}

void host_take_interrupts(void)
{
	while (timer_due(host_self) || other_due(host_self))
		take_one();
}
