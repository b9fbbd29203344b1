/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_SPORADIC on the target: the priority falls when the budget is used up, and rises one period
 * after its use began, exactly; those in between have the rest.
 */
#include "sched/sporadic.h"
#include "tests/target/busy.h"

#define MS NSEC_PER_MSEC

static uint64_t slack_ns(void)
{
	return test_time_is_virtual() ? 20000 : 4 * MS;
}

static struct sched_attr sporadic(uint64_t budget_ns, uint64_t period_ns)
{
	return (struct sched_attr){ .size = sizeof(struct sched_attr),
				    .sched_policy = SCHED_SPORADIC,
				    .sched_priority = 60,
				    .sched_nice = 10,
				    .sched_flags = 4,
				    .sched_runtime = budget_ns,
				    .sched_period = period_ns };
}

struct turn {
	uint64_t begin_ns, low_ns, high_ns;
};

/* Alone on its CPU, it runs with both priorities. */
static void *run_through(void *arg)
{
	const struct sched_attr a = sporadic(3 * MS, 10 * MS);
	struct turn *turn = arg;
	const struct sporadic *s;

	CHECK_EQ(sched_set_attr(thread_current(), &a), 0);
	s = thread_current()->sched.sporadic;
	turn->begin_ns = time_now_ns();
	while (!atomic_load_relaxed(&s->is_low))
		;
	turn->low_ns = time_now_ns();
	while (atomic_load_relaxed(&s->is_low))
		;
	turn->high_ns = time_now_ns();
	return NULL;
}

TEST(sporadic_priority_falls_and_rises_in_time)
{
	struct turn turn = { 0 };

	REQUIRE(!sched_sporadic_use());
	become(0, SCHED_FIFO, 90);
	join(spawn(0, SCHED_FIFO, 50, run_through, &turn));
	CHECK_GE(turn.low_ns - turn.begin_ns + slack_ns(), 3 * MS);
	CHECK_GE(turn.high_ns - turn.begin_ns + slack_ns(), 10 * MS);
	if (test_time_is_virtual()) { /* else the host may stop the CPU for periods */
		CHECK_LE(turn.low_ns - turn.begin_ns, 3 * MS + slack_ns());
		CHECK_LE(turn.high_ns - turn.begin_ns, 10 * MS + slack_ns());
	}
}

/* 3 ms of each 10, whatever it wants; a thread between its priorities has the rest. */
TEST(sporadic_budget_is_exact)
{
	const struct sched_attr a = sporadic(3 * MS, 10 * MS);
	struct thread *two[2]; /* the sporadic one, and the one between its priorities */
	uint64_t ns[2];

	REQUIRE(!sched_sporadic_use());
	become(0, SCHED_FIFO, 90);
	stop = false;
	two[0] = spawn(0, SCHED_OTHER, 0, spin, NULL);
	two[1] = spawn(0, SCHED_FIFO, 30, spin, NULL);
	CHECK_EQ(sched_set_attr(two[0], &a), 0);
	measure_two(two, 200000, ns);
	CHECK_TIMED_LE(ns[0], 60 * MS + 3 * slack_ns());
	CHECK_TIMED_GE(ns[0], 57 * MS - 3 * slack_ns());
	CHECK_TIMED_GE(ns[1], 138 * MS - 3 * slack_ns());
	stop = true;
	join(two[0]);
	join(two[1]);
}
