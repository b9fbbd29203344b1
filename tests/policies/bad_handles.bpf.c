/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad policies, one a crime: numbers and pointers that stand for nothing.
 * Above each: its crime, and how it ends (tests/qemu/test_crimes.py reads that): the kind and a part
 * of the message, REFUSED and a part of what the console says, or LIVES.
 */
#include <scx/common.bpf.h>

/*
 * Crime: a pointer that is no thread.
 * Ends: ERROR: is no thread
 */
void BPF_STRUCT_OPS(pointer_running, struct task_struct *p)
{
	scx_bpf_task_cpu((struct task_struct *)(uintptr_t)0x123450);
}

SCX_OPS_DEFINE(bad_pointer_ops, .running = pointer_running, .name = "bad_pointer");

/*
 * Crime: a pointer that is no map.
 * Ends: ERROR: is no map
 */
static u64 map_map[4];

void BPF_STRUCT_OPS(map_running, struct task_struct *p)
{
	u32 key = 0;

	bpf_map_lookup_elem(map_map, &key);
}

SCX_OPS_DEFINE(bad_map_ops, .running = map_running, .name = "bad_map");

/*
 * Crime: a wild pointer for a map.
 * Ends: ERROR: running()
 */
void BPF_STRUCT_OPS(map_wild_running, struct task_struct *p)
{
	u32 key = 0;

	bpf_map_lookup_elem((void *)(uintptr_t)0x123450, &key);
}

SCX_OPS_DEFINE(bad_map_wild_ops, .running = map_wild_running, .name = "bad_map_wild");

/*
 * Crime: a wild pointer for a key.
 * Ends: ERROR: running()
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, u64);
} key_data SEC(".maps");

void BPF_STRUCT_OPS(key_running, struct task_struct *p)
{
	u64 value = 0;

	bpf_map_update_elem(&key_data, (void *)(uintptr_t)0x123450, &value, BPF_ANY);
}

SCX_OPS_DEFINE(bad_key_ops, .running = key_running, .name = "bad_key");

/*
 * Crime: a wild pointer for a set of CPUs.
 * Ends: ERROR: is no set of CPUs
 */
void BPF_STRUCT_OPS(mask_running, struct task_struct *p)
{
	scx_bpf_pick_idle_cpu((const struct cpumask *)(uintptr_t)0x123450, 0);
}

SCX_OPS_DEFINE(bad_mask_ops, .running = mask_running, .name = "bad_mask");

/*
 * Crime: a kick of a CPU that there is not.
 * Ends: ERROR: cpu -7 of
 */
void BPF_STRUCT_OPS(kick_running, struct task_struct *p)
{
	scx_bpf_kick_cpu(-7, SCX_KICK_PREEMPT);
}

SCX_OPS_DEFINE(bad_kick_ops, .running = kick_running, .name = "bad_kick");

/*
 * Crime: a kick that is to wait for idle and to preempt.
 * Ends: ERROR: IDLE with another flag
 */
void BPF_STRUCT_OPS(kick_flags_running, struct task_struct *p)
{
	scx_bpf_kick_cpu(0, SCX_KICK_IDLE | SCX_KICK_PREEMPT);
}

SCX_OPS_DEFINE(bad_kick_flags_ops, .running = kick_flags_running, .name = "bad_kick_flags");

/*
 * Crime: a queue made where none may be made.
 * Ends: ERROR: scx_bpf_create_dsq
 */
static u64 queues_late_nr;

void BPF_STRUCT_OPS(queues_late_running, struct task_struct *p)
{
	scx_bpf_create_dsq(__sync_fetch_and_add(&queues_late_nr, 1), -1);
}

SCX_OPS_DEFINE(bad_queues_late_ops, .running = queues_late_running, .name = "bad_queues_late");

/*
 * Crime: a wild pointer for a timer.
 * Ends: ERROR: running()
 */
void BPF_STRUCT_OPS(timer_wild_running, struct task_struct *p)
{
	bpf_timer_init((struct bpf_timer *)(uintptr_t)0x123450, (void *)(uintptr_t)0x123450,
		       CLOCK_MONOTONIC);
}

SCX_OPS_DEFINE(bad_timer_wild_ops, .running = timer_wild_running, .name = "bad_timer_wild");

/*
 * Crime: a timer that was never made, and does not look like it.
 * Ends: LIVES
 */
static struct bpf_timer timer_unmade;

void BPF_STRUCT_OPS(timer_unmade_running, struct task_struct *p)
{
	timer_unmade.map = &timer_unmade;
	if (bpf_timer_start(&timer_unmade, 1000, 0) != -EINVAL ||
	    bpf_timer_cancel(&timer_unmade) != -EINVAL)
		scx_bpf_error("a timer that nobody made was started");
}

SCX_OPS_DEFINE(bad_timer_unmade_ops, .running = timer_unmade_running, .name = "bad_timer_unmade");

/*
 * Crime: a wild pointer in a message.
 * Ends: ERROR: running()
 */
void BPF_STRUCT_OPS(text_wild_running, struct task_struct *p)
{
	scx_bpf_error("%s", (const char *)(uintptr_t)0x123450);
}

SCX_OPS_DEFINE(bad_text_wild_ops, .running = text_wild_running, .name = "bad_text_wild");
