/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exception vectors. Threads run on SP_EL0; every exception arrives on SP_EL1, the CPU's fault
 * stack, which is always good.
 *
 * Interrupt: goes back to SP_EL0 at once and saves the caller-saved registers, elr and spsr on the
 * thread's stack: 15 instructions to the first of trap_irq(). If that stack is full, the first
 * store faults, and the fault is taken on SP_EL1 and names the thread.
 * Everything else: a whole struct trap_frame on the fault stack, then trap_sync().
 * An exception while already on SP_EL1 (a fault inside the handling of a fault): sp may be the
 * problem, so nothing is stored through it; the frame goes on the CPU's emergency stack.
 *
 * The tables end with the vectors of the present exception level: nothing runs at EL0, so those of
 * lower levels are never taken, and other code lies in their place.
 */
#include "arch/arm64/regs.h"

	.macro	entry_sync
	.p2align 7
	stp	x0, x1, [sp, #-TF_BYTES]!
	mrs	x0, esr_el1
	lsr	x0, x0, #ESR_EC_SHIFT
	cmp	x0, #ESR_EC_FP
	b.eq	trap_fp
	mov	x0, #VECTOR_SYNC
	b	trap_full
	.endm

	.macro	entry_other vector
	.p2align 7
	stp	x0, x1, [sp, #-TF_BYTES]!
	mov	x0, #\vector
	b	trap_full
	.endm

	/* TPIDRRO_EL0 has no other use here: nothing runs at EL0. */
	.macro	entry_nested vector
	.p2align 7
	msr	tpidrro_el0, x0
	mrs	x0, tpidr_el1
	ldr	x0, [x0, #CPU_EMERGENCY_STACK]
	sub	x0, x0, #TF_BYTES
	stp	x1, x2, [x0, #8]
	mov	x1, sp
	str	x1, [x0, #TF_SP]
	mov	sp, x0
	mrs	x1, tpidrro_el0
	str	x1, [sp]
	mov	x0, #\vector
	b	trap_nested
	.endm

	/* What all but interrupts come to lies in the rest of two short slots, where it costs nothing. */
	.macro	save_frame
trap_common:
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	str	x30, [sp, #240]
	mrs	x1, elr_el1
	mrs	x2, spsr_el1
	mrs	x3, esr_el1
	mrs	x4, far_el1
	stp	x1, x2, [sp, #TF_PC]
	stp	x3, x4, [sp, #TF_ESR]
	str	x0, [sp, #TF_VECTOR]
	mov	x29, xzr
	mov	x30, xzr
	mov	x0, sp
	bl	trap_sync
	b	trap_return
	.endm

	.macro	restore_frame
/* sp = struct trap_frame with x0, x1 stored; x0 = vector number. */
trap_full:
	stp	x2, x3, [sp, #16]
	mrs	x2, sp_el0
	str	x2, [sp, #TF_SP]
	b	trap_common
/*
 * sp = struct trap_frame on the emergency stack with x0, x1, x2 and the interrupted sp stored; x0 =
 * vector number.
 */
trap_nested:
	str	x3, [sp, #24]
	b	trap_common
/* Handled: pc and general registers may have been changed by the handler; sp may not. */
trap_return:
	ldp	x1, x2, [sp, #TF_PC]
	msr	elr_el1, x1
	msr	spsr_el1, x2
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	ldr	x30, [sp, #240]
	ldp	x0, x1, [sp], #TF_BYTES
	eret
	.endm

	.macro	entry_irq upcall, may_switch
	.p2align 7
	msr	spsel, #0
	stp	x0, x1, [sp, #-IRQ_FRAME_BYTES]!
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	mrs	x0, elr_el1
	mrs	x1, spsr_el1
	stp	x18, x30, [sp, #144]
	stp	x0, x1, [sp, #160]
	.if \may_switch
	bl	\upcall
	bl	trap_exit
	irq_return
	.else
	adr	x0, \upcall
	b	window_interrupt
	.endif
	.endm

	/* spsr selects SP_EL0 again, whatever SPSel says now. */
	.macro	irq_return
	ldp	x0, x1, [sp, #160]
	ldp	x18, x30, [sp, #144]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x0, x1, [sp], #IRQ_FRAME_BYTES
	eret
	.endm

	.macro	vector_table may_switch
	entry_sync
	entry_irq trap_irq, \may_switch
	.if \may_switch
	entry_other VECTOR_FIQ
	save_frame
	.else
	entry_irq trap_timer, 0
	.endif
	entry_other VECTOR_SERROR
	.if \may_switch
	restore_frame
	.endif
	entry_nested 4 + VECTOR_SYNC
	entry_nested 4 + VECTOR_IRQ
	entry_nested 4 + VECTOR_FIQ
	entry_nested 4 + VECTOR_SERROR
	.endm

	.section .text.vectors, "ax", %progbits
	.p2align 11
	.globl	trap_vectors
trap_vectors:
	vector_table 1

/*
 * In VBAR_EL1 while the timer window is open: what its interrupts came into must not be switched
 * away from. An FIQ is the timer, on controllers that cannot let it through as an IRQ alone.
 */
	.section .text.vectors_window, "ax", %progbits
	.p2align 11
	.globl	trap_vectors_window
trap_vectors_window:
	vector_table 0

/*
 * x0: the upcall. On the stack of a guarded call there may be no room for it: it runs below what that
 * call goes back to, and for the time the call is not there. One that it gives up goes on elsewhere.
 */
window_interrupt:
	mrs	x2, tpidr_el1
	ldr	x3, [x2, #CPU_GUARD_SP]
	mov	x4, sp
	cbz	x3, 1f
	str	xzr, [x2, #CPU_GUARD_SP]
	mov	sp, x3
1:	stp	x3, x4, [sp, #-16]!
	blr	x0
	ldp	x3, x4, [sp]
	mov	sp, x4
	cbz	x3, 2f
	mrs	x2, tpidr_el1
	str	x3, [x2, #CPU_GUARD_SP]
	ldr	x3, [x2, #CPU_GUARD_DIVERT]
	cbz	x3, 2f
	str	xzr, [x2, #CPU_GUARD_DIVERT]
	str	x3, [sp, #160]
2:	irq_return

	.section .note.GNU-stack, "", %progbits
