/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy framework on 1..4 virtual CPUs, by seed: policies that use each of its ways to hand
 * threads on, loaded and unloaded under a load that does everything a thread can do, with what they
 * are told checked for order and pairs; and the mistakes that end a policy.
 *
 * Sources: tests/host/host_ext.c tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing -Wno-override-init
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/hotplug.h"
#include "core/sync.h"
#include "core/timer.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"
#include "sched/ext/watch.h"
#include "tests/host/host_ext.h"
#include "tests/host/host_seeds.h"

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	struct scenario s = { .first = first,
			      .cpus_from = from,
			      .cpus_to = to,
			      .seeds = seeds,
			      .steps_max = 60000000 };

	check_class = check_ext;
	ext_budget_us = 200;        /* time goes on while other CPUs run, too */
	check_conservation = false; /* it is the policy that says who runs where */
	run_seeds(&s);
}

/* ---- what a policy is told ------------------------------------------------------------------- */

#define TIDS 4096
enum { KNOWN = 1, ENABLED = 2, RUNNABLE = 4, RUNNING = 8 };
static unsigned char told[2]
			 [TIDS]; /* a policy that takes over is told while the other one is there */
static unsigned calls;

static void from_to(struct task_struct *p, unsigned need, unsigned not, unsigned set,
		    unsigned clear)
{
	unsigned char *s = &told[ext_side()][p->pid % TIDS];

	calls++;
	CHECK(p->pid > 0 && p->pid < TIDS);
	CHECK((*s & need) == need && !(*s & not ));
	*s = (unsigned char)((*s | set) & ~clear);
}

static s32 t_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	(void)args;
	from_to(p, 0, 0xff, KNOWN, 0);
	return 0;
}

static void t_exit_task(struct task_struct *p, struct scx_exit_task_args *args)
{
	(void)args;
	from_to(p, KNOWN, RUNNING | ENABLED, 0, 0xff);
}

static void t_enable(struct task_struct *p)
{
	from_to(p, KNOWN, ENABLED | RUNNABLE | RUNNING, ENABLED, 0);
}

/* In the middle of a life if the policy is unloaded. */
static void t_disable(struct task_struct *p)
{
	from_to(p, ENABLED, ext.bypass ? 0 : RUNNABLE | RUNNING, 0, ENABLED | RUNNABLE | RUNNING);
}

static void t_runnable(struct task_struct *p, u64 flags)
{
	(void)flags;
	from_to(p, ENABLED, RUNNABLE | RUNNING, RUNNABLE, 0);
}

static void t_running(struct task_struct *p)
{
	from_to(p, ENABLED | RUNNABLE, RUNNING, RUNNING, 0);
}

static void t_stopping(struct task_struct *p, bool runnable)
{
	(void)runnable;
	from_to(p, ENABLED | RUNNABLE | RUNNING, 0, 0, RUNNING);
}

static void t_quiescent(struct task_struct *p, u64 flags)
{
	(void)flags;
	from_to(p, ENABLED | RUNNABLE, RUNNING, 0, RUNNABLE);
}

static void t_set_weight(struct task_struct *p, u32 weight)
{
	CHECK(weight >= 1 && weight <= 10000 && p->scx.weight == weight);
}

static void t_set_cpumask(struct task_struct *p, const struct cpumask *mask)
{
	CHECK(p->nr_cpus_allowed == (s32)cpumask_count(mask));
}

#define TOLD                                                                          \
	.init_task = t_init_task, .exit_task = t_exit_task, .enable = t_enable,       \
	.disable = t_disable, .runnable = t_runnable, .running = t_running,           \
	.stopping = t_stopping, .quiescent = t_quiescent, .set_weight = t_set_weight, \
	.set_cpumask = t_set_cpumask

/* ---- policies -------------------------------------------------------------------------------- */

/* All defaults. */
static struct sched_ext_ops nothing_ops = { .name = "nothing", TOLD };

/* By weighted vtime, in one queue. */
#define SHARED 7
static u64 vtime_now;

static s32 vtime_init(void)
{
	vtime_now = 0;
	return scx_bpf_create_dsq(SHARED, -1);
}

static s32 vtime_select_cpu(struct task_struct *p, s32 prev_cpu, u64 flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 3 * MS, 0);
	return cpu;
}

static void vtime_enqueue(struct task_struct *p, u64 flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(vtime - (vtime_now - 3 * MS)) < 0)
		vtime = vtime_now - 3 * MS;
	scx_bpf_dsq_insert_vtime(p, SHARED, 3 * MS, vtime, flags);
}

static void vtime_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	(void)prev;
	scx_bpf_dsq_move_to_local(SHARED);
}

static void vtime_running(struct task_struct *p)
{
	t_running(p);
	if ((s64)(vtime_now - p->scx.dsq_vtime) < 0)
		vtime_now = p->scx.dsq_vtime;
}

static void vtime_stopping(struct task_struct *p, bool runnable)
{
	t_stopping(p, runnable);
	p->scx.dsq_vtime += (3 * MS - MIN(p->scx.slice, 3 * MS)) * 100 / p->scx.weight;
}

static void vtime_enable(struct task_struct *p)
{
	t_enable(p);
	p->scx.dsq_vtime = vtime_now;
}

static struct sched_ext_ops vtime_ops = {
	.name = "vtime",
	TOLD,
	.init = vtime_init,
	.select_cpu = vtime_select_cpu,
	.enqueue = vtime_enqueue,
	.dispatch = vtime_dispatch,
	.running = vtime_running,
	.stopping = vtime_stopping,
	.enable = vtime_enable,
};

/* Keeps the threads in a list of its own, and gives them to whichever CPU it likes. */
#define KEPT 64
static struct task_struct *kept[KEPT];
static unsigned nr_kept;

static s32 keeper_init(void)
{
	nr_kept = 0;
	return 0;
}

static void keeper_remove(struct task_struct *p)
{
	for (unsigned i = 0; i < nr_kept; i++)
		if (kept[i] == p) {
			kept[i] = kept[--nr_kept];
			return;
		}
}

static void keeper_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	keeper_remove(p);
	CHECK(nr_kept < KEPT);
	kept[nr_kept++] = p;
}

static void keeper_dequeue(struct task_struct *p, u64 flags)
{
	(void)flags;
	keeper_remove(p);
}

static void keeper_dispatch(s32 cpu, struct task_struct *prev)
{
	unsigned n = nr_kept;

	(void)prev;
	while (n-- && scx_bpf_dispatch_nr_slots()) {
		struct task_struct *p = kept[0];
		s32 to = (s32)draw(cpu_count);

		keeper_remove(p);
		if (!cpumask_test(p->cpus_ptr, (unsigned)to))
			to = scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
		if (to < 0) {
			keeper_enqueue(p, 0);
			continue;
		}
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)to, MS, 0);
		if (to != cpu)
			scx_bpf_kick_cpu(to, draw(2) ? SCX_KICK_IDLE : SCX_KICK_PREEMPT);
	}
}

static struct sched_ext_ops keeper_ops = {
	.name = "keeper",
	TOLD,
	.init = keeper_init,
	.enqueue = keeper_enqueue,
	.dequeue = keeper_dequeue,
	.dispatch = keeper_dispatch,
};

/* Says where each thread is to run next as soon as its slice is over. */
static void elsewhere_enqueue(struct task_struct *p, u64 flags)
{
	s32 to = (s32)draw(cpu_count);

	(void)flags;
	if (!cpumask_test(p->cpus_ptr, (unsigned)to))
		to = (s32)cpumask_next(p->cpus_ptr, 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)to, MS, draw(4) ? 0 : SCX_ENQ_PREEMPT);
}

static struct sched_ext_ops elsewhere_ops = {
	.name = "elsewhere",
	TOLD,
	.enqueue = elsewhere_enqueue,
	.timeout_ms = 1000,
};

/* ---- a load that does everything -------------------------------------------------------------- */

#define THREADS 10
static struct thread *threads[THREADS];
static uint64_t progress[THREADS];
static bool stop;
static struct mutex mutex = MUTEX_INIT;
static struct semaphore sem;

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void do_something(void)
{
	switch (draw(7)) {
	case 0:
		sleep_for(draw(500 * US));
		break;
	case 1:
		sched_yield_current();
		break;
	case 2:
		mutex_lock(&mutex);
		host_compute(draw(50 * US));
		mutex_unlock(&mutex);
		break;
	case 3:
		semaphore_post(&sem);
		break;
	case 4:
		semaphore_wait_until(&sem, time_now_ns() + draw(200 * US));
		break;
	default:
		host_compute(draw(2 * MS));
	}
}

static void *worker(void *arg)
{
	while (!stop) {
		do_something();
		progress[(uintptr_t)arg]++;
	}
	return NULL;
}

static void *short_lived(void *arg)
{
	host_compute(draw(100 * US));
	return arg;
}

static void make_workers(void)
{
	stop = false;
	semaphore_init(&sem, 0);
	for (uintptr_t i = 0; i < THREADS; i++) {
		struct thread_attr attr = { .name = "worker", .nice = (int8_t)((int)draw(8) - 4) };

		CHECK(!thread_create(&threads[i], &attr, worker, (void *)i));
	}
}

static void join_workers(void)
{
	stop = true;
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(!thread_join(threads[i], NULL));
}

/* Somebody else's hands on them. */
static void disturb(void)
{
	struct thread *t = threads[draw(THREADS)], *other;
	struct cpumask mask = { 0 };

	switch (draw(5)) {
	case 0:
		cpumask_set(&mask, (unsigned)draw(cpu_count));
		CHECK(!thread_set_affinity(t, &mask));
		break;
	case 1:
		CHECK(!thread_set_affinity(t, &cpu_online_mask));
		break;
	case 2:
		CHECK(!sched_set_policy(t, SCHED_OTHER, 0, (int)draw(8) - 4));
		break;
	case 3:
		CHECK(!sched_set_policy(t, SCHED_FIFO, 1 + (int)draw(5), 0));
		sleep_for(draw(MS));
		CHECK(!sched_set_policy(t, draw(2) ? SCHED_OTHER : SCHED_EXT, 0, 0));
		break;
	case 4:
		CHECK(!thread_create(&other, NULL, short_lived, NULL));
		CHECK(!thread_join(other, NULL));
	}
}

static void everybody_goes_on(void)
{
	uint64_t before[THREADS];

	memcpy(before, progress, sizeof(before));
	sleep_for(150 * MS);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(progress[i] != before[i]);
}

static void load_policy_and_live(struct sched_ext_ops *ops)
{
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	sleep_for(2 * MS);
	for (int round = 0; round < 2; round++) {
		CHECK(!ext_load(ops));
		CHECK(ext_load(ops) == -EBUSY);
		for (int i = 0; i < 20; i++) {
			sleep_for(draw(2 * MS));
			disturb();
		}
		everybody_goes_on();
		CHECK(!ext.exit_kind);
		CHECK(!ext_unload());
		CHECK(ext_unload() == -ENOENT);
		sleep_for(draw(3 * MS));
	}
	everybody_goes_on();
	join_workers();
}

/* ---- one for another ------------------------------------------------------------------------- */

static s32 failing_init(void)
{
	return -ENODEV;
}

static s32 erring_init(void)
{
	scx_bpf_error("not today");
	return 0;
}

static s32 failing_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	(void)args;
	p->scx.dsq_vtime = 1ull << 60;
	return p->pid == 3 ? -ENOMEM : 0;
}

static void live_for_a_while(void)
{
	for (int i = 0; i < 6; i++) {
		sleep_for(draw(2 * MS));
		disturb();
	}
}

/* The old one is told what has changed in between. */
static void swaps_that_fail(struct sched_ext_ops *old)
{
	static struct sched_ext_ops ops;

	CHECK(ext_swap(old) == -EEXIST);
	ops = (struct sched_ext_ops){ .name = "flags", .flags = 1ull << 40 };
	CHECK(ext_swap(&ops) == -EINVAL);
	ops = (struct sched_ext_ops){ .name = "init", .init = failing_init };
	CHECK(ext_swap(&ops) == -ENODEV);
	ops = (struct sched_ext_ops){ .name = "erring", .init = erring_init };
	CHECK(ext_swap(&ops) == -ECANCELED);
	ops = (struct sched_ext_ops){ .name = "init_task", .init_task = failing_init_task };
	CHECK(ext_swap(&ops) == -ENOMEM);
	CHECK(ext.ops == old);
}

static void swap_first(void *arg)
{
	static struct sched_ext_ops *const all[] = { &nothing_ops, &vtime_ops, &keeper_ops,
						     &elsewhere_ops };
	struct sched_ext_ops *now = all[draw(ARRAY_SIZE(all))], *next;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	CHECK(ext_swap(now) == -ENOENT);
	CHECK(!ext_load(now));
	for (int i = 0; i < 8; i++) {
		live_for_a_while();
		if (!draw(3))
			swaps_that_fail(now);
		do
			next = all[draw(ARRAY_SIZE(all))];
		while (next == now);
		CHECK(!ext_swap(next));
		CHECK(ext.ops == next);
		now = next;
	}
	everybody_goes_on();
	CHECK(!ext.exit_kind);
	CHECK(!ext_unload());
	everybody_goes_on();
	join_workers();
}

static struct thread *made;
static struct semaphore made_ends;

static void *live_until_told(void *arg)
{
	semaphore_wait(&made_ends);
	return arg;
}

static s32 making_init(void)
{
	semaphore_init(&made_ends, 0);
	return thread_create(&made, NULL, live_until_told, NULL);
}

static s32 making_and_failing_init(void)
{
	s32 err = making_init();

	return err ? err : -ENODEV;
}

/* It is now, and then ends. */
static void check_made(void)
{
	struct ext_task *e = made->sched.ext;

	CHECK(e && e->told & EXT_TOLD_INIT && made->sched.rank == RANK_EXT);
	semaphore_post(&made_ends);
	CHECK(!thread_join(made, NULL));
	/* its exit_task() may come later; the next one may get its number */
	thread_sleep_until(time_now_ns() + MS);
}

/* A thread that init() makes is the new one's, or the old one's if the new one is refused. */
static void making_first(void *arg)
{
	static struct sched_ext_ops ops;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	CHECK(!ext_load(&vtime_ops));
	ops = (struct sched_ext_ops){ .name = "makes",
				      .init = making_init,
				      .init_task = failing_init_task };
	CHECK(ext_swap(&ops) == -ENOMEM);
	CHECK(ext.ops == &vtime_ops);
	check_made();
	ops.init = making_and_failing_init;
	CHECK(ext_swap(&ops) == -ENODEV);
	CHECK(ext.ops == &vtime_ops);
	check_made();
	ops = nothing_ops;
	ops.init = making_init;
	CHECK(!ext_swap(&ops));
	check_made();
	everybody_goes_on();
	CHECK(ext.ops == &ops && !ext_unload());
	join_workers();
}

/* ---- threads that come at the same time ------------------------------------------------------ */

static void *maker(void *arg)
{
	struct thread *t;

	while (!stop) {
		CHECK(!thread_create(&t, NULL, short_lived, NULL));
		CHECK(!thread_join(t, NULL));
	}
	return arg;
}

/* Of those that have a CPU, and are no thread of the framework. */
static void has_a_policy(struct thread *t, void *arg)
{
	(void)arg;
	if (t->tid && t->sched.cpu && t->sched.policy == SCHED_OTHER && !t->exited)
		CHECK(t->sched.ext && t->sched.rank != RANK_FAIR); /* it may have borrowed one */
}

/* What they are told is not checked: a new thread may have the number of one that is told of later. */
static void coming_first(void *arg)
{
	static struct sched_ext_ops plain_ops = { .name = "plain" };
	static struct sched_ext_ops keeping_ops = { .name = "keeping",
						    .init = keeper_init,
						    .enqueue = keeper_enqueue,
						    .dequeue = keeper_dequeue,
						    .dispatch = keeper_dispatch };
	struct thread *makers[3];

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	stop = false;
	for (unsigned i = 0; i < ARRAY_SIZE(makers); i++)
		CHECK(!thread_create(&makers[i], NULL, maker, NULL));
	for (unsigned round = 0; round < 6; round++) {
		host_compute(draw(300 * US));
		if (draw(2))
			sleep_for(draw(300 * US));
		CHECK(!ext_load(draw(2) ? &plain_ops : &keeping_ops));
		host_each_thread(has_a_policy, NULL);
		host_compute(draw(300 * US));
		sleep_for(draw(300 * US));
		CHECK(!ext_unload());
	}
	stop = true;
	for (unsigned i = 0; i < ARRAY_SIZE(makers); i++)
		CHECK(!thread_join(makers[i], NULL));
}

static s32 disallowing_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	p->scx.disallow = args->fork;
	return 0;
}

/* The policy ends while the thread is being made. */
static void disallowed_first(void *arg)
{
	static struct sched_ext_ops ops = { .name = "disallows",
					    .init_task = disallowing_init_task };
	struct thread *t;

	(void)arg;
	for (unsigned i = 0; i < 5; i++) {
		CHECK(!ext_load(&ops));
		CHECK(!thread_create(&t, NULL, short_lived, NULL));
		CHECK(!thread_join(t, NULL));
		ext_wait_unloaded();
	}
}

static void threads_come(void **state)
{
	(void)state;
	run(coming_first, 1, 4, 60);
	run(disallowed_first, 1, 2, 10);
}

/* ---- dumps of a policy that goes on ----------------------------------------------------------- */

static void saying_dump_task(struct scx_dump_ctx *ctx, struct task_struct *p)
{
	(void)ctx;
	for (unsigned i = (unsigned)draw(200); i; i--)
		arch_cpu_relax();
	scx_bpf_dump("%s is kept\n", p->comm);
}

static void *dumper(void *arg)
{
	struct ext_dump_text text;

	for (unsigned i = 0; i < 10; i++) {
		CHECK(!ext_dump_now(&text));
		ext_dump_free(&text);
		sleep_for(draw(MS));
	}
	return arg;
}

/* The one that has a thread for the dump is a thread of the policy itself. */
static void dumping_first(void *arg)
{
	struct sched_ext_ops ops = keeper_ops;
	struct thread *t;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	ops.dump_task = saying_dump_task;
	CHECK(!ext_load(&ops));
	CHECK(!thread_create(&t, NULL, dumper, NULL));
	CHECK(!thread_join(t, NULL));
	everybody_goes_on();
	CHECK(!ext.exit_kind && !ext_unload());
	join_workers();
}

static void dumped_while_it_goes_on(void **state)
{
	(void)state;
	run(dumping_first, 1, 3, 5);
}

/* ---- shadow mode ----------------------------------------------------------------------------- */

static struct sched_ext_ops shadow_ops;

static void becomes(const struct sched_ext_ops *ops, const char *name)
{
	shadow_ops = *ops;
	strcpy(shadow_ops.name, name);
}

/* What is decided the same is counted as the same, from the first thread on. */
static void twin(void)
{
	struct ext_shadow_counts c;

	CHECK(!ext_load(&nothing_ops));
	becomes(&nothing_ops, "twin");
	CHECK(!ext_shadow(&shadow_ops));
	CHECK(ext_shadow(&shadow_ops) == -EBUSY && ext_shadow_is_on());
	make_workers();
	live_for_a_while();
	everybody_goes_on();
	join_workers();
	CHECK(!strcmp(ext_shadow_counts(&c), "twin"));
	CHECK(!ext_shadow_end() && ext_shadow_end() == -ENOENT && !ext_shadow_is_on());
	CHECK(!strcmp(ext_shadow_counts(&c), "twin"));
	CHECK(c.events > 100 && !c.lost && c.next_same > 20);
	CHECK(cpu_count > 1 || !(c.cpu_other + c.next_other + c.next_none + c.next_some +
				 c.slice_shorter + c.slice_longer));
	CHECK(c.next_same > 5 * (c.next_other + c.next_none + c.next_some));
	CHECK(c.cpu_same >= 5 * c.cpu_other);
	CHECK(!ext_unload());
}

static void last_first_enqueue(struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert(p, SHARED, MS, flags | SCX_ENQ_HEAD);
}

static const struct sched_ext_ops last_first_ops = { .name = "last_first",
						     TOLD,
						     .init = vtime_init,
						     .enqueue = last_first_enqueue,
						     .dispatch = vtime_dispatch };

/* Another order is seen, and changes nothing. */
static void another_order(void)
{
	struct ext_shadow_counts c;

	make_workers();
	CHECK(!ext_load(&nothing_ops));
	becomes(&last_first_ops, "last_first");
	CHECK(!ext_shadow(&shadow_ops));
	live_for_a_while();
	everybody_goes_on();
	ext_shadow_counts(&c);
	CHECK(c.next_other + c.slice_shorter > 0);
	CHECK(ext.ops == &nothing_ops && !ext.exit_kind);
	CHECK(!ext_swap(&vtime_ops) && !ext_shadow_is_on());
	CHECK(!ext_shadow(&nothing_ops));
	live_for_a_while();
	CHECK(!ext_unload() && !ext_shadow_is_on());
	CHECK(ext_shadow(&nothing_ops) == -ENOENT);
	join_workers();
}

static s32 nowhere_select_cpu(struct task_struct *p, s32 prev, u64 flags)
{
	(void)p;
	(void)prev;
	(void)flags;
	return 99;
}

static void to_nowhere_enqueue(struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert(p, 4711, MS, flags);
}

static void ends_by_itself(void)
{
	for (unsigned i = 0; i < 100 && ext_shadow_is_on(); i++)
		sleep_for(MS);
	CHECK(!ext_shadow_is_on() && ext.ops == &nothing_ops && !ext.exit_kind);
}

/* Errors of a candidate are its own. */
static void erring_shadow(void)
{
	make_workers();
	CHECK(!ext_load(&nothing_ops));
	CHECK(ext_shadow(&nothing_ops) == -EEXIST);
	shadow_ops = (struct sched_ext_ops){ .name = "init", .init = failing_init };
	CHECK(ext_shadow(&shadow_ops) == -ENODEV);
	shadow_ops = (struct sched_ext_ops){ .name = "erring", .init = erring_init };
	CHECK(ext_shadow(&shadow_ops) == -ECANCELED);
	shadow_ops = (struct sched_ext_ops){ .name = "init_task", .init_task = failing_init_task };
	CHECK(!ext_shadow(&shadow_ops));
	ends_by_itself();
	shadow_ops = (struct sched_ext_ops){ .name = "queue", .enqueue = to_nowhere_enqueue };
	CHECK(!ext_shadow(&shadow_ops));
	ends_by_itself();
	if (cpu_count > 1) {
		shadow_ops =
			(struct sched_ext_ops){ .name = "cpu", .select_cpu = nowhere_select_cpu };
		CHECK(!ext_shadow(&shadow_ops));
		ends_by_itself();
	}
	everybody_goes_on();
	CHECK(!ext_unload());
	join_workers();
}

static void shadow_first(void *arg)
{
	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	switch (draw(3)) {
	case 0:
		return twin();
	case 1:
		return another_order();
	case 2:
		return erring_shadow();
	}
}

static void in_the_shadow(void **state)
{
	(void)state;
	run(shadow_first, 1, 4, 40);
}

static void one_for_another(void **state)
{
	(void)state;
	run(making_first, 1, 3, 4);
	run(swap_first, 1, 4, 8);
}

static enum scx_exit_kind exit_kind;
static char exit_msg[200];

static void note_exit(struct scx_exit_info *info)
{
	exit_kind = info->kind;
	snprintf(exit_msg, sizeof(exit_msg), "%s", info->msg);
}

/* ---- CPUs leave and come ---------------------------------------------------------------------- */

static unsigned nr_told[2]; /* by online */

static void told_online(s32 cpu)
{
	CHECK(cpu > 0);
	nr_told[1]++;
}

static void told_offline(s32 cpu)
{
	CHECK(cpu > 0 && cpumask_test(&cpu_online_mask, (unsigned)cpu));
	nr_told[0]++;
}

static void leave_and_come(struct sched_ext_ops *ops)
{
	for (unsigned cpu = 1; cpu < cpu_count; cpu++) {
		CHECK(!cpu_offline(cpu));
		sleep_for(draw(5 * MS));
		CHECK(ext.ops == ops);
		CHECK(!cpu_online(cpu));
		sleep_for(draw(5 * MS));
		CHECK(ext.ops == ops);
	}
}

/* One that is told goes on; one that does not want to hear of it is restarted. */
static void hotplug_first(void *arg)
{
	static struct sched_ext_ops *const all[] = { &nothing_ops, &vtime_ops, &keeper_ops,
						     &elsewhere_ops };
	static struct sched_ext_ops ops;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	ops = *all[draw(ARRAY_SIZE(all))];
	ops.exit = note_exit;
	exit_kind = SCX_EXIT_NONE;
	CHECK(!ext_load(&ops));
	CHECK(!cpu_offline(cpu_count - 1));
	CHECK(!cpu_online(cpu_count - 1));
	sleep_for(5 * MS);
	CHECK(exit_kind == SCX_EXIT_UNREG_KERN && strstr(exit_msg, "cpu "));
	CHECK(ext.ops == &ops);
	CHECK(!ext_unload());

	ops.cpu_online = told_online;
	ops.cpu_offline = told_offline;
	nr_told[0] = nr_told[1] = 0;
	CHECK(!ext_load(&ops));
	leave_and_come(&ops);
	leave_and_come(&ops);
	CHECK(nr_told[0] == 2 * (cpu_count - 1) && nr_told[1] == nr_told[0]);
	everybody_goes_on();
	CHECK(!ext_unload());
	join_workers();
}

static void cpus_leave_and_come(void **state)
{
	(void)state;
	run(hotplug_first, 2, 4, 6);
}

/* ---- one that is worse goes ------------------------------------------------------------------ */

#define WINDOW (200 * MS)

static uint64_t tired_ns; /* when its slices become long, and its order that of arrival */

static s32 tired_init(void)
{
	tired_ns = time_now_ns() + 2000 * MS;
	vtime_now = 0;
	return scx_bpf_create_dsq(SHARED, -1);
}

static void tired_enqueue(struct task_struct *p, u64 flags)
{
	if (scx_bpf_now() < tired_ns)
		vtime_enqueue(p, flags);
	else
		scx_bpf_dsq_insert_vtime(p, SHARED, 40 * MS, scx_bpf_now(), flags);
}

static struct sched_ext_ops tired_ops = {
	.name = "tired",
	TOLD,
	.init = tired_init,
	.enqueue = tired_enqueue,
	.dispatch = vtime_dispatch,
	.running = vtime_running,
	.stopping = vtime_stopping,
	.enable = vtime_enable,
};

static void *hog(void *arg)
{
	while (!stop)
		host_compute(MS);
	return arg;
}

static void *ticker(void *arg)
{
	while (!stop) {
		sleep_for(5 * MS);
		host_compute(100 * US);
	}
	return arg;
}

/* It does as well as the one before for two seconds, and then it does not. */
static void worse_first(void *arg)
{
	struct ext_watch w = { .window_ns = WINDOW,
			       .percent = 150,
			       .what = EXT_WATCH_LATENCY | EXT_WATCH_THROUGHPUT };
	struct thread *t[12];
	struct ext_figures f;

	(void)arg;
	stop = false;
	memset(told, 0, sizeof(told));
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	CHECK(!ext_load(&vtime_ops));
	w.percent = 100;
	CHECK(ext_watch(&w) == -EINVAL);
	w.percent = 150;
	CHECK(!ext_watch(&w));
	CHECK(!ext_watch_figures(&f));
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK(!thread_create(&t[i], NULL, i < 6 ? hog : ticker, NULL));
	sleep_for(3 * WINDOW);
	CHECK(ext_watch_figures(&f) && f.wakes > 100 && f.served > 100 && f.p99_ns > MS / 10);
	CHECK(!ext_swap(&tired_ops));
	sleep_for(tired_ns - time_now_ns());
	CHECK(ext.ops == &tired_ops);
	sleep_for(2 * WINDOW + 10 * MS);
	CHECK(ext.ops == &vtime_ops);
	sleep_for(2 * WINDOW);
	CHECK(ext.ops == &vtime_ops);
	w.window_ns = 0;
	CHECK(!ext_watch(&w));
	CHECK(!ext_unload());
	stop = true;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		CHECK(!thread_join(t[i], NULL));
}

static void worse_is_rolled_back(void **state)
{
	(void)state;
	run(worse_first, 1, 2, 1);
}

/* ---- mistakes that end a policy -------------------------------------------------------------- */

static void forget_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	if (draw(4))
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
}

static s32 bad_cpu_select_cpu(struct task_struct *p, s32 prev_cpu, u64 flags)
{
	(void)p;
	(void)flags;
	return draw(20) ? prev_cpu : 4711;
}

static void bad_queue_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, draw(20) ? SCX_DSQ_GLOBAL : 99, MS, 0);
}

static void twice_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
	if (!draw(20))
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
}

static struct task_struct *other_thread;

static void other_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	if (other_thread && other_thread != p && !draw(20))
		p = other_thread;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
	other_thread = p;
}

static void no_thread_enqueue(struct task_struct *p, u64 flags)
{
	static char nothing[1024] __attribute__((aligned(64)));

	(void)flags;
	scx_bpf_dsq_insert(draw(20) ? p : (void *)nothing, SCX_DSQ_GLOBAL, MS, 0);
}

static void mixed_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	if (draw(2))
		scx_bpf_dsq_insert_vtime(p, SHARED, MS, 0, 0);
	else
		scx_bpf_dsq_insert(p, SHARED, MS, 0);
}

static void builtin_vtime_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert_vtime(p, SCX_DSQ_LOCAL, MS, 0, 0);
}

static void says_so_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
	if (!draw(20))
		scx_bpf_error("had enough at %d", 42);
}

static void ends_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
	if (!draw(20))
		scx_bpf_exit(7, "done");
}

static void overflow_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	for (int i = 0; prev && i < 4; i++)
		scx_bpf_dsq_insert(prev, SCX_DSQ_GLOBAL, MS, 0);
}

static void kick_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	(void)prev;
	scx_bpf_kick_cpu(0, SCX_KICK_IDLE | SCX_KICK_PREEMPT);
}

static void destroy_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	(void)prev;
	if (scx_bpf_dsq_nr_queued(SHARED) > 0)
		scx_bpf_destroy_dsq(SHARED);
	scx_bpf_dsq_move_to_local(SHARED);
}

static void shared_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, SHARED, MS, 0);
}

/* The machine's time goes on only where something is done. */
static void endless_enqueue(struct task_struct *p, u64 flags)
{
	(void)flags;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, MS, 0);
	while (!draw(20))
		for (;;)
			arch_sync_point();
}

static void endless_helpers_dispatch(s32 cpu, struct task_struct *prev)
{
	(void)cpu;
	(void)prev;
	for (;;)
		scx_bpf_dsq_nr_queued(SCX_DSQ_GLOBAL);
}

static void assert_stopping(struct task_struct *p, bool runnable)
{
	(void)p;
	(void)runnable;
	ASSERT(draw(20));
}

static const struct mistake {
	struct sched_ext_ops ops;
	enum scx_exit_kind kind;
	const char *msg; /* is in what it says */
} mistakes[] = {
	{ { .name = "forget", .enqueue = forget_enqueue, .timeout_ms = 50 },
	  SCX_EXIT_ERROR_STALL,
	  "failed to run for" },
	{ { .name = "bad_cpu", .select_cpu = bad_cpu_select_cpu },
	  SCX_EXIT_ERROR,
	  "returned cpu 4711" },
	{ { .name = "bad_queue", .enqueue = bad_queue_enqueue },
	  SCX_EXIT_ERROR,
	  "no dispatch queue 0x63" },
	{ { .name = "twice", .enqueue = twice_enqueue }, SCX_EXIT_ERROR, "inserted twice" },
	{ { .name = "other", .enqueue = other_enqueue },
	  SCX_EXIT_ERROR,
	  "is not the one asked for" },
	{ { .name = "no_thread", .enqueue = no_thread_enqueue }, SCX_EXIT_ERROR, "is no thread" },
	{ { .name = "mixed",
	    .enqueue = mixed_enqueue,
	    .dispatch = vtime_dispatch,
	    .init = vtime_init },
	  SCX_EXIT_ERROR,
	  "both by vtime and by arrival" },
	{ { .name = "builtin_vtime", .enqueue = builtin_vtime_enqueue },
	  SCX_EXIT_ERROR,
	  "not ordered by vtime" },
	{ { .name = "says_so", .enqueue = says_so_enqueue },
	  SCX_EXIT_ERROR_BPF,
	  "had enough at 42" },
	{ { .name = "ends", .enqueue = ends_enqueue }, SCX_EXIT_UNREG_BPF, "done" },
	{ { .name = "overflow", .dispatch = overflow_dispatch, .dispatch_max_batch = 3 },
	  SCX_EXIT_ERROR,
	  "buffer full" },
	{ { .name = "kick", .dispatch = kick_dispatch }, SCX_EXIT_ERROR, "IDLE with another" },
	{ { .name = "endless", .enqueue = endless_enqueue },
	  SCX_EXIT_ERROR,
	  "enqueue() used up its 200 us" },
	{ { .name = "endless_helpers", .dispatch = endless_helpers_dispatch },
	  SCX_EXIT_ERROR,
	  "dispatch() used up its 200 us" },
	{ { .name = "assert", .stopping = assert_stopping },
	  SCX_EXIT_ERROR,
	  "stopping(): panic: assertion failed: draw(20)" },
	{ { .name = "destroy",
	    .enqueue = shared_enqueue,
	    .dispatch = destroy_dispatch,
	    .init = vtime_init },
	  SCX_EXIT_ERROR,
	  "threads are in it" },
};

static const struct mistake *the_mistake;

/* Whatever it does, everybody goes on, and the next policy is welcome. */
static void mistake_first(void *arg)
{
	static struct sched_ext_ops ops;

	(void)arg;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	make_workers();
	ops = the_mistake->ops;
	ops.exit = note_exit;
	exit_kind = SCX_EXIT_NONE;
	other_thread = NULL;
	CHECK(!ext_load(&ops));
	ext_wait_unloaded();
	CHECK(exit_kind == the_mistake->kind);
	CHECK(strstr(exit_msg, the_mistake->msg));
	everybody_goes_on();
	CHECK(!ext_load(&nothing_ops));
	everybody_goes_on();
	CHECK(!ext_unload());
	join_workers();
}

static void mistakes_end_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(mistakes); i++) {
		the_mistake = &mistakes[i];
		run(mistake_first, the_mistake->ops.select_cpu ? 2 : 1, 3, 2);
	}
}

/* ---- tables that are refused ----------------------------------------------------------------- */

static void refused_first(void *arg)
{
	static struct sched_ext_ops ops;

	(void)arg;
	make_workers();
	ops = (struct sched_ext_ops){ .name = "" };
	CHECK(ext_load(&ops) == -EINVAL);
	ops = (struct sched_ext_ops){ .name = "flags", .flags = 1ull << 40 };
	CHECK(ext_load(&ops) == -EINVAL);
	ops = (struct sched_ext_ops){ .name = "timeout", .timeout_ms = 30001 };
	CHECK(ext_load(&ops) == -EINVAL);
	ops = (struct sched_ext_ops){ .name = "batch", .dispatch_max_batch = 65 };
	CHECK(ext_load(&ops) == -EINVAL);
	ops = (struct sched_ext_ops){ .name = "init", .init = failing_init };
	CHECK(ext_load(&ops) == -ENODEV);
	ops = (struct sched_ext_ops){ .name = "init_task", .init_task = failing_init_task };
	CHECK(ext_load(&ops) == -ENOMEM);
	CHECK(!ext.ops);
	CHECK(!ext_load(&nothing_ops));
	ops = (struct sched_ext_ops){ .name = "second" };
	CHECK(ext_load(&ops) == -EBUSY);
	CHECK(ext.ops == &nothing_ops);
	CHECK(!ext_unload());
	join_workers();
}

static void refused(void **state)
{
	(void)state;
	run(refused_first, 1, 2, 3);
}

static void nothing_first(void *arg)
{
	(void)arg;
	load_policy_and_live(&nothing_ops);
}

static void vtime_first(void *arg)
{
	(void)arg;
	load_policy_and_live(&vtime_ops);
}

static void keeper_first(void *arg)
{
	(void)arg;
	load_policy_and_live(&keeper_ops);
}

static void elsewhere_first(void *arg)
{
	(void)arg;
	load_policy_and_live(&elsewhere_ops);
}

static s32 to_cpu_0(struct task_struct *p, s32 prev_cpu, u64 flags)
{
	(void)p;
	(void)prev_cpu;
	(void)flags;
	return 0;
}

/* From CPU 0, when its turn there is over, to CPU 1. */
static void sent_enqueue(struct task_struct *p, u64 flags)
{
	bool woken = flags & SCX_ENQ_WAKEUP;

	scx_bpf_dsq_insert(p, woken ? SCX_DSQ_LOCAL_ON : SCX_DSQ_LOCAL_ON | 1, 100 * MS, 0);
}

static void *yields_once(void *arg)
{
	uint64_t begin_ns = time_now_ns();

	sched_yield_current();
	CHECK(time_now_ns() - begin_ns < MS / 20);
	return arg;
}

/* CPU 1 is idle when the thread is sent there, and nothing is left on CPU 0: it is told. */
static void sent_first(void *arg)
{
	static struct sched_ext_ops ops;
	struct thread *t;

	(void)arg;
	ops = (struct sched_ext_ops){ .name = "sent",
				      .select_cpu = to_cpu_0,
				      .enqueue = sent_enqueue,
				      .flags = SCX_OPS_ENQ_LAST };
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	CHECK(!ext_load(&ops));
	CHECK(!thread_create(&t, &(struct thread_attr){ .affinity = &cpu_online_mask }, yields_once,
			     NULL));
	CHECK(!thread_join(t, NULL));
	CHECK(!ext_unload());
}

static void sent_to_other_cpus(void **state)
{
	(void)state;
	run(sent_first, 2, 4, 5);
	run(elsewhere_first, 1, 4, 5);
}

static void defaults_alone(void **state)
{
	(void)state;
	run(nothing_first, 1, 4, 10);
}

static void one_queue_by_vtime(void **state)
{
	(void)state;
	run(vtime_first, 1, 4, 10);
}

static void threads_kept_by_the_policy(void **state)
{
	(void)state;
	run(keeper_first, 1, 4, 10);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_alone),
		cmocka_unit_test(one_queue_by_vtime),
		cmocka_unit_test(threads_kept_by_the_policy),
		cmocka_unit_test(sent_to_other_cpus),
		cmocka_unit_test(one_for_another),
		cmocka_unit_test(in_the_shadow),
		cmocka_unit_test(threads_come),
		cmocka_unit_test(dumped_while_it_goes_on),
		cmocka_unit_test(cpus_leave_and_come),
		cmocka_unit_test(worse_is_rolled_back),
		cmocka_unit_test(mistakes_end_it),
		cmocka_unit_test(refused),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
