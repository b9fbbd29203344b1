/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trap entry, vectored: an exception enters at slot 0, interrupt n at slot n.
 *
 * Interrupts stay on the interrupted thread's stack and push what a C function may change, and
 * sepc: 21 instructions from the trap to the upcall. sstatus is not saved: at exit SPP and SPIE are
 * set, since an interrupt can only have come from S-mode with interrupts on, and since a restored
 * sstatus would bring back a stale FS. s0 is untouched, so the chain of frame pointers goes on
 * through an interrupt.
 *
 * Exceptions may mean that the stack is gone, so they take the CPU from sscratch and run on its
 * fault stack, whose top reads 0 while it is in use. An exception there (nested, or the fault
 * stack's own overflow) finds 0 and takes the emergency stack; one more parks the CPU. sscratch
 * holds the CPU again after two stores to it, so that even the pushes may fault.
 */
#include "arch/riscv/regs.h"

#define FOR_EACH_IRQ_REG(op) \
	op	ra, 0(sp); \
	op	t0, 8(sp); \
	op	t1, 16(sp); \
	op	t2, 24(sp); \
	op	t3, 32(sp); \
	op	t4, 40(sp); \
	op	t5, 48(sp); \
	op	t6, 56(sp); \
	op	a0, 64(sp); \
	op	a1, 72(sp); \
	op	a2, 80(sp); \
	op	a3, 88(sp); \
	op	a4, 96(sp); \
	op	a5, 104(sp); \
	op	a6, 112(sp); \
	op	a7, 120(sp)

	.macro	irq_push
	addi	sp, sp, -IRQ_FRAME_BYTES
	FOR_EACH_IRQ_REG(sd)
	csrr	t0, sepc
	sd	t0, IRQ_FRAME_SEPC(sp)
	.endm

	.section .text.vectors, "ax", @progbits

/*
 * Slot 0 must work at an odd address as well. Firmware hands on what it did not delegate (illegal
 * instructions, access faults) by jumping to what is in stvec. mepc has no bit 0, so hardware drops
 * the mode bit there; QEMU up to 10.0 keeps it, and fetches from base + 1. Without the following,
 * such an exception would hang the CPU for ever without a word. From base + 1 the bytes of slot 0
 * are another jump:
 *
 *   bytes       01 a1 a6 00
 *   at base     01 a1           c.j base + 0x400           exception_entry
 *   at base + 1    a1 a6        c.j base + 1 + 0x348       exception_entry_odd, which ends with the jalr that makes the address even
 */
#define EXCEPTION_ENTRY     0x400
#define EXCEPTION_CONTINUE  0x408
#define EXCEPTION_ENTRY_ODD 0x349

	.balign	256
	.globl	riscv_vectors
riscv_vectors:
	.option	push
	.option	norvc
	.byte	0x01, 0xa1, 0xa6, 0x00
	j	irq_soft
	.rept	3
	j	exception_entry
	.endr
	j	irq_timer
	.rept	3
	j	exception_entry
	.endr
	j	irq_external
	.option	pop

	.balign	64
	.globl	riscv_irq_start, riscv_irq_end
riscv_irq_start:
	.type	irq_external, @function
irq_external:
	irq_push
	jal	trap_irq
irq_exit:
	jal	trap_exit
irq_return:
	ld	t0, IRQ_FRAME_SEPC(sp)
	csrw	sepc, t0
	li	t0, SSTATUS_SPP | SSTATUS_SPIE
	csrs	sstatus, t0
	FOR_EACH_IRQ_REG(ld)
	addi	sp, sp, IRQ_FRAME_BYTES
	sret

	.balign	64
	.type	irq_timer, @function
irq_timer:
	irq_push
	jal	trap_timer
	csrr	t0, sie
	addi	t0, t0, -SIE_TIMER
	bnez	t0, irq_exit
	j	irq_return			/* only the timer is let through: a window, which must not be switched away from */

/* The pending bit goes first: whoever asks for attention from here on sets it again. */
	.balign	64
	.type	irq_soft, @function
irq_soft:
	irq_push
	csrci	sip, SIE_SOFT
	jal	trap_ipi
	j	irq_exit
riscv_irq_end:

/*
 * Builds a struct trap_frame on the stack in sp. \slot: which word of struct arch_cpu that stack
 * came from.
 */
	.macro	exception_push slot
	sd	zero, \slot(tp)
	addi	sp, sp, -FRAME_BYTES
	sd	x1, FRAME_X(1)(sp)
	sd	x3, FRAME_X(3)(sp)
	.irp	n, 5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	sd	x\n, FRAME_X(\n)(sp)
	.endr
	addi	t0, tp, \slot
	sd	t0, FRAME_SLOT(sp)
	.endm

exception_common:
	ld	t0, CPU_TRAP_SP(tp)
	sd	t0, FRAME_X(2)(sp)
	ld	tp, CPU_TRAP_TP(tp)
	sd	tp, FRAME_X(4)(sp)
	csrr	t0, sepc
	sd	t0, FRAME_SEPC(sp)
	csrr	t0, sstatus
	sd	t0, FRAME_SSTATUS(sp)
	csrr	t0, scause
	sd	t0, FRAME_SCAUSE(sp)
	csrr	t0, stval
	sd	t0, FRAME_STVAL(sp)
	mv	a0, sp
	jal	riscv_exception
	.globl	riscv_exception_exit
riscv_exception_exit:
	/* It was handled. SPP and SPIE as they were, the rest of sstatus as it is. */
	ld	t0, FRAME_SEPC(sp)
	csrw	sepc, t0
	ld	t1, FRAME_SSTATUS(sp)
	li	t0, SSTATUS_SPP | SSTATUS_SPIE
	csrc	sstatus, t0
	and	t1, t1, t0
	csrs	sstatus, t1
	ld	t0, FRAME_SLOT(sp)
	addi	t1, sp, FRAME_BYTES
	sd	t1, 0(t0)
	ld	x1, FRAME_X(1)(sp)
	.irp	n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld	x\n, FRAME_X(\n)(sp)
	.endr
	ld	sp, FRAME_X(2)(sp)
	sret

exception_nested:
	ld	sp, CPU_EMERGENCY_STACK(tp)
	beqz	sp, exception_lost
	exception_push CPU_EMERGENCY_STACK
	li	a1, 1
	j	exception_common

exception_lost:
	csrw	sie, zero
1:	wfi
	j	1b

/*
 * Reads a CSR that may not be there: a0 = riscv_probe(routine), where the routine is one 4-byte
 * csrr a0 and a ret. stvec points here meanwhile, in direct mode; the exception steps over the
 * instruction and says so in a1. Irqs masked. Returns 1 when it could be read.
 */
	.balign	4
	.globl	riscv_probe
	.type	riscv_probe, @function
riscv_probe:
	mv	t2, ra
	la	t0, .Lprobe_trap
	csrrw	t1, stvec, t0
	li	a1, 1
	jalr	a0
	csrw	stvec, t1
	mv	a0, a1
	jr	t2
	.balign	4
.Lprobe_trap:
	li	a1, 0
	csrr	t0, sepc
	addi	t0, t0, 4
	csrw	sepc, t0
	sret

	.option	push
	.option	norvc
	.globl	riscv_read_cycle
riscv_read_cycle:
	rdcycle	a0
	ret
	.globl	riscv_read_stimecmp
riscv_read_stimecmp:
	csrr	a0, CSR_STIMECMP
	ret
	.option	pop

/* exception_entry up to exception_continue, at an odd address and therefore spelled out. */
	.org	EXCEPTION_ENTRY_ODD
	.4byte	0x14021273      /* csrrw tp, sscratch, tp */
	.4byte	0x00223823      /* sd    sp, CPU_TRAP_SP(tp) */
	.4byte	0x00000117      /* auipc sp, 0 */
	.4byte	0x00010067 | (EXCEPTION_CONTINUE - EXCEPTION_ENTRY_ODD - 8) << 20 /* jr that distance(sp) */

	.org	EXCEPTION_ENTRY
	.type	exception_entry, @function
exception_entry:
	.option	push
	.option	norvc
	csrrw	tp, sscratch, tp
	sd	sp, CPU_TRAP_SP(tp)
	.option	pop
	.org	EXCEPTION_CONTINUE
exception_continue:
	csrr	sp, sscratch
	sd	sp, CPU_TRAP_TP(tp)
	csrw	sscratch, tp
	ld	sp, CPU_FAULT_STACK(tp)
	beqz	sp, exception_nested
	exception_push CPU_FAULT_STACK
	li	a1, 0
	j	exception_common

/*
 * In stvec, direct, during a guarded call: exceptions as ever; and the timer, the only interrupt. On
 * the stack of the call there may be no room for its upcall: it runs below what the call goes back
 * to, by the usual vectors, and for the time the call is not there. One that it gives up goes on
 * elsewhere.
 */
	.section .text.guard_vector, "ax", @progbits
	.balign	4
	.globl	riscv_guard_vector
riscv_guard_vector:
	.option	push
	.option	norvc
	csrrw	tp, sscratch, tp
	sd	sp, CPU_TRAP_SP(tp)
	.option	pop
	csrr	sp, scause
	bltz	sp, guard_timer
	j	exception_continue

guard_timer:
	ld	sp, CPU_TRAP_SP(tp)
	csrrw	tp, sscratch, tp
	irq_push
	csrr	t0, sscratch
	la	t1, riscv_vectors + 1
	csrw	stvec, t1
	ld	t1, CPU_GUARD_SP(t0)
	sd	zero, CPU_GUARD_SP(t0)
	mv	t2, sp
	addi	sp, t1, -16
	sd	t1, 0(sp)
	sd	t2, 8(sp)
	jal	trap_timer
	ld	t1, 0(sp)
	ld	sp, 8(sp)
	csrr	t0, sscratch
	sd	t1, CPU_GUARD_SP(t0)
	la	t1, riscv_guard_vector
	csrw	stvec, t1
	ld	t1, CPU_GUARD_DIVERT(t0)
	beqz	t1, irq_return
	sd	zero, CPU_GUARD_DIVERT(t0)
	sd	t1, IRQ_FRAME_SEPC(sp)
	j	irq_return
