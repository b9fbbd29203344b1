/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling threads that do what must not be done: the policy ends with what it was, and everybody
 * goes on.
 */
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/thread_sched.h"
#include "tests/target/test.h"

#define MS NSEC_PER_MSEC

static enum scx_exit_kind kind;
static char message[200];
static uint32_t rounds;
static uint32_t let_go;
static volatile uint64_t *volatile nowhere;
static struct thread_sched_options options;

static void order(struct thread_sched *s)
{
	struct thread_sched_event e;

	while (!thread_sched_exited(s)) {
		while (thread_sched_dequeue(s, &e)) {
			struct thread_sched_verdict v = { .handle = e.handle,
							  .wait = e.wait,
							  .cpu = THREAD_SCHED_ANY_CPU,
							  .vtime = e.vtime + e.used_ns };

			CHECK_EQ(thread_sched_dispatch(s, &v), 0);
		}
		thread_sched_complete(s, 0);
	}
}

static s32 init(void)
{
	return thread_sched_begin(&options);
}

static void note_exit(struct scx_exit_info *info)
{
	size_t n = strnlen(info->msg, sizeof(message) - 1);

	kind = info->kind;
	memcpy(message, info->msg, n);
	message[n] = '\0';
	thread_sched_on_exit(info);
}

static struct sched_ext_ops ops = { .name = "rings", THREAD_SCHED_OPS, .init = init };

static void *busy(void *arg)
{
	while (!atomic_load_relaxed((uint32_t *)arg)) {
		atomic_fetch_add_relaxed(&rounds, 1u);
		sched_yield_current();
	}
	return NULL;
}

static void some_rounds(void)
{
	uint32_t before = atomic_load_relaxed(&rounds);

	while (atomic_load_relaxed(&rounds) - before < 20)
		thread_sleep_until((time_now_ns)() + MS);
}

static void set_up(void (*run)(struct thread_sched *s))
{
	ext_budget_us = test_time_is_virtual() ? 20 : 1000000;
	options = (struct thread_sched_options){ .run = run, .stall_ns = 20 * MS };
	ops.exit = note_exit;
	kind = SCX_EXIT_NONE;
	atomic_store_relaxed(&let_go, 0u);
}

/* Two threads yield to each other on one CPU; the scheduler @run ends the policy. */
static void ends_with(void (*run)(struct thread_sched *s), enum scx_exit_kind expected,
		      const char *part)
{
	struct thread_attr attr = { .name = "busy" };
	struct cpumask last = { 0 };
	struct thread *t[2];
	uint32_t stop = 0;

	set_up(run);
	cpumask_set(&last, test_cpus() - 1);
	attr.affinity = &last;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], &attr, busy, &stop), 0);
	CHECK_EQ(ext_load(&ops), 0);
	ext_wait_unloaded();
	CHECK_EQ(kind, expected);
	if (!strstr(message, part))
		printk("said: %s\n", message);
	CHECK(strstr(message, part));
	some_rounds();
	atomic_store_relaxed(&let_go, 1u);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
	/* and the next one is welcome, when this one has returned */
	options.run = order;
	while (ext_load(&ops) == -EBUSY)
		thread_sleep_until((time_now_ns)() + 10 * MS);
	CHECK_EQ(ext_unload(), 0);
	CHECK_EQ(kind, SCX_EXIT_UNREG);
}

static void touches(struct thread_sched *s)
{
	(void)s;
	*nowhere = 1;
}

TEST(rings_unmapped_access)
{
	nowhere = (volatile uint64_t *)16;
	ends_with(touches, SCX_EXIT_ERROR, "scx_decider[");
}

extern char text_start[];

TEST(rings_read_only_access)
{
	nowhere = (volatile uint64_t *)(void *)text_start;
	ends_with(touches, SCX_EXIT_ERROR, "scx_decider[");
}

static void traps(struct thread_sched *s)
{
	(void)s;
	__builtin_trap();
}

TEST(rings_undefined_instruction)
{
	ends_with(traps, SCX_EXIT_ERROR, "scx_decider[");
}

static void asserts(struct thread_sched *s)
{
	ASSERT(thread_sched_exited(s));
}

TEST(rings_failed_assertion)
{
	ends_with(asserts, SCX_EXIT_ERROR, "panic: assertion failed");
}

static void returns(struct thread_sched *s)
{
	(void)s;
}

TEST(rings_early_return)
{
	ends_with(returns, SCX_EXIT_ERROR, "] returned");
}

static void loops(struct thread_sched *s)
{
	(void)s;
	while (!atomic_load_relaxed(&let_go))
		arch_cpu_relax();
}

TEST(rings_endless_loop)
{
	ends_with(loops, SCX_EXIT_ERROR_STALL, "decided nothing for");
}

/* And one that does it right: loaded and unloaded, with everybody alive. */
TEST(rings_order)
{
	struct thread_sched_counters c;
	struct thread *t[4];
	uint32_t stop = 0;

	NEEDS_CPUS_AT_MOST(4);
	set_up(order);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], NULL, busy, &stop), 0);
	for (unsigned round = 0; round < 3; round++) {
		options.placement = round;
		options.cpu = test_cpus() - 1;
		options.stall_ns = 30 * NSEC_PER_SEC; /* the host may stop a CPU for long */
		CHECK_EQ(ext_load(&ops), 0);
		some_rounds();
		CHECK_EQ(ext_unload(), 0);
		CHECK_EQ(kind, SCX_EXIT_UNREG);
		thread_sched_counters(&c);
		CHECK(c.verdicts > 0 || test_cpus() >= ARRAY_SIZE(t));
	}
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}
