/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad policies, one a crime: inserts that cannot be, and threads that are not run.
 * Above each: its crime, and how it ends (tests/qemu/test_crimes.py reads that): the kind and a part
 * of the message, REFUSED and a part of what the console says, or LIVES.
 */
#include <scx/common.bpf.h>

/*
 * Crime: threads that it keeps and never runs.
 * Ends: ERROR_STALL: failed to run for
 */
void BPF_STRUCT_OPS(forget_enqueue, struct task_struct *p, u64 enq_flags)
{
}

SCX_OPS_DEFINE(bad_forget_ops, .enqueue = forget_enqueue, .timeout_ms = 100, .name = "bad_forget");

/*
 * Crime: two inserts of a thread at a time.
 * Ends: ERROR: inserted twice
 */
void BPF_STRUCT_OPS(twice_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(bad_twice_ops, .enqueue = twice_enqueue, .name = "bad_twice");

/*
 * Crime: an insert of another thread than the one asked for.
 * Ends: ERROR: is not the one asked for
 */
static struct task_struct *other_before;

void BPF_STRUCT_OPS(other_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(other_before && other_before != p ? other_before : p, SCX_DSQ_GLOBAL,
			   SCX_SLICE_DFL, enq_flags);
	other_before = p;
}

SCX_OPS_DEFINE(bad_other_ops, .enqueue = other_enqueue, .name = "bad_other");

/*
 * Crime: the local queue of a CPU that there is not.
 * Ends: ERROR: there is none
 */
void BPF_STRUCT_OPS(cpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | scx_bpf_nr_cpu_ids(), SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(bad_cpu_ops, .enqueue = cpu_enqueue, .name = "bad_cpu");

/*
 * Crime: a thread in the queue of a CPU that it may not run on.
 * Ends: ERROR: which may not run there; on one CPU: LIVES
 */
void BPF_STRUCT_OPS(affinity_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = SCX_DSQ_GLOBAL;
	s32 cpu;

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids())
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			queue = SCX_DSQ_LOCAL_ON | cpu;
	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(bad_affinity_ops, .enqueue = affinity_enqueue, .name = "bad_affinity");

/*
 * Crime: an insert into a queue that was never made.
 * Ends: ERROR: no dispatch queue 0x2a
 */
void BPF_STRUCT_OPS(queue_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 42, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(bad_queue_ops, .enqueue = queue_enqueue, .name = "bad_queue");

/*
 * Crime: a queue by arrival and by virtual time at once.
 * Ends: ERROR: dispatch queue 0x1,
 */
static u64 orders_calls;

void BPF_STRUCT_OPS(orders_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (__sync_fetch_and_add(&orders_calls, 1) % 2)
		scx_bpf_dsq_insert(p, 1, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert_vtime(p, 1, SCX_SLICE_DFL, 0, enq_flags);
}

void BPF_STRUCT_OPS(orders_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(1) > 1)
		scx_bpf_dsq_move_to_local(1);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(orders_init)
{
	return scx_bpf_create_dsq(1, -1);
}

SCX_OPS_DEFINE(bad_orders_ops, .enqueue = orders_enqueue, .dispatch = orders_dispatch,
	       .init = orders_init, .name = "bad_orders");

/*
 * Crime: the global queue by virtual time.
 * Ends: ERROR: not ordered by vtime
 */
void BPF_STRUCT_OPS(vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert_vtime(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0, enq_flags);
}

SCX_OPS_DEFINE(bad_vtime_ops, .enqueue = vtime_enqueue, .name = "bad_vtime");

/*
 * Crime: more inserts in dispatch() than there are slots.
 * Ends: ERROR: dispatch buffer full
 */
static struct task_struct *batch_one;

void BPF_STRUCT_OPS(batch_enqueue, struct task_struct *p, u64 enq_flags)
{
	batch_one = p;
}

void BPF_STRUCT_OPS(batch_dispatch, s32 cpu, struct task_struct *prev)
{
	while (batch_one && scx_bpf_dispatch_nr_slots())
		scx_bpf_dsq_insert(batch_one, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
	if (batch_one)
		scx_bpf_dsq_insert(batch_one, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
}

SCX_OPS_DEFINE(bad_batch_ops, .enqueue = batch_enqueue, .dispatch = batch_dispatch,
	       .dispatch_max_batch = 8, .name = "bad_batch");

/*
 * Crime: an insert where nothing may be inserted.
 * Ends: ERROR: not from select_cpu, enqueue or dispatch
 */
void BPF_STRUCT_OPS(late_running, struct task_struct *p)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
}

SCX_OPS_DEFINE(bad_late_ops, .running = late_running, .name = "bad_late");

/*
 * Crime: a CPU from select_cpu() that there is not.
 * Ends: ERROR: returned cpu; on one CPU: LIVES
 */
s32 BPF_STRUCT_OPS(select_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return 0x7fffffff;
}

SCX_OPS_DEFINE(bad_select_ops, .select_cpu = select_select_cpu, .name = "bad_select");

/*
 * Crime: the end of a queue that somebody is in.
 * Ends: ERROR: cannot be destroyed
 */
void BPF_STRUCT_OPS(destroy_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(destroy_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(1) > 0)
		scx_bpf_destroy_dsq(1);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(destroy_init)
{
	return scx_bpf_create_dsq(1, -1);
}

SCX_OPS_DEFINE(bad_destroy_ops, .enqueue = destroy_enqueue, .dispatch = destroy_dispatch,
	       .init = destroy_init, .name = "bad_destroy");
