/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs. Numbered 0.. in device-tree order; the hardware id is a field. struct cpu is reached
 * through arch_cpu_self() with irqs masked, or through cpu_at(). Lock legend: [i] immutable after
 * bring-up, [o] owner CPU only with irqs masked, [q] rq.lock, [a] atomic.
 */
#pragma once

#include "core/arch.h"
#include "core/cpumask.h"
#include "core/lock.h"
#include "core/runqueue.h"
#include "core/timer.h"

struct dt;
struct thread;

enum cpu_state {
	CPU_OFFLINE,
	CPU_ONLINE,   /* it schedules */
	CPU_TOO_LATE, /* to come up, and parked */
	CPU_LEAVING,  /* has nothing to run any more, and is to stop */
	CPU_PARKED, /* off, where firmware cannot stop it: waits for CPU_OFFLINE, then comes back */
};

struct cpu {
	struct arch_cpu arch; /* first: trap entry finds it at offset 0 */
	struct runqueue rq;
	struct timer_queue timers;
	uint64_t hwid;   /* [i] MPIDR affinity or hart id */
	uint32_t index;  /* [i] 0.. in device-tree order */
	uint32_t online; /* [a] enum cpu_state */
	/* [i] of the interrupt controller's driver (redistributor, PLIC context) */
	void *irq_private;
	void *ipi_private;               /* [i] of the IPI driver */
	struct fair_server server;       /* [q] of rq */
	struct lock_node lock_node;      /* [a] this CPU's place in the queue of a contended lock */
	struct lock_ranks lock_ranks;    /* [o] ranks held, debug builds */
	struct list_head stack_cache[5]; /* [o] core/mem/stack.c: cached stacks by size class */
	unsigned stack_cached[5];        /* [o] */
} __aligned_to(ARCH_CACHE_LINE_BYTES);

extern struct cpu *cpu_table[ARCH_CPU_MAX]; /* [i] */
/* [i] CPUs in the tree that this kernel knows, up or not */
extern unsigned cpu_count;
/*
 * [a] CPUs that threads may be put on. Whoever chooses one of them reads it with irqs masked, and
 * has queued the thread before it unmasks them (sched/hotplug.c says why).
 */
extern struct cpumask cpu_online_mask;

static inline struct cpu *cpu_at(unsigned index)
{
	return cpu_table[index];
}

/* It takes interrupts and may be running threads. */
static inline bool cpu_is_up(const struct cpu *cpu)
{
	uint32_t state = atomic_load_acquire(&cpu->online);

	return state == CPU_ONLINE || state == CPU_LEAVING;
}

/*
 * The CPU this runs on, from nothing: traps, per-CPU pointer, idle thread. Its number is its place
 * in @dt (NULL: 0). First of all calls.
 */
void cpu_init_boot(struct cpu *cpu, struct thread *idle, const struct dt *dt, uint64_t hwid);
/* Numbers all CPUs of the tree, allocates what each needs. -ENOMEM. Context: boot. */
int cpu_enumerate(const struct dt *dt);
/*
 * Starts all (@limit in all, 0: no limit), then waits for all together, 10 s at most; those missing
 * are named and left off. Context: boot.
 */
void cpu_start_all(unsigned limit);
/* A secondary CPU is ready to schedule. False: it came too late and must park. */
bool cpu_report_online(struct cpu *cpu);
