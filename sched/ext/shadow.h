/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow mode: a candidate, one of the policies that are linked in, hears of everything that happens
 * under the policy that schedules. What it decides is compared with that and counted, and has no
 * effect.
 *
 * The steps of the policy that schedules write down what happens, in a ring. The thread "scx_shadow"
 * (SCHED_FIFO 1) plays that to the candidate, one event after the other, on a model of the machine
 * (shadow_model.c): its callbacks hear what they would hear, at the time at which it happened, and
 * their helpers see the model's CPUs and queues. What really happened is imposed on the model before
 * the next decision is asked for. So each decision is about the same situation, and decisions do not
 * add up: that the candidate would have run another thread here is counted once.
 *
 * Callbacks of the candidate are guarded as those of any policy; an error ends the shadow alone. Its
 * bpf_timers run in the thread too, up to a millisecond late.
 */
#pragma once

#include "sched/ext/ops.h"

struct ext_shadow_counts {
	uint64_t events;
	uint64_t lost; /* the ring was full: the model was mended by what came later */
	/* select_cpu(): the same CPU as the policy that schedules, or another one */
	uint64_t cpu_same, cpu_other;
	/* who runs next on a CPU: the same thread; another one; nobody; somebody, where it is idle */
	uint64_t next_same, next_other, next_none, next_some;
	/*
	 * slices: the candidate's was over, and another would have run, before the thread gave way;
	 * was not when it had to
	 */
	uint64_t slice_shorter, slice_longer;
	uint64_t kicks; /* scx_bpf_kick_cpu() */
};
#define EXT_SHADOW_COUNTS (sizeof(struct ext_shadow_counts) / sizeof(uint64_t))
/* By number, in this order. Context: any. */
const char *ext_shadow_count_name(unsigned i);

/*
 * @ops is the candidate from now on. 0; -ENOENT: no policy schedules; -EBUSY: there is a candidate
 * already; -EEXIST: it is the policy that schedules; -EINVAL: the table is wrong, said on the
 * console; -ENOMEM; what its init() returned. Context: thread.
 */
int ext_shadow(struct sched_ext_ops *ops);
/*
 * It hears of nothing more: its exit() was called, and the counts are on the console. Also at the end
 * of the policy that schedules, and before another takes over. -ENOENT: there is none. Context: thread.
 */
int ext_shadow_end(void);
/* Since it began; of the last one, when it has ended. Its name; NULL: there was none. Context: thread. */
const char *ext_shadow_counts(struct ext_shadow_counts *c);
/* There is one. Context: any. */
bool ext_shadow_is_on(void);

/* ---- for the framework ------------------------------------------------------------------------ */

struct ext_cpu;
struct ext_dsq;
struct ext_task;

enum ext_shadow_event {
	EXT_SHADOW_ENQUEUE, /* select_cpu() and enqueue(): @flags has SCX_ENQ_WAKEUP if it was woken */
	EXT_SHADOW_RUN,     /* runs on @cpu, or goes on there */
	EXT_SHADOW_ENTER,   /* runs on @cpu, and comes from another class */
	EXT_SHADOW_BACK,    /* gave way and is the policy's again: enqueue() */
	EXT_SHADOW_PREEMPT, /* gave way to a higher class, with some slice left: keeps its place */
	EXT_SHADOW_HOLD,    /* the same without slice: ENQUEUE follows */
	EXT_SHADOW_YIELD,   /* as BACK, of its own will */
	EXT_SHADOW_SLEEP,
	EXT_SHADOW_OUT,   /* out of its queue: an attribute changes; ENQUEUE follows, or LEAVE */
	EXT_SHADOW_LEAVE, /* goes to another class */
	EXT_SHADOW_EXIT,
	EXT_SHADOW_IDLE, /* @cpu has nobody to run */
};

#define EXT_SHADOW_FORK (1ull << 63) /* in @flags of ENQUEUE: a new thread */

extern uint32_t ext_shadowing; /* [a] events are wanted */
/*
 * Of @e, NULL: of none. @other: the CPU where it was before; where the policy put it is e->cpu. Irqs
 * masked, no lock of rank LOCK_EXT held.
 */
void ext_shadow_note(enum ext_shadow_event what, struct ext_task *e, unsigned cpu, unsigned other,
		     uint64_t flags);
#define EXT_SHADOW(...)                                            \
	do {                                                       \
		if (unlikely(atomic_load_relaxed(&ext_shadowing))) \
			ext_shadow_note(__VA_ARGS__);              \
	} while (0)

/* ext.mutex held: there is none any more when this returns. */
void ext_shadow_stop(void);

/* Its init() is being called. Context: that. */
bool ext_shadow_begins(void);

/*
 * What helpers do instead when the candidate calls them: ext_in_shadow(). Irqs masked in callbacks.
 */
bool ext_calls_shadow(void);
static inline bool ext_in_shadow(void)
{
	return unlikely(atomic_load_relaxed(&ext_shadowing)) && ext_calls_shadow();
}
struct sched_ext_ops *ext_shadow_ops(void);
uint64_t ext_shadow_now_ns(void);
unsigned ext_shadow_cpu(void);
void ext_shadow_kick(void);
bool ext_shadow_claim(unsigned cpu);
void ext_shadow_idle_mask(struct cpumask *mask);
uint32_t ext_shadow_nr_local(unsigned cpu);
struct ext_dsq *ext_shadow_global(void);
struct task_struct *ext_shadow_task(const struct ext_task *e);
/* Inserts of dispatch() so far; and the first of @q that may run on the CPU. */
void ext_shadow_flush(struct ext_cpu *x);
bool ext_shadow_consume(struct ext_dsq *q);
/* What e->insert says. */
void ext_shadow_commit(struct ext_task *e);
