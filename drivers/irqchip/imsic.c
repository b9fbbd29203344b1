/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Incoming message-signalled interrupt controllers of RISC-V, one file of identities for each hart,
 * and the APLIC that sends them what comes by wire. Inter-processor interrupts are messages as well:
 * one store, and no call to firmware.
 *
 * Identity 1 is the inter-processor interrupt, identity 1 + n source n of the APLIC; all are enabled
 * in every file, and masked at the APLIC. A message that is on its way when its source is masked or
 * moves still arrives; its handler finds nothing to do.
 *
 * No lock: a file's registers are its hart's own, reached by CSRs of that hart.
 *
 * Only for: riscv
 */
#include "drivers/irqchip/aplic.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

#define CSR_SISELECT "0x150"
#define CSR_SIREG    "0x151"
#define CSR_STOPEI   "0x15c"

#define SELECT_DELIVERY  0x70
#define SELECT_THRESHOLD 0x72
#define SELECT_PENDING   0x80 /* 64 identities every second number */
#define SELECT_ENABLED   0xc0

#define IDENTITY_IPI   1u
#define IDENTITY_SHIFT 16
#define IDENTITY_MAX   2047u
#define FILE_SHIFT     12
#define REGIONS_MAX    16

struct file {
	uint64_t hwid;       /* [i] */
	volatile void *page; /* [i] a store of an identity at offset 0 makes it pending */
	uint32_t target;     /* [i] this hart in an APLIC's target register */
};

static struct file files[ARCH_CPU_MAX];        /* [i] */
static unsigned nr_files;                      /* [i] */
static unsigned identities;                    /* [i] 1..this */
static void (*fallback_send)(struct cpu *cpu); /* [i] for CPUs without a file */

/* Of the probe only: how physical addresses are made of numbers. */
static const struct dt *layout_tree;
static int layout_node;
static uint32_t guest_bits, hart_bits, group_bits, group_shift;

static const struct file *file_of(const struct cpu *cpu)
{
	for (unsigned i = 0; i < nr_files; i++)
		if (files[i].hwid == cpu->hwid)
			return &files[i];
	return NULL;
}

/*
 * One for each entry. What the sender of the interrupt stored is read after the claim that says it
 * was sent.
 */
static void imsic_handle(void)
{
	unsigned identity = (unsigned)(arch_device_reg_swap(CSR_STOPEI, 0) >> IDENTITY_SHIFT);

	if (identity == IDENTITY_IPI) {
		arch_io_barrier();
		trap_ipi();
	} else if (likely(identity)) {
		irq_dispatch(identity - 1);
		aplic_resend_level(identity - 1);
	}
}

static void imsic_ipi_send(struct cpu *target)
{
	volatile uint32_t *page = target->ipi_private;

	arch_io_barrier();
	if (unlikely(!page))
		fallback_send(target);
	else
		*page = IDENTITY_IPI;
}

static void select_write(unsigned long select, unsigned long value)
{
	arch_device_reg_swap(CSR_SISELECT, select);
	arch_device_reg_swap(CSR_SIREG, value);
}

static void imsic_cpu_init(struct cpu *cpu)
{
	const struct file *file = file_of(cpu);

	if (!file) {
		printk("imsic: no file for the hart with id 0x%llx\n",
		       (unsigned long long)cpu->hwid);
		return;
	}
	for (unsigned id = 0; id <= identities; id += 64) {
		select_write(SELECT_PENDING + id / 32, 0);
		select_write(SELECT_ENABLED + id / 32, ~0ul);
	}
	select_write(SELECT_THRESHOLD, 0);
	select_write(SELECT_DELIVERY, 1);
	cpu->ipi_private = (void *)(uintptr_t)file->page;
}

static int imsic_set_affinity(unsigned source, struct cpu *cpu)
{
	const struct file *file = file_of(cpu);

	if (!source || source > aplic_sources() || !file)
		return -EINVAL;
	aplic_set_target(source, file->target | (source + 1));
	return 0;
}

/* Has come to this hart, and was not claimed. */
static bool is_pending(unsigned identity)
{
	arch_device_reg_swap(CSR_SISELECT, SELECT_PENDING + identity / 64 * 2);
	return arch_device_reg_set(CSR_SIREG, 0) >> identity % 64 & 1;
}

/*
 * What came and nobody will claim any more is sent again, to the heir; so is every level, which may
 * just be on its way.
 */
static void imsic_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	const struct file *file = file_of(cpu);

	for (unsigned source = 1; file && source <= aplic_sources(); source++) {
		if (aplic_target(source) != (file->target | (source + 1)))
			continue;
		(void)imsic_set_affinity(source, heir);
		if (is_pending(source + 1))
			aplic_resend(source);
		else
			aplic_resend_level(source);
	}
}

/* A source that got its mode just now has no target yet: the boot CPU, which asks. */
static int imsic_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	int err = aplic_translate(cells, n, controller, hwirq);

	return err > 0 ? imsic_set_affinity(*hwirq, arch_cpu_self()) : err;
}

static const struct irq_chip imsic_chip = {
	.name = "IMSIC",
	.handle = imsic_handle,
	.cpu_init = imsic_cpu_init,
	.cpu_exit = imsic_cpu_exit,
	.mask = aplic_mask,
	.unmask = aplic_unmask,
	.set_affinity = imsic_set_affinity,
	.translate = imsic_translate,
};

/* ---- probe ----------------------------------------------------------------------------------- */

static uint32_t low_bits(uint64_t value, unsigned from, uint32_t bits)
{
	return (uint32_t)(value >> from) & ((1u << bits) - 1);
}

/* File @number: the regions of reg hold them one after the other, each with its guests' behind it. */
static void add_file(uint64_t hwid, unsigned number)
{
	uint64_t pa, size, at = (uint64_t)number << (FILE_SHIFT + guest_bits);
	struct file *file = &files[nr_files];
	volatile char *region;

	for (int i = 0; nr_files < ARCH_CPU_MAX && i < REGIONS_MAX; i++, at -= size) {
		if (dt_reg(layout_tree, layout_node, i, &pa, &size))
			return;
		if (at >= size)
			continue;
		region = device_map_reg(layout_tree, layout_node, i, NULL);
		if (!region)
			return;
		pa += at;
		file->hwid = hwid;
		file->page = region + at;
		file->target = (low_bits(pa, group_shift, group_bits) << hart_bits |
				low_bits(pa, FILE_SHIFT + guest_bits, hart_bits))
			       << APLIC_TARGET_HART_SHIFT;
		nr_files++;
		return;
	}
}

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1ul << bits < n)
		bits++;
	return bits;
}

static unsigned entries;

static void count_entry(uint64_t hwid, unsigned number)
{
	(void)hwid;
	entries = MAX(entries, number + 1);
}

static uint32_t number_or(const char *name, uint32_t otherwise)
{
	uint32_t value;

	return dt_u32(layout_tree, layout_node, name, &value) ? otherwise : value;
}

static int read_layout(const struct dt *dt, int node)
{
	int err;

	layout_tree = dt;
	layout_node = node;
	entries = 0;
	err = aia_each_hart(dt, node, count_entry);
	if (err || !entries)
		return err ? err : -ENODEV; /* firmware's own */
	identities = number_or("riscv,num-ids", 0);
	guest_bits = number_or("riscv,guest-index-bits", 0);
	hart_bits = number_or("riscv,hart-index-bits", bits_for(entries));
	group_bits = number_or("riscv,group-index-bits", 0);
	group_shift = number_or("riscv,group-index-shift", 24);
	if (identities < IDENTITY_IPI || identities > IDENTITY_MAX || guest_bits > 7 ||
	    hart_bits > 14 || group_bits > 7 || group_shift > 55)
		return -EINVAL;
	identities = MIN(identities, IRQ_MAX - 1u); /* whole words of 64 are enabled */
	return 0;
}

/* The supervisor domain that sends to these files, if there is one: else nothing comes by wire. */
static void wired_probe(const struct dt *dt, int imsic)
{
	uint32_t parent;

	for (int node = dt_node_by_compatible(dt, DT_START, "riscv,aplic"); node >= 0;
	     node = dt_node_by_compatible(dt, node, "riscv,aplic"))
		if (!dt_u32(dt, node, "msi-parent", &parent) &&
		    dt_phandle_node(dt, parent) == imsic && device_enabled(dt, node) &&
		    !aplic_domain_init(dt, node, true, identities - IDENTITY_IPI))
			return;
}

static int imsic_probe(const struct dt *dt, int node)
{
	int err;

	if (irq_root())
		return -ENODEV;
	err = read_layout(dt, node);
	if (err)
		return err;
	err = aia_each_hart(dt, node, add_file);
	if (err || !nr_files)
		return err ? err : -EINVAL;
	wired_probe(dt, node);
	fallback_send = ipi_send;
	ipi_send = imsic_ipi_send;
	ipi_name = "IMSIC";
	irq_root_set(&imsic_chip);
	return 0;
}

DRIVER(imsic, DRIVER_IRQCHIP, imsic_probe, "riscv,imsics");
