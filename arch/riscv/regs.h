/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers that assembly and C share: CSR bits, page-table bits, SBI extension numbers, and the
 * offsets of the structures that switch.S and vectors.S touch (each checked by a static assertion
 * in cpu.c). Preprocessor constants only.
 */
#pragma once

/* sstatus */
#define SSTATUS_SIE      0x2
#define SSTATUS_SPIE     0x20
#define SSTATUS_SPP      0x100
#define SSTATUS_FS       0x6000
#define SSTATUS_FS_CLEAN 0x4000
#define SSTATUS_FS_DIRTY 0x6000
#define SSTATUS_VS       0x600
#define SSTATUS_SUM      0x40000
#define SSTATUS_MXR      0x80000

/* sie, sip: bit numbers are interrupt causes */
#define IRQ_SOFT     1
#define IRQ_TIMER    5
#define IRQ_EXTERNAL 9
#define SIE_SOFT     (1 << IRQ_SOFT)
#define SIE_TIMER    (1 << IRQ_TIMER)
#define SIE_EXTERNAL (1 << IRQ_EXTERNAL)

#define STVEC_VECTORED 1
#define CSR_STIMECMP   0x14d

/*
 * Sv39: three levels of 512 entries. A leaf has one of R, W, X; A and D are preset, since no CPU
 * here may fault for them.
 */
#define SATP_SV39_SHIFT 63 /* mode 8 in bits 63:60 */
#define PTE_VALID       0x01
#define PTE_READ        0x02
#define PTE_WRITE       0x04
#define PTE_EXEC        0x08
#define PTE_GLOBAL      0x20
#define PTE_ACCESSED    0x40
#define PTE_DIRTY       0x80
#define PTE_LEAF_BITS   (PTE_READ | PTE_WRITE | PTE_EXEC)
#define PTE_PRESET      (PTE_VALID | PTE_GLOBAL | PTE_ACCESSED | PTE_DIRTY)
#define PTE_PPN_SHIFT   10

/* SBI: extensions, functions, errors */
#define SBI_LEGACY_TIMER    0x0
#define SBI_LEGACY_PUTCHAR  0x1
#define SBI_LEGACY_GETCHAR  0x2
#define SBI_BASE            0x10
#define SBI_BASE_VERSION    0
#define SBI_BASE_PROBE      3
#define SBI_TIME            0x54494d45
#define SBI_IPI             0x735049
#define SBI_RFENCE          0x52464e43
#define SBI_RFENCE_FENCE_I  0
#define SBI_RFENCE_SFENCE   1
#define SBI_HSM             0x48534d
#define SBI_HSM_START       0
#define SBI_HSM_STOP        1
#define SBI_HSM_STATUS      2
#define SBI_HSM_STOPPED     1 /* a status */
#define SBI_SRST            0x53525354
#define SBI_DBCN            0x4442434e
#define SBI_DBCN_WRITE      0
#define SBI_DBCN_READ       1
#define SBI_DBCN_WRITE_BYTE 2

/* struct arch_context, at offset 0 of struct thread */
#define CONTEXT_RA      0
#define CONTEXT_SP      8
#define CONTEXT_S(n)    (16 + 8 * (n))
#define CONTEXT_FLAGS   112
#define CONTEXT_TLS     120
#define CONTEXT_FP_USED 128

/* struct arch_fpu */
#define FPU_F(n) (8 * (n))
#define FPU_FCSR 256

/* struct arch_cpu, at offset 0 of struct cpu */
#define CPU_FAULT_STACK     0
#define CPU_EMERGENCY_STACK 8
#define CPU_TRAP_SP         16
#define CPU_TRAP_TP         24
#define CPU_START_SP        32
#define CPU_START_TLS       40
#define CPU_GUARD_SP        56
#define CPU_GUARD_DIVERT    64

/*
 * struct trap_frame: x1..x31 at their number; the place of x0 holds where the stack's top is to be
 * put back
 */
#define FRAME_X(n)    (8 * (n))
#define FRAME_SLOT    0
#define FRAME_SEPC    256
#define FRAME_SSTATUS 264
#define FRAME_SCAUSE  272
#define FRAME_STVAL   280
#define FRAME_BYTES   288

/*
 * What an interrupt pushes on the interrupted thread's stack: 16 caller-saved registers, sepc last.
 */
#define IRQ_FRAME_SEPC  128
#define IRQ_FRAME_BYTES 144
