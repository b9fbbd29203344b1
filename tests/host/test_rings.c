/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scheduler that is a thread, on 1..4 virtual CPUs, by seed: under a load that does everything a
 * thread can do every thread goes on, no decision takes longer than the bound, however slow the
 * scheduler is, and what it does wrong is void or ends the policy.
 *
 * FAIRLEAD_VERDICTS=1000000 makes the first test as long as that.
 *
 * Sources: tests/host/host_ext.c tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing -Wno-override-init
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/sync.h"
#include "core/topology.h"
#include "sched/ext/rings.h"
#include "tests/host/host_ext.h"
#include "tests/host/host_seeds.h"

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

/* ---- where the framework and the rings have their threads ------------------------------------- */

static struct ext_task *task_at(struct list_head *pos)
{
	return container_of(pos, struct ext_task, all);
}

/* The counts of @s are those of the slots. */
static void check_rings(const struct thread_sched *s)
{
	unsigned waiting = 0, scheduled = 0;

	list_for_each(pos, &ext.tasks) {
		const struct ring_slot *slot = task_at(pos)->thread_sched;

		if (!slot || slot->s != s)
			continue;
		waiting += slot->where == RING_WAITING;
		scheduled += slot->where == RING_DECIDED || slot->where == RING_PROMOTED;
	}
	CHECK(waiting == s->nr_waiting);
	CHECK(scheduled == s->nr_scheduled);
}

static unsigned check(struct runqueue *rq)
{
	const struct thread_sched *s = ring_cpus[cpu_of_rq(rq)->index].s;

	if (ext.ops && !ext.bypass && s && !s->lock.word)
		check_rings(s);
	return check_ext(rq);
}

static const struct topology_cpu two_clusters[] = {
	{ .core = 0, .capacity = 1024 },
	{ .core = 1, .capacity = 1024 },
	{ .core = 2, .cluster = 1, .cache = 1, .capacity = 1024 },
	{ .core = 3, .cluster = 1, .cache = 1, .capacity = 1024 },
};

static void run_on(void (*first)(void *), unsigned from, unsigned to, unsigned seeds,
		   const struct topology_cpu *topo)
{
	struct scenario s = { .first = first,
			      .cpus_from = from,
			      .cpus_to = to,
			      .seeds = seeds,
			      .topology = topo,
			      .steps_max = 2000000000 };

	check_class = check;
	ext_budget_us = 200;
	check_conservation = false;
	run_seeds(&s);
}

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	run_on(first, from, to, seeds, NULL);
}

/* ---- the scheduler ---------------------------------------------------------------------------- */

static struct thread_sched_options options;
static uint64_t loaded_ns;
static void (*before_each)(struct thread_sched *s, struct thread_sched_verdict *v);

static void by_vtime(struct thread_sched *s)
{
	struct thread_sched_event e;
	uint64_t now = 0;

	while (!thread_sched_exited(s)) {
		while (thread_sched_dequeue(s, &e)) {
			struct thread_sched_verdict v = { .handle = e.handle,
							  .wait = e.wait,
							  .cpu = THREAD_SCHED_ANY_CPU };

			CHECK(e.weight && e.nr_cpus && e.cpu < cpu_count);
			CHECK(e.used_ns <= time_now_ns() - loaded_ns);
			v.vtime = (int64_t)(e.vtime - now) < 0 ? now : e.vtime;
			now = e.used_ns && (int64_t)(now - e.vtime) < 0 ? e.vtime : now;
			v.vtime += e.used_ns * 100 / e.weight;
			if (before_each)
				before_each(s, &v);
			CHECK(!thread_sched_dispatch(s, &v));
		}
		thread_sched_complete(s, 0);
	}
}

static s32 rings_init(void)
{
	uint64_t at_ns = time_now_ns();
	s32 err = thread_sched_begin(&options);

	loaded_ns = err ? loaded_ns : at_ns;
	return err;
}

static enum scx_exit_kind exit_kind;
static char exit_msg[200];

static void rings_exit(struct scx_exit_info *info)
{
	exit_kind = info->kind;
	snprintf(exit_msg, sizeof(exit_msg), "%s", info->msg);
	thread_sched_on_exit(info);
}

static struct sched_ext_ops rings_ops = {
	.name = "rings", THREAD_SCHED_OPS, .init = rings_init, .exit = rings_exit
};

/* ---- the load --------------------------------------------------------------------------------- */

#define THREADS 60
static struct thread *threads[THREADS];
static uint64_t progress[THREADS];
static unsigned nr_threads;
static bool stop;
static struct mutex mutex = MUTEX_INIT;
static struct semaphore sem;

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void do_something(void)
{
	switch (draw(6)) {
	case 0:
		sleep_for(draw(100 * US));
		break;
	case 1:
		sched_yield_current();
		break;
	case 2:
		mutex_lock(&mutex);
		host_compute(draw(20 * US));
		mutex_unlock(&mutex);
		break;
	case 3:
		semaphore_post(&sem);
		break;
	case 4:
		semaphore_wait_until(&sem, time_now_ns() + draw(100 * US));
		break;
	default:
		host_compute(draw(100 * US));
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
	host_compute(draw(50 * US));
	return arg;
}

static void make_workers(unsigned n)
{
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 50, 0));
	stop = false;
	nr_threads = n;
	semaphore_init(&sem, 0);
	for (uintptr_t i = 0; i < n; i++) {
		struct thread_attr attr = { .name = "worker", .nice = (int8_t)((int)draw(8) - 4) };

		CHECK(!thread_create(&threads[i], &attr, worker, (void *)i));
	}
}

static void join_workers(void)
{
	stop = true;
	for (unsigned i = 0; i < nr_threads; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void disturb(void)
{
	struct thread *t = threads[draw(nr_threads)], *other;
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
		CHECK(!sched_set_policy(t, SCHED_FIFO, 2 + (int)draw(5), 0));
		sleep_for(draw(300 * US));
		CHECK(!sched_set_policy(t, SCHED_OTHER, 0, 0));
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
	sleep_for((nr_threads > 10 ? 100 : 40) * MS);
	for (unsigned i = 0; i < nr_threads; i++)
		CHECK(progress[i] != before[i]);
}

/* ---- it schedules ----------------------------------------------------------------------------- */

/* Under LOCK_DEBUG time goes by within the framework, too: there is room for that. */
static void set_options(uint32_t placement)
{
	options = (struct thread_sched_options){ .run = by_vtime,
						 .bound_ns = 2 * MS,
						 .slice_ns = MS,
						 .wake_ns = draw(2) ? draw(MS) : 0,
						 .placement = placement,
						 .priority = 1 + (uint32_t)draw(60),
						 .cpu = (uint32_t)draw(cpu_count) };
	before_each = NULL;
}

static struct thread_sched_counters now(void)
{
	struct thread_sched_counters c;

	thread_sched_counters(&c);
	return c;
}

static void live(uint64_t verdicts)
{
	while (now().verdicts < verdicts) {
		sleep_for(draw(MS));
		disturb();
		CHECK(!ext.exit_kind);
	}
}

static uint64_t verdicts_wanted(void)
{
	const char *n = getenv("FAIRLEAD_VERDICTS");

	return n ? strtoull(n, NULL, 10) : 1500;
}

static void schedules_first(void *arg)
{
	struct thread_sched_counters c;

	(void)arg;
	set_options((uint32_t)draw(3));
	options.priority = 60; /* else the test's own thread may keep it from deciding */
	make_workers(10);
	for (int round = 0; round < 2; round++) {
		CHECK(!ext_load(&rings_ops));
		live(round ? 200 : verdicts_wanted());
		everybody_goes_on();
		CHECK(!ext_unload());
		CHECK(exit_kind == SCX_EXIT_UNREG);
		c = now();
		CHECK(!c.late && c.age_max_ns <= options.bound_ns && !c.failed);
		CHECK(!c.waiting && !c.scheduled && c.activations);
	}
	if (getenv("FAIRLEAD_VERDICTS"))
		printf("%u CPUs: oldest decision %llu ns, %llu promoted\n", cpu_count,
		       (unsigned long long)c.age_max_ns, (unsigned long long)c.promoted);
	everybody_goes_on();
	join_workers();
}

static void it_schedules(void **state)
{
	(void)state;
	run(schedules_first, 1, 4, getenv("FAIRLEAD_VERDICTS") ? 1 : 3);
}

static void one_for_each_cluster(void **state)
{
	(void)state;
	run_on(schedules_first, 4, 4, 3, two_clusters);
}

/* ---- it is slow, or wrong --------------------------------------------------------------------- */

static void slow(struct thread_sched *s, struct thread_sched_verdict *v)
{
	(void)s;
	(void)v;
	host_compute(draw(3 * MS));
}

static void slow_first(void *arg)
{
	(void)arg;
	set_options(THREAD_SCHED_FLOATING);
	before_each = slow;
	make_workers(8);
	CHECK(!ext_load(&rings_ops));
	while (now().promoted < 100)
		sleep_for(MS);
	CHECK(now().cancelled); /* what was promoted meanwhile */
	CHECK(!ext.exit_kind);
	CHECK(!ext_unload());
	CHECK(!now().late);
	everybody_goes_on();
	join_workers();
}

static void a_slow_one_is_no_danger(void **state)
{
	(void)state;
	run(slow_first, 2, 4, 3);
}

static void void_ones(struct thread_sched *s, struct thread_sched_verdict *v)
{
	struct thread_sched_verdict wrong = *v;

	wrong.cpu = (int32_t)cpu_count;
	CHECK(thread_sched_dispatch(s, &wrong) == -EINVAL);
	wrong.cpu = -2;
	CHECK(thread_sched_dispatch(s, &wrong) == -EINVAL);
	wrong.cpu = -1;
	wrong.flags = THREAD_SCHED_PREEMPT;
	CHECK(thread_sched_dispatch(s, &wrong) == -EINVAL);
	wrong.flags = 0;
	wrong.wait--;
	CHECK(!thread_sched_dispatch(s, &wrong));
	wrong.wait++;
	wrong.handle ^= 1ull << (32 + draw(10));
	CHECK(!thread_sched_dispatch(s, &wrong));
	wrong.handle = draw(1ull << 60) << 4 | 0xfffffff;
	CHECK(!thread_sched_dispatch(s, &wrong));
	v->cpu = (int32_t)draw(cpu_count + 1) - 1;
	v->flags = v->cpu >= 0 && !draw(4) ? THREAD_SCHED_PREEMPT : 0;
	if (!draw(20))
		return;
	CHECK(!thread_sched_dispatch(s, v)); /* and a second time */
}

static void wrong_first(void *arg)
{
	struct thread_sched_counters c;
	struct cpumask one = { 0 };

	(void)arg;
	set_options(THREAD_SCHED_FLOATING);
	options.priority = 60;
	options.entries = 16;
	before_each = void_ones;
	make_workers(THREADS);
	CHECK(!ext_load(&rings_ops));
	cpumask_set(&one, 0);
	for (unsigned i = 0; i < THREADS / 2; i++)
		CHECK(!thread_set_affinity(threads[i], &one)); /* verdicts name other CPUs */
	live(1000);
	everybody_goes_on();
	CHECK(!ext_unload());
	c = now();
	CHECK(exit_kind == SCX_EXIT_UNREG);
	CHECK(c.cancelled >= 2000 && c.failed >= 1000 && c.congested && c.ring_max == 16);
	CHECK(cpu_count == 1 || c.bounced);
	CHECK(!c.late);
	join_workers();
}

static void void_verdicts_are_counted(void **state)
{
	(void)state;
	run(wrong_first, 1, 4, 2);
}

/* ---- it ends ---------------------------------------------------------------------------------- */

static bool let_go;
static struct semaphore never;

static void loops(struct thread_sched *s)
{
	(void)s;
	while (!let_go)
		host_compute(10 * US);
}

static void blocks(struct thread_sched *s)
{
	(void)s;
	semaphore_wait(&never);
}

static void returns(struct thread_sched *s)
{
	(void)s;
}

static void asserts(struct thread_sched *s)
{
	ASSERT(thread_sched_exited(s));
}

static const struct end {
	void (*run)(struct thread_sched *s);
	enum scx_exit_kind kind;
	const char *msg;
	bool stays;
} ends[] = {
	{ loops, SCX_EXIT_ERROR_STALL, "decided nothing for", true },
	{ blocks, SCX_EXIT_ERROR_STALL, "decided nothing for", true },
	{ returns, SCX_EXIT_ERROR, "] returned", false },
	{ asserts, SCX_EXIT_ERROR, "panic: assertion failed", false },
};
static const struct end *the_end;

static void end_first(void *arg)
{
	(void)arg;
	let_go = false;
	semaphore_init(&never, 0);
	make_workers(6);
	set_options(THREAD_SCHED_FLOATING);
	options.run = the_end->run;
	options.stall_ns = 20 * MS;
	exit_kind = SCX_EXIT_NONE;
	CHECK(!ext_load(&rings_ops));
	ext_wait_unloaded();
	CHECK(exit_kind == the_end->kind);
	CHECK(strstr(exit_msg, the_end->msg));
	everybody_goes_on();
	options.run = by_vtime;
	if (the_end->stays)
		CHECK(ext_load(&rings_ops) == -EBUSY);
	let_go = true;
	semaphore_post(&never);
	sleep_for(500 * MS); /* as SCHED_IDLE it takes a while */
	CHECK(!ext_load(&rings_ops));
	everybody_goes_on();
	CHECK(!ext_unload());
	CHECK(exit_kind == SCX_EXIT_UNREG);
	join_workers();
}

static void its_end_is_the_policys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		the_end = &ends[i];
		run(end_first, 1, 2, 1);
	}
}

/* ---- one in place of another ------------------------------------------------------------------ */

static void swap_first(void *arg)
{
	static struct sched_ext_ops other = { .name = "other" };
	static struct sched_ext_ops second;

	(void)arg;
	second = rings_ops;
	strcpy(second.name, "second");
	set_options(THREAD_SCHED_FLOATING);
	options.priority = 60;
	make_workers(8);
	CHECK(!ext_load(&other));
	for (int round = 0; round < 3; round++) {
		CHECK(!ext_swap(&rings_ops));
		live(100);
		CHECK(ext_swap(&second) == -EBUSY);
		everybody_goes_on();
		CHECK(ext.ops == &rings_ops && !ext.exit_kind);
		CHECK(!ext_swap(&other));
		everybody_goes_on();
	}
	CHECK(!ext_unload());
	CHECK(!now().late);
	join_workers();
}

static void one_takes_over_from_another(void **state)
{
	(void)state;
	run(swap_first, 1, 3, 2);
}

/* ---- options that are refused ------------------------------------------------------------------ */

static void refused_first(void *arg)
{
	const struct thread_sched_options wrong[] = {
		{ .run = NULL },
		{ .run = by_vtime, .bound_ns = 99 * US },
		{ .run = by_vtime, .bound_ns = 2 * NSEC_PER_SEC },
		{ .run = by_vtime, .stall_ns = MS },
		{ .run = by_vtime, .bound_ns = MS, .wake_ns = 501 * US },
		{ .run = by_vtime, .placement = 3 },
		{ .run = by_vtime, .placement = THREAD_SCHED_PINNED, .cpu = cpu_count },
		{ .run = by_vtime, .priority = 99 },
		{ .run = by_vtime, .entries = 100 },
		{ .run = by_vtime, .entries = 8 },
	};

	(void)arg;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		options = wrong[i];
		CHECK(ext_load(&rings_ops) == -EINVAL);
	}
	CHECK(!ext.ops);
}

static void wrong_options_are_refused(void **state)
{
	(void)state;
	run(refused_first, 1, 2, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_schedules),
		cmocka_unit_test(one_for_each_cluster),
		cmocka_unit_test(a_slow_one_is_no_danger),
		cmocka_unit_test(void_verdicts_are_counted),
		cmocka_unit_test(its_end_is_the_policys),
		cmocka_unit_test(one_takes_over_from_another),
		cmocka_unit_test(wrong_options_are_refused),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
