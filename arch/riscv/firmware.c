/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SBI firmware: which extensions there are, starting and stopping harts, fences and IPIs on other CPUs,
 * power-off; and what the device tree's CPU nodes say (ids, Sstc, timebase).
 *
 * arch_firmware_init() on the boot CPU before any other runs; the rest from any context. SBI calls
 * keep all registers but a0 and a1. A hart id is a name, never an index: they are sparse, and any
 * hart may be the boot hart.
 */
#include "arch/riscv/port.h"
#include "core/cpu.h"
#include "core/fdt.h"
#include "core/irq.h"
#include "core/string.h"

#define SBI_ERR_NOT_SUPPORTED (-2)
#define SBI_ERR_INVALID_PARAM (-3)
#define SBI_ERR_ALREADY       (-6)

#define SEMIHOSTING_EXIT     0x18
#define SEMIHOSTING_APP_EXIT 0x20026

uint64_t riscv_timebase_hz;
bool riscv_harts_started;

static bool have_smp; /* HSM, IPI and RFENCE: [i] */

static bool sbi_probe(unsigned long extension)
{
	struct sbi_ret r = sbi_call(SBI_BASE, SBI_BASE_PROBE, extension, 0, 0, 0);

	return !r.error && r.value;
}

/* ---- CPU nodes ------------------------------------------------------------------------------- */

/*
 * Status alone does not do: firmware's own monitor hart (S7, E51) may be "okay", but it has no MMU
 * and says so by having no mmu-type. Sv39 is in all the larger modes.
 */
int arch_cpu_node(const struct dt *dt, int node, uint64_t *hwid)
{
	const char *type = dt_string(dt, node, "device_type"),
		   *mmu = dt_string(dt, node, "mmu-type");

	if (!type || strcmp(type, "cpu") || !dt_status_ok(dt, node) || !mmu ||
	    !strcmp(mmu, "riscv,none"))
		return -ENOENT;
	return dt_u64(dt, node, "reg", hwid) ? -ENOENT : 0;
}

/* Is @name one of the parts of an ISA string such as "rv64imafdc_zicsr_sstc1p0"? */
static bool isa_string_has(const char *isa, const char *name)
{
	size_t n = strlen(name);

	for (; *isa; isa++)
		if (isa[0] == '_' && !strncmp(isa + 1, name, n) &&
		    (isa[1 + n] < 'a' || isa[1 + n] > 'z'))
			return true;
	return false;
}

static bool cpu_has(const struct dt *dt, int node, const char *name)
{
	const char *isa = dt_string(dt, node, "riscv,isa");

	return dt_stringlist_has(dt, node, "riscv,isa-extensions", name) ||
	       (isa && isa_string_has(isa, name));
}

/* One timer for all: Sstc only when every CPU that may run has it. */
static bool all_have_sstc(const struct dt *dt)
{
	uint64_t hwid;
	bool any = false;

	for (int node = dt_first_child(dt, dt_path_node(dt, "/cpus")); node >= 0;
	     node = dt_next_sibling(dt, node)) {
		if (arch_cpu_node(dt, node, &hwid))
			continue;
		if (!cpu_has(dt, node, "sstc"))
			return false;
		any = true;
	}
	return any;
}

static uint64_t read_timebase(const struct dt *dt)
{
	int cpus = dt_path_node(dt, "/cpus");
	uint64_t hz;

	if (!dt_u64(dt, cpus, "timebase-frequency", &hz))
		return hz;
	for (int node = dt_first_child(dt, cpus); node >= 0; node = dt_next_sibling(dt, node))
		if (!dt_u64(dt, node, "timebase-frequency", &hz))
			return hz; /* where old trees have it */
	return 0;
}

/* ---- other CPUs ------------------------------------------------------------------------------ */

static void sbi_ipi_send(struct cpu *target)
{
	arch_io_barrier();
	sbi_call(SBI_IPI, 0, 1, target->hwid, 0, 0);
}

/*
 * Everything on every CPU that may hold translations; returns when they have done it. Costs nothing
 * before the first one is started.
 */
void riscv_sfence_others(void)
{
	if (riscv_harts_started)
		sbi_call(SBI_RFENCE, SBI_RFENCE_SFENCE, 0, -1ul, 0, -1ul);
}

int riscv_hart_start(uint64_t hwid, pa_t entry, uintptr_t opaque)
{
	struct sbi_ret r;

	if (!have_smp)
		return -ENOTSUP;
	riscv_harts_started = true;
	r = sbi_call(SBI_HSM, SBI_HSM_START, hwid, entry, opaque, 0);
	switch (r.error) {
	case 0:
		return 0;
	case SBI_ERR_NOT_SUPPORTED:
		return -ENOTSUP;
	case SBI_ERR_INVALID_PARAM:
		return -EINVAL;
	case SBI_ERR_ALREADY:
		return -EALREADY;
	}
	return -EIO;
}

void arch_cpu_stop(void)
{
	if (have_smp)
		sbi_call(SBI_HSM, SBI_HSM_STOP, 0, 0, 0, 0);
}

bool arch_cpu_stopped(const struct cpu *cpu)
{
	struct sbi_ret r = sbi_call(SBI_HSM, SBI_HSM_STATUS, cpu->hwid, 0, 0, 0);

	return !r.error && r.value == SBI_HSM_STOPPED;
}

int arch_firmware_init(const struct dt *dt, const char **why)
{
	riscv_timebase_hz = read_timebase(dt);
	riscv_machine.sstc = all_have_sstc(dt);
	riscv_machine.timer_eid = sbi_probe(SBI_TIME) ? SBI_TIME : SBI_LEGACY_TIMER;
	ipi_send = sbi_ipi_send;
	ipi_name = "SBI";
	have_smp = sbi_probe(SBI_HSM) && sbi_probe(SBI_IPI) && sbi_probe(SBI_RFENCE);
	if (have_smp)
		return 0;
	*why = "SBI lacks one of HSM, IPI and RFENCE: only the boot CPU can run";
	return -ENOTSUP;
}

/* ---- power-off ------------------------------------------------------------------------------- */

/*
 * The three instructions must be uncompressed and in one page: that is how a debugger tells them
 * from a breakpoint.
 */
static void semihosting_exit(int status)
{
	uint64_t block[2] = { SEMIHOSTING_APP_EXIT, (uint64_t)(uint32_t)status };
	register unsigned long a0 __asm__("a0") = SEMIHOSTING_EXIT;
	register unsigned long a1 __asm__("a1") = (unsigned long)block;

	__asm__ volatile(".balign 16\n\t"
			 ".option push\n\t"
			 ".option norvc\n\t"
			 "slli x0, x0, 0x1f\n\t"
			 "ebreak\n\t"
			 "srai x0, x0, 7\n\t"
			 ".option pop"
			 : "+r"(a0)
			 : "r"(a1)
			 : "memory");
}

/*
 * The call of before SRST is not tried: firmware that has no way to switch off never returns from
 * it, and nobody would hear why.
 */
void arch_system_off(int status, bool semihosting)
{
	if (semihosting)
		semihosting_exit(status);
	sbi_call(SBI_SRST, 0, 0, status != 0, 0, 0);
}
