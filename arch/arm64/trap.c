/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Synchronous exceptions and everything that should not happen: says what it was, in words, and
 * gives it to trap_fault(). Also the register dump and the walk up a frame-pointer chain.
 *
 * Runs on the CPU's fault stack, or, when the exception came while on that one, on its emergency
 * stack; interrupts masked, any lock may be held by what was interrupted. What may never happen: a
 * fault in here that leads back here for ever; the third in a row parks the CPU.
 */
#include "core/arch.h"
#include "core/console.h"
#include "core/cpu.h"
#include "arch/arm64/regs.h"

#define EC_UNKNOWN       0x00
#define EC_ILLEGAL_STATE 0x0e
#define EC_SVC           0x15
#define EC_HVC           0x16
#define EC_SMC           0x17
#define EC_SYSREG        0x18
#define EC_IABORT_LOW    0x20
#define EC_IABORT        0x21
#define EC_PC_ALIGN      0x22
#define EC_DABORT_LOW    0x24
#define EC_DABORT        0x25
#define EC_SP_ALIGN      0x26
#define EC_BRK           0x3c

#define ISS_WRITE        (1u << 6)
#define ISS_FAULT_STATUS 0x3fu
#define FAULT_ALIGNMENT  0x21u
#define FAULT_EXTERNAL   0x10u

#define BACKTRACE_MAX 64

extern char text_start[], text_end[];

static unsigned esr_class(uint64_t esr)
{
	return (unsigned)(esr >> ESR_EC_SHIFT) & 0x3f;
}

/* Fault status in groups of four: 1 translation, 2 access flag, 3 permission. */
static const char *data_abort_text(uint32_t esr)
{
	static const char *const text[][2] = {
		{ "data abort: read", "data abort: write" },
		{ "data abort: read, not mapped", "data abort: write, not mapped" },
		{ "data abort: read, access flag", "data abort: write, access flag" },
		{ "data abort: read, not permitted", "data abort: write, not permitted" },
	};
	uint32_t status = esr & ISS_FAULT_STATUS;
	bool write = esr & ISS_WRITE;

	if (status == FAULT_ALIGNMENT)
		return write ? "alignment fault: write" : "alignment fault: read";
	if (status == FAULT_EXTERNAL)
		return write ? "external abort: write" : "external abort: read";
	return text[status < 16 ? status / 4 : 0][write];
}

static const char *instruction_abort_text(uint32_t esr)
{
	switch ((esr & ISS_FAULT_STATUS) / 4) {
	case 1:
		return "instruction abort: not mapped";
	case 3:
		return "instruction abort: not executable";
	default:
		return "instruction abort";
	}
}

static const char *sync_text(uint64_t esr)
{
	static const char *const text[] = {
		[EC_UNKNOWN] = "undefined instruction",
		[EC_ILLEGAL_STATE] = "illegal execution state",
		[EC_SVC] = "unexpected system call",
		[EC_HVC] = "unexpected system call",
		[EC_SMC] = "unexpected system call",
		[EC_SYSREG] = "trapped system register access",
		[EC_PC_ALIGN] = "misaligned program counter",
		[EC_SP_ALIGN] = "misaligned stack pointer",
		[EC_BRK] = "brk",
	};
	unsigned class = esr_class(esr);

	if (class == EC_IABORT_LOW || class == EC_IABORT)
		return instruction_abort_text((uint32_t)esr);
	if (class == EC_DABORT_LOW || class == EC_DABORT)
		return data_abort_text((uint32_t)esr);
	return class < ARRAY_SIZE(text) && text[class] ? text[class] : "unknown exception";
}

static const char *vector_text(const struct trap_frame *tf)
{
	static const char *const other[] = { NULL, "unexpected interrupt", "unexpected FIQ",
					     "SError" };

	if (tf->vector / 4 == 1)
		return "fault while handling a fault";
	return tf->vector % 4 == VECTOR_SYNC ? sync_text(tf->esr) : other[tf->vector % 4];
}

/* The address that faulted, where the hardware gives one. */
static uintptr_t fault_address(const struct trap_frame *tf)
{
	switch (esr_class(tf->esr)) {
	case EC_IABORT_LOW:
	case EC_IABORT:
	case EC_PC_ALIGN:
	case EC_DABORT_LOW:
	case EC_DABORT:
		return tf->far;
	default:
		return tf->pc;
	}
}

void trap_sync(struct trap_frame *tf)
{
	struct arch_cpu *self = (struct arch_cpu *)arch_cpu_self();
	bool nested = tf->vector / 4 == 1;

	if (nested && self->nested_faults++)
		arch_cpu_halt();
	trap_fault(tf, vector_text(tf), fault_address(tf));
	if (nested)
		arch_cpu_halt(); /* what it interrupted had no stack to go back to */
}

extern char arm64_guard_abort[];

void arch_guarded_abort(void)
{
	((void (*)(void))arm64_guard_abort)();
	__builtin_unreachable();
}

void arch_guarded_divert(struct trap_frame *tf)
{
	if (tf)
		tf->pc = (uintptr_t)arm64_guard_abort;
	else
		((struct arch_cpu *)arch_cpu_self())->guard_divert = (uintptr_t)arm64_guard_abort;
}

bool arch_guarded(void)
{
	return ((struct arch_cpu *)arch_cpu_self())->guard_sp;
}

uintptr_t arch_trap_pc(const struct trap_frame *tf)
{
	return tf->pc;
}

/* The registers that a call leaves alone: what the function that gave up was working with. */
static void dump_current(void)
{
	uintptr_t x[10], sp;

	__asm__ volatile(
		"stp x19, x20, [%1]\n\tstp x21, x22, [%1, #16]\n\tstp x23, x24, [%1, #32]\n\t"
		"stp x25, x26, [%1, #48]\n\tstp x27, x28, [%1, #64]\n\tmov %0, sp"
		: "=&r"(sp)
		: "r"(x)
		: "memory");
	for (unsigned i = 0; i < 10; i += 5)
		printk("x%u..x%u %016lx %016lx %016lx %016lx %016lx\n", 19 + i, 23 + i, x[i],
		       x[i + 1], x[i + 2], x[i + 3], x[i + 4]);
	printk("sp  %016lx  x29 %016lx\n", sp, (uintptr_t)__builtin_frame_address(0));
}

void arch_trap_dump(const struct trap_frame *tf)
{
	if (!tf) {
		dump_current();
		return;
	}
	printk("pc  %016lx  sp  %016lx  pstate %08lx  esr %08lx  far %016lx\n", tf->pc, tf->sp,
	       tf->pstate, tf->esr, tf->far);
	for (unsigned i = 0; i <= 30; i++)
		printk("x%-2u %016lx%s", i, tf->x[i], i % 4 == 3 || i == 30 ? "\n" : "  ");
}

static bool in_text(uintptr_t pc)
{
	return pc >= (uintptr_t)text_start && pc < (uintptr_t)text_end;
}

/*
 * A frame record is { caller's x29, return address }, at ever higher addresses, 16-byte aligned (so
 * in one page). The translation is asked before each read: a broken chain ends the walk, not the
 * kernel.
 */
static void walk_frames(uintptr_t fp, void (*each)(void *ctx, uintptr_t pc), void *ctx)
{
	for (unsigned n = 0; n < BACKTRACE_MAX && fp && !(fp & 15) && arch_pa((const void *)fp);
	     n++) {
		const uintptr_t *record = (const uintptr_t *)fp;

		if (!in_text(record[1]))
			return;
		each(ctx, record[1]);
		if (record[0] <= fp)
			return;
		fp = record[0];
	}
}

/*
 * From a trap: the pc, then x30. A function that calls nothing has no frame record, and a jump
 * through a bad pointer left none: x30 is their only trace. In other functions it is stale and
 * names a place in the function itself or one it called; left out when it repeats the chain.
 */
void arch_backtrace(const struct trap_frame *tf, void (*each)(void *ctx, uintptr_t pc), void *ctx)
{
	const uintptr_t *record;

	if (!tf) {
		walk_frames((uintptr_t)__builtin_frame_address(0), each, ctx);
		__asm__ volatile(
			""
			:
			:
			: "memory"); /* no tail call: the frame that the walk begins with is ours */
		return;
	}
	record = (const uintptr_t *)tf->x[29];
	each(ctx, tf->pc);
	if (in_text(tf->x[30]) &&
	    (!record || ((uintptr_t)record & 15) || !arch_pa(record) || record[1] != tf->x[30]))
		each(ctx, tf->x[30]);
	walk_frames(tf->x[29], each, ctx);
}
