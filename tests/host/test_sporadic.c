/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCHED_SPORADIC on 1..4 virtual CPUs, by seed: the budget alone against a model of sporadic tasks;
 * then threads that arrive at random, of which nobody has more than his budget at his high priority
 * in any period, to the ns of an interrupt; where POSIX's own rule gives too much; head and tail;
 * priorities borrowed and lent; attributes changed at any time.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/sync.h"
#include "sched/sporadic.h"
#include "sched/deadline.h"
#include "tests/host/host_seeds.h"

#define US      NSEC_PER_USEC
#define MS      NSEC_PER_MSEC
#define THREADS 8
/* From the end of a slice until the thread is off its CPU, and what a switch takes. */
#define LATE_NS (5 * US)

/* ---- the budget alone ------------------------------------------------------------------------ */

#define SPANS 4000

/* What was used, in order; no two overlap. */
struct span {
	uint64_t begin_ns, end_ns;
};

static struct span spans[SPANS];
static unsigned nr_spans;

/* Used in [@from, @from + @length). */
static uint64_t used_in(uint64_t from_ns, uint64_t length_ns)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < nr_spans; i++) {
		uint64_t a = MAX(spans[i].begin_ns, from_ns);
		uint64_t b = MIN(spans[i].end_ns, from_ns + length_ns);

		if (a < b)
			sum += b - a;
	}
	return sum;
}

/* The most in any window of @length_ns: one that is full begins or ends with a span. */
static uint64_t most_in(uint64_t length_ns)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < nr_spans; i++) {
		uint64_t one = used_in(spans[i].begin_ns, length_ns);

		most = MAX(most, one);
		if (spans[i].end_ns >= length_ns) {
			one = used_in(spans[i].end_ns - length_ns, length_ns);
			most = MAX(most, one);
		}
	}
	return most;
}

static uint64_t sum_of(const struct sporadic_budget *b)
{
	uint64_t sum = 0, last_ns = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct sporadic_piece *p = &b->piece[(b->first + i) % ARRAY_SIZE(b->piece)];

		assert_true(p->at_ns >= last_ns && p->ns);
		last_ns = p->at_ns;
		sum += p->ns;
	}
	return sum;
}

static uint64_t pick(unsigned n)
{
	return (uint64_t)rand() % n;
}

/*
 * The thread runs alone, blocks and wakes at random. Then the release of each piece is when it
 * begins to be used, or later, so in no window of a period is more used than the budget.
 */
static void no_window_has_more(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 300; seed++) {
		struct sporadic_budget b = { .max = 0 };
		uint64_t now_ns = 1000;

		srand(seed);
		b.budget_ns = 10 + pick(1000);
		b.period_ns = b.budget_ns + pick(3000);
		b.max = 2 + (uint32_t)pick(SPORADIC_REPL_MAX);
		sporadic_fill(&b, now_ns);
		nr_spans = 0;
		while (nr_spans < 200) {
			uint64_t left_ns;

			now_ns += pick(4) ? pick(300) : pick(5000);
			sporadic_activate(&b, now_ns);
			left_ns = sporadic_left_ns(&b, now_ns);
			if (left_ns) {
				uint64_t use_ns = 1 + pick((unsigned)left_ns);

				spans[nr_spans++] = (struct span){ now_ns, now_ns + use_ns };
				now_ns += use_ns;
				sporadic_use(&b, use_ns);
			}
			assert_int_equal(sum_of(&b), b.budget_ns);
			assert_true(b.n >= 1 && b.n <= b.max);
		}
		assert_true(most_in(b.period_ns) <= b.budget_ns);
		for (uint64_t k = 2; k < 6; k++)
			assert_true(most_in(k * b.period_ns) <= k * b.budget_ns);
	}
}

/*
 * The premature replenishment of the paper. Budget 20, period 50: 18 are used at 0, so 2 are left.
 * It wakes at 40, but somebody better runs until 50, when the 18 have come back. It uses all 20 from
 * 50 to 70. POSIX has one activation time, 40, for all that was used since: 20 come back at 90, and
 * 30 are used in [50, 100). Here only the 2 come back then, and the 18 at 100.
 */
static void what_is_left_does_not_come_back_with_the_rest(void **state)
{
	struct sporadic_budget b = { .max = 10, .budget_ns = 20, .period_ns = 50 };

	(void)state;
	sporadic_fill(&b, 0);
	sporadic_use(&b, 18);
	sporadic_activate(&b, 40);
	assert_int_equal(sporadic_left_ns(&b, 40), 2);
	sporadic_use(&b, 20); /* 50..70, with breaks or without */
	assert_int_equal(sporadic_left_ns(&b, 89), 0);
	assert_int_equal(sporadic_left_ns(&b, 90), 2);
	sporadic_use(&b, 2);
	assert_int_equal(sporadic_left_ns(&b, 99), 0);
	assert_int_equal(sporadic_left_ns(&b, 100), 18);
}

/* What ran too long is taken from what comes next. */
static void an_overrun_is_not_forgiven(void **state)
{
	struct sporadic_budget b = { .max = 10, .budget_ns = 20, .period_ns = 50 };

	(void)state;
	sporadic_fill(&b, 0);
	sporadic_use(&b, 23);
	assert_int_equal(sum_of(&b), 20);
	assert_int_equal(sporadic_left_ns(&b, 49), 0);
	assert_int_equal(sporadic_left_ns(&b, 50), 17);
	sporadic_use(&b, 17);
	assert_int_equal(sporadic_left_ns(&b, 99), 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct thread *threads[THREADS];
static struct semaphore go[THREADS];
static volatile bool stop;

static void wait_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

/* The others are on CPU 0. */
static void begin(void)
{
	CHECK(!sched_sporadic_use());
	host_pin(thread_current(), cpu_count - 1);
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 99, 0));
	stop = false;
	nr_spans = 0;
	for (unsigned i = 0; i < THREADS; i++)
		semaphore_init(&go[i], 0);
}

static struct sched_attr sporadic(unsigned high, unsigned low, uint64_t budget_ns,
				  uint64_t period_ns, unsigned max)
{
	return (struct sched_attr){ .size = sizeof(struct sched_attr),
				    .sched_policy = SCHED_SPORADIC,
				    .sched_priority = high,
				    .sched_nice = (int32_t)low,
				    .sched_runtime = budget_ns,
				    .sched_period = period_ns,
				    .sched_flags = max };
}

static void start(unsigned i, struct sched_attr a, void *(*entry)(void *))
{
	struct cpumask only = { 0 };
	struct thread_attr attr = { .sched = &a, .affinity = &only };

	cpumask_set(&only, 0);
	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
}

static struct sched_attr fifo(unsigned priority)
{
	return (struct sched_attr){ .size = sizeof(struct sched_attr),
				    .sched_policy = SCHED_FIFO,
				    .sched_priority = priority };
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static unsigned rank(unsigned i)
{
	return threads[i]->sched.rank;
}

/* Notes when it runs with its high priority, in pieces of a us. */
static void note_work(uint64_t ns)
{
	const struct sporadic *s = thread_current()->sched.sporadic;

	for (uint64_t done_ns = 0; done_ns < ns && !stop; done_ns += US) {
		uint64_t begin_ns = time_now_ns(), end_ns;
		uint64_t ran_ns = thread_runtime_ns(thread_current());
		bool high = !atomic_load_relaxed(&s->is_low);

		host_compute(US);
		end_ns = time_now_ns();
		high = high && !atomic_load_relaxed(&s->is_low);
		ran_ns = thread_runtime_ns(thread_current()) - ran_ns;
		/* it was low, or somebody ran, in between */
		if (!high || nr_spans == SPANS || end_ns - begin_ns > ran_ns + 100)
			continue;
		if (nr_spans && spans[nr_spans - 1].end_ns + 500 >= begin_ns)
			spans[nr_spans - 1].end_ns = end_ns;
		else
			spans[nr_spans++] = (struct span){ begin_ns, end_ns };
	}
}

static void *arrive_at_random(void *arg)
{
	while (!stop) {
		note_work(draw(4) ? draw(150) * US : draw(1000) * US);
		wait_for(draw(300) * US);
	}
	return arg;
}

static void *hog(void *arg)
{
	while (!stop)
		host_compute(10 * US);
	return arg;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void expect_fault(struct sched_attr a, const char *field)
{
	const char *expected, *found = sched_attr_fault(&a, &expected);

	CHECK(found && !strcmp(found, field));
	CHECK(sched_set_attr(thread_current(), &a) == -EINVAL);
}

static void parameters_first(void *arg)
{
	struct sched_attr a = sporadic(50, 10, 100 * US, MS, 4), got;

	(void)arg;
	expect_fault(a, "sched_policy"); /* before it is in use */
	begin();
	a = sporadic(100, 10, 100 * US, MS, 4);
	expect_fault(a, "sched_priority");
	expect_fault(sporadic(50, 51, 100 * US, MS, 4), "sched_nice");
	expect_fault(sporadic(50, 0, 100 * US, MS, 4), "sched_nice");
	expect_fault(sporadic(50, 10, 2 * MS, MS, 4), "sched_runtime");
	expect_fault(sporadic(50, 10, 999, MS, 4), "sched_runtime");
	expect_fault(sporadic(50, 10, 100 * US, MS, 0), "sched_flags");
	expect_fault(sporadic(50, 10, 100 * US, MS, SPORADIC_REPL_MAX + 1), "sched_flags");
	expect_fault(sporadic(50, 10, 100 * US, ~0ull, 4), "sched_period");
	a = sporadic(50, 10, 100 * US, MS, 4);
	a.sched_deadline = 1;
	expect_fault(a, "sched_deadline");
	a = sporadic(50, 10, 100 * US, MS, 4);
	CHECK(!sched_set_attr(thread_current(), &a));
	sched_get_attr(thread_current(), &got);
	CHECK(!memcmp(&a, &got, sizeof(a)));
	CHECK(!sched_set_priority(thread_current(), 60));
	CHECK(sched_set_priority(thread_current(), 9) == -EINVAL);
	sched_get_attr(thread_current(), &got);
	CHECK(got.sched_priority == 60 && got.sched_nice == 10);
	CHECK(!sched_set_policy(thread_current(), SCHED_OTHER, 0, 0));
	CHECK(!thread_current()->sched.sporadic);
}

static void parameters(void **state)
{
	(void)state;
	run_seeds_of(parameters_first, 1, 2, 2);
}

/* ---- exhaustion and replenishment, exactly --------------------------------------------------- */

static uint64_t low_ns[THREADS], high_ns[THREADS], begun_ns;

/* Notes when its priority falls and rises. */
static void *run_through(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	struct sporadic *s = thread_current()->sched.sporadic;

	semaphore_wait(&go[i]);
	begun_ns = time_now_ns();
	while (!s->is_low)
		host_compute(US);
	low_ns[i] = time_now_ns();
	while (s->is_low)
		host_compute(US);
	high_ns[i] = time_now_ns();
	while (!stop)
		host_compute(10 * US);
	return arg;
}

static void exact_first(void *arg)
{
	uint64_t ran_ns, from_ns;

	(void)arg;
	begin();
	start(0, sporadic(60, 10, 200 * US, MS, 4), run_through);
	CHECK(!semaphore_post(&go[0]));
	wait_for(3 * MS);
	CHECK(low_ns[0] - begun_ns >= 195 * US && low_ns[0] - begun_ns <= 200 * US + LATE_NS);
	CHECK(high_ns[0] - begun_ns >= MS - LATE_NS && high_ns[0] - begun_ns <= MS + LATE_NS);
	/* one between its priorities: the thread has its budget of each period, and no more */
	start(1, fifo(30), hog);
	wait_for(MS);
	from_ns = thread_runtime_ns(threads[0]);
	wait_for(10 * MS);
	ran_ns = thread_runtime_ns(threads[0]) - from_ns;
	CHECK(ran_ns >= 2 * MS - 200 * US && ran_ns <= 2 * MS + 200 * US);
	stop = true;
	join_all(2);
}

static void budget_and_period_are_exact(void **state)
{
	(void)state;
	run_seeds_of(exact_first, 2, 3, 10);
}

/* ---- random arrivals ------------------------------------------------------------------------- */

static void random_first(void *arg)
{
	uint64_t budget_ns = (20 + draw(200)) * US, period_ns = budget_ns + draw(1000) * US;

	(void)arg;
	begin();
	start(0, sporadic(60, 10, budget_ns, period_ns, 1 + (unsigned)draw(8)), arrive_at_random);
	if (draw(2))
		start(1, fifo(30), hog);
	else
		start(1, sporadic(40, 5, 100 * US, MS, 3), hog);
	wait_for(20 * MS);
	stop = true;
	join_all(2);
	CHECK(nr_spans > 5);
	CHECK(most_in(period_ns) <= budget_ns + LATE_NS);
	CHECK(most_in(4 * period_ns) <= 4 * budget_ns + 4 * LATE_NS);
}

static void nobody_has_more_than_his_budget(void **state)
{
	(void)state;
	run_seeds_of(random_first, 1, 3, 25);
}

/* ---- head and tail --------------------------------------------------------------------------- */

static unsigned order[16], nr_order;
static uint64_t work_ns;

static void *say_when(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	semaphore_wait(&go[i]);
	order[nr_order++] = i;
	host_compute(100 * US);
	return arg;
}

static void *use_up_and_say(void *arg)
{
	semaphore_wait(&go[0]);
	host_compute(work_ns);
	order[nr_order++] = 0;
	return arg;
}

/* Thread 0 has begun to use up 100 us; thread @other waits to be let go. */
static void begin_to_use_up(uint64_t ns, unsigned other, unsigned priority)
{
	nr_order = 0;
	work_ns = ns;
	start(0, sporadic(60, 20, 100 * US, 400 * US, 4), use_up_and_say);
	start(other, fifo(priority), say_when);
	wait_for(50 * US);
	CHECK(!semaphore_post(&go[0]));
}

/* Whoever falls goes behind those of his low priority; who rises behind those of his high one. */
static void tail_first(void *arg)
{
	(void)arg;
	begin();
	begin_to_use_up(150 * US, 1, 20);
	wait_for(20 * US);
	CHECK(!semaphore_post(&go[1]));
	join_all(2);
	CHECK(nr_order == 2 && order[0] == 1 && order[1] == 0);
	/* the high one comes back while another of that priority waits: behind it */
	begin_to_use_up(190 * US, 2, 60);
	wait_for(150 * US);
	CHECK(rank(0) == RANK_RT + 20);
	start(1, fifo(90), hog);
	CHECK(!semaphore_post(&go[2]));
	wait_for(400 * US);
	CHECK(rank(0) == RANK_RT + 60 && !nr_order);
	stop = true;
	join_all(3);
	CHECK(nr_order == 2 && order[0] == 2 && order[1] == 0);
}

static void it_goes_to_the_tail(void **state)
{
	(void)state;
	run_seeds_of(tail_first, 2, 3, 10);
}

/* ---- inheritance ----------------------------------------------------------------------------- */

static struct mutex mutex;

static void *hold_and_work(void *arg)
{
	CHECK(!mutex_lock(&mutex));
	semaphore_wait(&go[(uintptr_t)arg]);
	host_compute(300 * US);
	CHECK(!mutex_unlock(&mutex));
	semaphore_wait(&go[(uintptr_t)arg]);
	return arg;
}

static void *take(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	semaphore_wait(&go[i]);
	CHECK(!mutex_lock(&mutex));
	CHECK(!mutex_unlock(&mutex));
	return arg;
}

static void *work_and_take(void *arg)
{
	semaphore_wait(&go[(uintptr_t)arg]);
	host_compute(120 * US);
	CHECK(!mutex_lock(&mutex));
	CHECK(!mutex_unlock(&mutex));
	return arg;
}

static void inherit_first(void *arg)
{
	(void)arg;
	begin();
	mutex_init(&mutex);
	/* an owner who has used up his budget is lent what a waiter has; it is not his budget's */
	start(0, sporadic(40, 10, 100 * US, 5 * MS, 4), hold_and_work);
	wait_for(20 * US); /* it has the mutex before there is anybody better */
	start(1, fifo(70), take);
	start(2, fifo(50), hog);
	wait_for(50 * US);
	CHECK(!semaphore_post(&go[0]));
	CHECK(!semaphore_post(&go[1]));
	wait_for(50 * US);
	CHECK(rank(0) == RANK_RT + 70);
	wait_for(400 * US);
	CHECK(rank(0) == RANK_RT + 40 &&
	      sporadic_left_ns(&threads[0]->sched.sporadic->b, ~0ull) > 70 * US);
	CHECK(!semaphore_post(&go[0]));
	stop = true;
	join_all(3);
	stop = false;
	/* a waiter lends what he has: low, and high again when his budget comes back */
	start(0, fifo(5), hold_and_work);
	wait_for(50 * US);
	start(1, sporadic(60, 20, 100 * US, MS, 4), work_and_take);
	wait_for(50 * US);
	CHECK(!semaphore_post(&go[1]));
	wait_for(200 * US);
	CHECK(rank(1) == RANK_RT + 20 && rank(0) == RANK_RT + 20);
	wait_for(MS);
	CHECK(rank(1) == RANK_RT + 60 && rank(0) == RANK_RT + 60);
	CHECK(!semaphore_post(&go[0]));
	wait_for(500 * US);
	CHECK(rank(0) == RANK_RT + 5);
	CHECK(!semaphore_post(&go[0]));
	join_all(2);
}

static void priorities_are_lent_and_borrowed(void **state)
{
	(void)state;
	run_seeds_of(inherit_first, 2, 3, 10);
}

/* ---- everything at once ---------------------------------------------------------------------- */

static void *lock_and_work(void *arg)
{
	while (!stop) {
		host_compute(draw(100) * US);
		CHECK(!mutex_lock(&mutex));
		host_compute(draw(50) * US);
		CHECK(!mutex_unlock(&mutex));
		wait_for(draw(100) * US);
	}
	return arg;
}

static struct sched_attr random_attr(void)
{
	uint64_t budget_ns = (5 + draw(100)) * US;
	unsigned high = 2 + (unsigned)draw(90);
	struct sched_attr a = sporadic(high, 1 + (unsigned)draw(high), budget_ns,
				       budget_ns + draw(500) * US,
				       1 + (unsigned)draw(SPORADIC_REPL_MAX));

	if (draw(3))
		return a;
	if (draw(2))
		return fifo(1 + (unsigned)draw(90));
	return (struct sched_attr){ .size = sizeof(a),
				    .sched_policy = SCHED_DEADLINE,
				    .sched_runtime = budget_ns / 10 + US,
				    .sched_deadline = 2 * MS };
}

static void storm_first(void *arg)
{
	bool both = draw(2);

	(void)arg;
	if (both)
		CHECK(!sched_deadline_use());
	begin();
	CHECK(!sched_deadline_use());
	mutex_init(&mutex);
	for (unsigned i = 0; i < THREADS; i++) {
		start(i, sporadic(50, 5, 50 * US, 300 * US, 3), lock_and_work);
		if (i % 2)
			CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	}
	for (unsigned i = 0; i < 200; i++) {
		struct sched_attr a = random_attr();
		int err;

		wait_for(draw(100) * US);
		err = sched_set_attr(threads[draw(THREADS)], &a);
		CHECK(!err || err == -EBUSY);
	}
	stop = true;
	join_all(THREADS);
	CHECK(!mutex.owner && !mutex.lend.rank);
}

static void everything_at_once(void **state)
{
	(void)state;
	run_seeds_of(storm_first, 1, 4, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_window_has_more),
		cmocka_unit_test(what_is_left_does_not_come_back_with_the_rest),
		cmocka_unit_test(an_overrun_is_not_forgiven),
		cmocka_unit_test(parameters),
		cmocka_unit_test(budget_and_period_are_exact),
		cmocka_unit_test(nobody_has_more_than_his_budget),
		cmocka_unit_test(it_goes_to_the_tail),
		cmocka_unit_test(priorities_are_lent_and_borrowed),
		cmocka_unit_test(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
