/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that others wait for go first, found without being told. A thread that wakes often and
 * runs briefly is taken for one; a thread that computes on and on is not. The queue is ordered by a
 * virtual deadline: the virtual time that the thread has used, as in `simple`, and behind it the
 * slice that it would need at its weight, the shorter the more critical the thread is.
 *
 *   run_ns    how long it ran from a wake-up to the next sleep     \  averages: each new value
 *   gap_ns    from one wake-up to the next                         /  counts for a quarter
 *   critical  8 * (1 - run/gap), 0..8: the part of its time in which it does not run
 *   deadline  vtime + slice * 100 / weight / 2^critical
 */
#include <scx/common.bpf.h>

#define QUEUE        0
#define CRITICAL_MAX 8

const volatile u64 slice_ns = 5000000;
const volatile u64 slice_min_ns = 500000; /* when many wait */

struct memory {
	u64 run_ns, gap_ns;   /* averages */
	u64 woke_ns, used_ns; /* at the last wake-up: when, and sum_exec_runtime */
	u64 started_ns;       /* sum_exec_runtime when it began to run */
	u64 deadline;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, s32);
	__type(value, struct memory);
} memories SEC(".maps");

static u64 vtime_now;

static struct memory *memory_of(struct task_struct *p)
{
	return bpf_task_storage_get(&memories, p, 0, 0);
}

static u64 average(u64 old, u64 new)
{
	return old - old / 4 + new / 4;
}

static u32 critical(const struct memory *m)
{
	if (!m->gap_ns || m->run_ns >= m->gap_ns)
		return 0;
	return CRITICAL_MAX - m->run_ns * CRITICAL_MAX / m->gap_ns;
}

/* As many slices as threads wait share slice_ns, down to slice_min_ns. */
static u64 slice_now(void)
{
	s32 waiting = scx_bpf_dsq_nr_queued(QUEUE);
	u64 slice = slice_ns / (u64)(waiting > 0 ? waiting : 1);

	return slice > slice_min_ns ? slice : slice_min_ns;
}

s32 BPF_STRUCT_OPS(latcrit_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void BPF_STRUCT_OPS(latcrit_runnable, struct task_struct *p, u64 enq_flags)
{
	struct memory *m = memory_of(p);
	u64 now = scx_bpf_now();

	if (!m || !(enq_flags & SCX_ENQ_WAKEUP))
		return;
	if (m->woke_ns)
		m->gap_ns = average(m->gap_ns, now - m->woke_ns);
	m->woke_ns = now;
	m->used_ns = p->sum_exec_runtime;
}

void BPF_STRUCT_OPS(latcrit_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct memory *m = memory_of(p);

	if (m && deq_flags & SCX_DEQ_SLEEP)
		m->run_ns = average(m->run_ns, p->sum_exec_runtime - m->used_ns);
}

void BPF_STRUCT_OPS(latcrit_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime, slice = slice_now(), deadline;
	struct memory *m = memory_of(p);

	if (time_before(vtime, vtime_now - slice_ns))
		p->scx.dsq_vtime = vtime = vtime_now - slice_ns;
	deadline = vtime + (slice_ns * 100 / p->scx.weight >> (m ? critical(m) : 0));
	if (m)
		m->deadline = deadline;
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice, deadline, enq_flags);
}

/* Every 4 ms: whoever waits and is due before the one that runs is next. */
void BPF_STRUCT_OPS(latcrit_tick, struct task_struct *p)
{
	struct task_struct *first = scx_bpf_dsq_peek(QUEUE);
	struct memory *m = memory_of(p), *f = first ? memory_of(first) : NULL;

	if (f && m && time_before(f->deadline, m->deadline))
		p->scx.slice = 0;
}

void BPF_STRUCT_OPS(latcrit_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void BPF_STRUCT_OPS(latcrit_running, struct task_struct *p)
{
	struct memory *m = memory_of(p);

	if (m)
		m->started_ns = p->sum_exec_runtime;
	if (time_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(latcrit_stopping, struct task_struct *p, bool runnable)
{
	struct memory *m = memory_of(p);

	if (m)
		p->scx.dsq_vtime += (p->sum_exec_runtime - m->started_ns) * 100 / p->scx.weight;
}

s32 BPF_STRUCT_OPS(latcrit_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&memories, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void BPF_STRUCT_OPS(latcrit_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(latcrit_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SCX_OPS_DEFINE(latcrit_ops, .select_cpu = latcrit_select_cpu, .runnable = latcrit_runnable,
	       .quiescent = latcrit_quiescent, .enqueue = latcrit_enqueue,
	       .dispatch = latcrit_dispatch, .tick = latcrit_tick, .running = latcrit_running,
	       .stopping = latcrit_stopping, .init_task = latcrit_init_task,
	       .enable = latcrit_enable, .init = latcrit_init, .name = "latcrit");
