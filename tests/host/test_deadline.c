/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_DEADLINE on 1..4 virtual CPUs, by seed: deadlines of random sets that fill a CPU, threads
 * that never stop, the rules of the server (wake-up, D < P, yield, change of parameters), who is
 * admitted, where threads run on several CPUs, and everything at once. host_check.c looks at the
 * invariants of every queue all the while.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
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
#include "sched/deadline.h"
#include "sched/server.h"
#include "tests/host/host_seeds.h"

#define US    NSEC_PER_USEC
#define MS    NSEC_PER_MSEC
#define TASKS 24

/* From the end of a sleep until the scheduler has the wake-up's time. */
#define LATE_NS (3 * US)

struct task {
	struct thread *thread;
	struct semaphore go;
	uint64_t runtime_ns, deadline_ns, period_ns;
	uint64_t work_ns; /* of a job; 0: it never stops */
	uint64_t begin_ns, end_ns;
	unsigned jobs, misses, moves;
	uint64_t worst_ns;
};

static struct task tasks[TASKS];
static unsigned nr_tasks;
static volatile bool stop;

/* ---- threads --------------------------------------------------------------------------------- */

static void become(int policy, int level)
{
	CHECK(!sched_set_policy(thread_current(), policy, policy ? level : 0, policy ? 0 : level));
}

/* This thread makes the others, and none of them runs on CPU 0 before it sleeps. */
static void become_maker(void)
{
	CHECK(!sched_deadline_use());
	host_pin(thread_current(), 0);
	become(SCHED_FIFO, 99);
}

/* All that may be given away is there for threads with deadlines. */
static void without_fair_server(void)
{
	CHECK(!fair_server_set(0, 1000000));
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static int set_deadline(struct thread *t, uint64_t runtime_ns, uint64_t deadline_ns,
			uint64_t period_ns, uint64_t flags)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_flags = flags,
				      .sched_runtime = runtime_ns,
				      .sched_deadline = deadline_ns,
				      .sched_period = period_ns };
	const char *expected;

	return sched_attr_fault(&a, &expected) ? -EINVAL : sched_set_attr(t, &a);
}

static void end_job(struct task *k, uint64_t release_ns)
{
	uint64_t took_ns = time_now_ns() - release_ns;

	k->jobs++;
	k->misses += took_ns > k->deadline_ns;
	k->worst_ns = MAX(k->worst_ns, took_ns);
}

static void *task_main(void *arg)
{
	struct task *k = arg;
	unsigned cpu = ARCH_CPU_MAX;

	semaphore_wait(&k->go);
	for (uint64_t at_ns = k->begin_ns; at_ns < k->end_ns; at_ns += k->period_ns) {
		thread_sleep_until(at_ns);
		while (!k->work_ns && time_now_ns() < k->end_ns)
			host_compute(10 * US);
		host_compute(k->work_ns);
		end_job(k, at_ns);
		k->moves += cpu != ARCH_CPU_MAX && cpu != arch_cpu_self()->index;
		cpu = arch_cpu_self()->index;
	}
	return NULL;
}

/* @cpu -1: any. It waits until it may go. */
static struct task *make_on(const struct cpumask *mask, uint64_t runtime_ns, uint64_t deadline_ns,
			    uint64_t period_ns, void *(*entry)(void *))
{
	const struct thread_attr attr = { .name = "task", .affinity = mask };
	struct task *k = &tasks[nr_tasks++];

	*k = (struct task){ .runtime_ns = runtime_ns,
			    .deadline_ns = deadline_ns,
			    .period_ns = period_ns };
	semaphore_init(&k->go, 0);
	CHECK(!thread_create(&k->thread, &attr, entry, k));
	return k;
}

static struct task *make(int cpu, uint64_t runtime_ns, uint64_t deadline_ns, uint64_t period_ns,
			 void *(*entry)(void *))
{
	struct cpumask mask = { 0 };

	if (cpu < 0)
		return make_on(&cpu_online_mask, runtime_ns, deadline_ns, period_ns, entry);
	cpumask_set(&mask, (unsigned)cpu);
	return make_on(&mask, runtime_ns, deadline_ns, period_ns, entry);
}

static void admit(struct task *k)
{
	CHECK(!set_deadline(k->thread, k->runtime_ns, k->deadline_ns, k->period_ns, 0));
}

/* All at once, for so long. */
static void go_and_join(uint64_t ns)
{
	uint64_t begin_ns = time_now_ns() + MS;

	for (unsigned i = 0; i < nr_tasks; i++) {
		tasks[i].begin_ns = begin_ns + draw(tasks[i].period_ns);
		tasks[i].end_ns = begin_ns + ns;
		CHECK(!semaphore_post(&tasks[i].go));
	}
	for (unsigned i = 0; i < nr_tasks; i++)
		CHECK(!thread_join(tasks[i].thread, NULL));
}

/* ---- random sets ----------------------------------------------------------------------------- */

/* 0.5..20 ms, small ones as often as large ones. */
static uint64_t random_period(void)
{
	static const unsigned us[] = { 500, 700, 1000, 1300, 2000, 3100, 5000, 7000, 10000, 20000 };

	return us[draw(ARRAY_SIZE(us))] * US + draw(100) * US;
}

/* @n tasks on @cpu with @permille of it together, less what rounding takes. */
static void make_set(int cpu, unsigned n, unsigned permille)
{
	unsigned part[TASKS], all = 0;

	for (unsigned i = 0; i < n; i++)
		all += part[i] = 10 + (unsigned)draw(90);
	for (unsigned i = 0; i < n; i++) {
		uint64_t period_ns = random_period();
		uint64_t runtime_ns = period_ns * permille * part[i] / all / 1000 - 1;
		struct task *k;

		if (runtime_ns < 10 * US)
			runtime_ns = 10 * US;
		k = make(cpu, runtime_ns, period_ns, period_ns, task_main);
		k->work_ns = runtime_ns - runtime_ns / 30 - 4 * US;
		admit(k);
	}
}

static void check_no_misses(void)
{
	for (unsigned i = 0; i < nr_tasks; i++)
		CHECK(!tasks[i].work_ns || (tasks[i].jobs && !tasks[i].misses));
}

static void *hog(void *arg)
{
	while (!stop)
		host_compute(20 * US);
	return arg;
}

/* A FIFO thread and a fair one, that never stop, on @cpu. */
static struct thread *others[8];
static unsigned nr_others;

static void make_others(unsigned cpu)
{
	for (unsigned i = 0; i < 2; i++) {
		struct thread_attr attr = { .name = "other" };
		struct cpumask mask = { 0 };

		cpumask_set(&mask, cpu);
		attr.affinity = &mask;
		attr.policy = i ? SCHED_FIFO : SCHED_OTHER;
		attr.priority = i ? 50 : 0;
		CHECK(!thread_create(&others[nr_others++], &attr, hog, NULL));
	}
}

static void join_others(void)
{
	stop = true;
	while (nr_others)
		CHECK(!thread_join(others[--nr_others], NULL));
}

static void sets_first(void *arg)
{
	(void)arg;
	become_maker();
	make_set(0, 2 + (unsigned)draw(7), 899);
	make_others(0);
	go_and_join(60 * MS);
	check_no_misses();
	join_others();
}

/* Sets that fill a CPU: every deadline is kept, whatever else runs there. */
static void random_sets(void **state)
{
	(void)state;
	run_seeds_of(sets_first, 1, 2, 25);
}

static void partition_first(void *arg)
{
	(void)arg;
	become_maker();
	for (unsigned i = 0; i < cpu_count; i++) {
		CHECK(!deadline_reserve_server(i, 50 * MS, 1000 * MS));
		make_set((int)i, 2 + (unsigned)draw(3), 899);
		make_others(i);
	}
	go_and_join(30 * MS);
	check_no_misses();
	for (unsigned i = 0; i < nr_tasks; i++)
		CHECK(!tasks[i].moves);
	join_others();
}

static void partitioned_sets(void **state)
{
	(void)state;
	run_seeds_of(partition_first, 4, 4, 10);
}

/*
 * Threads that may run anywhere, with parts small enough that earliest deadline first keeps all
 * deadlines on several CPUs: the sum is at most M - (M - 1) * the largest part.
 */
static void global_first(void *arg)
{
	unsigned n = 2 * cpu_count + (unsigned)draw(6), largest = 300, sum = 0;

	(void)arg;
	become_maker();
	while (nr_tasks < n) {
		uint64_t period_ns = random_period();
		unsigned permille = 100 + (unsigned)draw(largest - 100);
		struct task *k;

		if (sum + permille > cpu_count * 1000 - (cpu_count - 1) * largest - 50)
			break;
		sum += permille;
		k = make(-1, period_ns * permille / 1000, period_ns, period_ns, task_main);
		/* a job pays for its own wake-up, and for those that interrupt it */
		k->work_ns = k->runtime_ns - k->runtime_ns / 20 - (4 + 2 * n) * US;
		admit(k);
	}
	for (unsigned i = 0; i < cpu_count; i++)
		make_others(i);
	go_and_join(40 * MS);
	check_no_misses();
	join_others();
}

static void global_sets(void **state)
{
	(void)state;
	run_seeds_of(global_first, 2, 4, 10);
}

/*
 * All wake at once and take about the same time, so several CPUs look for the next one at once, and
 * find the same. host_check.c sees whether one waits then while a CPU runs what is later.
 */
static void stop_together_first(void *arg)
{
	uint64_t begin_ns;

	(void)arg;
	become_maker();
	while (nr_tasks < 3 * cpu_count) {
		struct task *k = make(-1, 200 * US, 1000 * US, 1000 * US, task_main);

		k->work_ns = (20 + draw(2)) * US;
		admit(k);
	}
	for (unsigned i = 0; i < cpu_count; i++)
		make_others(i);
	begin_ns = time_now_ns() + MS;
	for (unsigned i = 0; i < nr_tasks; i++) {
		tasks[i].begin_ns = begin_ns;
		tasks[i].end_ns = begin_ns + 20 * MS;
		CHECK(!semaphore_post(&tasks[i].go));
	}
	for (unsigned i = 0; i < nr_tasks; i++)
		CHECK(!thread_join(tasks[i].thread, NULL));
	check_no_misses();
	join_others();
}

static void several_stop_at_once(void **state)
{
	(void)state;
	run_seeds_of(stop_together_first, 3, 4, 10);
}

/* ---- a thread that never stops --------------------------------------------------------------- */

static void hog_first(void *arg)
{
	struct task *h;

	(void)arg;
	become_maker();
	h = make(0, 2 * MS, 7 * MS, 7 * MS, task_main);
	admit(h);
	make_set(0, 2 + (unsigned)draw(5), 600);
	make_others(0);
	go_and_join(100 * MS);
	check_no_misses();
	join_others();
}

/* Nobody is late for it. */
static void never_stops(void **state)
{
	(void)state;
	run_seeds_of(hog_first, 1, 1, 20);
}

static uint64_t seen_ns[16];
static unsigned nr_seen;

static void *spin_until_stopped(void *arg)
{
	struct task *k = arg;

	semaphore_wait(&k->go);
	while (!stop)
		host_compute(5 * US);
	return NULL;
}

/* Exactly Q in each P, from the wake-up on, and the rest is for the fair one. */
static void budget_first(void *arg)
{
	struct task *k;
	uint64_t at_ns;

	(void)arg;
	become_maker();
	k = make(0, 3 * MS, 10 * MS, 10 * MS, spin_until_stopped);
	admit(k);
	make_others(0);
	CHECK(!sched_set_policy(others[1], SCHED_FIFO, 98, 0));
	at_ns = time_now_ns();
	CHECK(!semaphore_post(&k->go));
	for (unsigned i = 1; i <= 10; i++) {
		uint64_t used_ns;

		thread_sleep_until(at_ns + i * 10 * MS - 100 * US);
		used_ns = thread_runtime_ns(k->thread);
		CHECK(used_ns >= i * 3 * MS && used_ns <= i * 3 * MS + 5 * US);
	}
	CHECK(thread_runtime_ns(others[1]) + 5 * 10 * US > 10 * 7 * MS - 2 * MS);
	stop = true;
	CHECK(!thread_join(k->thread, NULL));
	join_others();
}

static void budget_is_exact(void **state)
{
	(void)state;
	run_seeds_of(budget_first, 1, 2, 10);
}

/* ---- the rules of the server ----------------------------------------------------------------- */

static bool is_about(uint64_t ns, uint64_t ideal_ns)
{
	return ns + 20 * US >= ideal_ns && ns <= ideal_ns + 20 * US;
}

static void *yields(void *arg)
{
	struct task *k = arg;

	semaphore_wait(&k->go);
	for (nr_seen = 0; nr_seen < ARRAY_SIZE(seen_ns);) {
		seen_ns[nr_seen++] = time_now_ns();
		host_compute(draw(2 * MS));
		sched_yield_current();
	}
	return NULL;
}

static void yield_first(void *arg)
{
	struct task *k;
	uint64_t at_ns;

	(void)arg;
	become_maker();
	k = make(0, 3 * MS, 5 * MS, 8 * MS, yields);
	admit(k);
	make_others(0);
	at_ns = time_now_ns();
	CHECK(!semaphore_post(&k->go));
	CHECK(!thread_join(k->thread, NULL));
	for (unsigned i = 0; i < nr_seen; i++)
		CHECK(is_about(seen_ns[i], at_ns + i * 8 * MS));
	join_others();
}

/* It goes on at the beginning of its next period, again and again, with D < P. */
static void yield_waits_for_the_period(void **state)
{
	(void)state;
	run_seeds_of(yield_first, 1, 2, 10);
}

#define SECOND_NS (100 * US)

/* Two jobs. */
static void *two_waits(void *arg)
{
	struct task *k = arg;

	for (unsigned i = 0; i < 2; i++) {
		semaphore_wait(&k->go);
		seen_ns[i] = time_now_ns();
		host_compute(i ? SECOND_NS : k->work_ns);
	}
	semaphore_wait(&k->go);
	return NULL;
}

/* Runs @work_ns, sleeps until @gap_ns after its first wake-up, wakes; returns its server then. */
static struct deadline *wake_twice(uint64_t deadline_ns, uint64_t work_ns, uint64_t gap_ns,
				   uint64_t *at_ns)
{
	struct task *k;

	become_maker();
	k = make(0, 4 * MS, deadline_ns, 10 * MS, two_waits);
	k->work_ns = work_ns;
	admit(k);
	*at_ns = time_now_ns();
	CHECK(!semaphore_post(&k->go));
	thread_sleep_until(*at_ns + gap_ns);
	CHECK(!semaphore_post(&k->go));
	return k->thread->sched.deadline;
}

static void end_twice(void)
{
	sleep_for(30 * MS);
	CHECK(!semaphore_post(&tasks[0].go));
	CHECK(!thread_join(tasks[0].thread, NULL));
}

/* Of the budget, when the second job is over. */
static bool left_at_wake(const struct deadline *d, uint64_t ns)
{
	int64_t used_ns = (int64_t)ns - d->left_ns - (int64_t)SECOND_NS;

	return used_ns >= 0 && used_ns <= (int64_t)(10 * US);
}

static void wake_rule_first(void *arg)
{
	uint64_t at_ns;
	struct deadline *d;

	(void)arg;
	/* 3 ms are left, and 2 ms until the deadline: too much, so both are new */
	d = wake_twice(10 * MS, MS, 8 * MS, &at_ns);
	CHECK(is_about(d->deadline_ns, at_ns + 18 * MS) && left_at_wake(d, 4 * MS));
	end_twice();
	nr_tasks = 0;
	/* 1 ms is left, and 5 ms until the deadline: both are kept */
	d = wake_twice(10 * MS, 3 * MS, 5 * MS, &at_ns);
	CHECK(is_about(d->deadline_ns, at_ns + 10 * MS));
	CHECK(left_at_wake(d, MS));
	end_twice();
	nr_tasks = 0;
	/* the deadline is over: new ones */
	d = wake_twice(10 * MS, 3 * MS, 11 * MS, &at_ns);
	CHECK(is_about(d->deadline_ns, at_ns + 21 * MS) && left_at_wake(d, 4 * MS));
	end_twice();
}

static void wake_up_rule(void **state)
{
	(void)state;
	run_seeds_of(wake_rule_first, 1, 1, 5);
}

static void constrained_first(void *arg)
{
	uint64_t at_ns;
	struct deadline *d;

	(void)arg;
	/* D 5 ms. 3 ms are left, and 1 ms until the deadline: cut to 0.8 ms, the deadline stays */
	d = wake_twice(5 * MS, MS, 4 * MS, &at_ns);
	CHECK(is_about(d->deadline_ns, at_ns + 5 * MS));
	CHECK(left_at_wake(d, 800 * US));
	end_twice();
	nr_tasks = 0;
	/* after its deadline, before its period: it runs in its next one */
	d = wake_twice(5 * MS, MS, 7 * MS, &at_ns);
	CHECK(tasks[0].thread->sched.unusual & SCHED_THROTTLED);
	end_twice();
	CHECK(is_about(seen_ns[1], at_ns + 10 * MS));
	nr_tasks = 0;
	/* after its period */
	d = wake_twice(5 * MS, MS, 12 * MS, &at_ns);
	CHECK(is_about(d->deadline_ns, at_ns + 17 * MS) && left_at_wake(d, 4 * MS));
	end_twice();
}

static void deadline_before_period(void **state)
{
	(void)state;
	run_seeds_of(constrained_first, 1, 1, 5);
}

static unsigned told;

static void count_overrun(struct thread *self)
{
	CHECK(self == thread_current() && arch_irq_enabled());
	told++;
}

static void overrun_first(void *arg)
{
	struct task *k;

	(void)arg;
	become_maker();
	deadline_on_overrun(count_overrun);
	k = make(0, 2 * MS, 10 * MS, 10 * MS, spin_until_stopped);
	CHECK(!set_deadline(k->thread, 2 * MS, 10 * MS, 10 * MS, SCHED_FLAG_DL_OVERRUN));
	CHECK(!semaphore_post(&k->go));
	sleep_for(95 * MS);
	CHECK(told == 9);
	CHECK(!set_deadline(k->thread, 2 * MS, 10 * MS, 10 * MS, 0));
	sleep_for(50 * MS);
	CHECK(told <= 10);
	stop = true;
	CHECK(!thread_join(k->thread, NULL));
}

static void overruns_are_told(void **state)
{
	(void)state;
	run_seeds_of(overrun_first, 1, 2, 5);
}

static void *wait_at_gate(void *arg)
{
	semaphore_wait(&((struct task *)arg)->go);
	return NULL;
}

/* ---- what others do not need ------------------------------------------------------------------ */

static uint64_t used_ns(struct thread *t, uint64_t ns)
{
	uint64_t before_ns = thread_runtime_ns(t);

	sleep_for(ns);
	return thread_runtime_ns(t) - before_ns;
}

static bool is_near(uint64_t ns, uint64_t ideal_ns)
{
	return ns + ideal_ns / 100 >= ideal_ns && ns <= ideal_ns + ideal_ns / 100;
}

/*
 * 20 % that reclaim, beside 30 % that run and 25 % that sleep: budget goes down at U / 0.95, so the
 * first has 20 % * 0.95 / 0.50 of the CPU; alone all of 95 %, and 90 % beside a server.
 */
static void reclaim_first(void *arg)
{
	struct task *k[3];

	(void)arg;
	become_maker();
	without_fair_server();
	k[0] = make(0, 2 * MS, 10 * MS, 10 * MS, spin_until_stopped);
	k[1] = make(0, 3 * MS, 10 * MS, 10 * MS, spin_until_stopped);
	k[2] = make(0, 5 * MS, 20 * MS, 20 * MS, wait_at_gate);
	make_others(0);
	CHECK(!set_deadline(k[0]->thread, 2 * MS, 10 * MS, 10 * MS, SCHED_FLAG_RECLAIM));
	admit(k[2]);
	CHECK(!semaphore_post(&k[0]->go));
	sleep_for(50 * MS);
	CHECK(is_near(used_ns(k[0]->thread, 200 * MS), 190 * MS));
	admit(k[1]);
	CHECK(!semaphore_post(&k[1]->go));
	sleep_for(50 * MS);
	CHECK(is_near(used_ns(k[0]->thread, 200 * MS), 200 * MS * 20 / 100 * 95 / 50));
	CHECK(is_near(used_ns(k[1]->thread, 200 * MS), 60 * MS));
	CHECK(!deadline_reserve_server(0, 50 * MS, 1000 * MS));
	sleep_for(50 * MS);
	CHECK(is_near(used_ns(k[0]->thread, 200 * MS), 200 * MS * 20 / 100 * 95 / 55));
	CHECK(!sched_set_policy(k[1]->thread, SCHED_OTHER, 0, 0));
	sleep_for(50 * MS);
	CHECK(is_near(used_ns(k[0]->thread, 200 * MS), 200 * MS * 20 / 100 * 95 / 25));
	CHECK(!set_deadline(k[0]->thread, 2 * MS, 10 * MS, 10 * MS, 0));
	sleep_for(50 * MS);
	CHECK(is_near(used_ns(k[0]->thread, 200 * MS), 40 * MS));
	CHECK(!semaphore_post(&k[2]->go));
	stop = true;
	for (unsigned i = 0; i < 3; i++)
		CHECK(!thread_join(k[i]->thread, NULL));
	join_others();
}

static void unused_bandwidth_is_reclaimed(void **state)
{
	(void)state;
	run_seeds_of(reclaim_first, 1, 2, 3);
}

/* Jobs shorter than their budgets, and threads that take all they can get: nobody is late. */
static void reclaim_sets_first(void *arg)
{
	struct task *hogs[2];

	(void)arg;
	become_maker();
	CHECK(!deadline_reserve_server(0, 50 * MS, 1000 * MS));
	for (unsigned i = 0; i < 2; i++) {
		uint64_t period_ns = random_period();

		hogs[i] = make(0, period_ns / 10, period_ns, period_ns, task_main);
		CHECK(!set_deadline(hogs[i]->thread, period_ns / 10, period_ns, period_ns,
				    SCHED_FLAG_RECLAIM));
	}
	make_set(0, 2 + (unsigned)draw(5), 690);
	for (unsigned i = 2; i < nr_tasks; i++)
		if (draw(2))
			tasks[i].work_ns = tasks[i].work_ns / (1 + draw(5));
	make_others(0);
	go_and_join(60 * MS);
	check_no_misses();
	join_others();
}

static void reclaiming_delays_nobody(void **state)
{
	(void)state;
	run_seeds_of(reclaim_sets_first, 1, 1, 30);
}

/* ---- admission ------------------------------------------------------------------------------- */

static struct task *sleeper(int cpu)
{
	return make(cpu, 0, 0, 0, wait_at_gate);
}

static void free_sleepers(void)
{
	while (nr_tasks) {
		struct task *k = &tasks[--nr_tasks];

		CHECK(!semaphore_post(&k->go));
		CHECK(!thread_join(k->thread, NULL));
	}
}

static int ask(struct task *k, unsigned permille)
{
	return set_deadline(k->thread, permille * 10 * US, 10 * MS, 10 * MS, 0);
}

static void refused(uint64_t runtime_ns, uint64_t deadline_ns, uint64_t period_ns)
{
	CHECK(set_deadline(tasks[0].thread, runtime_ns, deadline_ns, period_ns, 0) == -EINVAL);
	CHECK(!tasks[0].thread->sched.deadline);
}

static void parameters_first(void *arg)
{
	struct sched_attr a;
	struct task *k;

	(void)arg;
	k = sleeper(0);
	refused(MS, 10 * MS, 10 * MS); /* not in use yet */
	CHECK(sched_set_policy(k->thread, SCHED_DEADLINE, 0, 0) == -EINVAL);
	CHECK(!sched_deadline_use() && !sched_deadline_use());
	CHECK(sched_set_policy(k->thread, SCHED_DEADLINE, 0, 0) == -EINVAL);
	refused(1023, 10 * MS, 10 * MS);
	refused(0, 10 * MS, 10 * MS);
	refused(11 * MS, 10 * MS, 20 * MS);
	refused(MS, 10 * MS, 9 * MS);
	refused(2000, 99 * US, 99 * US);
	refused(MS, 10 * MS, DEADLINE_PERIOD_MAX_NS + 1);
	refused(UINT64_MAX, UINT64_MAX, UINT64_MAX);
	CHECK(set_deadline(k->thread, MS, 10 * MS, 10 * MS, 8) == -EINVAL);
	CHECK(!set_deadline(k->thread, MS, 10 * MS, 0, SCHED_FLAG_RESET_ON_FORK));
	sched_get_attr(k->thread, &a);
	CHECK(a.sched_policy == SCHED_DEADLINE && a.sched_runtime == MS && !a.sched_priority);
	CHECK(a.sched_deadline == 10 * MS && a.sched_period == 10 * MS);
	CHECK(a.sched_flags == SCHED_FLAG_RESET_ON_FORK);
	CHECK(!set_deadline(k->thread, 1024, 100 * US, DEADLINE_PERIOD_MAX_NS, 0));
	free_sleepers();
}

static void parameters(void **state)
{
	(void)state;
	run_seeds_of(parameters_first, 1, 1, 2);
}

static void one_cpu_first(void *arg)
{
	struct task *k[3];

	(void)arg;
	become_maker();
	without_fair_server();
	for (unsigned i = 0; i < 3; i++)
		k[i] = sleeper(0);
	CHECK(!ask(k[0], 500) && !ask(k[1], 449));
	CHECK(deadline_in_use() >= 948000 && deadline_in_use() <= 949100);
	CHECK(ask(k[2], 2) == -EBUSY && !k[2]->thread->sched.deadline);
	CHECK(!ask(k[1], 200) && !ask(k[2], 240));
	CHECK(ask(k[2], 260) == -EBUSY && ask(k[0], 560) == -EBUSY);
	CHECK(deadline_in_use() <= 940100);
	/* density counts: 2 ms in 3 of 100 are 67 %, not 2 % */
	CHECK(set_deadline(k[2]->thread, 2 * MS, 3 * MS, 100 * MS, 0) == -EBUSY);
	/* what is kept for servers, and the limit */
	CHECK(deadline_reserve_server(0, 20 * MS, MS * 1000) == -EBUSY);
	CHECK(fair_server_set(20000, 1000000) == -EBUSY && !fair_server_us);
	CHECK(!deadline_reserve_server(0, 5 * MS, MS * 1000));
	CHECK(!ask(k[2], 244) && ask(k[2], 246) == -EBUSY);
	CHECK(deadline_reserve_server(cpu_count, 1, 1000) == -EINVAL);
	CHECK(deadline_reserve_server(0, 1001, 1000) == -EINVAL);
	CHECK(deadline_set_limit(940) == -EBUSY && deadline_set_limit(0) == -EINVAL);
	CHECK(!deadline_set_limit(1000) && !ask(k[2], 294));
	/* who leaves has used up nothing: at once; and who ends */
	CHECK(!sched_set_policy(k[0]->thread, SCHED_OTHER, 0, 0) && !ask(k[1], 700));
	CHECK(!semaphore_post(&k[1]->go) && !thread_join(k[1]->thread, NULL));
	sleep_for(20 * MS);
	CHECK(!ask(k[0], 700));
	k[1]->thread = NULL;
	CHECK(!semaphore_post(&k[0]->go) && !thread_join(k[0]->thread, NULL));
	CHECK(!semaphore_post(&k[2]->go) && !thread_join(k[2]->thread, NULL));
	sleep_for(20 * MS);
	CHECK(deadline_in_use() <= 5001);
}

static void admitted_on_one_cpu(void **state)
{
	(void)state;
	run_seeds_of(one_cpu_first, 1, 2, 5);
}

/* A budget that was used is not given to others before the period that it was for is over. */
static void zero_lag_first(void *arg)
{
	struct task *k, *next;
	uint64_t at_ns;

	(void)arg;
	become_maker();
	k = make(0, 8 * MS, 10 * MS, 10 * MS, two_waits);
	next = sleeper(0);
	k->work_ns = 7 * MS;
	admit(k);
	at_ns = time_now_ns();
	CHECK(!semaphore_post(&k->go));
	thread_sleep_until(at_ns + 7500 * US);
	CHECK(!sched_set_policy(k->thread, SCHED_OTHER, 0, 0));
	CHECK(ask(next, 500) == -EBUSY);
	thread_sleep_until(at_ns + 8500 * US); /* 1 ms left is 1.25 ms of time */
	CHECK(ask(next, 500) == -EBUSY);
	thread_sleep_until(at_ns + 9000 * US);
	CHECK(!ask(next, 500));
	for (unsigned i = 0; i < 2; i++)
		CHECK(!semaphore_post(&k->go));
	CHECK(!thread_join(k->thread, NULL));
	CHECK(!semaphore_post(&next->go) && !thread_join(next->thread, NULL));
}

static void bandwidth_comes_back_in_time(void **state)
{
	(void)state;
	run_seeds_of(zero_lag_first, 1, 1, 3);
}

static struct cpumask cpus(unsigned from, unsigned to)
{
	struct cpumask mask = { 0 };

	for (; from <= to; from++)
		cpumask_set(&mask, from);
	return mask;
}

static void subsets_first(void *arg)
{
	struct cpumask low = cpus(0, 1), all = cpus(0, 3), none = { 0 };
	struct task *k[8];

	(void)arg;
	become_maker();
	without_fair_server();
	for (unsigned i = 0; i < 8; i++)
		k[i] = make_on(i < 3 ? &low : &all, 0, 0, 0, wait_at_gate);
	/* two CPUs for those that may run on 0 and 1 only */
	CHECK(!ask(k[0], 600) && !ask(k[1], 600) && ask(k[2], 710) == -EBUSY && !ask(k[2], 690));
	/* 1.9 on all are 3.8 in all: 1.91 are left */
	CHECK(!ask(k[3], 900) && !ask(k[4], 900) && ask(k[5], 120) == -EBUSY && !ask(k[5], 100));
	/* nobody may be pinned where others fill the CPUs */
	CHECK(thread_set_affinity(k[3]->thread, &low) == -EBUSY);
	CHECK(thread_set_affinity(k[3]->thread, &none) == -EINVAL);
	CHECK(cpumask_equal(&k[3]->thread->affinity, &all));
	CHECK(cpu_offline(3) == -EBUSY && cpumask_test(&cpu_online_mask, 3));
	CHECK(!thread_set_affinity(k[0]->thread, &all));
	CHECK(!sched_set_policy(k[3]->thread, SCHED_OTHER, 0, 0));
	CHECK(!sched_set_policy(k[5]->thread, SCHED_OTHER, 0, 0));
	CHECK(!cpu_offline(3) && ask(k[3], 900) == -EBUSY);
	CHECK(!cpu_online(3) && !ask(k[3], 900));
	free_sleepers();
}

static void admitted_on_subsets(void **state)
{
	(void)state;
	run_seeds_of(subsets_first, 4, 4, 5);
}

/* ---- everything ------------------------------------------------------------------------------ */

static bool yields_too;

static void *anything(void *arg)
{
	struct task *k = arg;

	while (!stop) {
		if (draw(3))
			host_compute(draw(400 * US));
		if (yields_too && !draw(3))
			sched_yield_current();
		if (!draw(2))
			sleep_for(draw(2 * MS));
		if (!draw(20))
			semaphore_wait(&k->go);
		if (!draw(40))
			return NULL;
	}
	return NULL;
}

static void change_anything(struct task *k)
{
	uint64_t runtime_ns = 20 * US + draw(900 * US), period_ns = MS + draw(8 * MS);
	struct cpumask mask = cpus((unsigned)draw(cpu_count), cpu_count - 1);
	int policy = (int)draw(3), err;

	switch (draw(6)) {
	case 0:
		err = sched_set_policy(k->thread, policy, policy ? 1 + (int)draw(99) : 0, 0);
		CHECK(!err || err == -ESRCH);
		break;
	case 1:
		err = thread_set_affinity(k->thread, &mask);
		CHECK(!err || err == -EBUSY || err == -EINVAL);
		break;
	case 2:
		semaphore_post(&k->go);
		break;
	default:
		err = set_deadline(k->thread, runtime_ns, runtime_ns + draw(period_ns),
				   2 * period_ns, draw(8));
		CHECK(!err || err == -EBUSY || err == -ESRCH);
	}
}

static bool with_hotplug;

static void everything_first(void *arg)
{
	unsigned off = 0;

	(void)arg;
	yields_too = draw(2);
	check_conservation = !yields_too; /* see test_sched.c */
	become_maker();
	without_fair_server();
	deadline_on_overrun(draw(2) ? count_overrun : NULL);
	while (nr_tasks < 8)
		make(-1, 0, 0, 0, anything);
	for (unsigned n = 0; n < 150; n++) {
		change_anything(&tasks[draw(nr_tasks)]);
		if (with_hotplug && !draw(10)) {
			if (off && !cpu_online(off))
				off = 0;
			else if (!off && cpu_count > 1)
				off = 1 + (unsigned)draw(cpu_count - 1);
			if (off && cpu_offline(off))
				off = 0;
		}
		sleep_for(draw(700 * US));
	}
	stop = true;
	for (unsigned i = 0; i < nr_tasks; i++) {
		semaphore_post(&tasks[i].go);
		CHECK(!thread_join(tasks[i].thread, NULL));
	}
	sleep_for(50 * MS);
	CHECK(!deadline_in_use());
}

static void everything_at_once(void **state)
{
	(void)state;
	with_hotplug = false;
	run_seeds_of(everything_first, 1, 4, 20);
}

static void everything_while_cpus_go(void **state)
{
	(void)state;
	with_hotplug = true;
	run_seeds_of(everything_first, 2, 4, 15);
}

/* An argument is a pattern: only the tests that match it are run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters),
		cmocka_unit_test(wake_up_rule),
		cmocka_unit_test(deadline_before_period),
		cmocka_unit_test(yield_waits_for_the_period),
		cmocka_unit_test(budget_is_exact),
		cmocka_unit_test(overruns_are_told),
		cmocka_unit_test(admitted_on_one_cpu),
		cmocka_unit_test(bandwidth_comes_back_in_time),
		cmocka_unit_test(admitted_on_subsets),
		cmocka_unit_test(random_sets),
		cmocka_unit_test(partitioned_sets),
		cmocka_unit_test(global_sets),
		cmocka_unit_test(several_stop_at_once),
		cmocka_unit_test(never_stops),
		cmocka_unit_test(unused_bandwidth_is_reclaimed),
		cmocka_unit_test(reclaiming_delays_nobody),
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(everything_while_cpus_go),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
