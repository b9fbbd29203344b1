/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mixed criticality: three layers, each with a queue and a share of the time.
 *
 *   layer    who              slice     may use
 *   control  nice below 0     1 ms      every CPU, before the others; at most control_percent of
 *                                       each CPU while others wait, so that a fault in it ends there
 *   normal   nice 0           4 ms      every CPU
 *   bulk     nice above 0     20 ms     what the others leave, and one turn in BULK_TURN, so that it
 *                                       never stalls; gives way to a wake-up of control at once
 *
 * The budget of control is counted per CPU over PERIOD_NS and full again when that is over.
 */
#include <scx/common.bpf.h>

enum { CONTROL, NORMAL, BULK, LAYERS };

#define BULK_TURN 16
#define PERIOD_NS (10 * NSEC_PER_MSEC)

const volatile u32 control_percent = 80;

static const u64 slices_ns[LAYERS] = { 1000000, 4000000, 20000000 };

struct budget {
	u64 period_ns;  /* when this period began */
	u64 used_ns;    /* by control in it */
	u64 running_ns; /* since when control runs here; 0: it does not */
	u32 layer;      /* that runs */
	u32 picks;
	bool busy;
};

static struct budget RESIZABLE_ARRAY(data, budgets);
u64 nr_held_back; /* how often control had to wait */

static u32 layer_of(const struct task_struct *p)
{
	return p->scx.weight > 100 ? CONTROL : p->scx.weight == 100 ? NORMAL : BULK;
}

static struct budget *budget_of(s32 cpu)
{
	return ARRAY_ELEM_PTR(budgets, cpu, scx_bpf_nr_cpu_ids());
}

/* Control has time left here. */
static bool budget_left(struct budget *b, u64 now)
{
	if (now - b->period_ns >= PERIOD_NS) {
		b->period_ns = now;
		b->used_ns = 0;
	}
	return b->used_ns < PERIOD_NS / 100 * control_percent;
}

/* A CPU where bulk runs and @p may: it is preempted. */
static void preempt_bulk(const struct task_struct *p)
{
	s32 cpu;

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids()) {
		struct budget *b = budget_of(cpu);

		if (b && b->busy && b->layer == BULK && bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			b->busy = false; /* one wake-up, one CPU */
			scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
			return;
		}
	}
}

s32 BPF_STRUCT_OPS(layers_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 layer = layer_of(p);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slices_ns[layer], 0);
	return cpu;
}

void BPF_STRUCT_OPS(layers_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 layer = layer_of(p);

	scx_bpf_dsq_insert(p, layer, slices_ns[layer], enq_flags);
	if (layer == CONTROL && enq_flags & SCX_ENQ_WAKEUP)
		preempt_bulk(p);
}

void BPF_STRUCT_OPS(layers_dispatch, s32 cpu, struct task_struct *prev)
{
	struct budget *b = budget_of(cpu);
	bool left = !b || budget_left(b, scx_bpf_now());

	if (left && scx_bpf_dsq_move_to_local(CONTROL))
		return;
	if (b && !(++b->picks % BULK_TURN) && scx_bpf_dsq_move_to_local(BULK))
		return;
	if (scx_bpf_dsq_move_to_local(NORMAL) || scx_bpf_dsq_move_to_local(BULK)) {
		if (!left && scx_bpf_dsq_nr_queued(CONTROL))
			__sync_fetch_and_add(&nr_held_back, 1);
		return;
	}
	if (!left)
		scx_bpf_dsq_move_to_local(CONTROL); /* nobody else wants the CPU */
}

void BPF_STRUCT_OPS(layers_running, struct task_struct *p)
{
	struct budget *b = budget_of(scx_bpf_task_cpu(p));

	if (!b)
		return;
	b->layer = layer_of(p);
	b->busy = true;
	b->running_ns = b->layer == CONTROL ? p->sum_exec_runtime + 1 : 0;
}

void BPF_STRUCT_OPS(layers_stopping, struct task_struct *p, bool runnable)
{
	struct budget *b = budget_of(scx_bpf_task_cpu(p));

	if (!b)
		return;
	b->busy = false;
	if (b->running_ns)
		b->used_ns += p->sum_exec_runtime + 1 - b->running_ns;
	b->running_ns = 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(layers_init)
{
	s32 err = 0;

	if (control_percent > 100) {
		bpf_printk("layers: policy.control_percent=%u: 0..100 expected", control_percent);
		return -EINVAL;
	}
	for (u32 i = 0; i < LAYERS && !err; i++)
		err = scx_bpf_create_dsq(i, -1);
	return err;
}

SCX_OPS_DEFINE(layers_ops, .select_cpu = layers_select_cpu, .enqueue = layers_enqueue,
	       .dispatch = layers_dispatch, .running = layers_running, .stopping = layers_stopping,
	       .init = layers_init, .name = "layers");
