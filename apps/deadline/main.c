/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of threads with deadlines on the target, beside a fair and a FIFO thread that never stop: what
 * `make deadline BOARD=` measures.
 *
 *   deadline set=MILLISECONDS RUNTIME:PERIOD:PHASE[:yield|:hog]... set=... (all others in ns)
 *
 * Each thread uses the whole of its budget in each period, but for what it takes to go to sleep; with
 * yield it ends a period by sched_yield_current(), so its deadlines are the same to the ns in every
 * run; a hog never stops. Nothing is judged here: a record of kind "deadline" (docs/UART.md) for each thread
 * says how many jobs ended after their deadline, and how long the longest took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/record.h"
#include "core/sync.h"
#include "core/time.h"
#include "sched/deadline.h"

typedef unsigned long long ull; /* for the formatter */

#define TASKS_MAX 16
/* Going to sleep, an interrupt in between, and the wake-up: charged, too. */
#define REST_NS (4 * NSEC_PER_USEC)
/* For sched_yield_current(): if that comes too late it is throttled at the same time. */
#define YIELD_REST_NS 800u

struct task {
	struct thread *thread;
	struct semaphore go;
	uint64_t runtime_ns, period_ns, phase_ns;
	bool yields, hog;
	uint64_t begin_ns, end_ns;
	uint64_t jobs, misses, cut, worst_ns;
};

static struct task tasks[TASKS_MAX];
static unsigned nr_tasks;
static volatile bool stop;

static __noreturn void fail(const char *what, int err)
{
	fprintf(stderr, "deadline: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void set_deadline(const struct task *k)
{
	const struct sched_attr a = { .size = sizeof(a),
				      .sched_policy = SCHED_DEADLINE,
				      .sched_runtime = k->runtime_ns,
				      .sched_deadline = k->period_ns,
				      .sched_period = k->period_ns };
	int err = sched_set_attr(k->thread, &a);

	if (err)
		fail("a thread of the set is refused", err);
}

/* By halves, because interrupts take their part of the budget, too. */
static void exhaust(uint64_t rest_ns)
{
	uint64_t left_ns;

	while ((left_ns = (uint64_t)deadline_left_ns(NULL)) > rest_ns) {
		uint64_t until_ns = time_now_ns() + (left_ns - rest_ns) / 2;

		while (time_now_ns() < until_ns)
			;
	}
}

static void end_job(struct task *k, uint64_t took_ns)
{
	k->jobs++;
	k->misses += took_ns > k->period_ns;
	k->worst_ns = MAX(k->worst_ns, took_ns);
}

/*
 * A job begins with its period, which ends with the absolute deadline. If an interrupt takes the rest
 * of the budget, the next period has begun before the job ends: it is cut, and not measured.
 */
static void run_by_yielding(struct task *k)
{
	uint64_t until_ns = 0, now_until_ns, end_ns;

	thread_sleep_until(k->begin_ns);
	while (until_ns < k->end_ns) {
		sched_yield_current();
		deadline_left_ns(&until_ns);
		while (k->hog && time_now_ns() < k->end_ns)
			;
		exhaust(YIELD_REST_NS);
		end_ns = time_now_ns();
		deadline_left_ns(&now_until_ns);
		if (now_until_ns == until_ns)
			end_job(k, end_ns + k->period_ns - until_ns);
		else
			k->cut++;
	}
}

static void *task_main(void *arg)
{
	struct task *k = arg;

	semaphore_wait(&k->go);
	if (k->yields) {
		run_by_yielding(k);
		return NULL;
	}
	for (uint64_t at_ns = k->begin_ns; at_ns < k->end_ns; at_ns += k->period_ns) {
		thread_sleep_until(at_ns);
		exhaust(REST_NS);
		end_job(k, time_now_ns() - at_ns);
	}
	return NULL;
}

static void *hog_main(void *arg)
{
	while (!stop)
		;
	return arg;
}

static struct thread *create(int policy, int priority, void *(*entry)(void *), void *arg)
{
	const struct thread_attr attr = { .name = "deadline",
					  .policy = (uint8_t)policy,
					  .priority = (uint8_t)priority };
	struct thread *t;
	int err = thread_create(&t, &attr, entry, arg);

	if (err)
		fail("a thread", err);
	return t;
}

static void run(uint64_t ns)
{
	struct thread *fair = create(SCHED_OTHER, 0, hog_main, NULL);
	struct thread *fifo = create(SCHED_FIFO, 50, hog_main, NULL);
	uint64_t begin_ns;

	stop = false;
	for (unsigned i = 0; i < nr_tasks; i++) {
		semaphore_init(&tasks[i].go, 0);
		tasks[i].thread = create(SCHED_FIFO, 98, task_main, &tasks[i]);
		set_deadline(&tasks[i]);
	}
	begin_ns = time_now_ns() + NSEC_PER_MSEC;
	for (unsigned i = 0; i < nr_tasks; i++) {
		tasks[i].begin_ns = begin_ns + tasks[i].phase_ns;
		tasks[i].end_ns = begin_ns + ns;
		semaphore_post(&tasks[i].go);
	}
	for (unsigned i = 0; i < nr_tasks; i++)
		thread_join(tasks[i].thread, NULL);
	stop = true;
	thread_join(fair, NULL);
	thread_join(fifo, NULL);
	thread_sleep_until(time_now_ns() +
			   25 * NSEC_PER_MSEC); /* what was admitted is free again */
}

static void report(unsigned set)
{
	for (unsigned i = 0; i < nr_tasks; i++)
		record_send("{\"r\":\"deadline\",\"set\":%u,\"thread\":%u,\"runtime\":%llu,"
			    "\"period\":%llu,\"hog\":%u,\"jobs\":%llu,\"misses\":%llu,"
			    "\"cut\":%llu,\"worst\":%llu}",
			    set, i, (ull)tasks[i].runtime_ns, (ull)tasks[i].period_ns, tasks[i].hog,
			    (ull)tasks[i].jobs, (ull)tasks[i].misses, (ull)tasks[i].cut,
			    (ull)tasks[i].worst_ns);
	printf("deadline: set %u: %u threads\n", set, nr_tasks);
	fflush(stdout);
	console_flush(); /* the interrupts of the UART are not to come into the next run */
}

/* "10000:500000:0", or with ":yield" or ":hog" behind it */
static bool add_task(const char *arg)
{
	struct task *k = &tasks[nr_tasks];
	char *end;

	if (nr_tasks == TASKS_MAX)
		return false;
	*k = (struct task){ .runtime_ns = strtoull(arg, &end, 10) };
	if (*end != ':')
		return false;
	k->period_ns = strtoull(end + 1, &end, 10);
	if (*end != ':' || !k->period_ns)
		return false;
	k->phase_ns = strtoull(end + 1, &end, 10);
	k->hog = !strcmp(end, ":hog");
	k->yields = k->hog || !strcmp(end, ":yield");
	nr_tasks++;
	return k->yields || !*end;
}

static int usage(const char *arg)
{
	fprintf(stderr,
		"deadline: %s: expected set=MILLISECONDS, then up to %u of "
		"RUNTIME:PERIOD:PHASE[:yield|:hog] in ns\n",
		arg, TASKS_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	struct cpumask first = { 0 };
	unsigned set = 0;
	uint64_t ms = 0;
	int err = sched_deadline_use();

	if (err)
		fail("SCHED_DEADLINE", err);
	cpumask_set(&first, 0);
	if (thread_set_affinity(thread_current(), &first) ||
	    sched_set_policy(thread_current(), SCHED_FIFO, 99, 0) ||
	    deadline_reserve_server(0, 50 * NSEC_PER_MSEC, NSEC_PER_SEC))
		fail("the first thread", -EINVAL);
	for (int i = 1; i < argc;) {
		if (strncmp(argv[i], "set=", 4) || !(ms = strtoull(argv[i] + 4, NULL, 10)))
			return usage(argv[i]);
		nr_tasks = 0;
		for (i++; i < argc && strncmp(argv[i], "set=", 4); i++)
			if (!add_task(argv[i]))
				return usage(argv[i]);
		run(ms * NSEC_PER_MSEC);
		report(set++);
	}
	return set ? 0 : usage("no argument");
}
