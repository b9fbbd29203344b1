/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fairness between CPUs, on the target's own clock: threads that do not divide by the CPUs take
 * turns, all CPUs are used; what the utilisation average and the topology say. Bounds only tell
 * right from wrong: the host may stop a virtual CPU for a while.
 */
#include "core/topology.h"
#include "sched/monitor.h"
#include "sched/util.h"
#include "tests/target/test.h"

#define HOGS_MAX 13

static uint32_t stop;

static void *hog(void *arg)
{
	while (!atomic_load_relaxed(&stop))
		;
	return arg;
}

/* Spread of the CPU time of @n hogs that may run on CPUs 0..3, in per cent of their mean. */
static unsigned spread_of(unsigned n)
{
	struct thread *t[HOGS_MAX];
	uint64_t before[HOGS_MAX], least = UINT64_MAX, most = 0, sum = 0;
	struct cpumask four = { .bits = { 0xf } };

	stop = 0;
	for (unsigned i = 0; i < n; i++) {
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, hog, NULL);
		CHECK_EQ(thread_set_affinity(t[i], &four), 0);
	}
	sleep_us(100000);
	for (unsigned i = 0; i < n; i++)
		before[i] = thread_runtime_ns(t[i]);
	sleep_us(1000000);
	for (unsigned i = 0; i < n; i++) {
		uint64_t ns = thread_runtime_ns(t[i]) - before[i];

		least = MIN(least, ns);
		most = MAX(most, ns);
		sum += ns;
	}
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
	return (unsigned)((most - least) * n * 100 / sum);
}

/* Left where they are, one of five would have half of what three others have: 62 %. */
TEST(five_hogs_on_four_cpus_take_turns)
{
	NEEDS_CPUS(4);
	SKIP_UNLESS(!test_time_is_virtual(), "virtual CPUs take turns of 100 ms in virtual time");
	become(0, SCHED_FIFO, 90);
	CHECK_TIMED_LE(spread_of(5), 30u);
	monitor_print();
}

/* Left where they are: 50 %. */
TEST(six_hogs_on_four_cpus_take_turns)
{
	NEEDS_CPUS(4);
	SKIP_UNLESS(!test_time_is_virtual(), "virtual CPUs take turns of 100 ms in virtual time");
	become(0, SCHED_FIFO, 90);
	CHECK_TIMED_LE(spread_of(6), 30u);
}

TEST(utilisation_follows_work_and_sleep)
{
	struct thread *t;

	stop = 0;
	become(0, SCHED_FIFO, 90);
	t = spawn(0, SCHED_OTHER, 0, hog, NULL);
	sleep_us(300000);
	CHECK_TIMED_GE(thread_util(t), 900u);
	CHECK_LE(thread_util(t), UTIL_MAX);
	CHECK_TIMED_LE(thread_util(thread_current()), 100u);
	atomic_store_relaxed(&stop, 1u);
	join(t);
}

/* QEMU's machines: every CPU in one cluster and equally fast, and each sees all others. */
TEST(topology_of_equal_cpus)
{
	CHECK_EQ(topology.levels, 1);
	for (unsigned i = 0; i < cpu_count; i++) {
		uint32_t seen = 0;

		CHECK_EQ(cpu_capacity(i), TOPOLOGY_CAPACITY_MAX);
		CHECK(cpumask_test(cpu_cluster_mask(i), i) && cpumask_test(cpu_cache_mask(i), i));
		for (unsigned j = 0; j + 1 < cpu_count; j++)
			seen += topology.nearest[i][j] + 1;
		CHECK_EQ(seen + i + 1, cpu_count * (cpu_count + 1) / 2);
	}
}
