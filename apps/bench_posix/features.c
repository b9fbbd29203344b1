/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows of what a program has only if it asks for it, and therefore not in the image whose size is
 * counted: interrupt threads, batch calls, event queues. By the kernel's own names.
 */
#include "bench.h"

#include <stdio.h>

#include "core/alarm.h"
#include "core/event_queue.h"
#include "core/irq_thread.h"
#include "core/time.h"

#define WAKEUPS  1000u
#define WARM_UP  8u
#define GAP_NS   30000u
#define PHASE_NS 7u
#define PRIORITY 50u
#define BATCH    16u
#define ROUNDS   100u
#define EVENTS   100u

/* ---- from the interrupt to the function of its thread ----------------------------------------- */

static const struct alarm *alarm;
static struct timeline alarm_line;
static struct irq_thread irq_thread;
static struct semaphore served = SEMAPHORE_INIT(0);
static uint64_t begun_cycles;

static void serve(void *arg)
{
	begun_cycles = arch_cycles();
	(void)arg;
	alarm->ack();
	semaphore_post(&served);
}

static void *wait_for_alarm(void *arg)
{
	for (unsigned i = 0; i < WARM_UP + WAKEUPS; i++) {
		uint64_t cycles, deadline = alarm->now(&cycles) + (GAP_NS + i * PHASE_NS % 1009) *
									  alarm->hz / NSEC_PER_SEC;

		alarm->set(deadline);
		semaphore_wait(&served);
		if (i >= WARM_UP) /* + 1: as in apps/bench/interrupt.c */
			sample_add(1, begun_cycles + 1 - timeline_cycles(&alarm_line, deadline));
	}
	return arg;
}

static void *calibrate(void *arg)
{
	timeline_init(&alarm_line, alarm->now, alarm->hz);
	return arg;
}

static void row_irq_thread(void)
{
	struct cpumask only = { .bits = { 1 } };
	struct irq_thread_attr attr = {
		.thread = { .affinity = &only, .policy = SCHED_FIFO, .priority = PRIORITY + 1 },
		.irq_cpu = IRQ_THREAD_ANY_CPU,
	};

	alarm = alarm_find();
	if (!alarm) {
		printf("bench: no alarm device, row irq_thread_to_function is left out\n");
		return;
	}
	thread_end(thread_on(0, PRIORITY, 0, calibrate, NULL));
	ASSERT(!irq_thread_create(&irq_thread, alarm->hwirq, &attr, serve, NULL));
	thread_end(thread_on(0, PRIORITY, 0, wait_for_alarm, NULL));
	irq_thread_destroy(&irq_thread);
	row_send("irq_thread_to_function");
}

/* ---- sixteen wake-ups ------------------------------------------------------------------------ */

static struct semaphore gates[BATCH], *gate_list[BATCH];
static bool over;

static void *wait_at_gate(void *arg)
{
	while (!atomic_load_relaxed(&over))
		semaphore_wait(arg);
	return arg;
}

static void post_each(void)
{
	for (unsigned i = 0; i < BATCH; i++)
		semaphore_post(&gates[i]);
}

static void post_batch(void)
{
	semaphore_post_array(gate_list, BATCH);
}

/*
 * On this CPU the threads are fair, and who wakes them is not: they run in the sleep between. On
 * another CPU each is better than the one before, so that every single call is told to that CPU. The
 * calls alone are counted.
 */
static void *wake_in_rounds(void *arg)
{
	void (*wake)(void) = (void (*)(void))(uintptr_t)arg;

	for (unsigned i = 0; i < WARM_UP + ROUNDS; i++) {
		uint64_t begin;

		thread_sleep_until(time_now_ns() + 200 * NSEC_PER_USEC);
		begin = arch_cycles();
		wake();
		if (i >= WARM_UP)
			sample_add(1, arch_cycles() - begin);
	}
	return NULL;
}

static void row_wake_16(const char *name, unsigned cpu, void (*wake)(void))
{
	struct thread *waiters[BATCH];

	atomic_store_relaxed(&over, false);
	for (unsigned i = 0; i < BATCH; i++) {
		semaphore_init(&gates[i], 0);
		gate_list[i] = &gates[i];
		waiters[i] = thread_on(cpu, cpu ? PRIORITY + i : 0, 0, wait_at_gate, &gates[i]);
	}
	thread_end(thread_on(0, PRIORITY, 0, wake_in_rounds, (void *)(uintptr_t)wake));
	atomic_store_relaxed(&over, true);
	post_each();
	for (unsigned i = 0; i < BATCH; i++)
		thread_end(waiters[i]);
	row_send(name);
}

/* ---- an event -------------------------------------------------------------------------------- */

static struct event_queue queue;
static struct event_source source;
static struct semaphore unit = SEMAPHORE_INIT(0);

/* Armed, posted, told, taken: all in one thread, no switch. */
static void *events(void *arg)
{
	struct event e;

	event_queue_init(&queue);
	ASSERT(!event_queue_add_semaphore(&queue, &source, &unit, 0, NULL));
	for (unsigned i = 0; i < WARM_UP + EVENTS; i++) {
		uint64_t begin = arch_cycles();

		semaphore_post(&unit);
		event_queue_wait(&queue, &e, 1);
		semaphore_trywait(&unit);
		event_queue_wait_until(&queue, &e, 1, 0);
		if (i >= WARM_UP)
			sample_add(1, arch_cycles() - begin);
	}
	ASSERT(!event_queue_remove(&queue, &source));
	return arg;
}

void rows_features(void)
{
	row_irq_thread();
	row_wake_16("sem_post_16", 0, post_each);
	row_wake_16("sem_post_array_16", 0, post_batch);
	thread_end(thread_on(0, PRIORITY, 0, events, NULL));
	row_send("event_post_wait");
}

void rows_features_two(void)
{
	row_wake_16("xcpu_sem_post_16", 1, post_each);
	row_wake_16("xcpu_sem_post_array_16", 1, post_batch);
}
