/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions after vectors.S built their frame, and what a panic shows of them. Runs on the CPU's
 * fault stack or, when that failed, on its emergency stack; irqs masked, any lock may be held, so
 * none is taken here.
 *
 * What may never happen: another exception out of this file. Addresses from registers and stacks
 * are looked up in the tables before use.
 */
#include "arch/riscv/port.h"
#include "core/console.h"

#define FRAMES_MAX  64
#define RETRIES_MAX 100

#define CAUSE_ILLEGAL    2
#define CAUSE_BREAKPOINT 3
#define CAUSE_FETCH_PAGE 12
#define CAUSE_LOAD_PAGE  13
#define CAUSE_STORE_PAGE 15

extern char text_start[], text_end[];

static const char *const cause_names[] = {
	"misaligned instruction address",
	"instruction access fault",
	"illegal instruction",
	"breakpoint",
	"misaligned load",
	"load access fault",
	"misaligned store",
	"store access fault",
	"environment call from user mode",
	"environment call",
	"exception 10",
	"exception 11",
	"instruction page fault",
	"load page fault",
	"exception 14",
	"store page fault",
};

static const char *cause_name(uint64_t scause)
{
	return scause < ARRAY_SIZE(cause_names) ? cause_names[scause] : "unknown exception";
}

static uint64_t cause_pte_bit(uint64_t scause)
{
	switch (scause) {
	case CAUSE_FETCH_PAGE:
		return PTE_EXEC;
	case CAUSE_LOAD_PAGE:
		return PTE_READ;
	case CAUSE_STORE_PAGE:
		return PTE_WRITE;
	}
	return 0;
}

/*
 * A CPU may remember that an address was not mapped, and fault although another CPU has mapped it
 * since. Then the tables allow the access and an sfence ends it. A bound on repeats of one and the
 * same fault turns anything else into a report. In the entry of an interrupt there is no going
 * back: this fault has overwritten its sepc.
 */
static bool fault_is_stale(const struct trap_frame *tf)
{
	static uint64_t last_sepc, last_stval; /* of any CPU: they only bound */
	static unsigned repeats;
	uint64_t bit = cause_pte_bit(tf->scause);

	if (!bit || !riscv_mapped(tf->stval, bit) ||
	    (tf->sepc >= (uintptr_t)riscv_irq_start && tf->sepc < (uintptr_t)riscv_irq_end))
		return false;
	repeats = tf->sepc == last_sepc && tf->stval == last_stval ? repeats + 1 : 0;
	last_sepc = tf->sepc;
	last_stval = tf->stval;
	riscv_sfence_local();
	return repeats < RETRIES_MAX;
}

void riscv_exception(struct trap_frame *tf, unsigned long nested)
{
	if (nested)
		trap_fault(tf, "fault while handling a fault", tf->stval);
	else if (tf->scause == CAUSE_ILLEGAL || tf->scause == CAUSE_BREAKPOINT)
		trap_fault(tf, cause_name(tf->scause), tf->sepc);
	else if (!fault_is_stale(tf))
		trap_fault(tf, cause_name(tf->scause), tf->stval);
}

extern char riscv_guard_abort[];

void arch_guarded_abort(void)
{
	((void (*)(void))riscv_guard_abort)();
	__builtin_unreachable();
}

void arch_guarded_divert(struct trap_frame *tf)
{
	if (tf)
		tf->sepc = (uintptr_t)riscv_guard_abort;
	else
		((struct arch_cpu *)arch_cpu_self())->guard_divert = (uintptr_t)riscv_guard_abort;
}

bool arch_guarded(void)
{
	return ((struct arch_cpu *)arch_cpu_self())->guard_sp;
}

uintptr_t arch_trap_pc(const struct trap_frame *tf)
{
	return tf->sepc;
}

/* The registers that a call leaves alone: what the function that gave up was working with. */
static void dump_current(void)
{
	uintptr_t s[12], sp;

	__asm__ volatile(
		"sd s0, 0(%1)\n\tsd s1, 8(%1)\n\tsd s2, 16(%1)\n\tsd s3, 24(%1)\n\tsd s4, 32(%1)\n\tsd s5, 40(%1)\n\t"
		"sd s6, 48(%1)\n\tsd s7, 56(%1)\n\tsd s8, 64(%1)\n\tsd s9, 72(%1)\n\tsd s10, 80(%1)\n\tsd s11, 88(%1)\n\tmv %0, sp"
		: "=&r"(sp)
		: "r"(s)
		: "memory");
	for (unsigned i = 0; i < 12; i += 4)
		printk("s%u..s%u 0x%016lx 0x%016lx 0x%016lx 0x%016lx\n", i, i + 3, s[i], s[i + 1],
		       s[i + 2], s[i + 3]);
	printk("sp 0x%016lx\n", sp);
}

void arch_trap_dump(const struct trap_frame *tf)
{
	static const char names[32][4] = {
		"",   "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
		"a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
		"s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
	};

	if (!tf) {
		dump_current();
		return;
	}
	printk("pc      0x%016lx sstatus 0x%016lx scause  %lu (%s) stval 0x%016lx\n",
	       (unsigned long)tf->sepc, (unsigned long)tf->sstatus, (unsigned long)tf->scause,
	       cause_name(tf->scause), (unsigned long)tf->stval);
	for (unsigned i = 1; i < 32; i++)
		printk("%-3s 0x%016lx%s", names[i], (unsigned long)tf->x[i],
		       i % 4 == 0 || i == 31 ? "\n" : "  ");
}

/* ---- backtrace ------------------------------------------------------------------------------- */

static bool read_word(uintptr_t at, uintptr_t *value)
{
	if (!IS_ALIGNED(at, sizeof(*value)) || !riscv_mapped(at, PTE_READ))
		return false;
	*value = *(const uintptr_t *)at;
	return true;
}

static bool is_text(uintptr_t pc)
{
	return pc > (uintptr_t)text_start && pc <= (uintptr_t)text_end;
}

/*
 * A call from trap entry: what was interrupted is in the frame that lies where the called
 * function's own frame ends.
 */
static bool read_interrupted_pc(uintptr_t ra, uintptr_t frame, uintptr_t *pc)
{
	if (ra > (uintptr_t)riscv_irq_start && ra <= (uintptr_t)riscv_irq_end)
		return read_word(frame + IRQ_FRAME_SEPC, pc);
	if (ra == (uintptr_t)riscv_exception_exit)
		return read_word(frame + FRAME_SEPC, pc);
	return false;
}

/*
 * GCC's frames: return address at fp - 8, the caller's fp at fp - 16. A function that calls nobody
 * saves no return address, so that the caller's fp is at fp - 8; only the one that took the
 * exception can be such a function.
 */
void arch_backtrace(const struct trap_frame *tf, void (*each)(void *ctx, uintptr_t pc), void *ctx)
{
	uintptr_t fp = tf ? tf->x[8] : (uintptr_t)__builtin_frame_address(0), ra, next, pc;

	if (tf)
		each(ctx, tf->sepc);
	if (tf && !is_text(tf->sepc) && is_text(tf->x[1]))
		each(ctx, tf->x[1]); /* a jump to nowhere: from there */
	for (unsigned n = 0;
	     n < FRAMES_MAX && fp && read_word(fp - 8, &ra) && read_word(fp - 16, &next); n++) {
		if (n == 0 && tf && !is_text(ra)) {
			next = ra;
			ra = tf->x[1];
		}
		if (!is_text(ra))
			return;
		each(ctx, ra);
		if (read_interrupted_pc(ra, fp, &pc))
			each(ctx, pc);
		if (next == fp)
			return;
		fp = next;
	}
}

/* ---- before there is a console --------------------------------------------------------------- */

static void early_text(const char *text)
{
	while (*text)
		sbi_call(SBI_LEGACY_PUTCHAR, 0, (unsigned char)*text++, 0, 0, 0);
}

static void early_hex(const char *name, uint64_t value)
{
	char digits[] = "0123456789abcdef", text[2] = "";

	early_text(name);
	for (int shift = 60; shift >= 0; shift -= 4) {
		text[0] = digits[value >> shift & 15];
		early_text(text);
	}
}

void riscv_boot_refuse(const char *text)
{
	early_text("\nboot: ");
	early_text(text);
	early_text("\n");
	arch_cpu_halt();
}

void riscv_boot_trap(uint64_t scause, uint64_t sepc, uint64_t stval)
{
	early_hex("\nboot: exception ", scause);
	early_hex(" at ", sepc);
	early_hex(" address ", stval);
	riscv_boot_refuse("nobody can handle it yet");
}
