/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs and threads as this architecture sees them: per-CPU registers, idle, a new thread's first
 * frame.
 *
 * arch_cpu_init() runs on each CPU before anything else of the kernel does; the others only on a
 * CPU that has run it. No locks.
 * What may never happen: an offset here that differs from the one in regs.h; the assertions below
 * stop the build.
 */
#include "core/arch.h"
#include "core/cpu.h"
#include "core/thread.h"
#include "arch/arm64/regs.h"

_Static_assert(offsetof(struct thread, context.sp) == CONTEXT_SP, "switch.S");
_Static_assert(offsetof(struct thread, context.irq_flags) == CONTEXT_IRQ_FLAGS, "switch.S");
_Static_assert(offsetof(struct thread, context.tls) == CONTEXT_TLS, "switch.S");
_Static_assert(offsetof(struct thread, context.fp) == CONTEXT_FP, "switch.S");
_Static_assert(offsetof(struct thread, fpu) % 16 == 0, "switch.S: pairs of 16-byte registers");
_Static_assert(offsetof(struct arch_fpu, fpsr) == 512, "switch.S");
_Static_assert(sizeof(struct arch_fpu) == 528, "switch.S");
_Static_assert(offsetof(struct cpu, arch.fault_stack_top) == CPU_FAULT_STACK, "boot.S");
_Static_assert(offsetof(struct cpu, arch.emergency_stack_top) == CPU_EMERGENCY_STACK, "vectors.S");
_Static_assert(offsetof(struct cpu, arch.guard_sp) == CPU_GUARD_SP, "switch.S");
_Static_assert(offsetof(struct cpu, arch.guard_divert) == CPU_GUARD_DIVERT, "vectors.S");
_Static_assert(offsetof(struct cpu, arch.entry_sp) == CPU_ENTRY_SP, "boot.S");
_Static_assert(offsetof(struct cpu, arch.entry_tls) == CPU_ENTRY_TLS, "boot.S");
_Static_assert(offsetof(struct trap_frame, sp) == TF_SP, "vectors.S");
_Static_assert(offsetof(struct trap_frame, pc) == TF_PC, "vectors.S");
_Static_assert(offsetof(struct trap_frame, pstate) == TF_PSTATE, "vectors.S");
_Static_assert(offsetof(struct trap_frame, esr) == TF_ESR, "vectors.S");
_Static_assert(offsetof(struct trap_frame, far) == TF_FAR, "vectors.S");
_Static_assert(offsetof(struct trap_frame, vector) == TF_VECTOR, "vectors.S");
_Static_assert(sizeof(struct trap_frame) == TF_BYTES, "vectors.S");
_Static_assert(offsetof(struct boot_data, sctlr) == BOOT_SCTLR, "boot.S");

/*
 * Offsets inside struct thread that change with the configuration go to switch.S as absolute
 * symbols, resolved by the linker.
 */
__attribute__((used)) static void export_offsets(void)
{
	__asm__ volatile(".globl thread_fpu_offset\n\t.set thread_fpu_offset, %c0\n\t"
			 ".globl thread_tls_offset\n\t.set thread_tls_offset, %c1"
			 :
			 : "i"(offsetof(struct thread, fpu)), "i"(THREAD_TLS_OFFSET));
}

/*
 * The cycle counter, 64 bits, counting at EL1. Where there is no PMU, arch_cycles() faults; nothing
 * but measurement calls it.
 */
static void pmu_init(void)
{
	unsigned version = (read_sysreg(id_aa64dfr0_el1) >> 8) & 15;

	if (version == 0 || version == 15)
		return;
	write_sysreg(pmuserenr_el0, 0);
	write_sysreg(pmintenclr_el1, ~0u);
	write_sysreg(pmccfiltr_el0, 0);
	write_sysreg(pmcntenset_el0, 1u << 31);
	write_sysreg(pmcr_el0, 1 << 0 | 1 << 2 | 1 << 6); /* E, C, LC */
	isb();
}

/*
 * The boot CPU comes here with the static struct arch_cpu of boot.S, whose stacks are taken over.
 */
void arch_cpu_init(struct cpu *cpu)
{
	struct arch_cpu *before = (struct arch_cpu *)arch_cpu_self();

	if (before != &cpu->arch)
		cpu->arch = *before;
	cpu->arch.lock_id = cpu->index + 1;
	arch_cpu_set_self(cpu);
	write_sysreg(cpacr_el1, 0);
	write_sysreg(mdscr_el1, 0);
	write_sysreg(cntkctl_el1, 0);
	pmu_init();
}

/*
 * The barrier lets stores (a run queue's lock, a timer) finish before the CPU sleeps. WFI ends for
 * an interrupt that is pending although masked, also for one that came before it; the upcall then
 * finds it by asking the controller.
 */
void arch_cpu_idle(void)
{
	__asm__ volatile("dsb sy\n\twfi" : : : "memory");
	trap_irq();
}

/* The timer is switched off, so that WFI has nothing to end for. */
__noreturn void arch_cpu_halt(void)
{
	__asm__ volatile("msr daifset, #15" : : : "memory");
	write_sysreg(cntv_ctl_el0, 0);
	for (;;)
		__asm__ volatile("dsb sy\n\twfi" : : : "memory");
}

/* What arch_switch() pops: x29 (0: the frame chain ends), x30, x19 = the thread. */
void arch_context_init(struct thread *t, uintptr_t stack_top)
{
	uint64_t *frame =
		(uint64_t *)(ALIGN_DOWN(stack_top, ARCH_STACK_ALIGN) - SWITCH_FRAME_BYTES);

	frame[0] = 0;
	frame[1] = (uintptr_t)thread_trampoline;
	frame[2] = (uintptr_t)t;
	t->context.sp = (uintptr_t)frame;
	t->context.irq_flags = 0;
	t->context.fp = 0;
}
