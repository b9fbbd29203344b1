/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The context switch: 36 instructions between two threads that do not use floating point.
 *
 * Registers go into struct arch_context and not on the stack: no stack adjustment on either side.
 * Entered by a tail call with irqs masked and the run-queue lock held; leaves by a jump to
 * sched_finish(prev, flags), which runs as the incoming thread.
 *
 * Floating point. FS is Clean for whoever runs. A thread that writes an FP register makes it Dirty,
 * which shows as the sign of sstatus (SD): then, and only then, are the registers saved at
 * switch-out; they are loaded at switch-in for threads that were ever saved. That is 4 instructions
 * for integer threads and no trap for anybody. One invariant keeps fcsr from leaking into a thread
 * that never touched it: fcsr is 0 whenever FS is Clean. Saving clears it, and loading one that is
 * not 0 leaves FS Dirty, so that it is saved and cleared again.
 */
#include "arch/riscv/regs.h"

	.section .text.arch_switch, "ax", @progbits

/* void arch_switch(struct thread *prev, struct thread *next, unsigned long irq_flags) */
	.globl	arch_switch
	.type	arch_switch, @function
	.balign	64
arch_switch:
	csrr	t0, sstatus
	sd	ra, CONTEXT_RA(a0)
	sd	sp, CONTEXT_SP(a0)
	sd	s0, CONTEXT_S(0)(a0)
	sd	s1, CONTEXT_S(1)(a0)
	sd	s2, CONTEXT_S(2)(a0)
	sd	s3, CONTEXT_S(3)(a0)
	sd	s4, CONTEXT_S(4)(a0)
	sd	s5, CONTEXT_S(5)(a0)
	sd	s6, CONTEXT_S(6)(a0)
	sd	s7, CONTEXT_S(7)(a0)
	sd	s8, CONTEXT_S(8)(a0)
	sd	s9, CONTEXT_S(9)(a0)
	sd	s10, CONTEXT_S(10)(a0)
	sd	s11, CONTEXT_S(11)(a0)
	sd	a2, CONTEXT_FLAGS(a0)
	bltz	t0, .Lfp_save
.Lfp_saved:
	lw	t0, CONTEXT_FP_USED(a1)
	ld	tp, CONTEXT_TLS(a1)
	ld	ra, CONTEXT_RA(a1)
	ld	sp, CONTEXT_SP(a1)
	ld	s0, CONTEXT_S(0)(a1)
	ld	s1, CONTEXT_S(1)(a1)
	ld	s2, CONTEXT_S(2)(a1)
	ld	s3, CONTEXT_S(3)(a1)
	ld	s4, CONTEXT_S(4)(a1)
	ld	s5, CONTEXT_S(5)(a1)
	ld	s6, CONTEXT_S(6)(a1)
	ld	s7, CONTEXT_S(7)(a1)
	ld	s8, CONTEXT_S(8)(a1)
	ld	s9, CONTEXT_S(9)(a1)
	ld	s10, CONTEXT_S(10)(a1)
	ld	s11, CONTEXT_S(11)(a1)
	bnez	t0, .Lfp_load
.Lfp_loaded:
	ld	a1, CONTEXT_FLAGS(a1)
	j	sched_finish

/* offsetof(struct thread, fpu) is a link-time constant that cpu.c exports. */
.Lfp_save:
	lui	t1, %hi(riscv_thread_fpu_offset)
	addi	t1, t1, %lo(riscv_thread_fpu_offset)
	add	t1, t1, a0
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fsd	f\n, FPU_F(\n)(t1)
	.endr
	csrr	t0, fcsr
	sd	t0, FPU_FCSR(t1)
	csrw	fcsr, zero
	li	t0, SSTATUS_FS_DIRTY & ~SSTATUS_FS_CLEAN
	csrc	sstatus, t0
	li	t0, 1
	sw	t0, CONTEXT_FP_USED(a0)
	j	.Lfp_saved

.Lfp_load:
	lui	t1, %hi(riscv_thread_fpu_offset)
	addi	t1, t1, %lo(riscv_thread_fpu_offset)
	add	t1, t1, a1
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fld	f\n, FPU_F(\n)(t1)
	.endr
	ld	t0, FPU_FCSR(t1)
	bnez	t0, .Lfcsr_load
	li	t0, SSTATUS_FS_DIRTY & ~SSTATUS_FS_CLEAN
	csrc	sstatus, t0
	j	.Lfp_loaded
.Lfcsr_load:
	csrw	fcsr, t0
	j	.Lfp_loaded
	.size	arch_switch, . - arch_switch

/*
 * Where a new thread's ra points: sched_finish() returns here with irqs on. s1 is the thread, s0 is
 * 0 and ends the frame chain.
 */
	.globl	riscv_thread_start
	.type	riscv_thread_start, @function
riscv_thread_start:
	mv	a0, s1
	mv	ra, zero
	j	thread_entry
	.size	riscv_thread_start, . - riscv_thread_start

/* FP on this CPU from a known state: registers and fcsr 0, FS Clean. */
	.globl	riscv_fp_init
	.type	riscv_fp_init, @function
riscv_fp_init:
	li	t0, SSTATUS_FS_DIRTY
	csrs	sstatus, t0
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fmv.d.x	f\n, zero
	.endr
	csrw	fcsr, zero
	li	t0, SSTATUS_FS_DIRTY & ~SSTATUS_FS_CLEAN
	csrc	sstatus, t0
	ret
	.size	riscv_fp_init, . - riscv_fp_init

/*
 * void arch_fpu_save(struct arch_fpu *), void arch_fpu_load(const struct arch_fpu *): all registers
 * of the running thread. Loading leaves FS Dirty, so fcsr may be anything.
 */
	.section .text.arch_fpu, "ax", @progbits
	.globl	arch_fpu_save, arch_fpu_load
	.type	arch_fpu_save, @function
arch_fpu_save:
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fsd	f\n, FPU_F(\n)(a0)
	.endr
	csrr	t0, fcsr
	sd	t0, FPU_FCSR(a0)
	ret
	.size	arch_fpu_save, . - arch_fpu_save

	.type	arch_fpu_load, @function
arch_fpu_load:
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	fld	f\n, FPU_F(\n)(a0)
	.endr
	ld	t0, FPU_FCSR(a0)
	csrw	fcsr, t0
	ret
	.size	arch_fpu_load, . - arch_fpu_load

/* void arch_call_on_stack(void (*fn)(void *), void *arg, uintptr_t stack_top) */
	.section .text.arch_call_on_stack, "ax", @progbits
	.globl	arch_call_on_stack
	.type	arch_call_on_stack, @function
arch_call_on_stack:
	addi	sp, sp, -16
	sd	ra, 8(sp)
	sd	s0, 0(sp)
	addi	s0, sp, 16
	mv	t0, a0
	mv	a0, a1
	mv	sp, a2
	jalr	t0
	addi	sp, s0, -16
	ld	ra, 8(sp)
	ld	s0, 0(sp)
	addi	sp, sp, 16
	ret
	.size	arch_call_on_stack, . - arch_call_on_stack

/*
 * long arch_guarded_call(a0 fn, a1 a, a2 b, a3 c, a4 stack_top). riscv_guard_abort is where a call
 * that is given up goes on, with nothing in the registers but tp. The window is shut while sp and the
 * place to go back to do not belong together, and at the end for good.
 */
	.section .text.arch_guarded_call, "ax", @progbits
	.globl	arch_guarded_call, riscv_guard_abort
	.type	arch_guarded_call, @function
arch_guarded_call:
	addi	sp, sp, -112
	sd	ra, 0(sp)
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11
	sd	s\n, 8+8*\n(sp)
	.endr
	csrci	sstatus, SSTATUS_SIE
	csrr	t0, sscratch
	sd	sp, CPU_GUARD_SP(t0)
	la	t1, riscv_guard_vector
	csrw	stvec, t1
	mv	sp, a4
	mv	t0, a0
	mv	a0, a1
	mv	a1, a2
	mv	a2, a3
	li	s0, 0
	csrsi	sstatus, SSTATUS_SIE
	jalr	t0
	csrci	sstatus, SSTATUS_SIE
	j	1f
riscv_guard_abort:
	csrci	sstatus, SSTATUS_SIE
	li	a0, 0
1:	la	t0, riscv_vectors + 1
	csrw	stvec, t0
	csrr	t0, sscratch
	ld	sp, CPU_GUARD_SP(t0)
	sd	zero, CPU_GUARD_SP(t0)
	ld	ra, 0(sp)
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11
	ld	s\n, 8+8*\n(sp)
	.endr
	addi	sp, sp, 112
	ret
	.size	arch_guarded_call, . - arch_guarded_call

/* arch_cold_call(): t3(t1, t2), back to t0; every other register is kept. */
	.section .text.arch_cold_stub, "ax", @progbits
	.globl	arch_cold_stub
	.type	arch_cold_stub, @function
arch_cold_stub:
	addi	sp, sp, -112
	sd	ra, 0(sp)
	sd	t0, 8(sp)
	sd	a0, 16(sp)
	sd	a1, 24(sp)
	sd	a2, 32(sp)
	sd	a3, 40(sp)
	sd	a4, 48(sp)
	sd	a5, 56(sp)
	sd	a6, 64(sp)
	sd	a7, 72(sp)
	sd	t4, 80(sp)
	sd	t5, 88(sp)
	sd	t6, 96(sp)
	mv	a0, t1
	mv	a1, t2
	jalr	t3
	ld	ra, 0(sp)
	ld	t0, 8(sp)
	ld	a0, 16(sp)
	ld	a1, 24(sp)
	ld	a2, 32(sp)
	ld	a3, 40(sp)
	ld	a4, 48(sp)
	ld	a5, 56(sp)
	ld	a6, 64(sp)
	ld	a7, 72(sp)
	ld	t4, 80(sp)
	ld	t5, 88(sp)
	ld	t6, 96(sp)
	addi	sp, sp, 112
	jr	t0
	.size	arch_cold_stub, . - arch_cold_stub
