/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the policy framework (sched_ext's model; what a policy sees is in ops.h).
 *
 * The scheduler calls the class (class.c) with an rq lock held. A policy is never called there: the
 * class only notes what is to be told, thread by thread, in the inbox of a CPU. The policy is called
 * in a step (step.c): between two threads, on the CPU that schedules, interrupts masked and no lock
 * held, so that whoever wakes a thread of a higher class never waits for a callback.
 *
 *   wake       sched_wake() -> ext_enqueue(): inbox            the CPU is made to schedule
 *   schedule   ext_stop(): drops the rq lock, ext_step():
 *                inbox: quiescent, select_cpu, runnable, enqueue of those in it
 *                dispatch() until the local queue has somebody
 *                stopping, enqueue of the thread that ran; running of the next, which is staged
 *              takes the rq lock; ext_pick(): the staged one, else idle
 *   block      ext_stop(): noted; the idle thread makes the step and goes on to the next one
 *
 * Where a thread is (struct ext_task.where), under its rq lock
 *
 *   OUT -> INBOX -> QUEUEING -> QUEUED (in a queue, or with the policy) -> LOCAL -> STAGED -> RUNNING
 *
 * Whoever takes a thread out of turn (attributes, affinity, CPU-off) sets it to OUT and counts
 * ext_task.seq up; a hand-over that was under way finds another number and drops what it has. So a
 * policy may insert anything at any time: an insert of a thread that is not the policy's is ignored.
 *
 * Lock legend: [q] rq lock of the thread, [x] inbox lock of the CPU that ext_task.home names, [d]
 * lock of the queue it is in, [s] the step that has it (busy), [o] own CPU, irqs masked, [i]
 * immutable, [a] atomic, [m] ext.mutex. Inbox and queue locks have the rank LOCK_EXT: taken with an
 * rq lock held, or with none, never two of them.
 */
#pragma once

#include "core/sync.h"
#include "sched/ext/ops.h"
#include "sched/sched.h"

enum ext_where {
	EXT_OUT,      /* blocked, in another class, or between two places */
	EXT_INBOX,    /* waits for a step that hands it to the policy; in nr_ready */
	EXT_QUEUEING, /* in that step */
	EXT_QUEUED,   /* with the policy; in a queue if dsq is not NULL */
	EXT_LOCAL,    /* in the local queue of its CPU; in nr_ready */
	EXT_STAGED,   /* next on its CPU; in nr_ready */
	EXT_RUNNING,
};

/* What the policy is to be told of a thread, in the order in which it is. */
enum {
	EXT_EV_STOPPING = 1,
	EXT_EV_QUIESCENT = 2,
	EXT_EV_SLEEP = 4, /* says why: it blocked, not an attribute */
	EXT_EV_DEQUEUE = 8,
	EXT_EV_DISABLE = 16,
	EXT_EV_EXIT = 32,
	EXT_EV_ENABLE = 64,
	EXT_EV_SELECT = 128, /* a wake-up or a new thread */
	EXT_EV_FORK = 256,   /* the latter */
	EXT_EV_RUNNABLE = 512,
	EXT_EV_ENQUEUE = 1024,
	EXT_EV_RUNNING = 2048,
};

/* What was told: callbacks come in pairs. */
enum { EXT_TOLD_ENABLED = 1, EXT_TOLD_RUNNABLE = 2, EXT_TOLD_RUNNING = 4, EXT_TOLD_INIT = 8 };

/* A place in the list of a queue; of a thread, or of a walk through it. */
struct ext_node {
	struct list_head list;
	bool cursor;
};

struct ext_dsq {
	struct spinlock lock;  /* rank LOCK_EXT */
	u64 id;                /* [a] */
	unsigned side;         /* [i] of which policy, see ext.side */
	struct list_head list; /* [d] struct ext_node, in order */
	struct rb_root tree;   /* [d] the same by vtime, if it is ordered by that */
	u32 nr;                /* [d], read without */
	bool by_vtime;         /* [d] set by the first insert into the empty queue */
	bool destroyed;        /* [d] */
	u32 seq;               /* [d] counts inserts */
	struct list_head hash; /* table lock; or free */
};

/* Where an insert is to go. */
struct ext_insert {
	u64 dsq_id; /* SCX_DSQ_INVALID: there was none */
	u64 slice, vtime, flags;
	bool by_vtime;
};

#define EXT_MAGIC       0x45585431u
#define EXT_STORAGE_MAX 4

struct ext_task {
	struct task_struct p;     /* first: what the policy has a pointer to */
	struct thread *thread;    /* [q] and [x] NULL: it has ended */
	uint32_t magic;           /* EXT_MAGIC: pointers from the policy are checked */
	uint32_t where;           /* [q] enum ext_where */
	uint32_t seq;             /* [q] */
	uint16_t cpu;             /* [a] where it is, for the policy */
	bool enabled;             /* [q] may be in the class */
	struct ext_node node;     /* [q] in the local queue, [d] in another */
	struct rb_node rb;        /* [d] */
	u64 key;                  /* [d] vtime */
	u32 dsq_seq;              /* [d] */
	struct ext_dsq *dsq;      /* [d] */
	struct ext_insert insert; /* [s], [d] while on its way to a remote local queue */
	struct list_head inbox;   /* [x] */
	uint32_t owed;            /* [x] EXT_EV_* */
	uint16_t home;            /* [x] the CPU whose inbox it is or was last in */
	bool listed;              /* [x] in the inbox */
	uint32_t busy;            /* [a] in a step */
	struct thread *pinned;    /* [s] may not be freed; NULL: it had ended, or runs here */
	uint32_t told;            /* [s] EXT_TOLD_* */
	uint32_t weight;          /* [s] the policy knows */
	uint32_t attributes;      /* [s] of its thread, from which that was made */
	struct cpumask mask;      /* [s] p.cpus_ptr */
	uint64_t mask_ns;         /* [s] since when it is that */
	uint64_t runnable_ns;     /* [q] since when it waits; 0: it does not */
	struct list_head all;     /* ext.lock */
	/* [s] by ext_map.slot: what maps of task storage have of it, for either side */
	void *storage[2 * EXT_STORAGE_MAX];
	struct sched_ext_entity next_scx; /* [m] what a policy that takes over has set */
	uint32_t next_told;               /* [m] and what that one was told */
	/* [q] woken, and did not run yet; ext_watch: slept in this window */
	bool woken, slept;
	uint64_t seen_ns, window_ns; /* ext.lock: run time when the window began, and in it */
	bool orphan;                 /* [m] it ended while one policy took over from another */
	void *thread_sched;          /* [s] of the policy, if a thread decides for it: rings.h */
};

#define EXT_BATCH_MAX      64
#define EXT_DISPATCH_LOOPS 32 /* calls of dispatch() in one decision */
#define EXT_TICK_NS        (4 * NSEC_PER_MSEC)

/* An insert that dispatch() made, until it returns. */
struct ext_buffered {
	struct ext_task *e;
	uint32_t seq;
	struct ext_insert insert;
};

/* What may be called, by callback. */
enum ext_op { EXT_OP_NONE, EXT_OP_SELECT, EXT_OP_ENQUEUE, EXT_OP_DISPATCH, EXT_OP_OTHER };

struct ext_cpu {
	struct spinlock lock;    /* rank LOCK_EXT: the inbox */
	struct list_head inbox;  /* [x] */
	struct list_head local;  /* [q] of this CPU's rq: struct ext_node */
	uint32_t nr_local;       /* [q], read without */
	uint32_t claimable;      /* [a] idle, and not claimed by select_cpu() since it said so */
	struct ext_dsq arriving; /* for the local queue, from other CPUs and from who ran here */
	struct ext_task *staged; /* [q] */
	bool token;              /* [q] nr_ready counts one more: a step is wanted */
	bool preempt;            /* [q] the running thread's slice is void */
	bool idle_seen;          /* [o] the step before going idle is done */
	bool told_idle;          /* [o] */
	bool untrusted;          /* [o] the step began in a bypass */
	bool again;              /* [o] this step leaves the rest to one that follows at once */
	bool in_step;            /* [o] */
	bool in_timer;           /* [o] in the function of a bpf_timer */
	bool in_shadow;          /* [o] in a callback of the candidate: shadow.h */
	/* [o] of a callback: guard.c */
	const char *callback;   /* its name; NULL: none is called */
	uint64_t callback_ns;   /* when it was called */
	uint64_t step_ns;       /* when interrupts were last let in */
	bool in_helper;         /* the window is closed: nothing here may be given up */
	unsigned long window;   /* state of the timer window */
	uintptr_t stack_top;    /* [i] */
	struct timer budget;    /* runs while a step is made */
	uint64_t armed_ns;      /* what the hardware was to fire at without it */
	struct ext_dsq *found;  /* the user queue that was looked for last; NULL: none */
	struct list_head walks; /* iterators that are open */
	/* the rest: [o], in a step */
	enum ext_op op;
	struct ext_task *subject; /* of select_cpu() and enqueue() */
	unsigned nr_buffered;
	bool moved;     /* dispatch() moved somebody to the local queue */
	bool prev_told; /* enqueue() was called for who ran: put away what it said */
	u64 now_ns;     /* 0: not read yet */
	u64 tick_ns;    /* when tick() is due */
	struct ext_buffered buffered[EXT_BATCH_MAX];
	struct scx_event_stats stats;
} __aligned_to(ARCH_CACHE_LINE_BYTES);

/* The framework's state. */
struct ext {
	struct sched_ext_ops *ops; /* [a] the policy that is loaded; NULL: none */
	bool partial;              /* [m] */
	/*
	 * [m] 0 or 1: what is the policy's own (queues, timers, masks, task storage) is marked with
	 * that, and what the next one has while it is made ready with the other
	 */
	unsigned side;
	struct thread *loader; /* [a] makes the next one ready, beside the one that schedules */
	bool refused;          /* [m] that one has made an error */
	uint32_t bypass;       /* [a] its callbacks are not called any more */
	uint32_t exit_kind;    /* [a] enum scx_exit_kind: the first one counts */
	struct mutex mutex;    /* loading and unloading, and threads that come */
	struct spinlock lock;  /* rank LOCK_EXT: the list of tasks, the table of queues */
	struct list_head tasks;
	struct ext_dsq global;
	uint64_t exit_ns;     /* when exit_kind was set */
	uint64_t hotplug_seq; /* [a] */
	uint64_t nr_rejected; /* [m] threads that the policy disallowed */
	struct scx_exit_info info;
	char reason_msg[SCX_EXIT_MSG_LEN];
};

extern struct ext ext;
bool ext_is_loader(void);
extern struct ext_cpu ext_cpus[ARCH_CPU_MAX];

#define EXT_BYPASS_SLICE_NS (5 * NSEC_PER_MSEC)

static inline struct ext_cpu *ext_cpu_of(struct runqueue *rq)
{
	return &ext_cpus[cpu_of_rq(rq)->index];
}

static inline unsigned ext_index(const struct ext_cpu *x)
{
	return (unsigned)(x - ext_cpus);
}

/* On whose behalf this runs: a policy that is made ready is called in its loader's thread alone. */
static inline unsigned ext_side(void)
{
	if (unlikely(atomic_load_relaxed(&ext.loader)) && ext_is_loader())
		return !ext.side;
	return ext.side;
}

static inline struct ext_task *ext_task_of(struct task_struct *p)
{
	return (struct ext_task *)p;
}

/* ---- class.c --------------------------------------------------------------------------------- */

/* Puts the functions of this class where idle's were. Once. */
void ext_class_install(void);
/* Owes the policy @events about @e, in the inbox of @cpu. Irqs masked; an rq lock may be held. */
void ext_post(struct ext_task *e, unsigned cpu, uint32_t events, uint32_t void_events);
/* rq->lock held: this CPU is to make a step. True: an interrupt has to be sent. */
bool ext_want_step(struct runqueue *rq);
/* From changes of attributes: rq->lock held, irqs masked. */
uint16_t ext_rank(const struct sched_entity *s, uint32_t policy);
void ext_changed(struct runqueue *rq, struct thread *t, uint16_t old_rank);
bool ext_idle(struct cpu *cpu);

/* The inbox that @e belongs to, locked. Irqs masked. */
struct ext_cpu *ext_inbox_lock(struct ext_task *e);
/* Its thread has ended, or is not the policy's any more. rq->lock held. */
void ext_forget(struct ext_task *e);
/* @t has exited, and is of another class: the policy is told of its end. rq->lock held. */
void ext_ends(struct runqueue *rq, struct thread *t);

/* ---- step.c ---------------------------------------------------------------------------------- */

/* A step that had @e in ext_task.busy is done with it: what is owed meanwhile is listed. Irqs masked. */
void ext_busy_end(struct ext_task *e);

/* @prev: who ran here and may go on, NULL: idle. Irqs masked, no lock held. */
void ext_step(struct ext_cpu *x, struct ext_task *prev, enum stop_reason why);
/* rq->lock held: what enqueue() said about who ran here takes effect. */
void ext_put_prev(struct runqueue *rq, struct ext_task *e);
/* It is void: the thread went elsewhere. */
void ext_drop_prev(struct ext_cpu *x, struct ext_task *e);
/* What dispatch() has inserted so far takes effect. In a step. */
void ext_flush(struct ext_cpu *x);
/* To the local queue of the CPU @x, which is this one. False: it was taken away meanwhile. */
bool ext_insert_local(struct ext_cpu *x, struct ext_task *e, uint32_t seq, u64 flags);
/* What the insert in @e says, for a thread that is in no queue and has the number @seq. */
void ext_commit(struct ext_cpu *x, struct ext_task *e, uint32_t seq, uint32_t where);
uint32_t ext_weight(const struct thread *t);

/* ---- guard.c --------------------------------------------------------------------------------- */

/* Of one callback, in microseconds: 2..1000000; a boot argument. */
extern uint64_t ext_budget_us;
/* Stacks and timers of all CPUs. 0, -ENOMEM. Context: thread. */
int ext_guard_init(void);
/* A step begins, and ends: its callbacks have budgets. Irqs masked. */
void ext_budget_begin(struct ext_cpu *x);
void ext_budget_end(struct ext_cpu *x);
/* Interrupts are to be let in before more is begun. */
bool ext_step_is_long(const struct ext_cpu *x);
/* fn(a, b, c), which may be given up: 0 then, and the policy has ended. In a step. */
long ext_guarded(struct ext_cpu *x, const char *name, long (*fn)(long, long, long), long a, long b,
		 long c);

/*
 * The first line of a helper: until it returns nothing is let through, so that it is done whole.
 */
struct ext_helper {
	struct ext_cpu *x; /* NULL: not called from a step */
	unsigned long state;
};
struct ext_helper ext_helper_enter(void);
void ext_helper_leave(struct ext_helper *h);
#define EXT_HELPER                \
	struct ext_helper helper_ \
		__attribute__((cleanup(ext_helper_leave), unused)) = ext_helper_enter()

/* ---- dsq.c ----------------------------------------------------------------------------------- */

void ext_dsq_init(struct ext_dsq *q, u64 id);
/* NULL: there is none of that number. */
struct ext_dsq *ext_dsq_find(u64 id);
int ext_dsq_create(u64 id);
/* All of a policy that is gone; nobody is in them. */
void ext_dsq_destroy_all(unsigned side);
/* @e, in no queue, its rq locked. False: not so (mixed orders, destroyed): @why says what. */
bool ext_dsq_put(struct ext_dsq *q, struct ext_task *e, const struct ext_insert *in,
		 const char **why);
/* Takes @e out of the queue it is in, if it still is; its rq locked. */
void ext_dsq_take(struct ext_task *e);
/* A walk whose policy gave up in the middle of it; @open: its struct list_head in ext_cpu.walks. */
void ext_walk_end(struct list_head *open);
/* The first that may run on @cpu goes to the local queue of that CPU, this one. False: nobody. */
bool ext_dsq_consume(struct ext_dsq *q, struct ext_cpu *x);

/* ---- dump.c: ext.mutex held, in a thread ------------------------------------------------------ */

/* The policy ends: CPUs as they are; each thread that it knows, irqs masked, before it is disabled. */
void ext_dump_begin(void);
void ext_dump_note(const struct thread *t);
/* All are: makes ext.info.dump. */
void ext_dump_end(void);
/* Its beginning goes to the console, and it is gone. */
void ext_dump_print(void);
/* Of the first exception in a callback. irqs masked, any context. */
void ext_dump_backtrace(const struct trap_frame *tf);

/* Of the policy that is loaded and goes on; to be given back. -ENOENT, -ENOMEM. Takes ext.mutex. */
struct ext_dump_text {
	char *text;
	unsigned order; /* of its pages */
};
int ext_dump_now(struct ext_dump_text *out);
void ext_dump_free(const struct ext_dump_text *text);
/* The counter number @i of @stats, by name; NULL: there are not so many. Any context. */
const char *ext_event(const struct scx_event_stats *stats, unsigned i, s64 *value);

/* All of @q, of a CPU that leaves; the policy walks through no such queue. Irqs masked. */
void ext_dsq_to_global(struct ext_dsq *q);

/* ---- load.c ---------------------------------------------------------------------------------- */

/* For swap.c; all under ext.mutex but the first. -EINVAL: the table is wrong, said on the console. */
int ext_ops_check(const struct sched_ext_ops *ops);
/* Each thread that has none gets its struct ext_task. -ENOMEM. */
int ext_attach_all(void);
int ext_init_task(const struct sched_ext_ops *ops, struct ext_task *e, bool fork);
/* A callback of the next one, in this thread: @call. What it does wrong is an error of that one. */
#define EXT_AS_LOADER(call)                                               \
	({                                                                \
		int err_;                                                 \
		ext.refused = false;                                      \
		atomic_store_release(&ext.loader, thread_current());      \
		err_ = (call);                                            \
		atomic_store_release(&ext.loader, (struct thread *)NULL); \
		err_ ? err_ : ext.refused ? -ECANCELED : 0;               \
	})
/* The task behind @e in the list of all, NULL: none. In bypass, else they may be freed. */
struct ext_task *ext_task_after(struct ext_task *e);
/* Out of its inbox, with nothing owed, when the step that may have it is done; what was owed. */
uint32_t ext_unlist(struct ext_task *e);
/* @t is of the class, or not, as the policy says. For thread_each(). */
void ext_enable_one(struct thread *t);
/* A policy has taken over: looks for stalls as often as it wants; and for errors made meanwhile. */
void ext_began(void);
/* The ejector looks again when it is to come. Context: any. */
void ext_look(void);

/*
 * Loads @ops: its callbacks schedule from the return on. 0; -EBUSY: one is loaded; -EINVAL: the
 * table is wrong, said on the console; what init() or init_task() returned. Context: thread.
 */
int ext_load(struct sched_ext_ops *ops);
/*
 * @ops schedules in place of the policy that is loaded. No thread passes through another class, and
 * no CPU stands still: in between, threads run in the order in which they come. What ext_load()
 * returns; -ENOENT: none is loaded; -EEXIST: it is @ops, or one of that name; -ECANCELED: either of
 * them made an error. On errors of @ops the other one goes on. swap.c. Context: thread.
 */
int ext_swap(struct sched_ext_ops *ops);
/* An idle CPU that may run @t looks into the global queue. No lock held. */
void ext_tell_idle_cpu(const struct thread *t);
/* The same with ext.mutex held and @ops known to be sound. */
int ext_swap_locked(struct sched_ext_ops *ops);
/* Unloads it: all its threads are fair from then on. -ENOENT: none is loaded. Context: thread. */
int ext_unload(void);
/* The policy ends; the first reason counts. Any context, irqs in any state. */
void ext_exit(enum scx_exit_kind kind, s64 code, const char *fmt, ...) __printf_like(3, 4);
void ext_exit_v(enum scx_exit_kind kind, s64 code, const char *fmt, va_list ap) __printf_like(3, 0);
/* A policy was loaded once: since then there is the thread scx_ejector. */
bool ext_is_installed(void);
/* Waits until a policy that has ended is gone. Context: thread. */
void ext_wait_unloaded(void);
/* Those that are linked in, in the order of POLICY=; NULL: none of that number, or name. */
struct sched_ext_ops *ext_policy_at(unsigned i);
struct sched_ext_ops *ext_policy_find(const char *name);
/*
 * boot/load.c: the one that is to be loaded at boot, if any. What ext_load() returns; -ENOENT: there
 * is none of that name, said on the console. Context: thread.
 */
int ext_boot_load(void);
/* A pointer that a policy gave: it is a thread's. */
bool ext_task_valid(const struct ext_task *e);
/* Threads: struct ext_task comes and goes. */
struct ext_task *ext_task_alloc(void);
void ext_task_free(struct ext_task *e);
