/* SPDX-License-Identifier: BSD-2-Clause */
/* The fair class's server: what fair threads get behind a FIFO thread that does not stop. */
#include "tests/target/test.h"
#include "sched/sched.h"
#include "sched/server.h"

#define BUDGET_US 10000ull
#define PERIOD_US 50000ull
#define PERIODS   6

static uint32_t over;

static void *be_busy(void *arg)
{
	while (!atomic_load_relaxed(&over))
		;
	return arg;
}

/* What a fair thread behind a hog on @cpu got in PERIODS periods, in microseconds. */
static uint64_t share_us(int cpu)
{
	struct thread *hog, *fair;
	uint64_t before_ns, got_ns;

	atomic_store_relaxed(&over, 0u);
	become(ANY_CPU, SCHED_FIFO, 99);
	hog = spawn(cpu, SCHED_FIFO, 50, be_busy, NULL);
	fair = spawn(cpu, SCHED_OTHER, 0, be_busy, NULL);
	sleep_us(2 * PERIOD_US);
	before_ns = thread_runtime_ns(fair);
	sleep_us(PERIODS * PERIOD_US);
	got_ns = thread_runtime_ns(fair) - before_ns;
	atomic_store_relaxed(&over, 1u);
	join(hog);
	join(fair);
	return got_ns / 1000;
}

TEST(fair_server_keeps_fair_alive)
{
	uint64_t us;

	CHECK_EQ(fair_server_set(BUDGET_US, PERIOD_US), 0);
	us = share_us((int)test_cpus() - 1);
	CHECK_EQ(fair_server_set(50000, 1000000), 0);
	/* this thread's own sleep may end within a budget */
	CHECK_TIMED_GE(us, (PERIODS - 1) * BUDGET_US);
	if (test_time_is_virtual()) /* else the host may stop the CPU while they are served */
		CHECK_LE(us, (PERIODS + 1) * BUDGET_US);
}

TEST(fair_server_can_be_off)
{
	uint64_t us;

	CHECK_EQ(fair_server_set(0, PERIOD_US), 0);
	us = share_us((int)test_cpus() - 1);
	CHECK_EQ(fair_server_set(50000, 1000000), 0);
	CHECK_TIMED_LE(us, 0);
}

TEST(fair_server_refuses_bad_times)
{
	CHECK_EQ(fair_server_set(50000, 1000000), 0);
	CHECK_EQ(fair_server_set(PERIOD_US + 1, PERIOD_US), -EINVAL);
	CHECK_EQ(fair_server_set(1, FAIR_SERVER_PERIOD_MIN_US - 1), -EINVAL);
	CHECK_EQ(fair_server_set(1, FAIR_SERVER_PERIOD_MAX_US + 1), -EINVAL);
	CHECK_EQ(fair_server_us, 50000);
	CHECK_EQ(fair_server_period_us, 1000000);
}

/* @rq's lock is held for two periods; at the end, is its server's timer about to run? */
static bool expires_in_vain(struct runqueue *rq, const struct timer *timer)
{
	uint64_t end_ns = time_now_ns() + 2 * PERIOD_US * 1000;
	unsigned long flags = spin_lock_irqsave(&rq->lock);
	bool expired;

	while (atomic_load_relaxed(&timer->armed) && time_now_ns() < end_ns)
		arch_cpu_relax();
	expired = !atomic_load_relaxed(&timer->armed);
	if (expired)
		server_fair_waits(rq);
	spin_unlock_irqrestore(&rq->lock, flags);
	return expired;
}

/*
 * A fair thread is woken for CPU 0 while the timer of its server, which has expired there, waits for
 * the lock of the queue: it is armed again, and then not a second time.
 */
TEST(fair_server_is_armed_while_its_timer_waits)
{
	struct thread *hog, *fair;
	uint64_t before_ns;
	int tries = 20;

	NEEDS_CPUS(2);
	atomic_store_relaxed(&over, 0u);
	become(0, SCHED_FIFO, 99);
	hog = spawn(0, SCHED_FIFO, 50, be_busy, NULL);
	fair = spawn(0, SCHED_OTHER, 0, be_busy, NULL);
	CHECK_EQ(fair_server_set(BUDGET_US, PERIOD_US), 0); /* here: armed on this CPU */
	become(1, SCHED_FIFO, 99);
	do /* CPU 0 may wait for the lock elsewhere, and take no interrupt */
		sleep_us(PERIOD_US / 3);
	while (!expires_in_vain(&cpu_at(0)->rq, &cpu_at(0)->server.timer) && --tries);
	CHECK(tries);
	before_ns = thread_runtime_ns(fair);
	sleep_us(3 * PERIOD_US);
	CHECK(thread_runtime_ns(fair) > before_ns);
	CHECK_EQ(fair_server_set(50000, 1000000), 0);
	atomic_store_relaxed(&over, 1u);
	join(hog);
	join(fair);
}
