/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad policies, one a crime: policies that are refused, and that end themselves.
 * Above each: its crime, and how it ends (tests/qemu/test_crimes.py reads that): the kind and a part
 * of the message, REFUSED and a part of what the console says, or LIVES.
 */
#include <scx/common.bpf.h>

/*
 * Crime: an error from init().
 * Ends: REFUSED: init() returned -
 */
s32 BPF_STRUCT_OPS_SLEEPABLE(init_init)
{
	return -ENOMEM;
}

SCX_OPS_DEFINE(bad_init_ops, .init = init_init, .name = "bad_init");

/*
 * Crime: an error from init_task().
 * Ends: REFUSED: init_task() of
 */
static u32 init_task_nr;

s32 BPF_STRUCT_OPS(init_task_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return ++init_task_nr % 4 == 0 ? -ENOMEM : 0;
}

SCX_OPS_DEFINE(bad_init_task_ops, .init_task = init_task_init_task, .name = "bad_init_task");

/*
 * Crime: queues until there is no memory.
 * Ends: REFUSED: init() returned -
 */
s32 BPF_STRUCT_OPS_SLEEPABLE(queues_init)
{
	u64 id;
	s32 err = 0;

	for (id = 0; !err; id++)
		err = scx_bpf_create_dsq(id, -1);
	return err;
}

SCX_OPS_DEFINE(bad_queues_ops, .init = queues_init, .name = "bad_queues");

/*
 * Crime: flags that sched_ext does not know.
 * Ends: REFUSED: flags:
 */
SCX_OPS_DEFINE(bad_flags_ops, .flags = 1u << 12, .name = "bad_flags");

/*
 * Crime: a time-out that is too long.
 * Ends: REFUSED: timeout_ms: 0..30000 expected
 */
SCX_OPS_DEFINE(bad_timeout_ops, .timeout_ms = 30001, .name = "bad_timeout");

/*
 * Crime: an error that it reports itself.
 * Ends: ERROR_BPF: no more of this
 */
void BPF_STRUCT_OPS(error_running, struct task_struct *p)
{
	scx_bpf_error("no more of %s", "this");
}

SCX_OPS_DEFINE(bad_error_ops, .running = error_running, .name = "bad_error");

/*
 * Crime: an end of its own wish.
 * Ends: UNREG_BPF: done with 7
 */
void BPF_STRUCT_OPS(exit_running, struct task_struct *p)
{
	scx_bpf_exit(7, "done with %d", 7);
}

SCX_OPS_DEFINE(bad_exit_ops, .running = exit_running, .name = "bad_exit");
