/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one-shot timer of each CPU: stimecmp where the CPU has Sstc, else a call to firmware
 * (arch_timer_set() is inline). Both compare with the time CSR, which counts alike on all CPUs.
 *
 * The timer interrupt stays pending until the next arch_timer_set(); trap_timer() therefore always
 * makes one. Callers: irqs masked.
 */
#include "arch/riscv/port.h"
#include "core/cpu.h"

uint64_t arch_timer_hz(const char **why)
{
	if (!riscv_timebase_hz)
		*why = "/cpus in the device tree has no timebase-frequency, or 0";
	return riscv_timebase_hz;
}

/*
 * The tree's word for Sstc is not enough: firmware may have kept the CSR to itself. Found out once,
 * by the boot CPU.
 */
static void choose_timer(void)
{
	static bool chosen;

	if (!chosen && riscv_machine.sstc)
		riscv_machine.sstc = riscv_probe(riscv_read_stimecmp);
	chosen = true;
}

void arch_timer_init(struct cpu *cpu)
{
	(void)cpu;
	choose_timer();
	arch_timer_set(UINT64_MAX);
	__asm__ volatile("csrs sie, %0" ::"r"((unsigned long)SIE_TIMER) : "memory");
}

const char *arch_timer_name(void)
{
	return riscv_machine.sstc ? "Sstc" : "SBI";
}

/*
 * Nests inside an interrupt: its sepc is in its frame, and the exit of the inner one sets SPP and
 * SPIE like the exit of the outer one.
 */
unsigned long arch_timer_window_open(void)
{
	unsigned long enabled;

	__asm__ volatile("csrrw %0, sie, %1\n\tcsrsi sstatus, 2"
			 : "=&r"(enabled)
			 : "r"((unsigned long)SIE_TIMER)
			 : "memory");
	return enabled;
}

void arch_timer_window_close(unsigned long state)
{
	__asm__ volatile("csrci sstatus, 2\n\tcsrw sie, %0" ::"r"(state) : "memory");
}
