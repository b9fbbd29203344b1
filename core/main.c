/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot, as a flat list of calls: kernel_main() on the CPU that firmware started, cpu_main() on the
 * others. Everything runs on idle threads with interrupts masked until sched_idle_loop(). An error
 * here is an input's or the hardware's: it gets a message that names it, and the system powers off.
 */
#include "core/main.h"
#include "core/bootargs.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/time.h"
#include "core/topology.h"

struct boot_info boot_info;

static struct cpu boot_cpu;
static struct thread boot_idle __aligned_to(64);
struct dt boot_dt;

/*
 * What cannot go on without a cause in our own code: bad arguments, a bad device tree, hardware
 * that is not known.
 */
static __cold __noreturn void boot_refuse(int status, const char *fmt, ...)
{
	va_list ap;

	console_init(boot_dt.blob ? &boot_dt : NULL);
	console_panic_takeover();
	printk("boot: ");
	va_start(ap, fmt);
	printk_v(fmt, &ap);
	va_end(ap);
	printk("\n");
	console_flush();
	arch_system_off(status, semihosting_requested);
	arch_cpu_halt();
}

static void *first_thread(void *arg)
{
	boot_info.first_thread_cycles = arch_counter();
	return app_start(arg);
}

static void start_first_thread(void)
{
	struct thread_attr attr = { .name = "main",
				    .affinity = &cpu_online_mask,
				    .detached = true };
	int err = thread_create(NULL, &attr, first_thread, NULL);

	if (err)
		boot_refuse(EXIT_STATUS_PANIC, "out of memory for the first thread");
}

static void init_clock(void)
{
	const char *why = "outside 1 kHz..1 GHz";
	uint64_t hz = arch_timer_hz(&why);

	if (!hz || clock_init(hz))
		boot_refuse(EXIT_STATUS_PANIC, "timer: frequency %llu Hz: %s",
			    (unsigned long long)hz, why);
}

void kernel_main(pa_t fdt_pa, uint64_t boot_hwid, uint64_t entry_cycles)
{
	const char *why = "", *tree_why = "";
	int tree_err = dt_open(&boot_dt, direct_va(fdt_pa), FDT_BOOT_WINDOW, &tree_why);

	boot_info.entry_cycles = entry_cycles;
	cpu_init_boot(&boot_cpu, &boot_idle, tree_err ? NULL : &boot_dt, boot_hwid);
	if (tree_err)
		boot_refuse(EXIT_STATUS_PANIC, "device tree at 0x%llx: %s",
			    (unsigned long long)fdt_pa, tree_why);
	if (bootargs_parse(dt_bootargs(&boot_dt), &boot_info.argc, &boot_info.argv))
		tree_err = -EINVAL; /* said when there is a console to say it on */
	if (mem_init(&boot_dt, fdt_pa, boot_dt.size, &why))
		boot_refuse(EXIT_STATUS_PANIC, "memory: %s", why);
	if (arch_firmware_init(&boot_dt, &why))
		printk("firmware: %s\n", why);
	console_init(&boot_dt);
	if (tree_err)
		boot_refuse(2, "boot arguments refused");
	init_clock();
	if (irq_init(&boot_dt))
		boot_refuse(EXIT_STATUS_PANIC, "no usable interrupt controller");
	irq_cpu_init(&boot_cpu);
	arch_timer_init(&boot_cpu);
	console_irq_start(&boot_dt);
	if (cpu_enumerate(&boot_dt))
		boot_refuse(EXIT_STATUS_PANIC, "out of memory for %u CPUs", cpu_count);
	topology_init(&boot_dt);
	cpu_start_all((unsigned)cpus_limit);
	printk("fairlead: %s, %u of %u CPUs, %zu MiB, timer %s %llu Hz, irqs by %s, IPIs by %s\n",
	       ARCH_NAME, cpumask_count(&cpu_online_mask), cpu_count, page_total_bytes() >> 20,
	       arch_timer_name(), (unsigned long long)time_base.hz, irq_root()->name, ipi_name);
	device_probe_class(&boot_dt, DRIVER_TIMER);
	start_first_thread();
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

void system_exit(int status)
{
	console_exit_record(status);
	console_flush();
	arch_irq_disable();
	arch_system_off(status, semihosting_requested);
	console_panic_takeover(); /* nobody takes the UART's interrupt any more */
	printk("power-off failed; parked\n");
	arch_cpu_halt();
}
