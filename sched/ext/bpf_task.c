/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads by number. What is found is a struct task_struct, whose memory stays one for good: a
 * thread that ends meanwhile leaves one that no queue takes.
 */
#include "core/thread.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"

struct task_struct *bpf_task_from_pid(s32 pid);
struct task_struct *bpf_get_current_task_btf(void);

static void to_task(struct thread *t, void *p)
{
	struct ext_task *e = atomic_load_acquire(&t->sched.ext);

	if (e && ext_in_shadow())
		*(struct task_struct **)p = ext_shadow_task(e);
	else
		*(struct task_struct **)p = e ? &e->p : NULL;
}

struct task_struct *bpf_task_from_pid(s32 pid)
{
	struct task_struct *p = NULL;

	thread_with_tid(pid, to_task, &p);
	return p;
}

struct task_struct *bpf_get_current_task_btf(void)
{
	struct task_struct *p;

	to_task(thread_current(), &p);
	return p;
}
