/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of this folder share and nobody else sees.
 */
#pragma once

#include "core/arch.h"
#include "core/mem/layout.h"

struct trap_frame {
	uint64_t x[32]; /* x[0]: address of the word in struct arch_cpu that names this stack */
	uint64_t sepc;
	uint64_t sstatus;
	uint64_t scause;
	uint64_t stval;
};

/*
 * vectors.S: 1 when the CSR that @read reads is there. Irqs masked, before riscv_vectors is in
 * stvec or with it.
 */
unsigned long riscv_probe(void (*read)(void));
void riscv_read_cycle(void);
void riscv_read_stimecmp(void);
extern char riscv_vectors[], riscv_irq_start[], riscv_irq_end[], riscv_exception_exit[];

/* switch.S */
void riscv_fp_init(void);
void riscv_thread_start(void);

/* boot.S */
void riscv_secondary_entry(void);
extern uint64_t riscv_boot_root[], riscv_boot_image[];
extern char boot_stack_guard[], boot_stack_top[], boot_fault_guard[], boot_fault_stack_top[];

/* mmu.c */
extern uint64_t riscv_satp;
/*
 * A load, store or fetch (PTE_READ, PTE_WRITE, PTE_EXEC) at @va is allowed by the tables as they
 * are now.
 */
bool riscv_mapped(uintptr_t va, uint64_t pte_bit);
void riscv_sfence_local(void);

/* firmware.c */
extern uint64_t riscv_timebase_hz; /* 0: the tree does not say */
extern bool riscv_harts_started;   /* other CPUs may hold translations */
void riscv_sfence_others(void);
/* 0 or -errno. */
int riscv_hart_start(uint64_t hwid, pa_t entry, uintptr_t opaque);

/* trap.c: called by assembly */
void riscv_exception(struct trap_frame *tf, unsigned long nested);
void riscv_boot_trap(uint64_t scause, uint64_t sepc, uint64_t stval);
/* By firmware, before there is a console: for what stops boot that early. */
__noreturn void riscv_boot_refuse(const char *text);
