/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of scheduling, without its rules: what is embedded in every CPU (struct runqueue) and
 * every thread (struct sched_entity). core/ only embeds it; sched/ alone looks inside and says in
 * sched/sched.h who may write what.
 *
 * Lock legend: [q] the rq lock of the CPU that t->sched.cpu names; [i] immutable after init; [o]
 * owner CPU, irqs masked.
 */
#pragma once

#include "core/list.h"
#include "core/lock.h"
#include "core/rbtree.h"
#include "core/timer.h"

struct thread;
struct thread_group;
struct cpu;
struct deadline;
struct sporadic;
struct ext_task;

/* Ranks: class and real-time priority in one number; idle 0, real time RANK_RT + priority. */
#define RANK_IDLE 0u
#define RANK_EXT  0x80u /* of a policy: sched/ext/ */
#define RANK_FAIR 0x100u
#define RANK_RT   0x200u
/*
 * All SCHED_DEADLINE threads: as if it were the level above 99, where sched/deadline.c chooses. So
 * what compares ranks or looks for the best level that waits knows of them without another test.
 */
#define DEADLINE_LEVEL 100
#define RANK_DEADLINE  (RANK_RT + DEADLINE_LEVEL)

/* ---- fair (rules: sched/eevdf_tree.h, sched/eevdf.h) ----------------------------------------- */

/*
 * Embed it in the thread, at a cache line boundary: a walk through the tree stays in the first
 * 64 bytes. Every field: under the lock of the queue that the entity belongs to.
 */
struct eevdf_entity {
	uint64_t v;                    /* virtual runtime, 1024 / weight per ns of CPU time */
	uint64_t deadline;             /* virtual: the request is served when v reaches it */
	uint64_t min_v;                /* smallest v below and here; see above */
	struct eevdf_entity *child[2]; /* smaller (and equal: earlier queued), larger deadline */
	struct eevdf_entity *parent;   /* NULL: the root, or not in the tree */
	uint32_t weight;               /* EEVDF_WEIGHT_MIN..EEVDF_WEIGHT_MAX */
	bool red;
	bool joined;     /* counted in the queue's sums */
	bool delayed;    /* joined, but not in nr: blocked and still owing */
	bool group;      /* of a group, not of a thread: sched/group.h */
	uint64_t vslice; /* slice_ns * 1024 / weight */
	/* end of the first 64 bytes; the rest is for whoever runs, sleeps or changes attributes */
	int64_t lag;           /* while not joined: the lag saved by eevdf_leave() */
	uint64_t slice_ns;     /* EEVDF_SLICE_MIN_NS..EEVDF_SLICE_MAX_NS */
	uint32_t rem;          /* v is short of this / weight; 0..weight - 1 */
	struct rb_node debtor; /* while delayed */
};

_Static_assert(offsetof(struct eevdf_entity, lag) == 64, "a walk touches one cache line an entity");

/*
 * The running entity is inside V, S, W and nr but outside the tree; a delayed one (its thread
 * blocks, but it owes: sched/eevdf_member.c) is in V, S and W only.
 * Invariant between calls: S = sum(weight * (v - V) + rem) and 0 <= S < W, which makes V the
 * weighted mean rounded down; S = 0 when W = 0.
 */
struct eevdf_queue {
	struct eevdf_entity *left;  /* earliest deadline; NULL: the tree is empty */
	struct eevdf_entity *right; /* latest deadline */
	struct eevdf_entity *root;
	uint64_t V;             /* virtual time, rounded down */
	uint64_t S;             /* what rounding left over, times W */
	uint64_t W;             /* sum of the weights */
	uint32_t nr;            /* entities, the running one included, delayed ones not */
	struct rb_root debtors; /* the delayed ones, by v */
};

/* ---- real time ------------------------------------------------------------------------------- */

#define RT_LEVELS 128 /* bits 1..99 used */

/*
 * FIFO and RR: one list a level, and a front slot before them for one thread that is better than
 * all that is queued, or equal and to go first. The thread that is woken and soon runs, and the one
 * that is preempted and soon runs on, mostly see only the slot. Invariant: front == NULL, or
 * front's priority is highest and no thread of its level is to go before it.
 */
struct rt_queue {
	struct thread *front; /* [q] NULL: none */
	/* [q] highest priority waiting, front included; 0: none */
	uint32_t highest;
	union {
		struct {
			uint32_t nr_listed; /* [q] threads on the lists */
			/*
			 * [q] a thread waits on another CPU that may be better than what this one
			 * comes to next: whoever takes a thread from here looks (sched/rt_balance.c)
			 */
			uint16_t elsewhere;
			uint16_t unserved; /* [q] RT_UNARMED, RT_SERVING: sched/server.c */
		};
		/* both in one load */
		uint64_t nr_listed_and_marks;
	};
	/*
	 * [q] the best priority of those that wait and may run elsewhere, or did a moment ago; 0:
	 * none. Others read it without the lock
	 */
	uint32_t offered;
	uint32_t asked; /* [a] RT_PUSH, RT_PULL: to be looked at on the next IPI of any CPU */
	uint64_t bitmap[RT_LEVELS / 64]; /* [q] levels whose list is not empty */
	struct list_head level[100];     /* [q] */
};

/* Values of rt_queue.unserved besides 0. */
enum {
	RT_UNARMED = 1, /* the next real-time thread that is taken from the queue arms the timer */
	RT_SERVING,     /* fair threads run, whoever waits here */
};

/* The fair class's server: sched/server.c. */
struct fair_server {
	struct timer timer; /* [q] */
	uint64_t since_ns;  /* [q] when the period began */
	uint64_t v;         /* [q] virtual time then */
};

/* What a CPU found when a fair thread's lag was outside of its bounds. */
struct lag_counts {
	uint32_t broken;
	int32_t worst_tid;
	int64_t worst_ns; /* the lag that was furthest outside */
};

struct runqueue {
	struct spinlock lock; /* rank LOCK_RUNQUEUE; held across arch_switch() */
	union {
		struct {
			/* [q] curr is to give way; its CPU reads it with irqs masked */
			uint32_t resched;
			uint32_t peers; /* [i] there are other CPUs */
		};
		/* both in one load */
		uint64_t resched_peers;
	};
	struct thread *curr; /* [q] */
	uint64_t since_ns;   /* [q] up to when curr is charged */
	/* [q] when curr's slice ends; UINT64_MAX: it has none or is alone */
	uint64_t slice_end_ns;
	union {
		struct {
			/*
			 * [q] threads that wait here for the CPU; others read it without the lock
			 */
			uint32_t nr_ready;
			/* [a] somebody counts on this CPU to take a thread that waits elsewhere */
			uint32_t kicked;
		};
		/* both in one load: 0 or 1 when there is no more to do than run that one thread */
		uint64_t nr_ready_kicked;
	};
	/*
	 * [q] the fair thread in the sums but not in the tree: it runs, or it waits in this
	 * one-place front slot until real time leaves the CPU to its class
	 */
	struct thread *fair_curr;
	/*
	 * [q] real time took the CPU from fair_curr within its request: nobody but an earlier
	 * deadline may take the rest of it
	 */
	bool fair_held;
	uint32_t nr_groups; /* [q] groups in rq->fair, delayed ones not */
	/*
	 * [q] in the sums; was interrupted within its request by another fair thread: if it still
	 * waits with that request when it comes to a choice, it goes on, unless an earlier deadline
	 * has come. NULL: none
	 */
	struct thread *fair_paused;
	/* [q] what fair_curr ran and is not yet charged for: real time took the CPU from it */
	uint64_t fair_owed_ns;
	/* [q] longest slice, or lag that somebody brought along, since the sums were empty */
	uint64_t fair_longest_ns;
	struct lag_counts lag_counts; /* [q] sched/monitor.h reads them */
	struct thread *idle;          /* [i] */
	struct eevdf_queue fair;      /* [q] */
	struct rt_queue rt;           /* [q] */
	/* [q] runnable threads that must go to another CPU, until that one takes them */
	struct list_head outgoing;
	struct cpu *push_to; /* [q] where the running thread is to go; NULL: wherever it may */
	uint64_t balance_ns; /* [a] not compared with other CPUs before */
	uint32_t looked;     /* [a] how many it was compared with, where there are many */
};

/*
 * Why a thread needs the general path instead of the fast one; 0: a FIFO thread (or idle) that
 * stays on its CPU.
 */
enum {
	SCHED_SLICED = 1, /* charged and sliced: fair, round robin */
	/*
	 * it has a hook to run that was set while it waited for the CPU; or its rank was changed
	 * from another CPU while it ran: it may just have queued to wait with the old one
	 */
	SCHED_HOOK = 2,
	/* woken between queueing to wait and blocking: it does not block */
	SCHED_WOKEN = 4,
	/* fair, but in a group, or it runs where a group may be picked next */
	SCHED_GROUPED = 8,
	/* its CPU is outside its affinity: it must go to another one */
	SCHED_MOVE = 16,
	/* real time, was given a priority while it ran: it goes to the tail of its level */
	SCHED_TAIL = 64,
	/* runnable, but its budget is used up: it waits for the next one, and not for the CPU */
	SCHED_THROTTLED = 32,
	/*
	 * fair, and all that is about it is in rq->fair; with SCHED_SLICED. The sign: a short test
	 */
	SCHED_FLAT = 128,
};

/* What a thread has used of a CPU lately: sched/util.h. */
struct util {
	uint32_t avg;        /* [q] up to at_ns */
	uint64_t at_ns;      /* [q] when it was last looked at */
	uint64_t runtime_ns; /* [q] of the thread at at_ns */
};

/* A thread's place among those of all CPUs: sched/rebalance.c. */
struct standing {
	int64_t base;    /* [q] its position is its virtual service and this */
	uint32_t weight; /* [q] for which base holds; 0: for none */
};

/* A thread's place among those with deadlines, its own or borrowed: sched/deadline.h. */
struct deadline_place {
	struct rb_node node;     /* [q] in its CPU's ready or throttled tree */
	struct deadline *server; /* [q] whose budget it uses; valid while it waits or runs */
	struct deadline *lent;   /* [q] the best that it has borrowed; NULL: none */
	uint32_t loan;           /* [q] the number of that loan */
	uint32_t counted_bw;     /* [q] of the lent one, on its CPU: deadline_reclaim.c */
	uint64_t until_ns;       /* [q] absolute deadline of the server */
	uint64_t at_ns;          /* [q] while throttled: gets its next budget then */
	bool movable;            /* [q] while it waits: may run on other CPUs, too */
};

struct sched_entity {
	/* [q] higher runs first: its own, or what it has borrowed (core/inherit.h) */
	uint16_t rank;
	union {
		struct {
			uint8_t state;   /* [q] enum thread_state */
			uint8_t unusual; /* [q] SCHED_SLICED and so on */
		};
		/* both in one load: equal to a state alone when nothing is unusual */
		uint16_t state_unusual;
	};
	uint8_t policy;         /* [q] SCHED_* */
	uint8_t priority;       /* [q] of rank: 1..99 real time, DEADLINE_LEVEL, 0 otherwise */
	uint8_t own_priority;   /* [q] of policy: the same */
	int8_t nice;            /* [q] -20..19 */
	uint16_t borrowed_rank; /* [q] 0: none */
	/* [q] of the CPU it names: whose run queue this thread belongs to */
	struct cpu *cpu;
	struct thread_group *group; /* [q] NULL: none */
	struct list_head node;      /* [q] in a real-time level or in rq->outgoing */
	uint64_t runtime_ns;        /* [q] CPU time used, up to rq->since_ns */
	uint64_t rr_left_ns;        /* [q] what is left of the round-robin quantum */
	/* [q] a walk through the tree stays in its first cache line */
	struct eevdf_entity fair __aligned_to(64);
	struct util util;         /* [q] */
	struct standing standing; /* [q] */
	/* [q] while its policy is SCHED_DEADLINE; NULL: it is not */
	struct deadline *deadline;
	struct deadline_place place;
	/* [q] while its policy is SCHED_SPORADIC; NULL: it is not */
	struct sporadic *sporadic;
	struct ext_task *ext; /* [q] a policy knows of it: sched/ext/ext.h; NULL: none does */
};
