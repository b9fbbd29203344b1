/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies that do what must not be done: each is ended with what it did, and everybody goes on.
 */
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"
#include "tests/target/test.h"

#define MS NSEC_PER_MSEC

static enum scx_exit_kind kind;
static char message[200];
static uint32_t rounds;

static void note_exit(struct scx_exit_info *info)
{
	size_t n = strnlen(info->msg, sizeof(message) - 1);

	kind = info->kind;
	memcpy(message, info->msg, n);
	message[n] = '\0';
}

static void *busy(void *arg)
{
	while (!atomic_load_relaxed((uint32_t *)arg)) {
		atomic_fetch_add_relaxed(&rounds, 1u);
		sched_yield_current();
	}
	return NULL;
}

/* Two threads on one CPU yield to each other under @ops until it is ended; then they go on without it. */
static void ends_with(struct sched_ext_ops *ops, enum scx_exit_kind expected, const char *part)
{
	struct thread_attr attr = { .name = "busy" };
	struct cpumask last = { 0 };
	struct thread *t[2];
	uint32_t stop = 0, before;

	/* on an emulator in real time, the host may stop a CPU in the middle of anything */
	ext_budget_us = test_time_is_virtual() ? 10 : 300000;
	cpumask_set(&last, test_cpus() - 1);
	attr.affinity = &last;
	ops->exit = note_exit;
	kind = SCX_EXIT_NONE;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], &attr, busy, &stop), 0);
	CHECK_EQ(ext_load(ops), 0);
	ext_wait_unloaded();
	CHECK_EQ(kind, expected);
	if (!strstr(message, part))
		printk("said: %s\n", message);
	CHECK(strstr(message, part));
	before = atomic_load_relaxed(&rounds);
	while (atomic_load_relaxed(&rounds) - before < 100)
		thread_sleep_until((time_now_ns)() + MS);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}

static void put(struct task_struct *p)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
}

static void endless_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	put(p);
	for (;;)
		arch_cpu_relax();
}

TEST(ext_endless_loop)
{
	static struct sched_ext_ops ops = { .name = "endless", .enqueue = endless_enqueue };

	ends_with(&ops, SCX_EXIT_ERROR, "enqueue() used up its");
}

static void helpers_running(struct task_struct *p)
{
	(void)p;
	for (;;)
		scx_bpf_dsq_nr_queued(SCX_DSQ_GLOBAL);
}

TEST(ext_endless_helpers)
{
	static struct sched_ext_ops ops = { .name = "endless_helpers", .running = helpers_running };

	ends_with(&ops, SCX_EXIT_ERROR, "running() used up its");
}

static volatile uint64_t *volatile nowhere;

static void unmapped_running(struct task_struct *p)
{
	(void)p;
	*nowhere = 1;
}

TEST(ext_unmapped_access)
{
	static struct sched_ext_ops ops = { .name = "unmapped", .running = unmapped_running };

	nowhere = (volatile uint64_t *)16;
	ends_with(&ops, SCX_EXIT_ERROR, "running(): ");
}

extern char text_start[];

TEST(ext_read_only_access)
{
	static struct sched_ext_ops ops = { .name = "read_only", .running = unmapped_running };

	nowhere = (volatile uint64_t *)(void *)text_start;
	ends_with(&ops, SCX_EXIT_ERROR, "running(): ");
}

static void undefined_stopping(struct task_struct *p, bool runnable)
{
	(void)p;
	(void)runnable;
	__builtin_trap();
}

TEST(ext_undefined_instruction)
{
	static struct sched_ext_ops ops = { .name = "undefined", .stopping = undefined_stopping };

	ends_with(&ops, SCX_EXIT_ERROR, "stopping(): ");
}

static __noinline uint64_t deep(volatile uint64_t n)
{
	volatile char room[256];

	room[n % sizeof(room)] = (char)n;
	return n ? deep(n - 1) + (uint64_t)room[n % sizeof(room)] : 0;
}

static s32 deep_select_cpu(struct task_struct *p, s32 prev_cpu, u64 flags)
{
	(void)p;
	(void)flags;
	return prev_cpu + (s32)(deep(1000000) & 0);
}

static void deep_running(struct task_struct *p)
{
	p->scx.slice += deep(1000000) & 0;
}

TEST(ext_stack_overflow)
{
	static struct sched_ext_ops ops = { .name = "deep",
					    .select_cpu = deep_select_cpu,
					    .running = deep_running };

	ends_with(&ops, SCX_EXIT_ERROR, "(): ");
}

static void assert_stopping(struct task_struct *p, bool runnable)
{
	(void)runnable;
	ASSERT(p->pid == -1);
}

TEST(ext_failed_assertion)
{
	static struct sched_ext_ops ops = { .name = "assert", .stopping = assert_stopping };

	ends_with(&ops, SCX_EXIT_ERROR, "stopping(): panic: assertion failed: p->pid == -1");
}

static void wild_running(struct task_struct *p)
{
	(void)p;
	scx_bpf_task_cpu((struct task_struct *)(uintptr_t)0x123450);
}

TEST(ext_wild_pointer)
{
	static struct sched_ext_ops ops = { .name = "wild", .running = wild_running };

	ends_with(&ops, SCX_EXIT_ERROR, "is no thread");
}

static void forget_enqueue(struct task_struct *p, u64 flags)
{
	(void)p;
	(void)flags;
}

TEST(ext_forgotten_thread)
{
	static struct sched_ext_ops ops = { .name = "forget",
					    .enqueue = forget_enqueue,
					    .timeout_ms = 100 };

	ends_with(&ops, SCX_EXIT_ERROR_STALL, "failed to run for");
}

/* And one that does it right: loaded and unloaded, with everybody alive. */
TEST(ext_defaults)
{
	static struct sched_ext_ops ops = { .name = "defaults" };
	struct thread *t[4];
	uint32_t stop = 0, before;

	NEEDS_CPUS_AT_MOST(4);
	ext_budget_us = test_time_is_virtual() ? 10 : 1000000;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], NULL, busy, &stop), 0);
	for (unsigned round = 0; round < 3; round++) {
		CHECK_EQ(ext_load(&ops), 0);
		before = atomic_load_relaxed(&rounds);
		while (atomic_load_relaxed(&rounds) - before < 100)
			thread_sleep_until((time_now_ns)() + MS);
		CHECK_EQ(ext_unload(), 0);
	}
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}

/* ---- one for another ------------------------------------------------------------------------- */

#define QUEUE 5

static s32 queue_init(void)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

static void queue_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert_vtime(p, QUEUE, MS, p->scx.dsq_vtime++, 0);
}

static void queue_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	(void)prev;
	scx_bpf_dsq_move_to_local(QUEUE);
}

static s32 failing_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	(void)p;
	(void)args;
	return -ENOMEM;
}

/* Both have a queue of the same number. The third is refused, and the one that is there goes on. */
TEST(ext_one_for_another)
{
	static struct sched_ext_ops ops[] = {
		{ .name = "one",
		  .init = queue_init,
		  .enqueue = queue_enqueue,
		  .dispatch = queue_dispatch },
		{ .name = "two",
		  .init = queue_init,
		  .enqueue = queue_enqueue,
		  .dispatch = queue_dispatch },
		{ .name = "three", .init = queue_init, .init_task = failing_init_task },
	};
	struct thread *t[12];
	uint32_t stop = 0, before;

	NEEDS_CPUS_AT_MOST(4);
	ext_budget_us = test_time_is_virtual() ? 10 : 1000000;
	become(ANY_CPU, SCHED_FIFO, 50);
	CHECK_EQ(ext_swap(&ops[0]), -ENOENT);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], NULL, busy, &stop), 0);
	CHECK_EQ(ext_load(&ops[0]), 0);
	for (unsigned round = 0; round < 3; round++) {
		before = atomic_load_relaxed(&rounds);
		while (atomic_load_relaxed(&rounds) - before < 100)
			thread_sleep_until((time_now_ns)() + MS);
		CHECK_EQ(ext_swap(&ops[round % 2]), -EEXIST);
		CHECK_EQ(ext_swap(&ops[2]), -ENOMEM);
		CHECK_EQ(ext_swap(&ops[(round + 1) % 2]), 0);
	}
	CHECK_EQ(ext_unload(), 0);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}

/* What a candidate does wrong ends its shadow, and nothing else. */
TEST(ext_shadow_of_bad_ones)
{
	static struct sched_ext_ops good = { .name = "good" };
	static struct sched_ext_ops bad[] = {
		{ .name = "endless", .enqueue = endless_enqueue },
		{ .name = "endless_helpers", .running = helpers_running },
		{ .name = "unmapped", .running = unmapped_running },
		{ .name = "undefined", .stopping = undefined_stopping },
		{ .name = "deep", .running = deep_running },
		{ .name = "assert", .stopping = assert_stopping },
		{ .name = "wild", .running = wild_running },
	};
	struct thread_attr attr = { .name = "busy" };
	struct cpumask last = { 0 };
	struct thread *t[2];
	uint32_t stop = 0;

	cpumask_set(&last, test_cpus() - 1);
	attr.affinity = &last; /* both on it: each yield is a decision */
	ext_budget_us = test_time_is_virtual() ? 10 : 300000;
	nowhere = (volatile uint64_t *)16;
	good.exit = note_exit;
	kind = SCX_EXIT_NONE;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], &attr, busy, &stop), 0);
	CHECK_EQ(ext_load(&good), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t before = atomic_load_relaxed(&rounds);

		CHECK_EQ(ext_shadow(&bad[i]), 0);
		while (ext_shadow_is_on())
			thread_sleep_until((time_now_ns)() + MS);
		CHECK_EQ(ext_shadow_end(), 0);
		while (atomic_load_relaxed(&rounds) - before < 10)
			thread_sleep_until((time_now_ns)() + MS);
		CHECK_EQ(kind, SCX_EXIT_NONE);
	}
	CHECK_EQ(ext_unload(), 0);
	CHECK_EQ(kind, SCX_EXIT_UNREG);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}
