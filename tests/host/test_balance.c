/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement and balancing on the virtual machine, by seeds: shares of threads that do not divide by
 * the CPUs, with equal and unequal weights and with affinity; how soon every CPU has work; the four
 * cases of "The Linux Scheduler: a Decade of Wasted Cores" (EuroSys 2016); clusters and caches;
 * CPUs of unequal speed; the monitor. Figures that a limit exists for are printed.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
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
#include "sched/monitor.h"
#include "sched/sched.h"
#include "sched/util.h"
#include "tests/host/host_seeds.h"

#define THREADS 128

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

static struct thread *threads[THREADS];
static bool stop;

static struct thread *make(const struct cpumask *mask, int nice, void *(*entry)(void *),
			   uintptr_t arg)
{
	struct thread_attr attr = { .name = "worker", .affinity = mask, .nice = (int8_t)nice };
	struct thread *t = NULL;

	CHECK(!thread_create(&t, &attr, entry, (void *)arg));
	return t;
}

static struct cpumask mask_of(uint64_t bits)
{
	return (struct cpumask){ .bits = { bits } };
}

static void *hog(void *arg)
{
	while (!atomic_load_relaxed(&stop))
		host_compute(500 * US);
	return arg;
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void join_all(unsigned n)
{
	stop = true;
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

/* Those that look on run before everybody and use next to no time. */
static void become_observer(void)
{
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 90, 0));
}

static void no_violations(void)
{
	struct monitor_counts c;

	monitor_read(&c);
	if (c.wasted)
		monitor_print();
	CHECK(!c.wasted);
}

/* ---- shares ---------------------------------------------------------------------------------- */

static unsigned hogs;
static uint64_t seconds;

static void spread_first(void *arg)
{
	uint64_t least = UINT64_MAX, most = 0, sum = 0;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < hogs; i++)
		threads[i] = make(NULL, 0, hog, i);
	sleep_for(seconds * NSEC_PER_SEC);
	for (unsigned i = 0; i < hogs; i++) {
		uint64_t ns = thread_runtime_ns(threads[i]);

		least = MIN(least, ns);
		most = MAX(most, ns);
		sum += ns;
	}
	printf("spread of %2u hogs on %u CPUs, %llu s: %.3f %% (least %.3f, most %.3f s)\n", hogs,
	       cpu_count, (unsigned long long)seconds,
	       100.0 * (double)(most - least) * hogs / (double)sum, (double)least / 1e9,
	       (double)most / 1e9);
	CHECK((most - least) * hogs * 100 <= sum);
	CHECK(sum > (uint64_t)(cpu_count * 0.999 * (double)seconds * 1e9));
	no_violations();
	join_all(hogs);
}

static void spread(unsigned n, unsigned cpus, uint64_t for_seconds, unsigned seeds)
{
	struct scenario s = {
		.first = spread_first, .cpus_from = cpus, .cpus_to = cpus, .seeds = seeds
	};

	hogs = n;
	seconds = for_seconds;
	run_seeds(&s);
}

static void equal_hogs(void **state)
{
	(void)state;
	spread(5, 4, 10, 2);
	spread(6, 4, 10, 2);
	spread(8, 4, 10, 2);
	spread(13, 4, 10, 2);
	spread(3, 2, 10, 2);
	spread(9, 8, 10, 1);
}

/* ---- shares by weight and by affinity -------------------------------------------------------- */

struct share {
	int nice;
	uint64_t cpus; /* mask; 0: all */
	double ideal;  /* CPUs' worth of time */
};

static const struct share *shares;
static unsigned nr_shares;

static void shares_first(void *arg)
{
	double worst = 0;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < nr_shares; i++) {
		struct cpumask mask = mask_of(shares[i].cpus);

		threads[i] = make(shares[i].cpus ? &mask : NULL, shares[i].nice, hog, i);
	}
	sleep_for(10 * NSEC_PER_SEC);
	for (unsigned i = 0; i < nr_shares; i++) {
		double got = (double)thread_runtime_ns(threads[i]) / 1e10;
		double off = got / shares[i].ideal - 1;

		fprintf(stderr, "%u: nice %d, got %.4f, ideal %.4f\n", i, shares[i].nice, got,
			shares[i].ideal);
		worst = MAX(worst, off < 0 ? -off : off);
	}
	printf("shares of %u threads on %u CPUs: furthest off %.3f %%\n", nr_shares, cpu_count,
	       worst * 100);
	CHECK(worst <= 0.01);
	no_violations();
	join_all(nr_shares);
}

static void check_shares(const struct share *table, unsigned n, unsigned cpus)
{
	struct scenario s = {
		.first = shares_first, .cpus_from = cpus, .cpus_to = cpus, .seeds = 2
	};

	shares = table;
	nr_shares = n;
	run_seeds(&s);
}

#define CHECK_SHARES(cpus, ...)                                             \
	do {                                                                \
		static const struct share _table[] = { __VA_ARGS__ };       \
		check_shares(_table, (unsigned)ARRAY_SIZE(_table), (cpus)); \
	} while (0)

/* Weights: nice 0 1024, -3 1991, 3 526, 5 335. */
static void by_weight(void **state)
{
	(void)state;
	/* five that weigh 1024 and two of 526 share 4 CPUs */
	CHECK_SHARES(4, { 0, 0, 4 * 1024 / 6172.0 }, { 0, 0, 4 * 1024 / 6172.0 },
		     { 0, 0, 4 * 1024 / 6172.0 }, { 0, 0, 4 * 1024 / 6172.0 },
		     { 0, 0, 4 * 1024 / 6172.0 }, { 3, 0, 4 * 526 / 6172.0 },
		     { 3, 0, 4 * 526 / 6172.0 });
	/* the heavy one has a CPU to itself and cannot use more; three of weight 1024 and one of 335 share the other */
	CHECK_SHARES(2, { -15, 0, 1.0 }, { 0, 0, 1024 / 3407.0 }, { 0, 0, 1024 / 3407.0 },
		     { 0, 0, 1024 / 3407.0 }, { 5, 0, 335 / 3407.0 });
	/* 1991 + 3 * 1024 + 526 on 3 CPUs */
	CHECK_SHARES(3, { -3, 0, 1.0 }, { 0, 0, 2 * 1024 / 3598.0 }, { 0, 0, 2 * 1024 / 3598.0 },
		     { 0, 0, 2 * 1024 / 3598.0 }, { 3, 0, 2 * 526 / 3598.0 });
}

static void by_affinity(void **state)
{
	(void)state;
	/* three may use CPUs 0 and 1 only, three all four: two thirds for each */
	CHECK_SHARES(4, { 0, 3, 2 / 3.0 }, { 0, 3, 2 / 3.0 }, { 0, 3, 2 / 3.0 }, { 0, 0, 2 / 3.0 },
		     { 0, 0, 2 / 3.0 }, { 0, 0, 2 / 3.0 });
	/* one is pinned, four are not: four fifths for each */
	CHECK_SHARES(4, { 0, 1, 0.8 }, { 0, 0, 0.8 }, { 0, 0, 0.8 }, { 0, 0, 0.8 }, { 0, 0, 0.8 });
	/* four pinned to one CPU have a quarter each, whoever else there is */
	CHECK_SHARES(3, { 0, 1, 0.25 }, { 0, 1, 0.25 }, { 0, 1, 0.25 }, { 0, 1, 0.25 },
		     { 0, 6, 2 / 3.0 }, { 0, 6, 2 / 3.0 }, { 0, 6, 2 / 3.0 });
}

/* ---- every CPU has work soon ----------------------------------------------------------------- */

static uint64_t all_busy_ns;

static void note_all_busy(bool quiet)
{
	(void)quiet;
	if (all_busy_ns || !threads[0])
		return;
	for (unsigned i = 0; i < cpu_count; i++)
		if (cpu_at(i)->rq.curr == cpu_at(i)->rq.idle)
			return;
	all_busy_ns = host_now_ns;
}

/* 16 hogs wait on CPU 0, all at once they may run anywhere. */
static void release_first(void *arg)
{
	struct cpumask one = mask_of(1);
	uint64_t start_ns;

	(void)arg;
	CHECK(!thread_set_affinity(thread_current(), &one));
	become_observer();
	for (unsigned i = 0; i < 16; i++)
		threads[i] = make(&one, 0, hog, i);
	sleep_for(20 * MS);
	all_busy_ns = 0;
	start_ns = host_now_ns;
	for (unsigned i = 0; i < 16; i++)
		CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	sleep_for(MS);
	CHECK(all_busy_ns);
	printf("16 hogs released on CPU 0 of %u: all busy after %.2f us\n", cpu_count,
	       (double)(all_busy_ns - start_ns) / 1e3);
	CHECK(all_busy_ns - start_ns <= 200 * US);
	join_all(16);
}

static void release(void **state)
{
	struct scenario s = { .first = release_first,
			      .cpus_from = 2,
			      .cpus_to = 8,
			      .seeds = 10,
			      .observe = note_all_busy };

	(void)state;
	run_seeds(&s);
}

/* ---- wasted cores ---------------------------------------------------------------------------- */

static const struct topology_cpu two_clusters[] = {
	{ .cluster = 0, .cache = 0, .capacity = 1024 },
	{ .cluster = 0, .cache = 0, .capacity = 1024 },
	{ .cluster = 0, .cache = 0, .capacity = 1024 },
	{ .cluster = 0, .cache = 0, .capacity = 1024 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
};

static void run_clusters(void (*first)(void *), unsigned seeds)
{
	struct scenario s = { .first = first,
			      .cpus_from = 8,
			      .cpus_to = 8,
			      .seeds = seeds,
			      .topology = two_clusters };

	run_seeds(&s);
}

static uint64_t runtime_of(unsigned from, unsigned to)
{
	uint64_t ns = 0;

	for (unsigned i = from; i < to; i++)
		ns += thread_runtime_ns(threads[i]);
	return ns;
}

/* 1. One heavy thread must not make its cluster look busy: the light ones use all other CPUs. */
static void imbalance_first(void *arg)
{
	unsigned n = 1 + 7 + (unsigned)draw(8);
	uint64_t ns;

	(void)arg;
	become_observer();
	threads[0] = make(NULL, -20, hog, 0);
	for (unsigned i = 1; i < n; i++)
		threads[i] = make(NULL, 10, hog, i);
	sleep_for(50 * MS);
	ns = runtime_of(0, n);
	sleep_for(200 * MS);
	CHECK(runtime_of(0, n) - ns >= 8 * 199 * MS);
	no_violations();
	join_all(n);
}

static void group_imbalance(void **state)
{
	(void)state;
	run_clusters(imbalance_first, 10);
}

/* 2. Pinned to one CPU of each cluster, then not: they spread at once. */
static void construction_first(void *arg)
{
	struct cpumask ends = mask_of(1 << 1 | 1 << 6);
	uint64_t ns;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < 16; i++)
		threads[i] = make(&ends, 0, hog, i);
	sleep_for(50 * MS);
	ns = runtime_of(0, 16);
	for (unsigned i = 0; i < 16; i++)
		CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	sleep_for(2 * MS);
	ns = runtime_of(0, 16);
	sleep_for(100 * MS);
	CHECK(runtime_of(0, 16) - ns >= 8 * 99 * MS);
	no_violations();
	join_all(16);
}

static void group_construction(void **state)
{
	(void)state;
	run_clusters(construction_first, 10);
}

static struct semaphore turn[16];

static void *ping(void *arg)
{
	uintptr_t me = (uintptr_t)arg;

	while (!atomic_load_relaxed(&stop)) {
		semaphore_wait_until(&turn[me], time_now_ns() + 5 * MS);
		host_compute(20 * US + draw(30 * US));
		semaphore_post(&turn[me ^ 1]);
	}
	return arg;
}

/*
 * 3. Pairs that wake each other on busy CPUs, and hogs: a thread that is woken does not stay beside
 * its waker while another CPU has nothing to do.
 */
static void wakeup_first(void *arg)
{
	unsigned pairs = 3, n = 2 * pairs + 5;
	uint64_t start_ns = host_now_ns;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < ARRAY_SIZE(turn); i++)
		semaphore_init(&turn[i], i % 2 == 0);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make(NULL, 0, i < 2 * pairs ? ping : hog, i);
	start_ns = host_now_ns;
	sleep_for(100 * MS);
	/* three pairs, of whom one at a time computes, and five hogs: 8 CPUs' worth */
	for (unsigned i = 2 * pairs; i < n; i++)
		CHECK(thread_runtime_ns(threads[i]) >= (host_now_ns - start_ns) * 97 / 100);
	no_violations();
	join_all(n);
}

static void overload_on_wakeup(void **state)
{
	(void)state;
	run_clusters(wakeup_first, 10);
}

/*
 * 4. Whole clusters out of use and back in: afterwards there is balance across them. (Affinity
 * stands for the CPUs that are away here; the CPUs themselves: the tests of hotplug.)
 */
static void missing_first(void *arg)
{
	struct cpumask first_cluster = mask_of(0x0f), second = mask_of(0xf0);
	uint64_t ns;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < 16; i++)
		threads[i] = make(NULL, 0, hog, i);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 16; i++)
			CHECK(!thread_set_affinity(threads[i],
						   round % 2 ? &second : &first_cluster));
		sleep_for(20 * MS);
		for (unsigned i = 0; i < 16; i++)
			CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
		sleep_for(2 * MS);
		ns = runtime_of(0, 16);
		sleep_for(50 * MS);
		CHECK(runtime_of(0, 16) - ns >= 8 * 49 * MS);
	}
	no_violations();
	join_all(16);
}

static void missing_domains(void **state)
{
	(void)state;
	run_clusters(missing_first, 5);
}

/* ---- clusters -------------------------------------------------------------------------------- */

static unsigned cpu_now(const struct thread *t)
{
	return t->sched.cpu->index;
}

/*
 * A thread whose CPU was taken while it slept wakes in the same cluster if there is room, in the
 * other one if not.
 */
static void near_first(void *arg)
{
	unsigned home = (unsigned)draw(8), cluster = home / 4, busy = 1 + (unsigned)draw(4);
	struct cpumask only = mask_of(1ull << home), far = mask_of(1ull << (home + 4) % 8);

	(void)arg;
	CHECK(!thread_set_affinity(thread_current(), &far));
	become_observer();
	semaphore_init(&turn[0], 0);
	semaphore_init(&turn[1], 0);
	threads[0] = make(&only, 0, ping, 0);
	sleep_for(MS);
	CHECK(cpu_now(threads[0]) == home);
	for (unsigned i = 1; i <= busy; i++) {
		only = mask_of(1ull << (cluster * 4 + (home + i - 1) % 4));
		threads[i] = make(&only, 0, hog, i);
	}
	CHECK(!thread_set_affinity(threads[0], &cpu_online_mask));
	sleep_for(MS);
	CHECK(threads[0]->sched.state == THREAD_BLOCKED);
	semaphore_post(&turn[0]);
	sleep_for(10 * US);
	CHECK(threads[0]->sched.state == THREAD_RUNNABLE);
	CHECK(cpu_now(threads[0]) != home);
	CHECK((cpu_now(threads[0]) / 4 == cluster) == (busy < 4));
	semaphore_post(&turn[0]);
	join_all(busy + 1);
}

static void near_rather_than_far(void **state)
{
	(void)state;
	run_clusters(near_first, 40);
}

/* ---- unequal CPUs ---------------------------------------------------------------------------- */

static const struct topology_cpu big_little[] = {
	{ .cluster = 0, .cache = 0, .capacity = 400 },
	{ .cluster = 0, .cache = 0, .capacity = 400 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
	{ .cluster = 1, .cache = 1, .capacity = 1024 },
};

static void run_big_little(void (*first)(void *), unsigned seeds)
{
	struct scenario s = {
		.first = first, .cpus_from = 4, .cpus_to = 4, .seeds = seeds, .topology = big_little
	};

	run_seeds(&s);
}

/* A thread that never stops finds itself on a fast CPU soon, wherever it began. */
static void grow_first(void *arg)
{
	struct cpumask slow = mask_of(3);
	uint64_t start_ns;

	(void)arg;
	CHECK(!thread_set_affinity(thread_current(), &slow));
	become_observer();
	threads[0] = make(&slow, 0, hog, 0);
	threads[1] = make(&slow, 0, hog, 1);
	sleep_for(draw(100 * MS));
	start_ns = host_now_ns;
	CHECK(!thread_set_affinity(threads[0], &cpu_online_mask));
	CHECK(!thread_set_affinity(threads[1], &cpu_online_mask));
	while (cpu_now(threads[0]) < 2 || cpu_now(threads[1]) < 2) {
		sleep_for(MS);
		CHECK(host_now_ns - start_ns < 200 * MS);
	}
	sleep_for(400 * MS);
	CHECK(cpu_now(threads[0]) >= 2 && cpu_now(threads[1]) >= 2);
	CHECK(thread_util(threads[0]) > 1000);
	join_all(2);
}

static void misfits_move_up(void **state)
{
	(void)state;
	run_big_little(grow_first, 20);
}

static void *sometimes(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		host_compute((uintptr_t)arg);
		sleep_for(10 * MS - (uintptr_t)arg);
	}
	return arg;
}

/*
 * What uses a tenth of a fast CPU stays on its slow one; what uses most of it does not go back to a
 * slow one when it wakes.
 */
static void fit_first(void *arg)
{
	struct cpumask slow = mask_of(2), one = mask_of(1);
	unsigned there = 0;

	(void)arg;
	CHECK(!thread_set_affinity(thread_current(), &one));
	become_observer();
	threads[0] = make(&slow, 0, sometimes, MS);
	threads[1] = make(&slow, 0, sometimes, 8 * MS);
	sleep_for(200 * MS);
	CHECK(!thread_set_affinity(threads[0], &cpu_online_mask));
	CHECK(!thread_set_affinity(threads[1], &cpu_online_mask));
	sleep_for(300 * MS);
	for (unsigned i = 0; i < 50; i++) {
		sleep_for(3 * MS);
		CHECK(cpu_now(threads[1]) >= 2);
		there += cpu_now(threads[0]) < 2;
	}
	CHECK(there == 50);
	join_all(2);
}

static void small_ones_stay(void **state)
{
	(void)state;
	run_big_little(fit_first, 20);
}

/* With more hogs than fast CPUs the slow ones work, too. */
static void all_used_first(void *arg)
{
	uint64_t ns;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < 6; i++)
		threads[i] = make(NULL, 0, hog, i);
	sleep_for(50 * MS);
	ns = runtime_of(0, 6);
	sleep_for(500 * MS);
	CHECK(runtime_of(0, 6) - ns >= 4 * 495 * MS);
	no_violations();
	join_all(6);
}

static void slow_ones_are_used(void **state)
{
	(void)state;
	run_big_little(all_used_first, 10);
}

/* ---- real time ------------------------------------------------------------------------------- */

/* Fair threads behind a real-time thread that does not stop are taken to where fair ones run. */
static void behind_rt_first(void *arg)
{
	struct cpumask zero = mask_of(1);
	uint64_t ns[4];

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < 3; i++)
		threads[i] = make(NULL, 0, hog, i);
	sleep_for(20 * MS);
	threads[3] = make(&zero, 0, hog, 3);
	CHECK(!sched_set_policy(threads[3], SCHED_FIFO, 10, 0));
	sleep_for(50 * MS);
	for (unsigned i = 0; i < 3; i++)
		ns[i] = thread_runtime_ns(threads[i]);
	sleep_for(300 * MS);
	for (unsigned i = 0; i < 3; i++)
		CHECK(thread_runtime_ns(threads[i]) - ns[i] > 190 * MS);
	join_all(4);
}

static void behind_real_time(void **state)
{
	struct scenario s = { .first = behind_rt_first, .cpus_from = 3, .cpus_to = 3, .seeds = 10 };

	(void)state;
	run_seeds(&s);
}

/* ---- a move that comes to nothing ------------------------------------------------------------ */

/*
 * The running thread is to go to another CPU, and when it leaves there is none any more: it stays.
 * (What hotplug can do to an active move; on one CPU no interleaving is needed for it.)
 */
static void nowhere_first(void *arg)
{
	struct runqueue *rq = &cpu_at(0)->rq;
	unsigned long flags;

	(void)arg;
	threads[0] = make(NULL, 0, hog, 0);
	for (unsigned i = 0; i < 10; i++) {
		sleep_for(draw(5 * MS));
		flags = spin_lock_irqsave(&rq->lock);
		rq->curr->sched.unusual |= SCHED_MOVE;
		rq->resched = 1;
		spin_unlock(&rq->lock);
		sched_reschedule_self(flags);
		CHECK(!(thread_current()->sched.unusual & SCHED_MOVE));
	}
	sleep_for(MS);
	CHECK(list_empty(&rq->outgoing));
	join_all(1);
}

static void a_move_to_nowhere(void **state)
{
	struct scenario s = { .first = nowhere_first, .cpus_from = 1, .cpus_to = 1, .seeds = 20 };

	(void)state;
	run_seeds(&s);
}

/* ---- quiet ----------------------------------------------------------------------------------- */

/* A hog for each CPU, or none: nobody samples, no CPU has a timer set but the observer's. */
static void quiet_first(void *arg)
{
	struct monitor_counts before, after;
	unsigned n = draw(2) ? cpu_count : 0;

	(void)arg;
	become_observer();
	for (unsigned i = 0; i < n; i++)
		threads[i] = make(NULL, 0, hog, i);
	sleep_for(50 * MS);
	monitor_read(&before);
	for (unsigned i = 0; i < 20; i++) {
		sleep_for(5 * MS);
		for (unsigned c = 0; c < cpu_count; c++)
			CHECK(cpu_at(c)->timers.armed_ns == UINT64_MAX ||
			      cpu_at(c) == thread_current()->sched.cpu);
	}
	monitor_read(&after);
	CHECK(before.samples == after.samples);
	join_all(n);
}

static void no_timers_when_balanced(void **state)
{
	struct scenario s = { .first = quiet_first, .cpus_from = 2, .cpus_to = 5, .seeds = 10 };

	(void)state;
	run_seeds(&s);
}

/* ---- the monitor ----------------------------------------------------------------------------- */

static void *compute_for(void *arg)
{
	host_compute((uintptr_t)arg);
	return arg;
}

/*
 * CPU 1 sleeps and its bit says that it does not, which is what a lost kick leaves behind: the
 * monitor counts it once and sees that it ends. CPU 2 is idle as it should be.
 */
static void fault_first(void *arg)
{
	struct cpumask zero = mask_of(1), both = mask_of(3);
	struct monitor_counts c;
	uint64_t start_ns;

	(void)arg;
	check_conservation = false;
	CHECK(!thread_set_affinity(thread_current(), &zero));
	become_observer();
	sleep_for(5 * MS);
	CHECK(cpu_at(1)->rq.curr == cpu_at(1)->rq.idle);
	cpumask_atomic_reset(&cpu_idle_mask, 1);
	threads[0] = make(&zero, 0, compute_for, 100 * MS);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 10, 0));
	cpu_at(0)->rq.balance_ns = UINT64_MAX; /* nobody compares loads meanwhile */
	threads[1] = make(&zero, 0, compute_for, MS);
	sleep_for(MS);
	start_ns = host_now_ns;
	CHECK(!thread_set_affinity(threads[1], &both));
	CHECK(!thread_join(threads[1], NULL));
	monitor_read(&c);
	CHECK(c.wasted == 1 && c.wasted_last_cpu == 0);
	CHECK(c.wasted_longest_ns >= 3 * MS && host_now_ns - start_ns < 8 * MS);
	CHECK(!thread_join(threads[0], NULL));
	monitor_print();
}

static void monitor_finds_a_fault(void **state)
{
	struct scenario s = { .first = fault_first, .cpus_from = 3, .cpus_to = 4, .seeds = 20 };

	(void)state;
	run_seeds(&s);
}

/* An argument is a pattern: only the tests that match it are run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_hogs),
		cmocka_unit_test(by_weight),
		cmocka_unit_test(by_affinity),
		cmocka_unit_test(release),
		cmocka_unit_test(group_imbalance),
		cmocka_unit_test(group_construction),
		cmocka_unit_test(overload_on_wakeup),
		cmocka_unit_test(missing_domains),
		cmocka_unit_test(near_rather_than_far),
		cmocka_unit_test(misfits_move_up),
		cmocka_unit_test(small_ones_stay),
		cmocka_unit_test(slow_ones_are_used),
		cmocka_unit_test(behind_real_time),
		cmocka_unit_test(a_move_to_nowhere),
		cmocka_unit_test(no_timers_when_balanced),
		cmocka_unit_test(monitor_finds_a_fault),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
