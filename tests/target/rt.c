/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FIFO and round robin: who runs, in which order, for how long. All on CPU 0, so the order of
 * events is fixed on every machine.
 */
#include "tests/target/test.h"
#include "tests/target/turns.h"

static struct log events;

static void log_reset(void)
{
	events = (struct log){ 0 };
}

static void *log_one(void *arg)
{
	log_add(&events, (char)(uintptr_t)arg);
	return NULL;
}

static struct thread *spawn_logger(int priority, char c)
{
	return spawn(0, SCHED_FIFO, priority, log_one, (void *)(uintptr_t)c);
}

/* ---- preemption ------------------------------------------------------------------------------ */

struct sleeper {
	struct semaphore go;
	char c;
};

static void *log_after_wait(void *arg)
{
	struct sleeper *s = arg;

	semaphore_wait(&s->go);
	log_add(&events, s->c);
	return NULL;
}

TEST(fifo_wake_preempts_at_once)
{
	struct sleeper high = { SEMAPHORE_INIT(0), 'h' };
	struct thread *t;

	log_reset();
	become(0, SCHED_FIFO, 10);
	t = spawn(0, SCHED_FIFO, 20, log_after_wait, &high);
	log_add(&events, '1');
	semaphore_post(&high.go);
	log_add(&events, '2');
	join(t);
	CHECK_TEXT(events.text, "1h2");
}

TEST(fifo_wake_of_equal_or_lower_does_not_preempt)
{
	struct sleeper equal = { SEMAPHORE_INIT(0), 'e' }, low = { SEMAPHORE_INIT(0), 'l' };
	struct thread *t1, *t2;

	log_reset();
	become(0, SCHED_FIFO, 20);
	t1 = spawn(0, SCHED_FIFO, 20, log_after_wait, &equal);
	t2 = spawn(0, SCHED_FIFO, 10, log_after_wait, &low);
	sleep_us(1000);
	log_add(&events, '1');
	semaphore_post(&low.go);
	semaphore_post(&equal.go);
	log_add(&events, '2');
	join(t1);
	join(t2);
	CHECK_TEXT(events.text, "12el");
}

static struct semaphore *timer_posts;

static void post_from_timer(struct timer *timer)
{
	(void)timer;
	semaphore_post(timer_posts);
}

TEST(fifo_wake_from_interrupt_preempts)
{
	struct sleeper high = { SEMAPHORE_INIT(0), 'h' };
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;
	unsigned long flags;
	struct timer timer;
	struct thread *t;

	log_reset();
	become(0, SCHED_FIFO, 10);
	t = spawn(0, SCHED_FIFO, 20, log_after_wait, &high);
	timer_posts = &high.go;
	timer_init(&timer, post_from_timer);
	log_add(&events, '1');
	flags = arch_irq_save();
	timer_add(&timer, time_now_ns() + 100 * NSEC_PER_USEC);
	arch_irq_restore(flags);
	while (atomic_load_relaxed(&events.n) < 2 && time_now_ns() < end_ns)
		;
	log_add(&events, '2');
	join(t);
	CHECK_TEXT(events.text, "1h2");
}

/* Its level's head, not its tail: it goes on before an equal that has waited. */
TEST(fifo_preempted_thread_stays_first_of_its_level)
{
	struct sleeper high = { SEMAPHORE_INIT(0), 'h' };
	struct thread *t1, *t2;

	log_reset();
	become(0, SCHED_FIFO, 10);
	t1 = spawn(0, SCHED_FIFO, 20, log_after_wait, &high);
	t2 = spawn_logger(10, 'e');
	semaphore_post(&high.go);
	log_add(&events, '1');
	join(t1);
	join(t2);
	CHECK_TEXT(events.text, "h1e");
}

/* ---- order ----------------------------------------------------------------------------------- */

static uint32_t picked[99], picked_n;

static void *note_priority(void *arg)
{
	picked[picked_n++] = (uint32_t)(uintptr_t)arg;
	return NULL;
}

TEST(all_99_priorities_run_in_order)
{
	static struct thread *t[99];

	picked_n = 0;
	become(0, SCHED_FIFO, 99);
	for (unsigned i = 0; i < 98; i++) {
		unsigned priority = 1 + i * 37 % 98; /* every number 1..98 once, in disorder */

		t[i] = spawn(0, i & 1 ? SCHED_RR : SCHED_FIFO, (int)priority, note_priority,
			     (void *)(uintptr_t)priority);
	}
	for (unsigned i = 0; i < 98; i++)
		join(t[i]);
	CHECK_EQ(picked_n, 98);
	for (unsigned i = 0; i < 98; i++)
		CHECK_EQ(picked[i], 98 - i);
}

TEST(fifo_order_within_a_level)
{
	struct thread *t[8];

	log_reset();
	become(0, SCHED_FIFO, 50);
	for (unsigned i = 0; i < 8; i++)
		t[i] = spawn_logger(40, (char)('a' + i));
	for (unsigned i = 0; i < 8; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "abcdefgh");
}

static void *log_and_yield(void *arg)
{
	for (unsigned i = 0; i < 3; i++) {
		log_add(&events, (char)(uintptr_t)arg);
		sched_yield_current();
	}
	return NULL;
}

TEST(yield_rotates_equals_only)
{
	struct thread *t[4];

	log_reset();
	become(0, SCHED_FIFO, 50);
	for (unsigned i = 0; i < 3; i++)
		t[i] = spawn(0, SCHED_FIFO, 40, log_and_yield, (void *)(uintptr_t)('a' + i));
	t[3] = spawn_logger(30, 'z');
	for (unsigned i = 0; i < 4; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "abcabcabcz");
}

TEST(yield_alone_returns)
{
	become(0, SCHED_FIFO, 50);
	for (unsigned i = 0; i < 1000; i++)
		sched_yield_current();
	become(0, SCHED_RR, 50);
	sched_yield_current();
	become(0, SCHED_OTHER, 0);
	for (unsigned i = 0; i < 1000; i++)
		sched_yield_current();
}

TEST(real_time_goes_before_fair)
{
	struct thread *t[3];

	log_reset();
	become(0, SCHED_FIFO, 50);
	t[0] = spawn(0, SCHED_OTHER, 0, log_one, (void *)'f');
	t[1] = spawn(0, SCHED_FIFO, 1, log_one, (void *)'1');
	t[2] = spawn(0, SCHED_RR, 2, log_one, (void *)'2');
	for (unsigned i = 0; i < 3; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "21f");
}

TEST(raised_priority_acts_at_once)
{
	struct thread *t;

	log_reset();
	become(0, SCHED_FIFO, 20);
	t = spawn_logger(10, 'r');
	log_add(&events, '1');
	CHECK_EQ(sched_set_policy(t, SCHED_FIFO, 30, 0), 0);
	log_add(&events, '2');
	join(t);
	CHECK_TEXT(events.text, "1r2");
}

TEST(lowering_oneself_gives_way_at_once)
{
	struct thread *t;

	log_reset();
	become(0, SCHED_FIFO, 20);
	t = spawn_logger(10, 'w');
	log_add(&events, '1');
	CHECK_EQ(sched_set_policy(thread_current(), SCHED_FIFO, 5, 0), 0);
	log_add(&events, '2');
	join(t);
	CHECK_TEXT(events.text, "1w2");
}

TEST(bad_policies_are_refused)
{
	struct thread *self = thread_current();

	CHECK_EQ(sched_set_policy(self, SCHED_FIFO, 0, 0), -EINVAL);
	CHECK_EQ(sched_set_policy(self, SCHED_FIFO, 100, 0), -EINVAL);
	CHECK_EQ(sched_set_policy(self, SCHED_RR, -1, 0), -EINVAL);
	CHECK_EQ(sched_set_policy(self, SCHED_OTHER, 1, 0), -EINVAL);
	CHECK_EQ(sched_set_policy(self, SCHED_OTHER, 0, 20), -EINVAL);
	CHECK_EQ(sched_set_policy(self, SCHED_OTHER, 0, -21), -EINVAL);
	CHECK_EQ(sched_set_policy(self, 77, 0, 0), -EINVAL);
}

/* ---- round robin ----------------------------------------------------------------------------- */

TEST(round_robin_quantum_is_exact)
{
	uint64_t slack_ns = test_time_is_virtual() ? 20 * NSEC_PER_USEC : NSEC_PER_SEC;
	struct thread *t[3];

	turns_n = 0;
	become(0, SCHED_FIFO, 50);
	turns_end_ns = time_now_ns() + 950 * NSEC_PER_MSEC;
	for (unsigned i = 0; i < 3; i++)
		t[i] = spawn(0, SCHED_RR, 40, take_turns, (void *)(uintptr_t)('a' + i));
	for (unsigned i = 0; i < 3; i++)
		join(t[i]);
	CHECK_TIMED_GE(turns_n, test_time_is_virtual() ? 9u : 4u);
	for (unsigned i = 0; i + 1 < turns_n && i < 9; i++) {
		uint64_t length_ns = turns[i].end_ns - turns[i].start_ns;

		CHECK_EQ(turns[i].who, (char)('a' + i % 3));
		CHECK_TIMED_GE(length_ns + (test_time_is_virtual() ? slack_ns : 60 * NSEC_PER_MSEC),
			       100 * NSEC_PER_MSEC);
		CHECK_TIMED_LE(length_ns, 100 * NSEC_PER_MSEC + slack_ns);
	}
}

TEST(fifo_threads_are_not_sliced)
{
	struct thread *t[2];

	turns_n = 0;
	become(0, SCHED_FIFO, 50);
	turns_end_ns = time_now_ns() + 300 * NSEC_PER_MSEC;
	t[0] = spawn(0, SCHED_FIFO, 40, take_turns, (void *)'a');
	t[1] = spawn(0, SCHED_FIFO, 40, take_turns, (void *)'b');
	join(t[0]);
	join(t[1]);
	CHECK_EQ(turns_n, 1);
}

/* What is left of the quantum is kept across a preemption: the two parts add up to one. */
TEST(round_robin_quantum_survives_preemption)
{
	uint64_t slack_ns = test_time_is_virtual() ? 50 * NSEC_PER_USEC : 60 * NSEC_PER_MSEC;
	struct thread *t[2];
	uint64_t start_ns;

	turns_n = 0;
	become(0, SCHED_FIFO, 50);
	start_ns = time_now_ns();
	turns_end_ns = start_ns + 350 * NSEC_PER_MSEC;
	t[0] = spawn(0, SCHED_RR, 40, take_turns, (void *)'a');
	t[1] = spawn(0, SCHED_RR, 40, take_turns, (void *)'b');
	thread_sleep_until(start_ns + 30 * NSEC_PER_MSEC);
	spin_us(50000);
	join(t[0]);
	join(t[1]);
	CHECK_GE(turns_n, 2);
	CHECK_EQ(turns[0].who, 'a');
	CHECK_TIMED_GE(turns[0].end_ns - turns[0].start_ns + slack_ns, 150 * NSEC_PER_MSEC);
	CHECK_TIMED_LE(turns[0].end_ns - turns[0].start_ns, 150 * NSEC_PER_MSEC + slack_ns);
}
