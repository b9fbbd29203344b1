/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows irq_to_* and timer_to_thread_*: from the moment an interrupt is pending to the first line of
 * its handler, and to the first instruction of the FIFO thread that it wakes; on CPU 0, idle or
 * kept busy by a fair thread.
 *
 * The moment is not seen by anybody: it is computed. The alarm device fires when its clock reaches
 * a value, the kernel's timer at the first tick at or after the deadline; timeline.c says which
 * cycle that is. Deadlines differ by a few hundred nanoseconds from one sample to the next, so that
 * they meet the busy thread's loop, and the clocks' ticks, at every phase.
 *
 * The handler posts a semaphore and nothing else; it runs with interrupts masked, the thread reads
 * what it wrote after waking.
 */
#include "bench.h"

#include <stdio.h>

#include "core/alarm.h"
#include "core/irq.h"
#include "core/sync.h"
#include "core/time.h"

#define WAKEUPS  1000u
#define WARM_UP  8u
#define PRIORITY 50u
#define GAP_NS   30000u /* to the next deadline: long enough to fall asleep */
#define PHASE_NS 7u

static const struct alarm *alarm;
static struct timeline alarm_line, counter_line;
static struct semaphore woken = SEMAPHORE_INIT(0);
static uint64_t handler_cycles;
static bool hog_ends;
static bool to_handler; /* what the row is about */

static void alarm_handler(void *arg)
{
	(void)arg;
	alarm->ack();
	semaphore_post(&woken);
}

/* The same for the row that ends here: the other rows do not pay for reading the counter. */
static void alarm_handler_timed(void *arg)
{
	handler_cycles = arch_cycles();
	alarm_handler(arg);
}

static uint64_t gap_ns(unsigned i)
{
	return GAP_NS + i * PHASE_NS % 1009;
}

/* One instruction of reading the counter, or more, lies between the moment meant and the moment
 * read: all but what sample_add() takes off. */
static void latency_add(uint64_t pending_cycles, uint64_t seen_cycles)
{
	sample_add(1, seen_cycles - pending_cycles + 1);
}

static void *wait_for_alarm(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WARM_UP + WAKEUPS; i++) {
		uint64_t cycles,
			deadline = alarm->now(&cycles) + gap_ns(i) * alarm->hz / NSEC_PER_SEC;

		alarm->set(deadline);
		semaphore_wait(&woken);
		cycles = arch_cycles();
		if (i >= WARM_UP)
			latency_add(timeline_cycles(&alarm_line, deadline),
				    to_handler ? handler_cycles : cycles);
	}
	return NULL;
}

static void *wait_for_timer(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WARM_UP + WAKEUPS; i++) {
		uint64_t cycles, deadline_ns = time_now_ns() + gap_ns(i);

		thread_sleep_until(deadline_ns);
		cycles = arch_cycles();
		if (i >= WARM_UP)
			latency_add(timeline_cycles(&counter_line, ns_to_cycles(deadline_ns)),
				    cycles);
	}
	return NULL;
}

static void *be_busy(void *arg)
{
	(void)arg;
	while (!atomic_load_relaxed(&hog_ends))
		;
	return NULL;
}

static void row(const char *name, void *(*entry)(void *), bool handler, bool busy)
{
	struct thread *hog = NULL;

	to_handler = handler;
	atomic_store_relaxed(&hog_ends, false);
	if (busy)
		hog = thread_on(0, 0, 0, be_busy, NULL);
	thread_end(thread_on(0, PRIORITY, 0, entry, NULL));
	atomic_store_relaxed(&hog_ends, true);
	if (hog)
		thread_end(hog);
	row_send(name);
}

/* On CPU 0, at a priority that nothing disturbs. */
static void *calibrate(void *arg)
{
	(void)arg;
	timeline_init(&counter_line, counter_now, time_base.hz);
	if (!alarm)
		return NULL;
	timeline_init(&alarm_line, alarm->now, alarm->hz);
	irq_unmask(alarm->hwirq);
	return NULL;
}

void rows_interrupt(void)
{
	int err = -ENODEV;

	alarm = alarm_find();
	if (alarm)
		err = irq_request(alarm->hwirq, alarm_handler_timed, NULL);
	if (err) {
		printf("bench: no alarm device, rows irq_to_* are left out\n");
		alarm = NULL;
	}
	thread_end(thread_on(0, PRIORITY, 0, calibrate, NULL));
	if (alarm) {
		row("irq_to_handler", wait_for_alarm, true, true);
		irq_free(alarm->hwirq);
		if (irq_request(alarm->hwirq, alarm_handler, NULL) == 0)
			irq_unmask(alarm->hwirq);
		row("irq_to_thread_idle", wait_for_alarm, false, false);
		row("irq_to_thread_hog", wait_for_alarm, false, true);
		irq_free(alarm->hwirq);
	}
	row("timer_to_thread_idle", wait_for_timer, false, false);
	row("timer_to_thread_hog", wait_for_timer, false, true);
}
