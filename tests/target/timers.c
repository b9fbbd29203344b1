/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping and timers: never early, hardly late, in order, and bounded when many are due at once;
 * and the window that lets timers alone through on a masked CPU.
 */
#include "tests/target/test.h"

#define MANY 1000

/* ---- sleep ----------------------------------------------------------------------------------- */

TEST(sleep_is_never_early_and_hardly_late)
{
	uint64_t late_max_ns = test_time_is_virtual() ? (TEST_SAN ? 20 : 5) * NSEC_PER_USEC :
							200 * NSEC_PER_MSEC;

	become(0, SCHED_FIFO, 90);
	for (uint64_t us = 1; us < 30000; us = us * 3 / 2 + 1) {
		uint64_t due_ns = time_now_ns() + us * NSEC_PER_USEC;

		thread_sleep_until(due_ns);
		CHECK_GE(time_now_ns(), due_ns);
		CHECK_TIMED_LE(time_now_ns() - due_ns, late_max_ns);
	}
}

TEST(sleep_until_the_past_returns)
{
	thread_sleep_until(0);
	thread_sleep_until(1);
	thread_sleep_until(time_now_ns() - 1);
	thread_sleep_until(time_now_ns());
}

static struct log woken;

static void *sleep_then_log(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	sleep_us(2000 + i * 300);
	log_add(&woken, (char)('a' + i));
	return NULL;
}

TEST(sleepers_wake_in_order)
{
	static const unsigned order[6] = { 3, 0, 5, 1, 4, 2 };
	struct thread *t[6];

	SKIP_UNLESS(test_time_is_virtual(), "needs virtual time");
	woken = (struct log){ 0 };
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 6; i++)
		t[i] = spawn(0, SCHED_FIFO, 91, sleep_then_log, (void *)(uintptr_t)order[i]);
	for (unsigned i = 0; i < 6; i++)
		join(t[i]);
	CHECK_TEXT(woken.text, "abcdef");
}

static void *monotonic(void *arg)
{
	uint64_t last = 0;

	(void)arg;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t now_ns = time_now_ns();

		if (now_ns < last)
			CHECK_GE(now_ns, last);
		last = now_ns;
	}
	return NULL;
}

TEST(clock_never_goes_back)
{
	struct thread *t[8];
	unsigned n = MIN(test_cpus(), 8u);

	for (unsigned i = 0; i < n; i++)
		t[i] = spawn((int)i, SCHED_OTHER, 0, monotonic, NULL);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

static uint64_t last_seen_ns; /* [a] */

static void *read_after_others(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t seen = atomic_load_acquire(&last_seen_ns), now_ns = time_now_ns();

		if (now_ns < seen)
			CHECK_GE(now_ns, seen);
		atomic_store_release(&last_seen_ns, now_ns);
	}
	return NULL;
}

TEST(clock_is_the_same_on_all_cpus)
{
	struct thread *t[8];
	unsigned n = MIN(test_cpus(), 8u);

	NEEDS_CPUS(2);
	last_seen_ns = 0;
	for (unsigned i = 0; i < n; i++)
		t[i] = spawn((int)i, SCHED_OTHER, 0, read_after_others, NULL);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

/* ---- many at once ---------------------------------------------------------------------------- */

static struct timer many[MANY];
static uint32_t fired, fired_in_order;
static uint64_t last_expiry_ns;

static void count_one(struct timer *t)
{
	if (t->expires_ns >= last_expiry_ns)
		fired_in_order++;
	last_expiry_ns = t->expires_ns;
	fired++;
}

static void arm_many(uint64_t first_ns, uint64_t step_ns)
{
	unsigned long flags = arch_irq_save();

	fired = fired_in_order = 0;
	last_expiry_ns = 0;
	for (unsigned i = 0; i < MANY; i++) {
		unsigned place = i * 377 % MANY;

		timer_init(&many[place], count_one);
		timer_add(&many[place], first_ns + place * step_ns);
	}
	arch_irq_restore(flags);
}

/* A thread that sleeps is woken before others that are due, and batches leave gaps. */
static void wait_until_fired(uint32_t n)
{
	uint64_t end_ns = time_now_ns() + 5 * NSEC_PER_SEC;

	while (atomic_load_relaxed(&fired) < n && time_now_ns() < end_ns)
		;
}

TEST(timers_fire_in_order)
{
	become(0, SCHED_FIFO, 90);
	arm_many(time_now_ns() + 5 * NSEC_PER_MSEC, 700);
	sleep_us(10000);
	wait_until_fired(MANY);
	CHECK_EQ(fired, MANY);
	CHECK_EQ(fired_in_order, MANY);
}

/*
 * A batch of them at a time: a FIFO thread that is woken by the first must not wait for the last.
 * The longest stretch that it sees itself kept off the CPU while they fire is a measure of how long
 * interrupts stay masked.
 */
TEST(thousand_timers_due_at_once_keep_nobody_out)
{
	uint64_t due_ns, last_ns, gap_ns = 0, end_ns;

	become(0, SCHED_FIFO, 90);
	due_ns = time_now_ns() + 3 * NSEC_PER_MSEC;
	arm_many(due_ns, 0);
	end_ns = due_ns + 20 * NSEC_PER_SEC;
	last_ns = time_now_ns();
	while (atomic_load_relaxed(&fired) < MANY && last_ns < end_ns) {
		uint64_t now_ns = time_now_ns();

		gap_ns = MAX(gap_ns, now_ns - last_ns);
		last_ns = now_ns;
	}
	CHECK_EQ(fired, MANY);
	if (test_time_is_virtual())
		CHECK_LE(gap_ns, 20 * NSEC_PER_USEC);
}

TEST(cancelled_timers_do_not_fire)
{
	unsigned long flags;
	uint32_t cancelled = 0;

	become(0, SCHED_FIFO, 90);
	arm_many(time_now_ns() + 20 * NSEC_PER_MSEC, 100);
	flags = arch_irq_save();
	for (unsigned i = 0; i < MANY; i += 2)
		cancelled += timer_cancel(&many[i]);
	CHECK_EQ(timer_cancel(&many[0]), false);
	arch_irq_restore(flags);
	sleep_us(25000);
	wait_until_fired(MANY - cancelled);
	sleep_us(1000); /* nor any more */
	CHECK_EQ(cancelled + fired, MANY);
	if (test_time_is_virtual())
		CHECK_EQ(cancelled, MANY / 2);
	flags = arch_irq_save();
	CHECK_EQ(timer_cancel(&many[1]), false);
	arch_irq_restore(flags);
}

/*
 * Another CPU cancels: either it comes in time, or the function has run when timer_cancel_wait()
 * returns.
 */
static uint32_t slow_began, slow_ended;

static void slow_function(struct timer *t)
{
	(void)t;
	atomic_store_release(&slow_began, 1u);
	spin_us(300);
	atomic_store_release(&slow_ended, 1u);
}

static struct timer slow_timer;

static void *arm_slow(void *arg)
{
	unsigned long flags = arch_irq_save();

	timer_init(&slow_timer, slow_function);
	timer_add(&slow_timer, time_now_ns() + *(uint64_t *)arg);
	arch_irq_restore(flags);
	return NULL;
}

TEST(timer_cancel_wait_waits_for_the_function)
{
	uint64_t random = 77;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t delay_ns = random_below(&random, 200000);

		slow_began = slow_ended = 0;
		join(spawn(1, SCHED_FIFO, 90, arm_slow, &delay_ns));
		spin_us(random_below(&random, 300));
		timer_cancel_wait(&slow_timer);
		CHECK_EQ(atomic_load_acquire(&slow_began), atomic_load_acquire(&slow_ended));
	}
}

/* ---- the timer window ------------------------------------------------------------------------ */

static struct timer outer, inner;
static uint32_t inner_ran, inner_ran_inside, other_ran_inside, window_open;

static void inner_fired(struct timer *t)
{
	(void)t;
	inner_ran++;
	inner_ran_inside += window_open;
}

/*
 * Irqs masked; the window stays open until a timer that is due within it has come, but for @us at
 * least.
 */
static void hold_window(uint64_t us)
{
	uint64_t start_ns = time_now_ns(), open_ns;
	unsigned long state;

	timer_add(&inner, start_ns + us * NSEC_PER_USEC / 2);
	window_open = 1;
	state = arch_timer_window_open();
	do
		open_ns = time_now_ns() - start_ns;
	while (open_ns < us * NSEC_PER_USEC ||
	       (!atomic_load_relaxed(&inner_ran) && open_ns < NSEC_PER_SEC));
	arch_timer_window_close(state);
	window_open = 0;
	CHECK(!arch_irq_enabled());
}

static void *note_window(void *arg)
{
	struct semaphore *go = arg;

	semaphore_wait(go);
	other_ran_inside = window_open;
	return NULL;
}

static void window_reset(void)
{
	inner_ran = inner_ran_inside = 0;
	other_ran_inside = 2;
	timer_cancel_wait(&inner);
	timer_init(&inner, inner_fired);
}

TEST(timer_window_in_a_masked_thread)
{
	unsigned long flags;

	become(0, SCHED_FIFO, 90);
	window_reset();
	flags = arch_irq_save();
	hold_window(2000);
	CHECK_EQ(inner_ran_inside, 1);
	arch_irq_restore(flags);
	CHECK_EQ(inner_ran, 1);
}

static struct semaphore wake_other;

static void outer_fired(struct timer *t)
{
	(void)t;
	semaphore_post(&wake_other);
	hold_window(2000);
}

static void arm_outer(void)
{
	unsigned long flags = arch_irq_save();

	timer_init(&outer, outer_fired);
	timer_add(&outer, time_now_ns() + 100 * NSEC_PER_USEC);
	arch_irq_restore(flags);
}

/*
 * Within an interrupt: the second timer comes through, and the thread that the first has woken runs
 * only when both have ended.
 */
TEST(timer_window_in_an_interrupt)
{
	struct thread *t;

	become(0, SCHED_FIFO, 10);
	window_reset();
	semaphore_init(&wake_other, 0);
	t = spawn(0, SCHED_FIFO, 90, note_window, &wake_other);
	arm_outer();
	join(t);
	CHECK_EQ(inner_ran, 1);
	CHECK_EQ(inner_ran_inside, 1);
	CHECK_EQ(other_ran_inside, 0);
}

/* The slice of a fair thread ends while the window is open: the switch waits for its end. */
TEST(timer_window_defers_the_end_of_a_slice)
{
	struct thread *t;

	become(0, SCHED_OTHER, 0);
	window_reset();
	semaphore_init(&wake_other, 1);
	t = spawn(0, SCHED_OTHER, 0, note_window, &wake_other);
	arm_outer();
	spin_us(10000);
	join(t);
	wait_for_flag(&inner_ran); /* an emulated timer may be later than this */
	CHECK_EQ(inner_ran_inside, 1);
	CHECK_EQ(other_ran_inside, 0);
}

static uint32_t late_state;

static void *watch_outer(void *arg)
{
	(void)arg;
	/* now the outer function holds the window, and the inner timer is not due yet */
	spin_us(600);
	timer_cancel_wait(&outer);
	late_state = window_open;
	return NULL;
}

/* A nested timer run must not hide that the outer function still runs. */
TEST(timer_window_does_not_hide_the_outer_function)
{
	struct thread *t;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 5; i++) {
		window_reset();
		semaphore_init(&wake_other, 0);
		late_state = 2;
		arm_outer();
		t = spawn(1, SCHED_FIFO, 90, watch_outer, NULL);
		join(t);
		/* Cancelled in time, or over: never in the middle. */
		CHECK_EQ(late_state, 0);
	}
}
