/* SPDX-License-Identifier: BSD-2-Clause */
/* One queue for all CPUs, ordered by weighted virtual time; an idle CPU is taken at once. */
#include <scx/common.bpf.h>

#define SHARED 0
static u64 vtime_now;

s32 BPF_STRUCT_OPS(simple_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void BPF_STRUCT_OPS(simple_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 least = vtime_now - SCX_SLICE_DFL; /* who slept has saved up one slice, no more */

	if (time_before(p->scx.dsq_vtime, least))
		p->scx.dsq_vtime = least;
	scx_bpf_dsq_insert_vtime(p, SHARED, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags);
}

void BPF_STRUCT_OPS(simple_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED);
}

void BPF_STRUCT_OPS(simple_running, struct task_struct *p)
{
	if (time_before(vtime_now, p->scx.dsq_vtime))
		vtime_now = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(simple_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(simple_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

SCX_OPS_DEFINE(simple_ops, .select_cpu = simple_select_cpu, .enqueue = simple_enqueue,
	       .dispatch = simple_dispatch, .running = simple_running, .stopping = simple_stopping,
	       .init = simple_init, .name = "simple");
