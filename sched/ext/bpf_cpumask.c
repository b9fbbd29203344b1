/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU masks of policies. Those that a policy asks for are of a pool, with a count of users; at the
 * policy's end all are free again, as nothing of it is left. No locks: words of masks change
 * atomically, one by one.
 */
#include "sched/ext/ext.h"
#include "sched/ext/include/scx/maps.bpf.h"
#include "sched/ext/policy.h"

static struct bpf_cpumask pool[BPF_CPUMASK_MAX];
static uint8_t sides[BPF_CPUMASK_MAX]; /* whose they are: ext_side() */

static bool pooled(const struct bpf_cpumask *mask)
{
	if (mask >= pool && mask < pool + BPF_CPUMASK_MAX && atomic_load_relaxed(&mask->users))
		return true;
	ext_exit(SCX_EXIT_ERROR, 0, "bpf_cpumask: %p is none, or released", (const void *)mask);
	return false;
}

struct bpf_cpumask *bpf_cpumask_create(void)
{
	for (u32 i = 0; i < BPF_CPUMASK_MAX; i++) {
		u32 none = 0;

		if (atomic_cas_acq_rel(&pool[i].users, &none, 1u)) {
			cpumask_clear(&pool[i].cpumask);
			sides[i] = (uint8_t)ext_side();
			return &pool[i];
		}
	}
	return NULL;
}

struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *mask)
{
	if (!pooled(mask))
		return NULL;
	atomic_fetch_add_acq_rel(&mask->users, 1u);
	return mask;
}

void bpf_cpumask_release(struct bpf_cpumask *mask)
{
	if (pooled(mask))
		atomic_fetch_add_acq_rel(&mask->users, -1u);
}

void ext_cpumasks_end(unsigned side)
{
	for (u32 i = 0; i < BPF_CPUMASK_MAX; i++)
		if (sides[i] == side)
			pool[i].users = 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

u32 bpf_cpumask_first_zero(const struct cpumask *mask)
{
	u32 cpu = 0;

	while (cpu < cpu_count && cpumask_test(mask, cpu))
		cpu++;
	return cpu;
}

u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b)
{
	struct cpumask both;

	cpumask_and(&both, a, b);
	return cpumask_next(&both, 0);
}

u32 bpf_cpumask_any_distribute(const struct cpumask *mask)
{
	static u32 last[ARCH_CPU_MAX]; /* by the CPU that asks */
	u32 *from = &last[arch_cpu_self()->index];
	u32 cpu = cpumask_next(mask, *from + 1 < ARCH_CPU_MAX ? *from + 1 : 0);

	if (cpu >= ARCH_CPU_MAX)
		cpu = cpumask_next(mask, 0);
	if (cpu < ARCH_CPU_MAX)
		*from = cpu;
	return cpu;
}

u32 bpf_cpumask_any_and_distribute(const struct cpumask *a, const struct cpumask *b)
{
	struct cpumask both;

	cpumask_and(&both, a, b);
	return bpf_cpumask_any_distribute(&both);
}

bool bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b)
{
	struct cpumask both;

	cpumask_and(&both, a, b);
	return cpumask_equal(&both, a);
}

bool bpf_cpumask_full(const struct cpumask *mask)
{
	return bpf_cpumask_first_zero(mask) >= cpu_count;
}

/* ---- changes --------------------------------------------------------------------------------- */

void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	bpf_cpumask_test_and_set_cpu(cpu, mask);
}

void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	bpf_cpumask_test_and_clear_cpu(cpu, mask);
}

bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	u64 bit = 1ull << (cpu % 64);

	if (cpu >= cpu_count || !pooled(mask))
		return false;
	return atomic_fetch_or_acq_rel(&mask->cpumask.bits[cpumask_word(cpu)], bit) & bit;
}

bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	u64 bit = 1ull << (cpu % 64);

	if (cpu >= cpu_count || !pooled(mask))
		return false;
	return atomic_fetch_and_acq_rel(&mask->cpumask.bits[cpumask_word(cpu)], ~bit) & bit;
}

void bpf_cpumask_setall(struct bpf_cpumask *mask)
{
	for (u32 i = 0; i < cpu_count; i++)
		bpf_cpumask_set_cpu(i, mask);
}

void bpf_cpumask_clear(struct bpf_cpumask *mask)
{
	if (pooled(mask))
		cpumask_clear(&mask->cpumask);
}

void bpf_cpumask_copy(struct bpf_cpumask *to, const struct cpumask *from)
{
	if (pooled(to))
		to->cpumask = *from;
}

bool bpf_cpumask_and(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b)
{
	if (!pooled(to))
		return false;
	cpumask_and(&to->cpumask, a, b);
	return !cpumask_empty(&to->cpumask);
}

void bpf_cpumask_or(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b)
{
	for (unsigned i = 0; pooled(to) && i < CPUMASK_WORDS; i++)
		to->cpumask.bits[i] = a->bits[i] | b->bits[i];
}

void bpf_cpumask_xor(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b)
{
	for (unsigned i = 0; pooled(to) && i < CPUMASK_WORDS; i++)
		to->cpumask.bits[i] = a->bits[i] ^ b->bits[i];
}
