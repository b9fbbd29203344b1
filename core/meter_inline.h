/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counting halves of the masked-stretch meter (core/meter.h), in images built with METER=1.
 * core/arch.h includes this behind <arch_inline.h>, so that everybody who masks comes by here.
 *
 * The clock is read last where a stretch begins and first where it ends: what the meter itself does
 * there is outside. Inside a stretch it costs a test for each nested pair.
 */
#pragma once

#include "core/meter.h"

/* [o] of the CPU with that lock id; 0: before it has one. */
struct meter_cpu {
	uint64_t since; /* 0: no stretch */
	uintptr_t begin;
	uint64_t firmware, firmware_since;
	uint64_t floor; /* longer ones are looked at */
} __aligned_to(64);

extern struct meter_cpu meter_cpus[ARCH_CPU_MAX + 1];
/* [a] the lock id of the CPU that came by here last: another one has had its turn if it is not mine */
extern uint32_t meter_turn;
void meter_look(void *meter_cpu, unsigned long end);

/* @before: cycles that the stretch has lasted already. */
static inline __attribute__((always_inline)) void meter_begin(unsigned before)
{
	uint32_t id = arch_cpu_lock_id();
	struct meter_cpu *m = &meter_cpus[id];

	m->begin = arch_pc();
	m->firmware = 0;
	*(volatile uint32_t *)&meter_turn = id;
	m->since = arch_cycles() - before;
}

/* @after: cycles that it will last yet. */
static inline __attribute__((always_inline)) void meter_end(unsigned after)
{
	uint64_t now = arch_cycles() + after;
	struct meter_cpu *m = &meter_cpus[arch_cpu_lock_id()];

	if (unlikely(now - m->since - m->firmware > m->floor)) {
		m->firmware_since = now;
		arch_cold_call(meter_look, m, arch_pc());
	}
	m->since = 0;
}

static inline __attribute__((always_inline)) unsigned long meter_irq_save(void)
{
	unsigned long flags = arch_irq_save();

	if (arch_irq_flags_enabled(flags))
		meter_begin(0);
	return flags;
}

static inline __attribute__((always_inline)) void meter_irq_restore(unsigned long flags)
{
	if (arch_irq_flags_enabled(flags))
		meter_end(0);
	arch_irq_restore(flags);
}

static inline __attribute__((always_inline)) void meter_irq_disable(void)
{
	(void)meter_irq_save();
}

static inline __attribute__((always_inline)) void meter_irq_enable(void)
{
	meter_end(0);
	arch_irq_enable();
}

/* A CPU that spins has its turn. */
static inline void meter_cpu_relax(void)
{
	if (!arch_irq_enabled())
		*(volatile uint32_t *)&meter_turn = arch_cpu_lock_id();
	arch_cpu_relax();
}

#define arch_irq_save()         meter_irq_save()
#define arch_irq_restore(flags) meter_irq_restore(flags)
#define arch_irq_disable()      meter_irq_disable()
#define arch_irq_enable()       meter_irq_enable()
#define arch_cpu_relax()        meter_cpu_relax()
