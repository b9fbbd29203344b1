/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inline half of core/arch.h inside one Linux process. A virtual CPU is a coroutine with the
 * few registers of regs.h; host_self is the one that runs. Everything a CPU would do in hardware
 * (another CPU gets ahead, time passes, an interrupt comes) happens in host_sync_point().
 */
#pragma once

#include "arch/host/regs.h"
#include "core/base.h"

#define ARCH_NAME "host"
#ifndef ARCH_CPU_MAX
#define ARCH_CPU_MAX 1024
#endif
#define ARCH_CACHE_LINE_BYTES        64
#define ARCH_STACK_ALIGN             16
#define ARCH_TLS_TCB_BYTES           0
#define ARCH_STACK_MIN_BYTES         2048
#define ARCH_TRAP_ENTRY_INSTRUCTIONS 0
#define ARCH_TRAP_EXIT_INSTRUCTIONS  0
/* A physical address is the address in the process. */
#define ARCH_DIRECT_MAP_BASE 0ul

struct arch_context {
	uintptr_t sp;            /* [q] */
	unsigned long irq_flags; /* [q] 1: interrupts on, 0: masked */
	uintptr_t tls;           /* [i] */
	/* [i] with the room below the slot; for the address sanitizer, as is the rest */
	uintptr_t stack_bottom;
	size_t stack_bytes; /* [i] */
	void *fake_stack;   /* [q] */
};

/*
 * The host's compiler keeps floating point in registers that the host's calling convention makes
 * the caller save.
 */
struct arch_fpu {
	uint64_t none;
};

struct arch_cpu {
	uint32_t lock_id;      /* [i] index + 1 */
	struct host_cpu *host; /* [i] */
};

static inline struct cpu *arch_cpu_self(void)
{
	return host_self->cpu;
}

static inline void arch_cpu_set_self(struct cpu *cpu)
{
	host_self->cpu = cpu;
}

static inline uint32_t arch_cpu_lock_id(void)
{
	return ((const struct arch_cpu *)(const void *)arch_cpu_self())->lock_id;
}

static inline uintptr_t arch_tls_get(void)
{
	return host_self->tls;
}

static inline void arch_tls_set(uintptr_t tls)
{
	host_self->tls = tls;
}

static inline void arch_sync_point(void)
{
	host_sync_point();
}

extern void (*host_sched_event)(enum sched_event what, struct cpu *cpu, const struct thread *a,
				const struct thread *b, uint64_t arg);

static inline void arch_sched_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
				    const struct thread *b, uint64_t arg)
{
	if (host_sched_event)
		host_sched_event(what, cpu, a, b, arg);
}

static inline void arch_cpu_relax(void)
{
	host_relax();
}

/*
 * An interrupt that is due is taken before the CPU is masked, or after it is unmasked: both are
 * tried.
 */
static inline uintptr_t arch_pc(void)
{
	return 0;
}

static inline unsigned long arch_timer_window_shut(void)
{
	unsigned long state = host_self->window;

	host_self->window = false;
	return state;
}

static inline void arch_timer_window_again(unsigned long state)
{
	host_self->window = state;
	if (state)
		host_sync_point();
}

static inline unsigned long arch_irq_save(void)
{
	if (!host_self->irqs_on)
		return 0;
	host_sync_point();
	host_self->irqs_on = false;
	return 1;
}

static inline void arch_irq_enable(void)
{
	host_self->irqs_on = true;
	host_sync_point();
}

static inline void arch_irq_restore(unsigned long flags)
{
	if (flags)
		arch_irq_enable();
}

static inline void arch_irq_disable(void)
{
	arch_irq_save();
}

static inline bool arch_irq_enabled(void)
{
	return host_self->irqs_on;
}

static inline bool arch_irq_flags_enabled(unsigned long flags)
{
	return flags != 0;
}

static inline unsigned long arch_irq_flags_masked(void)
{
	return 0;
}

/* Time passes with every read, so that a loop which waits for the clock ends. */
static inline uint64_t arch_counter(void)
{
	host_sync_point();
	if (host_self->debt_ns)
		host_pay();
	return host_now_ns;
}

static inline void arch_timer_set(uint64_t deadline_cycles)
{
	host_self->timer_ns = deadline_cycles;
}

static inline uint64_t arch_cycles(void)
{
	return host_now_ns;
}

/* The host's compiler saves what it must: nothing is counted here. */
static inline bool arch_take_if_zero(uint32_t *word, unsigned long v)
{
	uint32_t zero = 0;

	return __atomic_compare_exchange_n(word, &zero, v, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static inline void arch_cold_call(void (*fn)(void *, unsigned long), void *a, unsigned long b)
{
	fn(a, b);
}

static inline void arch_io_barrier(void)
{
}

static inline unsigned arch_bit_lowest(uint64_t w)
{
	return (unsigned)__builtin_ctzll(w);
}
