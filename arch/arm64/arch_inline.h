/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arm64: the types and inline functions that core/arch.h asks for.
 *
 * The thread runs on SP_EL0 with its TLS pointer in TPIDR_EL0; TPIDR_EL1 holds the CPU, SP_EL1 the
 * CPU's fault stack. Interrupt state is DAIF.I alone: FIQ, SError and debug exceptions stay
 * unmasked, so that one which should not happen is reported.
 */
#pragma once

#define ARCH_NAME             "arm64"
#define ARCH_CPU_MAX          64
#define ARCH_CACHE_LINE_BYTES 64
#define ARCH_STACK_ALIGN      16
#define ARCH_TLS_TCB_BYTES    16
/*
 * An interrupt frame, a switch frame and the frames of a handler between them, with room for the
 * thread's own.
 */
#define ARCH_STACK_MIN_BYTES         2048
#define ARCH_TRAP_ENTRY_INSTRUCTIONS 15 /* vectors.S, to trap_irq() */
#define ARCH_TRAP_EXIT_INSTRUCTIONS  15

/* Offsets are known to switch.S (regs.h). */
struct arch_context {
	uintptr_t sp;
	uintptr_t irq_flags;
	uintptr_t tls;
	uintptr_t fp; /* FP_LIVE_BIT, FP_SAVED_BIT */
};

/* Not cleared for a new thread: until FP_SAVED_BIT is set nobody reads it. */
struct arch_fpu {
	uint64_t v[64];
	uint64_t fpsr, fpcr;
} __aligned_to(16);

/* Offsets are known to vectors.S (regs.h). */
struct arch_cpu {
	uintptr_t fault_stack_top;     /* [i] SP_EL1 outside exceptions */
	uintptr_t emergency_stack_top; /* [i] for a fault on the fault stack */
	uintptr_t entry_sp;            /* [i] the idle thread's stack, for the first jump to C */
	uintptr_t entry_tls;           /* [i] and its TLS register */
	uint32_t lock_id;              /* [i] */
	uint32_t nested_faults;        /* [o] faults taken on the fault stack so far */
	uintptr_t guard_sp;            /* [o] what a guarded call goes back to; 0: there is none */
	uintptr_t guard_divert; /* [o] where the interrupt in the window returns to, if not 0 */
};

/*
 * Reads that depend on "memory" through a word at sp, which costs nothing: the compiler may merge
 * two of them, but not across a call, a lock or anything else after which the thread may be on
 * another CPU.
 */
register unsigned long arch_sp __asm__("sp");
#define ARCH_READ_MERGEABLE(reg)                                                            \
	({                                                                                  \
		uintptr_t _v;                                                               \
		__asm__("mrs %0, " #reg : "=r"(_v) : "Q"(*(const unsigned long *)arch_sp)); \
		_v;                                                                         \
	})

static inline struct cpu *arch_cpu_self(void)
{
	return (struct cpu *)ARCH_READ_MERGEABLE(tpidr_el1);
}

static inline void arch_cpu_set_self(struct cpu *cpu)
{
	__asm__ volatile("msr tpidr_el1, %0" : : "r"(cpu) : "memory");
}

static inline uint32_t arch_cpu_lock_id(void)
{
	return ((const struct arch_cpu *)arch_cpu_self())->lock_id;
}

static inline uintptr_t arch_tls_get(void)
{
	return ARCH_READ_MERGEABLE(tpidr_el0);
}

static inline void arch_tls_set(uintptr_t tls)
{
	__asm__ volatile("msr tpidr_el0, %0" : : "r"(tls) : "memory");
}

static inline void arch_cpu_relax(void)
{
	__asm__ volatile("yield" : : : "memory");
}

static inline uintptr_t arch_pc(void)
{
	uintptr_t pc;

	__asm__ volatile("adr %0, ." : "=r"(pc));
	return pc;
}

/* The timer comes as an FIQ where the controller has no priorities. */
static inline unsigned long arch_timer_window_shut(void)
{
	unsigned long state;

	__asm__ volatile("mrs %0, daif\n\tmsr daifset, #3" : "=r"(state) : : "memory");
	return state;
}

static inline void arch_timer_window_again(unsigned long state)
{
	__asm__ volatile("msr daif, %0" : : "r"(state) : "memory");
}

static inline unsigned long arch_irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(flags) : : "memory");
	return flags;
}

static inline void arch_irq_restore(unsigned long flags)
{
	__asm__ volatile("msr daif, %0" : : "r"(flags) : "memory");
}

static inline void arch_irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

static inline void arch_irq_disable(void)
{
	__asm__ volatile("msr daifset, #2" : : : "memory");
}

static inline bool arch_irq_flags_enabled(unsigned long flags)
{
	return !(flags & 0x80);
}

static inline bool arch_irq_enabled(void)
{
	unsigned long flags;

	__asm__ volatile("mrs %0, daif" : "=r"(flags) : : "memory");
	return arch_irq_flags_enabled(flags);
}

static inline unsigned long arch_irq_flags_masked(void)
{
	return 0x80;
}

/*
 * The isb keeps the read from being made early, before loads (a lock taken, a flag seen) that the
 * caller did first.
 */
static inline uint64_t arch_counter(void)
{
	uint64_t v;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(v) : : "memory");
	return v;
}

/*
 * The comparator is level: a deadline that has passed asserts the interrupt as soon as it is
 * written.
 */
static inline void arch_timer_set(uint64_t deadline_cycles)
{
	__asm__ volatile("msr cntv_cval_el0, %0" : : "r"(deadline_cycles) : "memory");
}

static inline uint64_t arch_cycles(void)
{
	uint64_t v;

	__asm__ volatile("isb\n\tmrs %0, pmccntr_el0" : "=r"(v) : : "memory");
	return v;
}

static inline void arch_sync_point(void)
{
}

static inline void arch_sched_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
				    const struct thread *b, uint64_t arg)
{
	(void)what;
	(void)cpu;
	(void)a;
	(void)b;
	(void)arg;
}

static inline void arch_io_barrier(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
}

/*
 * Calls @fn(@a, @b) from the middle of a hot function without costing it a register save when it is
 * not called: the stub in switch.S keeps every register but x14..x17, the link register included.
 */
static inline void arch_cold_call(void (*fn)(void *, unsigned long), void *a, unsigned long b)
{
	register void *arg0 __asm__("x15") = a;
	register unsigned long arg1 __asm__("x16") = b;
	register void (*target)(void *, unsigned long) __asm__("x17") = fn;

	__asm__ goto("adr x14, %l[done]\n\tb arch_cold_stub"
		     : "+r"(arg0), "+r"(arg1), "+r"(target)
		     :
		     : "x14", "cc", "memory"
		     : done);
	__builtin_unreachable();
done:
	return;
}

/*
 * *@word: 0 -> @v with acquire order; false: it was not 0. Without LSE, so one code path for every
 * core.
 */
static inline bool arch_take_if_zero(uint32_t *word, unsigned long v)
{
	uint32_t tmp;

	__asm__ goto("1:	ldaxr	%w0, %1\n"
		     "	cbnz	%w0, %l[taken]\n"
		     "	stxr	%w0, %w2, %1\n"
		     "	cbnz	%w0, 1b"
		     : "=&r"(tmp), "+Q"(*word)
		     : "r"(v)
		     : "memory"
		     : taken);
	return true;
taken:
	return false;
}

static inline unsigned arch_bit_lowest(uint64_t w)
{
	return (unsigned)__builtin_ctzll(w);
}

/* ---- for drivers of devices that only this architecture has ---------------------------------- */

/* System registers that are such a device's own, by name or as "S<op0>_<op1>_C<n>_C<m>_<op2>". */
#define arch_device_reg_read(reg)                                         \
	({                                                                \
		uint64_t _v;                                              \
		__asm__ volatile("mrs %0, " reg : "=r"(_v) : : "memory"); \
		_v;                                                       \
	})
#define arch_device_reg_write(reg, v) \
	__asm__ volatile("msr " reg ", %x0" : : "rZ"((uint64_t)(v)) : "memory")

/* What was written to them counts from here on; what is read behind it is read now. */
static inline void arch_device_reg_sync(void)
{
	__asm__ volatile("isb" : : : "memory");
}

/* Wakes CPUs that wait for an event. */
static inline void arch_event_send(void)
{
	__asm__ volatile("sev" : : : "memory");
}

/*
 * Set by drivers of class DRIVER_POWER, which are probed where there is no PSCI: starts a CPU, as
 * arch_cpu_start() does (0 or -errno); ends power, and returns if that failed. Else PSCI's.
 */
extern int (*arch_cpu_release)(struct cpu *cpu);
/*
 * Where such a CPU may enter when it comes with MMU and caches off and no argument, by its physical
 * address. It finds itself in the table, which must be in memory, past the caches.
 */
struct arch_released {
	uint64_t hwid; /* [i] */
	uint64_t cpu;  /* [i] virtual address of its struct cpu; 0: the table ends */
};
extern struct arch_released arch_release_table[ARCH_CPU_MAX + 1];
void arch_release_entry(void);
extern void (*arch_board_off)(void);

/* Earlier stores are visible to all CPUs before a later write to such a register is done. */
static inline void arch_device_reg_publish(void)
{
	__asm__ volatile("dsb ishst" : : : "memory");
}
