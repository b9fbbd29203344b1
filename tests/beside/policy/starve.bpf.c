/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crime: keeps every thread and gives none back. Only the kernel can see to that: the time-out, or
 * the magic key sequence.
 */
#include <scx/common.bpf.h>

/* Not even to an idle CPU. */
s32 BPF_STRUCT_OPS(starve_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void BPF_STRUCT_OPS(starve_enqueue, struct task_struct *p, u64 enq_flags)
{
}

void BPF_STRUCT_OPS(starve_dump, struct scx_dump_ctx *ctx)
{
	scx_bpf_dump("nobody gets anything here\n");
}

void BPF_STRUCT_OPS(starve_dispatch, s32 cpu, struct task_struct *prev)
{
}

SCX_OPS_DEFINE(starve_ops, .select_cpu = starve_select_cpu, .enqueue = starve_enqueue,
	       .dispatch = starve_dispatch, .dump = starve_dump, .name = "starve");
