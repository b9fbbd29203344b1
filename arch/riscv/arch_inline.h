/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inline half of core/arch.h for RISC-V: rv64gc in S-mode under SBI firmware.
 *
 * tp is the running thread's TLS register, sscratch the struct cpu * of this CPU. Interrupt flags
 * are the SIE bit of sstatus: 2 or 0. The masked state is 0, so restoring is one csrs that sets
 * what was set; it never has to clear anything.
 */
#pragma once

#include "arch/riscv/regs.h"
#include "core/meter.h"

#define ARCH_NAME             "riscv64"
#define ARCH_CPU_MAX          64
#define ARCH_CACHE_LINE_BYTES 64
#define ARCH_STACK_ALIGN      16
#define ARCH_TLS_TCB_BYTES    0
/*
 * Interrupt frame, handlers and the deepest call chain of the scheduler, twice for a timer window
 * that opens inside.
 */
#define ARCH_STACK_MIN_BYTES         2048
#define ARCH_TRAP_ENTRY_INSTRUCTIONS 21 /* vectors.S, to the upcall */
#define ARCH_TRAP_EXIT_INSTRUCTIONS  22

struct arch_context {
	uintptr_t ra;            /* [q] */
	uintptr_t sp;            /* [q] */
	uintptr_t s[12];         /* [q] s0 is the frame pointer */
	unsigned long irq_flags; /* [q] */
	uintptr_t tls;           /* [i] value of tp */
	/* [q] has dirtied FP registers once: they are loaded at every switch to it */
	uint32_t fp_used;
};

struct arch_fpu {
	uint64_t f[32]; /* [q] */
	uint64_t fcsr;  /* [q] */
};

struct arch_cpu {
	uintptr_t fault_stack_top;     /* [o] 0 while exceptions are being handled on it */
	uintptr_t emergency_stack_top; /* [o] 0 while in use: the CPU parks at the next exception */
	/* [o] sp and tp of the code that took an exception, until its frame is built */
	uintptr_t trap_sp;
	uintptr_t trap_tp;      /* [o] */
	uintptr_t start_sp;     /* [i] of the idle thread, before the CPU is started */
	uintptr_t start_tls;    /* [i] */
	uint32_t lock_id;       /* [i] index + 1 */
	uintptr_t guard_sp;     /* [o] what a guarded call goes back to; 0: there is none */
	uintptr_t guard_divert; /* [o] where the interrupt in the window returns to, if not 0 */
};

/* What boot found out about this machine; all [i] once secondaries run. */
struct riscv_machine {
	bool sstc;               /* stimecmp is there: no firmware call to set the timer */
	bool cycle;              /* the cycle CSR may be read */
	unsigned long timer_eid; /* SBI_TIME or the legacy call */
};

extern struct riscv_machine riscv_machine;

/* tp as a variable: thread_current() is then one addition and no move. */
register uintptr_t riscv_tp __asm__("tp");

struct sbi_ret {
	long error;
	long value;
};

/* SBI keeps every register but a0 and a1, so a call costs its caller no register saves. */
static inline struct sbi_ret sbi_ecall(unsigned long extension, unsigned long function,
				       unsigned long arg0, unsigned long arg1, unsigned long arg2,
				       unsigned long arg3)
{
	register unsigned long a0 __asm__("a0") = arg0;
	register unsigned long a1 __asm__("a1") = arg1;
	register unsigned long a2 __asm__("a2") = arg2;
	register unsigned long a3 __asm__("a3") = arg3;
	register unsigned long a6 __asm__("a6") = function;
	register unsigned long a7 __asm__("a7") = extension;

	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1)
			 : "r"(a2), "r"(a3), "r"(a6), "r"(a7)
			 : "memory");
	return (struct sbi_ret){ (long)a0, (long)a1 };
}

static inline struct sbi_ret sbi_call(unsigned long extension, unsigned long function,
				      unsigned long arg0, unsigned long arg1, unsigned long arg2,
				      unsigned long arg3)
{
	struct sbi_ret ret;

	meter_firmware_begin();
	ret = sbi_ecall(extension, function, arg0, arg1, arg2, arg3);
	meter_firmware_end();
	return ret;
}

static inline struct cpu *arch_cpu_self(void)
{
	struct cpu *cpu;

	__asm__ volatile("csrr %0, sscratch" : "=r"(cpu));
	return cpu;
}

static inline void arch_cpu_set_self(struct cpu *cpu)
{
	__asm__ volatile("csrw sscratch, %0" ::"r"(cpu) : "memory");
}

static inline uint32_t arch_cpu_lock_id(void)
{
	return ((struct arch_cpu *)(void *)arch_cpu_self())->lock_id;
}

static inline uintptr_t arch_tls_get(void)
{
	return riscv_tp;
}

static inline void arch_tls_set(uintptr_t tls)
{
	riscv_tp = tls;
}

/* The pause hint; on CPUs without it the same bits are a fence that orders nothing. */
static inline void arch_cpu_relax(void)
{
	__asm__ volatile(".4byte 0x0100000f" ::: "memory");
}

static inline uintptr_t arch_pc(void)
{
	uintptr_t pc;

	__asm__ volatile("auipc %0, 0" : "=r"(pc));
	return pc;
}

static inline unsigned long arch_irq_save(void)
{
	unsigned long status;

	__asm__ volatile("csrrci %0, sstatus, 2" : "=r"(status)::"memory");
	return status & SSTATUS_SIE;
}

/* Irqs are masked here, as after arch_irq_save(). */
static inline void arch_irq_restore(unsigned long flags)
{
	__asm__ volatile("csrs sstatus, %0" ::"r"(flags) : "memory");
}

static inline void arch_irq_enable(void)
{
	__asm__ volatile("csrsi sstatus, 2" ::: "memory");
}

static inline void arch_irq_disable(void)
{
	__asm__ volatile("csrci sstatus, 2" ::: "memory");
}

/* What comes through is an interrupt like others. */
static inline unsigned long arch_timer_window_shut(void)
{
	return arch_irq_save();
}

static inline void arch_timer_window_again(unsigned long state)
{
	arch_irq_restore(state);
}

static inline bool arch_irq_enabled(void)
{
	unsigned long status;

	__asm__ volatile("csrr %0, sstatus" : "=r"(status)::"memory");
	return status & SSTATUS_SIE;
}

static inline bool arch_irq_flags_enabled(unsigned long flags)
{
	return flags != 0;
}

static inline unsigned long arch_irq_flags_masked(void)
{
	return 0;
}

/* A read of time is device input to the memory model: the fence keeps it behind earlier loads. */
static inline uint64_t arch_counter(void)
{
	uint64_t now;

	__asm__ volatile("fence r, i\n\trdtime %0" : "=r"(now)::"memory");
	return now;
}

static inline void arch_timer_set(uint64_t deadline_cycles)
{
	if (likely(riscv_machine.sstc))
		__asm__ volatile("csrw 0x14d, %0" ::"r"(deadline_cycles) : "memory");
	else
		sbi_call(riscv_machine.timer_eid, 0, deadline_cycles, 0, 0, 0);
}

static inline uint64_t arch_cycles(void)
{
	uint64_t now;

	if (likely(riscv_machine.cycle))
		__asm__ volatile("rdcycle %0" : "=r"(now)::"memory");
	else
		__asm__ volatile("rdtime %0" : "=r"(now)::"memory");
	return now;
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
	__asm__ volatile("fence iorw, iorw" ::: "memory");
}

/*
 * Calls @fn(@a, @b) from the middle of a hot function without costing it a register save when it is
 * not called: the stub in switch.S keeps every register but t0..t3, ra included.
 */
static inline void arch_cold_call(void (*fn)(void *, unsigned long), void *a, unsigned long b)
{
	register void *arg0 __asm__("t1") = a;
	register unsigned long arg1 __asm__("t2") = b;
	register void (*target)(void *, unsigned long) __asm__("t3") = fn;

	/* Not "call": that computes the address in t1. */
	__asm__ volatile("jal t0, arch_cold_stub"
			 : "+r"(arg0), "+r"(arg1), "+r"(target)
			 :
			 : "t0", "memory");
}

/* *@word: 0 -> @v with acquire order; false: it was not 0. */
static inline bool arch_take_if_zero(uint32_t *word, unsigned long v)
{
	uint32_t tmp;

	__asm__ goto("1:	lr.w.aq	%0, %1\n"
		     "	bnez	%0, %l[taken]\n"
		     "	sc.w	%0, %2, %1\n"
		     "	bnez	%0, 1b"
		     : "=&r"(tmp), "+A"(*word)
		     : "r"(v)
		     : "memory"
		     : taken);
	return true;
taken:
	return false;
}

/* By halves: there need not be a count instruction, and this needs no table. */
static inline unsigned arch_bit_lowest(uint64_t w)
{
	unsigned n = 0;

	w &= -w;
	for (unsigned half = 32; half; half /= 2)
		if (w >> half) {
			w >>= half;
			n += half;
		}
	return n;
}

/* ---- for drivers of devices that only this architecture has ---------------------------------- */

/*
 * A CSR that is such a device's own, by its number as a text: writes it, or sets bits in it, and
 * returns what it held.
 */
#define arch_device_reg_do(op, csr, v)                      \
	({                                                  \
		unsigned long _csr;                         \
		__asm__ volatile(op " %0, " csr ", %z1"     \
				 : "=r"(_csr)               \
				 : "rJ"((unsigned long)(v)) \
				 : "memory");               \
		_csr;                                       \
	})
#define arch_device_reg_swap(csr, v) arch_device_reg_do("csrrw", csr, v)
#define arch_device_reg_set(csr, v)  arch_device_reg_do("csrrs", csr, v)
