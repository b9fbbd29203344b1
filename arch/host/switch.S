/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing stacks: what a called function must keep goes onto the old stack, and comes back from
 * the new one. Used for threads by arch_switch() and for virtual CPUs by the machine. One piece of
 * assembler for each architecture that tests run on; there is no other way that the address
 * sanitizer, a debugger and 100,000 stacks all agree with.
 *
 *   void *host_stack_switch(uintptr_t *save_sp, uintptr_t load_sp, void *arg);   returns arg, on the other stack
 *   host_stack_start: the first return on a new stack: calls the function in the first saved register with arg
 *
 * host_frame_*: the layout of a saved frame, for host_stack_prepare(). Also here: the TLS image
 * that core/thread.c copies: HOST_TLS_BYTES of zeros. The compiler's thread-local variables are the process's, and no thread's.
 */
#ifndef HOST_TLS_BYTES
#define HOST_TLS_BYTES 0
#endif
	.text
	.globl	host_stack_switch, host_stack_start, arch_call_on_stack
	.type	host_stack_switch, %function
	.type	host_stack_start, %function
	.type	arch_call_on_stack, %function

#if defined(__x86_64__)

host_stack_switch:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	movq	%rdx, %rax
	retq
	.size	host_stack_switch, . - host_stack_switch

host_stack_start:
	movq	%rax, %rdi
	xorl	%ebp, %ebp
	callq	*%rbx
	ud2
	.size	host_stack_start, . - host_stack_start

arch_call_on_stack:
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rdx, %rsp
	movq	%rdi, %rax
	movq	%rsi, %rdi
	callq	*%rax
	movq	%rbp, %rsp
	popq	%rbp
	retq
	.size	arch_call_on_stack, . - arch_call_on_stack

	.equ	frame_bytes, 72		/* six registers, return address, 16: the stack is aligned at the call */
	.equ	frame_fn, 32
	.equ	frame_pc, 48

#elif defined(__aarch64__)

host_stack_switch:
	stp	x29, x30, [sp, #-160]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mov	x3, sp
	str	x3, [x0]
	mov	sp, x1
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #160
	mov	x0, x2
	ret
	.size	host_stack_switch, . - host_stack_switch

host_stack_start:
	mov	x29, xzr
	mov	x30, xzr
	blr	x19
	brk	#1
	.size	host_stack_start, . - host_stack_start

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

	.equ	frame_bytes, 160
	.equ	frame_fn, 16
	.equ	frame_pc, 8

#elif defined(__riscv)

host_stack_switch:
	addi	sp, sp, -208
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)
	sd	s2, 24(sp)
	sd	s3, 32(sp)
	sd	s4, 40(sp)
	sd	s5, 48(sp)
	sd	s6, 56(sp)
	sd	s7, 64(sp)
	sd	s8, 72(sp)
	sd	s9, 80(sp)
	sd	s10, 88(sp)
	sd	s11, 96(sp)
	fsd	fs0, 104(sp)
	fsd	fs1, 112(sp)
	fsd	fs2, 120(sp)
	fsd	fs3, 128(sp)
	fsd	fs4, 136(sp)
	fsd	fs5, 144(sp)
	fsd	fs6, 152(sp)
	fsd	fs7, 160(sp)
	fsd	fs8, 168(sp)
	fsd	fs9, 176(sp)
	fsd	fs10, 184(sp)
	fsd	fs11, 192(sp)
	sd	sp, 0(a0)
	mv	sp, a1
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	ld	s2, 24(sp)
	ld	s3, 32(sp)
	ld	s4, 40(sp)
	ld	s5, 48(sp)
	ld	s6, 56(sp)
	ld	s7, 64(sp)
	ld	s8, 72(sp)
	ld	s9, 80(sp)
	ld	s10, 88(sp)
	ld	s11, 96(sp)
	fld	fs0, 104(sp)
	fld	fs1, 112(sp)
	fld	fs2, 120(sp)
	fld	fs3, 128(sp)
	fld	fs4, 136(sp)
	fld	fs5, 144(sp)
	fld	fs6, 152(sp)
	fld	fs7, 160(sp)
	fld	fs8, 168(sp)
	fld	fs9, 176(sp)
	fld	fs10, 184(sp)
	fld	fs11, 192(sp)
	addi	sp, sp, 208
	mv	a0, a2
	ret
	.size	host_stack_switch, . - host_stack_switch

host_stack_start:
	mv	s0, zero
	mv	ra, zero
	jalr	s1
	ebreak
	.size	host_stack_start, . - host_stack_start

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

	.equ	frame_bytes, 208
	.equ	frame_fn, 16
	.equ	frame_pc, 0

#else
#error "arch/host/switch.S knows x86-64, aarch64 and riscv64: add host_stack_switch() for this machine"
#endif

	.section .rodata
	.balign	64
	.globl	tls_image_start, tls_image_end, tls_bss_end
tls_image_start:
tls_image_end:
	.space	HOST_TLS_BYTES
tls_bss_end:
	.quad	0
	.globl	host_frame_bytes, host_frame_fn, host_frame_pc
host_frame_bytes:
	.quad	frame_bytes
host_frame_fn:
	.quad	frame_fn
host_frame_pc:
	.quad	frame_pc

	.section .note.GNU-stack, "", %progbits
