/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The masked-stretch meter's cold half and the functions that the linker puts before the upcalls of
 * interrupts (see meter.h). Only in images built with METER=1.
 *
 * Each CPU writes its own table, irqs masked. A stretch is looked at when it is longer than the
 * floor: METER_FLOOR_CYCLES at first, the shortest in the table once that is full.
 */
#ifndef MASK_METER
#define MASK_METER 1 /* for tools that look at this file by itself */
#endif
#include "core/arch.h"
#include "core/cpu.h"
#include "core/panic.h"

struct meter_table {
	struct meter_stretch stretch[METER_SITES]; /* [o] */
	unsigned n;                                /* [o] */
	struct meter_total total;                  /* [o] */
};

struct meter_cpu meter_cpus[ARCH_CPU_MAX + 1];
static struct meter_table tables[ARCH_CPU_MAX + 1];
uint32_t meter_turn;

static struct meter_stretch *place_of(struct meter_table *t, const struct meter_stretch *s)
{
	struct meter_stretch *shortest = &t->stretch[0];

	for (unsigned i = 0; i < t->n; i++) {
		if (t->stretch[i].begin == s->begin && t->stretch[i].end == s->end)
			return &t->stretch[i];
		if (t->stretch[i].cycles < shortest->cycles)
			shortest = &t->stretch[i];
	}
	if (t->n == METER_SITES)
		return shortest;
	shortest = &t->stretch[t->n++];
	shortest->cycles = 0;
	return shortest;
}

static void keep(struct meter_cpu *m, struct meter_table *t, const struct meter_stretch *s)
{
	struct meter_stretch *place = place_of(t, s);

	if (s->cycles > place->cycles)
		*place = *s;
	if (t->n < METER_SITES)
		return;
	m->floor = UINT64_MAX;
	for (unsigned i = 0; i < t->n; i++)
		m->floor = MIN(m->floor, t->stretch[i].cycles);
}

/* From meter_end(), which has left the time in firmware_since. */
void meter_look(void *meter_cpu, unsigned long end)
{
	struct meter_cpu *m = meter_cpu;
	struct meter_table *t = &tables[m - meter_cpus];
	struct meter_stretch s = { .begin = m->begin, .end = end, .firmware = m->firmware };

	if (!m->floor)
		m->floor = METER_FLOOR_CYCLES; /* the first time that this CPU unmasks */
	if (!m->since || panic_in_progress())
		return;
	if (meter_turn != (uint32_t)(m - meter_cpus)) {
		t->total.discarded++;
		return;
	}
	s.cycles = m->firmware_since - m->since - m->firmware;
	if (s.cycles <= m->floor)
		return;
	t->total.stretches++;
	if (s.firmware > t->total.firmware.firmware)
		t->total.firmware = s;
	keep(m, t, &s);
}

void meter_firmware_begin(void)
{
	struct meter_cpu *m;

	if (arch_irq_enabled())
		return;
	m = &meter_cpus[arch_cpu_lock_id()];
	m->firmware_since = arch_cycles();
}

/* It is short for the table: a longer one says so by itself. */
void meter_firmware_end(void)
{
	uint64_t now = arch_cycles();
	uint32_t id;
	struct meter_cpu *m;
	struct meter_total *total;

	if (arch_irq_enabled())
		return;
	id = arch_cpu_lock_id();
	m = &meter_cpus[id];
	m->firmware += now - m->firmware_since;
	total = &tables[id].total;
	if (m->since && meter_turn == id && m->firmware > total->firmware.firmware)
		total->firmware = (struct meter_stretch){ .firmware = m->firmware,
							  .begin = m->begin,
							  .end = m->begin };
}

/* ---- before the upcalls: --wrap ---------------------------------------------------------------- */

void __real_trap_irq(void);
void __wrap_trap_irq(void);
void __real_trap_timer(void *unused);
void __wrap_trap_timer(void *unused);
void __real_trap_ipi(void);
void __wrap_trap_ipi(void);
void __real_trap_exit(void);
void __wrap_trap_exit(void);
void __real_arch_cpu_idle(void);
void __wrap_arch_cpu_idle(void);
void __real_arch_cpu_stop(void);
void __wrap_arch_cpu_stop(void);

/* Within a stretch: a timer window, or a CPU that was idle. */
static inline __attribute__((always_inline)) void trap_begin(unsigned before)
{
	if (!meter_cpus[arch_cpu_lock_id()].since)
		meter_begin(before);
}

void __wrap_trap_irq(void)
{
	trap_begin(ARCH_TRAP_ENTRY_INSTRUCTIONS);
	__real_trap_irq();
}

void __wrap_trap_timer(void *unused)
{
	trap_begin(ARCH_TRAP_ENTRY_INSTRUCTIONS);
	__real_trap_timer(unused);
}

void __wrap_trap_ipi(void)
{
	trap_begin(ARCH_TRAP_ENTRY_INSTRUCTIONS);
	__real_trap_ipi();
}

/* May come back as another thread, on another CPU. */
void __wrap_trap_exit(void)
{
	__real_trap_exit();
	meter_end(ARCH_TRAP_EXIT_INSTRUCTIONS);
}

/* What follows the wait has the upcall's stretch, or one of its own if there was none. */
void __wrap_arch_cpu_idle(void)
{
	meter_end(0);
	__real_arch_cpu_idle();
	trap_begin(0);
}

void __wrap_arch_cpu_stop(void)
{
	meter_cpus[arch_cpu_lock_id()].since = 0;
	__real_arch_cpu_stop();
}

/* ---- the result ---------------------------------------------------------------------------------- */

void meter_reset(void)
{
	for (unsigned i = 0; i <= ARCH_CPU_MAX; i++) {
		unsigned long flags = arch_irq_save();

		tables[i].n = 0;
		tables[i].total = (struct meter_total){ 0 };
		if (meter_cpus[i].floor)
			meter_cpus[i].floor = METER_FLOOR_CYCLES;
		arch_irq_restore(flags);
	}
}

static unsigned insert(struct meter_stretch *out, unsigned n, unsigned max,
		       const struct meter_stretch *s)
{
	unsigned at = n < max ? n : max;

	for (unsigned i = 0; i < n; i++)
		if (out[i].begin == s->begin && out[i].end == s->end) {
			if (out[i].cycles >= s->cycles)
				return n;
			for (at = i; at > 0 && out[at - 1].cycles < s->cycles; at--)
				out[at] = out[at - 1];
			out[at] = *s;
			return n;
		}
	while (at > 0 && out[at - 1].cycles < s->cycles) {
		if (at < max)
			out[at] = out[at - 1];
		at--;
	}
	if (at < max)
		out[at] = *s;
	return n < max ? n + 1 : n;
}

unsigned meter_read(struct meter_stretch *out, unsigned max, struct meter_total *total)
{
	unsigned n = 0;

	*total = (struct meter_total){ 0 };
	for (unsigned i = 0; i <= ARCH_CPU_MAX; i++) {
		for (unsigned k = 0; k < tables[i].n; k++)
			n = insert(out, n, max, &tables[i].stretch[k]);
		total->stretches += tables[i].total.stretches;
		total->discarded += tables[i].total.discarded;
		if (tables[i].total.firmware.firmware > total->firmware.firmware)
			total->firmware = tables[i].total.firmware;
	}
	return n;
}
