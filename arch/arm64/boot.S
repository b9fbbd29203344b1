/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the first instruction to C: the boot CPU at boot_entry, the others at secondary_entry, at
 * EL2 or EL1, MMU off, at whatever 2 MiB-aligned physical address the loader chose. Until the jump
 * to the link address everything is PC-relative.
 *
 * Caches: with the MMU off stores go past the caches to memory, so the lines of what is stored are
 * invalidated before (nothing dirty may be written back over it later) and after (nothing read
 * early may be found instead of it). That is done for the boot tables only; .bss is cleared after
 * the MMU is on, and what secondaries read with their MMU off is cleaned by arch_cpu_start().
 *
 * Boot tables (six pages between bss_end and image_end, never used as anything else):
 *   0, 1     TTBR0: identity, the 2 MiB block of this code, read-only, executable; for all CPUs
 *   2, 3     TTBR1: the image in 2 MiB blocks, everything allowed
 *   4, 5     TTBR1: the two blocks that hold the device tree, read-only, in the direct map
 * boot_main() replaces the TTBR1 half by tables with exact permissions.
 */
#include "arch/arm64/regs.h"

	.section .head.text, "ax", %progbits
	.globl	image_head
image_head:
	b	boot_entry
	.long	0
	.quad	0				/* text_offset */
	.quad	image_bytes			/* with .bss; from link.ld */
	.quad	0xa				/* little endian, 4 KiB pages, anywhere in RAM */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0				/* no PE header */

/* x19 entry counter, x20 device tree, x21 physical address of the image, x22 boot_tables. */
boot_entry:
	mrs	x19, cntvct_el0
	mov	x20, x0
	bl	el1_enter
	adrp	x21, image_head
	adrp	x22, boot_tables
	bl	tables_invalidate
	bl	tables_build
	bl	tables_invalidate
	mrs	x2, id_aa64mmfr0_el1
	and	x2, x2, #15			/* PA size; 48 bits at most */
	cmp	x2, #5
	mov	x3, #5
	csel	x2, x2, x3, lo
	lsl	x2, x2, #TCR_IPS_SHIFT
	ldr	x3, =TCR_BASE
	orr	x2, x2, x3
	mov	x0, x22
	add	x1, x22, #0x2000
	mov	x3, #MAIR_VALUE
	ldr	x4, =SCTLR_ON
	bl	mmu_enable
	ldr	x0, =boot_virtual
	br	x0

secondary_entry_body:
	bl	el1_enter
	adrp	x5, boot_data
	add	x5, x5, #:lo12:boot_data
	ldp	x3, x2, [x5, #BOOT_MAIR]
	ldp	x0, x1, [x5, #BOOT_TTBR0]
	ldr	x4, [x5, #BOOT_SCTLR]
	bl	mmu_enable
	ldr	x0, =secondary_virtual
	br	x0

/*
 * Firmware starts a CPU here; x0 = the virtual address of its struct cpu, which is followed only
 * once the MMU is on.
 */
	.globl	secondary_entry
	.type	secondary_entry, %function
secondary_entry:
	mov	x20, x0
	b	secondary_entry_body

/*
 * The same for CPUs that come without an argument : they find themselves by their id in
 * arch_release_table. Whoever is not there waits for ever.
 */
	.globl	arch_release_entry
	.type	arch_release_entry, %function
arch_release_entry:
	mrs	x1, mpidr_el1
	ldr	x2, =MPIDR_AFFINITY
	and	x1, x1, x2
	adrp	x3, arch_release_table
	add	x3, x3, #:lo12:arch_release_table
1:	ldp	x2, x0, [x3], #16
	cbz	x0, park
	cmp	x2, x1
	b.ne	1b
	b	secondary_entry

/*
 * The one place that leaves EL2, and the state of EL1 that either entry leaves: MMU and caches off,
 * FP trapped, DAIF masked, SP_EL0.
 * On EL2 adds CNTVOFF_EL2 to x19: with the offset at 0 from then on, that is what the counter would
 * have shown.
 */
el1_enter:
	msr	daifset, #15
	mrs	x0, CurrentEL
	cmp	x0, #(2 << 2)
	b.hi	park
	b.lo	el1_state

	mrs	x0, cntvoff_el2
	add	x19, x19, x0
	msr	cntvoff_el2, xzr
	ldr	x0, =(1 << 31) | (3 << 40)	/* RW: EL1 is 64-bit; API, APK: no PAC traps */
	msr	hcr_el2, x0			/* E2H off, which fixes the layouts below */
	isb
	mov	x0, #3				/* EL1 may use the physical counter and timer */
	msr	cnthctl_el2, x0
	mov	x0, #0x33ff			/* RES1; FP not trapped */
	msr	cptr_el2, x0
	msr	hstr_el2, xzr
	msr	vttbr_el2, xzr
	mrs	x0, midr_el1
	msr	vpidr_el2, x0
	mrs	x0, mpidr_el1
	msr	vmpidr_el2, x0

	mrs	x0, id_aa64dfr0_el1		/* all event counters are EL1's; no debug traps */
	ubfx	x0, x0, #8, #4
	mov	x1, xzr
	cbz	x0, 1f
	cmp	x0, #15
	b.eq	1f
	mrs	x1, pmcr_el0
	ubfx	x1, x1, #11, #5
1:	msr	mdcr_el2, x1

	mrs	x0, id_aa64mmfr0_el1		/* fine-grained traps: none */
	ubfx	x0, x0, #56, #4
	cbz	x0, 2f
	msr	S3_4_C1_C1_4, xzr		/* HFGRTR_EL2 */
	msr	S3_4_C1_C1_5, xzr		/* HFGWTR_EL2 */
	msr	S3_4_C1_C1_6, xzr		/* HFGITR_EL2 */
	msr	S3_4_C3_C1_4, xzr		/* HDFGRTR_EL2 */
	msr	S3_4_C3_C1_5, xzr		/* HDFGWTR_EL2 */
2:	mrs	x0, id_aa64mmfr1_el1
	ubfx	x0, x0, #40, #4
	cbz	x0, 3f
	msr	S3_4_C1_C2_2, xzr		/* HCRX_EL2 */

3:	mrs	x0, id_aa64pfr0_el1		/* GICv3 system registers, where there are any */
	ubfx	x0, x0, #24, #4
	cbz	x0, 4f
	mrs	x0, S3_4_C12_C9_5		/* ICC_SRE_EL2 */
	orr	x0, x0, #1			/* SRE */
	orr	x0, x0, #8			/* EL1 may use ICC_SRE_EL1 */
	orr	x0, x0, x1
	msr	S3_4_C12_C9_5, x0
	isb
	mrs	x0, S3_4_C12_C9_5
	tbz	x0, #0, 4f			/* the board has a GICv2 in use */
	msr	S3_4_C12_C11_0, xzr		/* ICH_HCR_EL2 */

4:	ldr	x0, =SCTLR_RES1
	msr	sctlr_el1, x0
	mov	x0, #0x3c4			/* EL1, SP_EL0, DAIF masked */
	msr	spsr_el2, x0
	adr	x0, el1_state
	msr	elr_el2, x0
	eret

el1_state:
	ldr	x0, =SCTLR_RES1
	msr	sctlr_el1, x0
	msr	cpacr_el1, xzr
	msr	spsel, #0
	isb
	ret

/* EL3 means that no firmware is there to start CPUs or to own the secure side. */
park:
	wfi
	b	park

tables_invalidate:
	mrs	x2, ctr_el0
	ubfx	x2, x2, #16, #4
	mov	x3, #4
	lsl	x2, x3, x2
	mov	x0, x22
	add	x1, x22, #(BOOT_TABLE_PAGES << 12)
1:	dc	ivac, x0
	add	x0, x0, x2
	cmp	x0, x1
	b.lo	1b
	dsb	sy
	ret

	/* \table[\index] = \value */
	.macro	entry table, index, value
	str	\value, [\table, \index, lsl #3]
	.endm

/*
 * x0 table, x1 index, x2 value; x3 attributes, x4.. scratch. A device tree above the direct map is
 * passed on as 0: "no tree".
 */
tables_build:
	mov	x0, x22
	add	x1, x22, #(BOOT_TABLE_PAGES << 12)
1:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.lo	1b

	ubfx	x1, x21, #30, #9		/* identity */
	add	x0, x22, #0x1000
	orr	x2, x0, #PTE_TABLE
	entry	x22, x1, x2
	ldr	x3, =BOOT_BLOCK | PTE_RO | (1 << PTE_UXN_BIT)
	ubfx	x1, x21, #BOOT_BLOCK_SHIFT, #9
	orr	x2, x21, x3
	entry	x0, x1, x2

	add	x4, x22, #0x2000		/* x4 = root of TTBR1; image */
	add	x0, x22, #0x3000
	orr	x2, x0, #PTE_TABLE
	mov	x1, #BOOT_IMAGE_INDEX
	entry	x4, x1, x2
	ldr	x3, =BOOT_BLOCK | (1 << PTE_UXN_BIT)
	orr	x2, x21, x3
	ldr	x5, =image_bytes
	mov	x6, #(1 << BOOT_BLOCK_SHIFT)
	mov	x1, xzr
2:	entry	x0, x1, x2
	add	x1, x1, #1
	add	x2, x2, x6
	subs	x5, x5, x6
	b.hi	2b

	sub	x5, x6, x6, lsl #1		/* device tree: x7, x8 = its two blocks */
	add	x7, x20, x6, lsl #1
	lsr	x7, x7, #BOOT_DIRECT_BITS
	cmp	x7, xzr
	csel	x20, x20, xzr, eq
	and	x7, x20, x5
	add	x8, x7, x6
	ldr	x3, =BOOT_BLOCK | PTE_RO | (1 << PTE_PXN_BIT) | (1 << PTE_UXN_BIT)
	add	x0, x22, #0x4000
	orr	x2, x0, #PTE_TABLE
	lsr	x1, x7, #30
	add	x9, x1, #BOOT_DIRECT_INDEX
	entry	x4, x9, x2
	ubfx	x2, x7, #BOOT_BLOCK_SHIFT, #9
	orr	x9, x7, x3
	entry	x0, x2, x9
	lsr	x9, x8, #30			/* the second block may begin another GiB */
	cmp	x9, x1
	b.eq	3f
	add	x0, x22, #0x5000
	orr	x2, x0, #PTE_TABLE
	add	x9, x9, #BOOT_DIRECT_INDEX
	entry	x4, x9, x2
3:	ubfx	x2, x8, #BOOT_BLOCK_SHIFT, #9
	orr	x9, x8, x3
	entry	x0, x2, x9
	ret

/*
 * x0 TTBR0, x1 TTBR1, x2 TCR, x3 MAIR, x4 SCTLR; returns to the physical address in x30, now mapped
 * to itself.
 */
mmu_enable:
	msr	ttbr0_el1, x0
	msr	ttbr1_el1, x1
	msr	tcr_el1, x2
	msr	mair_el1, x3
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	msr	sctlr_el1, x4
	isb
	ret

/* void boot_switch_root(x0 ttbr1, x1 sctlr, x2 image) */
	.globl	boot_switch_root
	.type	boot_switch_root, %function
boot_switch_root:
	adr	x3, image_head
	sub	x2, x2, x3
	adr	x3, 1f
	add	x3, x3, x2
	br	x3
1:	mrs	x3, tcr_el1			/* identity-mapped: no kernel walk meanwhile */
	orr	x4, x3, #TCR_EPD1
	msr	tcr_el1, x4
	msr	sctlr_el1, x1
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	msr	ttbr1_el1, x0
	isb
	msr	tcr_el1, x3
	isb
	ret

/* At the link address. .bss is still dirty; nothing has been stored through the caches yet. */
boot_virtual:
	adrp	x0, boot_cpu_arch
	add	x0, x0, #:lo12:boot_cpu_arch
	msr	tpidr_el1, x0
	ldr	x1, [x0, #CPU_FAULT_STACK]
	msr	spsel, #1
	mov	sp, x1
	msr	spsel, #0
	ldr	x1, [x0, #CPU_ENTRY_SP]
	mov	sp, x1
	msr	tpidr_el0, xzr
	adr	x1, trap_vectors
	msr	vbar_el1, x1
	isb
	ldr	x0, =bss_start
	ldr	x1, =bss_end
1:	cmp	x0, x1
	b.hs	2f
	stp	xzr, xzr, [x0], #16
	b	1b
2:	mov	x0, x21
	mov	x1, x20
	mov	x2, x19
	mov	x29, xzr
	mov	x30, xzr
	b	boot_main

/* At the link address, x20 = struct cpu. The identity map has done its work. */
secondary_virtual:
	mrs	x0, tcr_el1
	orr	x0, x0, #TCR_EPD0
	msr	tcr_el1, x0
	isb
	tlbi	vmalle1
	dsb	nsh
	isb
	msr	tpidr_el1, x20
	ldr	x0, [x20, #CPU_FAULT_STACK]
	msr	spsel, #1
	mov	sp, x0
	msr	spsel, #0
	ldp	x0, x1, [x20, #CPU_ENTRY_SP]
	mov	sp, x0
	msr	tpidr_el0, x1
	adr	x0, trap_vectors
	msr	vbar_el1, x0
	isb
	mov	x0, x20
	mov	x29, xzr
	mov	x30, xzr
	b	cpu_main
	.ltorg

/*
 * struct arch_cpu of the boot CPU until arch_cpu_init(): faults are reported and locks have an
 * owner from the start.
 */
	.section .data.boot_cpu_arch, "aw", %progbits
	.p2align 6
	.globl	boot_cpu_arch
boot_cpu_arch:
	.quad	boot_fault_stack_top
	.quad	boot_emergency_stack_top
	.quad	boot_stack_top
	.quad	0
	.long	1
	.long	0

	.section .data.boot_data, "aw", %progbits
	.p2align 6
	.globl	boot_data
boot_data:
	.fill	8, 8, 0

	.section .bss.boot_stacks, "aw", %nobits
	.p2align 12
	.globl	boot_stack_guard, boot_stack, boot_stack_top
	.globl	boot_fault_guard, boot_fault_stack, boot_fault_stack_top
boot_stack_guard:
	.skip	4096
boot_stack:
	.skip	16384
boot_stack_top:
boot_fault_guard:
	.skip	4096
boot_fault_stack:
	.skip	8192
boot_fault_stack_top:

	.section .bss.boot_emergency, "aw", %nobits
	.p2align 6
	.globl	boot_emergency_stack_top
	.skip	4096
boot_emergency_stack_top:

	.section .boot_tables, "aw", %nobits
	.p2align 12
	.globl	boot_tables
boot_tables:
	.skip	BOOT_TABLE_PAGES << 12

	.section .note.GNU-stack, "", %progbits
