/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sampler behind sched/monitor.h, and with it what no other event would bring about: threads
 * that wait behind a real-time thread are offered to other CPUs, and a thread that has grown too
 * big for its slow CPU is offered to a faster one that is idle.
 *
 * One timer in the machine. monitor_watch() arms it where somebody is about to wait while a CPU is
 * idle; each sample is one pass over counters, without a lock. Only where they say "waits, and a
 * CPU is idle" is a lock taken, to find out whether that CPU may run it. Nothing found, no next
 * sample: whatever changes that passes by monitor_watch(). A violation that lasts is counted, and
 * cured by another kick.
 */
#include "sched/monitor.h"
#include "core/console.h"
#include "core/irq.h"
#include "core/topology.h"
#include "sched/balance.h"

uint32_t monitor_watching;

static struct monitor_counts counts;   /* written by the sampler only */
static uint16_t periods[ARCH_CPU_MAX]; /* for how long threads have waited there for nothing */
static struct timer sampler;
static uint32_t sampling; /* [a] a CPU takes a sample */

/* The CPUs that do nothing, whatever cpu_idle_mask says: a bit that was lost is a fault, too. */
static void find_idle(struct cpumask *idle)
{
	struct cpumask online;

	cpumask_snapshot(&online, &cpu_online_mask);
	cpumask_clear(idle);
	cpumask_for_each(i, &online)
		if (atomic_load_relaxed(&cpu_at(i)->rq.curr) == cpu_at(i)->rq.idle &&
		    !atomic_load_relaxed(&cpu_at(i)->rq.nr_ready))
			cpumask_set(idle, i);
}

/* An idle CPU that may run @t looks for work again. */
static void kick_again(const struct thread *t, const struct cpumask *idle)
{
	struct cpumask may;
	struct cpu *cpu;

	cpumask_and(&may, idle, &t->affinity);
	cpu = cpu_at(cpumask_next(&may, 0));
	atomic_store_relaxed(&cpu->rq.kicked, 1u);
	ipi_send(cpu);
}

/* Somebody waits on @cpu who may run on a CPU that is idle; not for the first time: it is told. */
static bool wastes(struct cpu *cpu, const struct cpumask *idle)
{
	struct thread *t = NULL;

	if (!cpu_has_waiting(cpu) || cpumask_empty(idle))
		return false;
	spin_lock(&cpu->rq.lock);
	if (cpu_has_waiting(cpu))
		t = balance_steal(&cpu->rq, idle);
	if (t && periods[cpu->index] >= MONITOR_PERSISTS)
		kick_again(t, idle);
	spin_unlock(&cpu->rq.lock);
	return t;
}

/* True: look again. */
static bool check_conservation(struct cpu *cpu, const struct cpumask *idle)
{
	uint16_t *n = &periods[cpu->index];

	if (!wastes(cpu, idle)) {
		*n = 0;
		return false;
	}
	if (*n < UINT16_MAX)
		++*n;
	if (*n == MONITOR_PERSISTS + 1) {
		counts.wasted++;
		counts.wasted_last_cpu = cpu->index;
	}
	counts.wasted_longest_ns = MAX(counts.wasted_longest_ns, *n * MONITOR_PERIOD_NS);
	return true;
}

/* A fair thread that may run elsewhere waits behind a real-time one: it is offered. */
static bool starves(struct cpu *cpu, uint64_t now_ns)
{
	struct cpumask others;
	bool movable;

	if (!cpu_behind_real_time(cpu) || !cpu_has_waiting(cpu))
		return false;
	cpumask_snapshot(&others, &cpu_online_mask);
	cpumask_reset(&others, cpu->index);
	spin_lock(&cpu->rq.lock);
	movable = fair_class.steal(&cpu->rq, &others);
	spin_unlock(&cpu->rq.lock);
	if (movable && now_ns >= atomic_load_relaxed(&cpu->rq.balance_ns))
		balance_from(cpu, now_ns);
	return movable;
}

/* An idle CPU may be wanted by a thread on a slower one. */
static bool may_grow(struct cpu *cpu, const struct cpumask *idle, uint64_t now_ns)
{
	if (topology.levels < 2 || !cpumask_test(idle, cpu->index) ||
	    now_ns < atomic_load_relaxed(&cpu->rq.balance_ns))
		return false;
	cpu->rq.balance_ns = now_ns + BALANCE_PERIOD_NS;
	return balance_pull_misfit(cpu);
}

static bool slower_runs(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (cpu_capacity(i) < TOPOLOGY_CAPACITY_MAX &&
		    atomic_load_relaxed(&cpu_at(i)->rq.curr) != cpu_at(i)->rq.idle)
			return true;
	return false;
}

/* One that comes while the last one is not at its end, because its CPU was slow, is put off. */
static void sample(struct timer *timer)
{
	uint64_t now_ns = time_now_ns();
	struct cpumask idle;
	bool again = false;

	(void)timer;
	atomic_store_release(&monitor_watching, 0u);
	if (atomic_swap_acq_rel(&sampling, 1u))
		return monitor_start();
	atomic_fence_seq_cst(); /* who finds it set is seen below, who does not arms it again */
	counts.samples++;
	find_idle(&idle);
	for (unsigned i = 0; i < cpu_count; i++) {
		struct cpu *cpu = cpu_at(i);

		if (!cpumask_atomic_test(&cpu_online_mask, i))
			continue;
		again |= check_conservation(cpu, &idle);
		again |= starves(cpu, now_ns);
		may_grow(cpu, &idle, now_ns);
	}
	again |= topology.levels > 1 && !cpumask_empty(&idle) && slower_runs();
	atomic_store_release(&sampling, 0u);
	if (again)
		monitor_start();
}

void monitor_start(void)
{
	if (cpu_count == 1 || atomic_swap_acq_rel(&monitor_watching, 1u))
		return;
	timer_init(&sampler, sample);
	timer_add(&sampler, time_now_ns() + MONITOR_PERIOD_NS);
}

static void add_lag(struct monitor_counts *out, const struct lag_counts *c)
{
	uint32_t broken = atomic_load_relaxed(&c->broken);
	int64_t worst_ns = atomic_load_relaxed(&c->worst_ns);

	out->lag_broken += broken;
	if (broken && ABS(worst_ns) >= ABS(out->lag_worst_ns)) {
		out->lag_worst_ns = worst_ns;
		out->lag_worst_tid = atomic_load_relaxed(&c->worst_tid);
	}
}

void monitor_read(struct monitor_counts *out)
{
	*out = counts;
	for (unsigned i = 0; i < cpu_count; i++)
		add_lag(out, &cpu_at(i)->rq.lag_counts);
}

void monitor_print(void)
{
	struct monitor_counts c;

	monitor_read(&c);
	printk("monitor: %llu times a CPU was idle while a thread that may run there waited (longest %llu us, last on CPU %u; %llu samples)\n",
	       (unsigned long long)c.wasted,
	       (unsigned long long)(c.wasted_longest_ns / NSEC_PER_USEC), c.wasted_last_cpu,
	       (unsigned long long)c.samples);
	printk("monitor: %llu times a fair thread's lag was out of bounds (worst %lld us, thread %d)\n",
	       (unsigned long long)c.lag_broken,
	       (long long)(c.lag_worst_ns / (int64_t)NSEC_PER_USEC), (int)c.lag_worst_tid);
}
