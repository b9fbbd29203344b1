/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the road: ASSERT, panic, and exceptions that nobody handled.
 *
 * Callers: any context, any lock held, any stack that has some 2 KiB left; irqs are masked here for
 * good. No lock is taken: the console is taken over and polled, so a panic with the console lock
 * held still speaks.
 *
 * The first CPU to panic owns the panic (one compare-and-swap); others that come later park
 * themselves. The owner asks the other CPUs to stop and waits for them, but not for long: one that
 * spins with irqs masked never answers. A panic or an exception inside the panic ends it with one
 * line; if even that goes wrong the CPU parks. What may never happen: that a panic waits for
 * anybody for ever.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/irq.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/time.h"

#define STOP_WAIT_NS NSEC_PER_SEC /* an emulated CPU may wait that long for its host */
#define STOP_SPINS   10000000u    /* the bound while the counter's frequency is unknown */

extern const char text_start[], text_end[], rodata_start[], rodata_end[];

bool (*fault_taken)(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap);

static uint32_t panic_owner;   /* [a] lock id of the CPU that panicked first; 0: none */
static uint32_t panic_depth;   /* [o] of the owner: how often it panicked */
static uint32_t panic_stopped; /* [a] CPUs that have seen the panic */

bool panic_in_progress(void)
{
	uint32_t owner = atomic_load_relaxed(&panic_owner);

	if (likely(!owner) || owner == arch_cpu_lock_id())
		return false;
	atomic_fetch_add_acq_rel(&panic_stopped, 1u);
	return true;
}

/* Asks every other CPU that is up to stop; returns how many did not in time. */
static unsigned cpus_stop(void)
{
	uint32_t self = arch_cpu_lock_id() - 1, sent = 0;
	uint64_t start = arch_counter();

	if (!ipi_send)
		return 0;
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		if (cpu == self || !cpu_at(cpu) || !cpu_is_up(cpu_at(cpu)))
			continue;
		ipi_send(cpu_at(cpu));
		sent++;
	}
	for (unsigned spins = 0; spins < STOP_SPINS; spins++) {
		if (atomic_load_relaxed(&panic_stopped) >= sent)
			return 0;
		if (time_base.hz && cycles_to_ns(arch_counter() - start) > STOP_WAIT_NS)
			break;
		arch_cpu_relax();
	}
	return sent - MIN(sent, atomic_load_relaxed(&panic_stopped));
}

/*
 * Power off; parks when firmware cannot. No exit record: that one is the application's, and a
 * status without it is the kernel's.
 */
static __noreturn void panic_end(void)
{
	console_flush();
	arch_system_off(EXIT_STATUS_PANIC, semihosting_requested);
	printk("This machine has no power-off: CPU parked.\n");
	console_flush();
	arch_cpu_halt();
}

/* Lets the first CPU through once; whoever comes later does not return. */
static void panic_enter(void)
{
	uint32_t self, owner = 0;

	arch_irq_save();
	self = arch_cpu_lock_id();
	if (!atomic_cas_acq_rel(&panic_owner, &owner, self) && owner != self) {
		atomic_fetch_add_acq_rel(&panic_stopped, 1u);
		arch_cpu_halt();
	}
	panic_depth++;
}

/*
 * The current thread; NULL when the TLS register, which is whatever the thread left in it, points
 * where no thread can be.
 */
static const struct thread *thread_shown(void)
{
	const struct thread *t = thread_current();
	uintptr_t at = (uintptr_t)t;

	return at >= DIRECT_MAP_BASE && at < (uintptr_t)IMAGE_END_FAR && IS_ALIGNED(at, 8) ? t :
											     NULL;
}

static void print_place(void)
{
	const struct thread *t = thread_shown();

	printk("cpu %u", arch_cpu_lock_id() - 1);
	if (t)
		printk("  thread %d %.*s", (int)t->tid, THREAD_NAME_BYTES, t->name);
	printk("\n");
}

struct backtrace {
	unsigned depth;
	bool exact; /* the first address is where it happened, not where a call returns to */
};

static void print_step(void *ctx, uintptr_t pc)
{
	struct backtrace *b = ctx;
	char name[64];

	/*
	 * A call that never returns may be the last instruction of its function: look up the call,
	 * not what lies behind it.
	 */
	printk("  #%u 0x%lx", b->depth++, (unsigned long)pc);
	if (pc >= (uintptr_t)text_start && pc <= (uintptr_t)text_end)
		printk(" %s", symbol_name(b->exact ? pc : pc - 1, name, sizeof(name)));
	printk("\n");
	b->exact = false;
}

static void print_backtrace(const struct trap_frame *tf)
{
	struct backtrace b = { .depth = 0, .exact = tf != NULL };

	printk("backtrace:\n");
	arch_backtrace(tf, print_step, &b);
}

/* A panic inside a panic: the message is worth a line, nothing else here can be trusted. */
static __noreturn void panic_report(const struct trap_frame *tf, const char *fmt, va_list *ap)
{
	unsigned deaf = 0;

	panic_enter();
	if (panic_depth > 2)
		arch_cpu_halt();
	if (panic_depth == 1)
		deaf = cpus_stop();
	console_panic_takeover();
	printk(panic_depth == 1 ? "\nPANIC: " : "panic while panicking: ");
	printk_v(fmt, ap);
	printk("\n");
	if (panic_depth > 1)
		panic_end();
	print_place();
	arch_trap_dump(tf);
	print_backtrace(tf);
	if (deaf)
		printk("%u other CPUs did not stop\n", deaf);
	panic_end();
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (fault_taken)
		fault_taken(NULL, fmt, 0, &ap);
	panic_report(NULL, fmt, &ap);
}

void panic_trap(const struct trap_frame *tf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	panic_report(tf, fmt, &ap);
}

void assert_failed(const struct assert_place *at)
{
	panic("assertion failed: %s\n  at %s:%d", at->expr, at->file, at->line);
}

void assert_failed_at(void *place, unsigned long unused)
{
	(void)unused;
	assert_failed(place);
}

/* What lies at @addr, as far as the layout tells. */
static const char *address_hint(uintptr_t addr)
{
	static const struct {
		uintptr_t start, end;
		const char *what;
	} areas[] = {
		{ 0, PAGE_SIZE, "NULL dereference" },
		{ PAGE_SIZE, DIRECT_MAP_BASE, "outside the kernel's address space" },
		{ (uintptr_t)text_start, (uintptr_t)text_end, "in kernel code" },
		{ (uintptr_t)rodata_start, (uintptr_t)rodata_end, "in constant data" },
		{ MMIO_AREA_BASE, MMIO_AREA_BASE + MMIO_AREA_BYTES, "in device registers" },
		{ HEAP_AREA_BASE, HEAP_AREA_BASE + HEAP_AREA_BYTES, "in the heap area" },
		{ STACK_AREA_BASE, STACK_AREA_BASE + STACK_AREA_BYTES, "in the stack area" },
		{ DIRECT_MAP_BASE, DIRECT_MAP_BASE + DIRECT_MAP_BYTES,
		  "in the direct map of memory" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++)
		if (addr >= areas[i].start && addr < areas[i].end)
			return areas[i].what;
	return "in the kernel image";
}

void trap_fault(struct trap_frame *tf, const char *what, uintptr_t addr)
{
	const struct thread *t = thread_shown();

	if (fault_taken && fault_taken(tf, what, addr, NULL))
		return;
	if (stack_is_guard(addr))
		panic_trap(tf, "stack overflow in thread %d %.*s: %s at 0x%lx",
			   t ? (int)t->tid : -1, THREAD_NAME_BYTES, t ? t->name : "(unknown)", what,
			   (unsigned long)addr);
	panic_trap(tf, "%s at 0x%lx (%s)", what, (unsigned long)addr, address_hint(addr));
}
