/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One CPU decides for all. The others run what they are given with no end to its slice, so that no
 * timer of theirs is set, and ask the central CPU when they have nothing. Its timer takes a thread's
 * CPU away after slice_ns, if somebody waits.
 *
 *   enqueue   any CPU      the thread's number goes into `waiting`
 *   dispatch  other CPU    sets wants[cpu], makes the central CPU schedule
 *   dispatch  central CPU  for each CPU that wants one: the next of `waiting`, into its local queue
 *   timer     central CPU  every TICK_NS: whose slice is over is preempted
 */
#include <scx/common.bpf.h>

#define TICK_NS NSEC_PER_MSEC
#define OTHERS  0 /* those that the CPU which asked may not run */

const volatile s32 central_cpu;
const volatile u32 nr_cpu_ids = 1; /* set when it is loaded */
const volatile u64 slice_ns = 5000000;

/* Counted for a reader; nothing depends on them. */
u64 nr_given, nr_elsewhere, nr_full;

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, s32);
} waiting SEC(".maps");

struct tick {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tick);
} ticks SEC(".maps");

static bool RESIZABLE_ARRAY(data, wants);
static u64 RESIZABLE_ARRAY(data, since_ns); /* 0: idle */
static s64 nr_waiting;

/* A hint: where the thread may not run there the framework takes another CPU. */
s32 BPF_STRUCT_OPS(central_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return central_cpu;
}

/* On the central CPU, which is about to run another: to the first CPU that asked. */
static bool hand_on(struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	bpf_for(cpu, 0, nr_cpu_ids) {
		bool *want = ARRAY_ELEM_PTR(wants, cpu, nr_cpu_ids);

		if (!want || !*want || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		*want = false;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_INF, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return true;
	}
	return false;
}

void BPF_STRUCT_OPS(central_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (enq_flags & SCX_ENQ_LAST) { /* nobody else is there: it goes on */
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_INF, enq_flags);
		return;
	}
	if (bpf_get_smp_processor_id() == (u32)central_cpu && hand_on(p, enq_flags))
		return;

	if (bpf_map_push_elem(&waiting, &pid, 0)) {
		__sync_fetch_and_add(&nr_full, 1);
		scx_bpf_dsq_insert(p, OTHERS, SCX_SLICE_INF, enq_flags);
		return;
	}
	__sync_fetch_and_add(&nr_waiting, 1);
	if (bpf_get_smp_processor_id() != (u32)central_cpu)
		scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
}

/* The next that may run on @cpu goes there; those before it to whoever may. */
static bool give(s32 cpu)
{
	struct task_struct *p;
	s32 pid;

	while (scx_bpf_dispatch_nr_slots() && !bpf_map_pop_elem(&waiting, &pid)) {
		bool fits;

		__sync_fetch_and_sub(&nr_waiting, 1);
		p = bpf_task_from_pid(pid);
		if (!p)
			continue; /* it ended meanwhile */
		fits = bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
		scx_bpf_dsq_insert(p, fits ? SCX_DSQ_LOCAL_ON | cpu : OTHERS, SCX_SLICE_INF, 0);
		bpf_task_release(p);
		__sync_fetch_and_add(fits ? &nr_given : &nr_elsewhere, 1);
		if (fits)
			return true;
	}
	return false;
}

static void give_all(void)
{
	s32 cpu;

	bpf_for(cpu, 0, nr_cpu_ids) {
		bool *want = ARRAY_ELEM_PTR(wants, cpu, nr_cpu_ids);

		if (cpu == central_cpu || !want || !*want || !give(cpu))
			continue;
		*want = false;
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void BPF_STRUCT_OPS(central_dispatch, s32 cpu, struct task_struct *prev)
{
	bool *want = ARRAY_ELEM_PTR(wants, cpu, nr_cpu_ids);

	if (cpu == central_cpu)
		give_all();
	if (scx_bpf_dsq_move_to_local(OTHERS))
		return;
	if (cpu == central_cpu) {
		give(cpu);
	} else if (want) {
		*want = true;
		/* else whoever comes next kicks it */
		if (__sync_fetch_and_add(&nr_waiting, 0))
			scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
	}
}

void BPF_STRUCT_OPS(central_running, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p);
	u64 *since = ARRAY_ELEM_PTR(since_ns, cpu, nr_cpu_ids);
	bool *want = ARRAY_ELEM_PTR(wants, cpu, nr_cpu_ids);

	if (since)
		*since = scx_bpf_now();
	if (want)
		*want = false;
}

void BPF_STRUCT_OPS(central_stopping, struct task_struct *p, bool runnable)
{
	u64 *since = ARRAY_ELEM_PTR(since_ns, scx_bpf_task_cpu(p), nr_cpu_ids);

	if (since)
		*since = 0;
}

static int tick(void *map, u32 *key, struct bpf_timer *timer)
{
	u64 now = bpf_ktime_get_ns();
	s64 waits = nr_waiting + scx_bpf_dsq_nr_queued(OTHERS);
	s32 cpu;

	bpf_for(cpu, 0, nr_cpu_ids) {
		u64 *since = ARRAY_ELEM_PTR(since_ns, cpu, nr_cpu_ids);

		if (!since || !*since || time_before(now, *since + slice_ns))
			continue;
		/* somebody waits for this CPU, or for any */
		if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) || waits-- > 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	}
	return bpf_timer_start(timer, TICK_NS, BPF_F_TIMER_CPU_PIN);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(central_init)
{
	u32 key = 0;
	struct tick *t = bpf_map_lookup_elem(&ticks, &key);
	s32 err = scx_bpf_create_dsq(OTHERS, -1);

	if (err || !t)
		return err ? err : -ESRCH;
	bpf_timer_init(&t->timer, &ticks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&t->timer, tick);
	return bpf_timer_start(&t->timer, TICK_NS, BPF_F_TIMER_CPU_PIN);
}

SCX_OPS_DEFINE(central_ops, .select_cpu = central_select_cpu, .enqueue = central_enqueue,
	       .dispatch = central_dispatch, .running = central_running,
	       .stopping = central_stopping, .init = central_init, .flags = SCX_OPS_ENQ_LAST,
	       .name = "central");
