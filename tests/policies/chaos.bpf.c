/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decisions that are odd but legal, by a seed: late ones, random queues, CPUs, slices, orders and
 * kicks. A test tool: what runs under it has to stand any schedule in which everybody runs at last.
 *
 * `make run POLICY=tests/policies/chaos.bpf.c BOOT="policy.seed=7"`. It keeps some threads back for up
 * to delay_us, so it wastes CPU time, and `make policy-test` says so.
 */
#include <scx/common.bpf.h>

#define QUEUES 3 /* by arrival; and one by virtual time */

const volatile u64 seed = 1;
const volatile u64 delay_us = 2000;
const volatile u64 slice_max_us = 20000;

struct held {
	s32 pid;
	u64 until_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, struct held);
} held SEC(".maps");

struct tick {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tick);
} ticks SEC(".maps");

static u64 state;

/* Steele and others' SplitMix64, so that CPUs need no lock for it. 0..n - 1 */
static u64 chance(u64 n)
{
	u64 x = __sync_fetch_and_add(&state, 0x9e3779b97f4a7c15ull);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) % n;
}

/* Short ones as often as long ones: 1 us and upwards. */
static u64 some_slice(void)
{
	u64 ns = 1000 + (slice_max_us * 1000 >> chance(14));

	return ns;
}

static s32 some_cpu(struct task_struct *p)
{
	s32 cpu, nr = 0, which = (s32)chance((u64)p->nr_cpus_allowed);

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids())
		if (bpf_cpumask_test_cpu((u32)cpu, p->cpus_ptr) && nr++ == which)
			return cpu;
	return scx_bpf_task_cpu(p);
}

static u64 some_flags(void)
{
	return chance(8) ? 0 : chance(2) ? SCX_ENQ_HEAD : SCX_ENQ_PREEMPT;
}

s32 BPF_STRUCT_OPS(chaos_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	switch (chance(3)) {
	case 0:
		return prev_cpu;
	case 1:
		return some_cpu(p);
	}
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle && chance(2))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, some_slice(), 0);
	return cpu;
}

/* Back for a while: true, if there is room. */
static bool hold(struct task_struct *p)
{
	struct held h = { .pid = p->pid,
			  .until_ns = bpf_ktime_get_ns() + chance(delay_us * 1000 + 1) };

	return !bpf_map_push_elem(&held, &h, 0);
}

void BPF_STRUCT_OPS(chaos_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = some_cpu(p);

	switch (chance(6)) {
	case 0:
		if (hold(p))
			break;
		/* fall through */
	case 1:
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, some_slice(), 0);
		break;
	case 2:
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, some_slice(), some_flags());
		break;
	case 3:
		scx_bpf_dsq_insert_vtime(p, QUEUES, some_slice(), chance(1 << 20), 0);
		break;
	default:
		scx_bpf_dsq_insert(p, chance(QUEUES), some_slice(), 0);
	}
	if (!chance(4))
		scx_bpf_kick_cpu((s32)chance(scx_bpf_nr_cpu_ids()),
				 chance(2) ? SCX_KICK_PREEMPT : SCX_KICK_IDLE);
}

/* Those whose time has come go anywhere; the others back into the queue. */
static void let_go(void)
{
	u64 now = bpf_ktime_get_ns();
	struct task_struct *p;
	struct held h;

	bpf_repeat(8) {
		if (!scx_bpf_dispatch_nr_slots() || bpf_map_pop_elem(&held, &h))
			return;
		p = bpf_task_from_pid(h.pid);
		if (!p)
			continue;
		if (time_before(now, h.until_ns) && !bpf_map_push_elem(&held, &h, 0))
			continue;
		scx_bpf_dsq_insert(p, chance(2) ? chance(QUEUES) : SCX_DSQ_GLOBAL, some_slice(), 0);
		bpf_task_release(p);
	}
}

void BPF_STRUCT_OPS(chaos_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = chance(QUEUES + 1), i;

	let_go();
	if (!chance(8))
		return; /* late: the timer sees to it */
	bpf_for(i, 0, QUEUES + 1)
		if (scx_bpf_dsq_move_to_local((first + i) % (QUEUES + 1)))
			return;
}

void BPF_STRUCT_OPS(chaos_tick, struct task_struct *p)
{
	if (!chance(4))
		p->scx.slice = 0;
}

static int tick(void *map, u32 *key, struct bpf_timer *timer)
{
	s32 cpu;

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids())
		scx_bpf_kick_cpu(cpu, chance(16) ? SCX_KICK_IDLE : SCX_KICK_PREEMPT);
	return bpf_timer_start(timer, 100 * NSEC_PER_USEC + chance(NSEC_PER_MSEC), 0);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(chaos_init)
{
	u32 key = 0;
	struct tick *t = bpf_map_lookup_elem(&ticks, &key);
	s32 err = 0;
	u64 i;

	state = seed * 0xd1342543de82ef95ull;
	bpf_for(i, 0, QUEUES + 1)
		if (!err)
			err = scx_bpf_create_dsq(i, -1);
	if (err || !t)
		return err ? err : -ESRCH;
	bpf_timer_init(&t->timer, &ticks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&t->timer, tick);
	return bpf_timer_start(&t->timer, NSEC_PER_MSEC, 0);
}

SCX_OPS_DEFINE(chaos_ops, .select_cpu = chaos_select_cpu, .enqueue = chaos_enqueue,
	       .dispatch = chaos_dispatch, .tick = chaos_tick, .init = chaos_init,
	       .flags = SCX_OPS_ENQ_LAST, .name = "chaos");
