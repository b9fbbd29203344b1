/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a policy sees: sched_ext's names, values and meanings. A policy includes
 * <scx/common.bpf.h>, which includes this; the framework includes it too, so there is one
 * definition of everything that both touch.
 *
 * Context of the callbacks: "step" is the moment between two threads on one CPU, interrupts
 * masked, no lock of the kernel held, on the CPU that schedules; "thread" may block; "dump": while a
 * dump is made, interrupts masked, with the budget of a step. docs/POLICY.md has the life of a
 * thread as pseudo-code.
 */
#pragma once

#include "core/base.h"
#include "core/cpumask.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

struct thread_group;
struct ext_policy_data;

/* Layout of the structures below; a policy in another form than C would be refused by it. */
#define SCX_ABI_VERSION 1

#define SCX_OPS_NAME_LEN 128
#define TASK_COMM_LEN    16

enum scx_public_consts {
	SCX_EXIT_MSG_LEN = 1024,
	SCX_EXIT_BT_LEN = 64,
};
#define SCX_SLICE_DFL (20ull * 1000 * 1000) /* ns */
#define SCX_SLICE_INF UINT64_MAX            /* runs until it blocks, yields or is preempted */

/* ---- dispatch queues ------------------------------------------------------------------------- */

/* User queues have ids below bit 63. */
#define SCX_DSQ_FLAG_BUILTIN   (1ull << 63)
#define SCX_DSQ_FLAG_LOCAL_ON  (1ull << 62)
#define SCX_DSQ_INVALID        (SCX_DSQ_FLAG_BUILTIN | 0)
#define SCX_DSQ_GLOBAL         (SCX_DSQ_FLAG_BUILTIN | 1)
#define SCX_DSQ_LOCAL          (SCX_DSQ_FLAG_BUILTIN | 2)
#define SCX_DSQ_LOCAL_ON       (SCX_DSQ_FLAG_BUILTIN | SCX_DSQ_FLAG_LOCAL_ON)
#define SCX_DSQ_LOCAL_CPU_MASK 0xffffffffull
#define SCX_DSQ_ITER_REV       (1ull << 16)

/* ---- flags ----------------------------------------------------------------------------------- */

enum scx_ops_flags {
	SCX_OPS_KEEP_BUILTIN_IDLE = 1u << 0,      /* although update_idle() is there */
	SCX_OPS_ENQ_LAST = 1u << 1,               /* the only runnable thread is enqueued, too */
	SCX_OPS_ENQ_EXITING = 1u << 2,            /* threads that exit are enqueued, too */
	SCX_OPS_SWITCH_PARTIAL = 1u << 3,         /* only SCHED_EXT, not all that is fair */
	SCX_OPS_ENQ_MIGRATION_DISABLED = 1u << 4, /* accepted; no thread is ever */
	SCX_OPS_ALLOW_QUEUED_WAKEUP = 1u << 5,    /* accepted; always so here */
	SCX_OPS_HAS_CGROUP_WEIGHT = 1u << 16,     /* accepted */
	SCX_OPS_ALL_FLAGS = 0x1003f,
};

#define SCX_WAKE_FORK (1ull << 2)
#define SCX_WAKE_TTWU (1ull << 3)
#define SCX_WAKE_SYNC (1ull << 4)

#define SCX_ENQ_WAKEUP       (1ull << 0)
#define SCX_ENQ_HEAD         (1ull << 4)
#define SCX_ENQ_CPU_SELECTED (1ull << 10)
#define SCX_ENQ_PREEMPT      (1ull << 32)
#define SCX_ENQ_REENQ        (1ull << 40)
#define SCX_ENQ_LAST         (1ull << 41)

#define SCX_DEQ_SLEEP           (1ull << 0)
#define SCX_DEQ_SCHED_CHANGE    (1ull << 1)
#define SCX_DEQ_CORE_SCHED_EXEC (1ull << 32)

#define SCX_KICK_IDLE    (1ull << 0)
#define SCX_KICK_PREEMPT (1ull << 1)
#define SCX_KICK_WAIT    (1ull << 2)

#define SCX_PICK_IDLE_CORE (1ull << 0)

/* ---- the end of a policy --------------------------------------------------------------------- */

enum scx_exit_kind {
	SCX_EXIT_NONE,
	SCX_EXIT_DONE,
	SCX_EXIT_UNREG = 64, /* unloaded by the user */
	SCX_EXIT_UNREG_BPF,  /* by itself: scx_bpf_exit() */
	SCX_EXIT_UNREG_KERN, /* by the kernel: CPU-off without handlers */
	SCX_EXIT_SYSRQ,      /* by the magic key sequence */
	SCX_EXIT_ERROR = 1024,
	SCX_EXIT_ERROR_BPF,   /* scx_bpf_error() */
	SCX_EXIT_ERROR_STALL, /* a thread was not run in time */
};

/* exit code: action | reason | what the policy gave */
#define SCX_ECODE_RSN_HOTPLUG (1ull << 32)
#define SCX_ECODE_ACT_RESTART (1ull << 48)

struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg; /* SCX_EXIT_MSG_LEN bytes */
	unsigned long *bt;
	u32 bt_len;
	char *dump;
};

/* ---- threads --------------------------------------------------------------------------------- */

struct sched_ext_entity {
	u64 slice;     /* ns left; charged while it runs; SCX_SLICE_INF: no end */
	u64 dsq_vtime; /* its key in a queue that is ordered by vtime */
	u32 weight;    /* 1..10000, 100: nice 0 */
	bool disallow; /* set in init_task() while loading: SCHED_EXT is not for this thread */
	u64 core_sched_at;
};

#define PF_EXITING 0x00000004u
#define PF_KTHREAD 0x00200000u

/* A thread, as a policy sees it. Only @scx is the policy's to write. */
struct task_struct {
	s32 pid, tgid;
	char comm[TASK_COMM_LEN];
	u32 flags; /* PF_* */
	s32 nr_cpus_allowed;
	const struct cpumask *cpus_ptr;
	struct sched_ext_entity scx;
	s32 prio, static_prio; /* 120: nice 0 */
	u64 sum_exec_runtime;  /* ns, at the last time it was charged */
	u64 start_time;        /* ns: when the policy first heard of it */
};

struct scx_init_task_args {
	bool fork;
	struct thread_group *cgroup;
};

struct scx_exit_task_args {
	bool cancelled; /* it never came as far as enable() */
};

struct scx_cpu_acquire_args {
	u8 unused;
};

enum scx_cpu_preempt_reason {
	SCX_CPU_PREEMPT_RT,
	SCX_CPU_PREEMPT_DL,
	SCX_CPU_PREEMPT_STOP,
	SCX_CPU_PREEMPT_UNKNOWN,
};

struct scx_cpu_release_args {
	enum scx_cpu_preempt_reason reason;
	struct task_struct *task;
};

struct scx_dump_ctx {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	u64 at_ns, at_jiffies;
};

struct scx_cgroup_init_args {
	u32 weight; /* 1..10000 */
};

/* ---- the table of callbacks: only @name must be there ---------------------------------------- */

struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);   /* step */
	void (*enqueue)(struct task_struct *p, u64 enq_flags);                    /* step */
	void (*dequeue)(struct task_struct *p, u64 deq_flags);                    /* step */
	void (*dispatch)(s32 cpu, struct task_struct *prev);                      /* step */
	void (*tick)(struct task_struct *p);                                      /* step */
	void (*runnable)(struct task_struct *p, u64 enq_flags);                   /* step */
	void (*running)(struct task_struct *p);                                   /* step */
	void (*stopping)(struct task_struct *p, bool runnable);                   /* step */
	void (*quiescent)(struct task_struct *p, u64 deq_flags);                  /* step */
	bool (*yield)(struct task_struct *from, struct task_struct *to);          /* step */
	bool (*core_sched_before)(struct task_struct *a, struct task_struct *b);  /* never called */
	void (*set_weight)(struct task_struct *p, u32 weight);                    /* step */
	void (*set_cpumask)(struct task_struct *p, const struct cpumask *mask);   /* step */
	void (*update_idle)(s32 cpu, bool idle);                                  /* step */
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args);          /* step */
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args);          /* step */
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args); /* thread */
	void (*exit_task)(struct task_struct *p,
			  struct scx_exit_task_args *args);                 /* step, thread */
	void (*enable)(struct task_struct *p);                              /* step */
	void (*disable)(struct task_struct *p);                             /* step, thread */
	void (*dump)(struct scx_dump_ctx *ctx);                             /* dump */
	void (*dump_cpu)(struct scx_dump_ctx *ctx, s32 cpu, bool idle);     /* dump */
	void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p); /* dump */
	s32 (*cgroup_init)(struct thread_group *g, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct thread_group *g);
	s32 (*cgroup_prep_move)(struct task_struct *p, struct thread_group *from,
				struct thread_group *to);
	void (*cgroup_move)(struct task_struct *p, struct thread_group *from,
			    struct thread_group *to);
	void (*cgroup_cancel_move)(struct task_struct *p, struct thread_group *from,
				   struct thread_group *to);
	void (*cgroup_set_weight)(struct thread_group *g, u32 weight);
	void (*cpu_online)(s32 cpu);              /* thread */
	void (*cpu_offline)(s32 cpu);             /* thread */
	s32 (*init)(void);                        /* thread */
	void (*exit)(struct scx_exit_info *info); /* thread */
	u32 dispatch_max_batch;                   /* 0: 32 */
	u64 flags;                                /* SCX_OPS_* */
	u32 timeout_ms;                           /* 0: 30000, which is also the longest */
	u32 exit_dump_len;                        /* 0: 32768 */
	u64 hotplug_seq;                          /* 0: whatever it is */
	char name[SCX_OPS_NAME_LEN];
	const struct ext_policy_data *data; /* SCX_OPS_DEFINE() sets it: maps, settings */
};

/* ---- helpers. "any": from every callback ----------------------------------------------------- */

/* thread. -EINVAL, -EEXIST, -ENOMEM */
s32 scx_bpf_create_dsq(u64 dsq_id, s32 node);
/* any; of one that is not empty: an error of the policy */
void scx_bpf_destroy_dsq(u64 dsq_id);
/* select_cpu, enqueue: @p only, at once. dispatch: any thread that waits, on return */
void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags);
void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime,
			      u64 enq_flags);
/* dispatch: the first that may run here, from a user queue to the local one; false: none */
bool scx_bpf_dsq_move_to_local(u64 dsq_id);
/* dispatch */
u32 scx_bpf_dispatch_nr_slots(void);
void scx_bpf_dispatch_cancel(void);
/* cpu_release: all that waits in the local queue goes to enqueue() again; how many */
u32 scx_bpf_reenqueue_local(void);
/* any; -ENOENT */
s32 scx_bpf_dsq_nr_queued(u64 dsq_id);
struct task_struct *scx_bpf_dsq_peek(u64 dsq_id);

/* A walk through a user queue, over those that are there when it begins. */
struct bpf_iter_scx_dsq {
	u64 opaque[10];
};
int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 dsq_id, u64 flags);
struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it);
void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it);
bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
		      u64 enq_flags);
bool scx_bpf_dsq_move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
			    u64 enq_flags);
void scx_bpf_dsq_move_set_slice(struct bpf_iter_scx_dsq *it, u64 slice);
void scx_bpf_dsq_move_set_vtime(struct bpf_iter_scx_dsq *it, u64 vtime);

/* any */
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle);
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu);
s32 scx_bpf_pick_idle_cpu(const struct cpumask *cpus_allowed, u64 flags); /* -EBUSY: none */
s32 scx_bpf_pick_any_cpu(const struct cpumask *cpus_allowed, u64 flags);
const struct cpumask *scx_bpf_get_idle_cpumask(void);
const struct cpumask *scx_bpf_get_idle_smtmask(void);
void scx_bpf_put_idle_cpumask(const struct cpumask *mask);
void scx_bpf_kick_cpu(s32 cpu, u64 flags);

bool scx_bpf_task_running(const struct task_struct *p);
s32 scx_bpf_task_cpu(const struct task_struct *p);
struct thread_group *scx_bpf_task_cgroup(struct task_struct *p);
u32 scx_bpf_nr_cpu_ids(void);
u32 scx_bpf_nr_node_ids(void);
const struct cpumask *scx_bpf_get_possible_cpumask(void);
const struct cpumask *scx_bpf_get_online_cpumask(void);
void scx_bpf_put_cpumask(const struct cpumask *mask);
u64 scx_bpf_now(void); /* ns, of this step: does not read the clock twice */
bool scx_bpf_task_set_slice(struct task_struct *p, u64 slice);
bool scx_bpf_task_set_dsq_vtime(struct task_struct *p, u64 vtime);
u32 scx_bpf_cpuperf_cap(s32 cpu); /* 1..1024 */
u32 scx_bpf_cpuperf_cur(s32 cpu);
void scx_bpf_cpuperf_set(s32 cpu, u32 perf);

/* any; the policy ends, of its own will or by an error */
void scx_bpf_exit(s64 exit_code, const char *fmt, ...) __printf_like(2, 3);
void scx_bpf_error(const char *fmt, ...) __printf_like(1, 2);
/* in the dump callbacks: a line of the dump */
void scx_bpf_dump(const char *fmt, ...) __printf_like(1, 2);

/* Events that a policy, or its reader, may want to know of; since it was loaded. */
struct scx_event_stats {
	s64 SCX_EV_SELECT_CPU_FALLBACK;
	s64 SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE;
	s64 SCX_EV_DISPATCH_KEEP_LAST;
	s64 SCX_EV_ENQ_SKIP_EXITING;
	s64 SCX_EV_ENQ_SKIP_MIGRATION_DISABLED;
	s64 SCX_EV_REFILL_SLICE_DFL;
	s64 SCX_EV_BYPASS_DURATION;
	s64 SCX_EV_BYPASS_DISPATCH;
	s64 SCX_EV_BYPASS_ACTIVATE;
	s64 SCX_EV_INSERT_NOT_OWNED;
};
void scx_bpf_events(struct scx_event_stats *events, size_t size);

/* ---- policies that are linked in ------------------------------------------------------------- */

#define EXT_POLICY(ops)                                     \
	static struct sched_ext_ops *const ext_policy_##ops \
		__attribute__((used, section("ext_policies"), aligned(8))) = &ops
