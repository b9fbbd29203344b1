/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the scheduler: the class table, the real-time queue inline, and what the files of sched/
 * share.
 *
 * sched.c owns locks, states, the clock, need_resched, affinity. A class owns the order of its
 * threads, nothing else. Every function here and in a class is called with rq->lock held and irqs
 * masked.
 *
 * Invariants
 *  S1 A runnable thread is in exactly one place: running (rq->curr), in a queue of its class, in
 *     rq->fair_curr, or in rq->outgoing of one CPU. The queue of a fair thread is that of its group
 *     on this CPU; rq->nr_ready does not count those below a throttled group.
 *  S2 rq->curr is in no real-time level and not in the fair tree; idle is in no queue at all.
 *  S3 curr's rank is at least that of every thread that waits on this CPU, or rq->resched is set.
 *  S4 rq->fair_curr is in the fair sums and not in the tree. If the running thread is fair it is
 *     rq->fair_curr. So are, each in its parent's queue, the groups that it is in; then it runs. A
 *     fair thread has SCHED_GROUPED if it is in a group, or runs while rq->nr_groups is not 0, and
 *     SCHED_FLAT otherwise.
 *  S5 A blocked thread is in no queue, and in no sum unless it is delayed; its cpu field changes
 *     only under that CPU's rq lock.
 *  S6 Whoever switches holds exactly its own CPU's rq lock, irqs masked; sched_finish() releases
 *     it.
 *  S7 No real-time thread waits while an online CPU of its affinity runs one of a lower rank, but
 *     until an interrupt has come that is on its way (rt_balance.c), or who yielded to an equal
 *     that has no other CPU comes back.
 */
#pragma once

#include "core/thread.h"
#include "core/time.h"
#include "sched/eevdf.h"

/*
 * The fair class's default slice. A wake-up waits for at most the slices of those ahead of it, a
 * switch costs a few hundred instructions: 3 ms keeps the cost below 0.01 % at 1 GHz and eight busy
 * threads within 24 ms of each other.
 */
#define FAIR_SLICE_NS (3 * NSEC_PER_MSEC)
#define RR_QUANTUM_NS (100 * NSEC_PER_MSEC)

/*
 * How far a thief looks for a thread whose affinity allows it: bounds the time with two locks held.
 */
#define STEAL_SCAN 32

enum stop_reason {
	STOP_PREEMPTED, /* stays runnable and goes before its equals */
	STOP_YIELDED,   /* stays runnable and goes behind them */
	STOP_BLOCKED,   /* leaves its queue */
};

/* Called with rq->lock held. */
struct sched_class {
	const char *name;
	uint16_t rank; /* its lowest */
	/* t, not queued: waits now */
	void (*enqueue)(struct runqueue *rq, struct thread *t, enum eevdf_place place);
	/* t, waiting: leaves for another CPU or class */
	void (*dequeue)(struct runqueue *rq, struct thread *t);
	/* t ran; NULL: not charged */
	void (*charge)(struct runqueue *rq, struct thread *t, uint64_t delta_ns);
	/* t, charged, stops running */
	void (*stop)(struct runqueue *rq, struct thread *t, enum stop_reason);
	/* best that waits; decides nothing, NULL: nobody */
	struct thread *(*pick)(struct runqueue *rq);
	/* t, picked, stops waiting and runs */
	void (*start)(struct runqueue *rq, struct thread *t);
	/* t, which runs in another class, goes on in this one; fair only */
	void (*enter)(struct runqueue *rq, struct thread *t, enum eevdf_place place);
	/* how long from now; UINT64_MAX: no end */
	uint64_t (*slice_ns)(const struct runqueue *rq, const struct thread *t);
	/* t, waiting, of curr's rank: before curr? */
	bool (*preempts)(struct runqueue *rq, struct thread *t);
	/* a waiting thread that may run on one of @cpus */
	struct thread *(*steal)(const struct runqueue *rq, const struct cpumask *cpus);
};

/* Idle alone; the first policy that is loaded puts sched/ext/class.c's functions here. */
extern struct sched_class idle_class;
/*
 * FIFO and RR; sched_deadline_use() puts deadline.c's functions here, which call those, and
 * sched_sporadic_use() sporadic.c's.
 */
extern struct sched_class rt_class;
/* Without groups; the first one that is created puts group.c's functions here. */
extern struct sched_class fair_class;
/* Highest first. Adding a class is one file and one entry here. */
extern const struct sched_class *const sched_classes[3];
/* [a] CPUs with nothing to run; a waker that claims one clears its bit */
extern struct cpumask cpu_idle_mask;

static inline const struct sched_class *class_of(const struct thread *t)
{
	if (t->sched.rank >= RANK_RT)
		return &rt_class;
	return t->sched.rank == RANK_FAIR ? &fair_class : &idle_class;
}

static inline struct runqueue *rq_of(struct cpu *cpu)
{
	return &cpu->rq;
}

static inline struct cpu *cpu_of_rq(struct runqueue *rq)
{
	return container_of(rq, struct cpu, rq);
}

/* The rq of the CPU @t belongs to, locked; @t cannot leave it while it is held. Irqs masked. */
static inline LOCK_UNCHECKED struct runqueue *rq_lock_thread(struct thread *t)
{
	for (;;) {
		struct cpu *cpu = atomic_load_acquire(&t->sched.cpu);

		(spin_lock)(&cpu->rq.lock);
		if (likely(t->sched.cpu == cpu))
			return &cpu->rq;
		spin_unlock(&cpu->rq.lock);
	}
}

/* The running thread is in the fair sums: V moves with the clock. */
static inline bool rq_has_fair_running(const struct runqueue *rq)
{
	return rq->curr == rq->fair_curr;
}

/* sched.c, for the other files of sched/; rq->lock held. */
/* charges curr first */
void sched_enqueue(struct runqueue *rq, struct thread *t, enum eevdf_place how);
/* t has just begun to wait: must @rq's CPU act? sets resched */
bool sched_check_preempt(struct runqueue *rq, struct thread *t);
void sched_charge_curr(struct runqueue *rq);

/* eevdf.c, for sched.c and attr.c; rq->lock held. */
void fair_settle(struct runqueue *rq);
struct eevdf_entity *fair_prev(struct eevdf_entity *e);
void fair_join(struct runqueue *rq, struct thread *t, enum eevdf_place place);
void fair_leave(struct runqueue *rq, struct thread *t);
/*
 * What the timer's interrupt and a switch may add to a slice; on an emulator the host's pauses come
 * on top, and are counted.
 */
#define LAG_SLACK_NS (20 * NSEC_PER_USEC)
void fair_check_lag(struct runqueue *rq, struct thread *t);
void fair_lag_is_broken(struct runqueue *rq, struct thread *t, int64_t lag_ns);
void fair_leave_delayed(struct runqueue *rq, struct thread *t);
void fair_release(void *runqueue, unsigned long unused);
/*
 * attr.c; rq->lock held. @t's mask or the set of online CPUs is another; its CPU is @allowed or
 * not. Sees that it goes where it may; true: rq's CPU must act.
 */
bool sched_affinity_changed(struct runqueue *rq, struct thread *t, bool allowed);

/*
 * What deadline.c adds to the calls about attributes; NULL: this program has no SCHED_DEADLINE. A
 * thread whose sched.deadline is not NULL says that it is there.
 */
struct deadline_hooks {
	const char *(*fault)(const struct sched_attr *a, const char **expected);
	/* instead of sched_set_attr(), for SCHED_DEADLINE */
	int (*set_attr)(struct thread *t, const struct sched_attr *a);
	/* instead of sched_set_affinity(), for threads with a deadline */
	int (*set_affinity)(struct thread *t, const struct cpumask *mask);
	/*
	 * rq->lock held: @t, charged and in no queue, has the policy of @a from now on; one of the
	 * two policies is SCHED_DEADLINE
	 */
	void (*change)(struct runqueue *rq, struct thread *t, const struct sched_attr *a);
	void (*get_attr)(const struct thread *t, struct sched_attr *a);
	/*
	 * rq->lock held: sched_lend() where a deadline is lent, or was until now. True: rq's CPU
	 * must act
	 */
	bool (*lend)(struct runqueue *rq, struct thread *t, uint16_t rank, const struct loan *loan);
};
extern const struct deadline_hooks *deadline_hooks; /* [a] */
/*
 * What sporadic.c adds; NULL: this program has no SCHED_SPORADIC. A thread whose sched.sporadic is
 * not NULL says that it is there.
 */
struct sporadic_hooks {
	const char *(*fault)(const struct sched_attr *a, const char **expected);
	/* instead of sched_set_attr(), for SCHED_SPORADIC */
	int (*set_attr)(struct thread *t, const struct sched_attr *a);
	/* a new thread, not started; takes it back */
	int (*init)(struct thread *t, const struct sched_attr *a);
	void (*undo)(struct thread *t);
	/* rq->lock held: as deadline_hooks->change() */
	void (*change)(struct thread *t, const struct sched_attr *a);
	void (*get_attr)(const struct thread *t, struct sched_attr *a);
};
extern const struct sporadic_hooks *sporadic_hooks; /* [a] */
/* What sched/ext/ adds; NULL: no policy was ever loaded. */
struct ext_hooks {
	/* of a thread that a policy knows, if it had @policy; rq->lock held */
	uint16_t (*rank)(const struct sched_entity *s, uint32_t policy);
	/* rq->lock held: @t had @old_rank until now */
	void (*changed)(struct runqueue *rq, struct thread *t, uint16_t old_rank);
	/* of a new thread: places it by sched_start_placed(), unless it fails. Context: thread */
	int (*start)(struct thread *t);
	void (*ends)(struct thread *t);
	/* @cpu has nothing to run. True: look again. No lock held, irqs masked */
	bool (*idle)(struct cpu *cpu);
	/* a CPU is about to leave, or has come. Context: thread */
	void (*cpu_changes)(unsigned cpu, bool online);
};
extern const struct ext_hooks *ext_hooks; /* [a] */
/* @t, which is new, waits for a CPU. Irqs masked, @flags as they were: restores them. */
void sched_start_placed(struct thread *t, unsigned long flags);
/* attr.c: the rank that @t has by itself may be another. Any context, no lock of sched/ held. */
void sched_rank_refresh(struct thread *t);
/* Of whoever puts other functions into rt_class. */
struct mutex;
extern struct mutex rt_class_mutex;
/*
 * attr.c, for these: without asking them. -EAGAIN: the affinity of @t is not @mask any more, or it
 * has not the server @d.
 */
int sched_apply_attr(struct thread *t, const struct sched_attr *a, const struct cpumask *mask,
		     const struct deadline *d);
int sched_apply_affinity(struct thread *t, const struct cpumask *mask);
int sched_apply_attr_any(struct thread *t, const struct sched_attr *a);
/* attr.c; rq->lock held. @t has another borrowed rank. True: rq's CPU must act. */
bool sched_rank_changed(struct runqueue *rq, struct thread *t);
/* @t, in no queue, has no borrowed rank any more, and waits again: it is to be put in a queue. */
void sched_rank_lost(struct thread *t);
/* @t, in no queue or about to be put in one, has another priority of its own. */
void sched_rank_follows(struct thread *t);

/* balance.c: which CPU a thread runs on. The only place where two rq locks are held at once. */
/* idle @cpu takes one waiting thread; no lock held */
bool balance_pull(struct cpu *cpu);
/* somebody waits on @from: tells one idle CPU */
void balance_kick_idle(struct cpu *from, const struct cpumask *allowed);
/* somebody may wait on @rq, locked, who could run on an idle CPU: tells that one */
void balance_kick_waiting(struct runqueue *rq);
/* @cpu was kicked and takes nobody, or somebody else: tells the next one; no lock held */
void balance_pass_on(struct cpu *cpu);
/* where @t, which is in no queue, should run */
struct cpu *balance_select(struct thread *t, struct cpu *prev, bool fork);
/* runnable, may not run here; rq locked */
void balance_send_away(struct runqueue *rq, struct thread *t);
/* threads wait on this CPU and a slice is over: may be it has too much to do; no lock held */
void balance_tick(struct cpu *cpu, uint64_t now_ns);
/* the reverse, before it was taken; its rq locked */
void balance_keep(struct thread *t);
/* on an IPI: takes what others sent away; no lock held */
void balance_take_outgoing(struct cpu *cpu);

/*
 * rt_balance.c: on several CPUs the best real-time threads run. rq->lock held unless said
 * otherwise.
 */
/* where @t, in no queue, should run if nobody is idle: on @cpu, or on a CPU that runs a worse one */
struct cpu *rt_select(const struct thread *t, struct cpu *cpu);
/* @t begins to wait on @rq, not to run at once: sees that no CPU where it may run runs a worse one */
void rt_waits(struct runqueue *rq, const struct thread *t);
/* @rq's CPU is to run something of @priority (0: not of this class), which is worse than before */
void rt_falls(struct runqueue *rq, uint32_t priority);
/* on an IPI, what was asked for meanwhile; no lock held */
void rt_answer(struct cpu *cpu);
/* idle or less busy @cpu takes the best that waits elsewhere; no lock held, irqs masked */
bool rt_pull(struct cpu *cpu);

/* server.c; rq->lock held. */
void server_init(struct runqueue *rq);
/* fair threads begin to wait behind real time; none did before */
void server_fair_waits(struct runqueue *rq);
/* the real-time thread @t is taken from the queue while rq->rt.unserved is set */
void server_rt_taken(struct runqueue *rq, const struct thread *t);
/* while it serves: the fair class's choice, or the best real-time thread */
struct thread *server_pick(struct runqueue *rq);

/* nobody is left here; no lock held, irqs masked */
void server_idle(struct runqueue *rq);

/* Fair threads are about to have the CPU: the next real-time one starts the server. */
static inline void server_fair_runs(struct runqueue *rq)
{
	if (!rq->rt.unserved && !cpu_of_rq(rq)->server.timer.armed)
		rq->rt.unserved = RT_UNARMED;
}

/* Other CPUs are in its mask, whether they are online or not. */
static inline bool rt_may_wander(const struct thread *t)
{
	return cpumask_several(&t->affinity);
}

/* ---- the real-time queue, inline because the fast paths of sched.c use it without the table -- */

/* Cold halves, called without saving registers. */
void rt_put_tail_behind(void *rt_queue, unsigned long thread);
void rt_put_head_behind(void *rt_queue, unsigned long thread);
void rt_take_queued(void *rt_queue, unsigned long thread);
void rt_find_highest(void *rt_queue, unsigned long thread);

static inline void rt_set_front(struct rt_queue *q, struct thread *t)
{
	q->front = t;
	q->highest = t->sched.priority;
}

/* @t begins to wait, behind its equals. */
static inline void rt_put_tail(struct rt_queue *q, struct thread *t)
{
	if (likely(!q->highest))
		rt_set_front(q, t);
	else
		arch_cold_call(rt_put_tail_behind, q, (unsigned long)t);
}

/* @t begins to wait, before its equals. */
static inline void rt_put_head(struct rt_queue *q, struct thread *t)
{
	uint32_t priority = t->sched.priority;

	if (likely(!q->front && priority >= q->highest)) {
		q->front = t;
		q->highest = priority;
	} else
		arch_cold_call(rt_put_head_behind, q, (unsigned long)t);
}

/* @t, waiting anywhere in @q, leaves it. */
static inline void rt_take(struct rt_queue *q, struct thread *t)
{
	if (unlikely(q->front != t)) {
		arch_cold_call(rt_take_queued, q, (unsigned long)t);
		return;
	}
	q->front = NULL;
	if (likely(!q->nr_listed_and_marks))
		q->highest = 0;
	else
		arch_cold_call(rt_find_highest, q, (unsigned long)t);
}

/* The best that waits; q->highest is not 0. */
static inline struct thread *rt_first(const struct rt_queue *q)
{
	if (q->front)
		return q->front;
	return list_first(&q->level[q->highest], struct thread, sched.node);
}

/*
 * @t, the best that waits and of @prev's priority, leaves; @prev begins to wait behind its equals.
 * The level keeps its place: with two threads they change places in the slot, with more the list
 * turns.
 */
static inline void rt_rotate(struct rt_queue *q, struct thread *prev, struct thread *t)
{
	struct list_head *level = &q->level[prev->sched.priority];

	if (q->front == t && list_empty(level)) {
		q->front = prev;
	} else if (q->front) {
		q->front = NULL;
		q->nr_listed++;
		list_add_tail(&prev->sched.node, level);
	} else {
		list_del(&t->sched.node);
		list_add_tail(&prev->sched.node, level);
	}
}
