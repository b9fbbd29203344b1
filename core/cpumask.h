/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of CPUs, by CPU index. CPU_MAX is 64 on boards and 1024 on arch/host (<arch_inline.h> sets
 * it); every helper loops over CPUMASK_WORDS words, which is one on boards. The plain helpers need
 * a lock or a private mask; the atomic_ ones may be used on a mask that other CPUs change.
 */
#pragma once

#include "core/atomic.h"

#define CPUMASK_WORDS ((ARCH_CPU_MAX + 63) / 64)

struct cpumask {
	uint64_t bits[CPUMASK_WORDS];
};

/* The word that @cpu is in. */
static inline unsigned cpumask_word(unsigned cpu)
{
	return CPUMASK_WORDS == 1 ? 0 : cpu / 64;
}

static inline void cpumask_clear(struct cpumask *m)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		m->bits[i] = 0;
}

static inline void cpumask_fill(struct cpumask *m)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		m->bits[i] = ~0ull;
}

static inline void cpumask_set(struct cpumask *m, unsigned cpu)
{
	m->bits[cpumask_word(cpu)] |= 1ull << (cpu % 64);
}

static inline void cpumask_reset(struct cpumask *m, unsigned cpu)
{
	m->bits[cpumask_word(cpu)] &= ~(1ull << (cpu % 64));
}

static inline bool cpumask_test(const struct cpumask *m, unsigned cpu)
{
	return m->bits[cpumask_word(cpu)] >> (cpu % 64) & 1;
}

static inline bool cpumask_empty(const struct cpumask *m)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		if (m->bits[i])
			return false;
	return true;
}

/* More than one. */
static inline bool cpumask_several(const struct cpumask *m)
{
	uint64_t seen = 0, twice = 0;

	for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
		twice |= (m->bits[i] & (m->bits[i] - 1)) | (m->bits[i] && seen);
		seen |= m->bits[i];
	}
	return twice;
}

static inline bool cpumask_intersects(const struct cpumask *a, const struct cpumask *b)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

static inline bool cpumask_equal(const struct cpumask *a, const struct cpumask *b)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		if (a->bits[i] != b->bits[i])
			return false;
	return true;
}

static inline void cpumask_and(struct cpumask *out, const struct cpumask *a,
			       const struct cpumask *b)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		out->bits[i] = a->bits[i] & b->bits[i];
}

static inline unsigned cpumask_count(const struct cpumask *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		for (uint64_t w = m->bits[i]; w; w &= w - 1)
			n++;
	return n;
}

/* The first CPU of @m at or after @from; ARCH_CPU_MAX when there is none. */
unsigned cpumask_next(const struct cpumask *m, unsigned from);

#define cpumask_for_each(cpu, m)                                      \
	for (unsigned cpu = cpumask_next((m), 0); cpu < ARCH_CPU_MAX; \
	     cpu = cpumask_next((m), cpu + 1))

static inline void cpumask_atomic_set(struct cpumask *m, unsigned cpu)
{
	atomic_fetch_or_acq_rel(&m->bits[cpumask_word(cpu)], 1ull << (cpu % 64));
}

static inline void cpumask_atomic_reset(struct cpumask *m, unsigned cpu)
{
	atomic_fetch_and_acq_rel(&m->bits[cpumask_word(cpu)], ~(1ull << (cpu % 64)));
}

/* A snapshot of a mask that others change; each word is read once. */
static inline void cpumask_snapshot(struct cpumask *out, const struct cpumask *m)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		out->bits[i] = atomic_load_relaxed(&m->bits[i]);
}

/* Of masks that others change, at the moment of looking. */
static inline bool cpumask_atomic_test(const struct cpumask *m, unsigned cpu)
{
	return atomic_peek_relaxed(&m->bits[cpumask_word(cpu)]) >> (cpu % 64) & 1;
}

/* Those of @a that are in @shared, too. */
static inline void cpumask_atomic_and(struct cpumask *out, const struct cpumask *a,
				      const struct cpumask *shared)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		out->bits[i] = a->bits[i] & atomic_peek_relaxed(&shared->bits[i]);
}

/* None. */
static inline bool cpumask_atomic_empty(const struct cpumask *m)
{
	for (unsigned i = 0; i < CPUMASK_WORDS; i++)
		if (atomic_peek_relaxed(&m->bits[i]))
			return false;
	return true;
}
