/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What C and assembly of this port share: offsets that trap entry and the switch rely on (checked
 * by static assertions in cpu.c), system-register values, and the prototypes that the files of
 * arch/arm64 export to each other only.
 */
#pragma once

/* struct arch_context, at the start of struct thread. */
#define CONTEXT_SP        0
#define CONTEXT_IRQ_FLAGS 8
#define CONTEXT_TLS       16
#define CONTEXT_FP        24

/*
 * context.fp: LIVE = the registers of this CPU hold the thread's state and FP is enabled; SAVED =
 * thread->fpu was written once.
 */
#define FP_LIVE_BIT  0
#define FP_SAVED_BIT 1

/* struct arch_cpu, at the start of struct cpu. */
#define CPU_FAULT_STACK     0
#define CPU_EMERGENCY_STACK 8
#define CPU_ENTRY_SP        16
#define CPU_ENTRY_TLS       24
#define CPU_GUARD_SP        40
#define CPU_GUARD_DIVERT    48

/* The frame of arch_switch(): x19..x30. */
#define SWITCH_FRAME_BYTES 96

/* The frame of an interrupt: x0..x18, x30, elr, spsr, on the interrupted thread's stack. */
#define IRQ_FRAME_BYTES 176

/* struct trap_frame: x0..x30, sp, pc, pstate, esr, far, vector; 16-byte multiple. */
#define TF_SP     248
#define TF_PC     256
#define TF_PSTATE 264
#define TF_ESR    272
#define TF_FAR    280
#define TF_VECTOR 288
#define TF_BYTES  304

/* struct boot_data, read by CPUs whose MMU is off. */
#define BOOT_MAIR  0
#define BOOT_TCR   8
#define BOOT_TTBR0 16
#define BOOT_TTBR1 24
#define BOOT_SCTLR 32

/*
 * Indices into the root table (mmu.c checks them against core/mem/layout.h) and the pages at
 * boot_tables.
 */
#define BOOT_DIRECT_INDEX 256
#define BOOT_IMAGE_INDEX  510
#define BOOT_TABLE_PAGES  6
#define BOOT_BLOCK        0x701 /* PTE_BLOCK | PTE_INNER | PTE_AF, attribute 0 */
#define BOOT_BLOCK_SHIFT  21
#define BOOT_DIRECT_BITS  37 /* DIRECT_MAP_BYTES = 1 << 37 */

/*
 * Vector numbers: 4 * group + kind; groups: EL1 on SP_EL0, EL1 on SP_EL1, EL0 64-bit, EL0 32-bit;
 * kinds: sync, irq, fiq, serror.
 */
#define VECTOR_SYNC   0
#define VECTOR_IRQ    1
#define VECTOR_FIQ    2
#define VECTOR_SERROR 3

#define ESR_EC_SHIFT 26
#define ESR_EC_FP    0x07

/* RES1 bits of Armv8.0 (LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS): MMU and caches off. */
#define SCTLR_RES1 0x30d00800
#define SCTLR_M    (1 << 0)
#define SCTLR_C    (1 << 2)
#define SCTLR_SA   (1 << 3)
#define SCTLR_I    (1 << 12)
#define SCTLR_WXN  (1 << 19)
#define SCTLR_ON   (SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_SA | SCTLR_I)
#define SCTLR_RUN  (SCTLR_ON | SCTLR_WXN)

/* Attribute 0: normal, write-back, read and write allocate. Attribute 1: device nGnRE. */
#define MAIR_VALUE 0x04ff

/*
 * 39-bit halves, 4 KiB granule, walks cacheable and inner shareable; the PA size is or'ed in from
 * ID_AA64MMFR0_EL1.
 */
#define TCR_T0SZ      25
#define TCR_T1SZ      (25 << 16)
#define TCR_WALK      0x3500
#define TCR_TG1_4K    2
#define TCR_BASE      (TCR_T0SZ | TCR_T1SZ | TCR_WALK | (TCR_WALK << 16) | (TCR_TG1_4K << 30))
#define TCR_EPD0      (1 << 7)
#define TCR_EPD1      (1 << 23)
#define TCR_IPS_SHIFT 32

/* Translation table descriptors. */
#define PTE_VALID   1
#define PTE_TABLE   3
#define PTE_BLOCK   1
#define PTE_PAGE    3
#define PTE_DEVICE  (1 << 2)
#define PTE_RO      (1 << 7)
#define PTE_INNER   (3 << 8)
#define PTE_AF      (1 << 10)
#define PTE_PXN_BIT 53
#define PTE_UXN_BIT 54

/* Bits of MPIDR_EL1 that name a CPU; the device tree uses the same layout. */
#define MPIDR_AFFINITY 0xff00ffffff

#ifndef __ASSEMBLER__

#include "core/base.h"

#define read_sysreg(name)                                                   \
	({                                                                  \
		uint64_t _v;                                                \
		__asm__ volatile("mrs %0, " #name : "=r"(_v) : : "memory"); \
		_v;                                                         \
	})
#define write_sysreg(name, v) \
	__asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(v)) : "memory")
#define isb()      __asm__ volatile("isb" : : : "memory")
#define dsb(scope) __asm__ volatile("dsb " #scope : : : "memory")

struct trap_frame {
	uint64_t x[31];
	uint64_t sp, pc, pstate, esr, far;
	uint64_t vector;
	uint64_t reserved;
};

struct boot_data {
	uint64_t mair, tcr, ttbr0, ttbr1, sctlr;
};

struct cpu;
struct dt;

/* boot.S */
extern struct boot_data boot_data;
extern char boot_stack_guard[], boot_stack[], boot_fault_guard[], boot_fault_stack[];
void secondary_entry(void);
/*
 * Replaces the kernel's translation root and SCTLR_EL1 from identity-mapped code, with nothing of
 * the old root left in the TLB.
 */
void boot_switch_root(uint64_t ttbr1, uint64_t sctlr, pa_t image);

/* mmu.c */
extern uint64_t image_pa;
void boot_main(pa_t image, pa_t fdt, uint64_t entry_cycles);

/* switch.S, vectors.S */
void thread_trampoline(void);

/* firmware.c */
const struct dt *firmware_tree(void);

/* trap.c */
void trap_sync(struct trap_frame *tf);

#endif
