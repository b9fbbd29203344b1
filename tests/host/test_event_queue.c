/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues on virtual CPUs: what each kind of source tells, by priority and in order; what stays
 * ready; time-outs; removal. Then all at once, by seed: nothing that was posted is lost or told twice
 * while sources come and go, others take units directly, and several threads wait.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c tests/host/host_irq.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/event_queue.h"
#include "core/rbtree.h"
#include "core/time.h"
#include "tests/host/host_irq.h"
#include "tests/host/host_seeds.h"

#define US      NSEC_PER_USEC
#define THREADS 8
#define SEMS    3
#define POSTS   30u

static struct event_queue queue;
static struct event_source sources[SEMS + 3];
static struct semaphore sems[SEMS];
static struct thread *threads[THREADS];
static struct event got[8];
static uint32_t ordered;
static unsigned order[8];

static void run(void (*first)(void *), unsigned seeds)
{
	struct scenario s = { .first = first, .cpus_from = 1, .cpus_to = 4, .seeds = seeds };

	run_seeds(&s);
}

static void become(int priority)
{
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, priority, 0));
}

static void start(unsigned i, int policy, int priority, void *(*entry)(void *))
{
	struct thread_attr attr = { .policy = (uint8_t)policy, .priority = (uint8_t)priority };

	CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
}

static void sleep_us(uint64_t us)
{
	thread_sleep_until(time_now_ns() + us * US);
}

static int poll(unsigned n)
{
	return event_queue_wait_until(&queue, got, n, 0);
}

/* ---- call by call ---------------------------------------------------------------------------- */

static void own_first(void *arg)
{
	(void)arg;
	event_queue_init(&queue);
	CHECK(event_queue_wait_until(&queue, got, 0, 0) == -EINVAL);
	CHECK(poll(8) == -ETIMEDOUT);
	CHECK(event_queue_add(&queue, &sources[0], EVENT_PRIORITIES, NULL) == -EINVAL);
	for (unsigned i = 0; i < 4; i++) /* priorities 1, 5, 1, 31 */
		CHECK(!event_queue_add(&queue, &sources[i], (unsigned[]){ 1, 5, 1, 31 }[i],
				       (void *)(uintptr_t)(10 + i)));
	for (unsigned i = 0; i < 4; i++)
		CHECK(!event_source_post(&sources[i]));
	CHECK(!event_source_post(&sources[2]));
	CHECK(poll(3) == 3 && got[0].source == &sources[3] && got[1].source == &sources[1] &&
	      got[2].source == &sources[0]);
	CHECK(got[0].count == 1 && got[0].arg == (void *)13);
	CHECK(poll(8) == 1 && got[0].source == &sources[2] && got[0].count == 2);
	CHECK(poll(8) == -ETIMEDOUT);
	/* levels take turns, and each call tells of one once */
	CHECK(!event_source_raise(&sources[0]) && !event_source_raise(&sources[2]));
	CHECK(poll(1) == 1 && got[0].source == &sources[0] && got[0].count == 1);
	CHECK(poll(1) == 1 && got[0].source == &sources[2]);
	CHECK(poll(8) == 2 && got[0].source == &sources[0] && got[1].source == &sources[2]);
	CHECK(!event_source_clear(&sources[0]));
	CHECK(poll(8) == 1 && got[0].source == &sources[2]);
	CHECK(event_queue_destroy(&queue) == -EBUSY);
	for (unsigned i = 0; i < 4; i++)
		CHECK(!event_queue_remove(&queue, &sources[i]));
	CHECK(event_queue_remove(&queue, &sources[0]) == -ENOENT);
	CHECK(event_source_post(&sources[2]) == -ENOENT &&
	      event_source_raise(&sources[2]) == -ENOENT &&
	      event_source_clear(&sources[2]) == -ENOENT);
	CHECK(poll(8) == -ETIMEDOUT && !event_queue_destroy(&queue));
}

static void posts_levels_and_priorities(void **state)
{
	(void)state;
	run(own_first, 2);
}

static void *wait_directly(void *arg)
{
	semaphore_wait(&sems[0]);
	order[atomic_fetch_add_relaxed(&ordered, 1u)] = (unsigned)(uintptr_t)arg;
	return NULL;
}

static void *wait_for_one(void *arg)
{
	struct event e;

	CHECK(event_queue_wait(&queue, &e, 1) == 1);
	order[atomic_fetch_add_relaxed(&ordered, 1u)] = (unsigned)(uintptr_t)arg;
	return NULL;
}

static void semaphore_first(void *arg)
{
	uint64_t start_ns;

	(void)arg;
	become(10);
	event_queue_init(&queue);
	semaphore_init(&sems[0], 0);
	semaphore_init(&sems[1], 2);
	CHECK(!event_queue_add_semaphore(&queue, &sources[0], &sems[0], 3, NULL));
	CHECK(event_queue_add_semaphore(&queue, &sources[1], &sems[0], 3, NULL) == -EBUSY);
	CHECK(event_queue_add_semaphore(&queue, &sources[1], &sems[1], 32, NULL) == -EINVAL);
	CHECK(poll(8) == -ETIMEDOUT);
	CHECK(!event_queue_add_semaphore(&queue, &sources[1], &sems[1], 3, NULL));
	CHECK(poll(8) == 1 && got[0].source == &sources[1] && got[0].count == 2);
	CHECK(!semaphore_post(&sems[0]));
	/* ready until the units are taken, and again with the next one */
	CHECK(poll(8) == 2 && poll(8) == 2 && got[0].count == 2 && got[1].count == 1);
	CHECK(!semaphore_trywait(&sems[1]) && !semaphore_trywait(&sems[1]));
	CHECK(poll(8) == 1 && got[0].source == &sources[0]);
	CHECK(!semaphore_trywait(&sems[0]) && semaphore_trywait(&sems[0]) == -EAGAIN);
	start_ns = time_now_ns();
	CHECK(event_queue_wait_until(&queue, got, 8, start_ns + 50 * US) == -ETIMEDOUT);
	CHECK(time_now_ns() >= start_ns + 50 * US);
	/* who waits for the semaphore itself goes first, and the event queue is told of the rest */
	start(0, SCHED_FIFO, 20, wait_directly);
	start(1, SCHED_FIFO, 21, wait_directly);
	sleep_us(50);
	CHECK(!semaphore_post(&sems[0]));
	sleep_us(50);
	CHECK(ordered == 1 && order[0] == 1 && poll(8) == -ETIMEDOUT);
	CHECK(!semaphore_post_many(&sems[0], 3));
	sleep_us(50);
	CHECK(ordered == 2 && poll(8) == 1 && got[0].count == 2);
	CHECK(!semaphore_trywait(&sems[0]) && !semaphore_trywait(&sems[0]));
	CHECK(poll(8) == -ETIMEDOUT);
	/* time-outs of those who wait directly leave it armed */
	CHECK(semaphore_wait_until(&sems[0], time_now_ns() + 20 * US) == -ETIMEDOUT);
	CHECK(!semaphore_post(&sems[0]) && poll(8) == 1 && !semaphore_trywait(&sems[0]));
	CHECK(poll(8) == -ETIMEDOUT);
	/* removed while it is armed, and while it is ready: the semaphore works on */
	CHECK(!event_queue_remove(&queue, &sources[0]));
	CHECK(!semaphore_post(&sems[0]) && !semaphore_trywait(&sems[0]) && poll(8) == -ETIMEDOUT);
	CHECK(!semaphore_post(&sems[1]) && !event_queue_remove(&queue, &sources[1]));
	CHECK(poll(8) == -ETIMEDOUT && !semaphore_trywait(&sems[1]));
	CHECK(!thread_join(threads[0], NULL) && !thread_join(threads[1], NULL));
	CHECK(!event_queue_destroy(&queue));
}

static void a_semaphore_is_ready_while_it_has_units(void **state)
{
	(void)state;
	run(semaphore_first, 10);
}

/* The best waiter is told first; one that leaves something wakes the next. */
static void waiters_first(void *arg)
{
	(void)arg;
	become(50);
	event_queue_init(&queue);
	CHECK(!event_queue_add(&queue, &sources[0], 0, NULL));
	for (unsigned i = 0; i < 3; i++)
		start(i, SCHED_FIFO, 20 + (int)i, wait_for_one);
	sleep_us(100);
	CHECK(event_queue_destroy(&queue) == -EBUSY);
	for (unsigned i = 0; i < 2; i++) {
		CHECK(!event_source_post(&sources[0]));
		sleep_us(50);
	}
	CHECK(ordered == 2 && order[0] == 2 && order[1] == 1);
	CHECK(!thread_join(threads[2], NULL) && !thread_join(threads[1], NULL));
	start(1, SCHED_FIFO, 20, wait_for_one);
	start(2, SCHED_FIFO, 20, wait_for_one);
	sleep_us(100);
	CHECK(!event_source_raise(&sources[0])); /* for all of them */
	sleep_us(100);
	CHECK(ordered == 5);
	for (unsigned i = 0; i < 3; i++)
		CHECK(!thread_join(threads[i], NULL));
	CHECK(!event_queue_remove(&queue, &sources[0]) && !event_queue_destroy(&queue));
}

static void waiters_go_by_priority(void **state)
{
	(void)state;
	run(waiters_first, 10);
}

static void timer_first(void *arg)
{
	uint64_t start_ns = time_now_ns();
	unsigned expiries = 0;

	(void)arg;
	event_queue_init(&queue);
	CHECK(event_queue_add_timer(&queue, &sources[0], start_ns, EVENT_TIMER_PERIOD_MIN_NS - 1, 0,
				    NULL) == -EINVAL);
	CHECK(!event_queue_add_timer(&queue, &sources[0], start_ns + 100 * US, 0, 1, NULL));
	CHECK(!event_queue_add_timer(&queue, &sources[1], start_ns + 50 * US, 100 * US, 0, NULL));
	CHECK(event_queue_wait(&queue, got, 8) == 1 && got[0].source == &sources[1]);
	CHECK(event_queue_wait(&queue, got, 1) == 1 && got[0].source == &sources[0]);
	CHECK(time_now_ns() >= start_ns + 100 * US);
	thread_sleep_until(start_ns + 1001 * US); /* 150, 250, ... 950 */
	CHECK(poll(8) == 1 && got[0].source == &sources[1] && got[0].count == 9);
	while (time_now_ns() < start_ns + 2000 * US)
		expiries += event_queue_wait(&queue, got, 8) == 1 ? got[0].count : 100;
	CHECK(expiries == 11); /* to 2050 */
	CHECK(!event_queue_remove(&queue, &sources[1]));
	CHECK(event_queue_wait_until(&queue, got, 8, time_now_ns() + 500 * US) == -ETIMEDOUT);
	CHECK(!event_queue_remove(&queue, &sources[0]) && !event_queue_destroy(&queue));
}

static void timers_count_expiries(void **state)
{
	(void)state;
	run(timer_first, 10);
}

static void *live_for(void *arg)
{
	sleep_us(10 * (uintptr_t)arg);
	return arg;
}

static void thread_first(void *arg)
{
	void *result;

	(void)arg;
	event_queue_init(&queue);
	for (unsigned i = 0; i < 3; i++) {
		start(i, SCHED_OTHER, 0, live_for);
		CHECK(!event_queue_add_thread(&queue, &sources[i], threads[i], i,
					      (void *)(uintptr_t)i));
	}
	CHECK(event_queue_add_thread(&queue, &sources[3], threads[2], 0, NULL) == -EBUSY);
	CHECK(!event_queue_remove(&queue, &sources[1])); /* before or behind its end */
	for (unsigned i = 0; i < 2; i++) {
		CHECK(event_queue_wait(&queue, got, 1) == 1 && got[0].count == 1);
		CHECK(got[0].arg == (void *)0 || got[0].arg == (void *)2);
		CHECK(!thread_join(threads[(uintptr_t)got[0].arg], &result) &&
		      result == got[0].arg);
	}
	CHECK(event_queue_wait_until(&queue, got, 8, time_now_ns() + 100 * US) == -ETIMEDOUT);
	/* one that has ended already, told once; and one that is detached */
	CHECK(!event_queue_add_thread(&queue, &sources[1], threads[1], 0, NULL));
	CHECK(poll(8) == 1 && poll(8) == -ETIMEDOUT);
	CHECK(!thread_join(threads[1], NULL));
	start(3, SCHED_OTHER, 0, live_for);
	CHECK(!event_queue_add_thread(&queue, &sources[3], threads[3], 0, NULL));
	CHECK(!thread_detach(threads[3]) && thread_detach(threads[3]) == -EINVAL);
	CHECK(event_queue_wait(&queue, got, 8) == 1 && got[0].source == &sources[3]);
	for (unsigned i = 0; i < 4; i++)
		CHECK(!event_queue_remove(&queue, &sources[i]));
	CHECK(!event_queue_destroy(&queue));
}

static void the_exit_of_a_thread_is_told_once(void **state)
{
	(void)state;
	run(thread_first, 40);
}

static void interrupt_first(void *arg)
{
	(void)arg;
	host_lines_init();
	event_queue_init(&queue);
	CHECK(event_queue_add_irq(&queue, &sources[0], 1024, 0, NULL) == -EINVAL);
	host_line_raise(2); /* before somebody has it */
	CHECK(!event_queue_add_irq(&queue, &sources[0], 2, 0, NULL));
	CHECK(event_queue_add_irq(&queue, &sources[1], 2, 0, NULL) == -EBUSY);
	CHECK(event_queue_wait(&queue, got, 8) == 1 && got[0].count == 1);
	sleep_us(20); /* masked: the line is high still */
	CHECK(poll(8) == -ETIMEDOUT);
	event_source_acknowledge(&sources[0]);
	CHECK(event_queue_wait(&queue, got, 8) == 1);
	host_line_lower(2);
	event_source_acknowledge(&sources[0]);
	CHECK(event_queue_wait_until(&queue, got, 8, time_now_ns() + 20 * US) == -ETIMEDOUT);
	host_line_raise(2);
	CHECK(event_queue_wait(&queue, got, 8) == 1);
	CHECK(!event_queue_remove(&queue, &sources[0]));
	CHECK(poll(8) == -ETIMEDOUT && !event_queue_destroy(&queue));
	CHECK(!event_queue_add_irq(&queue, &sources[0], 2, 0, NULL)); /* it is nobody's again */
	CHECK(event_queue_wait(&queue, got, 8) == 1 && !event_queue_remove(&queue, &sources[0]));
}

static void an_interrupt_is_masked_until_it_is_acknowledged(void **state)
{
	(void)state;
	run(interrupt_first, 20);
}

/* ---- all at once ----------------------------------------------------------------------------- */

static uint32_t posted[SEMS], taken[SEMS], direct, counted, stop, pulses, served;
static struct event_source *const own = &sources[SEMS], *const line = &sources[SEMS + 1];

/* Units of each semaphore, in batches and alone, and posts of the own source. */
static void *post_units(void *arg)
{
	struct semaphore *const all[SEMS] = { &sems[0], &sems[1], &sems[2] };

	for (unsigned i = 0; i < POSTS; i++) {
		unsigned s = (unsigned)((uintptr_t)arg + i) % SEMS, n = 1 + i % 3;

		if (i % 5 == 4) {
			CHECK(!semaphore_post_array(all, SEMS));
			for (unsigned k = 0; k < SEMS; k++)
				atomic_fetch_add_relaxed(&posted[k], 1u);
		}
		CHECK(!(i % 2 ? semaphore_post(&sems[s]) :
				semaphore_post_many(&sems[s], (int32_t)n)));
		atomic_fetch_add_relaxed(&posted[s], i % 2 ? 1 : n);
		CHECK(!event_source_post(own));
		if (draw(3) == 0)
			sleep_us(draw(20));
	}
	return NULL;
}

static void *pulse(void *arg)
{
	for (unsigned i = 0; i < POSTS; i++) {
		atomic_fetch_add_relaxed(&pulses, 1u);
		host_line_raise(1);
		while (host_line_is_high(1))
			sleep_us(5);
	}
	return arg;
}

static void *take_directly(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		if (!semaphore_wait_until(&sems[0], time_now_ns() + draw(30) * US))
			atomic_fetch_add_relaxed(&direct, 1u);
		sleep_us(draw(30));
	}
	return arg;
}

static void serve(const struct event *e)
{
	unsigned s = (unsigned)(uintptr_t)e->arg;

	if (e->source == own) {
		atomic_fetch_add_relaxed(&counted, e->count);
	} else if (e->source == line) {
		CHECK(e->count == 1);
		atomic_fetch_add_relaxed(&served, 1u);
		host_line_lower(1);
		event_source_acknowledge(line);
	} else if (!semaphore_trywait(&sems[s])) {
		atomic_fetch_add_relaxed(&taken[s], 1u);
	}
}

static void *take_by_events(void *arg)
{
	struct event e[3];

	while (!atomic_load_relaxed(&stop)) {
		unsigned n = 1 + (unsigned)draw(3);
		int k = event_queue_wait_until(&queue, e, n, time_now_ns() + 40 * US);

		CHECK(k == -ETIMEDOUT || (k >= 1 && k <= (int)n));
		for (int i = 0; i < k; i++)
			serve(&e[i]);
	}
	return arg;
}

/* A semaphore comes and goes; two consumers may be told of it meanwhile. */
static void *come_and_go(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		sleep_us(draw(20));
		CHECK(!event_queue_remove(&queue, &sources[1]));
		sleep_us(draw(5));
		CHECK(!event_queue_add_semaphore(&queue, &sources[1], &sems[1], 7, (void *)1));
	}
	return arg;
}

static void storm_first(void *arg)
{
	(void)arg;
	become(60);
	host_lines_init();
	event_queue_init(&queue);
	for (unsigned i = 0; i < SEMS; i++) {
		semaphore_init(&sems[i], 0);
		CHECK(!event_queue_add_semaphore(&queue, &sources[i], &sems[i], 5 + i,
						 (void *)(uintptr_t)i));
	}
	CHECK(!event_queue_add(&queue, own, 4, NULL));
	CHECK(!event_queue_add_irq(&queue, line, 1, 9, NULL));
	start(0, SCHED_FIFO, 20, take_by_events);
	start(1, SCHED_OTHER, 0, take_by_events);
	start(2, SCHED_OTHER, 0, take_directly);
	start(3, SCHED_FIFO, 30, come_and_go);
	start(4, SCHED_OTHER, 0, pulse);
	start(5, SCHED_FIFO, 40, post_units);
	start(6, SCHED_OTHER, 0, post_units);
	for (unsigned i = 4; i < 7; i++)
		CHECK(!thread_join(threads[i], NULL));
	for (unsigned tries = 0; tries < 1000; tries++) {
		uint32_t all = taken[0] + taken[1] + taken[2] + direct;

		if (all == posted[0] + posted[1] + posted[2] && counted == 2 * POSTS)
			break;
		sleep_us(20);
	}
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < 4; i++)
		CHECK(!thread_join(threads[i], NULL));
	CHECK(taken[0] + direct == posted[0] && taken[1] == posted[1] && taken[2] == posted[2]);
	CHECK(counted == 2 * POSTS && served == pulses && pulses == POSTS);
	for (unsigned i = 0; i < SEMS + 2; i++)
		CHECK(!event_queue_remove(&queue, &sources[i]));
	for (unsigned i = 0; i < SEMS; i++)
		CHECK(semaphore_trywait(&sems[i]) == -EAGAIN && rb_empty(&sems[i].waiters.waiters));
	CHECK(!event_queue_destroy(&queue));
}

static void nothing_is_lost_or_told_twice(void **state)
{
	(void)state;
	run(storm_first, 60);
}

/* Nobody polls: a consumer that were not told would sleep for ever, and the machine with it. */
static void *take_all(void *arg)
{
	struct event e;

	for (unsigned i = 0; i < 2 * POSTS;) {
		CHECK(event_queue_wait(&queue, &e, 1) == 1);
		while (!semaphore_trywait(&sems[(uintptr_t)e.arg]))
			i++;
	}
	return arg;
}

static void *post_alone(void *arg)
{
	for (unsigned i = 0; i < POSTS; i++) {
		CHECK(!semaphore_post(&sems[(uintptr_t)arg % 2]));
		if (draw(2))
			sleep_us(draw(4));
	}
	return arg;
}

static void sleep_first(void *arg)
{
	(void)arg;
	event_queue_init(&queue);
	for (unsigned i = 0; i < 2; i++) {
		semaphore_init(&sems[i], 0);
		CHECK(!event_queue_add_semaphore(&queue, &sources[i], &sems[i], i,
						 (void *)(uintptr_t)i));
	}
	start(0, SCHED_FIFO, 20, take_all);
	start(2, SCHED_OTHER, 0, post_alone);
	start(3, SCHED_FIFO, 10, post_alone);
	for (unsigned i = 0; i < 4; i++)
		CHECK(i == 1 || !thread_join(threads[i], NULL));
}

static void a_consumer_never_sleeps_beside_a_unit(void **state)
{
	(void)state;
	run(sleep_first, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posts_levels_and_priorities),
		cmocka_unit_test(a_semaphore_is_ready_while_it_has_units),
		cmocka_unit_test(waiters_go_by_priority),
		cmocka_unit_test(timers_count_expiries),
		cmocka_unit_test(the_exit_of_a_thread_is_told_once),
		cmocka_unit_test(an_interrupt_is_masked_until_it_is_acknowledged),
		cmocka_unit_test(nothing_is_lost_or_told_twice),
		cmocka_unit_test(a_consumer_never_sleeps_beside_a_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
