/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real time on several CPUs: the best run, whoever else waits. Twice as many busy FIFO threads as
 * CPUs, who may run anywhere; who got CPU time says who ran.
 */
#include "tests/target/test.h"

#define BUSY_MAX  16
#define SETTLE_US (20 * 1000)
#define LOOK_US   (60 * 1000)
#define LEAST_NS  (45 * NSEC_PER_MSEC) /* of one that runs all the time */
#define MOST_NS   (3 * NSEC_PER_MSEC)  /* of one that only fills gaps of interrupts */
#define LOWEST    10

static struct thread *busy[BUSY_MAX];
static uint64_t used_ns[BUSY_MAX];
static uint32_t over;

static void *be_busy(void *arg)
{
	while (!atomic_load_relaxed(&over))
		;
	return arg;
}

static unsigned start_busy(void)
{
	unsigned n = 2 * MIN(test_cpus(), BUSY_MAX / 2u);

	over = 0;
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < n; i++)
		busy[i] = spawn(ANY_CPU, SCHED_FIFO, LOWEST + (int)i, be_busy, NULL);
	sleep_us(SETTLE_US);
	return n;
}

static void end_busy(unsigned n)
{
	atomic_store_relaxed(&over, 1u);
	for (unsigned i = 0; i < n; i++)
		join(busy[i]);
}

static void look(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		used_ns[i] = thread_runtime_ns(busy[i]);
	sleep_us(LOOK_US);
	for (unsigned i = 0; i < n; i++)
		used_ns[i] = thread_runtime_ns(busy[i]) - used_ns[i];
}

/*
 * Looks until those of @best ran all the time and nobody else did: a host that keeps a CPU of the
 * emulator waiting keeps the interrupt that moves a thread waiting, too.
 */
static bool only_these_ran(unsigned n, uint32_t best)
{
	for (unsigned tries = 0; tries < 20; tries++) {
		unsigned right = 0;

		look(n);
		for (unsigned i = 0; i < n; i++)
			right += best >> i & 1 ? used_ns[i] >= LEAST_NS : used_ns[i] <= MOST_NS;
		if (right == n)
			return true;
	}
	return false;
}

/* The better half of @n. */
static uint32_t upper_half(unsigned n)
{
	return (1u << n) - (1u << n / 2);
}

TEST(rt_best_run_on_all_cpus)
{
	unsigned n = start_busy();

	CHECK(only_these_ran(n, upper_half(n)));
	end_busy(n);
}

/* The worst becomes the best, and the best the worst: they change places, wherever they are. */
TEST(rt_priority_change_moves_who_runs)
{
	unsigned n = start_busy();

	CHECK_EQ(sched_set_policy(busy[0], SCHED_FIFO, 80, 0), 0);
	CHECK_EQ(sched_set_policy(busy[n - 1], SCHED_FIFO, 1, 0), 0);
	CHECK(only_these_ran(n, (upper_half(n) | 1) & ~(1u << (n - 1))));
	end_busy(n);
}

/* One that has a single CPU takes it from a better placed one, who takes another from the worst. */
TEST(rt_displaced_goes_on_elsewhere)
{
	struct thread *pinned;
	unsigned n;

	NEEDS_CPUS(2);
	n = start_busy();
	pinned = spawn((int)test_cpus() - 1, SCHED_FIFO, 70, be_busy, NULL);
	CHECK(only_these_ran(n, upper_half(n) & ~(1u << n / 2)));
	end_busy(n);
	join(pinned);
}

static void *sleep_and_work(void *arg)
{
	uint64_t seed = 77 + (uintptr_t)arg;

	while (!atomic_load_relaxed(&over)) {
		spin_us(random_below(&seed, 200));
		if (random_below(&seed, 4))
			sleep_us(1 + random_below(&seed, 300));
		else
			CHECK_EQ(sched_set_policy(thread_current(), SCHED_FIFO,
						  1 + (int)random_below(&seed, 60), 0),
				 0);
	}
	return NULL;
}

/* Everybody sleeps, wakes and changes; nobody is lost, and the machine goes on. */
TEST(rt_storm_over_cpus)
{
	unsigned n = 3 * MIN(test_cpus(), BUSY_MAX / 3u);

	over = 0;
	become(ANY_CPU, SCHED_FIFO, 90);
	for (unsigned i = 0; i < n; i++)
		busy[i] = spawn(ANY_CPU, i & 1 ? SCHED_RR : SCHED_FIFO, 1 + (int)i, sleep_and_work,
				(void *)(uintptr_t)i);
	sleep_us(test_seconds() * 300000ull);
	end_busy(n);
}
