/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs and threads: bring-up, idling, the first context of a thread.
 *
 * arch_cpu_init() runs on each CPU before anything else there, at each start, irqs masked;
 * arch_cpu_start() on another CPU. All of struct arch_cpu belongs to its CPU while that runs, before
 * and after to whoever starts it. What may never happen: that sscratch holds anything but this CPU's struct cpu once stvec
 * points to riscv_vectors, or that FS is Off: an FP instruction would then trap in firmware.
 */
#include "arch/riscv/port.h"
#include "core/mem/mem.h"
#include "core/thread.h"

#define FAULT_STACK_BYTES (2 * PAGE_SIZE)

_Static_assert(offsetof(struct thread, context) == 0, "switch.S");
_Static_assert(offsetof(struct arch_context, ra) == CONTEXT_RA, "switch.S");
_Static_assert(offsetof(struct arch_context, sp) == CONTEXT_SP, "switch.S");
_Static_assert(offsetof(struct arch_context, s) == CONTEXT_S(0), "switch.S");
_Static_assert(offsetof(struct arch_context, irq_flags) == CONTEXT_FLAGS, "switch.S");
_Static_assert(offsetof(struct arch_context, tls) == CONTEXT_TLS, "switch.S");
_Static_assert(offsetof(struct arch_context, fp_used) == CONTEXT_FP_USED, "switch.S");
_Static_assert(offsetof(struct arch_fpu, f) == FPU_F(0), "switch.S");
_Static_assert(offsetof(struct arch_fpu, fcsr) == FPU_FCSR, "switch.S");
_Static_assert(offsetof(struct cpu, arch) == 0, "vectors.S");
_Static_assert(offsetof(struct arch_cpu, fault_stack_top) == CPU_FAULT_STACK, "vectors.S");
_Static_assert(offsetof(struct arch_cpu, emergency_stack_top) == CPU_EMERGENCY_STACK, "vectors.S");
_Static_assert(offsetof(struct arch_cpu, trap_sp) == CPU_TRAP_SP, "vectors.S");
_Static_assert(offsetof(struct arch_cpu, trap_tp) == CPU_TRAP_TP, "vectors.S");
_Static_assert(offsetof(struct arch_cpu, start_sp) == CPU_START_SP, "boot.S");
_Static_assert(offsetof(struct arch_cpu, start_tls) == CPU_START_TLS, "boot.S");
_Static_assert(offsetof(struct trap_frame, sepc) == FRAME_SEPC, "vectors.S");
_Static_assert(offsetof(struct trap_frame, sstatus) == FRAME_SSTATUS, "vectors.S");
_Static_assert(offsetof(struct trap_frame, scause) == FRAME_SCAUSE, "vectors.S");
_Static_assert(offsetof(struct trap_frame, stval) == FRAME_STVAL, "vectors.S");
_Static_assert(sizeof(struct trap_frame) == FRAME_BYTES, "vectors.S");

struct riscv_machine riscv_machine = { .timer_eid = SBI_TIME };

static uint8_t boot_emergency_stack[PAGE_SIZE] __aligned_to(16);

/* An absolute symbol for switch.S, which cannot ask the compiler where struct thread ends. */
__attribute__((used)) static void export_offsets(void)
{
	__asm__(".globl riscv_thread_fpu_offset\n\t.equ riscv_thread_fpu_offset, %0" ::"i"(
		offsetof(struct thread, fpu)));
}

static void sie_write(unsigned long bits)
{
	__asm__ volatile("csrw sie, %0" : : "r"(bits) : "memory");
}

/* The boot CPU's stacks are in the image; the others' were allocated by arch_cpu_start(). */
static void init_boot_cpu(struct cpu *cpu)
{
	cpu->arch.fault_stack_top = (uintptr_t)boot_fault_stack_top;
	cpu->arch.emergency_stack_top =
		(uintptr_t)(boot_emergency_stack + sizeof(boot_emergency_stack));
	cpu->arch.start_sp = (uintptr_t)boot_stack_top;
	riscv_machine.cycle = riscv_probe(riscv_read_cycle);
}

void arch_cpu_init(struct cpu *cpu)
{
	cpu->arch.lock_id = cpu->index + 1;
	arch_cpu_set_self(cpu);
	if (!cpu->arch.fault_stack_top)
		init_boot_cpu(cpu);
	riscv_fp_init();
	__asm__ volatile("csrw stvec, %0"
			 :
			 : "r"((uintptr_t)riscv_vectors | STVEC_VECTORED)
			 : "memory");
	sie_write(SIE_SOFT | SIE_EXTERNAL);
	__asm__ volatile("csrc sip, %0" : : "r"((unsigned long)SIE_SOFT) : "memory");
}

/* They stay when the CPU is stopped or could not be started. */
static int give_stacks(struct cpu *cpu)
{
	bool cached;
	uint8_t *fault_stack, *emergency_stack;

	cpu->arch.start_tls = cpu->rq.idle->context.tls;
	if (cpu->arch.fault_stack_top)
		return 0;
	fault_stack = stack_alloc(FAULT_STACK_BYTES, &cached);
	emergency_stack = page_alloc(0);
	if (!fault_stack || !emergency_stack)
		/*
		 * what was allocated stays: the machine is about to run with too little memory
		 * anyway
		 */
		return -ENOMEM;
	cpu->arch.fault_stack_top = (uintptr_t)fault_stack + FAULT_STACK_BYTES;
	cpu->arch.emergency_stack_top = (uintptr_t)emergency_stack + PAGE_SIZE;
	cpu->arch.start_sp = ALIGN_DOWN((uintptr_t)cpu->rq.idle, ARCH_STACK_ALIGN);
	return 0;
}

int arch_cpu_start(struct cpu *cpu)
{
	int err = give_stacks(cpu);

	if (err)
		return err;
	arch_io_barrier();
	return riscv_hart_start(cpu->hwid, arch_pa((const void *)riscv_secondary_entry),
				(uintptr_t)cpu);
}

/*
 * Wfi wakes for what sie lets through although sstatus.SIE masks it, so an interrupt between the
 * caller's test and the wfi is not lost. One source, in the order in which the hardware would take
 * them; the caller comes back for the next.
 */
void arch_cpu_idle(void)
{
	unsigned long pending;

	__asm__ volatile("wfi\n\tcsrr %0, sip" : "=r"(pending) : : "memory");
	if (pending & SIE_EXTERNAL)
		return trap_irq();
	if (pending & SIE_SOFT) {
		__asm__ volatile("csrci sip, 2" ::: "memory");
		return trap_ipi();
	}
	if (pending & SIE_TIMER)
		trap_timer(NULL);
}

void arch_cpu_halt(void)
{
	arch_irq_disable();
	sie_write(0);
	for (;;)
		__asm__ volatile("wfi");
}

void arch_context_init(struct thread *t, uintptr_t stack_top)
{
	struct arch_context *c = &t->context;

	c->ra = (uintptr_t)riscv_thread_start;
	c->sp = ALIGN_DOWN(stack_top, ARCH_STACK_ALIGN);
	c->s[0] = 0;
	c->s[1] = (uintptr_t)t;
	c->irq_flags = SSTATUS_SIE;
	c->fp_used = 0;
}
