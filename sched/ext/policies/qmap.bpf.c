/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Five lists by weight, in maps of the policy: a CPU takes 1 thread from the lightest, 2 from the
 * next, 4, 8, 16 from the heaviest, then begins anew. Threads of nice -20 overtake all others in the
 * shared queue, if `boost` is set. Shows nearly all that a policy may do.
 *
 *   enqueue -> lists[weight] -> dispatch -> SHARED -> local queue
 *                                              |
 *                                  nice -20: URGENT -> local queue, at its head
 */
#include <scx/common.bpf.h>

enum { SHARED, URGENT };

#define LISTS       5
#define URGENT_FROM 8000 /* weight */
#define REPORT_NS   NSEC_PER_SEC

const volatile u64 slice_ns = 5000000;
const volatile u32 batch = 1; /* threads that go to SHARED at a time */
const volatile bool boost = true;
const volatile bool report; /* what happened, every second */

struct list {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, s32);
} list0 SEC(".maps"), list1 SEC(".maps"), list2 SEC(".maps"), list3 SEC(".maps"), list4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LISTS);
	__type(key, u32);
	__array(values, struct list);
} lists SEC(".maps") = { .values = { &list0, &list1, &list2, &list3, &list4 } };

/* Of each thread. */
struct memory {
	bool idle_found; /* select_cpu() has a CPU for it */
	bool urgent;     /* it is in a list and counts in nr_urgent */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, s32);
	__type(value, struct memory);
} memories SEC(".maps");

/* Of each CPU: whose turn it is, and how many more of that list. */
struct turn {
	u32 list, left;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct turn);
} turns SEC(".maps");

struct reporter {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reporter);
} reporters SEC(".maps");

u64 nr_listed, nr_direct, nr_overtaken, nr_urgent;

UEI_DEFINE(uei);

static struct memory *memory_of(struct task_struct *p)
{
	struct memory *m = bpf_task_storage_get(&memories, p, 0, 0);

	if (!m)
		scx_bpf_error("%s[%d] has no memory", p->comm, p->pid);
	return m;
}

s32 BPF_STRUCT_OPS(qmap_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct memory *m = memory_of(p);
	s32 cpu = prev_cpu;

	if (!m)
		return prev_cpu;
	if (!scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	m->idle_found = cpu >= 0;
	return cpu >= 0 ? cpu : prev_cpu;
}

static u32 list_of(u32 weight)
{
	return weight <= 25 ? 0 : weight <= 50 ? 1 : weight < 200 ? 2 : weight < 400 ? 3 : 4;
}

void BPF_STRUCT_OPS(qmap_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 i = list_of(p->scx.weight);
	void *list = bpf_map_lookup_elem(&lists, &i);
	struct memory *m = memory_of(p);
	s32 pid = p->pid;

	if (!m || !list)
		return;
	if (m->idle_found) {
		m->idle_found = false;
		__sync_fetch_and_add(&nr_direct, 1);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
	} else if (bpf_map_push_elem(list, &pid, 0)) { /* full */
		scx_bpf_dsq_insert(p, SHARED, slice_ns, enq_flags);
	} else {
		__sync_fetch_and_add(&nr_listed, 1);
		m->urgent = boost && p->scx.weight >= URGENT_FROM;
		if (m->urgent)
			__sync_fetch_and_add(&nr_urgent, 1);
	}
}

/*
 * Those of SHARED that are urgent go to URGENT, and the first of that which may run here to the
 * local queue. True: there was one.
 */
static bool overtake(s32 cpu)
{
	struct task_struct *p;
	bool found = false;

	bpf_for_each(scx_dsq, p, SHARED, 0)
		if (p->scx.weight >= URGENT_FROM) {
			scx_bpf_dsq_move_set_slice(BPF_FOR_EACH_ITER, slice_ns * 2);
			scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, URGENT, 0);
		}
	bpf_for_each(scx_dsq, p, URGENT, 0) {
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		found = scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL_ON | cpu,
					 SCX_ENQ_HEAD);
		if (found)
			break;
	}
	if (found)
		__sync_fetch_and_add(&nr_overtaken, 1);
	return found;
}

/* The next of the list @i goes to SHARED. */
static bool share_one(u32 i)
{
	void *list = bpf_map_lookup_elem(&lists, &i);
	struct task_struct *p = NULL;
	struct memory *m;
	s32 pid;

	while (list && !p && !bpf_map_pop_elem(list, &pid))
		p = bpf_task_from_pid(pid); /* NULL: it has ended */
	m = p ? memory_of(p) : NULL;
	if (!m)
		return false;
	if (m->urgent)
		__sync_fetch_and_sub(&nr_urgent, 1);
	m->urgent = false;
	scx_bpf_dsq_insert(p, SHARED, slice_ns, 0);
	bpf_task_release(p);
	return true;
}

void BPF_STRUCT_OPS(qmap_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, todo = batch ? batch : 1, empty = 0;
	struct turn *t = bpf_map_lookup_elem(&turns, &zero);

	if (!t || (boost && overtake(cpu)))
		return;
	if (!nr_urgent && scx_bpf_dsq_move_to_local(SHARED))
		return;
	while (empty < LISTS && todo && scx_bpf_dispatch_nr_slots()) {
		if (t->left && share_one(t->list)) {
			t->left--;
			todo--;
			empty = 0;
			continue;
		}
		empty += t->left != 0;
		t->list = (t->list + 1) % LISTS;
		t->left = 1u << t->list;
	}
	scx_bpf_dsq_move_to_local(SHARED);
}

s32 BPF_STRUCT_OPS(qmap_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&memories, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

static int say(void *map, u32 *key, struct bpf_timer *timer)
{
	bpf_printk("qmap: %llu listed, %llu to an idle CPU, %llu overtook", nr_listed, nr_direct,
		   nr_overtaken);
	return bpf_timer_start(timer, REPORT_NS, 0);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(qmap_init)
{
	u32 key = 0;
	struct reporter *r = bpf_map_lookup_elem(&reporters, &key);
	s32 err = scx_bpf_create_dsq(SHARED, -1);

	if (!err)
		err = scx_bpf_create_dsq(URGENT, -1);
	if (err || !report)
		return err;
	bpf_timer_init(&r->timer, &reporters, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&r->timer, say);
	return bpf_timer_start(&r->timer, REPORT_NS, 0);
}

void BPF_STRUCT_OPS(qmap_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(qmap_ops, .select_cpu = qmap_select_cpu, .enqueue = qmap_enqueue,
	       .dispatch = qmap_dispatch, .init_task = qmap_init_task, .init = qmap_init,
	       .exit = qmap_exit, .timeout_ms = 5000, .name = "qmap");
