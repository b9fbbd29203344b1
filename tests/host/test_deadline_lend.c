/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines that are lent to the owners of mutexes, on 1..4 virtual CPUs, by seed. The owner runs at
 * the lender's deadline and from his budget, through chains; of several the earliest counts; what is
 * used up is not lent, so nobody runs at a deadline without a budget, and nobody is throttled by a
 * loan. Releases in any order, time-outs, changes of parameters and deaths undo it; with all of these
 * at once, whoever takes no part keeps every deadline and his share.
 *
 * Sources: tests/host/host_locks.c tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/sync.h"
#include "sched/deadline.h"
#include "sched/server.h"
#include "tests/host/host_locks.h"
#include "tests/host/host_seeds.h"

#define US      NSEC_PER_USEC
#define MS      NSEC_PER_MSEC
#define THREADS 10
#define MUTEXES 5
/* What interrupts and switches add to a time. */
#define LATE_NS (60 * US)

static struct mutex mutexes[MUTEXES];
static struct thread *threads[THREADS];
static struct semaphore go[THREADS];
static uint64_t done_ns[THREADS];
static uint64_t work_ns[THREADS]; /* of its critical section */
static volatile bool stop;

/* ---- threads --------------------------------------------------------------------------------- */

/*
 * All others are on CPU 0. With several CPUs this thread is not, so it sees them run at deadlines.
 */
static void begin(void)
{
	CHECK(!sched_deadline_use());
	CHECK(!fair_server_set(0, 1000000));
	host_pin(thread_current(), cpu_count - 1);
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 99, 0));
	stop = false;
	for (unsigned i = 0; i < MUTEXES; i++)
		mutex_init(&mutexes[i]);
	for (unsigned i = 0; i < THREADS; i++) {
		semaphore_init(&go[i], 0);
		done_ns[i] = 0;
	}
}

static void wait_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

/* On CPU 0, by @policy. */
static void start(unsigned i, int policy, int priority, void *(*entry)(void *))
{
	struct thread_attr attr = { .policy = (uint8_t)policy, .priority = (uint8_t)priority };
	struct cpumask only = { 0 };

	cpumask_set(&only, 0);
	attr.affinity = &only;
	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
}

static int set_deadline(unsigned i, uint64_t runtime_ns, uint64_t period_ns)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_runtime = runtime_ns,
				      .sched_deadline = period_ns };

	return sched_set_attr(threads[i], &a);
}

/* A thread with a deadline, which does @entry when it is let go. */
static void start_deadline(unsigned i, uint64_t runtime_ns, uint64_t period_ns,
			   void *(*entry)(void *))
{
	start(i, SCHED_FIFO, 98, entry);
	wait_for(20 * US);
	CHECK(!set_deadline(i, runtime_ns, period_ns));
}

static void let_go(unsigned i)
{
	CHECK(!semaphore_post(&go[i]));
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static const struct deadline *server_of(unsigned i)
{
	return threads[i]->sched.deadline;
}

/* Thread @i runs, or would, with what thread @lender has. */
static bool borrows(unsigned i, unsigned lender)
{
	return threads[i]->sched.rank == RANK_DEADLINE && threads[i]->sched.place.lent &&
	       threads[i]->sched.place.lent == server_of(lender) &&
	       threads[i]->sched.place.loan == server_of(lender)->loan;
}

static bool borrows_nothing(unsigned i)
{
	return !threads[i]->sched.place.lent && !threads[i]->sched.place.counted_bw &&
	       !threads[i]->sched.borrowed_rank && rb_empty(&threads[i]->borrower.lends);
}

/* Takes mutex @i, works when it is let go, gives it up. */
static void hold(unsigned i, struct mutex *m)
{
	CHECK(!mutex_lock(m));
	semaphore_wait(&go[i]);
	host_compute(work_ns[i]);
	done_ns[i] = time_now_ns();
	CHECK(!mutex_unlock(m));
}

static void *hold_first(void *arg)
{
	hold((unsigned)(uintptr_t)arg, &mutexes[0]);
	semaphore_wait(&go[(uintptr_t)arg]);
	return NULL;
}

static void *take(unsigned i, struct mutex *m)
{
	semaphore_wait(&go[i]);
	CHECK(!mutex_lock(m));
	done_ns[i] = time_now_ns();
	CHECK(!mutex_unlock(m));
	return NULL;
}

static void *take_first(void *arg)
{
	return take((unsigned)(uintptr_t)arg, &mutexes[0]);
}

static void *take_second(void *arg)
{
	return take((unsigned)(uintptr_t)arg, &mutexes[1]);
}

static void *hog(void *arg)
{
	while (!stop)
		host_compute(10 * US);
	return arg;
}

/* ---- the owner's time is the lender's -------------------------------------------------------- */

/* 0: fair owner; 1: lender; 2: FIFO hog. */
static void charged_first(void *arg)
{
	const struct deadline *lender;
	uint64_t begin_ns, ran_ns;

	(void)arg;
	begin();
	work_ns[0] = 300 * US;
	start(0, SCHED_OTHER, 0, hold_first);
	wait_for(50 * US);
	start_deadline(1, 1 * MS, 10 * MS, take_first);
	start(2, SCHED_FIFO, 50, hog);
	lender = server_of(1);
	begin_ns = time_now_ns();
	let_go(1);
	wait_for(50 * US);
	CHECK(borrows(0, 1) && threads[0]->sched.state == THREAD_BLOCKED);
	let_go(0);
	wait_for(100 * US);
	CHECK(borrows(0, 1) && threads[0]->sched.place.server == server_of(1));
	wait_for(300 * US);
	CHECK(done_ns[0] && done_ns[1] && done_ns[1] - begin_ns < 400 * US + LATE_NS);
	CHECK(borrows_nothing(0) && threads[0]->sched.rank == RANK_FAIR);
	ran_ns = MS - (uint64_t)lender->left_ns; /* it has ended, but its server has not */
	CHECK(ran_ns >= 300 * US && ran_ns < 300 * US + LATE_NS);
	stop = true;
	let_go(0);
	join_all(3);
}

static void the_owners_time_is_the_lenders(void **state)
{
	(void)state;
	run_seeds_of(charged_first, 2, 3, 10);
}

/* ---- a budget that is used up ---------------------------------------------------------------- */

/*
 * 0: owner of a long section; 1: lender, 200 us in 1 ms; 2: FIFO hog. The hog loses the lender's
 * budget in each period and no more; the section is over after as many periods as it takes.
 */
static void used_up_first(void *arg)
{
	uint64_t begin_ns, before_ns, ran_ns;

	(void)arg;
	begin();
	work_ns[0] = 900 * US;
	start(0, SCHED_OTHER, 0, hold_first);
	wait_for(50 * US);
	start_deadline(1, 200 * US, 1 * MS, take_first);
	start(2, SCHED_FIFO, 50, hog);
	let_go(0);
	wait_for(10 * US);
	let_go(1);
	begin_ns = time_now_ns();
	before_ns = thread_runtime_ns(threads[0]);
	for (unsigned i = 0; i < 4; i++) {
		wait_for(500 * US); /* between two budgets: on its own, behind the hog */
		CHECK(threads[0]->sched.rank == RANK_FAIR &&
		      threads[0]->sched.state == THREAD_RUNNABLE);
		ran_ns = thread_runtime_ns(threads[0]) - before_ns;
		CHECK(ran_ns >= (i + 1) * 200 * US - LATE_NS &&
		      ran_ns <= (i + 1) * 200 * US + LATE_NS);
		wait_for(500 * US - (time_now_ns() - begin_ns) % (500 * US));
	}
	wait_for(600 * US);
	CHECK(done_ns[0] && done_ns[0] - begin_ns < 4 * MS + 100 * US + LATE_NS);
	wait_for(MS);
	CHECK(done_ns[1]);
	CHECK(borrows_nothing(0));
	stop = true;
	let_go(0);
	join_all(3);
}

static void what_is_used_up_is_not_lent(void **state)
{
	(void)state;
	run_seeds_of(used_up_first, 2, 3, 10);
}

/* ---- behind it others lend, too -------------------------------------------------------------- */

/*
 * 0: fair owner; 1: lender, soon used up; 2: one with a later deadline; 3: FIFO 60; 4: FIFO hog of
 * 50. When nobody has a budget left, FIFO's rank is lent; the earliest deadline of those with one
 * counts.
 */
static void several_first(void *arg)
{
	(void)arg;
	begin();
	work_ns[0] = 10 * MS;
	start(0, SCHED_OTHER, 0, hold_first);
	wait_for(50 * US);
	start_deadline(1, 200 * US, 4 * MS, take_first);
	start_deadline(2, 300 * US, 8 * MS, take_first);
	start(3, SCHED_FIFO, 60, take_first);
	start(4, SCHED_FIFO, 50, hog);
	wait_for(100 * US);
	let_go(2);
	wait_for(20 * US);
	CHECK(borrows(0, 2));
	let_go(1);
	wait_for(20 * US);
	CHECK(borrows(0, 1)); /* it came later and is earlier */
	let_go(3);
	wait_for(20 * US);
	CHECK(borrows(0, 1));
	let_go(0);
	wait_for(100 * US);
	CHECK(borrows(0, 1));
	wait_for(200 * US);
	CHECK(borrows(0, 2) && server_of(1)->left_ns <= 0);
	wait_for(400 * US);
	CHECK(threads[0]->sched.rank == RANK_RT + 60 && server_of(2)->left_ns <= 0);
	wait_for(3400 * US); /* the first one's next period */
	CHECK(borrows(0, 1));
	wait_for(400 * US);
	CHECK(threads[0]->sched.rank == RANK_RT + 60);
	wait_for(12 * MS);
	CHECK(done_ns[0] && done_ns[3]);
	stop = true;
	let_go(0);
	join_all(5);
}

static void the_earliest_that_has_a_budget(void **state)
{
	(void)state;
	run_seeds_of(several_first, 2, 3, 10);
}

/* ---- chains ---------------------------------------------------------------------------------- */

static void *hold_second_take_first(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	CHECK(!mutex_lock(&mutexes[1]));
	semaphore_wait(&go[i]);
	if (work_ns[i])
		CHECK(mutex_lock_until(&mutexes[0], time_now_ns() + work_ns[i]) == -ETIMEDOUT);
	else
		CHECK(!mutex_lock(&mutexes[0]));
	semaphore_wait(&go[i]);
	if (!work_ns[i])
		CHECK(!mutex_unlock(&mutexes[0]));
	CHECK(!mutex_unlock(&mutexes[1]));
	semaphore_wait(&go[i]);
	return NULL;
}

static void *take_second_for_a_while(void *arg)
{
	semaphore_wait(&go[(uintptr_t)arg]);
	CHECK(mutex_lock_until(&mutexes[1], time_now_ns() + 200 * US) == -ETIMEDOUT);
	semaphore_wait(&go[(uintptr_t)arg]);
	return NULL;
}

/* 0 owns the first mutex, 1 the second and waits for the first, 2 lends by the second. */
static void chain_begin(void *(*lender)(void *), uint64_t time_out_ns)
{
	begin();
	work_ns[0] = 0;
	work_ns[1] = time_out_ns;
	start(0, SCHED_OTHER, 0, hold_first);
	wait_for(50 * US);
	start(1, SCHED_OTHER, 0, hold_second_take_first);
	wait_for(50 * US);
	start_deadline(2, MS, 10 * MS, lender);
}

static void chain_first(void *arg)
{
	(void)arg;
	chain_begin(take_second, 0);
	let_go(2);
	wait_for(20 * US);
	CHECK(borrows(1, 2) && borrows_nothing(0));
	let_go(1);
	wait_for(20 * US);
	CHECK(borrows(1, 2) && borrows(0, 2));
	let_go(0); /* gives up the first: the second owner goes on with the loan */
	wait_for(20 * US);
	CHECK(borrows_nothing(0) && threads[0]->sched.rank == RANK_FAIR);
	CHECK(borrows(1, 2) && mutex_owner(&mutexes[0]) == threads[1]);
	let_go(1);
	wait_for(20 * US);
	CHECK(done_ns[2] && borrows_nothing(1) && threads[1]->sched.rank == RANK_FAIR);
	let_go(0);
	let_go(1);
	join_all(3);
}

/* The lender at one end, or the one in the middle, stops waiting. */
static void chain_times_out_first(void *arg)
{
	(void)arg;
	chain_begin(take_second_for_a_while, 100 * US);
	let_go(1);
	wait_for(20 * US);
	let_go(2);
	wait_for(20 * US);
	CHECK(borrows(1, 2) && borrows(0, 2));
	wait_for(100 * US); /* the one in the middle */
	CHECK(borrows(1, 2) && borrows_nothing(0));
	wait_for(100 * US); /* the lender */
	CHECK(borrows_nothing(1) && threads[1]->sched.rank == RANK_FAIR);
	CHECK(!server_of(2)->lends);
	let_go(0);
	let_go(1);
	let_go(2);
	let_go(0);
	let_go(1);
	join_all(3);
}

/* He becomes FIFO, gets another deadline, waits all the while. */
static void parameters_first(void *arg)
{
	uint64_t left_ns;

	(void)arg;
	chain_begin(take_second, 0);
	let_go(1);
	let_go(2);
	wait_for(30 * US);
	CHECK(borrows(0, 2) && borrows(1, 2));
	CHECK(!sched_set_policy(threads[2], SCHED_FIFO, 70, 0));
	wait_for(20 * US);
	CHECK(threads[0]->sched.rank == RANK_RT + 70 && threads[1]->sched.rank == RANK_RT + 70);
	CHECK(!threads[0]->sched.place.lent && !threads[1]->sched.place.lent);
	CHECK(!set_deadline(2, 500 * US, 20 * MS));
	wait_for(20 * US);
	CHECK(borrows(0, 2) && borrows(1, 2));
	/* owners with deadlines of their own use the earlier one, and get theirs back */
	CHECK(!set_deadline(0, MS, 10 * MS));
	work_ns[0] = 100 * US;
	left_ns = (uint64_t)server_of(2)->left_ns;
	let_go(0);
	wait_for(300 * US);
	CHECK(threads[0]->sched.rank == RANK_DEADLINE && !threads[0]->sched.place.lent);
	CHECK((uint64_t)server_of(2)->left_ns <= left_ns &&
	      server_of(0)->left_ns >= (int64_t)(MS - 150 * US));
	let_go(0);
	let_go(1);
	let_go(1);
	join_all(3);
}

static void a_chain(void **state)
{
	(void)state;
	run_seeds_of(chain_first, 1, 3, 10);
}

static void a_time_out_ends_the_loan(void **state)
{
	(void)state;
	run_seeds_of(chain_times_out_first, 1, 3, 10);
}

static void parameters_of_both_change(void **state)
{
	(void)state;
	run_seeds_of(parameters_first, 1, 3, 10);
}

/* ---- an owner that has used up his own budget ------------------------------------------------ */

/* 0: owner, 100 us in 20 ms, throttled in his section; 1: lender. */
static void throttled_owner_first(void *arg)
{
	uint64_t begin_ns;

	(void)arg;
	begin();
	work_ns[0] = 400 * US;
	start(0, SCHED_FIFO, 98, hold_first);
	wait_for(20 * US);
	CHECK(!set_deadline(0, 100 * US, 20 * MS));
	start_deadline(1, MS, 10 * MS, take_first);
	let_go(0);
	wait_for(300 * US);
	CHECK(threads[0]->sched.unusual & SCHED_THROTTLED);
	begin_ns = time_now_ns();
	let_go(1);
	wait_for(20 * US);
	CHECK(!(threads[0]->sched.unusual & SCHED_THROTTLED) && borrows(0, 1));
	wait_for(500 * US);
	CHECK(done_ns[0] && done_ns[0] - begin_ns < 300 * US + LATE_NS && done_ns[1]);
	CHECK(!threads[0]->sched.place.lent && threads[0]->sched.rank == RANK_DEADLINE);
	let_go(0);
	join_all(2);
}

static void a_throttled_owner_goes_on(void **state)
{
	(void)state;
	run_seeds_of(throttled_owner_first, 2, 3, 10);
}

/* The same with a waiter who has no budget that he could lend: the period is waited for. */
static void throttled_for_fifo_first(void *arg)
{
	uint64_t begin_ns;

	(void)arg;
	begin();
	work_ns[0] = 150 * US;
	start(0, SCHED_FIFO, 98, hold_first);
	wait_for(20 * US);
	CHECK(!set_deadline(0, 100 * US, 5 * MS));
	start(1, SCHED_FIFO, 60, take_first);
	begin_ns = time_now_ns();
	let_go(0);
	wait_for(200 * US);
	let_go(1);
	wait_for(20 * US);
	CHECK(threads[0]->sched.borrowed_rank == RANK_RT + 60);
	CHECK(threads[0]->sched.unusual & SCHED_THROTTLED);
	wait_for(5 * MS);
	CHECK(done_ns[1] - begin_ns >= 5 * MS + 50 * US &&
	      done_ns[1] - begin_ns < 5 * MS + 50 * US + LATE_NS);
	let_go(0);
	join_all(2);
}

static void a_throttled_owner_is_not_raised_by_fifo(void **state)
{
	(void)state;
	run_seeds_of(throttled_for_fifo_first, 2, 3, 10);
}

/* ---- death ----------------------------------------------------------------------------------- */

static void *hold_and_end(void *arg)
{
	CHECK(!mutex_lock(&mutexes[0]));
	semaphore_wait(&go[(uintptr_t)arg]);
	return NULL;
}

static void *take_from_the_dead(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	semaphore_wait(&go[i]);
	CHECK(mutex_lock(&mutexes[0]) == -EOWNERDEAD && !mutex_consistent(&mutexes[0]));
	CHECK(!mutex_unlock(&mutexes[0]));
	done_ns[i] = time_now_ns();
	semaphore_wait(&go[i]);
	return NULL;
}

static void death_first(void *arg)
{
	(void)arg;
	begin();
	CHECK(!mutex_init_with(&mutexes[0], MUTEX_ROBUST, 0));
	start(0, SCHED_OTHER, 0, hold_and_end);
	wait_for(50 * US);
	start_deadline(1, MS, 10 * MS, take_from_the_dead);
	let_go(1);
	wait_for(20 * US);
	CHECK(borrows(0, 1));
	let_go(0);
	wait_for(50 * US);
	CHECK(done_ns[1] && !server_of(1)->lends);
	CHECK(deadline_queues[0].active_bw <= server_of(1)->bw);
	let_go(1);
	join_all(2);
	wait_for(30 * MS);
	CHECK(!deadline_in_use());
}

static void an_owner_ends(void **state)
{
	(void)state;
	run_seeds_of(death_first, 1, 3, 10);
}

/* ---- everything at once ---------------------------------------------------------------------- */

#define STORM_NS (60 * MS)

static uint64_t storm_end_ns;
static unsigned inside[MUTEXES], jobs, misses;
static const struct host_locks locks = {
	.mutexes = mutexes,
	.n = MUTEXES,
	.inside = inside,
	.timeout_ns = 300 * US,
	.work_ns = 150 * US,
	.sleep_ns = 30 * US,
};

/* With deadlines of 12 % of a CPU at most, or without. */
static void change_one(unsigned i)
{
	int err;

	if (draw(2))
		err = set_deadline(i, 20 * US + draw(100) * US, MS + draw(4) * MS);
	else
		err = sched_set_policy(threads[i], draw(2) ? SCHED_FIFO : SCHED_OTHER, 0, 0);
	if (err == -EINVAL)
		err = sched_set_policy(threads[i], SCHED_FIFO, 1 + (int)draw(40), 0);
	CHECK(!err || err == -EBUSY || err == -ESRCH);
}

static void *lock_at_random(void *arg)
{
	while (time_now_ns() < storm_end_ns) {
		host_lock_some(&locks, 0, 1 + (unsigned)draw(4));
		if (draw(2))
			wait_for(draw(200) * US);
	}
	return arg;
}

/* Takes no part: 300 us each ms, on CPU 0. */
static void *bystander(void *arg)
{
	uint64_t at_ns;

	semaphore_wait(&go[(uintptr_t)arg]);
	for (at_ns = time_now_ns() + MS; at_ns < storm_end_ns; at_ns += MS) {
		thread_sleep_until(at_ns);
		host_compute(280 * US);
		jobs++;
		misses += time_now_ns() > at_ns + MS;
	}
	return arg;
}

static void storm_first(void *arg)
{
	uint64_t begin_ns, hog_ns;

	(void)arg;
	begin();
	jobs = misses = 0;
	memset(inside, 0, sizeof(inside));
	for (unsigned i = 0; i < MUTEXES; i++)
		CHECK(!mutex_init_with(&mutexes[i], draw(2) ? MUTEX_FIND_DEADLOCK : 0, 0));
	begin_ns = time_now_ns();
	storm_end_ns = begin_ns + STORM_NS;
	start_deadline(0, 300 * US, MS, bystander);
	start(1, SCHED_FIFO, 50, hog);
	for (unsigned i = 2; i < THREADS; i++) {
		start(i, SCHED_OTHER, 0, lock_at_random);
		if (cpu_count > 1 && i % 2)
			CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	}
	let_go(0);
	while (time_now_ns() < storm_end_ns) {
		wait_for(draw(400) * US);
		change_one(2 + (unsigned)draw(THREADS - 2));
	}
	hog_ns = thread_runtime_ns(threads[1]);
	/* 30 % are the bystander's, at most 62 % more are given away on CPU 0 alone */
	CHECK(cpu_count > 1 || hog_ns >= STORM_NS * 5 / 100);
	CHECK(cpu_count > 1 || (jobs >= STORM_NS / MS - 2 && !misses));
	stop = true;
	join_all(THREADS);
	for (unsigned i = 0; i < MUTEXES; i++)
		CHECK(!mutexes[i].owner && !mutexes[i].lend.rank);
	wait_for(30 * MS);
	CHECK(!deadline_in_use());
	for (unsigned i = 0; i < cpu_count; i++)
		CHECK(deadline_queues[i].active_bw == deadline_queues[i].gone_bw);
}

static void everything_at_once(void **state)
{
	(void)state;
	run_seeds_of(storm_first, 1, 4, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owners_time_is_the_lenders),
		cmocka_unit_test(what_is_used_up_is_not_lent),
		cmocka_unit_test(the_earliest_that_has_a_budget),
		cmocka_unit_test(a_chain),
		cmocka_unit_test(a_time_out_ends_the_loan),
		cmocka_unit_test(parameters_of_both_change),
		cmocka_unit_test(a_throttled_owner_goes_on),
		cmocka_unit_test(a_throttled_owner_is_not_raised_by_fifo),
		cmocka_unit_test(an_owner_ends),
		cmocka_unit_test(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
