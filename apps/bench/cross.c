/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows xcpu_sem_roundtrip and wake_idle_cpu: two FIFO threads on CPUs 0 and 1, and nothing else
 * that runs.
 *
 * One of the two always waits, and its CPU is idle, so that the instructions of both lie one behind
 * the other on one time line: under an emulator with virtual time the distance between two readings
 * is the sum of what both CPUs did. Whoever wakes the other goes to sleep at once; an emulator that
 * runs the CPUs in turn goes on to the other one only then, and so the waker's way to sleep is part
 * of both rows.
 *
 * The cycle counters of two CPUs need not agree: each CPU ties its own to the counter that all
 * share (timeline.c).
 */
#include "bench.h"

#include "core/sync.h"
#include "core/time.h"

#define BLOCKS   20u
#define IN_BLOCK 50u
#define WAKEUPS  (BLOCKS * IN_BLOCK)
#define PRIORITY 10u

static struct semaphore ping = SEMAPHORE_INIT(0), pong = SEMAPHORE_INIT(0);
static struct timeline lines[2];
static uint64_t woken_cycles;

static void *calibrate(void *arg)
{
	timeline_init(arg, counter_now, time_base.hz);
	return NULL;
}

static void *pong_back(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < (BLOCKS + 1) * IN_BLOCK; i++) {
		semaphore_wait(&ping);
		woken_cycles = arch_cycles();
		semaphore_post(&pong);
	}
	return NULL;
}

static void *pong_back_only(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < (BLOCKS + 1) * IN_BLOCK; i++) {
		semaphore_wait(&ping);
		semaphore_post(&pong);
	}
	return NULL;
}

static void *round_trips(void *arg)
{
	(void)arg;
	for (unsigned block = 0; block <= BLOCKS; block++) {
		uint64_t start = arch_cycles();

		for (unsigned i = 0; i < IN_BLOCK; i++) {
			semaphore_post(&ping);
			semaphore_wait(&pong);
		}
		if (block) /* the first one warms up */
			sample_add(IN_BLOCK, arch_cycles() - start);
	}
	return NULL;
}

/* A cycle of CPU 1 on the time line of CPU 0. */
static uint64_t on_cpu0(uint64_t cycles)
{
	return cycles - lines[1].base_cycles + timeline_cycles(&lines[0], lines[1].base);
}

static void *one_way(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WAKEUPS + IN_BLOCK; i++) {
		uint64_t start = arch_cycles();

		semaphore_post(&ping);
		semaphore_wait(&pong);
		if (i >= IN_BLOCK)
			sample_add(1, on_cpu0(woken_cycles) - start);
	}
	return NULL;
}

static void row(const char *name, void *(*here)(void *), void *(*there)(void *))
{
	struct thread *peer = thread_on(1, PRIORITY, 0, there, NULL);

	thread_end(thread_on(0, PRIORITY, 0, here, NULL));
	thread_end(peer);
	row_send(name);
}

void rows_two_cpus(void)
{
	for (unsigned cpu = 0; cpu < 2; cpu++)
		thread_end(thread_on(cpu, PRIORITY, 0, calibrate, &lines[cpu]));
	row("xcpu_sem_roundtrip", round_trips, pong_back_only);
	row("wake_idle_cpu", one_way, pong_back);
}
