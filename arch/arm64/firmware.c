/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does for us: starts and stops CPUs and switches off, by PSCI, with the conduit (hvc or smc)
 * that the device tree names. Where there is no PSCI, drivers are asked (DRIVER_POWER): one for
 * starting CPUs, one for the board's power.
 *
 * Boot context, but for arch_system_off(), which panic calls with anything held, and starting and
 * stopping CPUs later, one at a time. No call is made
 * that the tree does not announce: an smc where there is no firmware would be an exception.
 */
#include "core/arch.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/mem/mem.h"
#include "core/string.h"
#include "core/thread.h"
#include "arch/arm64/regs.h"

#define PSCI_CPU_OFF       0x84000002u
#define PSCI_SYSTEM_OFF    0x84000008u
#define PSCI_CPU_ON        0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u

#define PSCI_AFFINITY_OFF 1 /* what AFFINITY_INFO says of a CPU */

#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_ALREADY_ON         (-4)

#define SEMIHOSTING_EXIT     0x18
#define SEMIHOSTING_APP_EXIT 0x20026 /* ADP_Stopped_ApplicationExit */

#define FAULT_STACK_BYTES 8192

static int psci_start(struct cpu *cpu);
static void psci_off(void);

int (*arch_cpu_release)(struct cpu *cpu) = psci_start; /* [i] */
void (*arch_board_off)(void) = psci_off;               /* [i] */

struct arch_released arch_release_table[ARCH_CPU_MAX + 1] __aligned_to(ARCH_CACHE_LINE_BYTES);

static const struct dt *tree;   /* [i] NULL: none yet */
static bool psci_by_hvc;        /* [i] */
static uint32_t psci_cpu_on_id; /* [i] 0: no PSCI */
static bool psci_has_off;       /* [i] version 0.2 or later: what can be started can be stopped */

const struct dt *firmware_tree(void)
{
	return tree;
}

/*
 * Arguments arrive as function arguments, so that nothing is called between loading the registers
 * and the instruction.
 */
static __noinline int64_t psci_call(uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a1;
	register uint64_t x2 __asm__("x2") = a2;
	register uint64_t x3 __asm__("x3") = a3;

	if (psci_by_hvc)
		__asm__ volatile("hvc #0"
				 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
				 :
				 : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
				   "x12", "x13", "x14", "x15", "x16", "x17");
	else
		__asm__ volatile("smc #0"
				 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
				 :
				 : "memory", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
				   "x12", "x13", "x14", "x15", "x16", "x17");
	return (int32_t)x0; /* results are 32-bit, sign included */
}

/* "arm,psci" alone is version 0.1, which has no fixed numbers and no power-off. */
static int psci_find(const char **why)
{
	int node = dt_node_by_compatible(tree, DT_START, "arm,psci-1.0");
	const char *method;

	if (node < 0)
		node = dt_node_by_compatible(tree, DT_START, "arm,psci-0.2");
	psci_has_off = node >= 0;
	psci_cpu_on_id = node >= 0 ? PSCI_CPU_ON : 0;
	if (node < 0) {
		node = dt_node_by_compatible(tree, DT_START, "arm,psci");
		if (node < 0 || dt_u32(tree, node, "cpu_on", &psci_cpu_on_id)) {
			*why = "no PSCI and no spin table in the device tree: other CPUs cannot be started";
			return -ENOTSUP;
		}
	}
	method = dt_string(tree, node, "method");
	if (!method || (strcmp(method, "hvc") && strcmp(method, "smc"))) {
		psci_cpu_on_id = 0;
		psci_has_off = false;
		*why = "psci node: method is neither \"hvc\" nor \"smc\"";
		return -EINVAL;
	}
	psci_by_hvc = method[0] == 'h';
	return 0;
}

int arch_firmware_init(const struct dt *dt, const char **why)
{
	int err;

	tree = dt;
	err = psci_find(why);
	if (err != -ENOTSUP)
		return err;
	device_probe_class(dt, DRIVER_POWER);
	return device_probe_node(dt, DEVICE_FALLBACK, DRIVER_POWER);
}

/*
 * CPU nodes: device_type "cpu", enabled, reg = the affinity fields of MPIDR_EL1 in one or two
 * cells.
 */
int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid)
{
	const char *type = dt_string(dt, node, "device_type");

	if (!type || strcmp(type, "cpu") || !dt_status_ok(dt, node))
		return -ENOENT;
	return dt_u64(dt, node, "reg", hwid) ? -ENOENT : 0;
}

/* Firmware says itself when it cannot start that CPU. */
static int psci_start(struct cpu *cpu)
{
	pa_t entry = image_pa + ((uintptr_t)secondary_entry - IMAGE_BASE);

	if (!psci_cpu_on_id)
		return -ENOTSUP;
	switch (psci_call(psci_cpu_on_id, cpu->hwid, entry, (uintptr_t)cpu)) {
	case 0:
		return 0;
	case PSCI_INVALID_PARAMETERS:
		return -EINVAL;
	case PSCI_ALREADY_ON:
		return -EALREADY;
	default:
		return -EIO;
	}
}

/*
 * Gives the CPU its stacks for exceptions and its place to enter C, once: they stay when it is
 * stopped, or could not be started. The boot CPU has them from boot.S.
 */
static int give_stacks(struct cpu *cpu)
{
	struct thread *idle = cpu->rq.idle;
	bool cached;
	void *fault, *emergency;

	cpu->arch.entry_tls = idle->context.tls;
	if (cpu->arch.fault_stack_top)
		return 0;
	fault = stack_alloc(FAULT_STACK_BYTES, &cached);
	emergency = page_alloc(0);
	if (!fault || !emergency)
		return -ENOMEM; /* what was allocated stays: memory is too short for anything */
	cpu->arch.fault_stack_top = (uintptr_t)fault + FAULT_STACK_BYTES;
	cpu->arch.emergency_stack_top = (uintptr_t)emergency + PAGE_SIZE;
	/* the stack ends where struct thread begins */
	cpu->arch.entry_sp = ALIGN_DOWN((uintptr_t)idle, ARCH_STACK_ALIGN);
	cpu->arch.lock_id = cpu->index + 1;
	return 0;
}

/*
 * The new CPU reads boot_data with its MMU off, so that goes to memory; all else it reads with its
 * caches on. The barrier at the end of the cleaning orders both before the firmware call.
 */
int arch_cpu_start(struct cpu *cpu)
{
	int err = give_stacks(cpu);

	if (err)
		return err;
	arch_cache_op(CACHE_CLEAN_POC, &boot_data, sizeof(boot_data));
	return arch_cpu_release(cpu);
}

void arch_cpu_stop(void)
{
	if (psci_has_off)
		psci_call(PSCI_CPU_OFF, 0, 0, 0);
}

static void psci_off(void)
{
	if (psci_has_off)
		psci_call(PSCI_SYSTEM_OFF, 0, 0, 0);
}

bool arch_cpu_stopped(const struct cpu *cpu)
{
	return psci_has_off && psci_call(PSCI_AFFINITY_INFO, cpu->hwid, 0, 0) == PSCI_AFFINITY_OFF;
}

static void semihosting_exit(int status)
{
	uint64_t block[2] = { SEMIHOSTING_APP_EXIT, (uint64_t)status };
	register uint64_t x0 __asm__("x0") = SEMIHOSTING_EXIT;
	register uint64_t *x1 __asm__("x1") = block;

	__asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
}

void arch_system_off(int status, bool semihosting)
{
	if (semihosting)
		semihosting_exit(status);
	arch_board_off();
}
