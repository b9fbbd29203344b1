/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer queue of one CPU against a list of what should fire: random adding and cancelling while
 * time goes on, from outside and from the timers' own functions; order of expiry, nothing early, at
 * most a batch at a time, and the hardware always set to the next one. (Timers across CPUs:
 * test_sched.c.)
 *
 * Sources: core/timer.c core/rbtree.c core/time.c core/lock.c tests/host/host_stub.c
 * Flags: -Iarch/host -DLOCK_DEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cpu.h"
#include "core/panic.h"
#include "core/thread.h"
#include "core/time.h"

#define TIMERS 200

static struct model {
	struct timer timer;
	uint64_t due_ns;
	uint64_t added; /* order among those due at the same time */
	bool armed;
	unsigned fired;
} models[TIMERS];

unsigned cpu_count = 1;
static uint64_t additions;
static unsigned fired_in_batch;
static bool arm_again;

void assert_failed(const struct assert_place *at)
{
	mock_assert(0, at->expr, at->file, at->line);
	abort();
}

void panic(const char *fmt, ...)
{
	fail_msg("%s", fmt);
	abort();
}

/* The scheduler's part of the interrupt, without slices. */
void sched_timer(struct cpu *cpu, uint64_t now_ns, uint64_t next_timer_ns)
{
	(void)now_ns;
	timer_arm(cpu, next_timer_ns);
}

static void add(struct model *m, uint64_t due_ns)
{
	m->due_ns = due_ns;
	m->added = additions++;
	m->armed = true;
	timer_add(&m->timer, due_ns);
	assert_true(host_self->timer_ns <= due_ns);
}

static void fire(struct timer *timer)
{
	struct model *m = container_of(timer, struct model, timer);

	assert_true(m->armed && !timer->armed);
	assert_true(m->due_ns <= host_now_ns);
	for (unsigned i = 0; i < TIMERS; i++)
		if (models[i].armed && &models[i] != m)
			assert_true(models[i].due_ns > m->due_ns ||
				    (models[i].due_ns == m->due_ns && models[i].added > m->added));
	m->armed = false;
	m->fired++;
	fired_in_batch++;
	assert_false(timer_cancel(timer));
	if (arm_again && rand() % 4 == 0)
		add(m, host_now_ns + (unsigned)rand() % 50);
}

static uint64_t earliest(void)
{
	uint64_t ns = UINT64_MAX;

	for (unsigned i = 0; i < TIMERS; i++)
		if (models[i].armed)
			ns = MIN(ns, models[i].due_ns);
	return ns;
}

/*
 * What the hardware does: interrupts as long as its deadline has passed; and time goes on where a
 * batch has left a gap.
 */
static void interrupts(void)
{
	for (;;) {
		while (host_self->timer_ns <= host_now_ns) {
			fired_in_batch = 0;
			trap_timer(NULL);
			assert_true(fired_in_batch <= TIMER_BATCH);
		}
		if (earliest() > host_now_ns)
			break;
		assert_true(fired_in_batch == TIMER_BATCH);
		assert_true(host_self->timer_ns <= host_now_ns + TIMER_BATCH_GAP_NS);
		host_now_ns = host_self->timer_ns;
	}
	assert_true(host_self->timer_ns <= earliest());
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(clock_init(NSEC_PER_SEC), 0);
	timer_queue_init(&arch_cpu_self()->timers);
	for (unsigned i = 0; i < TIMERS; i++) {
		timer_init(&models[i].timer, fire);
		models[i].armed = false;
		models[i].fired = 0;
	}
	host_now_ns = 0;
	host_self->timer_ns = UINT64_MAX;
	return 0;
}

static void random_timers(void **state)
{
	unsigned fired = 0;

	(void)state;
	srand(3);
	arm_again = true;
	for (unsigned round = 0; round < 20000; round++) {
		struct model *m = &models[(unsigned)rand() % TIMERS];

		switch (rand() % 4) {
		case 0:
		case 1:
			if (!m->armed)
				add(m, host_now_ns + (unsigned)rand() % 300 -
					       MIN(host_now_ns, (unsigned)rand() % 5));
			break;
		case 2:
			assert_int_equal(timer_cancel(&m->timer), m->armed);
			m->armed = false;
			break;
		default:
			host_now_ns += (unsigned)rand() % 20;
			interrupts();
		}
	}
	for (unsigned i = 0; i < TIMERS; i++)
		fired += models[i].fired;
	assert_true(fired > 1000);
}

static void a_thousandth_of_a_second_for_all(void **state)
{
	(void)state;
	arm_again = false;
	for (unsigned i = 0; i < TIMERS; i++)
		add(&models[i], NSEC_PER_MSEC);
	host_now_ns = NSEC_PER_MSEC;
	fired_in_batch = 0;
	trap_timer(NULL);
	assert_int_equal(fired_in_batch, TIMER_BATCH);
	assert_true(host_self->timer_ns == host_now_ns + TIMER_BATCH_GAP_NS);
	interrupts();
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(models[i].fired, 1);
}

static struct timer *order[2 * TIMER_BATCH];
static unsigned nr_order;

static void note(struct timer *timer)
{
	order[nr_order++] = timer;
}

/*
 * All are due: the urgent one first, however many were due before it; then the others by expiry. One
 * that is not due yet waits.
 */
static void an_urgent_one_goes_first(void **state)
{
	struct timer t[4];

	(void)state;
	host_now_ns = 1000;
	nr_order = 0;
	for (unsigned i = 0; i < 4; i++) {
		timer_init(&t[i], note);
		t[i].urgent = i >= 2;
		timer_add(&t[i], i < 3 ? 100 + 10 * i : 5000);
	}
	trap_timer(NULL);
	assert_int_equal(nr_order, 3);
	assert_true(order[0] == &t[2] && order[1] == &t[0] && order[2] == &t[1]);
	assert_true(host_self->timer_ns == 5000);
	assert_true(timer_cancel(&t[3]));
}

/* More than a batch are due: an urgent one that is left makes the hardware fire at once. */
static void nothing_keeps_an_urgent_one_waiting(void **state)
{
	struct timer t[2 * TIMER_BATCH];

	(void)state;
	host_now_ns = 1000;
	nr_order = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		timer_init(&t[i], note);
		t[i].urgent = i >= TIMER_BATCH - 1;
		timer_add(&t[i], 100);
	}
	trap_timer(NULL);
	assert_int_equal(nr_order, TIMER_BATCH);
	for (unsigned i = 0; i < TIMER_BATCH; i++)
		assert_true(order[i] == &t[TIMER_BATCH - 1 + i]);
	assert_true(host_self->timer_ns <= host_now_ns);
	trap_timer(NULL);
	assert_true(order[TIMER_BATCH] == &t[2 * TIMER_BATCH - 1] &&
		    order[TIMER_BATCH + 1] == &t[0]);
	assert_int_equal(nr_order, 2 * TIMER_BATCH);
}

static void a_past_time_fires_at_once(void **state)
{
	(void)state;
	arm_again = false;
	host_now_ns = 1000;
	add(&models[0], 10);
	interrupts();
	assert_int_equal(models[0].fired, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_urgent_one_goes_first, setup),
		cmocka_unit_test_setup(nothing_keeps_an_urgent_one_waiting, setup),
		cmocka_unit_test_setup(random_timers, setup),
		cmocka_unit_test_setup(a_thousandth_of_a_second_for_all, setup),
		cmocka_unit_test_setup(a_past_time_fires_at_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
