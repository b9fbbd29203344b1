/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * THE contract between the portable kernel and an architecture. A port is one folder, arch/<name>/,
 * that defines everything below; there are no optional functions, no weak symbols and no second
 * contract (interrupt controllers and UARTs are drivers, boards are device trees).
 *
 * Laws
 *  1. An architecture never reads scheduling state and never decides.
 *  2. The run-queue lock that the outgoing thread took is held across arch_switch() and released by
 *     the incoming thread in sched_finish(), into which arch_switch() jumps.
 *  3. Interrupt entry calls an upcall, then trap_exit(): the only place where an interrupt becomes
 *     a switch.
 *  4. A CPU is a struct cpu *; the hardware id (MPIDR affinity, hart id) is a field of it and never
 *     an index.
 *  5. The TLS register (tpidr_el0, tp) belongs to the running thread and always holds
 *     thread->context.tls; the per-CPU pointer lives in TPIDR_EL1 / sscratch.
 *  6. Nothing here, in core/ or in sched/ touches FP/SIMD registers.
 *
 * <arch_inline.h> supplies, before the first use:
 *   ARCH_NAME ("arm64"), ARCH_CPU_MAX (64), ARCH_CACHE_LINE_BYTES, ARCH_STACK_ALIGN,
 *   ARCH_TLS_TCB_BYTES (bytes between the TLS register's value and the start of the TLS image:
 *   arm64 16, riscv 0), ARCH_STACK_MIN_BYTES
 *   ARCH_TRAP_ENTRY_INSTRUCTIONS, ARCH_TRAP_EXIT_INSTRUCTIONS   of an interrupt, before its upcall
 *   and behind trap_exit(): for core/meter.h
 *   struct arch_context   first member of struct thread: saved sp, interrupt state, `uintptr_t tls`, FP flags
 *   struct arch_fpu       FP/SIMD registers of a thread that used them (last member of struct thread)
 *   struct arch_cpu       first member of struct cpu: what trap entry needs (fault stack top, ...)
 * and the inline functions. A prototype here without a body there does not compile.
 */
#pragma once

#include "core/base.h"

struct thread;
struct cpu;
struct trap_frame;
struct arch_fpu;

/*
 * What the scheduler did, said with the rq lock of @cpu held at the moment it is true, after the
 * running thread was charged. Of a group: @a is NULL, @arg its struct group_cpu (sched/group.h).
 */
enum sched_event {
	SCHED_EVENT_SWITCH, /* @cpu goes from @a to @b; @arg: enum stop_reason of @a */
	SCHED_EVENT_JOIN,   /* @a enters the fair sums of @cpu; @arg: its weight */
	SCHED_EVENT_LEAVE,  /* @a leaves them */
	SCHED_EVENT_WEIGHT, /* @a, in the sums, has the weight @arg from here on */
	SCHED_EVENT_DELAY,  /* @a blocks and owes: stays in the sums until it has paid */
	SCHED_EVENT_RESUME, /* @a, delayed, runs or waits again */
};

/* ---- inline, this CPU ------------------------------------------------------------------------ */

/* irqs off, or the answer may be stale at once */
static inline struct cpu *arch_cpu_self(void);
static inline void arch_cpu_set_self(struct cpu *cpu);
/* cpu->arch.lock_id: index + 1, set by arch_cpu_init(); irqs off */
static inline uint32_t arch_cpu_lock_id(void);
/* the running thread's TLS register, any context */
static inline uintptr_t arch_tls_get(void);
static inline void arch_tls_set(uintptr_t tls);
static inline void arch_cpu_relax(void); /* in a spin loop */
/* where this is, in code: measurement only */
static inline uintptr_t arch_pc(void);
/* masks; returns what arch_irq_restore() takes */
static inline unsigned long arch_irq_save(void);
static inline void arch_irq_restore(unsigned long flags);
static inline void arch_irq_enable(void);
static inline void arch_irq_disable(void);
static inline bool arch_irq_enabled(void);
static inline bool arch_irq_flags_enabled(unsigned long flags);
/* the flags of a masked CPU, a constant */
static inline unsigned long arch_irq_flags_masked(void);
/* monotonic, same on all CPUs, arch_timer_hz() a second; ordered after earlier loads */
static inline uint64_t arch_counter(void);
/* one-shot, absolute; UINT64_MAX = never; a past one fires at once */
static inline void arch_timer_set(uint64_t deadline_cycles);
/* CPU cycle counter (PMCCNTR_EL0, cycle): measurement only */
static inline uint64_t arch_cycles(void);
/* the one step of a free lock: see atomic_take_if_zero() */
static inline bool arch_take_if_zero(uint32_t *word, unsigned long v);
/* Index of the lowest set bit of @w, which is not 0. */
static inline unsigned arch_bit_lowest(uint64_t w);
/*
 * Calls fn(a, b) so that the caller need save no register for it: for cold calls in the middle of
 * hot functions.
 */
static inline void arch_cold_call(void (*fn)(void *, unsigned long), void *a, unsigned long b);
/* nothing on hardware; on arch/host another CPU may run here */
static inline void arch_sync_point(void);
/* nothing on hardware; on arch/host somebody may listen */
static inline void arch_sched_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
				    const struct thread *b, uint64_t arg);
/* orders MMIO against MMIO and normal memory of this CPU */
static inline void arch_io_barrier(void);

/* ---- out of line ----------------------------------------------------------------------------- */

/*
 * CPU bring-up. arch_cpu_init() runs first on each CPU, irqs masked: traps, FP off, counters,
 * per-CPU pointer.
 */
void arch_cpu_init(struct cpu *cpu);
/*
 * Starts @cpu at cpu_main(cpu) on its idle thread's stack: at boot, and again after it was stopped.
 * 0 or -errno from firmware; does not wait. -ENOTSUP: no method.
 */
int arch_cpu_start(struct cpu *cpu);
/*
 * Stops this CPU, so that arch_cpu_start() can start it as it did before. Returns only where
 * firmware cannot stop a CPU: nothing has changed then, and the caller waits in arch_cpu_idle(). On
 * its idle thread, irqs masked, no lock held, no interrupt routed here, its timer at never.
 */
void arch_cpu_stop(void);
/*
 * @cpu, which has called arch_cpu_stop(), executes nothing any more, not even that call. Any other
 * CPU.
 */
bool arch_cpu_stopped(const struct cpu *cpu);
/*
 * Waits for an interrupt with irqs masked and handles those pending by plain calls to the upcalls
 * (no trap is taken, trap_exit() is not called); a wake-up between the caller's test and this call
 * is not lost.
 */
void arch_cpu_idle(void);
/* Parks this CPU for ever, masked (panic, late CPUs). */
__noreturn void arch_cpu_halt(void);

/*
 * Threads. The first switch to @t continues in sched_finish() with irqs on, then thread_entry(@t)
 * on stack @stack_top.
 */
void arch_context_init(struct thread *t, uintptr_t stack_top);
/*
 * Saves callee-saved registers, sp and @irq_flags into prev->context and FP if live; loads next's;
 * jumps to sched_finish(prev, next's irq_flags). Called as a tail call, irqs masked, this CPU's
 * run-queue lock held.
 */
void arch_switch(struct thread *prev, struct thread *next, unsigned long irq_flags);

/*
 * The floating-point registers of the running thread, all of them: for whoever calls foreign code
 * from within an interrupt (a hook). Thread context, or a hook.
 */
void arch_fpu_save(struct arch_fpu *fpu);
void arch_fpu_load(const struct arch_fpu *fpu);
/* fn(arg) with the stack pointer at @stack_top, a multiple of ARCH_STACK_ALIGN. */
void arch_call_on_stack(void (*fn)(void *), void *arg, uintptr_t stack_top);

/*
 * Guarded calls, one at a time on each CPU: fn(a, b, c) on the stack that ends at @stack_top, own
 * CPU, with the timer window open. It returns what fn does; or 0 if fn was given up, and
 * then whatever fn held or had half done is left as it is. A guarded call is given up by
 * arch_guarded_abort(), on its own stack; or by arch_guarded_divert(), when the exception @tf that
 * it took is returned from, or, with NULL, the timer interrupt that came to it through the window.
 * arch_guarded(): this is called from within one.
 */
long arch_guarded_call(long (*fn)(long, long, long), long a, long b, long c, uintptr_t stack_top);
__noreturn void arch_guarded_abort(void);
void arch_guarded_divert(struct trap_frame *tf);
bool arch_guarded(void);

/*
 * Time. Frequency in Hz (0: unknown, with *why set); per-CPU timer hardware is set up by
 * arch_timer_init(), irq unmasked.
 */
uint64_t arch_timer_hz(const char **why);
void arch_timer_init(struct cpu *cpu);
const char *arch_timer_name(void); /* "CNTV", "Sstc", "SBI" */
/*
 * Lets the timer interrupt, and no other, through on a masked CPU (GIC priority mask, sie.STIE);
 * nests inside a trap. Timers run meanwhile, but such an interrupt does not end in trap_exit():
 * nobody is switched to before the window is closed and the enclosing interrupt, if any, ends. Own
 * CPU, irqs masked before and after, no lock held. arch_timer_window_close() takes what
 * arch_timer_window_open() returned and leaves all masked again.
 */
unsigned long arch_timer_window_open(void);
void arch_timer_window_close(unsigned long state);
/*
 * For a few instructions, cheaply: not even the timer comes through an open window, until
 * arch_timer_window_again() gets what arch_timer_window_shut() returned. Own CPU.
 */
static inline unsigned long arch_timer_window_shut(void);
static inline void arch_timer_window_again(unsigned long state);

/*
 * Memory. Prot bits below; @va, @pa, @bytes page-aligned. -ENOMEM when no table page is to be had.
 * Unmap invalidates on all CPUs. Callers serialise (core/mem/vm.c holds its lock).
 */
enum { MAP_READ = 1, MAP_WRITE = 2, MAP_EXEC = 4, MAP_DEVICE = 8 };
int arch_map(uintptr_t va, pa_t pa, size_t bytes, unsigned prot);
void arch_unmap(uintptr_t va, size_t bytes);
/* The physical address behind a mapped kernel virtual address; 0 when unmapped. */
pa_t arch_pa(const void *va);
enum cache_op { CACHE_CLEAN_POC, CACHE_INVALIDATE_POC, CACHE_SYNC_ICACHE };
void arch_cache_op(enum cache_op op, const void *va, size_t bytes);

/*
 * Power: returns only if firmware refused. @status reaches the host through semihosting when the
 * boot argument gave it.
 */
void arch_system_off(int status, bool semihosting);
/*
 * Firmware as found in the device tree: PSCI conduit, SBI extensions. Before any arch_cpu_start().
 * 0 or -errno, *why set.
 */
struct dt;
int arch_firmware_init(const struct dt *dt, const char **why);
/*
 * The hardware ids of CPU node @node; -ENOENT when the node is not a CPU this kernel can run on
 * (disabled, no MMU).
 */
int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid);

/* Traps, for panic and tests. */
uintptr_t arch_trap_pc(const struct trap_frame *tf);
/* registers, by printk; NULL: what this CPU has now */
void arch_trap_dump(const struct trap_frame *tf);
/*
 * Calls @each(ctx, return address) up the frame-pointer chain, from @tf or, when NULL, from the
 * caller; bounds-checked.
 */
void arch_backtrace(const struct trap_frame *tf, void (*each)(void *ctx, uintptr_t pc), void *ctx);

/* ---- upcalls: what the architecture calls ---------------------------------------------------- */

/*
 * Boot CPU, on its idle thread's stack, MMU and caches on, final permissions, irqs masked. @fdt_pa
 * is mapped read-only at its direct-map address for FDT_BOOT_WINDOW bytes (core/mem/layout.h).
 * @entry_cycles: arch_counter() at the first instruction.
 */
__noreturn void kernel_main(pa_t fdt_pa, uint64_t boot_hwid, uint64_t entry_cycles);
__noreturn void cpu_main(struct cpu *cpu); /* a secondary CPU, same state */
/* external interrupt: ask the root controller; masked */
void trap_irq(void);
/* the one-shot timer fired; masked; has the shape of an irq handler */
void trap_timer(void *unused);
/* another CPU wants attention; masked */
void trap_ipi(void);
/* end of an interrupt taken as a trap; may switch; masked in and out */
void trap_exit(void);
/*
 * A synchronous exception; runs on the CPU's fault stack. @what is a short text. Returns only if it
 * was handled.
 */
void trap_fault(struct trap_frame *tf, const char *what, uintptr_t addr);
__noreturn void thread_entry(struct thread *t);
void sched_finish(struct thread *prev, unsigned long irq_flags);

#include <arch_inline.h>

#include "core/meter.h"
#if MASK_METER
#include "core/meter_inline.h" /* counts before it masks and unmasks */
#endif

/*
 * ASSERT for functions of the hot path: the same, but the failing branch is no ordinary call, so it
 * costs the function no saved link register.
 */
void assert_failed_at(void *place, unsigned long unused);

#define ASSERT_HOT(expr)                                                                         \
	do {                                                                                     \
		if (unlikely(!(expr))) {                                                         \
			static const struct assert_place _place = { #expr, __FILE__, __LINE__ }; \
			arch_cold_call(assert_failed_at, (void *)(uintptr_t)&_place, 0);         \
			__builtin_unreachable();                                                 \
		}                                                                                \
	} while (0)
