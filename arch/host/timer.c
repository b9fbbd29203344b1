/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual time: a counter of nanoseconds that every virtual CPU sees alike (cpu.c moves it), and a
 * one-shot comparator each. The comparator is level: a deadline that has passed is due until it is
 * set anew.
 */
#include "core/cpu.h"

uint64_t arch_timer_hz(const char **why)
{
	(void)why;
	return NSEC_PER_SEC;
}

void arch_timer_init(struct cpu *cpu)
{
	(void)cpu;
	host_self->timer_ns = UINT64_MAX;
}

const char *arch_timer_name(void)
{
	return "virtual";
}

unsigned long arch_timer_window_open(void)
{
	unsigned long state = host_self->window;

	host_self->window = true;
	host_sync_point();
	return state;
}

void arch_timer_window_close(unsigned long state)
{
	host_self->window = state;
}
