/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The context switch. 21 instructions for threads that use no FP/SIMD, from the first to the branch
 * into sched_finish().
 *
 * The frame lies on the outgoing thread's stack; struct thread keeps sp, the interrupt state and
 * the TLS pointer. Interrupts are masked and the CPU's run-queue lock is held from before the first
 * instruction until sched_finish() releases it, so that no other CPU can resume @prev before its
 * registers are in memory.
 *
 * FP/SIMD: CPACR_EL1.FPEN is on exactly while the running thread has FP_LIVE set. A thread that
 * never touches a vector register pays the two instructions that test the flag, here, and nothing
 * else anywhere.
 */
#include "arch/arm64/regs.h"

	.arch_extension fp
	.arch_extension simd

/* void arch_switch(x0 prev, x1 next, x2 irq_flags) */
	.section .text.arch_switch, "ax", %progbits
	.p2align 6
	.globl	arch_switch
	.type	arch_switch, %function
arch_switch:
	ldr	x3, [x0, #CONTEXT_FP]
	tbnz	x3, #FP_LIVE_BIT, fp_save
switch_integer:
	stp	x29, x30, [sp, #-SWITCH_FRAME_BYTES]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	mov	x3, sp
	stp	x3, x2, [x0, #CONTEXT_SP]
	ldr	x4, [x1, #CONTEXT_TLS]
	ldp	x3, x1, [x1, #CONTEXT_SP]	/* x1: next's irq_flags, for sched_finish() */
	msr	tpidr_el0, x4
	mov	sp, x3
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #SWITCH_FRAME_BYTES
	b	sched_finish
	.size	arch_switch, . - arch_switch

/* Cold side of arch_switch(): stores prev's registers and turns FP off. Keeps x0, x1, x2. */
	.type	fp_save, %function
fp_save:
	movz	x4, #:abs_g0:thread_fpu_offset
	add	x4, x0, x4
	stp	q0, q1, [x4, #0]
	stp	q2, q3, [x4, #32]
	stp	q4, q5, [x4, #64]
	stp	q6, q7, [x4, #96]
	stp	q8, q9, [x4, #128]
	stp	q10, q11, [x4, #160]
	stp	q12, q13, [x4, #192]
	stp	q14, q15, [x4, #224]
	stp	q16, q17, [x4, #256]
	stp	q18, q19, [x4, #288]
	stp	q20, q21, [x4, #320]
	stp	q22, q23, [x4, #352]
	stp	q24, q25, [x4, #384]
	stp	q26, q27, [x4, #416]
	stp	q28, q29, [x4, #448]
	stp	q30, q31, [x4, #480]
	mrs	x5, fpsr
	mrs	x6, fpcr
	add	x4, x4, #512
	stp	x5, x6, [x4]
	mov	x5, #(1 << FP_SAVED_BIT)
	str	x5, [x0, #CONTEXT_FP]
	msr	cpacr_el1, xzr
	isb					/* the next thread's first use must trap */
	b	switch_integer
	.size	fp_save, . - fp_save

/*
 * The first vector instruction of the running thread since it was switched in: from the synchronous
 * vector, on the fault stack, with x0 and x1 saved at sp in a frame of TF_BYTES. Loads the thread's
 * registers, or clears them the first time ever, and retries the instruction.
 */
	.section .text.trap_fp, "ax", %progbits
	.p2align 6
	.globl	trap_fp
	.type	trap_fp, %function
trap_fp:
	mov	x0, #(3 << 20)
	msr	cpacr_el1, x0
	isb
	str	x2, [sp, #16]
	mrs	x0, tpidr_el0
	movz	x1, #:abs_g0:thread_tls_offset
	sub	x0, x0, x1			/* the thread */
	ldr	x1, [x0, #CONTEXT_FP]
	orr	x2, x1, #(1 << FP_LIVE_BIT)
	str	x2, [x0, #CONTEXT_FP]
	movz	x1, #:abs_g0:thread_fpu_offset
	add	x0, x0, x1
	tbnz	x2, #FP_SAVED_BIT, 2f
	add	x1, x0, #528			/* all of struct arch_fpu */
1:	stp	xzr, xzr, [x1, #-16]!
	cmp	x1, x0
	b.ne	1b
2:	ldp	q0, q1, [x0, #0]
	ldp	q2, q3, [x0, #32]
	ldp	q4, q5, [x0, #64]
	ldp	q6, q7, [x0, #96]
	ldp	q8, q9, [x0, #128]
	ldp	q10, q11, [x0, #160]
	ldp	q12, q13, [x0, #192]
	ldp	q14, q15, [x0, #224]
	ldp	q16, q17, [x0, #256]
	ldp	q18, q19, [x0, #288]
	ldp	q20, q21, [x0, #320]
	ldp	q22, q23, [x0, #352]
	ldp	q24, q25, [x0, #384]
	ldp	q26, q27, [x0, #416]
	ldp	q28, q29, [x0, #448]
	ldp	q30, q31, [x0, #480]
	add	x0, x0, #512
	ldp	x1, x2, [x0]
	msr	fpsr, x1
	msr	fpcr, x2
	ldr	x2, [sp, #16]
	ldp	x0, x1, [sp], #TF_BYTES
	eret
	.size	trap_fp, . - trap_fp

/*
 * Where a new thread's first return from sched_finish() lands: x19 = the thread
 * (arch_context_init). The frame chain ends here.
 */
	.section .text.thread_trampoline, "ax", %progbits
	.globl	thread_trampoline
	.type	thread_trampoline, %function
thread_trampoline:
	mov	x0, x19
	mov	x30, xzr
	b	thread_entry
	.size	thread_trampoline, . - thread_trampoline

/*
 * void arch_fpu_save(struct arch_fpu *), void arch_fpu_load(const struct arch_fpu *): all registers
 * of the running thread, which is live from the first of them on.
 */
	.macro	fpu_move op, base
	.irp	n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
	fpu_pair \op, \n, \base
	.endr
	.endm
	.macro	fpu_pair op, n, base
	.altmacro
	fpu_pair_at \op, \n, %(\n + 1), %(\n * 16), \base
	.noaltmacro
	.endm
	.macro	fpu_pair_at op, a, b, at, base
	\op	q\a, q\b, [\base, #\at]
	.endm

	.section .text.arch_fpu, "ax", %progbits
	.globl	arch_fpu_save, arch_fpu_load
	.type	arch_fpu_save, %function
arch_fpu_save:
	fpu_move stp, x0
	mrs	x1, fpsr
	mrs	x2, fpcr
	add	x0, x0, #512
	stp	x1, x2, [x0]
	ret
	.size	arch_fpu_save, . - arch_fpu_save

	.type	arch_fpu_load, %function
arch_fpu_load:
	fpu_move ldp, x0
	add	x0, x0, #512
	ldp	x1, x2, [x0]
	msr	fpsr, x1
	msr	fpcr, x2
	ret
	.size	arch_fpu_load, . - arch_fpu_load

/* void arch_call_on_stack(x0 fn, x1 arg, x2 stack_top) */
	.section .text.arch_call_on_stack, "ax", %progbits
	.globl	arch_call_on_stack
	.type	arch_call_on_stack, %function
arch_call_on_stack:
	stp	x29, x30, [sp, #-16]!
	mov	x29, sp
	mov	sp, x2
	mov	x3, x0
	mov	x0, x1
	blr	x3
	mov	sp, x29
	ldp	x29, x30, [sp], #16
	ret
	.size	arch_call_on_stack, . - arch_call_on_stack

/*
 * long arch_guarded_call(x0 fn, x1 a, x2 b, x3 c, x4 stack_top). arm64_guard_abort is where a call
 * that is given up goes on, with nothing in the registers. The window is shut while sp and the place to
 * go back to do not belong together, and at the end for good.
 */
	.section .text.arch_guarded_call, "ax", %progbits
	.globl	arch_guarded_call, arm64_guard_abort
	.type	arch_guarded_call, %function
arch_guarded_call:
	stp	x29, x30, [sp, #-96]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	msr	daifset, #2
	mrs	x5, tpidr_el1
	mov	x6, sp
	str	x6, [x5, #CPU_GUARD_SP]
	mov	sp, x4
	mov	x5, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x29, xzr
	msr	daifclr, #2
	blr	x5
	msr	daifset, #2
	b	1f
arm64_guard_abort:
	msr	daifset, #2
	mov	x0, #0
1:	mrs	x5, tpidr_el1
	ldr	x6, [x5, #CPU_GUARD_SP]
	str	xzr, [x5, #CPU_GUARD_SP]
	mov	sp, x6
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret
	.size	arch_guarded_call, . - arch_guarded_call

/* arch_cold_call(): x17(x15, x16), back to x14; every other register is kept. */
	.section .text.arch_cold_stub, "ax", %progbits
	.globl	arch_cold_stub
	.type	arch_cold_stub, %function
arch_cold_stub:
	stp	x29, x30, [sp, #-160]!
	stp	x0, x1, [sp, #16]
	stp	x2, x3, [sp, #32]
	stp	x4, x5, [sp, #48]
	stp	x6, x7, [sp, #64]
	stp	x8, x9, [sp, #80]
	stp	x10, x11, [sp, #96]
	stp	x12, x13, [sp, #112]
	stp	x14, x18, [sp, #128]
	mov	x29, sp
	mov	x0, x15
	mov	x1, x16
	blr	x17
	ldp	x0, x1, [sp, #16]
	ldp	x2, x3, [sp, #32]
	ldp	x4, x5, [sp, #48]
	ldp	x6, x7, [sp, #64]
	ldp	x8, x9, [sp, #80]
	ldp	x10, x11, [sp, #96]
	ldp	x12, x13, [sp, #112]
	ldp	x14, x18, [sp, #128]
	ldp	x29, x30, [sp], #160
	br	x14
	.size	arch_cold_stub, . - arch_cold_stub

	.section .note.GNU-stack, "", %progbits
