/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes by sched_set_attr(): what is refused and why, what is read back, and what slices and
 * the policies BATCH and IDLE do. All on CPU 0; bounds are tight in virtual time.
 */
#include "sched/sched.h"
#include "tests/target/test.h"
#include "tests/target/turns.h"

static struct sched_attr fair_attr(uint64_t slice_ns)
{
	return (struct sched_attr){ .size = sizeof(struct sched_attr), .sched_runtime = slice_ns };
}

TEST(attr_out_of_range_is_refused_and_named)
{
	const struct {
		struct sched_attr attr;
		const char *field;
	} bad[] = {
		{ { .size = 8 }, "size" },
		{ { .size = 48, .sched_policy = 4 }, "sched_policy" },
		{ { .size = 48, .sched_flags = 1 }, "sched_flags" },
		{ { .size = 48, .sched_nice = 20 }, "sched_nice" },
		{ { .size = 48, .sched_policy = SCHED_BATCH, .sched_nice = -21 }, "sched_nice" },
		{ { .size = 48, .sched_policy = SCHED_FIFO }, "sched_priority" },
		{ { .size = 48, .sched_priority = 1 }, "sched_priority" },
		{ { .size = 48, .sched_runtime = SCHED_SLICE_MIN_NS - 1 }, "sched_runtime" },
		{ { .size = 48, .sched_runtime = SCHED_SLICE_MAX_NS + 1 }, "sched_runtime" },
		{ { .size = 48, .sched_deadline = 1 }, "sched_deadline" },
		{ { .size = 48, .sched_period = 1 }, "sched_period" },
	};
	struct sched_attr before, after;
	const char *expected;

	sched_get_attr(thread_current(), &before);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *field = sched_attr_fault(&bad[i].attr, &expected);

		CHECK_TEXT(field ? field : "none", bad[i].field);
		CHECK_EQ(sched_set_attr(thread_current(), &bad[i].attr), -EINVAL);
	}
	sched_get_attr(thread_current(), &after);
	CHECK(!memcmp(&before, &after, sizeof(before)));
}

TEST(attr_is_read_back)
{
	struct sched_attr set[] = {
		{ .size = 48, .sched_nice = -7, .sched_runtime = 250000 },
		{ .size = 48,
		  .sched_policy = SCHED_BATCH,
		  .sched_nice = 3,
		  .sched_runtime = 9000000 },
		{ .size = 48, .sched_policy = SCHED_IDLE, .sched_runtime = SCHED_SLICE_MAX_NS },
		{ .size = 48, .sched_policy = SCHED_RR, .sched_priority = 40 },
		{ .size = 48, .sched_runtime = FAIR_SLICE_NS },
	};
	struct sched_attr got;

	for (unsigned i = 0; i < ARRAY_SIZE(set); i++) {
		CHECK_EQ(sched_set_attr(thread_current(), &set[i]), 0);
		sched_get_attr(thread_current(), &got);
		CHECK(!memcmp(&set[i], &got, sizeof(got)));
	}
}

TEST(attr_slice_is_the_turn)
{
	const uint64_t slice_ns = NSEC_PER_MSEC, slack_ns = 10 * NSEC_PER_USEC;
	struct sched_attr attr = fair_attr(slice_ns);
	struct thread *t[2];

	SKIP_UNLESS(test_time_is_virtual(), "needs virtual time");
	turns_n = 0;
	become(0, SCHED_FIFO, 90);
	turns_end_ns = time_now_ns() + 60 * NSEC_PER_MSEC;
	for (unsigned i = 0; i < 2; i++) {
		t[i] = spawn(0, SCHED_OTHER, 0, take_turns, (void *)(uintptr_t)('a' + i));
		CHECK_EQ(sched_set_attr(t[i], &attr), 0);
	}
	join(t[0]);
	join(t[1]);
	CHECK_GE(turns_n, 25);
	for (unsigned i = 2; i + 1 < turns_n; i++) {
		CHECK_LE(turn_ns(i), 2 * slice_ns + slack_ns);
		CHECK_GE(turn_ns(i) + slack_ns, slice_ns);
	}
}

/* ---- wake-ups beside a hog ------------------------------------------------------------------- */

static volatile bool stop;

static void *compute(void *arg)
{
	while (!stop)
		;
	return arg;
}

static void *measure(void *arg)
{
	uint64_t *worst_ns = arg;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t due_ns = time_now_ns() + 1700 * NSEC_PER_USEC;

		thread_sleep_until(due_ns);
		if (i >= 10)
			*worst_ns = MAX(*worst_ns, time_now_ns() - due_ns);
	}
	return NULL;
}

/* The longest wake-up of a thread with @waker's attributes beside a thread with @hog's. */
static uint64_t worst_wakeup_ns(struct sched_attr waker, struct sched_attr hog)
{
	uint64_t worst_ns = 0;
	struct thread *t[2];

	stop = false;
	become(0, SCHED_FIFO, 90);
	t[0] = spawn_nice(0, 0, compute, NULL);
	CHECK_EQ(sched_set_attr(t[0], &hog), 0);
	t[1] = spawn_nice(0, 0, measure, &worst_ns);
	CHECK_EQ(sched_set_attr(t[1], &waker), 0);
	join(t[1]);
	stop = true;
	join(t[0]);
	return worst_ns;
}

TEST(attr_short_slice_wakes_at_once)
{
	uint64_t ns = worst_wakeup_ns(fair_attr(SCHED_SLICE_MIN_NS), fair_attr(0));

	CHECK_TIMED_LE(ns, test_time_is_virtual() ? 100 * NSEC_PER_USEC : NSEC_PER_SEC);
}

/* An equal waits until the other has had its share, which is within its slice. */
TEST(attr_equal_slice_waits_for_one_at_most)
{
	uint64_t ns = worst_wakeup_ns(fair_attr(0), fair_attr(0));

	CHECK_TIMED_LE(ns, FAIR_SLICE_NS +
				   (test_time_is_virtual() ? 20 * NSEC_PER_USEC : NSEC_PER_SEC));
}

TEST(attr_batch_takes_the_cpu_from_nobody)
{
	struct sched_attr batch = fair_attr(SCHED_SLICE_MIN_NS);
	uint64_t ns;

	batch.sched_policy = SCHED_BATCH;
	ns = worst_wakeup_ns(batch, fair_attr(0));
	CHECK_TIMED_LE(ns, FAIR_SLICE_NS +
				   (test_time_is_virtual() ? 20 * NSEC_PER_USEC : NSEC_PER_SEC));
	if (test_time_is_virtual())
		CHECK_GE(ns, NSEC_PER_MSEC);
}

TEST(attr_idle_gives_way_at_once)
{
	struct sched_attr idle = fair_attr(0);
	uint64_t ns;

	idle.sched_policy = SCHED_IDLE;
	ns = worst_wakeup_ns(fair_attr(0), idle);
	CHECK_TIMED_LE(ns, test_time_is_virtual() ? 40 * NSEC_PER_USEC : NSEC_PER_SEC);
}

/* Weights 1024 and 3. */
TEST(attr_idle_gets_what_is_left)
{
	struct sched_attr idle = fair_attr(0);
	struct thread *t[2];
	uint64_t ns[2];

	idle.sched_policy = SCHED_IDLE;
	stop = false;
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 2; i++)
		t[i] = spawn_nice(0, 0, compute, NULL);
	CHECK_EQ(sched_set_attr(t[1], &idle), 0);
	sleep_us(2000000);
	for (unsigned i = 0; i < 2; i++)
		ns[i] = thread_runtime_ns(t[i]);
	stop = true;
	join(t[0]);
	join(t[1]);
	CHECK_TIMED_GE(ns[0], 100 * ns[1]);
	if (test_time_is_virtual())
		CHECK_GE(ns[1], 2 * NSEC_PER_MSEC);
}
