/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_DEADLINE: a thread gets `runtime` of CPU time within `deadline` of each wake-up, once in a
 * `period`, before all threads of other policies; the earliest absolute deadline runs. A constant
 * bandwidth server holds it to its budget: one that wants more waits for the next period, so it
 * delays nobody. What has been admitted fits: see deadline_admit.c. docs/SCHED.md has the rules.
 *
 * Lock legend: [q] the rq lock of the CPU of the thread, [s] the server's, inside of that, [m] the
 * mutex of deadline_admit.c, [a] atomic, [i] immutable after init.
 */
#pragma once

#include "sched/sched.h"
#include "core/timer.h"

/* ---- for programs ---------------------------------------------------------------------------- */

/*
 * From now on sched_set_attr() takes SCHED_DEADLINE. A program that never calls this has none of
 * its code. Again: no effect. 0; -ENOMEM. Context: thread.
 *
 * sched_set_attr() then: sched_runtime 1024 ns.., sched_deadline from that, sched_period from that,
 * 100 us..4194304 us (0: the deadline). -EBUSY: it does not fit beside those that are admitted, and
 * the log says how much is in use; -ENOMEM. A thread with a deadline that yields gives up the rest
 * of its budget and goes on in its next period.
 *
 * sched_set_affinity() and cpu_offline() answer -EBUSY where those that are admitted would not fit
 * any more.
 */
int sched_deadline_use(void);
/*
 * @fn is called by each thread with SCHED_FLAG_DL_OVERRUN that has used up its budget: by itself,
 * when it runs again, at the end of an interrupt, irqs enabled. NULL: none. Context: any.
 */
void deadline_on_overrun(void (*fn)(struct thread *self));
/*
 * So much of each CPU may be given away, servers included, in 1/1000; 950 at first. -EINVAL:
 * outside 1..1000; -EBUSY: more is in use. Context: thread.
 */
int deadline_set_limit(unsigned permille);
/*
 * What is left of the budget of the calling thread, in ns: it is throttled when there is none. 0: it
 * has no deadline; else *@until_ns, if not NULL, is the absolute one. Context: thread.
 */
int64_t deadline_left_ns(uint64_t *until_ns);
/* As sched_attr_fault(), of SCHED_DEADLINE, whether it is in use or not. Context: any. */
const char *deadline_attr_fault(const struct sched_attr *a, const char **expected);
/* Of all CPUs, admitted and reserved, in millionths of one CPU. Context: thread. */
uint64_t deadline_in_use(void);

/*
 * deadline_server.c, in programs without deadlines, too: so much of @cpu is kept for a server of
 * another class, instead of what was kept before; 0, 0: nothing. -EINVAL: no such CPU, or more than
 * the period; -EBUSY: it does not fit beside the threads that are admitted. Context: thread.
 */
int deadline_reserve_server(unsigned cpu, uint64_t runtime_ns, uint64_t period_ns);

/* ---- inside ---------------------------------------------------------------------------------- */

#define DEADLINE_RUNTIME_MIN_NS 1024ull
#define DEADLINE_PERIOD_MIN_NS  (100 * NSEC_PER_USEC)
#define DEADLINE_PERIOD_MAX_NS  (4194304 * NSEC_PER_USEC) /* two of them multiply within 64 bits */
#define DEADLINE_BW_SHIFT       20
#define DEADLINE_BW_ONE         (1u << DEADLINE_BW_SHIFT) /* one CPU */

/*
 * The server of a thread. It outlives the thread until the bandwidth may be given to others. While
 * the thread waits for a mutex, the owner uses it, too, on whatever CPU: budget and deadline are
 * under a lock of their own.
 */
struct deadline {
	struct rb_node node;   /* [q] while it owes, in its queue's tree */
	struct thread *thread; /* [a] written under [q]; NULL: the thread has left the class */
	uint64_t deadline_ns;  /* [s] absolute; 0: has had no job */
	int64_t left_ns;       /* [s] of the budget; less than 0: ran too long */
	uint64_t at_ns;        /* [q] while it owes: until then */
	uint64_t runtime_ns;   /* [s] written under [q], too: budget ... */
	uint64_t relative_ns;  /* [s] the same: ... until so long after the wake-up ... */
	uint64_t period_ns;    /* [s] the same: ... in so much time */
	uint32_t flags;        /* [q] SCHED_FLAG_* */
	/* [q] bandwidth that it counts with on its CPU: deadline_reclaim.c */
	uint32_t counted_bw;
	bool owes;            /* [q] it blocks and counts until at_ns */
	bool moving;          /* [q] its affinity is about to change */
	uint64_t gone_ns;     /* [q] of one that left: until then its bandwidth is in use */
	struct list_head all; /* [m] */
	struct cpumask cpus;  /* [m] where it was admitted */
	uint32_t bw;          /* [a] written under [m]: of one CPU, rounded up */
	uint32_t nr_cpus;     /* [m] of those that are online */
	bool lends;           /* [s] its thread waits for a mutex */
	/* from here on all stays when the server becomes another thread's */
	struct spinlock lock; /* [s] of rank LOCK_SERVER */
	struct timer timer;   /* [s] while it lends: has no budget any more, or is to get one */
	uint32_t loan;        /* [s] loans so far: who has another number has none */
};

/* Of a CPU. */
struct deadline_queue {
	struct rb_root ready;     /* [q] those that wait, by absolute deadline */
	struct rb_root throttled; /* [q] by at_ns */
	struct timer timer;       /* [q] at the first of these, or earlier */
	struct cpu *cpu;          /* [i] */
	/* [a] written under [q]: absolute deadline of what runs; UINT64_MAX: no deadline thread */
	uint64_t running_ns;
	/* [a] written under [q]: of the first that waits and could go; UINT64_MAX: there is none */
	uint64_t movable_ns;
	uint32_t nr_movable;  /* [q] in ready */
	uint32_t active_bw;   /* [q] of pinned threads that compete or owe, and of those gone */
	uint32_t fixed_bw;    /* [a] written under [m]: servers, and threads that may come */
	struct rb_root owing; /* [q] blocked, by at_ns */
	uint32_t gone_bw;     /* [q] part of active_bw ... */
	uint64_t gone_ns;     /* [q] ... until then */
	/* [a] set under [q]: an interrupt is under way that looks for one elsewhere */
	bool pulls;
} __aligned_to(64);

extern struct deadline_queue *deadline_queues; /* [i] one a CPU; NULL: not in use */
extern uint32_t deadline_server_bw[];          /* [a] one a CPU: kept for servers */
extern int (*deadline_check_server)(unsigned cpu, uint32_t bw); /* [a] admits it and stores it */

static inline struct deadline_queue *deadline_queue_of(const struct runqueue *rq)
{
	return &deadline_queues[container_of(rq, struct cpu, rq)->index];
}

extern uint32_t deadline_limit; /* [a] written under [m]: of one CPU */

static inline struct thread *deadline_thread(struct rb_node *place)
{
	return container_of(place, struct thread, sched.place.node);
}

/* When the period after the one that ends with the absolute deadline begins. [s] */
static inline uint64_t deadline_next_period_ns(const struct deadline *d)
{
	return d->deadline_ns - d->relative_ns + d->period_ns;
}

/* What it has left; 0 or less: nothing. */
static inline int64_t deadline_budget_ns(struct deadline *d)
{
	int64_t left_ns;

	spin_lock(&d->lock);
	left_ns = d->left_ns;
	spin_unlock(&d->lock);
	return left_ns;
}

/* deadline_lend.c */
bool deadline_choose(struct thread *t);
void deadline_take(struct deadline *d, uint64_t delta_ns);
void deadline_charge_lent(struct thread *t, uint64_t delta_ns);
uint64_t deadline_left_lent_ns(const struct thread *t);
void deadline_end_loan(struct deadline *d);
bool deadline_lend(struct runqueue *rq, struct thread *t, uint16_t rank, const struct loan *loan);
void deadline_lend_init(struct deadline *d);
extern const struct inherit_deadline deadline_inherit;

/* deadline_reclaim.c */
void deadline_count_lent(struct runqueue *rq, struct thread *t);
void deadline_uncount_lent(struct runqueue *rq, struct thread *t);
void deadline_count(struct runqueue *rq, struct deadline *d);
void deadline_uncount(struct runqueue *rq, struct deadline *d);
void deadline_recount(struct runqueue *rq, struct deadline *d);
void deadline_owe(struct runqueue *rq, struct deadline *d, uint64_t until_ns);
void deadline_gone(struct runqueue *rq, struct deadline *d);
uint64_t deadline_reclaimed(struct runqueue *rq, struct deadline *d, uint64_t delta_ns);
uint64_t deadline_reclaim_slice_ns(const struct runqueue *rq, const struct deadline *d,
				   int64_t left_ns);

/* deadline_global.c */
bool deadline_is_movable(const struct thread *t);
void deadline_publish(struct deadline_queue *q);
struct cpu *deadline_find_cpu(struct runqueue *rq, const struct thread *t);
void deadline_look_elsewhere(struct runqueue *rq);
void deadline_pull(struct cpu *cpu);

/* deadline.c */
/* @t is about to get another affinity (@begins), or has got it. No lock held, any context. */
void deadline_affinity_changes(struct thread *t, bool begins);
int deadline_install(void);
void deadline_change(struct runqueue *rq, struct thread *t, const struct sched_attr *a);
void deadline_runs(struct runqueue *rq, struct thread *t);
/* [s] @d has come to its next period; @d, idle so far, is used from now on: false: it is used up */
void deadline_replenish(struct deadline *d, uint64_t now_ns);
bool deadline_begin_job(struct deadline *d, uint64_t now_ns);
/* What deadline_change() is to give to a thread that has none. [m] */
extern struct deadline *deadline_next;
