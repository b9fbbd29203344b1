/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Priority inheritance against a model: at every moment at which no operation is under way, each
 * thread runs with the best of its own rank and what the waiters of the mutexes that it owns run
 * with, and each mutex's waiters stand in that order. The classic mistakes are cases of their own:
 * release of one of several, in any order; a loan recorded as one's own; a waiter that times out; a
 * chain; attributes changed while boosted; an owner or a waiter that ends.
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
#include "core/thread.h"
#include "core/time.h"
#include "tests/host/host_locks.h"
#include "tests/host/host_seeds.h"

#define MUTEXES 6
#define THREADS 8
#define US      NSEC_PER_USEC

static struct mutex mutexes[MUTEXES];
static struct thread *threads[THREADS];
static unsigned changing; /* threads that are setting attributes */
static unsigned compared; /* how often the model was asked */
static bool conform = true;

/* ---- the model ------------------------------------------------------------------------------- */

static unsigned own_rank(const struct thread *t)
{
	bool rt = t->sched.policy == SCHED_FIFO || t->sched.policy == SCHED_RR;

	return rt ? RANK_RT + t->sched.own_priority : RANK_FAIR;
}

static unsigned model_rank(struct thread *t);

static unsigned model_lent(const struct mutex *m)
{
	unsigned rank = m->ceiling ? RANK_RT + m->ceiling : 0;

	if (m->options & MUTEX_NO_INHERIT)
		return rank;
	for (struct rb_node *n = rb_first(&m->waiters.waiters); n; n = rb_next(n)) {
		unsigned one = model_rank(container_of(n, struct thread, waiter.node));

		if (one > RANK_FAIR)
			rank = MAX(rank, one);
	}
	return rank;
}

static unsigned model_rank(struct thread *t)
{
	unsigned rank = own_rank(t);

	for (unsigned i = 0; i < MUTEXES; i++)
		if (mutex_owner(&mutexes[i]) == t) {
			unsigned lent = model_lent(&mutexes[i]);

			rank = MAX(rank, lent);
		}
	return rank;
}

static bool under_way;

static void look_for_operations(struct thread *t, void *arg)
{
	(void)arg;
	if (spin_is_locked(&t->borrower.lock) || atomic_load_relaxed(&t->borrower.pins))
		under_way = true;
}

static void compare(struct thread *t, void *arg)
{
	(void)arg;
	if (t->sched.state != THREAD_DEAD && t->sched.rank != RANK_IDLE)
		CHECK(t->sched.rank == model_rank(t));
}

static void observe(bool quiet)
{
	under_way = changing && !quiet;
	for (unsigned i = 0; i < MUTEXES; i++)
		under_way |= spin_is_locked(&mutexes[i].waiters.lock);
	for (unsigned i = 0; i < cpu_count; i++)
		under_way |= !cpu_at(i) || spin_is_locked(&cpu_at(i)->rq.lock);
	host_each_thread(look_for_operations, NULL);
	if (under_way || !conform)
		return;
	host_each_thread(compare, NULL);
	compared++;
	for (unsigned i = 0; i < MUTEXES; i++) {
		unsigned before = UINT32_MAX;

		for (struct rb_node *n = rb_first(&mutexes[i].waiters.waiters); n; n = rb_next(n)) {
			struct thread *t = container_of(n, struct thread, waiter.node);

			CHECK(t->waiter.rank == t->sched.rank && t->waiter.rank <= before);
			CHECK(t->borrower.waits_for == &mutexes[i]);
			before = t->waiter.rank;
		}
	}
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void work_us(unsigned us)
{
	uint64_t end_ns = time_now_ns() + us * US;

	while (time_now_ns() < end_ns)
		arch_cpu_relax();
}

static void sleep_us(unsigned us)
{
	thread_sleep_until(time_now_ns() + us * US);
}

/* The first thread: on CPU 0, above all others. */
static void become_controller(void)
{
	struct cpumask only = { 0 };

	cpumask_set(&only, 0);
	CHECK(!thread_set_affinity(thread_current(), &only));
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 99, 0));
	for (unsigned i = 0; i < MUTEXES; i++)
		mutex_init(&mutexes[i]);
}

static void start(unsigned i, int policy, int priority, void *(*entry)(void *))
{
	struct thread_attr attr = { .policy = (uint8_t)policy, .priority = (uint8_t)priority };

	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
	sleep_us(20); /* it has come to where it waits */
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void set(unsigned i, int policy, int priority)
{
	changing++;
	CHECK(!sched_set_policy(threads[i], policy, priority, 0));
	changing--;
}

static unsigned rank(unsigned i)
{
	return threads[i]->sched.rank;
}

/* What a thread is to do, one after the other, when it is told to. */
static struct semaphore go[THREADS];

static unsigned taken; /* by those who waited */

/* On one CPU the better thread has had the mutex before the unlock returns. */
static void unlock(struct mutex *m)
{
	unsigned before = taken, waits = !wait_queue_empty(&m->waiters);

	CHECK(!mutex_unlock(m));
	CHECK(cpu_count > 1 || taken >= before + waits);
}

/* Holds mutexes 0 and 1 (as thread 0); gives up 0, then 1, when told. */
static void *hold_two(void *arg)
{
	(void)arg;
	CHECK(!mutex_lock(&mutexes[0]) && !mutex_lock(&mutexes[1]));
	semaphore_wait(&go[0]);
	unlock(&mutexes[0]);
	semaphore_wait(&go[0]);
	unlock(&mutexes[1]);
	semaphore_wait(&go[0]);
	return NULL;
}

static void *take_first(void *arg)
{
	CHECK(!mutex_lock(&mutexes[0]));
	taken++;
	CHECK(!mutex_unlock(&mutexes[0]));
	return arg;
}

static void *take_second(void *arg)
{
	CHECK(!mutex_lock(&mutexes[1]));
	taken++;
	CHECK(!mutex_unlock(&mutexes[1]));
	return arg;
}

static void step(unsigned i)
{
	CHECK(!semaphore_post(&go[i]));
	sleep_us(20);
}

static void begin(void)
{
	become_controller();
	memset(threads, 0, sizeof(threads));
	for (unsigned i = 0; i < THREADS; i++)
		semaphore_init(&go[i], 0);
}

static void run(void (*first)(void *), unsigned cpus, unsigned seeds)
{
	struct scenario s = {
		.first = first,
		.cpus_from = 1,
		.cpus_to = cpus,
		.seeds = seeds,
		.observe = observe,
	};

	run_seeds(&s);
}

/* ---- release of one of several; own attributes changed meanwhile ------------------------------ */

static void several_first(void *arg)
{
	struct sched_attr a;

	(void)arg;
	begin();
	start(0, SCHED_FIFO, 10, hold_two);
	start(1, SCHED_FIFO, 80, take_first);
	start(2, SCHED_FIFO, 50, take_second);
	CHECK(rank(0) == RANK_RT + 80);
	sched_get_attr(threads[0], &a);
	CHECK(a.sched_policy == SCHED_FIFO && a.sched_priority == 10);
	set(0, SCHED_FIFO, 20); /* not seen as long as it is boosted */
	CHECK(rank(0) == RANK_RT + 80);
	step(0); /* the first one is released: what is left is the second one's */
	CHECK(rank(0) == RANK_RT + 50);
	set(0, SCHED_FIFO, 60);
	CHECK(rank(0) == RANK_RT + 60);
	set(0, SCHED_FIFO, 30);
	CHECK(rank(0) == RANK_RT + 50);
	step(0);
	CHECK(rank(0) == RANK_RT + 30 && rb_empty(&threads[0]->borrower.lends));
	step(0);
	join_all(3);
	CHECK(compared);
}

static void release_of_one_of_several(void **state)
{
	(void)state;
	run(several_first, 2, 10);
}

/* ---- a fair owner: its lag and its class come back -------------------------------------------- */

static void *hold_and_work(void *arg)
{
	CHECK(!mutex_lock(&mutexes[0]));
	semaphore_wait(&go[0]);
	work_us(100);
	CHECK(!mutex_unlock(&mutexes[0]));
	semaphore_wait(&go[0]);
	return arg;
}

static void *hog(void *arg)
{
	uint64_t end_ns = time_now_ns() + 20000 * US;

	while (!atomic_load_relaxed(&changing) && time_now_ns() < end_ns)
		arch_cpu_relax();
	return arg;
}

static void fair_first(void *arg)
{
	(void)arg;
	begin();
	start(0, SCHED_OTHER, 0, hold_and_work);
	start(1, SCHED_FIFO, 40, take_first);
	for (unsigned i = 2; i < 2 + 2 * cpu_count && i < THREADS; i++)
		start(i, SCHED_FIFO, 20, hog); /* without inheritance the owner never ran */
	CHECK(rank(0) == RANK_RT + 40 && !threads[0]->sched.fair.joined);
	CHECK(!semaphore_post(&go[0]));
	sleep_us(400);
	CHECK(rank(0) == RANK_FAIR && rank(1) == RANK_RT + 40);
	CHECK(threads[1]->sched.state == THREAD_DEAD);
	changing = 1;
	sleep_us(50);
	changing = 0;
	step(0);
	join_all(MIN(2 + 2 * cpu_count, (unsigned)THREADS));
}

static void a_fair_owner(void **state)
{
	(void)state;
	run(fair_first, 2, 10);
}

/* ---- time-outs ------------------------------------------------------------------------------- */

static void *take_first_for_a_while(void *arg)
{
	CHECK(mutex_lock_until(&mutexes[0], time_now_ns() + 200 * US) == -ETIMEDOUT);
	return arg;
}

static void *hold_two_and_work(void *arg)
{
	CHECK(!mutex_lock(&mutexes[0]));
	while (semaphore_trywait(&go[0]))
		work_us(5);
	CHECK(!mutex_unlock(&mutexes[0]));
	return arg;
}

static void timeout_first(void *arg)
{
	(void)arg;
	begin();
	start(0, SCHED_FIFO, 10, hold_two_and_work);
	start(1, SCHED_FIFO, 80, take_first_for_a_while);
	start(2, SCHED_FIFO, 30, take_first);
	CHECK(rank(0) == RANK_RT + 80);
	sleep_us(400);
	CHECK(rank(0) == RANK_RT + 30); /* though the owner has not stopped running */
	CHECK(!semaphore_post(&go[0]));
	join_all(3);
}

static void a_time_out_ends_the_loan(void **state)
{
	(void)state;
	run(timeout_first, 2, 20);
}

/* ---- chains ---------------------------------------------------------------------------------- */

/* Thread i holds mutex i and waits for mutex i - 1. */
static void *link_of_chain(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	CHECK(!mutex_lock(&mutexes[i]));
	if (i)
		CHECK(!mutex_lock(&mutexes[i - 1]));
	else
		semaphore_wait(&go[0]);
	if (i)
		CHECK(!mutex_unlock(&mutexes[i - 1]));
	CHECK(!mutex_unlock(&mutexes[i]));
	return NULL;
}

static void *wait_for_the_last(void *arg)
{
	CHECK(!mutex_lock(&mutexes[MUTEXES - 1]) && !mutex_unlock(&mutexes[MUTEXES - 1]));
	return arg;
}

static void *wait_for_the_last_shortly(void *arg)
{
	uint64_t until_ns = time_now_ns() + 100 * US;

	CHECK(mutex_lock_until(&mutexes[MUTEXES - 1], until_ns) == -ETIMEDOUT);
	return arg;
}

static void chain_first(void *arg)
{
	(void)arg;
	begin();
	for (unsigned i = 0; i < MUTEXES; i++)
		start(i, i % 2 ? SCHED_FIFO : SCHED_OTHER, i % 2 ? 10 : 0, link_of_chain);
	CHECK(rank(0) == RANK_RT + 10);
	start(6, SCHED_FIFO, 70, wait_for_the_last);
	for (unsigned i = 0; i < MUTEXES; i++)
		CHECK(rank(i) == RANK_RT + 70);
	start(7, SCHED_FIFO, 90, wait_for_the_last_shortly);
	CHECK(rank(0) == RANK_RT + 90);
	sleep_us(200);
	CHECK(rank(0) == RANK_RT + 70 && rank(5) == RANK_RT + 70);
	set(6, SCHED_FIFO, 40); /* those who wait change, too */
	CHECK(rank(0) == RANK_RT + 40 && rank(3) == RANK_RT + 40);
	set(6, SCHED_OTHER, 0);
	CHECK(rank(0) == RANK_RT + 10 && rank(4) == RANK_RT + 10 && rank(5) == RANK_RT + 10);
	set(3, SCHED_RR, 55);
	CHECK(rank(0) == RANK_RT + 55 && rank(3) == RANK_RT + 55 && rank(4) == RANK_RT + 10);
	step(0);
	join_all(8);
}

static void a_chain(void **state)
{
	(void)state;
	run(chain_first, 3, 10);
}

/* ---- circles --------------------------------------------------------------------------------- */

static unsigned refused;

/* Thread i holds mutex i and wants the next one; the last one closes the circle. */
static void *link_of_circle(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg, next = (i + 1) % 4;
	int err;

	CHECK(!mutex_lock(&mutexes[i]));
	semaphore_wait(&go[i]);
	err = mutex_lock(&mutexes[next]);
	CHECK(!err || err == -EDEADLK);
	refused += err == -EDEADLK;
	if (!err)
		CHECK(!mutex_unlock(&mutexes[next]));
	CHECK(!mutex_unlock(&mutexes[i]));
	return NULL;
}

static void circle_first(void *arg)
{
	(void)arg;
	begin();
	conform = false; /* the model does not end in a circle */
	refused = 0;
	for (unsigned i = 0; i < 4; i++)
		CHECK(!mutex_init_with(&mutexes[i], MUTEX_FIND_DEADLOCK, 0));
	for (unsigned i = 0; i < 4; i++)
		start(i, SCHED_FIFO, 10 + (int)i, link_of_circle);
	for (unsigned i = 0; i < 4; i++)
		CHECK(!semaphore_post(&go[i]));
	join_all(4);
	CHECK(refused == 1);
}

static void a_circle_is_found(void **state)
{
	(void)state;
	run(circle_first, 3, 30);
}

/* ---- ceiling --------------------------------------------------------------------------------- */

static void ceiling_first(void *arg)
{
	struct mutex m = MUTEX_INIT;

	(void)arg;
	begin();
	CHECK(mutex_init_with(&m, 0, 100) == -EINVAL && mutex_init_with(&m, 8, 0) == -EINVAL);
	CHECK(!mutex_init_with(&mutexes[0], 0, 60) && !mutex_init_with(&mutexes[1], 0, 99));
	CHECK(mutex_lock(&mutexes[0]) == -EINVAL && mutex_trylock(&mutexes[0]) == -EINVAL);
	CHECK(!mutex_lock(&mutexes[1]) && !mutex_unlock(&mutexes[1]));
	start(0, SCHED_FIFO, 10, hold_two);
	CHECK(rank(0) == RANK_RT + 99);
	start(1, SCHED_FIFO, 20, take_second);
	step(0);
	CHECK(rank(0) == RANK_RT + 99);
	step(0);
	CHECK(rank(0) == RANK_RT + 10);
	step(0);
	join_all(2);
	CHECK(!mutex_trylock(&mutexes[1]) && mutex_trylock(&mutexes[1]) == -EBUSY);
	CHECK(!mutex_unlock(&mutexes[1]) && mutex_unlock(&mutexes[1]) == -EPERM);
}

static void a_ceiling(void **state)
{
	(void)state;
	run(ceiling_first, 2, 10);
}

static void no_inheritance_first(void *arg)
{
	(void)arg;
	begin();
	CHECK(!mutex_init_with(&mutexes[0], MUTEX_NO_INHERIT, 0));
	start(0, SCHED_FIFO, 10, hold_two);
	start(1, SCHED_FIFO, 80, take_first);
	start(2, SCHED_FIFO, 50, take_first);
	CHECK(rank(0) == RANK_RT + 10);
	set(2, SCHED_FIFO, 90); /* those who wait are in order all the same: see observe() */
	CHECK(!semaphore_post(&go[0]));
	sleep_us(20);
	step(0);
	step(0);
	join_all(3);
}

static void a_mutex_without_inheritance(void **state)
{
	(void)state;
	run(no_inheritance_first, 2, 10);
}

/* ---- death of the owner ---------------------------------------------------------------------- */

static void *lock_and_end(void *arg)
{
	CHECK(!mutex_lock(&mutexes[0]));
	CHECK(!mutex_lock(&mutexes[1]));
	semaphore_wait(&go[0]);
	return arg;
}

static int got[THREADS];

/* Puts it in order, or not, and gives it up. */
static void *inherit_first(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	got[i] = mutex_lock(&mutexes[0]);
	if (got[i] == -ENOTRECOVERABLE)
		return NULL;
	if (got[i] == -EOWNERDEAD && i == 1)
		CHECK(!mutex_consistent(&mutexes[0]));
	semaphore_wait(&go[i]);
	CHECK(!mutex_unlock(&mutexes[0]));
	return NULL;
}

static void robust_first(void *arg)
{
	(void)arg;
	begin();
	for (unsigned i = 0; i < 2; i++)
		CHECK(!mutex_init_with(&mutexes[i], MUTEX_ROBUST, 0));
	CHECK(mutex_consistent(&mutexes[0]) == -EINVAL);
	start(0, SCHED_FIFO, 10, lock_and_end);
	start(1, SCHED_FIFO, 80, inherit_first);
	start(2, SCHED_FIFO, 50, inherit_first);
	CHECK(rank(0) == RANK_RT + 80);
	step(0); /* its death is told to the best of those who wait */
	CHECK(got[1] == -EOWNERDEAD && mutex_owner(&mutexes[0]) == threads[1]);
	CHECK(mutex_lock(&mutexes[1]) == -EOWNERDEAD); /* and to whoever comes */
	CHECK(!mutex_consistent(&mutexes[1]) && !mutex_unlock(&mutexes[1]));
	CHECK(!mutex_lock(&mutexes[1]) && !mutex_unlock(&mutexes[1]));
	step(1);
	CHECK(!got[2] && mutex_owner(&mutexes[0]) == threads[2]); /* it was put in order */
	step(2);
	join_all(3);

	start(0, SCHED_FIFO, 10, lock_and_end);
	for (unsigned i = 2; i < 6; i++)
		start(i, SCHED_FIFO, 90 - (int)i, inherit_first);
	step(0);
	CHECK(got[2] == -EOWNERDEAD);
	step(2); /* given up as it was: nobody will have it again */
	for (unsigned i = 3; i < 6; i++)
		CHECK(got[i] == -ENOTRECOVERABLE);
	CHECK(mutex_lock(&mutexes[0]) == -ENOTRECOVERABLE);
	CHECK(mutex_trylock(&mutexes[0]) == -ENOTRECOVERABLE);
	CHECK(!thread_join(threads[0], NULL));
	for (unsigned i = 2; i < 6; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void a_robust_mutex(void **state)
{
	(void)state;
	run(robust_first, 2, 10);
}

static void *try_shortly(void *arg)
{
	CHECK(mutex_lock_until(&mutexes[0], time_now_ns() + 50 * US) == -ETIMEDOUT);
	return arg;
}

/* It stays locked for ever; whoever tries to get it looks at a thread that has ended. */
static void left_locked_first(void *arg)
{
	(void)arg;
	begin();
	start(0, SCHED_FIFO, 10, lock_and_end);
	start(1, SCHED_FIFO, 20, try_shortly);
	step(0);
	CHECK(!thread_join(threads[0], NULL));
	for (unsigned i = 2; i < 6; i++)
		start(i, SCHED_FIFO, 30 + (int)i, try_shortly);
	for (unsigned i = 1; i < 6; i++)
		CHECK(!thread_join(threads[i], NULL));
	CHECK(mutex_trylock(&mutexes[0]) == -EBUSY);
}

static void an_owner_that_ends(void **state)
{
	(void)state;
	run(left_locked_first, 2, 10);
}

/* ---- everything at once ---------------------------------------------------------------------- */

static unsigned inside[MUTEXES];
static const struct host_locks locks = {
	.mutexes = mutexes,
	.n = MUTEXES,
	.inside = inside,
	.timeout_ns = 60 * US,
	.work_ns = 4 * US,
	.sleep_ns = 10 * US,
};

static void set_random(struct thread *t)
{
	static const int policies[] = { SCHED_OTHER, SCHED_FIFO, SCHED_RR };
	int policy = policies[draw(3)];

	changing++;
	CHECK(!sched_set_policy(t, policy, policy ? 1 + (int)draw(98) : 0, 0));
	changing--;
}

/* One that has ended and is not joined yet: -ESRCH. */
static void set_random_alive(void)
{
	int err;

	changing++;
	err = sched_set_policy(threads[draw(THREADS)], SCHED_FIFO, 1 + (int)draw(98), 0);
	changing--;
	CHECK(!err || err == -ESRCH);
}

static void *lock_at_random(void *arg)
{
	for (unsigned i = 0; i < 12; i++) {
		host_lock_some(&locks, 0, 1 + (unsigned)draw(4));
		if (!draw(4))
			set_random(thread_current());
	}
	return arg;
}

static void storm_first(void *arg)
{
	(void)arg;
	begin();
	memset(inside, 0, sizeof(inside));
	/* those that look for a deadlock let go of the queue before they block */
	for (unsigned i = 0; i < MUTEXES; i++)
		CHECK(!mutex_init_with(&mutexes[i], draw(2) ? MUTEX_FIND_DEADLOCK : 0, 0));
	for (unsigned i = 0; i < THREADS; i++)
		start(i, SCHED_FIFO, 1 + (int)draw(98), lock_at_random);
	for (unsigned i = 0; i < 30; i++) {
		sleep_us(10);
		for (unsigned j = 0; j < 3; j++)
			set_random_alive();
	}
	join_all(THREADS);
	for (unsigned i = 0; i < MUTEXES; i++)
		CHECK(!mutexes[i].owner && !mutexes[i].lend.rank);
}

static void everything_at_once(void **state)
{
	(void)state;
	run(storm_first, 4, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(release_of_one_of_several),   cmocka_unit_test(a_fair_owner),
		cmocka_unit_test(a_time_out_ends_the_loan),    cmocka_unit_test(a_chain),
		cmocka_unit_test(a_circle_is_found),           cmocka_unit_test(a_ceiling),
		cmocka_unit_test(a_mutex_without_inheritance), cmocka_unit_test(a_robust_mutex),
		cmocka_unit_test(an_owner_that_ends),          cmocka_unit_test(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
