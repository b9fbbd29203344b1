/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad policies, one a crime: callbacks that run on without end, or into an exception.
 * Above each: its crime, and how it ends (tests/qemu/test_crimes.py reads that): the kind and a part
 * of the message, REFUSED and a part of what the console says, or LIVES.
 */
#include <scx/common.bpf.h>

/*
 * Crime: an endless loop.
 * Ends: ERROR: enqueue() used up its
 */
void BPF_STRUCT_OPS(loop_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	for (;;)
		barrier();
}

SCX_OPS_DEFINE(bad_loop_ops, .enqueue = loop_enqueue, .name = "bad_loop");

/*
 * Crime: an endless loop of calls into the framework.
 * Ends: ERROR: running() used up its
 */
void BPF_STRUCT_OPS(loop_helper_running, struct task_struct *p)
{
	while (scx_bpf_dsq_nr_queued(SCX_DSQ_GLOBAL) >= 0)
		;
}

SCX_OPS_DEFINE(bad_loop_helper_ops, .running = loop_helper_running, .name = "bad_loop_helper");

/*
 * Crime: an endless loop with a lock held, for which the others wait.
 * Ends: ERROR: () used up its
 */
struct shared {
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct shared);
} loop_locked_data SEC(".maps");

void BPF_STRUCT_OPS(loop_locked_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = 0;
	struct shared *s = bpf_map_lookup_elem(&loop_locked_data, &key);

	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	bpf_spin_lock(&s->lock);
	for (;;)
		barrier();
}

SCX_OPS_DEFINE(bad_loop_locked_ops, .enqueue = loop_locked_enqueue, .name = "bad_loop_locked");

/*
 * Crime: an endless loop of changes to a hash.
 * Ends: ERROR: enqueue() used up its
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} loop_map_data SEC(".maps");

void BPF_STRUCT_OPS(loop_map_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 value = 0;

	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	for (u32 key = 0;; key = (key + 1) % 64)
		bpf_map_update_elem(&loop_map_data, &key, &value, BPF_ANY);
}

SCX_OPS_DEFINE(bad_loop_map_ops, .enqueue = loop_map_enqueue, .name = "bad_loop_map");

/*
 * Crime: an endless loop of changes to a thread's storage.
 * Ends: ERROR: enqueue() used up its
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} loop_storage_data SEC(".maps");

s32 BPF_STRUCT_OPS(loop_storage_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&loop_storage_data, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) ?
		       0 :
		       -ENOMEM;
}

void BPF_STRUCT_OPS(loop_storage_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
	for (;;) {
		bpf_task_storage_delete(&loop_storage_data, p);
		bpf_task_storage_get(&loop_storage_data, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	}
}

SCX_OPS_DEFINE(bad_loop_storage_ops, .init_task = loop_storage_init_task,
	       .enqueue = loop_storage_enqueue, .name = "bad_loop_storage");

/*
 * Crime: an undefined instruction.
 * Ends: ERROR: stopping():
 */
void BPF_STRUCT_OPS(undefined_stopping, struct task_struct *p, bool runnable)
{
	__builtin_trap();
}

SCX_OPS_DEFINE(bad_undefined_ops, .stopping = undefined_stopping, .name = "bad_undefined");

/*
 * Crime: a write to where nothing is mapped.
 * Ends: ERROR: running():
 */
static u64 *volatile unmapped_at = (u64 *)16;

void BPF_STRUCT_OPS(unmapped_running, struct task_struct *p)
{
	*unmapped_at = 1;
}

SCX_OPS_DEFINE(bad_unmapped_ops, .running = unmapped_running, .name = "bad_unmapped");

/*
 * Crime: a write into its own code.
 * Ends: ERROR: running():
 */
void BPF_STRUCT_OPS(read_only_running, struct task_struct *p)
{
	*(volatile u32 *)(uintptr_t)read_only_running = 0;
}

SCX_OPS_DEFINE(bad_read_only_ops, .running = read_only_running, .name = "bad_read_only");

/*
 * Crime: a recursion without end.
 * Ends: ERROR: running():
 */
static __attribute__((noinline)) u64 stack_deeper(volatile u64 n)
{
	volatile char room[256];

	room[n % sizeof(room)] = (char)n;
	return stack_deeper(n + 1) + (u64)room[n % sizeof(room)];
}

void BPF_STRUCT_OPS(stack_running, struct task_struct *p)
{
	p->scx.dsq_vtime = stack_deeper(0);
}

SCX_OPS_DEFINE(bad_stack_ops, .running = stack_running, .name = "bad_stack");

/*
 * Crime: an assertion that fails.
 * Ends: ERROR: stopping(): panic: assertion failed
 */
void BPF_STRUCT_OPS(assert_stopping, struct task_struct *p, bool runnable)
{
	ASSERT(p->pid < 0);
}

SCX_OPS_DEFINE(bad_assert_ops, .stopping = assert_stopping, .name = "bad_assert");
