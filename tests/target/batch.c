/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batch calls: all who have a unit coming run, best first; what nobody waits for is counted.
 */
#include "tests/target/test.h"

#define WAITERS 7u

static struct semaphore gate;
static struct log events;

static void *wait_and_log(void *arg)
{
	semaphore_wait(&gate);
	log_add(&events, (char)(uintptr_t)arg);
	return NULL;
}

/* Better than who posts: the best of each chunk run before the next one. */
TEST(post_many_wakes_the_best_first)
{
	struct thread *t[WAITERS];

	events = (struct log){ 0 };
	semaphore_init(&gate, 0);
	become(0, SCHED_FIFO, 10);
	for (unsigned i = 0; i < WAITERS; i++)
		t[i] = spawn(0, SCHED_FIFO, 20 + (int)i, wait_and_log,
			     (void *)(uintptr_t)('a' + i));
	CHECK_EQ(semaphore_post_many(&gate, WAITERS - 2), 0);
	CHECK_TEXT(events.text, "gfedc");
	CHECK_EQ(semaphore_trywait(&gate), -EAGAIN);
	CHECK_EQ(semaphore_post_many(&gate, 5), 0);
	CHECK_TEXT(events.text, "gfedcba");
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(semaphore_trywait(&gate), 0);
	CHECK_EQ(semaphore_trywait(&gate), -EAGAIN);
	for (unsigned i = 0; i < WAITERS; i++)
		join(t[i]);
}

TEST(post_many_counts_what_nobody_waits_for)
{
	semaphore_init(&gate, 0);
	CHECK_EQ(semaphore_post_many(&gate, -1), -EINVAL);
	CHECK_EQ(semaphore_post_many(&gate, 0), 0);
	CHECK_EQ(semaphore_trywait(&gate), -EAGAIN);
	CHECK_EQ(semaphore_post_many(&gate, SEMAPHORE_MAX - 1), 0);
	CHECK_EQ(semaphore_post_many(&gate, 2), -EOVERFLOW);
	CHECK_EQ(semaphore_post_many(&gate, 1), 0);
	CHECK_EQ(gate.count, SEMAPHORE_MAX);
}

static struct semaphore gates[WAITERS];

static void *wait_at_own(void *arg)
{
	semaphore_wait(&gates[(uintptr_t)arg]);
	log_add(&events, (char)('a' + (uintptr_t)arg));
	return NULL;
}

/* On all CPUs; those that nobody waits for are counted, and one that is full is said to be. */
TEST(post_array_wakes_each_where_it_waits)
{
	struct semaphore *array[WAITERS + 1];
	struct semaphore nobodys = SEMAPHORE_INIT(SEMAPHORE_MAX);
	struct thread *t[WAITERS];

	events = (struct log){ 0 };
	for (unsigned i = 0; i < WAITERS; i++) {
		semaphore_init(&gates[i], 0);
		array[i] = &gates[i];
		t[i] = spawn((int)(i % test_cpus()), i % 3 ? SCHED_FIFO : SCHED_OTHER,
			     i % 3 ? 20 : 0, wait_at_own, (void *)(uintptr_t)i);
		wait_until_blocked(t[i]);
	}
	array[WAITERS] = &nobodys;
	CHECK_EQ(semaphore_post_array(array, 0), 0);
	CHECK_EQ(semaphore_post_array(array, WAITERS + 1), -EOVERFLOW);
	for (unsigned i = 0; i < WAITERS; i++)
		join(t[i]);
	CHECK_EQ(events.n, WAITERS);
	CHECK_EQ(semaphore_post_array(array, WAITERS), 0);
	for (unsigned i = 0; i < WAITERS; i++)
		CHECK_EQ(gates[i].count, 1);
}

/* A queue that time-outs have emptied still says that somebody may wait. */
TEST(post_many_after_a_time_out)
{
	semaphore_init(&gate, 0);
	CHECK_EQ(semaphore_wait_until(&gate, time_now_ns() + NSEC_PER_MSEC), -ETIMEDOUT);
	CHECK_EQ(semaphore_post_many(&gate, 3), 0);
	CHECK_EQ(gate.count, 3);
}
