/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ends of the system: each is a boot of its own, and tests/qemu/test_crash.py knows what it
 * must say. None returns.
 *
 * The functions that crash are not inlined and have telling names: the backtrace must show them.
 */
#include "core/mem/mem.h"
#include "core/panic.h"
#include "tests/target/test.h"

extern char text_start[], rodata_start[], data_start[];

/* Keeps the compiler from knowing what is at an address. */
static void *opaque(const void *p)
{
	void *volatile v = (void *)(uintptr_t)p;

	return v;
}

CRASH(panic_in_thread)
{
	panic("the answer is %d", 42);
}

static __attribute__((noipa)) void inner_function(int two)
{
	ASSERT(two == 3);
	printk("not reached\n");
}

static __attribute__((noipa)) void outer_function(int two)
{
	inner_function(two);
	printk("not reached\n");
}

CRASH(assertion)
{
	outer_function(2);
}

/* ---- other CPUs ------------------------------------------------------------------------------ */

static volatile uint64_t noise;

static __noreturn void *make_noise(void *arg)
{
	(void)arg;
	for (;;) {
		printk("noise %u\n", (unsigned)noise);
		noise = noise + 1;
		spin_us(100);
	}
}

static void *panic_elsewhere(void *arg)
{
	(void)arg;
	while (noise < 8)
		arch_cpu_relax();
	panic("on another CPU");
}

CRASH(panic_on_another_cpu)
{
	for (unsigned i = 0; i < test_cpus(); i++)
		if (i != 1)
			spawn((int)i, SCHED_FIFO, 10, make_noise, NULL);
	join(spawn(1, SCHED_FIFO, 20, panic_elsewhere, NULL));
}

static __noreturn void *be_deaf(void *arg)
{
	uint32_t *deaf = arg;

	arch_irq_disable();
	atomic_store_release(deaf, 1u);
	for (;;)
		arch_cpu_relax();
}

CRASH(panic_beside_a_deaf_cpu)
{
	static uint32_t deaf;

	become(0, SCHED_OTHER, 0);
	spawn(1, SCHED_FIFO, 10, be_deaf, &deaf);
	wait_for_flag(&deaf);
	panic("somebody does not listen");
}

static void *panic_at_once(void *arg)
{
	uint32_t *go = arg;

	while (!atomic_load_acquire(go))
		arch_cpu_relax();
	panic("one of several");
}

CRASH(panic_on_all_cpus)
{
	static uint32_t go;

	become(ANY_CPU, SCHED_FIFO, 20);
	for (unsigned i = 0; i < test_cpus(); i++)
		spawn((int)i, SCHED_FIFO, 10, panic_at_once, &go);
	atomic_store_release(&go, 1u);
	sleep_us(1000000);
}

/* ---- within the panic ------------------------------------------------------------------------ */

/* The message of the panic is what faults. */
CRASH(fault_in_the_panic)
{
	panic("%s", (const char *)opaque((void *)8));
}

/*
 * The thread pointer is bad, and where the panic dares to look: the thread would begin in the last
 * bytes of the image and go on where nothing is mapped.
 */
CRASH(fault_on_the_fault_stack)
{
	arch_irq_disable();
	arch_tls_set((uintptr_t)image_end - 64 + THREAD_TLS_OFFSET);
	*(volatile int *)opaque((void *)16) = 1;
}

static void panicking_byte(uint8_t byte)
{
	static unsigned n;

	(void)byte;
	if (n++ == 3)
		panic("in the middle of the console");
}

static bool always(void)
{
	return true;
}

/*
 * The UART's driver is called with the console lock held. This one panics; output has nowhere to go
 * afterwards, but the status has.
 */
CRASH(panic_with_the_console_lock)
{
	static const struct uart broken = { .name = "broken",
					    .tx_ready = always,
					    .tx_byte = panicking_byte };

	console_flush();
	console_bind(&broken);
	printk("these bytes meet a broken UART\n");
}

static void panic_in_timer(struct timer *timer)
{
	(void)timer;
	panic("in an interrupt");
}

CRASH(panic_in_an_interrupt)
{
	struct timer timer;

	timer_init(&timer, panic_in_timer);
	arch_irq_disable();
	timer_add(&timer, time_now_ns() + 1000);
	arch_irq_enable();
	sleep_us(1000000);
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static __noinline unsigned recurse(unsigned n)
{
	volatile char frame[200];

	if (n == 100000000)
		return n;
	frame[n % sizeof(frame)] = (char)n;
	return recurse(n + 1) + (unsigned)frame[n % sizeof(frame)];
}

static void *overflow(void *arg)
{
	(void)arg;
	return (void *)(uintptr_t)recurse(0);
}

static struct thread *spawn_named(const char *name, void *(*entry)(void *), void *arg)
{
	struct thread_attr attr = { .name = name };
	struct thread *t;

	REQUIRE(!thread_create(&t, &attr, entry, arg));
	return t;
}

CRASH(stack_overflow)
{
	join(spawn_named("greedy", overflow, NULL));
}

CRASH(stack_overflow_of_the_first_thread)
{
	overflow(NULL);
}

static volatile uint32_t bottom_ticks;

static void tick_at_the_bottom(struct timer *timer)
{
	(void)timer;
	bottom_ticks = bottom_ticks + 1;
}

/* Goes down until less than an interrupt's frame is left, and waits there for one. */
static __noinline unsigned go_down(struct timer *timer)
{
	volatile char here = 0;
	unsigned used = 0;

	if ((uintptr_t)&here - (uintptr_t)thread_current()->stack > 150) {
		used = go_down(timer);
	} else {
		while (!bottom_ticks)
			arch_cpu_relax();
	}
	return used + (unsigned)here;
}

static void *wait_at_the_bottom(void *arg)
{
	struct timer timer;
	unsigned long flags;

	(void)arg;
	timer_init(&timer, tick_at_the_bottom);
	flags = arch_irq_save();
	timer_add(&timer, time_now_ns() + 30 * NSEC_PER_MSEC);
	arch_irq_restore(flags);
	return (void *)(uintptr_t)go_down(&timer);
}

CRASH(stack_overflow_by_an_interrupt)
{
	join(spawn_named("brim-full", wait_at_the_bottom, NULL));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static __attribute__((noipa)) void write_to(void *p)
{
	*(volatile uint32_t *)p = 0;
}

static __attribute__((noipa)) uint32_t read_from(void *p)
{
	return *(volatile uint32_t *)p;
}

static __attribute__((noipa)) void call(void *p)
{
	((void (*)(void))(uintptr_t)p)();
	printk("not reached\n");
}

CRASH(null_read)
{
	noise = read_from(opaque(NULL));
}

CRASH(null_write)
{
	write_to(opaque((void *)24));
}

CRASH(null_call)
{
	call(opaque(NULL));
}

CRASH(write_to_text)
{
	write_to(opaque(text_start));
}

CRASH(write_to_constant_data)
{
	write_to(opaque(rodata_start));
}

/* Under no other address either. */
CRASH(write_to_text_by_the_direct_map)
{
	write_to(opaque(direct_va(arch_pa(text_start))));
}

static uint32_t code_in_data[16] __aligned_to(64) = { 0 };

CRASH(execute_data)
{
	call(opaque(code_in_data));
}

CRASH(execute_constant_data)
{
	call(opaque(rodata_start));
}

CRASH(execute_stack)
{
	volatile uint32_t code[16] = { 0 };

	call(opaque((const void *)code));
}

CRASH(execute_page)
{
	call(opaque(page_alloc_zero(0)));
}

/* Four bytes 0 are defined to be no instruction by both architectures. */
__asm__(".pushsection .text.no_instruction, \"ax\"\n"
	".balign 8\n"
	"no_instruction: .4byte 0\n"
	".popsection\n");
extern char no_instruction[];

CRASH(undefined_instruction)
{
	call(opaque(no_instruction));
}

CRASH(read_unmapped)
{
	noise = read_from(opaque((void *)(HEAP_AREA_BASE + HEAP_AREA_BYTES - 4096)));
}

static void *end_at_once(void *arg)
{
	return arg;
}

/* Too large for the caches of stacks: it is unmapped when it is freed. */
CRASH(read_freed_stack)
{
	struct thread_attr attr = { .stack_bytes = 500 * 1024 };
	struct thread *t;
	void *stack;

	REQUIRE(!thread_create(&t, &attr, end_at_once, NULL));
	stack = opaque(t->stack);
	noise = read_from(stack);
	join(t);
	printk("freed\n");
	noise = read_from(stack);
}

CRASH(double_free_of_a_page)
{
	void *page = page_alloc(0);

	page_free(page, 0);
	page_free(page, 0);
}

/* ---- the rest -------------------------------------------------------------------------------- */

CRASH(wait_with_interrupts_masked)
{
	static struct semaphore s = SEMAPHORE_INIT(0);

	arch_irq_disable();
	semaphore_wait(&s);
}

CRASH(hang)
{
	for (;;)
		sleep_us(100000);
}
