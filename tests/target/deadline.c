/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines on the target: a budget is exact and delays nobody, periods by yielding, the order of
 * deadlines, who is admitted, several CPUs. Bounds are tight in virtual time.
 */
#include "sched/deadline.h"
#include "sched/server.h"
#include "sched/sched.h"
#include "tests/target/busy.h"

#define MS NSEC_PER_MSEC

/* Its code, and what QEMU without virtual time adds. */
static uint64_t slack_ns(void)
{
	return test_time_is_virtual() ? 20000 : 2 * MS;
}

static int set_deadline(struct thread *t, uint64_t runtime_ns, uint64_t deadline_ns,
			uint64_t period_ns, uint64_t flags)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_flags = flags,
				      .sched_runtime = runtime_ns,
				      .sched_deadline = deadline_ns,
				      .sched_period = period_ns };

	REQUIRE(!sched_deadline_use());
	REQUIRE(!fair_server_set(0, 1000000)); /* all of the limit is for deadlines */
	return sched_set_attr(t, &a);
}

/* What was given to threads of the test before is free after this. */
static void let_bandwidth_go(void)
{
	for (unsigned i = 0; i < 100 && deadline_in_use(); i++)
		sleep_us(10000);
	CHECK_EQ(deadline_in_use(), 0);
}

/* 3 ms of each 10 ms, and the rest is for a fair thread. */
TEST(deadline_budget_is_exact)
{
	struct thread *two[2]; /* the one with a deadline, and the fair one */
	uint64_t ns[2];

	become(0, SCHED_FIFO, 90);
	stop = false;
	two[0] = spawn(0, SCHED_OTHER, 0, spin, NULL);
	two[1] = spawn(0, SCHED_OTHER, 0, spin, NULL);
	CHECK_EQ(set_deadline(two[0], 3 * MS, 10 * MS, 10 * MS, 0), 0);
	measure_two(two, 200000, ns);
	CHECK_TIMED_LE(ns[0], 63 * MS + 20 * slack_ns());
	CHECK_TIMED_GE(ns[0], 57 * MS - 20 * slack_ns());
	CHECK_TIMED_GE(ns[1], 135 * MS - 20 * slack_ns());
	stop = true;
	join(two[0]);
	join(two[1]);
	let_bandwidth_go();
}

struct periodic {
	uint64_t at_ns[8];
	uint32_t ready;
};

static void *yield_periods(void *arg)
{
	struct periodic *p = arg;

	CHECK_EQ(set_deadline(thread_current(), 2 * MS, 5 * MS, 7 * MS, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(p->at_ns); i++) {
		sched_yield_current();
		p->at_ns[i] = time_now_ns();
		spin_us(100);
	}
	return arg;
}

TEST(deadline_yield_ends_with_the_period)
{
	struct periodic p = { .ready = 0 };
	struct thread *t, *fair;

	become(0, SCHED_FIFO, 90);
	stop = false;
	fair = spawn(0, SCHED_OTHER, 0, spin, NULL);
	t = spawn(0, SCHED_FIFO, 50, yield_periods, &p);
	join(t);
	stop = true;
	join(fair);
	/* in real time the host may let it miss a period */
	for (unsigned i = 1; test_time_is_virtual() && i < ARRAY_SIZE(p.at_ns); i++) {
		CHECK_TIMED_LE(p.at_ns[i], p.at_ns[0] + i * 7 * MS + slack_ns());
		CHECK_TIMED_GE(p.at_ns[i] + slack_ns(), p.at_ns[0] + i * 7 * MS);
	}
	let_bandwidth_go();
}

static struct semaphore gate;
static struct log order;

static void *log_after_gate(void *arg)
{
	semaphore_wait(&gate);
	log_add(&order, (char)(uintptr_t)arg);
	spin_us(100);
	log_add(&order, (char)(uintptr_t)arg);
	return NULL;
}

static uint64_t order_from_ns;

static void *log_later(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	thread_sleep_until(order_from_ns + i * 400000);
	log_add(&order, (char)('a' + i));
	spin_us(1200);
	log_add(&order, (char)('a' + i));
	return NULL;
}

/* Whoever comes with an earlier deadline interrupts, one with a later one waits, and FIFO 99, too. */
TEST(deadline_order)
{
	static const unsigned relative_ms[] = { 30, 20, 40 };
	struct thread *t[4];

	become(0, SCHED_FIFO, 98);
	order = (struct log){ 0 };
	order_from_ns = time_now_ns() + 20 * MS;
	for (unsigned i = 0; i < 4; i++) {
		t[i] = spawn(0, SCHED_FIFO, 99, log_later, (void *)(uintptr_t)((i + 3) % 4));
		if (i)
			CHECK_EQ(set_deadline(t[i], 3 * MS, relative_ms[i - 1] * MS, 50 * MS, 0),
				 0);
	}
	for (unsigned i = 0; i < 4; i++)
		join(t[i]);
	if (test_time_is_virtual())
		CHECK_TEXT(order.text, "abbaccdd");
	let_bandwidth_go();
}

TEST(deadline_is_admitted_by_cpu)
{
	struct thread *t[2];

	become(0, SCHED_FIFO, 90);
	semaphore_init(&gate, 0);
	for (unsigned i = 0; i < 2; i++)
		t[i] = spawn(0, SCHED_OTHER, 0, log_after_gate, (void *)(uintptr_t)'a');
	CHECK_EQ(set_deadline(t[0], 6 * MS, 10 * MS, 10 * MS, 0), 0);
	CHECK_EQ(set_deadline(t[1], 4 * MS, 10 * MS, 10 * MS, 0), -EBUSY);
	CHECK_EQ(set_deadline(t[1], 3 * MS, 10 * MS, 10 * MS, 0), 0);
	CHECK_EQ(set_deadline(t[1], 3 * MS, 2 * MS, 10 * MS, 0), -EINVAL);
	if (test_cpus() > 1) {
		struct cpumask other = one_cpu(1);

		CHECK_EQ(thread_set_affinity(t[0], &other), 0);
		CHECK_EQ(set_deadline(t[1], 9 * MS, 10 * MS, 10 * MS, 0), 0);
		CHECK_EQ(thread_set_affinity(t[1], &other), -EBUSY);
	}
	for (unsigned i = 0; i < 2; i++)
		semaphore_post(&gate);
	for (unsigned i = 0; i < 2; i++)
		join(t[i]);
	let_bandwidth_go();
}

static uint32_t told;

static void tell(struct thread *self)
{
	CHECK(self == thread_current());
	atomic_fetch_add_relaxed(&told, 1u);
}

TEST(deadline_overrun_is_told)
{
	struct thread *t;

	become(0, SCHED_FIFO, 90);
	stop = false;
	told = 0;
	deadline_on_overrun(tell);
	t = spawn(0, SCHED_OTHER, 0, spin, NULL);
	CHECK_EQ(set_deadline(t, MS, 10 * MS, 10 * MS, SCHED_FLAG_DL_OVERRUN), 0);
	sleep_us(100000);
	stop = true;
	join(t);
	CHECK_GE(told, test_time_is_virtual() ? 9 : 1);
	CHECK_LE(told, 11);
	deadline_on_overrun(NULL);
	let_bandwidth_go();
}

/* One more than there are CPUs: all get what they were promised, though somebody has to move. */
TEST(deadline_threads_share_all_cpus)
{
	struct thread *t[9];
	uint64_t before_ns[9], from_ns, ns;
	unsigned n = MIN(test_cpus(), 8u) + 1;

	SKIP_UNLESS(test_cpus() <= 4, "needs CPUs that the host does not share among more than 4");
	become(0, SCHED_FIFO, 90);
	stop = false;
	for (unsigned i = 0; i < n; i++) {
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, spin, NULL);
		CHECK_EQ(set_deadline(t[i], 8 * MS, 20 * MS, 20 * MS, 0), 0);
	}
	from_ns = time_now_ns();
	for (unsigned i = 0; i < n; i++)
		before_ns[i] = thread_runtime_ns(t[i]);
	sleep_us(400000);
	for (unsigned i = 0; i < n; i++) {
		uint64_t used_ns = thread_runtime_ns(t[i]) - before_ns[i];

		ns = time_now_ns() - from_ns;
		CHECK_TIMED_GE(used_ns, ns / 4);
		CHECK_TIMED_LE(used_ns, ns / 2 + 16 * MS);
	}
	stop = true;
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
	let_bandwidth_go();
}

/* 20 % become 95 % when nobody else needs his, and the fair thread has the rest. */
TEST(deadline_reclaims_what_is_unused)
{
	struct thread *t, *sleeper;
	uint64_t from_ns, ns, used_ns;

	become(0, SCHED_FIFO, 90);
	stop = false;
	semaphore_init(&gate, 0);
	sleeper = spawn(0, SCHED_OTHER, 0, log_after_gate, (void *)(uintptr_t)'a');
	t = spawn(0, SCHED_OTHER, 0, spin, NULL);
	CHECK_EQ(set_deadline(sleeper, 5 * MS, 10 * MS, 10 * MS, 0), 0);
	CHECK_EQ(set_deadline(t, 2 * MS, 10 * MS, 10 * MS, SCHED_FLAG_RECLAIM), 0);
	sleep_us(50000);
	from_ns = time_now_ns();
	used_ns = thread_runtime_ns(t);
	sleep_us(200000);
	ns = time_now_ns() - from_ns;
	used_ns = thread_runtime_ns(t) - used_ns;
	CHECK_TIMED_GE(used_ns, test_time_is_virtual() ? ns / 100 * 94 : ns / 2);
	CHECK_TIMED_LE(used_ns, ns / 100 * 96 + 10 * MS);
	stop = true;
	semaphore_post(&gate);
	join(sleeper);
	join(t);
	let_bandwidth_go();
}
