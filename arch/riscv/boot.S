/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry: the Linux boot protocol for RISC-V. S-mode, translation off, a0 = hart id, a1 = device
 * tree; any hart, any 2 MiB-aligned physical address. Nothing else that firmware leaves is trusted.
 * The code is PC-relative, so it runs at the physical address until it jumps to its own link
 * address through boot tables: the first 2 MiB of the image one to one (for the instructions around
 * the switch), and the whole image at IMAGE_BASE in 2 MiB blocks. riscv_boot() in mmu.c then builds
 * the tables that stay and takes the write permission from these, which the other CPUs pass
 * through.
 *
 * Registers held through: s0 entry time, s1 hart id, s2 device tree, s3 physical address of the
 * image.
 */
#include "arch/riscv/regs.h"

#define BLOCK_SHIFT 21
#define BLOCK_SIZE  (1 << BLOCK_SHIFT)
#define BLOCK_INDEX 0x1ff
#define PAGE_SIZE   4096
#define IMAGE_ROOT_INDEX 510 /* of IMAGE_BASE in the top-level table */
#define BOOT_STACK_BYTES       (16 * 1024)
#define BOOT_FAULT_STACK_BYTES (8 * 1024)

	.section .head.text, "ax", @progbits
	.globl	image_head
image_head:
	.option	push
	.option	norvc
	rdtime	s0                        /* the very first instruction: boot time is counted from here */
	j	boot_entry
	.option	pop
	.dword	0x200000                  /* text_offset: above the 2 MiB that firmware keeps for itself */
	.dword	image_bytes               /* with .bss, so that nothing is put there */
	.dword	0                         /* flags: little endian */
	.word	2                         /* version 0.2 */
	.word	0
	.dword	0
	.ascii	"RISCV\0\0\0"
	.ascii	"RSC\x05"
	.word	0

/* Translation off, irqs masked, FP off, a trap ends in \trap. \scratch is clobbered. */
	.macro	cpu_quiet trap, scratch
	csrw	sie, zero
	li	\scratch, SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_FS | SSTATUS_VS | SSTATUS_SUM | SSTATUS_MXR
	csrc	sstatus, \scratch
	la	\scratch, \trap
	csrw	stvec, \scratch
	csrw	sscratch, zero
	.endm

/*
 * Through the boot tables to the link address. t0-t1 are clobbered; the instructions lie in the
 * identity-mapped first 2 MiB.
 */
	.macro	translation_on
	la	t0, riscv_boot_root
	srli	t0, t0, 12
	li	t1, 8 << 60
	or	t0, t0, t1
	sfence.vma
	csrw	satp, t0
	sfence.vma
	.endm

	.balign	4
boot_entry:
	mv	s1, a0
	mv	s2, a1
	cpu_quiet boot_park, t0
	la	s3, image_head

	la	t0, bss_start
	la	t1, bss_end
1:	sd	zero, 0(t0)
	sd	zero, 8(t0)
	sd	zero, 16(t0)
	sd	zero, 24(t0)
	addi	t0, t0, 32
	bltu	t0, t1, 1b

	/* One to one: one block, read and execute. */
	la	t0, riscv_boot_root
	la	t1, riscv_boot_identity
	srli	t2, s3, 30
	slli	t2, t2, 3
	add	t2, t2, t0
	srli	t3, t1, 12
	slli	t3, t3, PTE_PPN_SHIFT
	ori	t3, t3, PTE_VALID
	sd	t3, 0(t2)
	srli	t2, s3, BLOCK_SHIFT
	andi	t2, t2, BLOCK_INDEX
	slli	t2, t2, 3
	add	t2, t2, t1
	srli	t3, s3, 12
	slli	t3, t3, PTE_PPN_SHIFT
	ori	t4, t3, PTE_VALID | PTE_ACCESSED | PTE_DIRTY | PTE_READ | PTE_EXEC
	sd	t4, 0(t2)

	/* The image at IMAGE_BASE, block by block. t3: the entry's address part. */
	la	t1, riscv_boot_image
	srli	t2, t1, 12
	slli	t2, t2, PTE_PPN_SHIFT
	ori	t2, t2, PTE_VALID
	li	t4, IMAGE_ROOT_INDEX * 8
	add	t4, t4, t0
	sd	t2, 0(t4)
	la	t2, image_end
	li	t4, BLOCK_SIZE >> 12 << PTE_PPN_SHIFT
	li	t6, BLOCK_SIZE
	mv	t0, s3
1:	ori	t5, t3, PTE_PRESET | PTE_READ | PTE_WRITE | PTE_EXEC
	sd	t5, 0(t1)
	addi	t1, t1, 8
	add	t3, t3, t4
	add	t0, t0, t6
	bltu	t0, t2, 1b

	ld	t2, boot_virtual_address
	translation_on
	jr	t2

boot_virtual:
	la	t0, riscv_early_trap
	csrw	stvec, t0
	la	sp, boot_stack_top
	mv	a0, s2
	mv	a1, s1
	mv	a2, s0
	mv	a3, s3
	mv	s0, zero
	mv	tp, zero
	call	riscv_boot

	.balign	4
boot_park:
	wfi
	j	boot_park

/*
 * Another hart, started by arch_cpu_start(): a0 = hart id, a1 = struct cpu * as the image sees it.
 */
	.balign	4
	.globl	riscv_secondary_entry
riscv_secondary_entry:
	cpu_quiet boot_park, t0
	ld	t2, secondary_virtual_address
	translation_on
	jr	t2
secondary_virtual:
	la	t0, riscv_early_trap
	csrw	stvec, t0
	la	t0, riscv_satp
	ld	t0, 0(t0)
	csrw	satp, t0
	sfence.vma
	fence.i
	mv	a0, a1
	ld	sp, CPU_START_SP(a0)
	ld	tp, CPU_START_TLS(a0)
	mv	s0, zero
	mv	ra, zero
	tail	cpu_main

	.balign	8
boot_virtual_address:
	.dword	boot_virtual
secondary_virtual_address:
	.dword	secondary_virtual

/* A trap before arch_cpu_init(): riscv_boot_trap() says so through firmware and parks. */
	.balign	4
riscv_early_trap:
	la	t0, boot_park
	csrw	stvec, t0
	la	sp, boot_fault_stack_top
	csrr	a0, scause
	csrr	a1, sepc
	csrr	a2, stval
	mv	s0, zero
	call	riscv_boot_trap
	j	boot_park

	.section .bss.boot_stacks, "aw", @nobits
	.balign	PAGE_SIZE
	.globl	boot_stack_guard, boot_stack, boot_stack_top, boot_fault_guard, boot_fault_stack, boot_fault_stack_top
boot_stack_guard:
	.skip	PAGE_SIZE
boot_stack:
	.skip	BOOT_STACK_BYTES
boot_stack_top:
boot_fault_guard:
	.skip	PAGE_SIZE
boot_fault_stack:
	.skip	BOOT_FAULT_STACK_BYTES
boot_fault_stack_top:

	.section .bss.boot_tables, "aw", @nobits
	.balign	PAGE_SIZE
	.globl	riscv_boot_root, riscv_boot_identity, riscv_boot_image
riscv_boot_root:
	.skip	PAGE_SIZE
riscv_boot_identity:
	.skip	PAGE_SIZE
riscv_boot_image:
	.skip	PAGE_SIZE
