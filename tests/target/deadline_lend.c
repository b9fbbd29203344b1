/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines that are lent on the target: an owner has the lender's budget in each of his periods, at
 * his deadline, and nobody else loses more; a chain over two CPUs; a time-out takes it back.
 */
#include "core/sync.h"
#include "sched/deadline.h"
#include "sched/server.h"
#include "tests/target/busy.h"

#define MS NSEC_PER_MSEC

static struct mutex outer, inner;
static struct semaphore gate, held;
static volatile uint64_t done_ns;

static uint64_t slack_ns(void)
{
	return test_time_is_virtual() ? 100000 : 4 * MS;
}

static int set_deadline(struct thread *t, uint64_t runtime_ns, uint64_t period_ns)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_runtime = runtime_ns,
				      .sched_deadline = period_ns };

	REQUIRE(!sched_deadline_use());
	REQUIRE(!fair_server_set(0, 1000000)); /* all of the limit is for deadlines */
	return sched_set_attr(t, &a);
}

static void begin(void)
{
	become(0, SCHED_FIFO, 90);
	stop = false;
	done_ns = 0;
	mutex_init(&outer);
	mutex_init(&inner);
	semaphore_init(&gate, 0);
	semaphore_init(&held, 0);
}

static void let_bandwidth_go(void)
{
	for (unsigned i = 0; i < 100 && deadline_in_use(); i++)
		sleep_us(10000);
	CHECK_EQ(deadline_in_use(), 0);
}

/* So much CPU time of its own, in the section. */
static void work(uint64_t ns)
{
	uint64_t end_ns = thread_runtime_ns(thread_current()) + ns;

	while (thread_runtime_ns(thread_current()) < end_ns)
		;
}

static void *hold_and_work(void *arg)
{
	CHECK_EQ(mutex_lock(&outer), 0);
	semaphore_post(&held);
	semaphore_wait(&gate);
	work((uint64_t)(uintptr_t)arg);
	done_ns = time_now_ns();
	CHECK_EQ(mutex_unlock(&outer), 0);
	return NULL;
}

static void *take_outer(void *arg)
{
	CHECK_EQ(set_deadline(thread_current(), 1 * MS, 10 * MS), 0);
	CHECK_EQ(mutex_lock(&outer), 0);
	CHECK_EQ(mutex_unlock(&outer), 0);
	return arg;
}

/* 3.5 ms of a section with 1 ms in 10: 30.5 ms. FIFO has the rest. */
TEST(deadline_lent_budget_is_exact)
{
	struct thread *owner, *lender, *hog;
	uint64_t begin_ns, hog_ns;

	begin();
	owner = spawn(0, SCHED_OTHER, 0, hold_and_work, (void *)(uintptr_t)(3500000));
	semaphore_wait(&held);
	hog = spawn(0, SCHED_FIFO, 50, spin, NULL);
	semaphore_post(&gate); /* it gets to run by the loan alone */
	begin_ns = time_now_ns();
	lender = spawn(0, SCHED_FIFO, 91, take_outer, NULL);
	hog_ns = thread_runtime_ns(hog);
	sleep_us(60000);
	hog_ns = thread_runtime_ns(hog) - hog_ns;
	join(lender);
	if (test_time_is_virtual()) { /* else the host may stop the CPU for periods */
		CHECK_GE(done_ns - begin_ns + slack_ns(), 30 * MS);
		CHECK_LE(done_ns - begin_ns, 31 * MS + slack_ns());
		CHECK_GE(hog_ns, 55 * MS - slack_ns());
	}
	stop = true;
	join(hog);
	join(owner);
	let_bandwidth_go();
}

static void *link(void *arg)
{
	CHECK_EQ(mutex_lock(&inner), 0);
	semaphore_post(&held);
	CHECK_EQ(mutex_lock(&outer), 0);
	CHECK_EQ(mutex_unlock(&outer), 0);
	CHECK_EQ(mutex_unlock(&inner), 0);
	return arg;
}

static void *take_inner(void *arg)
{
	uint64_t until_ns = arg ? time_now_ns() + 300 * MS : UINT64_MAX;

	CHECK_EQ(set_deadline(thread_current(), 5 * MS, 20 * MS), 0);
	CHECK_EQ(mutex_lock_until(&inner, until_ns), arg ? -ETIMEDOUT : 0);
	if (!arg)
		CHECK_EQ(mutex_unlock(&inner), 0);
	return arg;
}

/* In real time the host may have used up the lender's budget before he waits: then a period later. */
static void wait_until_lent(struct thread *owner)
{
	for (unsigned i = 0; i < 250 && owner->sched.rank != RANK_DEADLINE; i++)
		sleep_us(1000);
	CHECK_EQ(owner->sched.rank, RANK_DEADLINE);
}

/* The owner at the end of a chain goes before FIFO; a lender who gives up takes it back. */
TEST(deadline_lent_along_a_chain)
{
	unsigned other = cpu_count - 1;
	struct thread *owner, *middle, *first, *second, *hog;

	begin();
	owner = spawn(0, SCHED_OTHER, 0, hold_and_work, (void *)(uintptr_t)(2 * MS));
	semaphore_wait(&held);
	middle = spawn(other, SCHED_OTHER, 0, link, NULL);
	semaphore_wait(&held);
	wait_until_blocked(middle);
	first = spawn(other, SCHED_FIFO, 91, take_inner, (void *)1);
	wait_until_lent(owner);
	CHECK_EQ(middle->sched.rank, RANK_DEADLINE);
	join(first);
	CHECK_EQ(owner->sched.rank, RANK_FAIR);
	CHECK_EQ(middle->sched.rank, RANK_FAIR);
	hog = spawn(0, SCHED_FIFO, 50, spin, NULL);
	second = spawn(other, SCHED_FIFO, 91, take_inner, NULL);
	wait_until_lent(owner);
	semaphore_post(&gate);
	join(second);
	CHECK(done_ns);
	stop = true;
	join(hog);
	join(middle);
	join(owner);
	let_bandwidth_go();
}
