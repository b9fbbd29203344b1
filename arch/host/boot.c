/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot of the virtual machine, with the calls of core/main.c in their order, less what a process
 * has no use for (device tree, memory map, drivers). And the ends: console, panic and power-off are
 * the process's stderr and exit. The boot CPU starts on a stack of its own, which becomes its idle
 * thread's.
 */
#include "arch/host/host.h"
#include "core/bootargs.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/irq.h"
#include "core/main.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/print.h"
#include "core/thread.h"
#include "core/time.h"
#include "core/topology.h"

#include <stdio.h>
#include <stdlib.h>

#define BOOT_STACK_BYTES (64ul * 1024)
#define BOOT_CPU_ORDER   2

_Static_assert(sizeof(struct cpu) <= PAGE_SIZE << BOOT_CPU_ORDER, "a CPU fits");

struct boot_info boot_info;

static struct cpu *boot_cpu;
static struct thread boot_idle __aligned_to(64);
struct dt boot_dt; /* firmware.c answers for it */
static void *boot_stack;

static struct {
	void (*first)(void *);
	void *arg;
	int status;
	bool used;
} run;

/* ---- boot ------------------------------------------------------------------------------------ */

static void chip_nothing(void)
{
}

static void chip_cpu_init(struct cpu *cpu)
{
	(void)cpu;
}

static void chip_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	(void)cpu;
	(void)heir;
}

static void chip_hwirq(unsigned hwirq)
{
	(void)hwirq;
}

static const struct irq_chip host_chip = {
	.name = "host",
	.handle = chip_nothing,
	.cpu_init = chip_cpu_init,
	.cpu_exit = chip_cpu_exit,
	.mask = chip_hwirq,
	.unmask = chip_hwirq,
};

static void *first_thread(void *arg)
{
	(void)arg;
	boot_info.first_thread_cycles = arch_counter();
	run.first(run.arg);
	host_exit(0);
}

static void host_topology_init(void)
{
	const char *why;

	topology_default();
	for (unsigned i = 0; host_topology() && i < cpu_count; i++)
		topology.cpu[i] = host_topology()[i];
	if (topology_build(&why))
		panic("topology: %s", why);
}

static void host_boot(void)
{
	struct thread_attr attr = { .name = "main",
				    .affinity = &cpu_online_mask,
				    .detached = true };
	const char *why;

	boot_cpu = page_alloc_zero(BOOT_CPU_ORDER);
	ASSERT(boot_cpu);
	cpu_init_boot(boot_cpu, &boot_idle, NULL, 0);
	boot_idle.context.stack_bottom = (uintptr_t)host_stack_bottom(boot_stack);
	boot_idle.context.stack_bytes =
		(uintptr_t)boot_stack + BOOT_STACK_BYTES - boot_idle.context.stack_bottom;
	ASSERT(!clock_init(arch_timer_hz(&why)));
	irq_root_set(&host_chip);
	ipi_send = host_ipi_send;
	ipi_name = "host";
	irq_cpu_init(boot_cpu);
	arch_timer_init(boot_cpu);
	ASSERT(!cpu_enumerate(&boot_dt));
	host_topology_init();
	cpu_start_all(0);
	ASSERT(!thread_create(NULL, &attr, first_thread, NULL));
	sched_idle_loop();
}

void cpu_main(struct cpu *cpu)
{
	arch_cpu_init(cpu);
	arch_tls_set(cpu->rq.idle->context.tls);
	irq_cpu_init(cpu);
	arch_timer_init(cpu);
	if (!cpu_report_online(cpu))
		arch_cpu_halt();
	sched_idle_loop();
}

int host_run_options(const struct host_options *options, void (*first)(void *), void *arg)
{
	if (!options->cpus || options->cpus > ARCH_CPU_MAX)
		return -EINVAL;
	if (run.used)
		return -EBUSY;
	run.used = true;
	run.first = first;
	run.arg = arg;
	boot_stack = host_stack_map(BOOT_STACK_BYTES);
	ASSERT(boot_stack);
	host_machine_init(options);
	host_enter(host_boot, boot_stack, BOOT_STACK_BYTES);
	return run.status;
}

int host_run(unsigned cpus, uint64_t seed, void (*first)(void *), void *arg)
{
	const char *given = getenv("FAIRLEAD_SEED");
	struct host_options options = { .cpus = cpus,
					.seed = given ? strtoull(given, NULL, 0) : seed };

	return host_run_options(&options, first, arg);
}

__attribute__((weak)) int bootargs_parse(const char *text, int *argc, char ***argv);

int host_boot_arguments(const char *text)
{
	char **argv;
	int argc;

	if (bootargs_parse)
		return bootargs_parse(text, &argc, &argv);
	if (!text[0])
		return 0;
	fprintf(stderr, "boot arguments %s: only a program with POLICY= has any\n", text);
	return -EINVAL;
}

void host_exit(int status)
{
	run.status = status;
	host_leave();
}

/* ---- console and the end --------------------------------------------------------------------- */

static void put_stderr(void *ctx, const char *s, size_t n)
{
	(void)ctx;
	fwrite(s, 1, n, stderr);
}

void printk_v(const char *fmt, va_list *ap)
{
	fmt_write(put_stderr, NULL, fmt, ap);
}

void printk(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printk_v(fmt, &ap);
	va_end(ap);
}

size_t console_write(const char *text, size_t n)
{
	return fwrite(text, 1, n, stdout);
}

void console_flush(void)
{
	fflush(stdout);
}

void system_exit(int status)
{
	host_die(status);
}

/* ---- panic ----------------------------------------------------------------------------------- */

bool panic_in_progress(void)
{
	return false;
}

static void print_step(void *ctx, uintptr_t pc)
{
	char name[160];

	(void)ctx;
	fprintf(stderr, "  %s\n", symbol_name(pc - 1, name, sizeof(name)));
}

static __noreturn void panic_report(const char *fmt, va_list *ap)
{
	static bool again;

	if (again)
		host_die(EXIT_STATUS_PANIC);
	again = true;
	fprintf(stderr, "\nPANIC: ");
	printk_v(fmt, ap);
	fprintf(stderr, "\nbacktrace:\n");
	arch_backtrace(NULL, print_step, NULL);
	host_dump();
	host_die(EXIT_STATUS_PANIC);
}

bool (*fault_taken)(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap);

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (fault_taken)
		fault_taken(NULL, fmt, 0, &ap);
	panic_report(fmt, &ap);
}

void panic_trap(const struct trap_frame *tf, const char *fmt, ...)
{
	va_list ap;

	(void)tf;
	va_start(ap, fmt);
	panic_report(fmt, &ap);
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

/* Only a sanitizer's run-time library can name functions of the process itself. */
__attribute__((weak)) void __sanitizer_symbolize_pc(void *pc, const char *fmt, char *buf,
						    size_t size);

const char *symbol_name(uintptr_t pc, char *buf, size_t size)
{
	if (__sanitizer_symbolize_pc)
		__sanitizer_symbolize_pc((void *)pc, "%f %s:%l", buf, size);
	else
		snprintf(buf, size, "0x%lx", (unsigned long)pc);
	return buf;
}

/* ---- what everybody does --------------------------------------------------------------------- */

static const char *const cpu_states[] = { "off", "runs", "idle", "computes", "pays", "halted" };

static void dump_cpu(const struct host_cpu *c)
{
	const struct thread *curr = c->cpu->rq.curr;
	char where[160];

	fprintf(stderr,
		"cpu %u: %s%s%s%s, %s (tid %d), %u waiting, resched %u, rq lock %x, timer %lld ns, at %s\n",
		c->cpu->index, cpu_states[c->state], c == host_self ? " (self)" : "",
		c->irqs_on ? "" : ", masked", c->ipi_pending ? ", ipi pending" : "", curr->name,
		(int)curr->tid, c->cpu->rq.nr_ready, c->cpu->rq.resched, c->cpu->rq.lock.word,
		(long long)c->timer_ns, symbol_name((uintptr_t)c->where - 1, where, sizeof(where)));
}

static void dump_thread(struct thread *t, void *arg)
{
	static const char *const states[] = { "runnable", "blocked", "waking", "dead" };
	const struct wait_queue *q = t->waiter.queue;

	(void)arg;
	if (!t->tid)
		return; /* an idle thread */
	fprintf(stderr, "thread %d %s: %s on cpu %d, rank 0x%x, flags %x", (int)t->tid, t->name,
		states[t->sched.state & 3], t->sched.cpu ? (int)t->sched.cpu->index : -1,
		t->sched.rank, t->sched.unusual);
	if (t->sched.state == THREAD_BLOCKED && q)
		fprintf(stderr, ", waits on queue %p", (const void *)q);
	if (t->timer.armed)
		fprintf(stderr, ", until %llu ns", (unsigned long long)t->timer.expires_ns);
	fputc('\n', stderr);
}

void host_dump(void)
{
	fprintf(stderr, "seed %llu, %u CPUs, %llu sync points, %llu ns\n",
		(unsigned long long)host_seed(), host_nr_cpus, (unsigned long long)host_steps(),
		(unsigned long long)host_now_ns);
	for (unsigned i = 0; i < host_nr_cpus; i++)
		if (host_cpus[i].cpu)
			dump_cpu(&host_cpus[i]);
	host_each_thread(dump_thread, NULL);
}
