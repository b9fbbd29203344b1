/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy whose decisions are made by an ordinary thread. The framework's callbacks put what
 * happens into a ring of events; the scheduling thread takes them, decides, and puts verdicts into
 * another ring; the CPUs' dispatch() runs what has its verdict, in order of virtual time.
 *
 *   enqueue(p)          event --> thread_sched_dequeue()
 *                                 ... decides ...
 *   dispatch(cpu)  <-- verdict    thread_sched_dispatch()
 *                                 thread_sched_complete(): sleeps until there is more to decide
 *
 * A policy is a table and the thread's function (sched/ext/policies/thread.bpf.c):
 *
 *   static void decide(struct thread_sched *s);
 *   static s32 my_init(void)
 *   {
 *           return thread_sched_begin(&(struct thread_sched_options){ .run = decide });
 *   }
 *   SCX_OPS_DEFINE(my_ops, THREAD_SCHED_OPS, .init = my_init, .name = "my");
 *
 * The thread is FIFO, so it is never the policy's own; it runs in bursts: when a CPU has nobody left
 * to run while events wait, or when the oldest that it has not taken is wake_ns old. What is not decided
 * when seven eighths of bound_ns are over is dispatched by the kernel, first come, first served: so
 * no decision takes longer than bound_ns. A thread that wakes up while a CPU is idle and nobody waits
 * runs there at once; one that is alone goes on: neither makes an event.
 *
 * A verdict names the wait that it is about. One about a thread that was run, moved or changed
 * meanwhile, or has ended, is void; that is no mistake, and counted.
 *
 * If the thread returns, faults, fails an assertion, or decides nothing for stall_ns although it could
 * run, the policy ends and says so; all threads are EEVDF's from then on. What it must not do: wait
 * for a thread that it schedules (a mutex, the heap of a program), or overflow its stack: that is a
 * panic, as in every thread.
 */
#pragma once

#include "sched/ext/ops.h"

struct thread_sched; /* one scheduling thread, and the CPUs it decides for */

enum thread_sched_placement {
	THREAD_SCHED_FLOATING,    /* one for all CPUs, on any of them */
	THREAD_SCHED_PINNED,      /* one for all CPUs, on options.cpu */
	THREAD_SCHED_PER_CLUSTER, /* one for each cluster (core/topology.h), on its CPUs */
};

struct thread_sched_options {
	/* the thread's function; it returns when thread_sched_exited() says so, not earlier */
	void (*run)(struct thread_sched *s);
	uint64_t bound_ns;    /* a decision's age, at most: 100 us..1 s; 0: 2 ms */
	uint64_t wake_ns;     /* an event's age when the thread is woken up; 0: half of bound_ns */
	uint64_t slice_ns;    /* where no verdict gives one; 0: SCX_SLICE_DFL */
	uint64_t stall_ns;    /* how long it may decide nothing: 10 ms..30 s; 0: 500 ms */
	uint32_t placement;   /* enum thread_sched_placement */
	uint32_t cpu;         /* for THREAD_SCHED_PINNED */
	uint32_t priority;    /* SCHED_FIFO, 1..98; 0: 1 */
	uint32_t entries;     /* of each ring, a power of two, 16..65536; 0: 1024 */
	uint32_t stack_bytes; /* of the thread; 0: THREAD_STACK_DEFAULT */
	bool report;          /* thread_sched_report() when the policy ends */
};

/* A thread can run, and waits for a verdict. */
struct thread_sched_event {
	uint64_t handle;      /* the thread: not used again for another one */
	uint64_t enqueued_ns; /* since when it waits; time_now_ns() */
	uint64_t vtime;       /* of the last verdict about it that was taken; 0: there was none */
	uint64_t used_ns;     /* CPU time since the last event about it */
	uint64_t burst_ns;    /* CPU time since it last slept */
	uint64_t flags;       /* SCX_ENQ_* */
	uint32_t wait;        /* the number of this wait */
	uint32_t weight;      /* 1..10000; nice 0: 100 */
	int32_t tid;
	uint16_t cpu;     /* where it ran last, or was sent */
	uint16_t nr_cpus; /* on how many it may run */
	char name[TASK_COMM_LEN];
};

#define THREAD_SCHED_ANY_CPU (-1)

/* Flags of a verdict. */
#define THREAD_SCHED_PREEMPT 1u /* with a CPU: the slice of whom the policy runs there is over */

struct thread_sched_verdict {
	uint64_t handle; /* both from the event */
	uint32_t wait;   /* */
	int32_t cpu;     /* only there; or THREAD_SCHED_ANY_CPU, of those the thread decides for */
	uint64_t slice_ns; /* 0: the option's; SCX_SLICE_INF */
	/* smaller is earlier, may wrap; equal: in the order of the verdicts */
	uint64_t vtime;
	uint32_t flags; /* THREAD_SCHED_* */
};

/* Since the policy was loaded, of all scheduling threads. */
#define THREAD_SCHED_BUCKETS 32
struct thread_sched_counters {
	uint64_t events;      /* put into the rings */
	uint64_t verdicts;    /* that took effect */
	uint64_t cancelled;   /* void: run, moved, changed, ended meanwhile */
	uint64_t failed;      /* refused: no thread of that handle was ever there */
	uint64_t bounced;     /* to another CPU: it may not run on the one that was said */
	uint64_t kernel;      /* woken up onto an idle CPU at once */
	uint64_t kept;        /* goes on, since it is alone */
	uint64_t congested;   /* the ring was full: run in order of arrival */
	uint64_t promoted;    /* had to wait too long: run in order of arrival */
	uint64_t late;        /* decisions that took longer than bound_ns */
	uint64_t activations; /* how often a scheduling thread was woken up */
	uint64_t age_max_ns;  /* of a decision */
	uint32_t ring_max;    /* events in a ring at a time */
	uint32_t burst_max;   /* events taken in one activation */
	uint32_t waiting;     /* now: without a decision */
	uint32_t scheduled;   /* now: decided, not run yet */
	uint32_t pending;     /* now: held back, as told to thread_sched_complete() */
	/* decisions by age: [i]: 2^i..2^(i+1) - 1 ns, [0]: less than 2 */
	uint64_t age_log2[THREAD_SCHED_BUCKETS];
};

/* ---- in the scheduling thread only ----------------------------------------------------------- */

/* The oldest event that was not taken yet. False: there is none. */
bool thread_sched_dequeue(struct thread_sched *s, struct thread_sched_event *event);
/*
 * Hands over a verdict; it may take effect at once, and does at the latest in
 * thread_sched_complete(). -EINVAL: there is no such CPU, a flag is unknown, or PREEMPT has no CPU.
 */
int thread_sched_dispatch(struct thread_sched *s, const struct thread_sched_verdict *verdict);
/*
 * An idle CPU for the thread that @event is about, near @prev_cpu, which is told and will not be
 * given to another; -EBUSY: none; -ESRCH: the event is void.
 */
int thread_sched_select_cpu(struct thread_sched *s, const struct thread_sched_event *event,
			    int prev_cpu, uint64_t wake_flags);
/*
 * All that is to be decided now is; @pending events were taken and are held back. Returns when there
 * is more to decide, or the policy ends. Whoever does not call it is found to stall.
 */
void thread_sched_complete(struct thread_sched *s, uint32_t pending);
/*
 * There is something to decide that is no event: thread_sched_complete() returns, or will. Context:
 * any, while the policy is loaded.
 */
void thread_sched_kick(struct thread_sched *s);
/* The policy has ended: the thread's function is to return. Context: any. */
bool thread_sched_exited(const struct thread_sched *s);
/* Which it is, from 0 on: more than 0 only with THREAD_SCHED_PER_CLUSTER. Context: any. */
unsigned thread_sched_index(const struct thread_sched *s);

/* ---- for the policy's table, and for readers ------------------------------------------------- */

/*
 * In the policy's init(): makes rings and threads. 0; -EINVAL: an option, said on the console;
 * -EBUSY: a thread of an earlier policy has not returned yet, or, in ext_swap(), the policy that is
 * loaded has such a thread, too; -ENOMEM.
 */
s32 thread_sched_begin(const struct thread_sched_options *options);
/* Ends the policy, with the code and the reason that exit() is told of. Context: any. */
void thread_sched_shutdown(int64_t code, const char *fmt, ...) __printf_like(2, 3);
/* Context: thread. All zero: there was no such policy. */
void thread_sched_counters(struct thread_sched_counters *sum);
/* The same, with the histogram, on the console. Context: thread. */
void thread_sched_report(void);

s32 thread_sched_on_select_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
void thread_sched_on_enqueue(struct task_struct *p, u64 enq_flags);
void thread_sched_on_dequeue(struct task_struct *p, u64 deq_flags);
void thread_sched_on_dispatch(s32 cpu, struct task_struct *prev);
void thread_sched_on_enable(struct task_struct *p);
s32 thread_sched_on_init_task(struct task_struct *p, struct scx_init_task_args *args);
void thread_sched_on_exit_task(struct task_struct *p, struct scx_exit_task_args *args);
void thread_sched_on_exit(struct scx_exit_info *info);

#define THREAD_SCHED_OPS THREAD_SCHED_OPS_BUT_EXIT, .exit = thread_sched_on_exit
/* For an exit() of one's own, which calls that. */
#define THREAD_SCHED_OPS_BUT_EXIT                                                     \
	.select_cpu = thread_sched_on_select_cpu, .enqueue = thread_sched_on_enqueue, \
	.dequeue = thread_sched_on_dequeue, .dispatch = thread_sched_on_dispatch,     \
	.enable = thread_sched_on_enable, .init_task = thread_sched_on_init_task,     \
	.exit_task = thread_sched_on_exit_task, .flags = SCX_OPS_ENQ_LAST, .timeout_ms = 5000
