/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where threads run: only where their mask allows, on idle CPUs by preference, and never waiting
 * while a CPU that they may use idles.
 */
#include "tests/target/test.h"

static uint32_t stop;

static void *count_loops(void *arg)
{
	uint32_t *loops = arg;

	while (!atomic_load_relaxed(&stop))
		atomic_store_relaxed(loops, *loops + 1);
	return NULL;
}

/* ---- masks ----------------------------------------------------------------------------------- */

static void *stay_on_cpu(void *arg)
{
	unsigned cpu = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(current_cpu(), cpu);
		if (i % 10 == 0)
			sleep_us(50);
		else
			sched_yield_current();
	}
	return NULL;
}

TEST(pinned_threads_stay)
{
	static struct thread *t[2 * ARCH_CPU_MAX];
	unsigned n = test_cpus();

	for (unsigned i = 0; i < 2 * n; i++)
		t[i] = spawn((int)(i % n), i < n ? SCHED_OTHER : SCHED_FIFO, i < n ? 0 : 10,
			     stay_on_cpu, (void *)(uintptr_t)(i % n));
	for (unsigned i = 0; i < 2 * n; i++)
		join(t[i]);
}

TEST(affinity_moves_oneself_at_once)
{
	for (unsigned round = 0; round < 20; round++)
		for (unsigned cpu = 0; cpu < test_cpus(); cpu++) {
			struct cpumask mask = one_cpu(cpu);

			CHECK_EQ(thread_set_affinity(thread_current(), &mask), 0);
			CHECK_EQ(current_cpu(), cpu);
		}
}

TEST(affinity_of_a_running_thread)
{
	uint32_t loops = 0, seen;
	struct thread *t;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 20);
	stop = 0;
	t = spawn(1, SCHED_FIFO, 10, count_loops, &loops);
	wait_for_flag(&loops);
	for (unsigned i = 0; i < 10; i++) {
		unsigned cpu = (i + 2) % test_cpus();
		struct cpumask mask = one_cpu(cpu);

		CHECK_EQ(thread_set_affinity(t, &mask), 0);
		for (unsigned tries = 0;
		     tries < 10000 && atomic_load_relaxed(&t->sched.cpu)->index != cpu; tries++)
			sleep_us(100);
		CHECK_EQ(t->sched.cpu->index, cpu);
		seen = atomic_load_relaxed(&loops);
		for (unsigned tries = 0; tries < 10000 && atomic_load_relaxed(&loops) == seen;
		     tries++)
			sleep_us(100);
		CHECK(atomic_load_relaxed(&loops) != seen);
	}
	atomic_store_relaxed(&stop, 1u);
	join(t);
}

static void *report_cpu(void *arg)
{
	if (arg)
		semaphore_wait(arg);
	return (void *)(uintptr_t)current_cpu();
}

TEST(affinity_of_a_queued_thread)
{
	static const int policy[2] = { SCHED_OTHER, SCHED_FIFO };
	struct cpumask mask = one_cpu(1);

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	for (unsigned i = 0; i < 2; i++) {
		struct thread *t = spawn(0, policy[i], policy[i] ? 10 : 0, report_cpu, NULL);
		uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

		CHECK_EQ(t->exited, false);
		CHECK_EQ(thread_set_affinity(t, &mask), 0);
		/* This thread keeps CPU 0: only on CPU 1 can the other one end. */
		while (!atomic_load_acquire(&t->exited) && time_now_ns() < end_ns)
			arch_cpu_relax();
		CHECK_EQ((uintptr_t)join(t), 1);
	}
}

TEST(affinity_of_a_blocked_thread)
{
	struct semaphore s = SEMAPHORE_INIT(0);
	struct cpumask mask = one_cpu(1);
	struct thread *t;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	t = spawn(0, SCHED_FIFO, 60, report_cpu, &s);
	CHECK_EQ(thread_set_affinity(t, &mask), 0);
	semaphore_post(&s);
	CHECK_EQ((uintptr_t)join(t), 1);
}

/* Back before it was carried out. */
TEST(affinity_changed_twice)
{
	struct cpumask there = one_cpu(1), here = one_cpu(0);
	struct semaphore s = SEMAPHORE_INIT(0);
	struct thread *t;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	t = spawn(0, SCHED_FIFO, 60, report_cpu, &s);
	CHECK_EQ(thread_set_affinity(t, &there), 0);
	CHECK_EQ(thread_set_affinity(t, &here), 0);
	semaphore_post(&s);
	CHECK_EQ((uintptr_t)join(t), 0);
	for (unsigned i = 0; i < 50; i++) {
		t = spawn(0, SCHED_OTHER, 0, report_cpu, NULL);
		CHECK_EQ(thread_set_affinity(t, &there), 0);
		CHECK_EQ(thread_set_affinity(t, &here), 0);
		join(t);
	}
}

TEST(affinity_inherited_from_the_creator)
{
	struct thread *t;

	become((int)test_cpus() - 1, SCHED_OTHER, 0);
	REQUIRE(!thread_create(&t, NULL, report_cpu, NULL));
	CHECK_EQ((uintptr_t)join(t), test_cpus() - 1);
}

/* ---- balance --------------------------------------------------------------------------------- */

/* CPU 0 is kept busy by this thread; whoever wakes may go where nobody runs. */
TEST(wake_prefers_an_idle_cpu)
{
	struct semaphore s = SEMAPHORE_INIT(0);
	struct cpumask all = cpu_online_mask;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	for (unsigned i = 0; i < 20; i++) {
		struct thread *t = spawn(0, SCHED_OTHER, 0, report_cpu, &s);
		uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

		wait_until_blocked(t);
		CHECK_EQ(thread_set_affinity(t, &all), 0);
		sleep_us(200); /* the other CPUs are idle now */
		semaphore_post(&s);
		while (!atomic_load_acquire(&t->exited) && time_now_ns() < end_ns)
			arch_cpu_relax();
		CHECK(join(t) != NULL);
	}
}

/*
 * Threads that all begin on CPU 0, free to go: idle CPUs take them, and each runs although CPU 0 is
 * never free.
 */
TEST(idle_cpus_pull)
{
	static uint32_t loops[ARCH_CPU_MAX];
	static struct thread *t[ARCH_CPU_MAX];
	struct cpumask all = cpu_online_mask;
	unsigned n = test_cpus() - 1, running = 0;
	uint64_t end_ns;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	stop = 0;
	for (unsigned i = 0; i < n; i++) {
		loops[i] = 0;
		t[i] = spawn(0, i % 2 ? SCHED_OTHER : SCHED_FIFO, i % 2 ? 0 : 10, count_loops,
			     &loops[i]);
	}
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(thread_set_affinity(t[i], &all), 0);
	end_ns = time_now_ns() + 20 * NSEC_PER_SEC;
	while (running < n && time_now_ns() < end_ns) {
		running = 0;
		for (unsigned i = 0; i < n; i++)
			running += atomic_load_relaxed(&loops[i]) != 0;
	}
	CHECK_EQ(running, n);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

/* As many busy threads as CPUs: each has one for itself before long. */
TEST(busy_threads_spread_over_all_cpus)
{
	static uint32_t loops[ARCH_CPU_MAX];
	static struct thread *t[ARCH_CPU_MAX];
	struct cpumask used;
	unsigned n = test_cpus(), spread = 0;

	become(ANY_CPU, SCHED_FIFO, 50);
	stop = 0;
	for (unsigned i = 0; i < n; i++)
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, count_loops, &loops[i]);
	for (unsigned tries = 0; tries < 200 && spread < n; tries++) {
		sleep_us(5000);
		cpumask_clear(&used);
		for (unsigned i = 0; i < n; i++)
			cpumask_set(&used, atomic_load_relaxed(&t[i]->sched.cpu)->index);
		spread = cpumask_count(&used);
	}
	CHECK_EQ(spread, n);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

/*
 * No CPU idles while a thread that may run there waits: one fewer CPU than busy threads, in pairs
 * of pinned and free ones.
 */
TEST(free_threads_avoid_busy_pinned_ones)
{
	static uint32_t loops[2];
	struct thread *pinned, *loose;
	uint64_t before;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	stop = 0;
	loose = spawn(1, SCHED_OTHER, 0, count_loops, &loops[0]);
	thread_set_affinity(loose, &cpu_online_mask);
	pinned = spawn(1, SCHED_OTHER, 0, count_loops, &loops[1]);
	sleep_us(50000);
	before = thread_runtime_ns(loose) + thread_runtime_ns(pinned);
	sleep_us(50000);
	/*
	 * This thread sleeps, so CPU 0 is free: together they get two CPUs' time. In QEMU's virtual
	 * time CPUs take turns; it counts for both.
	 */
	CHECK_TIMED_GE(thread_runtime_ns(loose) + thread_runtime_ns(pinned) - before,
		       80 * NSEC_PER_MSEC);
	atomic_store_relaxed(&stop, 1u);
	join(pinned);
	join(loose);
}

/* ---- every CPU ------------------------------------------------------------------------------- */

TEST(every_cpu_sleeps_and_wakes)
{
	static struct thread *t[ARCH_CPU_MAX];
	unsigned n = test_cpus();

	for (unsigned i = 0; i < n; i++)
		t[i] = spawn((int)i, SCHED_FIFO, 10, stay_on_cpu, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

TEST(cpu_numbers_are_consistent)
{
	CHECK_LE(test_cpus(), cpu_count);
	for (unsigned i = 0; i < cpu_count; i++) {
		CHECK_EQ(cpu_at(i)->index, i);
		for (unsigned j = 0; j < i; j++)
			CHECK(cpu_at(i)->hwid != cpu_at(j)->hwid);
	}
}
