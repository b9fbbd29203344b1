/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups of fair threads: a share of the CPU, and a limit to it, for all members together; nested.
 *
 * A group has, on each CPU, a queue of its members there (threads and groups) and an entity that
 * competes in the queue of its parent, at the top in rq->fair: EEVDF at each level. Weights have
 * the scale of cgroups: a thread of nice 0 weighs as much as a group of weight 100. A group on
 * several CPUs has its weight once: the entity on a CPU has the part of it that the group's load
 * there is of its load everywhere. Limits are CPU time per period, of all CPUs together.
 *
 * A thread may be attached in any state and with any policy: while it is real-time, its group has
 * no effect on it. It leaves its group when it ends. A new thread is in no group.
 */
#pragma once

#include "core/thread.h"
#include "sched/eevdf.h"

#define GROUP_WEIGHT_MIN     1u
#define GROUP_WEIGHT_MAX     10000u
#define GROUP_WEIGHT_DEFAULT 100u
#define GROUP_QUOTA_MIN_NS   (100 * NSEC_PER_USEC)
#define GROUP_PERIOD_MIN_NS  (1 * NSEC_PER_MSEC)
#define GROUP_PERIOD_MAX_NS  (1 * NSEC_PER_SEC)
/* Groups within each other: bounds every walk from a thread to the top. */
#define GROUP_DEPTH_MAX 8u
/*
 * A CPU takes its part of what is left of the quota, but so much at most; what is less than the
 * second is left over for the next period.
 */
#define GROUP_PORTION_NS (1 * NSEC_PER_MSEC)
#define GROUP_LEAST_NS   (20 * NSEC_PER_USEC)

struct thread_group;

struct group_attr {
	uint32_t weight;    /* GROUP_WEIGHT_MIN..GROUP_WEIGHT_MAX */
	uint64_t quota_ns;  /* GROUP_QUOTA_MIN_NS..period_ns for each CPU there is; 0: no limit */
	uint64_t period_ns; /* GROUP_PERIOD_MIN_NS..GROUP_PERIOD_MAX_NS; 0 without a limit */
};

/*
 * NULL if @attr may be set; else the field that is out of range, with @expected: what may stand
 * there. Context: any.
 */
const char *group_attr_fault(const struct group_attr *attr, const char **expected);
/*
 * @parent NULL: at the top; @attr NULL: the default weight, no limit. -EINVAL: group_attr_fault()
 * says what is wrong, or @parent is GROUP_DEPTH_MAX deep; -EAGAIN: no memory. Context: thread.
 */
int group_create(struct thread_group **out, struct thread_group *parent,
		 const struct group_attr *attr);
/* -EBUSY: it has members (threads or groups). Context: thread. */
int group_destroy(struct thread_group *g);
/* -EINVAL. Takes effect before they return. Context: thread. */
int group_set_weight(struct thread_group *g, uint32_t weight);
int group_set_quota(struct thread_group *g, uint64_t quota_ns, uint64_t period_ns);
/*
 * Moves @t from the group it is in to @g; NULL: to no group. Its lag goes along. -ESRCH: it has
 * ended. Context: thread.
 */
int group_attach(struct thread_group *g, struct thread *t);

/* ---- inside sched/ --------------------------------------------------------------------------- */

/*
 * [q] the rq lock of its CPU; [i] immutable; [a] atomic; [g] lock of its group. Invariants: those
 * of an eevdf_queue; queue.nr == 0 exactly when the entity is not joined, delayed or throttled;
 * while a member runs it is curr, in the queue's sums and outside its tree, and so is the entity of
 * this group in the parent's queue.
 */
struct group_cpu {
	struct eevdf_entity entity __aligned_to(64); /* [q] in the parent's queue */
	struct eevdf_queue queue;                    /* [q] of the members on this CPU */
	struct eevdf_entity *curr;                   /* [q] the member that runs, or NULL */
	struct thread_group *group;                  /* [i] */
	struct group_cpu *parent;                    /* [i] on the same CPU; NULL: rq->fair */
	uint64_t load;       /* [q] what this CPU has added to the group's load */
	uint64_t longest_ns; /* [q] as rq->fair_longest_ns, of the queue */
	uint32_t owing; /* [q] weight of the groups that are delayed in the queue: not in load */
	/* [q] while a member runs: what is left of the portion of the quota; < 0: used too much */
	int64_t budget_ns;
	uint64_t until_ns; /* [q] and [g]: when the portion will be used up; 0: none is taken */
	uint32_t quotas;   /* [q] and [g]: of which quota it is */
	/* [q] threads that wait here and below, but for those of throttled groups */
	uint32_t nr_waiting;
	bool throttled; /* [q] set with [g], too: no budget; the entity is not joined */
};

struct thread_group {
	uint32_t members;            /* [a] threads and groups */
	uint32_t weight;             /* [a] GROUP_WEIGHT_MIN..GROUP_WEIGHT_MAX */
	unsigned depth;              /* [i] 1: below the top */
	unsigned pages_order;        /* [i] its memory */
	struct thread_group *parent; /* [i] */
	struct list_head all;        /* [groups.lock] */
	uint64_t load;          /* [a] sum of the weights of members that can run, of all CPUs */
	struct spinlock lock;   /* LOCK_GROUP */
	uint64_t quota_ns;      /* [g], [a] 0: no limit */
	uint64_t period_ns;     /* [g] */
	uint64_t period_end_ns; /* [g] */
	int64_t pool_ns;        /* [g] of this period's quota, not taken; < 0: used too much */
	uint32_t quotas;        /* [g] counts the changes of quota_ns */
	bool ticking;           /* [g] the timer is armed or its function will decide */
	bool used;              /* [g] somebody asked in this period */
	bool starved;           /* [g] a CPU was throttled since members were last let in */
	bool handing;           /* [g] the timer for that is armed, or its function will look */
	struct timer timer;     /* the end of the period; both are armed with [g] */
	struct timer hand;      /* members are let in again within a period */
	struct group_cpu on[];  /* by CPU */
};

extern struct list_head group_list; /* all groups; [groups.lock], tests read it */

static inline struct group_cpu *group_cpu_of(struct eevdf_entity *e)
{
	return container_of(e, struct group_cpu, entity);
}

/* What @g weighs in its parent, in the scale of threads. */
static inline uint64_t group_full_weight(const struct thread_group *g)
{
	return (uint64_t)atomic_load_relaxed(&g->weight) * EEVDF_WEIGHT_NICE_0 /
	       GROUP_WEIGHT_DEFAULT;
}

/* Where @t is a member on the CPU of @rq; NULL: at the top. */
static inline struct group_cpu *group_on(const struct runqueue *rq, const struct thread *t)
{
	struct thread_group *g = t->sched.group;

	return g ? &g->on[container_of(rq, struct cpu, rq)->index] : NULL;
}

/* @t, fair, is for the class table alone. */
static inline void fair_mark(struct thread *t)
{
	t->sched.unusual &= (uint8_t)~SCHED_FLAT;
	t->sched.unusual |= SCHED_GROUPED;
}

/* The queue of the members of @gc; NULL: the top. */
static inline struct eevdf_queue *group_queue(struct runqueue *rq, struct group_cpu *gc)
{
	return gc ? &gc->queue : &rq->fair;
}

/* What the group of @gc, and those above, have on this CPU of their weights; all is charged. */
void group_share_changed(struct runqueue *rq, struct group_cpu *gc);
/* group_balance.c */
struct thread *group_steal(const struct runqueue *rq, const struct cpumask *cpus);
struct move group_best_move(struct cpu *from, struct cpu *to);
