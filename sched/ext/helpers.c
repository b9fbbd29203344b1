/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a policy may call, but for the queues (dsq.c). Every id, CPU and pointer that comes from a
 * policy is looked at before it is used; a wrong one is an error of the policy, which ends it, and
 * the call does nothing.
 */
#include "core/irq.h"
#include "core/print.h"
#include "core/topology.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"

u64 bpf_ktime_get_ns(void);
u32 bpf_get_smp_processor_id(void);
u32 bpf_get_prandom_u32(void);

static struct ext_cpu *self(void)
{
	return &ext_cpus[arch_cpu_self()->index];
}

bool ext_task_valid(const struct ext_task *e)
{
	return e && !((uintptr_t)e % 8) && arch_pa(&e->magic) && e->magic == EXT_MAGIC;
}

static struct ext_task *checked(const struct task_struct *p, const char *call)
{
	struct ext_task *e = (struct ext_task *)(uintptr_t)p;

	if (ext_task_valid(e))
		return e;
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): %p is no thread", call, (const void *)p);
	return NULL;
}

static bool cpu_valid(s32 cpu, const char *call)
{
	if (cpu >= 0 && (unsigned)cpu < cpu_count)
		return true;
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): cpu %d of %u", call, cpu, cpu_count);
	return false;
}

static bool mask_valid(const struct cpumask *mask, const char *call)
{
	if (!((uintptr_t)mask % 8) && arch_pa(mask) && arch_pa((const char *)(mask + 1) - 1))
		return true;
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): %p is no set of CPUs", call, (const void *)mask);
	return false;
}

/* ---- inserts --------------------------------------------------------------------------------- */

static bool id_valid(u64 id)
{
	if (!(id & SCX_DSQ_FLAG_BUILTIN))
		return true;
	return id == SCX_DSQ_GLOBAL || id == SCX_DSQ_LOCAL ||
	       ((id & SCX_DSQ_LOCAL_ON) == SCX_DSQ_LOCAL_ON &&
		(id & SCX_DSQ_LOCAL_CPU_MASK) < cpu_count);
}

static void insert(struct task_struct *p, struct ext_insert in)
{
	struct ext_cpu *x = self();
	struct ext_task *e = checked(p, "scx_bpf_dsq_insert");

	if (!e)
		return;
	if (!id_valid(in.dsq_id) || (in.by_vtime && (in.dsq_id & SCX_DSQ_FLAG_BUILTIN))) {
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dsq_insert(): %s[%d] into queue 0x%llx: %s",
			 p->comm, p->pid, (unsigned long long)in.dsq_id,
			 id_valid(in.dsq_id) ? "not ordered by vtime" : "there is none");
	} else if (x->op == EXT_OP_DISPATCH) {
		if (x->nr_buffered >= scx_bpf_dispatch_nr_slots() + x->nr_buffered) {
			ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dsq_insert(): dispatch buffer full");
			return;
		}
		x->buffered[x->nr_buffered++] =
			(struct ext_buffered){ .e = e, .seq = e->seq, .insert = in };
	} else if (x->op != EXT_OP_SELECT && x->op != EXT_OP_ENQUEUE) {
		ext_exit(SCX_EXIT_ERROR, 0,
			 "scx_bpf_dsq_insert(): not from select_cpu, enqueue or dispatch");
	} else if (e != x->subject) {
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dsq_insert(): %s[%d] is not the one asked for",
			 p->comm, p->pid);
	} else if (e->insert.dsq_id != SCX_DSQ_INVALID) {
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dsq_insert(): %s[%d] inserted twice", p->comm,
			 p->pid);
	} else {
		e->insert = in;
	}
}

void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags)
{
	EXT_HELPER;
	insert(p, (struct ext_insert){ .dsq_id = dsq_id, .slice = slice, .flags = enq_flags });
}

void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime,
			      u64 enq_flags)
{
	EXT_HELPER;
	insert(p, (struct ext_insert){ .dsq_id = dsq_id,
				       .slice = slice,
				       .vtime = vtime,
				       .flags = enq_flags,
				       .by_vtime = true });
}

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node)
{
	EXT_HELPER;
	if (dsq_id & SCX_DSQ_FLAG_BUILTIN || node > 0)
		return -EINVAL;
	if (helper_.x) { /* memory may be asked for */
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_create_dsq(): only from init() and the like");
		return -EPERM;
	}
	return ext_dsq_create(dsq_id);
}

u32 scx_bpf_dispatch_nr_slots(void)
{
	const struct sched_ext_ops *ops = ext_in_shadow() ? ext_shadow_ops() : ext.ops;
	u32 max = ops && ops->dispatch_max_batch ? ops->dispatch_max_batch : 32;

	return max - self()->nr_buffered;
}

void scx_bpf_dispatch_cancel(void)
{
	EXT_HELPER;
	if (self()->nr_buffered)
		self()->nr_buffered--;
	else
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dispatch_cancel(): nothing was inserted");
}

bool scx_bpf_dsq_move_to_local(u64 dsq_id)
{
	EXT_HELPER;
	struct ext_cpu *x = self();
	struct ext_dsq *q = dsq_id & SCX_DSQ_FLAG_BUILTIN ? NULL : ext_dsq_find(dsq_id);

	if (x->op != EXT_OP_DISPATCH || !q) {
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dsq_move_to_local(0x%llx): %s",
			 (unsigned long long)dsq_id,
			 q ? "not from dispatch" : "there is no such user queue");
		return false;
	}
	if (ext_in_shadow()) {
		ext_shadow_flush(x);
		return ext_shadow_consume(q);
	}
	ext_flush(x);
	if (!q->nr || !ext_dsq_consume(q, x))
		return false;
	x->moved = true;
	return true;
}

u32 scx_bpf_reenqueue_local(void)
{
	return 0; /* what waits here is never kept from another CPU's dispatch(): see docs/POLICY.md */
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static struct cpumask idle_copy[ARCH_CPU_MAX]; /* by the CPU that asked */

/* @cpu has nothing to run, and nobody has claimed it for the policy since it said so. */
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu)
{
	EXT_HELPER;
	if (!cpu_valid(cpu, "scx_bpf_test_and_clear_cpu_idle"))
		return false;
	if (ext_in_shadow())
		return ext_shadow_claim((unsigned)cpu);
	return atomic_swap_acq_rel(&ext_cpus[cpu].claimable, 0u) &&
	       atomic_load_relaxed(&cpu_at((unsigned)cpu)->rq.curr) ==
		       cpu_at((unsigned)cpu)->rq.idle;
}

static s32 pick_idle(const struct cpumask *among, const struct cpumask *allowed)
{
	bool shadow = ext_in_shadow();

	for (unsigned i = 0; i < cpu_count; i++)
		if (cpumask_test(among, i) && cpumask_test(allowed, i) &&
		    cpumask_atomic_test(&cpu_online_mask, i) &&
		    (shadow || atomic_load_relaxed(&ext_cpus[i].claimable)) &&
		    scx_bpf_test_and_clear_cpu_idle((s32)i))
			return (s32)i;
	return -EBUSY;
}

s32 scx_bpf_pick_idle_cpu(const struct cpumask *cpus_allowed, u64 flags)
{
	EXT_HELPER;
	(void)flags; /* no hardware threads: every core is one CPU */
	if (!mask_valid(cpus_allowed, "scx_bpf_pick_idle_cpu"))
		return -EINVAL;
	return pick_idle(cpus_allowed, cpus_allowed);
}

s32 scx_bpf_pick_any_cpu(const struct cpumask *cpus_allowed, u64 flags)
{
	EXT_HELPER;
	s32 cpu = scx_bpf_pick_idle_cpu(cpus_allowed, flags);
	struct cpumask usable;
	unsigned first;

	if (cpu >= 0 || cpu == -EINVAL)
		return cpu;
	cpumask_atomic_and(&usable, cpus_allowed, &cpu_online_mask);
	first = cpumask_next(&usable, 0);
	return first < cpu_count ? (s32)first : -EBUSY;
}

/*
 * The previous CPU if it is idle, else one of its cluster, else of its cache, else any. With a
 * waker that is about to sleep: its own CPU, if nothing waits there.
 */
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle)
{
	EXT_HELPER;
	struct ext_task *e = checked(p, "scx_bpf_select_cpu_dfl");
	s32 cpu = -EBUSY;

	(void)wake_flags;
	*is_idle = false;
	if (!e || !cpu_valid(prev_cpu, "scx_bpf_select_cpu_dfl"))
		return prev_cpu;
	if (cpumask_test(&e->mask, (unsigned)prev_cpu) && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	if (cpu < 0 && topology.grouped) {
		cpu = pick_idle(cpu_cluster_mask((unsigned)prev_cpu), &e->mask);
		if (cpu < 0)
			cpu = pick_idle(cpu_cache_mask((unsigned)prev_cpu), &e->mask);
	}
	if (cpu < 0)
		cpu = pick_idle(&e->mask, &e->mask);
	*is_idle = cpu >= 0;
	if (cpu >= 0)
		return cpu;
	return cpumask_test(&e->mask, (unsigned)prev_cpu) ? prev_cpu :
							    (s32)cpumask_next(&e->mask, 0);
}

const struct cpumask *scx_bpf_get_idle_cpumask(void)
{
	struct cpumask *copy = &idle_copy[arch_cpu_self()->index];

	if (ext_in_shadow()) {
		ext_shadow_idle_mask(copy);
		return copy;
	}
	cpumask_clear(copy);
	for (unsigned i = 0; i < cpu_count; i++)
		if (atomic_load_relaxed(&ext_cpus[i].claimable))
			cpumask_set(copy, i);
	return copy;
}

const struct cpumask *scx_bpf_get_idle_smtmask(void)
{
	return scx_bpf_get_idle_cpumask();
}

void scx_bpf_put_idle_cpumask(const struct cpumask *mask)
{
	(void)mask;
}

LOCK_UNCHECKED void scx_bpf_kick_cpu(s32 cpu, u64 flags)
{
	EXT_HELPER;
	unsigned long irq = arch_irq_save();
	bool shadow = ext_in_shadow(), act = false;
	struct runqueue *rq;

	if (shadow)
		ext_shadow_kick();
	if (flags & SCX_KICK_IDLE && flags & (SCX_KICK_PREEMPT | SCX_KICK_WAIT))
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_kick_cpu(): IDLE with another flag");
	if (!cpu_valid(cpu, "scx_bpf_kick_cpu") || shadow ||
	    !cpumask_atomic_test(&cpu_online_mask, (unsigned)cpu)) {
		arch_irq_restore(irq);
		return;
	}
	rq = &cpu_at((unsigned)cpu)->rq;
	(spin_lock)(&rq->lock);
	if (flags & SCX_KICK_PREEMPT && rq->curr->sched.rank == RANK_EXT)
		ext_cpus[cpu].preempt = true;
	if (!(flags & SCX_KICK_IDLE) || rq->curr == rq->idle)
		act = ext_want_step(rq);
	spin_unlock(&rq->lock);
	if (act)
		ipi_send(cpu_at((unsigned)cpu));
	arch_irq_restore(irq);
}

/* ---- information ----------------------------------------------------------------------------- */

bool scx_bpf_task_running(const struct task_struct *p)
{
	EXT_HELPER;
	struct ext_task *e = checked(p, "scx_bpf_task_running");

	return e && atomic_load_relaxed(&e->where) == EXT_RUNNING;
}

s32 scx_bpf_task_cpu(const struct task_struct *p)
{
	EXT_HELPER;
	struct ext_task *e = checked(p, "scx_bpf_task_cpu");

	return e ? (s32)atomic_load_relaxed(&e->cpu) : 0;
}

u32 scx_bpf_nr_cpu_ids(void)
{
	return cpu_count;
}

u32 scx_bpf_nr_node_ids(void)
{
	return 1;
}

const struct cpumask *scx_bpf_get_possible_cpumask(void)
{
	static struct cpumask possible;

	for (unsigned i = 0; i < cpu_count; i++)
		cpumask_atomic_set(&possible, i);
	return &possible;
}

const struct cpumask *scx_bpf_get_online_cpumask(void)
{
	return &cpu_online_mask;
}

void scx_bpf_put_cpumask(const struct cpumask *mask)
{
	(void)mask;
}

u64 scx_bpf_now(void)
{
	struct ext_cpu *x = self();

	if (!x->in_step)
		return bpf_ktime_get_ns();
	if (!x->now_ns)
		x->now_ns = (time_now_ns)();
	return x->now_ns;
}

bool scx_bpf_task_set_slice(struct task_struct *p, u64 slice)
{
	EXT_HELPER;
	struct ext_task *e = checked(p, "scx_bpf_task_set_slice");

	if (e)
		e->p.scx.slice = slice;
	return e;
}

bool scx_bpf_task_set_dsq_vtime(struct task_struct *p, u64 vtime)
{
	EXT_HELPER;
	struct ext_task *e = checked(p, "scx_bpf_task_set_dsq_vtime");

	if (e)
		e->p.scx.dsq_vtime = vtime;
	return e;
}

u64 bpf_ktime_get_ns(void)
{
	return ext_in_shadow() ? ext_shadow_now_ns() : (time_now_ns)();
}

u32 bpf_get_smp_processor_id(void)
{
	return ext_in_shadow() ? ext_shadow_cpu() : arch_cpu_self()->index;
}

/* Marsaglia's xorshift; the same numbers in every run. */
u32 bpf_get_prandom_u32(void)
{
	static u32 state = 2463534242u;
	u32 x = atomic_load_relaxed(&state);

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	atomic_store_relaxed(&state, x);
	return x;
}

u32 scx_bpf_cpuperf_cap(s32 cpu)
{
	return cpu_valid(cpu, "scx_bpf_cpuperf_cap") ? 1024 : 0;
}

u32 scx_bpf_cpuperf_cur(s32 cpu)
{
	return cpu_valid(cpu, "scx_bpf_cpuperf_cur") ? 1024 : 0;
}

void scx_bpf_cpuperf_set(s32 cpu, u32 perf)
{
	EXT_HELPER;
	if (perf > 1024)
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_cpuperf_set(): %u of 1024", perf);
	cpu_valid(cpu, "scx_bpf_cpuperf_set");
}

/* The text is made before the helper begins: a wild pointer in it is the callback's fault. */
#define TEXT(text, fmt)                                 \
	do {                                            \
		va_list ap_;                            \
		va_start(ap_, fmt);                     \
		fmt_vbuf(text, sizeof(text), fmt, ap_); \
		va_end(ap_);                            \
	} while (0)

static void end(enum scx_exit_kind kind, s64 code, const char *text)
{
	EXT_HELPER;
	ext_exit(kind, code, "%s", text);
}

void scx_bpf_exit(s64 exit_code, const char *fmt, ...)
{
	char text[SCX_EXIT_MSG_LEN / 2];

	TEXT(text, fmt);
	end(SCX_EXIT_UNREG_BPF, exit_code, text);
}

void scx_bpf_error(const char *fmt, ...)
{
	char text[SCX_EXIT_MSG_LEN / 2];

	TEXT(text, fmt);
	end(SCX_EXIT_ERROR_BPF, 0, text);
}

void scx_bpf_events(struct scx_event_stats *events, size_t size)
{
	s64 *sum = (s64 *)events;

	if (size < sizeof(*events))
		return;
	*events = (struct scx_event_stats){ 0 };
	for (unsigned i = 0; i < cpu_count; i++)
		for (unsigned k = 0; k < sizeof(*events) / sizeof(s64); k++)
			sum[k] += ((const s64 *)&ext_cpus[i].stats)[k];
}
