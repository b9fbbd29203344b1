/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What balance.c (quick: placement and pulling), rebalance.c (seldom: fairness between CPUs,
 * unequal CPUs, threads sent away) and monitor.c (the sampler) share. Two rq locks are held at once
 * only in the first two, by spin_lock_pair().
 */
#pragma once

#include "sched/sched.h"

/* How often a CPU where threads wait compares itself with the others, at the end of a slice. */
#define BALANCE_PERIOD_NS (8 * NSEC_PER_MSEC)

/* [a] threads on all outgoing lists, and 1 while a CPU comes or goes */
extern uint32_t balance_outgoing;

/*
 * What sched/hotplug.c adds while a CPU comes or goes. By pointers, so that an image that never
 * asks for it is without.
 */
struct balance_hotplug {
	/* an interrupt has come to @cpu; may stop it; on its idle thread then */
	void (*seen)(struct cpu *cpu);
	/* no online CPU is in the affinity of @t: where to, for the time being */
	struct cpu *(*place)(struct thread *t, bool fork);
};
extern const struct balance_hotplug *balance_hotplug; /* [a] NULL until the first change */

/* [a] On an interrupt while balance_outgoing is not 0, no lock held; NULL: nothing more to do. */
extern void (*balance_seek)(struct cpu *cpu);

/*
 * Threads wait on @cpu that will not run there at once: an idle CPU with one is about to run it.
 * Any context, no lock: a guess.
 */
static inline bool cpu_has_waiting(const struct cpu *cpu)
{
	return atomic_load_relaxed(&cpu->rq.nr_ready) >
	       (atomic_load_relaxed(&cpu->rq.curr) == cpu->rq.idle);
}

/* balance.c */
struct cpu *balance_claim(const struct cpumask *allowed, unsigned from, bool kick);
/*
 * a waiting thread of @rq, locked, that may run on one of @cpus; NULL: none, or not among the first
 */
struct thread *balance_steal(const struct runqueue *rq, const struct cpumask *cpus);
void balance_move(struct runqueue *from, struct runqueue *to, struct thread *t);

/* rebalance.c; with groups: group_balance.c */
#define TURN_NS      (NSEC_PER_MSEC / 2)  /* less difference is not worth a move */
#define ACTIVE_NS    (2 * FAIR_SLICE_NS)  /* more, and it is the running thread that goes */
#define AHEAD_MAX_NS (64 * NSEC_PER_MSEC) /* no thread is further from the general position */

/* A move that somebody thought of, and what it is worth, in virtual units; NULL: none is. */
struct move {
	struct thread *t;
	int64_t worth;
};

/* [a] of a fair thread between two CPUs, both locked; the first group puts its own here */
extern struct move (*balance_best_move)(struct cpu *from, struct cpu *to);
/* [a] with groups: what a CPU weighs may be out of date, so the least loaded one looks around, too */
extern bool balance_loads_vary;

/* Fair threads do not run there at all. */
static inline bool cpu_behind_real_time(const struct cpu *cpu)
{
	return atomic_peek_relaxed(&atomic_load_relaxed(&cpu->rq.curr)->sched.rank) >= RANK_RT;
}

/* rebalance.c */
/* takes what others sent away and may run on @cpu; no lock held */
void balance_take_all(struct cpu *cpu);
struct cpu *balance_least_loaded(const struct cpumask *allowed, struct cpu *prev);
/*
 * Unequal CPUs: where @t has room enough. NULL: nowhere idle, or anywhere will do. Lock of @t held.
 */
struct cpu *balance_claim_fit(struct thread *t, struct cpu *prev, bool prev_idle, bool fork);
/* @cpu, idle, asks for a running thread that its own CPU is too slow for; no lock held. */
bool balance_pull_misfit(struct cpu *cpu);
/* Evens out what @cpu has too much of, by one thread. No lock held, irqs masked, any CPU. */
void balance_from(struct cpu *cpu, uint64_t now_ns);

/* monitor.c */
void monitor_start(void); /* no lock of rank LOCK_TIMER or above held; irqs masked */

extern uint32_t monitor_watching; /* [a] */

/*
 * Somebody waits while a CPU is idle, or behind real time: the sampler is to look on. Irqs masked.
 */
static inline void monitor_watch(void)
{
	if (unlikely(!atomic_load_relaxed(&monitor_watching)))
		monitor_start();
}
