/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is searched: short races of two to four threads on two or three CPUs. Each function warms
 * up (makes its threads, brings everybody to where the race begins), calls search_begin(), and
 * returns through finish(), which gives everybody time to end and checks that they did: a thread
 * that did not was forgotten. Invariants of sched/sched.h are checked at every step meanwhile.
 */
#include <string.h>

#include "core/event_queue.h"
#include "core/hotplug.h"
#include "core/irq_thread.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "sched/deadline.h"
#include "sched/group.h"
#include "sched/sched.h"
#include "sched/server.h"
#include "sched/sporadic.h"
#include "tests/host/host_irq.h"
#include "tests/host/host_seeds.h"
#include "tests/search/search.h"

#define THREADS 4

static struct thread *threads[THREADS];
static volatile bool done[THREADS];
static struct semaphore gate[THREADS], sem[THREADS];
static int timed;
static struct thread *hooked;

static struct thread *make(unsigned i, unsigned cpus, int policy, int level, void *(*entry)(void *))
{
	static const char *const names[THREADS] = { "A", "B", "C", "D" };
	struct cpumask mask = { 0 };
	struct thread_attr attr = { .name = names[i],
				    .affinity = &mask,
				    .policy = (uint8_t)policy };

	mask.bits[0] = cpus;
	if (policy == SCHED_OTHER)
		attr.nice = (int8_t)level;
	else
		attr.priority = (uint8_t)level;
	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
	return threads[i];
}

static void pin_self(unsigned cpus)
{
	struct cpumask mask = { 0 };

	mask.bits[0] = cpus;
	CHECK(!thread_set_affinity(thread_current(), &mask));
}

static void become(int policy, int level)
{
	CHECK(!sched_set_policy(thread_current(), policy, policy ? level : 0, policy ? 0 : level));
}

static void set_cpus(unsigned i, unsigned cpus)
{
	struct cpumask mask = { 0 };

	mask.bits[0] = cpus;
	CHECK(!thread_set_affinity(threads[i], &mask));
}

static void set_nice(unsigned i, int nice)
{
	CHECK(!sched_set_policy(threads[i], SCHED_OTHER, 0, nice));
}

static void settle(void)
{
	thread_sleep_until(time_now_ns() + 100 * NSEC_PER_USEC);
}

static void go(unsigned i)
{
	semaphore_post(&gate[i]);
}

/* The first of all, on the CPUs @cpus. */
static void begin(unsigned cpus, int policy, int level)
{
	for (unsigned i = 0; i < THREADS; i++) {
		semaphore_init(&gate[i], 0);
		semaphore_init(&sem[i], 0);
	}
	become(policy, level);
	pin_self(cpus);
}

/* The first @n threads have come to their end, if they are given the CPU. */
static __noreturn void finish(unsigned n)
{
	settle();
	for (unsigned i = 0; i < n; i++)
		CHECK(done[i]);
	search_end();
}

/* A thread's life: waits at its gate, does its part of the race, is done. */
static void end(unsigned i)
{
	done[i] = true;
	semaphore_wait(&gate[i]);
}

static void *do_nothing(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_wait(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_wait(&sem[(uintptr_t)arg]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_yield(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	sched_yield_current();
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static volatile bool let_go[THREADS];

/* Until the test lets it end. */
static void *spin_on(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	while (!atomic_load_relaxed(&let_go[(uintptr_t)arg]))
		host_compute(10 * NSEC_PER_USEC);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_compute(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	host_compute(10 * NSEC_PER_USEC);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* Posts to the thread before it. */
static void *do_post(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_post(&sem[(uintptr_t)arg - 1]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_exit(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	done[(uintptr_t)arg] = true;
	return arg;
}

/* ---- wake and block -------------------------------------------------------------------------- */

/* A blocks on CPU 1 while CPU 0 wakes it: any moment of the one in any moment of the other. */
static void wake_block_by(int policy, int level)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, policy, level, do_wait);
	settle();
	search_begin();
	go(0);
	semaphore_post(&sem[0]);
	finish(1);
}

static void wake_block(void)
{
	wake_block_by(SCHED_FIFO, 20);
}

static void wake_block_fair(void)
{
	wake_block_by(SCHED_OTHER, 0);
}

/* Two wakers on two CPUs, two sleepers on the third. */
static void wake_two(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 4, SCHED_FIFO, 20, do_wait);
	make(1, 2, SCHED_FIFO, 20, do_post);
	make(2, 4, SCHED_OTHER, 0, do_wait);
	settle();
	go(0);
	settle();
	search_begin();
	go(1);
	go(2);
	semaphore_post(&sem[2]);
	finish(3);
}

static struct mutex mutex;

static void *do_lock(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	CHECK(!mutex_lock(&mutex));
	CHECK(!mutex_unlock(&mutex));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* The mutex is handed from one to the next. */
static void mutex_pass(void)
{
	begin(1, SCHED_FIFO, 10);
	mutex_init(&mutex);
	make(0, 2, SCHED_FIFO, 20, do_lock);
	make(1, 1, SCHED_OTHER, 0, do_lock);
	settle();
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_lock(&mutex));
	CHECK(!mutex_unlock(&mutex));
	finish(2);
}

static struct mutex outer, inner;

/* All that was lent is back. */
static void nothing_lent(void)
{
	CHECK(!mutex.owner && !outer.owner && !inner.owner);
	CHECK(!mutex.lend.rank && !outer.lend.rank && !inner.lend.rank);
	CHECK(thread_current()->sched.rank == RANK_RT + 10);
	CHECK(!thread_current()->borrower.pins && !thread_current()->mutexes_held);
}

static void init_mutexes(unsigned options)
{
	CHECK(!mutex_init_with(&mutex, options, 0));
	CHECK(!mutex_init_with(&outer, options, 0));
	CHECK(!mutex_init_with(&inner, options, 0));
}

/* Thread 0: owns inner, waits for outer. */
static void *do_link(void *arg)
{
	CHECK(!mutex_lock(&inner));
	semaphore_wait(&gate[0]);
	CHECK(!mutex_lock(&outer));
	CHECK(!mutex_unlock(&outer));
	CHECK(!mutex_unlock(&inner));
	end(0);
	return arg;
}

static void *do_lock_inner(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	CHECK(!mutex_lock(&inner));
	CHECK(!mutex_unlock(&inner));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* A rank is passed on over two links while the first one is taken away. */
static void inherit_chain(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 20, do_link);
	make(1, 4, SCHED_FIFO, 30, do_lock_inner);
	settle();
	CHECK(!mutex_lock(&outer));
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_unlock(&outer));
	settle();
	nothing_lent();
	finish(2);
}

static void *do_lock_timed(void *arg)
{
	int err;

	semaphore_wait(&gate[(uintptr_t)arg]);
	err = mutex_lock_until(&mutex, time_now_ns() + 2000);
	CHECK(!err || err == -ETIMEDOUT);
	if (!err)
		CHECK(!mutex_unlock(&mutex));
	semaphore_post(&sem[(uintptr_t)arg]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* A waiter's time is over while the mutex is handed on. */
static void inherit_timeout(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 30, do_lock_timed);
	make(1, 1, SCHED_FIFO, 20, do_lock_timed);
	settle();
	CHECK(!mutex_lock(&mutex));
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_unlock(&mutex));
	semaphore_wait(&sem[0]); /* time may jump while they compute */
	semaphore_wait(&sem[1]);
	nothing_lent();
	search_end();
}

/* A waiter gets another priority while the mutex is handed on. */
static void inherit_change(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 20, do_lock);
	make(1, 2, SCHED_FIFO, 30, do_lock);
	settle();
	CHECK(!mutex_lock(&mutex));
	go(0);
	go(1);
	settle();
	search_begin();
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 40, 0));
	CHECK(thread_current()->sched.rank == RANK_RT + 40);
	CHECK(!mutex_unlock(&mutex));
	settle();
	nothing_lent();
	finish(2);
}

static void *do_wait_for_one(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_wait(&sem[0]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_post_one(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_post(&sem[0]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* A thread gets a better priority than the one that waits while it begins to wait, too. */
static void rank_wait(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_wait_for_one);
	make(1, 2, SCHED_FIFO, 30, do_wait_for_one);
	settle();
	go(1);
	settle();
	search_begin();
	go(0);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 40, 0));
	settle();
	semaphore_post(&sem[0]);
	settle();
	CHECK(done[0] && !done[1]);
	semaphore_post(&sem[0]);
	finish(2);
}

static void hook(struct thread *t)
{
	hooked = t;
}

static struct condition condition;
static bool told;

static void *do_wait_condition(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	CHECK(!mutex_lock(&mutex));
	go(1);
	while (!told)
		CHECK(!condition_wait(&condition, &mutex));
	CHECK(!mutex_unlock(&mutex));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* Nobody waits when it has signalled: nobody may come by the condition any more. */
static void *do_signal_and_free(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_post(&sem[2]);
	CHECK(!mutex_lock(&mutex));
	told = true;
	condition_signal(&condition);
	memset(&condition, 0xa5, sizeof(condition));
	CHECK(!mutex_unlock(&mutex));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* Somebody better takes the CPU as a thread comes to a condition that is signalled. */
static void condition_come(void)
{
	begin(2, SCHED_FIFO, 10);
	mutex_init(&mutex);
	condition_init(&condition);
	told = false;
	make(0, 1, SCHED_FIFO, 20, do_wait_condition);
	make(1, 2, SCHED_FIFO, 30, do_signal_and_free);
	make(2, 1, SCHED_FIFO, 40, do_wait);
	settle();
	go(2);
	settle();
	search_begin();
	go(0);
	finish(3);
}

static void *do_raise(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 40, 0));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void hook_that_waits(struct thread *t)
{
	for (struct rb_node *n = rb_first(&condition.waiters.waiters); n; n = rb_next(n))
		CHECK(n != &t->waiter.node);
	semaphore_wait(&sem[3]);
	hooked = t;
}

/*
 * It has another priority when it arrives; and a hook that is set on its way neither waits in its
 * place nor is forgotten.
 */
static void condition_change(void)
{
	begin(2, SCHED_FIFO, 50);
	mutex_init(&mutex);
	condition_init(&condition);
	told = false;
	make(0, 1, SCHED_FIFO, 20, do_wait_condition);
	make(1, 1, SCHED_FIFO, 30, do_wait_condition);
	make(2, 1, SCHED_FIFO, 45, do_raise);
	settle();
	go(1);
	settle();
	search_begin();
	go(0);
	if (search_choice(2))
		CHECK(!thread_set_hook(threads[0], hook_that_waits));
	else
		hooked = threads[0];
	go(2);
	settle();
	semaphore_post(&sem[3]);
	settle();
	CHECK(!mutex_lock(&mutex));
	told = true;
	CHECK(!mutex_unlock(&mutex));
	condition_signal(&condition);
	settle();
	CHECK(done[0] && !done[1] && hooked == threads[0]);
	condition_signal(&condition);
	finish(3);
}

/* The same of one that waits, while it is woken. */
static void rank_wake(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_wait_for_one);
	make(1, 2, SCHED_FIFO, 15, do_wait_for_one);
	make(2, 4, SCHED_FIFO, 10, do_post_one);
	settle();
	go(0);
	go(1);
	settle();
	search_begin();
	go(2);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 5, 0));
	settle();
	CHECK(done[0] + done[1] == 1 && done[2]);
	semaphore_post(&sem[0]);
	finish(3);
}

static void *do_link_checked(void *arg)
{
	int err;

	CHECK(!mutex_lock(&inner));
	semaphore_wait(&gate[0]);
	err = mutex_lock(&outer);
	CHECK(!err || err == -EDEADLK);
	if (!err)
		CHECK(!mutex_unlock(&outer));
	CHECK(!mutex_unlock(&inner));
	end(0);
	return arg;
}

/* Two threads wait for each other, and are told. */
static void inherit_circle(void)
{
	int err;

	begin(1, SCHED_FIFO, 10);
	init_mutexes(MUTEX_FIND_DEADLOCK);
	make(0, 2, SCHED_FIFO, 20, do_link_checked);
	settle();
	CHECK(!mutex_lock(&outer));
	search_begin();
	go(0);
	err = mutex_lock(&inner);
	CHECK(!err || err == -EDEADLK);
	if (!err)
		CHECK(!mutex_unlock(&inner));
	CHECK(!mutex_unlock(&outer));
	settle();
	nothing_lent();
	finish(1);
}

static void *do_die_with_it(void *arg)
{
	CHECK(!mutex_lock(&mutex));
	semaphore_wait(&gate[0]);
	done[0] = true;
	return arg;
}

static void *do_lock_robust(void *arg)
{
	int err;

	semaphore_wait(&gate[(uintptr_t)arg]);
	err = mutex_lock(&mutex);
	CHECK(err == -EOWNERDEAD || !err);
	if (err)
		CHECK(!mutex_consistent(&mutex));
	CHECK(!mutex_unlock(&mutex));
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* The owner ends while others come to wait. */
static void inherit_death(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(MUTEX_ROBUST);
	make(0, 2, SCHED_FIFO, 20, do_die_with_it);
	make(1, 1, SCHED_FIFO, 30, do_lock_robust);
	settle();
	search_begin();
	go(0);
	go(1);
	settle();
	CHECK(mutex.owner == 2 && !mutex.lend.rank);
	finish(2);
}

/* ---- deadlines that are lent ----------------------------------------------------------------- */

static void set_deadline(unsigned i, uint64_t runtime_ns)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_runtime = runtime_ns,
				      .sched_deadline = 10 * NSEC_PER_MSEC };

	CHECK(!sched_deadline_use());
	CHECK(!sched_set_attr(threads[i], &a));
}

static void no_deadline_lent(const struct thread *t)
{
	CHECK(!t->sched.place.lent && !t->sched.borrowed_rank && !t->sched.place.counted_bw);
}

/* A deadline goes along a chain that gets shorter. */
static void lend_chain(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 20, do_link);
	make(1, 4, SCHED_FIFO, 30, do_lock_inner);
	settle();
	set_deadline(1, NSEC_PER_MSEC);
	CHECK(!mutex_lock(&outer));
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_unlock(&outer));
	settle();
	nothing_lent();
	no_deadline_lent(thread_current());
	no_deadline_lent(threads[0]);
	CHECK(!threads[1]->sched.deadline->lends);
	finish(2);
}

/* A lender's time is over while the mutex is handed on; he has little left. */
static void lend_timeout(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 30, do_lock_timed);
	make(1, 1, SCHED_FIFO, 20, do_lock_timed);
	settle();
	set_deadline(0, 1500);
	CHECK(!mutex_lock(&mutex));
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_unlock(&mutex));
	semaphore_wait(&sem[0]); /* time may jump while they compute */
	semaphore_wait(&sem[1]);
	nothing_lent();
	no_deadline_lent(thread_current());
	no_deadline_lent(threads[1]);
	CHECK(!threads[0]->sched.deadline->lends);
	search_end();
}

/* A lender leaves the class while the mutex is handed on. */
static void lend_change(void)
{
	const struct deadline *d;

	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 20, do_lock);
	make(1, 2, SCHED_FIFO, 30, do_lock);
	settle();
	set_deadline(0, NSEC_PER_MSEC);
	CHECK(!mutex_lock(&mutex));
	go(0);
	go(1);
	settle();
	d = threads[0]->sched.deadline;
	CHECK(d->lends && thread_current()->sched.place.lent == d);
	search_begin();
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 40, 0));
	CHECK(thread_current()->sched.rank == RANK_RT + 40);
	CHECK(!mutex_unlock(&mutex));
	settle();
	nothing_lent();
	no_deadline_lent(thread_current());
	CHECK(!d->lends);
	finish(2);
}

/* ---- sporadic servers ------------------------------------------------------------------------ */

static void set_sporadic(unsigned i, unsigned high, unsigned low, uint64_t budget_ns)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_SPORADIC,
				      .sched_priority = high,
				      .sched_nice = (int32_t)low,
				      .sched_flags = 2,
				      .sched_runtime = budget_ns,
				      .sched_period = 20000 };

	CHECK(!sched_sporadic_use());
	CHECK(!sched_set_attr(threads[i], &a));
}

/*
 * A waiter's budget comes back, or is used up, while the mutex is handed on; what he lends is what he
 * has.
 */
static void sporadic_mutex(void)
{
	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	make(0, 2, SCHED_FIFO, 30, do_lock_timed);
	make(1, 1, SCHED_FIFO, 20, do_lock_timed);
	settle();
	set_sporadic(0, 30, 15, 1500);
	CHECK(!mutex_lock(&mutex));
	search_begin();
	go(0);
	go(1);
	CHECK(!mutex_unlock(&mutex));
	semaphore_wait(&sem[0]); /* time may jump while they compute */
	semaphore_wait(&sem[1]);
	nothing_lent();
	search_end();
}

/*
 * Chains of three: the first thread owns chain[0]; A owns chain[1] and waits for it; B owns chain[2]
 * and waits for chain[1]; C, the best, comes to wait for chain[2], and lends what it has to all.
 */
static struct mutex chain[THREADS];

static void chain_unlock(unsigned i)
{
	CHECK(!mutex_unlock(&chain[i]));
}

/* With what became of the owner before. */
static void chain_lock(unsigned i)
{
	int err = mutex_lock(&chain[i]);

	CHECK(!err || err == -EOWNERDEAD);
	if (err)
		CHECK(!mutex_consistent(&chain[i]));
}

/* Thread @i owns chain[@i + 1], waits for chain[@i], and gives them up in one order or the other. */
static void *do_chain_link(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	bool inner_first;

	chain_lock(i + 1);
	semaphore_wait(&gate[i]);
	chain_lock(i);
	inner_first = search_choice(2);
	chain_unlock(inner_first ? i + 1 : i);
	chain_unlock(inner_first ? i : i + 1);
	semaphore_post(&sem[i]);
	end(i);
	return arg;
}

static void *do_chain_end(void *arg)
{
	semaphore_wait(&gate[2]);
	chain_lock(2);
	chain_unlock(2);
	semaphore_post(&sem[2]);
	end(2);
	return arg;
}

/* It gives up after a time, or has it. */
static void *do_chain_end_timed(void *arg)
{
	int err;

	semaphore_wait(&gate[2]);
	err = mutex_lock_until(&chain[2], time_now_ns() + 2000);
	CHECK(!err || err == -ETIMEDOUT);
	if (!err)
		chain_unlock(2);
	semaphore_post(&sem[2]);
	end(2);
	return arg;
}

/* Owns chain[1] until it ends. */
static void *do_chain_die(void *arg)
{
	chain_lock(1);
	semaphore_wait(&gate[0]);
	semaphore_post(&sem[0]);
	return arg;
}

static void chain_begin(unsigned options, void *(*first)(void *), void *(*last)(void *))
{
	begin(1, SCHED_FIFO, 10);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(!mutex_init_with(&chain[i], options, 0));
	make(0, 2, SCHED_FIFO, 20, first);
	make(1, 2, SCHED_FIFO, 30, do_chain_link);
	make(2, 2, SCHED_FIFO, 40, last);
	settle();
	if (first == do_chain_link) {
		chain_lock(0);
		go(0);
	}
	settle();
	go(1);
	settle();
	search_begin();
	go(2);
}

static __noreturn void chain_finish(void)
{
	for (unsigned i = 0; i < 3; i++)
		semaphore_wait(&sem[i]); /* time may jump while they compute */
	settle();
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(chain[i].owner <= 2 && !chain[i].lend.rank);
	for (unsigned i = 1; i < 3; i++)
		CHECK(!threads[i]->borrower.pins && !threads[i]->mutexes_held);
	nothing_lent();
	search_end();
}

/* Released at its root while it gets longer; quiet before that, it has reached the root. */
static void inherit_long(void)
{
	chain_begin(0, do_chain_link, do_chain_end);
	if (search_choice(2)) {
		settle();
		CHECK(thread_current()->sched.rank == RANK_RT + 40);
	}
	chain_unlock(0);
	CHECK(thread_current()->sched.rank == RANK_RT + 10);
	chain_finish();
}

/* The best waiter's time is over while the root is released. */
static void inherit_long_timeout(void)
{
	chain_begin(0, do_chain_link, do_chain_end_timed);
	host_compute(search_choice(2) ? 2000 : 0);
	chain_unlock(0);
	chain_finish();
}

/* A link in the middle, and the end, get other priorities. */
static void inherit_long_change(void)
{
	chain_begin(0, do_chain_link, do_chain_end);
	CHECK(!sched_set_policy(threads[1], SCHED_FIFO, 45, 0));
	CHECK(!sched_set_policy(threads[2], SCHED_FIFO, 15, 0));
	if (search_choice(2)) {
		settle();
		CHECK(thread_current()->sched.rank == RANK_RT + 45);
		CHECK(!sched_set_policy(threads[1], SCHED_FIFO, 12, 0));
		settle();
		CHECK(thread_current()->sched.rank == RANK_RT + 20);
	}
	chain_unlock(0);
	chain_finish();
}

/* The owner in the middle, whom B waits for, ends while C comes. */
static void inherit_long_death(void)
{
	chain_begin(MUTEX_ROBUST, do_chain_die, do_chain_end);
	go(0);
	chain_finish();
}

static void *do_lock_outer(void *arg)
{
	semaphore_wait(&gate[2]);
	CHECK(!mutex_lock(&outer));
	CHECK(!mutex_unlock(&outer));
	semaphore_post(&sem[2]);
	end(2);
	return arg;
}

/*
 * The first thread owns chain[0], which A waits for and behind A, as the best, B; and outer, which C
 * waits for. Released in both orders while B and C come.
 */
static void inherit_any_order(void)
{
	bool root_first;

	begin(1, SCHED_FIFO, 10);
	init_mutexes(0);
	for (unsigned i = 0; i < THREADS; i++)
		mutex_init(&chain[i]);
	make(0, 2, SCHED_FIFO, 20, do_chain_link);
	make(1, 2, SCHED_FIFO, 40, do_chain_link);
	make(2, 2, SCHED_FIFO, 30, do_lock_outer);
	settle();
	chain_lock(0);
	CHECK(!mutex_lock(&outer));
	go(0);
	settle();
	search_begin();
	go(1);
	go(2);
	root_first = search_choice(2);
	if (search_choice(2)) {
		settle();
		CHECK(thread_current()->sched.rank == RANK_RT + 40);
		if (root_first)
			chain_unlock(0);
		else
			CHECK(!mutex_unlock(&outer));
		CHECK(thread_current()->sched.rank == RANK_RT + (root_first ? 30 : 40));
	} else if (root_first) {
		chain_unlock(0);
	} else {
		CHECK(!mutex_unlock(&outer));
	}
	if (root_first)
		CHECK(!mutex_unlock(&outer));
	else
		chain_unlock(0);
	chain_finish();
}

static struct spinlock spin = SPINLOCK_INIT(LOCK_WAIT);
static unsigned inside;

static void *do_spin(void *arg)
{
	unsigned long flags;

	semaphore_wait(&gate[(uintptr_t)arg]);
	flags = spin_lock_irqsave(&spin);
	inside++;
	spin_unlock_irqrestore(&spin, flags);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* Three CPUs at one spinlock: its queue. */
static void lock_three(void)
{
	unsigned long flags;

	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_spin);
	make(1, 4, SCHED_FIFO, 20, do_spin);
	settle();
	search_begin();
	go(0);
	go(1);
	flags = spin_lock_irqsave(&spin);
	inside++;
	spin_unlock_irqrestore(&spin, flags);
	settle();
	CHECK(inside == 3);
	finish(2);
}

/* ---- steal and switch ------------------------------------------------------------------------ */

/* CPU 0 switches between A and B; CPU 1 has nothing to do from some moment on, and takes one. */
static void steal_switch(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_yield);
	make(1, 1, SCHED_OTHER, 0, do_yield);
	settle();
	set_cpus(0, 3);
	set_cpus(1, 3);
	search_begin();
	go(0);
	go(1);
	finish(2);
}

/* The same of real-time threads, and a third one that CPU 0 keeps. */
static void steal_rt(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_FIFO, 5, do_yield);
	make(1, 1, SCHED_FIFO, 5, do_yield);
	make(2, 1, SCHED_OTHER, 0, do_nothing);
	settle();
	set_cpus(0, 3);
	set_cpus(1, 3);
	search_begin();
	go(2);
	go(0);
	go(1);
	finish(3);
}

/*
 * D, the worst, waits and is offered, so CPU 1 looks when A ends there and C is next. B, better than
 * C, is woken meanwhile and has to wait for the first: it runs on CPU 1 then, whoever is earlier.
 */
static void rt_fall(void)
{
	begin(1, SCHED_FIFO, 40);
	make(0, 2, SCHED_FIFO, 30, spin_on);
	make(1, 3, SCHED_FIFO, 20, do_nothing);
	make(2, 2, SCHED_FIFO, 10, spin_on);
	make(3, 3, SCHED_FIFO, 5, spin_on);
	settle();
	go(3);
	go(2);
	go(0);
	settle();
	search_begin();
	atomic_store_relaxed(&let_go[0], true);
	go(1);
	host_compute(50 * NSEC_PER_USEC);
	CHECK(done[0] && done[1]);
	let_go[2] = let_go[3] = true;
	finish(4);
}

/* Two thieves, one of which may not have what waits. */
static void steal_three(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_compute);
	make(1, 1, SCHED_OTHER, 0, do_compute);
	make(2, 4, SCHED_OTHER, 0, do_nothing);
	settle();
	set_cpus(0, 5);
	set_cpus(1, 3);
	search_begin();
	go(2);
	go(0);
	go(1);
	finish(3);
}

/* ---- affinity -------------------------------------------------------------------------------- */

/* A is sent to CPU 1 while it ends on CPU 0. */
static void affinity_exit(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_exit);
	settle();
	search_begin();
	go(0);
	set_cpus(0, 2);
	CHECK(!thread_join(threads[0], NULL));
	finish(1);
}

/* A, asleep on CPU 0, is woken there while CPU 1 sends it to itself and back. */
static void affinity_wake(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_wait);
	make(1, 1, SCHED_FIFO, 20, do_post);
	settle();
	go(0);
	settle();
	search_begin();
	go(1);
	set_cpus(0, 2);
	set_cpus(0, 1);
	finish(2);
}

/* The same while it runs. */
static void affinity_run(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_FIFO, 5, do_yield);
	make(1, 1, SCHED_FIFO, 5, do_yield);
	settle();
	search_begin();
	go(0);
	go(1);
	set_cpus(0, 2);
	set_cpus(1, 3);
	finish(2);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* The weight of A changes while it runs, blocks, is woken by B or taken by CPU 1. */
static void weight_change(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_wait);
	make(1, 1, SCHED_OTHER, 5, do_post);
	settle();
	set_cpus(0, 3);
	set_cpus(1, 3);
	search_begin();
	go(0);
	go(1);
	set_nice(0, -5);
	set_nice(1, 10);
	finish(2);
}

/* A fair thread becomes FIFO and fair again while FIFO threads preempt it. */
static void policy_preempt(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_yield);
	make(1, 1, SCHED_FIFO, 20, do_nothing);
	settle();
	search_begin();
	go(0);
	go(1);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 30, 0));
	set_nice(0, 3);
	finish(2);
}

/*
 * A moves to an idle CPU when it is woken, while a third CPU changes its class and affinity: whoever
 * holds the lock of A's new CPU sees all that was written under that of the old one.
 */
static void move_change(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_wait);
	make(1, 1, SCHED_FIFO, 20, do_post);
	settle();
	go(0);
	settle();
	set_cpus(0, 5);
	search_begin();
	go(1);
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 30, 0));
	settle();
	CHECK(done[0] && !(threads[0]->sched.unusual & SCHED_SLICED));
	finish(2);
}

/* A hook is set for a thread that runs, blocks or is woken. */
static void notify(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_wait);
	settle();
	search_begin();
	go(0);
	CHECK(!thread_set_hook(threads[0], hook));
	semaphore_post(&sem[0]);
	settle();
	CHECK(done[0] && hooked == threads[0]);
	search_end();
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void join_exit(void)
{
	void *result = NULL;

	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_FIFO, 20, do_exit);
	make(1, 1, SCHED_FIFO, 20, do_exit);
	settle();
	search_begin();
	go(1);
	CHECK(!thread_join(threads[1], &result) && result == (void *)1);
	go(0);
	CHECK(!thread_detach(threads[0]));
	finish(2);
}

static void *do_wait_until(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	timed = semaphore_wait_until(&sem[(uintptr_t)arg], time_now_ns() + 10 * NSEC_PER_USEC);
	return NULL;
}

/* The unit is taken by the wait that was in time, or left by the one that was not. */
static void timed_post(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_wait_until);
	settle();
	search_begin();
	go(0);
	semaphore_post(&sem[0]);
	CHECK(!thread_join(threads[0], NULL));
	CHECK((timed == -ETIMEDOUT) == !semaphore_trywait(&sem[0]));
	search_end();
}

/* ---- idle CPUs ------------------------------------------------------------------------------- */

static void *displace(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_post(&sem[1]);
	host_compute(20 * NSEC_PER_USEC);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *wait_and_compute(void *arg)
{
	semaphore_wait(&sem[(uintptr_t)arg]);
	host_compute(20 * NSEC_PER_USEC);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* The first thread is displaced on CPU 0 while CPU 1 runs out of work: it goes on there. */
static void displaced(void)
{
	CHECK(!fair_server_set(0, 1000000)); /* the locks of its timer are fences */
	begin(1, SCHED_OTHER, 0);
	make(0, 1, SCHED_FIFO, 20, do_compute);
	make(1, 2, SCHED_FIFO, 20, do_nothing);
	settle();
	pin_self(3);
	search_begin();
	go(1);
	go(0);
	finish(2);
}

/*
 * A begins to wait behind the first thread on CPU 0, by the short way of FIFO threads, while CPU 1
 * runs out of work.
 */
static void queued_behind(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 1, SCHED_FIFO, 5, do_nothing);
	make(1, 2, SCHED_FIFO, 20, do_nothing);
	settle();
	set_cpus(0, 3);
	search_begin();
	go(1);
	go(0);
	host_compute(10 * NSEC_PER_USEC);
	finish(2);
}

/*
 * CPU 1 gives the idle CPU 0 two threads at once, while CPU 2 runs out of work, which may have the
 * second one.
 */
static void queued_on_idle(void)
{
	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_FIFO, 20, do_compute);
	make(1, 1, SCHED_FIFO, 5, do_nothing);
	make(2, 4, SCHED_FIFO, 20, do_nothing);
	settle();
	set_cpus(1, 5);
	search_begin();
	go(2);
	go(0);
	go(1);
	host_compute(10 * NSEC_PER_USEC);
	finish(3);
}

/*
 * The first thread, displaced on CPU 0, may run on the idle CPUs 1 and 2. The one that is told of it
 * is given work of its own before it looks.
 */
static void kick_used(void)
{
	begin(7, SCHED_OTHER, 0);
	make(0, 1, SCHED_FIFO, 20, displace);
	make(1, 2, SCHED_FIFO, 20, wait_and_compute);
	pin_self(1);
	settle();
	pin_self(7);
	search_begin();
	go(0);
	finish(2);
}

/* ---- CPUs that go ---------------------------------------------------------------------------- */

/* A, asleep on CPU 1, is woken from CPU 2 while CPU 1 goes. */
static void hotplug_wake(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_wait);
	make(1, 4, SCHED_FIFO, 20, do_post);
	settle();
	go(0);
	settle();
	set_cpus(0, 3);
	search_begin();
	go(1);
	CHECK(!cpu_offline(1));
	finish(2);
}

/* A runs on CPU 1, and may run nowhere else, as it goes. */
static void hotplug_run(void)
{
	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_OTHER, 0, do_yield);
	settle();
	search_begin();
	go(0);
	CHECK(!cpu_offline(1));
	CHECK(!cpu_online(1));
	finish(1);
}

/* ---- lag ------------------------------------------------------------------------------------- */

static void *do_bursts(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	for (unsigned i = 0; i < 20; i++) {
		host_compute(NSEC_PER_MSEC);
		thread_sleep_until(time_now_ns() + NSEC_PER_USEC);
	}
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_hog(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	for (;;)
		host_compute(NSEC_PER_SEC);
	return NULL;
}

static uint64_t instant_ns;

static void *do_owe(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	host_compute(NSEC_PER_MSEC);
	semaphore_wait(&sem[(uintptr_t)arg]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_post_at_instant(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	host_compute(instant_ns - time_now_ns());
	semaphore_post(&sem[0]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/*
 * A has run for B's share, too, and blocked: it owes, and stays in the sums of CPU 0. At one instant
 * B, on CPU 0, wakes it and blocks, and CPU 1 changes its weight and sends it away.
 */
static void debt(void)
{
	uint64_t start_ns;

	begin(2, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_owe);
	make(1, 1, SCHED_OTHER, 0, do_post_at_instant);
	settle();
	start_ns = time_now_ns();
	instant_ns = start_ns + 1200 * NSEC_PER_USEC;
	go(0);
	go(1);
	thread_sleep_until(start_ns + 1100 * NSEC_PER_USEC);
	search_begin();
	host_compute(instant_ns - time_now_ns());
	set_nice(0, 5);
	set_cpus(0, 2);
	finish(2);
}

/*
 * A sleeps for nothing after each third of a slice, B never does: what A owed and was owed when it
 * fell asleep counts when it comes back, so both have the same, to one slice.
 */
static void lag(void)
{
	int64_t a, b;

	begin(1, SCHED_FIFO, 10);
	make(0, 1, SCHED_OTHER, 0, do_bursts);
	make(1, 1, SCHED_OTHER, 0, do_hog);
	settle();
	search_begin();
	go(0);
	go(1);
	while (!done[0])
		settle();
	a = (int64_t)thread_runtime_ns(threads[0]);
	b = (int64_t)thread_runtime_ns(threads[1]);
	CHECK(a - b <= (int64_t)FAIR_SLICE_NS && b - a <= (int64_t)FAIR_SLICE_NS);
	search_end();
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct thread_group *group, *group_in; /* the one in the other */

static void make_groups(uint64_t quota_ns, uint64_t period_ns)
{
	const struct group_attr attr = { GROUP_WEIGHT_DEFAULT, quota_ns, period_ns };

	CHECK(!group_create(&group, NULL, &attr));
	CHECK(!group_create(&group_in, group, NULL));
}

static struct thread *make_member(struct thread_group *g, unsigned i, unsigned cpus,
				  void *(*entry)(void *))
{
	make(i, cpus, SCHED_OTHER, 0, entry);
	CHECK(!group_attach(g, threads[i]));
	return threads[i];
}

/* Members of two levels run, wait and yield on CPU 0 and are sent away, one of them to come back. */
static void group_affinity(void)
{
	begin(2, SCHED_FIFO, 10);
	make_groups(0, 0);
	make_member(group_in, 0, 1, do_yield);
	make_member(group, 1, 1, do_yield);
	settle();
	search_begin();
	go(0);
	go(1);
	set_cpus(0, 2);
	set_cpus(1, 3);
	set_cpus(0, 1);
	finish(2);
}

/*
 * A member and its groups change while it blocks, is woken by another member, and may be taken by
 * CPU 1.
 */
static void group_change(void)
{
	begin(2, SCHED_FIFO, 10);
	make_groups(0, 0);
	make_member(group_in, 0, 1, do_wait);
	make_member(group, 1, 1, do_post);
	settle();
	set_cpus(0, 3);
	search_begin();
	go(0);
	go(1);
	set_nice(0, -5);
	CHECK(!group_set_weight(group_in, 300));
	CHECK(!group_attach(NULL, threads[0]));
	CHECK(!group_attach(group_in, threads[1]));
	finish(2);
}

/* The same of their class, and a quota comes and goes. */
static void group_class(void)
{
	begin(2, SCHED_FIFO, 10);
	make_groups(0, 0);
	make_member(group_in, 0, 1, do_yield);
	make_member(group_in, 1, 1, do_nothing);
	settle();
	search_begin();
	go(0);
	go(1);
	CHECK(!group_set_quota(group, NSEC_PER_MSEC, NSEC_PER_SEC));
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 30, 0));
	CHECK(!group_set_quota(group, 0, 0));
	set_nice(0, 3);
	finish(2);
}

/* A CPU goes with the members that are pinned to it, one asleep, and comes back. */
static void group_hotplug(void)
{
	begin(1, SCHED_FIFO, 10);
	make_groups(NSEC_PER_MSEC, NSEC_PER_SEC);
	make_member(group_in, 0, 2, do_yield);
	make_member(group, 1, 2, do_wait);
	settle();
	go(1);
	settle();
	search_begin();
	go(0);
	CHECK(!cpu_offline(1));
	semaphore_post(&sem[1]);
	CHECK(!cpu_online(1));
	finish(2);
}

/* A group is destroyed as soon as its last member has ended, while the period of its quota does. */
static void group_end(void)
{
	begin(1, SCHED_FIFO, 10);
	make_groups(NSEC_PER_MSEC, NSEC_PER_MSEC);
	CHECK(!group_destroy(group_in));
	make_member(group, 0, 2, do_exit);
	settle();
	search_begin();
	go(0);
	while (group_destroy(group))
		thread_sleep_until(time_now_ns() + NSEC_PER_USEC);
	make_groups(0, 0); /* where the other was: nobody has it in his hands any more */
	CHECK(!thread_join(threads[0], NULL));
	thread_sleep_until(time_now_ns() + 2 * NSEC_PER_MSEC);
	CHECK(!group->period_end_ns && !group->used && !group->pool_ns && !group->load);
	finish(1);
}

/*
 * A, in the inner group, has run for the share of B, in @b, and blocked: it owes, or its group does,
 * and that stays in the sums. At one instant B wakes it and blocks, and CPU 1 takes it out of the
 * inner group and sends it away.
 */
static void group_debt_to(struct thread_group **b)
{
	uint64_t start_ns;

	begin(2, SCHED_FIFO, 10);
	make_groups(0, 0);
	make_member(group_in, 0, 1, do_owe);
	make_member(*b, 1, 1, do_post_at_instant);
	settle();
	start_ns = time_now_ns();
	instant_ns = start_ns + 1200 * NSEC_PER_USEC;
	go(0);
	go(1);
	thread_sleep_until(start_ns + 1100 * NSEC_PER_USEC);
	CHECK(b == &group_in ? threads[0]->sched.fair.delayed : group_in->on[0].entity.delayed);
	search_begin();
	host_compute(instant_ns - time_now_ns());
	CHECK(!group_attach(group, threads[0]));
	set_cpus(0, 2);
	finish(2);
}

static void group_debt(void)
{
	group_debt_to(&group_in);
}

static void group_debt_above(void)
{
	group_debt_to(&group);
}

static uint64_t use_ns;

static void *do_use(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	host_compute(use_ns);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/*
 * B uses the quota up on CPU 0, but for what it still wants. As the next period begins there, A wakes on CPU 1 and asks: it runs
 * in that period.
 */
static void group_period(void)
{
	begin(1, SCHED_FIFO, 10);
	make_groups(GROUP_QUOTA_MIN_NS, GROUP_PERIOD_MIN_NS);
	make_member(group, 0, 2, do_wait);
	make(1, 2, SCHED_FIFO, 20, do_post_at_instant);
	make_member(group, 2, 1, do_use);
	use_ns = GROUP_QUOTA_MIN_NS; /* of which it gets 50, 25 and 20 us in this period */
	settle();
	go(0);
	thread_sleep_until(time_now_ns() + 4 * GROUP_PERIOD_MIN_NS); /* no timer is left */
	go(2);
	thread_sleep_until(time_now_ns() + GROUP_PERIOD_MIN_NS / 2);
	CHECK(group->on[0].throttled && group->pool_ns < (int64_t)GROUP_LEAST_NS);
	instant_ns = group->period_end_ns;
	go(1);
	thread_sleep_until(instant_ns - 10 * NSEC_PER_USEC);
	search_begin();
	thread_sleep_until(instant_ns);
	finish(3);
}

/*
 * B has the last portion of the quota on CPU 0 and blocks without having used it, as A wakes on CPU 1
 * and asks: A runs with what is left, and long before the next period.
 */
static void group_hand(void)
{
	begin(4, SCHED_FIFO, 10);
	make_groups(GROUP_QUOTA_MIN_NS, NSEC_PER_SEC);
	make_member(group, 0, 2, do_wait);
	make(1, 2, SCHED_FIFO, 20, do_post_at_instant);
	make_member(group, 2, 1, do_use);
	CHECK(!group_set_quota(group, 0, 0)); /* all come to their gates */
	settle();
	go(0);
	settle();
	CHECK(!group_set_quota(group, GROUP_QUOTA_MIN_NS, NSEC_PER_SEC));
	use_ns = 78 * NSEC_PER_USEC; /* of 100 us it takes 33, 22, 20 and 20 */
	instant_ns = time_now_ns() + use_ns;
	go(1);
	go(2);
	thread_sleep_until(instant_ns - NSEC_PER_USEC);
	CHECK(group->pool_ns < (int64_t)GROUP_LEAST_NS && group->on[0].curr);
	search_begin();
	thread_sleep_until(instant_ns);
	finish(3);
}

/*
 * On CPU 1 the group is throttled and nobody runs; on CPU 0 B has the last portion and A waits. A may
 * run on CPU 1, but not as a member: it stays where there is something left.
 */
static void group_thief(void)
{
	begin(4, SCHED_FIFO, 10);
	make_groups(NSEC_PER_MSEC, NSEC_PER_SEC);
	make_member(group, 0, 1, do_nothing);
	make_member(group, 1, 1, do_hog);
	make_member(group, 2, 2, do_hog);
	settle();
	go(1);
	go(2);
	while (!group->on[1].throttled || !group->on[0].curr)
		thread_sleep_until(time_now_ns() + 2 * NSEC_PER_USEC);
	go(0);
	search_begin();
	set_cpus(0, 3);
	host_compute(NSEC_PER_USEC);
	CHECK(threads[0]->sched.cpu == cpu_at(0));
	search_end();
}

/* ---- batch calls ----------------------------------------------------------------------------- */

/* One call wakes threads of three CPUs as they block, and one of them may go to another CPU. */
static void wake_many(void)
{
	struct semaphore *const all[3] = { &sem[0], &sem[1], &sem[2] };

	begin(1, SCHED_FIFO, 10);
	make(0, 2, SCHED_FIFO, 20, do_wait);
	make(1, 4, SCHED_OTHER, 0, do_wait);
	make(2, 6, SCHED_FIFO, 5, do_wait);
	settle();
	go(1);
	go(2);
	settle();
	search_begin();
	go(0);
	CHECK(!semaphore_post_array(all, 3));
	finish(3);
}

/* ---- event queues ---------------------------------------------------------------------------- */

static struct event_queue event_queue;
static struct event_source event_source[2];

static void make_events(void)
{
	event_queue_init(&event_queue);
	CHECK(!event_queue_add_semaphore(&event_queue, &event_source[0], &sem[0], 1, NULL));
	CHECK(!event_queue_add(&event_queue, &event_source[1], 0, (void *)1));
}

/* Takes two units of semaphore 0 as it is told of them. */
static void *do_take_two(void *arg)
{
	struct event e;

	semaphore_wait(&gate[(uintptr_t)arg]);
	for (unsigned taken = 0; taken < 2;) {
		CHECK(event_queue_wait(&event_queue, &e, 1) == 1 && e.source == &event_source[0]);
		while (taken < 2 && !semaphore_trywait(&sem[0]))
			taken++;
	}
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static void *do_wait_for_0(void *arg)
{
	semaphore_wait(&gate[(uintptr_t)arg]);
	semaphore_wait(&sem[0]);
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

static uint32_t units_taken;

/* Until it is told of the second source; takes the units of the first. */
static void *do_events(void *arg)
{
	struct event e = { 0 };

	semaphore_wait(&gate[(uintptr_t)arg]);
	while (!e.arg) {
		CHECK(event_queue_wait(&event_queue, &e, 1) == 1);
		if (!e.arg && !semaphore_trywait(&sem[0]))
			atomic_fetch_add_relaxed(&units_taken, 1u);
	}
	end((unsigned)(uintptr_t)arg);
	return NULL;
}

/* A waits as @a does, on CPU 1; then the search begins, and B does @b on CPU 2. */
static void begin_events(void *(*a)(void *), void *(*b)(void *))
{
	begin(1, SCHED_FIFO, 10);
	make_events();
	make(0, 2, SCHED_FIFO, 20, a);
	make(1, 4, SCHED_FIFO, 20, b);
	settle();
	go(0);
	settle();
	search_begin();
	go(1);
}

/* A looks, arms and waits on CPU 1 while two others post. */
static void event_post(void)
{
	begin_events(do_take_two, do_post);
	CHECK(!semaphore_post(&sem[0]));
	finish(2);
}

/* B waits for the semaphore itself, A by events: there are units for both. */
static void event_direct(void)
{
	begin_events(do_take_two, do_wait_for_0);
	CHECK(!semaphore_post(&sem[0]));
	CHECK(!semaphore_post_many(&sem[0], 2));
	finish(2);
}

/*
 * The source of a semaphore is removed while B posts and A waits, and its memory used for something
 * else; the unit is there, or A has it, who finds nothing any more.
 */
static void event_remove(void)
{
	static const struct event_source nothing;

	begin_events(do_events, do_post);
	CHECK(!event_queue_remove(&event_queue, &event_source[0]));
	memset(&event_source[0], 0, sizeof(event_source[0]));
	settle();
	CHECK(!memcmp(&event_source[0], &nothing, sizeof(nothing)));
	CHECK(MAX(sem[0].count, 0) + units_taken == 1 && rb_empty(&sem[0].waiters.waiters));
	CHECK(event_queue_remove(&event_queue, &event_source[0]) == -ENOENT);
	CHECK(!event_source_post(&event_source[1]));
	finish(2);
}

/* Two wait for a source that stays ready: both are told. */
static void event_two(void)
{
	begin_events(do_events, do_events);
	CHECK(!event_source_raise(&event_source[1]));
	finish(2);
}

/* A thread ends while whoever watches it stops, and begins again. */
static void event_exit(void)
{
	struct event e;
	static const struct event_source nothing;

	begin(1, SCHED_FIFO, 10);
	make_events();
	make(0, 2, SCHED_FIFO, 20, do_exit);
	settle();
	CHECK(!event_queue_remove(&event_queue, &event_source[0]));
	CHECK(!event_queue_add_thread(&event_queue, &event_source[0], threads[0], 1, NULL));
	search_begin();
	go(0);
	CHECK(!event_queue_remove(&event_queue, &event_source[0]));
	memset(&event_source[0], 0, sizeof(event_source[0]));
	host_compute(1);
	CHECK(!memcmp(&event_source[0], &nothing, sizeof(nothing)));
	CHECK(!event_queue_add_thread(&event_queue, &event_source[0], threads[0], 1, (void *)2));
	CHECK(event_queue_wait(&event_queue, &e, 1) == 1 && e.arg == (void *)2);
	CHECK(!thread_join(threads[0], NULL));
	CHECK(!event_queue_remove(&event_queue, &event_source[0]));
	finish(1);
}

/* ---- interrupt threads ----------------------------------------------------------------------- */

static struct irq_thread irq_thread;
static uint32_t irq_calls;
static uint64_t irq_handler_ns;

static void on_interrupt(void *arg)
{
	(void)arg;
	atomic_fetch_add_relaxed(&irq_calls, 1u);
	if (irq_handler_ns)
		host_compute(irq_handler_ns);
	host_line_lower(0);
}

/* Its thread is on CPU 1. */
static void make_irq_thread(uint64_t budget_ns, uint64_t period_ns, int irq_cpu)
{
	struct cpumask mask = { .bits = { 2 } };
	struct irq_thread_attr attr = {
		.thread = { .affinity = &mask, .policy = SCHED_FIFO, .priority = 20 },
		.budget_ns = budget_ns,
		.period_ns = period_ns,
		.irq_cpu = irq_cpu,
	};

	begin(1, SCHED_FIFO, 10);
	host_lines_init();
	CHECK(!irq_thread_create(&irq_thread, 0, &attr, on_interrupt, NULL));
	settle();
}

/* The next interrupt comes as the thread acknowledges the one before: it is served, too. */
static void irq_again(void)
{
	make_irq_thread(0, 0, 0);
	search_begin();
	host_line_raise(0);
	while (host_line_is_high(0))
		arch_cpu_relax();
	host_line_raise(0);
	settle();
	CHECK(atomic_load_relaxed(&irq_calls) == 2 && !host_line_is_high(0));
	search_end();
}

/* The budget is used up: the line is masked, and the next period's timer sees to what came. */
static void irq_storm(void)
{
	irq_handler_ns = 3 * IRQ_THREAD_BUDGET_MIN_NS;
	make_irq_thread(IRQ_THREAD_BUDGET_MIN_NS, IRQ_THREAD_PERIOD_MIN_NS, 0);
	search_begin();
	host_line_raise(0);
	while (host_line_is_high(0))
		thread_sleep_until(time_now_ns() + NSEC_PER_USEC);
	host_line_raise(0);
	/* time that jumps while the handler runs is charged, and taken off the periods that follow */
	for (unsigned n = 0; n < 200 && host_line_is_high(0); n++)
		thread_sleep_until(time_now_ns() + IRQ_THREAD_PERIOD_MIN_NS);
	settle();
	CHECK(atomic_load_relaxed(&irq_calls) == 2 && !host_line_is_high(0));
	search_end();
}

/* It is stopped while an interrupt comes, or is served, or waits for its period. */
static void irq_stop_with(uint64_t handler_ns)
{
	static const struct irq_thread nothing;
	uint32_t calls;

	irq_handler_ns = handler_ns;
	make_irq_thread(IRQ_THREAD_BUDGET_MIN_NS, IRQ_THREAD_PERIOD_MIN_NS, 2);
	make(0, 4, SCHED_FIFO, 20, do_nothing);
	settle();
	search_begin();
	host_line_raise(0);
	host_compute(3 * handler_ns);
	irq_thread_destroy(&irq_thread);
	memset(&irq_thread, 0, sizeof(irq_thread));
	calls = atomic_load_relaxed(&irq_calls);
	host_line_raise(0);
	thread_sleep_until(time_now_ns() + 3 * IRQ_THREAD_PERIOD_MIN_NS);
	CHECK(atomic_load_relaxed(&irq_calls) == calls &&
	      !memcmp(&irq_thread, &nothing, sizeof(nothing)));
	search_end();
}

static void irq_stop(void)
{
	irq_stop_with(0);
}

static void irq_stop_masked(void)
{
	irq_stop_with(IRQ_THREAD_BUDGET_MIN_NS);
}

/* clang-format off */
/* The bounds: of a test, of a test with store buffers, of a soak. */
const struct configuration configurations[] = {
	{ "wake-block", "a FIFO thread blocks while another CPU wakes it", wake_block, 2,
	  .bound = 4, .weak_bound = 4, .soak_bound = 6 },
	{ "wake-block-fair", "the same of a fair thread", wake_block_fair, 2,
	  .bound = 4, .weak_bound = 4, .soak_bound = 6 },
	{ "wake-two", "two CPUs wake two threads of a third", wake_two, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "lock-three", "three CPUs at one spinlock", lock_three, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "mutex-pass", "a mutex among three threads", mutex_pass, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "inherit-chain", "a rank goes along a chain that gets shorter", inherit_chain, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "inherit-timeout", "a waiter's time is over while the mutex is handed on",
	  inherit_timeout, 2, .timers = true, .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "inherit-change", "a waiter gets another priority while the mutex is handed on",
	  inherit_change, 2, .bound = 3, .weak_bound = 2, .soak_bound = 4 },
	{ "rank-wait", "a thread gets another priority as it begins to wait", rank_wait, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "condition-come", "a thread comes to a condition while it is signalled and freed",
	  condition_come, 2, .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "condition-change", "a thread comes to a condition and gets another priority and a hook",
	  condition_change, 2, .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "rank-wake", "a waiter gets another priority while it is woken", rank_wake, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "inherit-circle", "two threads wait for each other", inherit_circle, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 5 },
	{ "inherit-death", "the owner of a robust mutex ends", inherit_death, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "lend-chain", "a deadline goes along a chain that gets shorter", lend_chain, 3,
	  .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "lend-timeout", "a lender's time is over while the mutex is handed on", lend_timeout, 2,
	  .timers = true, .bound = 1, .weak_bound = 1, .soak_bound = 3 },
	{ "lend-change", "a lender leaves the class while the mutex is handed on", lend_change, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "sporadic-mutex", "a sporadic budget ends or comes back while a mutex is handed on",
	  sporadic_mutex, 2, .timers = true, .bound = 1, .weak_bound = 1, .soak_bound = 3 },
	{ "inherit-long", "a chain of three gets longer and is released", inherit_long, 2,
	  .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "inherit-long-timeout", "the best waiter of a chain of three gives up", inherit_long_timeout,
	  2, .timers = true, .bound = 1, .weak_bound = 1, .soak_bound = 2 },
	{ "inherit-long-change", "threads of a chain of three get other priorities",
	  inherit_long_change, 2, .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "inherit-long-death", "an owner in a chain ends", inherit_long_death, 2,
	  .bound = 2, .weak_bound = 1, .soak_bound = 3 },
	{ "inherit-any-order", "two mutexes that chains wait for are released in any order",
	  inherit_any_order, 2, .bound = 1, .weak_bound = 1, .soak_bound = 2 },
	{ "steal-switch", "an idle CPU takes a fair thread while its CPU switches", steal_switch, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "steal-rt", "the same of real-time threads", steal_rt, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "rt-fall", "a CPU goes to a worse thread while a better one begins to wait elsewhere", rt_fall,
	  2, .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "steal-three", "two thieves", steal_three, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "affinity-exit", "a thread is sent away while it ends", affinity_exit, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "affinity-wake", "a thread is sent away while it is woken", affinity_wake, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "affinity-run", "threads are sent away while they run", affinity_run, 2,
	  .bound = 3, .weak_bound = 2, .soak_bound = 4 },
	{ "weight", "weights change while threads run, block, wake and are taken", weight_change, 2,
	  .bound = 3, .weak_bound = 2, .soak_bound = 4 },
	{ "policy-preempt", "a thread changes class while it is preempted", policy_preempt, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "move-change", "a thread changes class while a wake-up moves it", move_change, 3,
	  .bound = 2, .weak_bound = 3, .soak_bound = 4 },
	{ "notify", "a hook is set for a thread that blocks and is woken", notify, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "debt", "a blocked thread that owes is woken, changed and sent away", debt, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "hotplug-wake", "a thread is woken on a CPU that goes", hotplug_wake, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "hotplug-run", "a CPU goes, with the thread that is pinned to it, and comes back",
	  hotplug_run, 2, .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "lag", "lag lasts through sleep", lag, 1, .bound = 0 },
	{ "join-exit", "threads end while they are joined and detached", join_exit, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "timed-post", "a wait ends in time or not", timed_post, 2, .timers = true,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "displaced", "a thread is displaced while another CPU becomes idle", displaced, 2,
	  .bound = 4, .weak_bound = 4, .soak_bound = 5 },
	{ "queued-behind", "a thread is queued while another CPU becomes idle", queued_behind, 2,
	  .bound = 4, .weak_bound = 4, .soak_bound = 5 },
	{ "queued-on-idle", "an idle CPU gets two threads while another becomes idle",
	  queued_on_idle, 3, .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "kick-used", "an idle CPU is told of a waiting thread as it gets its own", kick_used, 3,
	  .bound = 3, .weak_bound = 3, .soak_bound = 4 },
	{ "group-affinity", "members of groups are sent away while they run", group_affinity, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-change", "a thread changes its group, and that its weight, while it blocks and wakes",
	  group_change, 2, .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-class", "a member changes its class, and its group gets and loses a quota",
	  group_class, 2, .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-hotplug", "a CPU goes with members of groups, and comes back", group_hotplug, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-end", "a group is destroyed as its last member ends", group_end, 2, .timers = true,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-debt", "a member that owes is woken, attached elsewhere and sent away", group_debt, 2,
	  .bound = 3, .weak_bound = 2, .soak_bound = 4 },
	{ "group-debt-above", "the same when its group owes", group_debt_above, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "group-period", "a member asks for the quota as the next period begins", group_period, 2,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-hand", "a member gives back the last of a quota as another asks", group_hand, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "group-thief", "a thief whose group has nothing left here", group_thief, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "wake-many", "one call wakes threads of three CPUs", wake_many, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "event-post", "a semaphore is posted while an event queue looks at it", event_post, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "event-direct", "the same while another waits for the semaphore itself", event_direct, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "event-remove", "the source of a semaphore is removed while it is posted and waited for",
	  event_remove, 3, .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "event-two", "two wait for a source that stays ready", event_two, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 4 },
	{ "event-exit", "a thread ends while the source of its exit is removed", event_exit, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "irq-again", "an interrupt comes as the one before is acknowledged", irq_again, 2,
	  .bound = 3, .weak_bound = 3, .soak_bound = 5 },
	{ "irq-storm", "the budget of an interrupt thread is used up", irq_storm, 2, .timers = true,
	  .bound = 1, .weak_bound = 1, .soak_bound = 2 },
	{ "irq-stop", "an interrupt thread is destroyed as an interrupt comes", irq_stop, 3,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
	{ "irq-stop-masked", "the same as its next period begins", irq_stop_masked, 3, .timers = true,
	  .bound = 2, .weak_bound = 2, .soak_bound = 3 },
};
/* clang-format on */
const unsigned configurations_n = ARRAY_SIZE(configurations);
