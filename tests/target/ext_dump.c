/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps of policies: of one that faults, of one that lives, and what a dump must not do to either.
 */
#include "core/string.h"
#include "sched/ext/ext.h"
#include "tests/target/test.h"

#define MS NSEC_PER_MSEC

static char text[40000]; /* what exit() was given */
static size_t bt_len;
static bool lines_without_end; /* what dump() does */
static volatile uint64_t *volatile nowhere = (volatile uint64_t *)16;

static void expect(const char *in, const char *part)
{
	if (!strstr(in, part))
		printk("'%s' is not in:\n%s\n", part, in);
	CHECK(strstr(in, part));
}

static void say_policy(struct scx_dump_ctx *ctx)
{
	scx_bpf_dump("first of %d", (int)ctx->kind);
	scx_bpf_dump(", second\n");
	while (lines_without_end)
		scx_bpf_dump("on and on\n");
}

static void say_cpu(struct scx_dump_ctx *ctx, s32 cpu, bool idle)
{
	(void)ctx;
	(void)idle;
	scx_bpf_dump("cpu %d of the policy", cpu);
}

static void say_task(struct scx_dump_ctx *ctx, struct task_struct *p)
{
	(void)ctx;
	scx_bpf_dump("thread %.16s of the policy\n", p->comm);
}

static void note_exit(struct scx_exit_info *info)
{
	size_t n = info->dump ? strnlen(info->dump, sizeof(text) - 1) : 0;

	memcpy(text, info->dump ? info->dump : "", n);
	text[n] = '\0';
	bt_len = info->bt_len;
}

static void *busy(void *arg)
{
	while (!atomic_load_relaxed((uint32_t *)arg))
		sched_yield_current();
	return NULL;
}

/* Beside two threads that yield to each other: loads @ops, calls @meanwhile, sees it unloaded. */
static void with(struct sched_ext_ops *ops, void (*meanwhile)(void))
{
	struct thread_attr attr = { .name = "busy" };
	struct cpumask last = { 0 };
	struct thread *t[2];
	uint32_t stop = 0;

	ext_budget_us = test_time_is_virtual() ? 10 : 300000;
	cpumask_set(&last, test_cpus() - 1);
	attr.affinity = &last;
	ops->exit = note_exit;
	text[0] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_create(&t[i], &attr, busy, &stop), 0);
	CHECK_EQ(ext_load(ops), 0);
	meanwhile();
	ext_wait_unloaded();
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(thread_join(t[i], NULL), 0);
}

static void nothing(void)
{
}

static __noinline void fault_here(void)
{
	*nowhere = 1;
}

static void fault_running(struct task_struct *p)
{
	if (!strncmp(p->comm, "busy", 5)) {
		fault_here();
		atomic_store_relaxed(&bt_len, (size_t)0); /* or there were no call, but a jump */
	}
}

TEST(ext_dump_of_a_fault)
{
	static struct sched_ext_ops ops = { .name = "dumped",
					    .running = fault_running,
					    .dump = say_policy,
					    .dump_cpu = say_cpu,
					    .dump_task = say_task };

	lines_without_end = false;
	with(&ops, nothing);
	expect(text, "scx dump: policy dumped, runtime error: running(): ");
	expect(text, "    at fault_here+0x");
	expect(text, "    at fault_running+0x");
	expect(text, "    first of 1024, second\n");
	expect(text, "cpu 0: ");
	expect(text, "    cpu 0 of the policy\n");
	expect(text, "busy[");
	expect(text, ", weight 100, cpus ");
	expect(text, "    thread busy of the policy\n");
	expect(text, "events:");
	CHECK_GE(bt_len, 2);
}

TEST(ext_dump_is_bounded)
{
	static struct sched_ext_ops ops = { .name = "bounded",
					    .running = fault_running,
					    .dump = say_policy,
					    .exit_dump_len = 300 };

	lines_without_end = true;
	with(&ops, nothing);
	CHECK_LE(strlen(text), 299);
	expect(text, "    on and on\n");
	expect(text, "\n... cut: exit_dump_len\n");
}

static char live[40000];

static void dump_now(void)
{
	struct ext_dump_text out;
	size_t n;

	live[0] = '\0';
	if (ext_dump_now(&out))
		return;
	n = strnlen(out.text, sizeof(live) - 1);
	memcpy(live, out.text, n);
	live[n] = '\0';
	ext_dump_free(&out);
}

static void dump_twice_and_unload(void)
{
	dump_now();
	dump_now();
	CHECK_EQ(ext_unload(), 0);
}

TEST(ext_dump_of_one_that_lives)
{
	static struct sched_ext_ops ops = {
		.name = "lives", .dump = say_policy, .dump_cpu = say_cpu, .dump_task = say_task
	};
	struct ext_dump_text out;

	lines_without_end = false;
	with(&ops, dump_twice_and_unload);
	expect(live, "scx dump: policy lives, running\n");
	expect(live, "    first of 0, second\n");
	expect(live, "    thread busy of the policy\n");
	CHECK_EQ(text[0], 0); /* whoever is unloaded leaves none */
	CHECK_EQ(ext_dump_now(&out), -ENOENT);
}

TEST(ext_dump_without_end)
{
	static struct sched_ext_ops ops = { .name = "endless", .dump = say_policy };

	lines_without_end = true;
	with(&ops, dump_now);
	expect(live, "    on and on\n");
	expect(live, "\n... cut: exit_dump_len\n");
	expect(text, "runtime error: dump() used up its ");
}

static void say_and_fault(struct scx_dump_ctx *ctx)
{
	(void)ctx;
	scx_bpf_dump("before\n");
	fault_here();
}

TEST(ext_dump_that_faults_ends_the_policy)
{
	static struct sched_ext_ops ops = { .name = "dump_faults", .dump = say_and_fault };

	with(&ops, dump_now);
	expect(live, "    before\n");
	expect(text, "runtime error: dump(): ");
	expect(text, "    at fault_here+0x");
}

static void dump_running(struct task_struct *p)
{
	(void)p;
	scx_bpf_dump("here?\n");
}

TEST(ext_dump_line_outside_of_a_dump)
{
	static struct sched_ext_ops ops = { .name = "dumps", .running = dump_running };

	with(&ops, nothing);
	expect(text, "scx_bpf_dump(): not from dump, dump_cpu or dump_task");
}
