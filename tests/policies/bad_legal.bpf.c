/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad policies, one a crime: what is allowed and helps nobody: the policy stays.
 * Above each: its crime, and how it ends (tests/qemu/test_crimes.py reads that): the kind and a part
 * of the message, REFUSED and a part of what the console says, or LIVES.
 */
#include <scx/common.bpf.h>

/*
 * Crime: slices of 1 ns.
 * Ends: LIVES
 */
void BPF_STRUCT_OPS(slice_enqueue, struct task_struct *p, u64 enq_flags)
{
	p->scx.slice = 0;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 0, enq_flags);
}

SCX_OPS_DEFINE(bad_slice_ops, .enqueue = slice_enqueue, .name = "bad_slice");

/*
 * Crime: a kick of every CPU whenever a thread begins to run.
 * Ends: LIVES
 */
void BPF_STRUCT_OPS(kicks_running, struct task_struct *p)
{
	s32 cpu;

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids())
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
}

SCX_OPS_DEFINE(bad_kicks_ops, .running = kicks_running, .name = "bad_kicks");
