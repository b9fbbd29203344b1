/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wait queues: best rank first and in order of arrival within a rank, with waiters that time out, are
 * taken out of the middle or get another rank meanwhile, by an attribute or by a loan; a time-out is never early and comes with interrupts' delay
 * at most; each waiter is woken exactly once, by a waker or by its timer.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "tests/host/host_seeds.h"

#define WORKERS 12
#define US      NSEC_PER_USEC

static struct wait_queue queue = WAIT_QUEUE_INIT;
static struct thread *threads[WORKERS];
static unsigned level[WORKERS], woken[WORKERS], timed_out[WORKERS], order[WORKERS], ordered;
static uint64_t until_ns[WORKERS];

static void *wait_once(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	unsigned long flags = spin_lock_irqsave(&queue.lock);
	int err = until_ns[i] ? wait_on_until(&queue, flags, until_ns[i]) : wait_on(&queue, flags);

	CHECK(!err || (err == -ETIMEDOUT && until_ns[i]));
	CHECK(!thread_current()->waiter.queue && arch_irq_enabled());
	if (err) {
		timed_out[i]++;
		CHECK(time_now_ns() >= until_ns[i]);
	} else {
		woken[i]++;
		order[ordered++] = i;
	}
	return NULL;
}

static bool wake_one(void)
{
	unsigned long flags = spin_lock_irqsave(&queue.lock);
	struct thread *t = wait_pop(&queue);

	spin_unlock(&queue.lock);
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
	return t != NULL;
}

static struct thread *start(unsigned i, bool pinned)
{
	struct cpumask only = { 0 };
	struct thread_attr attr = { .affinity = pinned ? &only : &cpu_online_mask,
				    .policy = SCHED_FIFO,
				    .priority = (uint8_t)level[i] };

	cpumask_set(&only, 0);
	CHECK(!thread_create(&threads[i], &attr, wait_once, (void *)(uintptr_t)i));
	return threads[i];
}

static void become(unsigned priority)
{
	struct cpumask only = { 0 };

	cpumask_set(&only, 0);
	CHECK(!thread_set_affinity(thread_current(), &only));
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, (int)priority, 0));
}

/*
 * All on one CPU above us, so they wait in the order they are made. Some leave by time-out before
 * the wake-ups begin.
 */
static void order_first(void *arg)
{
	unsigned n = 3 + (unsigned)draw(WORKERS - 3), k = 0;

	(void)arg;
	become(10);
	for (unsigned i = 0; i < n; i++) {
		level[i] = 20 + (unsigned)draw(3);
		until_ns[i] = draw(3) ? 0 : time_now_ns() + 50 * US;
		start(i, true);
	}
	thread_sleep_until(time_now_ns() + 100 * US);
	while (wake_one())
		;
	for (unsigned l = 22; l >= 20; l--)
		for (unsigned i = 0; i < n; i++)
			if (level[i] == l && !until_ns[i])
				CHECK(k < ordered && order[k++] == i);
	CHECK(k == ordered && wait_queue_empty(&queue));
	for (unsigned i = 0; i < n; i++) {
		CHECK(timed_out[i] == (until_ns[i] != 0) && woken[i] == !until_ns[i]);
		CHECK(!thread_join(threads[i], NULL));
	}
}

static void best_rank_then_arrival(void **state)
{
	struct scenario s = { .first = order_first, .cpus_from = 1, .cpus_to = 3, .seeds = 30 };

	(void)state;
	run_seeds(&s);
}

/* Wake-ups fall into the time-outs. */
static void once_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(WORKERS - 2), wakes = 0, got = 0;

	(void)arg;
	for (unsigned i = 0; i < n; i++) {
		level[i] = 1 + (unsigned)draw(50);
		until_ns[i] = time_now_ns() + draw(10 * US);
		start(i, false);
	}
	for (unsigned i = 0; i < 2 * n; i++) {
		host_compute(draw(3 * US));
		wakes += wake_one();
	}
	for (unsigned i = 0; i < n; i++) {
		CHECK(!thread_join(threads[i], NULL));
		CHECK(woken[i] + timed_out[i] == 1);
		got += woken[i];
	}
	CHECK(got == wakes && wait_queue_empty(&queue));
}

static void woken_exactly_once(void **state)
{
	struct scenario s = { .first = once_first, .cpus_from = 1, .cpus_to = 4, .seeds = 80 };

	(void)state;
	run_seeds(&s);
}

static void on_time_first(void *arg)
{
	(void)arg;
	become(10);
	level[0] = 20;
	until_ns[0] = time_now_ns() + 20 * US + draw(1000 * US);
	start(0, true);
	thread_sleep_until(until_ns[0] + 2 * US);
	CHECK(timed_out[0] == 1);
	CHECK(!thread_join(threads[0], NULL));
}

static void a_time_out_is_on_time(void **state)
{
	struct scenario s = { .first = on_time_first, .cpus_from = 1, .cpus_to = 2, .seeds = 20 };

	(void)state;
	run_seeds(&s);
}

/* ---- a rank that changes --------------------------------------------------------------------- */

static struct mutex held[WORKERS];
static struct condition condition = CONDITION_INIT;
static struct mutex monitor = MUTEX_INIT;
static bool by_condition;

/* Owns a mutex meanwhile, by which it can be lent a rank. */
static void *wait_ranked(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	CHECK(!mutex_lock(&held[i]));
	if (by_condition) {
		CHECK(!mutex_lock(&monitor));
		CHECK(!condition_wait(&condition, &monitor));
		CHECK(!mutex_unlock(&monitor));
	} else {
		unsigned long flags = spin_lock_irqsave(&queue.lock);

		CHECK(!wait_on(&queue, flags));
	}
	CHECK(!mutex_unlock(&held[i]));
	woken[i]++;
	return NULL;
}

static void *lend(void *arg)
{
	CHECK(!mutex_lock(&held[(uintptr_t)arg]));
	CHECK(!mutex_unlock(&held[(uintptr_t)arg]));
	return NULL;
}

/* The best comes first, and each stands where its present rank says. */
static void check_order(const struct wait_queue *q)
{
	unsigned before = UINT32_MAX;

	for (struct rb_node *n = rb_first(&q->waiters); n; n = rb_next(n)) {
		struct thread *t = container_of(n, struct thread, waiter.node);

		CHECK(t->waiter.rank == t->sched.rank && t->waiter.rank <= before);
		before = t->waiter.rank;
	}
}

/* Changes fall on threads that run, begin to wait, wait and are woken, on all CPUs. */
static void ranked_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(WORKERS - 2), lenders = 0;
	struct thread *lender[WORKERS];
	struct wait_queue *q;

	(void)arg;
	by_condition = draw(2);
	q = by_condition ? &condition.waiters : &queue;
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 60, 0));
	for (unsigned i = 0; i < n; i++) {
		struct thread_attr attr = { .affinity = &cpu_online_mask,
					    .policy = SCHED_FIFO,
					    .priority = (uint8_t)(1 + draw(50)) };

		mutex_init(&held[i]);
		CHECK(!thread_create(&threads[i], &attr, wait_ranked, (void *)(uintptr_t)i));
	}
	for (unsigned k = 0; k < 4 * n; k++) {
		unsigned i = (unsigned)draw(n);

		if (!draw(4) && lenders < WORKERS) {
			struct thread_attr attr = { .affinity = &cpu_online_mask,
						    .policy = SCHED_FIFO,
						    .priority = (uint8_t)(1 + draw(55)) };

			CHECK(!thread_create(&lender[lenders++], &attr, lend,
					     (void *)(uintptr_t)i));
		} else if (draw(5)) {
			CHECK(!sched_set_policy(threads[i], SCHED_FIFO, (int)(1 + draw(50)), 0));
		} else {
			CHECK(!sched_set_policy(threads[i], SCHED_OTHER, 0, 0));
		}
		host_compute(draw(2 * US));
	}
	thread_sleep_until(time_now_ns() + 100 * US);
	check_order(q);
	for (unsigned i = 0; i < n; i++) {
		if (by_condition)
			condition_signal(&condition);
		else
			CHECK(wake_one());
		thread_sleep_until(time_now_ns() + draw(50 * US));
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL) && woken[i] == 1);
	for (unsigned i = 0; i < lenders; i++)
		CHECK(!thread_join(lender[i], NULL));
}

static void the_place_follows_the_rank(void **state)
{
	struct scenario s = { .first = ranked_first, .cpus_from = 1, .cpus_to = 4, .seeds = 80 };

	(void)state;
	run_seeds(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(best_rank_then_arrival),
		cmocka_unit_test(woken_exactly_once),
		cmocka_unit_test(a_time_out_is_on_time),
		cmocka_unit_test(the_place_follows_the_rank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
