/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that go and come at run time. One change at a time: whoever comes second gets -EBUSY and may
 * try again. What never works again by itself: affinity. A thread whose mask has no online CPU left
 * gets all online CPUs, which is logged, and keeps them when the old one is back; interrupts that
 * went to a CPU which left stay where they were routed. The stacks that a CPU has cached stay its
 * own, until it is back.
 */
#pragma once

#include "core/base.h"

struct cpu;

/*
 * Takes @cpu off: its threads, timers and interrupts go to others, then it is stopped by firmware
 * or, where firmware cannot, waits. Returns when it is gone; 0 also when it was off already.
 * -EINVAL: no such CPU. -EBUSY: the last one, or another change is under way, or deadlines that were
 * admitted need it. -ETIMEDOUT: it did
 * not let go within 10 s and is online as before; or it did, but firmware does not confirm that it
 * is off. The calling thread may be on @cpu, and is moved. Context: thread.
 */
int cpu_offline(unsigned cpu);
/*
 * Starts @cpu, which is off; returns when it schedules. 0 also when it is online already. -EINVAL:
 * no such CPU. -EBUSY: another change is under way. -ENODEV: it came too late once and is parked
 * for good. -ETIMEDOUT: not up within 10 s, left off for good; else what arch_cpu_start() says.
 * Context: thread.
 */
int cpu_online(unsigned cpu);

/*
 * Returns when every CPU has taken an interrupt that was sent after the call: what ran anywhere with
 * interrupts masked has ended. A change that is under way is waited for; one that comes meanwhile is
 * -EBUSY. Context: thread.
 */
void cpu_all_see(void);

/* ---- between core/ and sched/ ---------------------------------------------------------------- */

/* [a] the CPU that cpu_offline() is at; NULL: none */
extern struct cpu *cpu_leaving;

/*
 * [a] Is asked before a CPU goes (@begins), false: it must stay; and told when that is over, whatever
 * came of it. NULL: nobody minds.
 */
extern bool (*cpu_may_leave)(unsigned cpu, bool begins);

/* From sched_ipi() while a change is under way. May stop this CPU: on its idle thread then. */
void cpu_change_seen(struct cpu *cpu);

/* Implemented by sched/hotplug.c. */
/* While on, sched_ipi() calls cpu_change_seen(). */
void sched_change_begin(void);
/* The policy that is loaded, if one is: @cpu is about to leave, or has come. Context: thread. */
void sched_tell_policy(unsigned cpu, bool online);
void sched_change_end(void);
/*
 * Moves every thread that is where it may not run: its mask, or cpu_online_mask, was changed
 * before. Context: thread.
 */
void sched_settle_threads(void);
/* Nobody runs or waits on @cpu, which is not in cpu_online_mask: so it stays. Context: thread. */
bool sched_cpu_is_empty(struct cpu *cpu);
/* @cpu, itself, goes: nobody is to look for it among the idle ones. */
void sched_cpu_left(struct cpu *cpu);
