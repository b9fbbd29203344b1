/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fair class: shares by weight, slices by the one-shot timer, wake-up preemption, and a CPU
 * that is left alone when one thread has it.
 */
#include "sched/monitor.h"
#include "sched/sched.h"
#include "tests/target/test.h"
#include "tests/target/turns.h"

static volatile bool hogs_stop;

static void *hog(void *arg)
{
	while (!hogs_stop)
		;
	return arg;
}

/* ---- shares ---------------------------------------------------------------------------------- */

/*
 * Bounds are tight in virtual time. In real time the host may stop QEMU for a while, and whoever
 * runs then is charged for it: there they only tell right from wrong.
 */

/*
 * Theorem of EEVDF: nobody is ever more than a slice away from its ideal share; measured at two
 * points, two slices.
 */
TEST(fair_shares_follow_weights)
{
	static const int nice[3] = { 0, 5, -5 };
	uint64_t weight = 0, total = 0, ns[3];
	struct thread *t[3];

	hogs_stop = false;
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 3; i++)
		t[i] = spawn_nice(0, nice[i], hog, NULL);
	sleep_us(50000);
	for (unsigned i = 0; i < 3; i++)
		ns[i] = thread_runtime_ns(t[i]);
	sleep_us(1000000);
	for (unsigned i = 0; i < 3; i++) {
		ns[i] = thread_runtime_ns(t[i]) - ns[i];
		total += ns[i];
		weight += eevdf_nice_weight[nice[i] + 20];
	}
	hogs_stop = true;
	for (unsigned i = 0; i < 3; i++) {
		int64_t ideal_ns = (int64_t)(total * eevdf_nice_weight[nice[i] + 20] / weight);
		int64_t off_ns = (int64_t)ns[i] - ideal_ns;

		CHECK_TIMED_LE(off_ns < 0 ? -off_ns : off_ns,
			       (int64_t)total / (test_time_is_virtual() ? 100 : 10));
		join(t[i]);
	}
	CHECK_GE(total, 990 * NSEC_PER_MSEC);
}

TEST(nice_can_be_changed_while_running)
{
	struct thread *t[2];
	uint64_t ns[2];

	hogs_stop = false;
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 2; i++)
		t[i] = spawn_nice(0, 0, hog, NULL);
	sleep_us(20000);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(sched_set_policy(t[i], SCHED_OTHER, 0, i ? 10 : 0), 0);
		ns[i] = thread_runtime_ns(t[i]);
	}
	sleep_us(500000);
	for (unsigned i = 0; i < 2; i++)
		ns[i] = thread_runtime_ns(t[i]) - ns[i];
	hogs_stop = true;
	join(t[0]);
	join(t[1]);
	/* Weights 1024 and 110. */
	CHECK_TIMED_GE(ns[0] * 100, (ns[0] + ns[1]) * (test_time_is_virtual() ? 88 : 75));
	CHECK_TIMED_LE(ns[0] * 100, (ns[0] + ns[1]) * (test_time_is_virtual() ? 93 : 98));
}

/* ---- slices ---------------------------------------------------------------------------------- */

TEST(fair_slice_ends_on_time)
{
	uint64_t slack_ns = 10 * NSEC_PER_USEC;
	struct thread *t[2];
	int64_t ahead_ns = 0;

	turns_n = 0;
	become(0, SCHED_FIFO, 90);
	turns_end_ns = time_now_ns() + 100 * NSEC_PER_MSEC;
	t[0] = spawn(0, SCHED_OTHER, 0, take_turns, (void *)'a');
	t[1] = spawn(0, SCHED_OTHER, 0, take_turns, (void *)'b');
	join(t[0]);
	join(t[1]);
	CHECK_TIMED_GE(turns_n, test_time_is_virtual() ? 20 : 4);
	if (!test_time_is_virtual())
		return;
	/*
	 * The first turns may be shorter: a new thread starts within half a slice. The last one was
	 * cut by the end. Whoever is owed the few ns by which the timer was late is served first,
	 * so now and then one has two slices running; but neither is ever more than a slice away
	 * from its half.
	 */
	for (unsigned i = 2; i + 1 < turns_n; i++) {
		CHECK_LE(turn_ns(i), 2 * FAIR_SLICE_NS + slack_ns);
		CHECK_GE(turn_ns(i) + slack_ns, FAIR_SLICE_NS);
	}
	for (unsigned i = 0; i + 1 < turns_n; i++) {
		ahead_ns += i % 2 ? -(int64_t)turn_ns(i) : (int64_t)turn_ns(i);
		CHECK_LE(ahead_ns / 2, (int64_t)(FAIR_SLICE_NS + slack_ns));
		CHECK_GE(ahead_ns / 2, -(int64_t)(FAIR_SLICE_NS + slack_ns));
	}
}

TEST(fair_yield_lets_the_other_run)
{
	struct thread *t;
	uint64_t ns;

	hogs_stop = false;
	become(0, SCHED_OTHER, 0);
	t = spawn_nice(0, 0, hog, NULL);
	ns = thread_runtime_ns(t);
	for (unsigned i = 0; i < 4; i++)
		sched_yield_current();
	CHECK_TIMED_GE(thread_runtime_ns(t), ns + NSEC_PER_MSEC);
	hogs_stop = true;
	join(t);
}

/* ---- wake-up --------------------------------------------------------------------------------- */

struct waker {
	unsigned rounds;
	uint64_t worst_ns, sum_ns;
};

static void *measure_wakeups(void *arg)
{
	struct waker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++) {
		uint64_t due_ns = time_now_ns() + 7300 * NSEC_PER_USEC, late_ns;

		thread_sleep_until(due_ns);
		late_ns = time_now_ns() - due_ns;
		w->worst_ns = MAX(w->worst_ns, late_ns);
		w->sum_ns += late_ns;
	}
	return NULL;
}

static struct waker wakeups_beside_a_hog(int nice)
{
	struct waker w = { .rounds = 30 };
	struct thread *t[2];

	hogs_stop = false;
	become(0, SCHED_FIFO, 90);
	t[0] = spawn_nice(0, 0, hog, NULL);
	t[1] = spawn_nice(0, nice, measure_wakeups, &w);
	join(t[1]);
	hogs_stop = true;
	join(t[0]);
	return w;
}

TEST(fair_wakeup_waits_for_one_slice_at_most)
{
	struct waker w = wakeups_beside_a_hog(0);

	CHECK_TIMED_LE(w.worst_ns, FAIR_SLICE_NS + (test_time_is_virtual() ? 20 * NSEC_PER_USEC :
									     NSEC_PER_SEC));
}

/* Its virtual deadline is always the earliest, but for the last 35 us of the hog's slice. */
TEST(fair_wakeup_of_a_heavy_thread_preempts)
{
	struct waker w = wakeups_beside_a_hog(-20);

	CHECK_TIMED_LE(w.worst_ns,
		       60 * NSEC_PER_USEC + (test_time_is_virtual() ? 0 : 100 * NSEC_PER_MSEC));
	CHECK_TIMED_LE(w.sum_ns / w.rounds,
		       15 * NSEC_PER_USEC + (test_time_is_virtual() ? 0 : 20 * NSEC_PER_MSEC));
}

/* Sleep gives no credit: whoever slept does not starve those who worked meanwhile. */
TEST(sleep_gives_no_credit)
{
	struct thread *t[2];
	uint64_t ns;

	hogs_stop = false;
	become(0, SCHED_FIFO, 90);
	t[0] = spawn_nice(0, 0, hog, NULL);
	sleep_us(200000);
	ns = thread_runtime_ns(t[0]);
	t[1] = spawn_nice(0, 0, hog, NULL);
	sleep_us(100000);
	ns = thread_runtime_ns(t[0]) - ns;
	hogs_stop = true;
	join(t[0]);
	join(t[1]);
	CHECK_TIMED_GE(ns, (test_time_is_virtual() ? 45 : 25) * NSEC_PER_MSEC);
	CHECK_TIMED_LE(ns, (test_time_is_virtual() ? 55 : 80) * NSEC_PER_MSEC);
}

/* ---- real time above, nothing beside --------------------------------------------------------- */

TEST(fair_threads_share_what_real_time_leaves)
{
	struct thread *t[2];
	uint64_t ns[2];

	turns_n = 0;
	become(0, SCHED_FIFO, 90);
	turns_end_ns = time_now_ns() + 60 * NSEC_PER_MSEC;
	t[0] = spawn(0, SCHED_OTHER, 0, take_turns, (void *)'a');
	t[1] = spawn(0, SCHED_OTHER, 0, take_turns, (void *)'b');
	for (unsigned i = 0; i < 200; i++)
		sleep_us(200);
	for (unsigned i = 0; i < 2; i++)
		ns[i] = thread_runtime_ns(t[i]);
	join(t[0]);
	join(t[1]);
	/* 200 interruptions by this FIFO thread favour neither: they are a slice apart at most. */
	CHECK_TIMED_GE(turns_n, test_time_is_virtual() ? 8 : 2);
	CHECK_TIMED_LE(ns[0] > ns[1] ? ns[0] - ns[1] : ns[1] - ns[0],
		       FAIR_SLICE_NS +
			       (test_time_is_virtual() ? 10 * NSEC_PER_USEC : 60 * NSEC_PER_MSEC));
}

struct watch {
	struct thread *creator;
	uint64_t soonest_ns; /* the next timer interrupt was never nearer than this */
};

/*
 * Tickless: nothing is programmed for a CPU whose only thread needs no slice end. What was
 * programmed before may still come once: the timer is not touched to take it back. On an emulator
 * whose host is busy it may come long after its time, and only then is it settled what is next.
 */
static void *watch_timer(void *arg)
{
	struct watch *w = arg;
	uint64_t end_ns, stale_ns;

	wait_until_blocked(w->creator);
	do {
		spin_us(10000);
		stale_ns = atomic_load_relaxed(&arch_cpu_self()->timers.armed_ns);
	} while (stale_ns <= time_now_ns());
	w->soonest_ns = UINT64_MAX;
	for (end_ns = time_now_ns() + 100 * NSEC_PER_MSEC; time_now_ns() < end_ns;) {
		unsigned long flags = arch_irq_save();
		uint64_t armed_ns = arch_cpu_self()->timers.armed_ns, now_ns = time_now_ns();

		arch_irq_restore(flags);
		/* else one that was programmed before */
		if (armed_ns > now_ns && armed_ns != stale_ns)
			w->soonest_ns = MIN(w->soonest_ns, armed_ns - now_ns);
	}
	return NULL;
}

static uint64_t soonest_timer_ns(int policy)
{
	struct watch w = { .creator = thread_current() };

	join(spawn(0, policy, policy == SCHED_FIFO ? 10 : 0, watch_timer, &w));
	return w.soonest_ns;
}

TEST(lone_thread_has_no_timer_interrupt)
{
	static const int policy[3] = { SCHED_OTHER, SCHED_FIFO, SCHED_OTHER };

	become(0, SCHED_OTHER, 0);
	for (unsigned i = 0; i < 3; i++)
		/* The test's own watchdog is a minute away. */
		CHECK_GE(soonest_timer_ns(policy[i]) / 2, NSEC_PER_SEC);
}

/* A second thread makes the first one's slice end count, and its going away ends that. */
TEST(slice_timer_comes_and_goes_with_company)
{
	struct thread *t;

	become(0, SCHED_FIFO, 90);
	hogs_stop = false;
	t = spawn_nice(0, 0, hog, NULL);
	sleep_us(10000);
	CHECK_LE(soonest_timer_ns(SCHED_OTHER), FAIR_SLICE_NS);
	hogs_stop = true;
	join(t);
	CHECK_GE(soonest_timer_ns(SCHED_OTHER) / 2, NSEC_PER_SEC);
}

/* ---- the monitor ----------------------------------------------------------------------------- */

static uint64_t lags_broken(void)
{
	struct monitor_counts counts;

	monitor_read(&counts);
	return counts.lag_broken;
}

/* Keeps the CPU for four slices although another waits. */
static void *overrun(void *arg)
{
	unsigned long flags = arch_irq_save();

	spin_us(4 * FAIR_SLICE_NS / NSEC_PER_USEC);
	arch_irq_restore(flags);
	return arg;
}

TEST(monitor_counts_lag_out_of_bounds)
{
	uint64_t before = lags_broken();
	struct thread *t[3];

	hogs_stop = false;
	become(0, SCHED_FIFO, 90);
	for (unsigned i = 0; i < 3; i++)
		t[i] = spawn_nice(0, 0, hog, NULL);
	sleep_us(200000);
	if (test_time_is_virtual())
		CHECK_EQ(lags_broken(), before);
	before = lags_broken();
	join(spawn_nice(0, 0, overrun, NULL));
	sleep_us(50000);
	CHECK_GE(lags_broken(), before + 1);
	hogs_stop = true;
	for (unsigned i = 0; i < 3; i++)
		join(t[i]);
}
