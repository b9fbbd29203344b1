/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues on the target: a device's interrupt, a timer, a semaphore and the exit of a thread in
 * one wait; and units that go through events from all CPUs at once, none lost. Also the example of how
 * one thread serves several sources.
 */
#include "core/alarm.h"
#include "core/event_queue.h"
#include "tests/target/test.h"

#define UNITS   400u
#define SOURCES 4u
#define ALARMS  10u

static struct event_queue queue;
static struct event_source sources[SOURCES + 2];
static struct semaphore sems[SOURCES];
static uint32_t taken, told[SOURCES], ended;

/* @us from now; 0: it is due already. */
static void set_alarm(const struct alarm *alarm, uint64_t us)
{
	uint64_t cycles;

	alarm->set(alarm->now(&cycles) + us * alarm->hz / 1000000);
}

static void *post_once(void *arg)
{
	sleep_us(500);
	semaphore_post(&sems[0]);
	return arg;
}

/* The alarm's interrupt may be one that each CPU has for itself: all is on CPU 0. */
TEST(event_queue_serves_interrupt_timer_semaphore_and_thread)
{
	const struct alarm *alarm = alarm_find();
	struct event e[4];
	unsigned alarms = 0, expiries = 0, units = 0, exits = 0;
	uint64_t begin_ns;
	struct thread *t;

	SKIP_UNLESS(alarm, "needs an alarm device");
	become(0, SCHED_FIFO, 20);
	event_queue_init(&queue);
	semaphore_init(&sems[0], 0);
	t = spawn(0, SCHED_FIFO, 10, post_once, NULL);
	begin_ns = time_now_ns();
	REQUIRE(!event_queue_add_irq(&queue, &sources[0], alarm->hwirq, 31, NULL));
	REQUIRE(!event_queue_add_timer(&queue, &sources[1], begin_ns + NSEC_PER_MSEC, NSEC_PER_MSEC,
				       20, NULL));
	REQUIRE(!event_queue_add_semaphore(&queue, &sources[2], &sems[0], 10, NULL));
	REQUIRE(!event_queue_add_thread(&queue, &sources[3], t, 0, NULL));
	CHECK_EQ(event_queue_add_irq(&queue, &sources[4], alarm->hwirq, 0, NULL), -EBUSY);
	set_alarm(alarm, 100);
	while (alarms < ALARMS || expiries < 5 || !units || !exits) {
		int n = event_queue_wait_until(&queue, e, 4, begin_ns + NSEC_PER_SEC);

		if (n < 0) {
			CHECK_EQ(n, 0);
			break;
		}
		for (int i = 0; i < n; i++) {
			if (e[i].source == &sources[0]) {
				alarms += e[i].count;
				alarm->ack();
				if (alarms < ALARMS)
					set_alarm(alarm, alarms % 3 * 100);
				event_source_acknowledge(&sources[0]);
			}
			expiries += e[i].source == &sources[1] ? e[i].count : 0;
			units += e[i].source == &sources[2] && !semaphore_trywait(&sems[0]);
			exits += e[i].source == &sources[3];
		}
	}
	CHECK_EQ(alarms, ALARMS);
	CHECK_EQ(units, 1);
	CHECK_EQ(exits, 1);
	CHECK(expiries >= 5 && expiries <= (time_now_ns() - begin_ns) / NSEC_PER_MSEC);
	join(t);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(event_queue_remove(&queue, &sources[i]), 0);
	CHECK_EQ(event_queue_destroy(&queue), 0);
	set_alarm(alarm, 0); /* nobody's */
	sleep_us(1000);
	alarm->ack();
}

/* The urgent one first, though it came last. */
TEST(event_queue_tells_by_priority_then_arrival)
{
	struct event e[SOURCES];

	event_queue_init(&queue);
	for (unsigned i = 0; i < SOURCES; i++)
		REQUIRE(!event_queue_add(&queue, &sources[i], i == 3 ? 9 : 1, NULL));
	for (unsigned i = 0; i < SOURCES; i++)
		CHECK_EQ(event_source_post(&sources[i]), 0);
	CHECK_EQ(event_queue_wait(&queue, e, SOURCES), SOURCES);
	CHECK(e[0].source == &sources[3] && e[1].source == &sources[0] &&
	      e[2].source == &sources[1] && e[3].source == &sources[2]);
	CHECK_EQ(event_queue_wait_until(&queue, e, SOURCES, 0), -ETIMEDOUT);
	for (unsigned i = 0; i < SOURCES; i++)
		CHECK_EQ(event_queue_remove(&queue, &sources[i]), 0);
}

static void *post_all(void *arg)
{
	for (unsigned i = 0; i < UNITS; i++)
		semaphore_post(&sems[((uintptr_t)arg + i) % SOURCES]);
	return arg;
}

static void *take_by_events(void *arg)
{
	struct event e[2];

	while (!atomic_load_relaxed(&ended)) {
		int n = event_queue_wait_until(&queue, e, 2, time_now_ns() + 10 * NSEC_PER_MSEC);

		for (int i = 0; i < n; i++) {
			unsigned s = (unsigned)(uintptr_t)e[i].arg;

			atomic_fetch_add_relaxed(&told[s], 1u);
			if (!semaphore_trywait(&sems[s]))
				atomic_fetch_add_relaxed(&taken, 1u);
		}
	}
	return arg;
}

/* A source comes and goes meanwhile; who posts and who waits knows nothing of it. */
TEST(event_queue_loses_nothing_on_all_cpus)
{
	struct thread *t[6];
	uint64_t end_ns = time_now_ns() + 60 * NSEC_PER_SEC;

	taken = 0;
	atomic_store_relaxed(&ended, 0u);
	event_queue_init(&queue);
	for (unsigned i = 0; i < SOURCES; i++) {
		told[i] = 0;
		semaphore_init(&sems[i], 0);
		REQUIRE(!event_queue_add_semaphore(&queue, &sources[i], &sems[i], i,
						   (void *)(uintptr_t)i));
	}
	for (unsigned i = 0; i < 6; i++)
		t[i] = spawn(ANY_CPU, i % 2 ? SCHED_OTHER : SCHED_FIFO, i % 2 ? 0 : 10,
			     i < 3 ? post_all : take_by_events, (void *)(uintptr_t)i);
	while (atomic_load_relaxed(&taken) < 3 * UNITS && time_now_ns() < end_ns) {
		CHECK_EQ(event_queue_remove(&queue, &sources[1]), 0);
		CHECK_EQ(event_queue_add_semaphore(&queue, &sources[1], &sems[1], 1, (void *)1), 0);
		sleep_us(200);
	}
	atomic_store_relaxed(&ended, 1u);
	for (unsigned i = 0; i < 6; i++)
		join(t[i]);
	CHECK_EQ(taken, 3 * UNITS);
	for (unsigned i = 0; i < SOURCES; i++) {
		CHECK(told[i] > 0);
		CHECK_EQ(event_queue_remove(&queue, &sources[i]), 0);
		CHECK_EQ(semaphore_trywait(&sems[i]), -EAGAIN);
	}
	CHECK_EQ(event_queue_destroy(&queue), 0);
}
