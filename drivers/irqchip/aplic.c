/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The advanced platform-level interrupt controller of RISC-V: its supervisor domain, and the driver
 * for machines without IMSICs, where it interrupts the harts itself. A hart's index is its place in
 * interrupts-extended, or what riscv,hart-indexes says, and never computed from the hart id.
 *
 * A claim of a level leaves it pending while the wire is active, that of an edge takes it back; there
 * is nothing to complete, so that dispatch is a tail call.
 *
 * No lock: enable bits are set and cleared by writes of their own, a target is one register. Probed
 * before the CPUs are enumerated.
 *
 * Only for: riscv
 */
#include "drivers/irqchip/aplic.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

#define CAUSE_S_EXTERNAL 9

#define DOMAINCFG         0x0000
#define SOURCECFG(source) (4ul * (source))
#define IN_CLRIP          0x1d00 /* reads as the wires' state */
#define SETIPNUM_LE       0x2000
#define SETIENUM          0x1edc
#define CLRIPNUM          0x1ddc
#define CLRIE             0x1f00
#define CLRIENUM          0x1fdc
#define TARGET(source)    (0x3000 + 4ul * (source))
#define IDC(index)        (0x4000 + 32ul * (index))
#define DOMAIN_BYTES      0x4000
#define IDC_BYTES         32
#define IDC_DELIVERY      0x00
#define IDC_FORCE         0x04
#define IDC_THRESHOLD     0x08
#define IDC_CLAIMI        0x1c
#define CLAIM_SHIFT       16

#define DOMAINCFG_ON  (1u << 8)
#define DOMAINCFG_MSI (1u << 2)
#define SOURCE_MAX    1023u /* = IRQ_MAX - 1 */
#define PRIORITY      1u

static volatile void *domain; /* [i] */
static size_t domain_bytes;   /* [i] */
static int domain_node = -1;  /* [i] */
static bool as_messages;      /* [i] */
static unsigned source_count; /* [i] */
static uint32_t
	level_sources[SOURCE_MAX / 32 + 1]; /* [i] after boot: bits of those that are levels */

/* ---- the domain ------------------------------------------------------------------------------ */

unsigned aplic_sources(void)
{
	return source_count;
}

static bool valid(unsigned source)
{
	return source && source <= source_count;
}

void aplic_mask(unsigned source)
{
	if (valid(source))
		mmio_write32(domain, CLRIENUM, source);
}

static bool is_level(unsigned source)
{
	return level_sources[source / 32] >> source % 32 & 1;
}

/*
 * As messages, a level that came and went while its source was masked may still be noted as pending
 * (QEMU's is): what counts is whether it is active now.
 */
void aplic_unmask(unsigned source)
{
	if (!valid(source))
		return;
	if (as_messages && is_level(source))
		mmio_write32(domain, CLRIPNUM, source);
	mmio_write32(domain, SETIENUM, source);
	if (as_messages)
		aplic_resend_level(source);
}

uint32_t aplic_target(unsigned source)
{
	return mmio_read32(domain, TARGET(source));
}

void aplic_set_target(unsigned source, uint32_t target)
{
	mmio_write32(domain, TARGET(source), target);
}

void aplic_resend(unsigned source)
{
	mmio_write32(domain, SETIPNUM_LE, source);
}

void aplic_resend_level(unsigned source)
{
	if (is_level(source))
		aplic_resend(source);
}

/*
 * Only the specifier says how a source is wired, and a source without a mode has neither target nor
 * enable bit; this is called at boot, with the interrupt masked.
 */
int aplic_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	static const uint8_t modes[] = { [1] = 4, [2] = 5, [4] = 6, [8] = 7 };
	unsigned source = cells[0];

	if (controller != domain_node || n != 2 || !valid(source) ||
	    cells[1] >= ARRAY_SIZE(modes) || !modes[cells[1]])
		return -EINVAL;
	*hwirq = source;
	if (mmio_read32(domain, SOURCECFG(source)))
		return 0;
	if (modes[cells[1]] >= 6)
		level_sources[source / 32] |= 1u << source % 32;
	mmio_write32(domain, SOURCECFG(source), modes[cells[1]]);
	return 1;
}

int aplic_domain_init(const struct dt *dt, int node, bool msi, unsigned limit)
{
	uint32_t count;
	size_t bytes;
	volatile void *regs;

	if (dt_u32(dt, node, "riscv,num-sources", &count) || !count || count > SOURCE_MAX)
		return -EINVAL;
	regs = device_map_reg(dt, node, 0, &bytes);
	if (!regs || bytes < DOMAIN_BYTES)
		return -EINVAL;
	domain = regs;
	domain_bytes = bytes;
	domain_node = node;
	as_messages = msi;
	source_count = MIN(count, limit);
	mmio_write32(domain, DOMAINCFG, msi ? DOMAINCFG_MSI : 0);
	for (unsigned word = 0; word <= count / 32; word++) {
		mmio_write32(domain, CLRIE + 4ul * word, ~0u);
		mmio_write32(domain, IN_CLRIP + 4ul * word, ~0u);
	}
	for (unsigned source = 1; source <= count; source++)
		mmio_write32(domain, SOURCECFG(source), 0);
	mmio_write32(domain, DOMAINCFG, DOMAINCFG_ON | (msi ? DOMAINCFG_MSI : 0));
	return 0;
}

int aia_each_hart(const struct dt *dt, int node, void (*each)(uint64_t hwid, unsigned index))
{
	struct dt_args entry;
	uint64_t hwid;
	uint32_t number;
	int err = dt_args_begin(dt, node, "interrupts-extended", "#interrupt-cells", &entry);

	for (unsigned i = 0; !err && ((err = dt_args_next(dt, &entry)) == 0 || err == -ENODEV);
	     i++, err = 0) {
		if (err || entry.n != 1 || entry.cells[0] != CAUSE_S_EXTERNAL ||
		    arch_cpu_node(dt, dt_parent(dt, entry.target), &hwid))
			continue;
		each(hwid, dt_u32_at(dt, node, "riscv,hart-indexes", (int)i, &number) ? i : number);
	}
	return err == -ENOENT ? 0 : err;
}

/* ---- direct mode ----------------------------------------------------------------------------- */

static struct {
	uint64_t hwid;
	unsigned index;
} harts[ARCH_CPU_MAX];    /* [i] */
static unsigned nr_harts; /* [i] */

static void add_hart(uint64_t hwid, unsigned index)
{
	if (nr_harts < ARCH_CPU_MAX && IDC(index) + IDC_BYTES <= domain_bytes) {
		harts[nr_harts].hwid = hwid;
		harts[nr_harts++].index = index;
	}
}

/* -1: it has none, and gets no external interrupts. */
static int index_of(const struct cpu *cpu)
{
	for (unsigned i = 0; i < nr_harts; i++)
		if (harts[i].hwid == cpu->hwid)
			return (int)harts[i].index;
	return -1;
}

/* QEMU's takes note of a level that goes away only when it is claimed: that claim is for nobody. */
static bool still_active(unsigned source)
{
	return !is_level(source) ||
	       (mmio_read32(domain, IN_CLRIP + source / 32 * 4ul) >> source % 32 & 1);
}

static void aplic_handle(void)
{
	uint32_t claim = mmio_read32(arch_cpu_self()->irq_private, 0);

	if (likely(claim && still_active(claim >> CLAIM_SHIFT)))
		irq_dispatch(claim >> CLAIM_SHIFT);
}

/* A CPU without a place reads its claims from a word that is 0 for ever. */
static void aplic_cpu_init(struct cpu *cpu)
{
	static uint32_t nothing;
	int index = index_of(cpu);
	volatile char *idc;

	cpu->irq_private = &nothing;
	if (index < 0) {
		printk("aplic: no place for the hart with id 0x%llx\n",
		       (unsigned long long)cpu->hwid);
		return;
	}
	idc = (volatile char *)domain + IDC(index);
	cpu->irq_private = (void *)(uintptr_t)(idc + IDC_CLAIMI);
	mmio_write32(idc, IDC_FORCE, 0);
	mmio_write32(idc, IDC_THRESHOLD, 0);
	mmio_write32(idc, IDC_DELIVERY, 1);
}

static int aplic_set_affinity(unsigned source, struct cpu *cpu)
{
	int index = index_of(cpu);

	if (!valid(source) || index < 0)
		return -EINVAL;
	aplic_set_target(source, (uint32_t)index << APLIC_TARGET_HART_SHIFT | PRIORITY);
	return 0;
}

static void aplic_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	int index = index_of(cpu);

	for (unsigned source = 1; index >= 0 && source <= source_count; source++)
		if (aplic_target(source) >> APLIC_TARGET_HART_SHIFT == (unsigned)index)
			(void)aplic_set_affinity(source, heir);
}

/* A source that got its mode just now has no target yet: the boot CPU, which asks. */
static int aplic_direct_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	int err = aplic_translate(cells, n, controller, hwirq);

	return err > 0 ? aplic_set_affinity(*hwirq, arch_cpu_self()) : err;
}

static const struct irq_chip aplic_chip = {
	.name = "APLIC",
	.handle = aplic_handle,
	.cpu_init = aplic_cpu_init,
	.cpu_exit = aplic_cpu_exit,
	.mask = aplic_mask,
	.unmask = aplic_unmask,
	.set_affinity = aplic_set_affinity,
	.translate = aplic_direct_translate,
};

/* A domain in front of IMSICs is theirs, and one whose harts are named by machine interrupts is firmware's. */
static int aplic_probe(const struct dt *dt, int node)
{
	int len, err;

	if (irq_root() || dt_prop(dt, node, "msi-parent", &len))
		return -ENODEV;
	domain_bytes = SIZE_MAX;
	nr_harts = 0;
	err = aia_each_hart(dt, node, add_hart);
	if (err || !nr_harts)
		return err ? err : -ENODEV;
	err = aplic_domain_init(dt, node, false, SOURCE_MAX);
	if (err)
		return err;
	nr_harts = 0;
	aia_each_hart(dt, node, add_hart); /* those whose registers are there */
	irq_root_set(&aplic_chip);
	return 0;
}

DRIVER(aplic, DRIVER_IRQCHIP, aplic_probe, "riscv,aplic");
