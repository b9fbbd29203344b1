/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads: creation, exit, join, names, ids, and the two doors to the scheduler (block and wake).
 *
 * One stack slot holds everything of a thread: stack at the bottom (over its guard page), the C
 * library's TLS block and struct thread at the top. The TLS register therefore names the thread:
 * thread_current() is one subtraction, right even while the thread is being moved to another CPU.
 *
 * Lock legend: [i] immutable after creation, [s] the thread itself, [q] rq.lock of its CPU, [w] the
 * lock of what it waits on, [j] join.lock, [a] atomic, [t] tid table lock.
 */
#pragma once

#include "core/cpu.h"
#include "core/inherit.h"
#include "core/wait.h"

enum thread_state { THREAD_RUNNABLE, THREAD_BLOCKED, THREAD_WAKING, THREAD_DEAD };

#define THREAD_NAME_BYTES 16

/* Bits of detached: what its end is to see to besides those who join. */
enum { THREAD_DETACHED = 1, THREAD_WATCHED = 2, THREAD_EXT = 4 };

struct event_source; /* core/event_queue.h */
/* [a] @self, with THREAD_WATCHED, ends; irqs masked. NULL: no thread ever was watched. */
extern void (*thread_exit_watched)(struct thread *self);

struct thread {
	struct arch_context context; /* first: the switch finds it at offset 0 */
	struct sched_entity sched;
	struct cpumask affinity; /* [q] */
	/* [a] called once at the next return from a trap or a blocking wait; NULL: none */
	void (*hook)(struct thread *);
	struct waiter waiter; /* [w] this thread's place in a wait queue */
	struct timer timer;   /* [o] of sleeping and timed waits */
	struct borrower borrower;
	uint32_t mutexes_held; /* [s] */
	/* [i] small, positive; not reused while the thread is referenced */
	int32_t tid;
	/* [i] of this use of the tid; both together are the handle */
	uint32_t generation;
	char name[THREAD_NAME_BYTES]; /* [s] NUL-terminated */
	void *(*entry)(void *);       /* [i] */
	void *arg;                    /* [i] */
	void *result;                 /* [j] */
	struct wait_queue join;       /* [j] who joins, and the lock of the three below */
	uint8_t detached;             /* [j] THREAD_DETACHED and so on */
	bool joined;                  /* [j] somebody is joining, or has, or nobody may: detached */
	bool exited;                  /* [j] */
	bool in_hook;                 /* [o] */
	void *stack;                  /* [i] lowest address of the slot */
	size_t stack_bytes;           /* [i] of the slot */
	union {
		struct thread *reap_next;   /* [t] dead and detached, to be freed */
		struct event_source *watch; /* [j] who tells of its end: with THREAD_WATCHED */
	};
	struct arch_fpu fpu; /* last: only threads that used FP/SIMD touch it */
};

/* From the start of struct thread to the value of the TLS register. */
#define THREAD_TLS_OFFSET ALIGN_UP(sizeof(struct thread), 64)

/* Context: any; in an interrupt, the interrupted thread. */
static inline struct thread *thread_current(void)
{
	return (struct thread *)(arch_tls_get() - THREAD_TLS_OFFSET);
}

/*
 * With what @t, which waits for a mutex or is about to, does so: the rank it runs with, unless it
 * has a deadline and no budget to lend. [w], [l] of @t
 */
static inline uint16_t thread_offer(struct thread *t)
{
	uint16_t rank = atomic_peek_relaxed(&t->sched.rank);

	return likely(rank != RANK_DEADLINE) ? rank : inherit_deadline->offer(t);
}

/* It was taken off the mutex's queue. [w] */
static inline void thread_offer_end(struct thread *t)
{
	if (unlikely(atomic_peek_relaxed(&t->sched.rank) == RANK_DEADLINE))
		inherit_deadline->end(t);
}

/*
 * Takes the best waiter of @q off, or NULL. q->lock held. The caller drops the lock, then calls
 * sched_wake().
 */
static inline struct thread *wait_pop(struct wait_queue *q) LOCK_REQUIRES(q->lock)
{
	struct waiter *w = wait_first(q);

	if (!w)
		return NULL;
	wait_erase(q, w);
	return container_of(w, struct thread, waiter);
}

struct sched_attr;

struct thread_attr {
	const char *name;               /* NULL: "thread" */
	size_t stack_bytes;             /* usable for the stack; 0: THREAD_STACK_DEFAULT */
	const struct cpumask *affinity; /* NULL: the creator's */
	uint8_t policy;                 /* SCHED_* below */
	uint8_t priority;               /* 1..99 for FIFO and RR, else 0 */
	int8_t nice;                    /* -20..19 for SCHED_OTHER and SCHED_BATCH */
	bool detached;
	uint64_t slice_ns; /* of a fair thread; 0: the class's default */
	/* instead of policy, priority, nice and slice_ns; not SCHED_DEADLINE; NULL: these */
	const struct sched_attr *sched;
};

#define THREAD_STACK_DEFAULT (16 * 1024 - 2048) /* with TLS and struct thread: one 16 KiB slot */

/*
 * Context: thread. @attr NULL: fair, nice 0, joinable, default stack. 0; -EAGAIN: no memory for it
 * (nothing is left behind); -EINVAL: an attribute out of range, or an affinity without an online
 * CPU; -ENOMEM: no memory for SCHED_SPORADIC.
 */
int thread_create(struct thread **out, const struct thread_attr *attr, void *(*entry)(void *),
		  void *arg);
/* Context: thread. -EINVAL: detached or being joined already; -EDEADLK: itself. */
int thread_join(struct thread *t, void **result);
int thread_detach(struct thread *t);
__noreturn void thread_exit(void *result);

int32_t thread_tid(const struct thread *t);
/* Up to 15 characters and NUL; -ERANGE if longer. Context: thread. */
int thread_set_name(struct thread *t, const char *name);
/*
 * -EINVAL: no online CPU in @mask. Takes effect before it returns (a running thread moves at once).
 * Context: thread.
 */
int thread_set_affinity(struct thread *t, const struct cpumask *mask);
/* Sleeps until the monotonic clock shows @ns. Context: thread. */
void thread_sleep_until(uint64_t ns);
/*
 * Sets the one call that @t makes at its next return from a trap or a blocking wait, irqs on. One
 * that is set while another runs comes after it. -EBUSY: one is set already. Context: any.
 */
int thread_set_hook(struct thread *t, void (*hook)(struct thread *));
/*
 * What follows may be interrupted by the next hook, and need not come back to the one it is called
 * from. Returns whether there is one, for thread_hook_reenter() when it has come back. Context:
 * thread, or a hook.
 */
bool thread_hook_leave(void);
void thread_hook_reenter(bool in_hook);
void thread_run_hook(void);
/* CPU time used so far. Context: thread. */
uint64_t thread_runtime_ns(struct thread *t);
/* Threads alive, idle threads not counted. */
unsigned thread_count(void);
/*
 * Calls @each for every thread but the idle ones, in order of tid, irqs masked and with the lock of
 * the table held, so that none goes away. It may miss those that are created meanwhile, and meet
 * one that is only half made: sched.cpu is NULL then. Context: thread.
 */
void thread_each(void (*each)(struct thread *t));
/* The same for the thread @tid alone, if there is one. Context: any, no lock held. */
void thread_with_tid(int32_t tid, void (*call)(struct thread *t, void *arg), void *arg);

/*
 * The idle thread of a CPU that has not started; of the boot CPU: of what runs now. NULL: out of
 * memory. Context: boot.
 */
struct thread *thread_alloc_idle(struct cpu *cpu);

/*
 * Policies, Linux's numbers. BATCH is OTHER that never takes the CPU from another thread when it
 * wakes; IDLE has a weight of 3 (nice 0: 1024) whatever its nice value.
 */
#ifndef SCHED_OTHER /* <sched.h> has them too, and the structure below */
enum { SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_IDLE = 5 };
#endif
#ifndef SCHED_SPORADIC
#define SCHED_SPORADIC 4 /* after sched_sporadic_use(): sched/sporadic.h */
#endif
#ifndef SCHED_EXT
#define SCHED_EXT 7 /* OTHER, but for a policy that is loaded for those: sched/ext/ */
#endif
#ifndef SCHED_DEADLINE
/* For sched_set_attr(), in programs that call sched_deadline_use(): sched/deadline.h. */
#define SCHED_DEADLINE           6
#define SCHED_FLAG_RESET_ON_FORK 1 /* taken and of no effect: no thread is made with this policy */
#define SCHED_FLAG_RECLAIM       2 /* may use what others are admitted for and do not need */
#define SCHED_FLAG_DL_OVERRUN    4 /* is told when it has used up its budget */
#endif

#ifndef SCHED_ATTR_SIZE_VER0
#define SCHED_ATTR_SIZE_VER0 48
/* All there is to say about how a thread is scheduled; Linux's layout and names. */
struct sched_attr {
	uint32_t size; /* sizeof(struct sched_attr) */
	uint32_t sched_policy;
	/* SCHED_FLAG_*, of SCHED_DEADLINE; else 0. SCHED_SPORADIC: see sched/sporadic.h */
	uint64_t sched_flags;
	int32_t sched_nice;      /* -20..19; 0 for FIFO and RR */
	uint32_t sched_priority; /* 1..99 for FIFO and RR, else 0 */
	/* fair policies: the slice, SCHED_SLICE_MIN_NS..SCHED_SLICE_MAX_NS; 0: the default */
	uint64_t sched_runtime;  /* SCHED_DEADLINE: so much CPU time, ns, ... */
	uint64_t sched_deadline; /* ... within so many ns from its wake-up, ... */
	uint64_t sched_period;   /* ... once in so many ns; 0: the deadline. Other policies: 0 */
};
#endif

#define SCHED_SLICE_MIN_NS 100000ull
#define SCHED_SLICE_MAX_NS 100000000ull

/* ---- implemented by sched/: the doors that core/ uses ---------------------------------------- */

void sched_init_cpu(struct cpu *cpu, struct thread *idle);
/* Fills t->sched from @attr. 0, -EINVAL, -ENOMEM. Context: thread, boot. */
int sched_thread_init(struct thread *t, const struct thread_attr *attr);
/* @t, which sched_thread_init() has filled, is not started. Context: thread, boot. */
void sched_thread_undo(struct thread *t);
/*
 * Makes a new thread runnable for the first time. 0, or what a policy's init_task() says: it is not
 * started then. Context: thread.
 */
int sched_start(struct thread *t);
/* @t, a policy's, ends: irqs masked. */
void sched_ext_ends(struct thread *t);
/*
 * Blocks the current thread, which is on a wait list or has a timer armed. Irqs masked; @wait_lock
 * (may be NULL) is held and is released once no waker can miss the thread. Returns with irqs as
 * @flags say after sched_wake(). Tail-call it.
 */
void sched_block(struct spinlock *wait_lock, unsigned long flags);
/*
 * Wakes a thread that the caller has taken off its wait list. Irqs masked, no lock held; @flags:
 * the interrupt state to restore. If they are enabled this is thread context and a better thread
 * runs at once; if not, trap_exit() sees to it. Tail-call it.
 */
void sched_wake(struct thread *t, unsigned long flags);
/*
 * The same for @n threads, up to SCHED_WAKE_MANY, each of them once: a CPU is locked once for all who
 * wait there, and told once. Irqs masked, no lock held; sched_reschedule_self() has to follow.
 */
#define SCHED_WAKE_MANY 32
void sched_wake_many(struct thread *const *threads, unsigned n);
void sched_yield_current(void);
/* Gives way if somebody better waits; restores @flags. Irqs masked, no lock held. */
void sched_reschedule_self(unsigned long flags);
/*
 * @rank is the best that @t has borrowed, with @loan if that is RANK_DEADLINE; 0: none. It runs with
 * that or its own, whichever is better, and keeps its attributes. True: what it runs with has
 * changed. Another CPU that must
 * act is told; on this one sched_reschedule_self() has to follow. Irqs masked; a lock of rank
 * LOCK_INHERIT may be held.
 */
bool sched_lend(struct thread *t, uint16_t rank, const struct loan *loan);
/*
 * The rank of @t has changed: if it is blocked on a wait queue, it goes to its place there, behind
 * those who have that rank. A mutex lends as before: for those see core/inherit.h. Irqs masked, no
 * lock held.
 */
void sched_rank_waiter(struct thread *t);
/* The last act of a thread; irqs masked. */
__noreturn void sched_exit(void);
__noreturn void sched_idle_loop(void);
/* -EINVAL: no online CPU in @mask; -EBUSY: sched/deadline.h. Context: thread. */
int sched_set_affinity(struct thread *t, const struct cpumask *mask);
/*
 * Changes all attributes of @t, or none. Takes effect before it returns; a fair thread keeps its
 * lag, and what is left of its request if the slice allows. 0; -EINVAL: sched_attr_fault() says
 * what is wrong; -ESRCH: it has ended; -EBUSY, -ENOMEM: sched/deadline.h. Context: thread.
 */
int sched_set_attr(struct thread *t, const struct sched_attr *attr);
/* Context: thread. */
void sched_get_attr(struct thread *t, struct sched_attr *attr);
/*
 * NULL if @attr may be set; else the field that is out of range, with @expected: what may stand
 * there. Context: any.
 */
const char *sched_attr_fault(const struct sched_attr *attr, const char **expected);
/* The same, with the slice left as it is. Context: thread. */
int sched_set_policy(struct thread *t, int policy, int priority, int nice);
/*
 * The priority alone, by the rules of pthread_setschedprio(): one that is raised goes behind those
 * of its new priority, one that is lowered before them, the same priority changes nothing; in all
 * other calls a real-time thread goes behind them. 0; -EINVAL: not of its policy; -ESRCH: it has
 * ended. Context: thread.
 */
int sched_set_priority(struct thread *t, int priority);
uint64_t sched_runtime_ns(struct thread *t);
/* @t has a hook to run: it is to pass through trap_exit() soon. Context: any. */
void sched_notify(struct thread *t);
/*
 * From trap_timer() after the timers ran: ends slices and programs the hardware for the next event.
 */
void sched_timer(struct cpu *cpu, uint64_t now_ns, uint64_t next_timer_ns);
/* From trap_ipi(). */
void sched_ipi(struct cpu *cpu);
