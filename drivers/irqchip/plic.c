/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The platform-level interrupt controller: sources 1..ndev, one context for each hart and mode.
 * Ours are the contexts whose entry in interrupts-extended is the supervisor external interrupt (9)
 * of a hart; a context's number is its place in that list and never computed from the hart id,
 * since monitor harts have fewer contexts than others.
 *
 * Masking is priority 0, and a source stays enabled in its context meanwhile: a completion is
 * dropped in silence when the source is not enabled, so a handler that masked its own source would
 * otherwise never hear of it again. For the same reason set_affinity() only enables the source at
 * the new CPU; the old one takes itself out when it next claims it, after completing. At most one
 * more interrupt can come there.
 *
 * Locks: plic_lock for enable bits, targets and priorities; the interrupt path takes it only to
 * take itself out. Probed before the CPUs are enumerated.
 *
 * Only for: riscv
 */
#include "core/console.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/fdt.h"
#include "core/irq.h"

#define CAUSE_S_EXTERNAL  9
#define PRIORITY(source)  (4u * (source))
#define ENABLE(context)   (0x2000u + 0x80u * (context))
#define CONTEXT(context)  (0x200000u + 0x1000u * (context))
#define CONTEXT_THRESHOLD 0
#define CONTEXT_CLAIM     4

#define CONTEXTS_MAX ARCH_CPU_MAX

struct plic_context {
	volatile uint32_t *claim; /* [i] claim by reading, complete by writing */
	uint64_t hwid;            /* [i] */
	uint32_t number;          /* [i] */
	uint16_t id;              /* [i] place in plic_contexts, + 1 */
};

static volatile void *plic_base;                        /* [i] */
static int plic_node = -1;                              /* [i] */
static uint32_t plic_sources;                           /* [i] 1..this */
static struct plic_context plic_contexts[CONTEXTS_MAX]; /* [i] */
static unsigned plic_nr_contexts;                       /* [i] */
/* [plic_lock] id of the context a source belongs to; 0: none yet */
static uint16_t plic_target[IRQ_MAX];
/* [a] sources that changed CPU and are still enabled at the old one */
static uint32_t plic_moving;
static struct spinlock plic_lock = SPINLOCK_INIT(LOCK_IRQ);

static bool source_enabled(const struct plic_context *c, unsigned source)
{
	return mmio_read32(plic_base, ENABLE(c->number) + source / 32 * 4) >> source % 32 & 1;
}

/* Under plic_lock. */
static void source_enable(const struct plic_context *c, unsigned source, bool on)
{
	size_t at = ENABLE(c->number) + source / 32 * 4;
	uint32_t bits = mmio_read32(plic_base, at), bit = 1u << source % 32;

	mmio_write32(plic_base, at, on ? bits | bit : bits & ~bit);
}

static __noinline void source_leave(const struct plic_context *c, unsigned source)
{
	spin_lock(&plic_lock);
	if (plic_target[source] != c->id) {
		source_enable(c, source, false);
		atomic_store_relaxed(&plic_moving, plic_moving - 1);
	}
	spin_unlock(&plic_lock);
}

/*
 * One source; what else is pending takes the next trap, after the threads that this one woke had
 * their turn.
 */
static void plic_handle(void)
{
	const struct plic_context *c = arch_cpu_self()->irq_private;
	uint32_t source = *c->claim;

	if (unlikely(!source))
		return;
	irq_dispatch(source);
	*c->claim = source;
	if (unlikely(atomic_load_relaxed(&plic_moving)))
		source_leave(c, source);
}

static struct plic_context *context_of(const struct cpu *cpu)
{
	for (unsigned i = 0; i < plic_nr_contexts; i++)
		if (plic_contexts[i].hwid == cpu->hwid)
			return &plic_contexts[i];
	return NULL;
}

/*
 * A CPU without a context never gets an external interrupt; one that claims 0 for ever stands in
 * for it.
 */
static void plic_cpu_init(struct cpu *cpu)
{
	static uint32_t nothing;
	static struct plic_context none = { .claim = &nothing };
	struct plic_context *c = context_of(cpu);

	cpu->irq_private = c ? c : &none;
	if (c)
		mmio_write32(plic_base, CONTEXT(c->number) + CONTEXT_THRESHOLD, 0);
	else
		printk("plic: no context for the hart with id 0x%llx\n",
		       (unsigned long long)cpu->hwid);
}

static bool valid(unsigned source)
{
	return source && source <= plic_sources;
}

static void plic_mask(unsigned source)
{
	if (valid(source))
		mmio_write32(plic_base, PRIORITY(source), 0);
}

/* A source that nobody placed yet goes to the calling CPU. */
static void plic_unmask(unsigned source)
{
	unsigned long flags;
	const struct plic_context *c;

	if (!valid(source))
		return;
	flags = spin_lock_irqsave(&plic_lock);
	c = arch_cpu_self()->irq_private;
	if (!plic_target[source] && c->id) {
		plic_target[source] = c->id;
		source_enable(c, source, true);
	}
	mmio_write32(plic_base, PRIORITY(source), 1);
	spin_unlock_irqrestore(&plic_lock, flags);
}

/* The new CPU first: the source is enabled somewhere at any time. */
static int plic_set_affinity(unsigned source, struct cpu *cpu)
{
	const struct plic_context *c = context_of(cpu);
	unsigned long flags;

	if (!valid(source) || !c)
		return -EINVAL;
	flags = spin_lock_irqsave(&plic_lock);
	source_enable(c, source, true);
	if (plic_target[source] && plic_target[source] != c->id)
		atomic_store_relaxed(&plic_moving, plic_moving + 1);
	plic_target[source] = c->id;
	spin_unlock_irqrestore(&plic_lock, flags);
	return 0;
}

/*
 * Nothing is claimed here, so sources can be disabled at once, those on the way elsewhere included.
 * Where the heir has no context, they stay.
 */
static void plic_cpu_exit(struct cpu *cpu, struct cpu *heir)
{
	const struct plic_context *c = cpu->irq_private, *to = heir->irq_private;

	if (!c->id || !to->id)
		return;
	spin_lock(&plic_lock);
	for (unsigned source = 1; source <= plic_sources; source++) {
		if (plic_target[source] == c->id) {
			source_enable(to, source, true);
			plic_target[source] = to->id;
		} else if (source_enabled(c, source)) {
			atomic_store_relaxed(&plic_moving, plic_moving - 1);
		}
		source_enable(c, source, false);
	}
	spin_unlock(&plic_lock);
}

static int plic_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq)
{
	if (controller != plic_node || n != 1 || !valid(cells[0]))
		return -EINVAL;
	*hwirq = cells[0];
	return 0;
}

static const struct irq_chip plic_chip = {
	.name = "PLIC",
	.handle = plic_handle,
	.cpu_init = plic_cpu_init,
	.cpu_exit = plic_cpu_exit,
	.mask = plic_mask,
	.unmask = plic_unmask,
	.set_affinity = plic_set_affinity,
	.translate = plic_translate,
};

/* Entry @number of the list: nobody's but ours is touched. */
static void add_context(const struct dt *dt, const struct dt_args *entry, unsigned number,
			size_t bytes)
{
	struct plic_context *c = &plic_contexts[plic_nr_contexts];
	uint64_t hwid;

	if (entry->n != 1 || entry->cells[0] != CAUSE_S_EXTERNAL ||
	    arch_cpu_node(dt, dt_parent(dt, entry->target), &hwid))
		return;
	if (plic_nr_contexts == CONTEXTS_MAX || CONTEXT(number) + CONTEXT_CLAIM >= bytes)
		return;
	c->claim =
		(volatile uint32_t *)((volatile char *)plic_base + CONTEXT(number) + CONTEXT_CLAIM);
	c->hwid = hwid;
	c->number = number;
	c->id = (uint16_t)++plic_nr_contexts;
}

/*
 * Firmware or a loader may have left anything: every source masked, none enabled for us, what is
 * claimed completed by nobody.
 */
static void quiesce(void)
{
	for (unsigned source = 1; source <= plic_sources; source++)
		mmio_write32(plic_base, PRIORITY(source), 0);
	for (unsigned i = 0; i < plic_nr_contexts; i++)
		for (unsigned word = 0; word <= plic_sources / 32; word++)
			mmio_write32(plic_base, ENABLE(plic_contexts[i].number) + word * 4, 0);
}

static int plic_probe(const struct dt *dt, int node)
{
	struct dt_args entry;
	uint32_t ndev;
	size_t bytes;
	int err;

	if (plic_base)
		return -EBUSY; /* the first one is the root */
	if (dt_u32(dt, node, "riscv,ndev", &ndev) || !ndev ||
	    dt_args_begin(dt, node, "interrupts-extended", "#interrupt-cells", &entry))
		return -EINVAL;
	plic_base = device_map_reg(dt, node, 0, &bytes);
	if (!plic_base)
		return -ENOMEM;
	plic_node = node;
	plic_sources = MIN(ndev, IRQ_MAX - 1u);
	for (unsigned number = 0; (err = dt_args_next(dt, &entry)) == 0 || err == -ENODEV; number++)
		if (!err)
			add_context(dt, &entry, number, bytes);
	if (!plic_nr_contexts)
		return -ENODEV;
	quiesce();
	irq_root_set(&plic_chip);
	return 0;
}

DRIVER(plic, DRIVER_IRQCHIP, plic_probe, "sifive,plic-1.0.0", "riscv,plic0");
