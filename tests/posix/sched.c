/* SPDX-License-Identifier: BSD-2-Clause */
/* Scheduling parameters and affinity, POSIX's calls and Linux's. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static sem_t go;
static volatile int tid_of_thread;

static void limits(void)
{
	EQ(sched_get_priority_min(SCHED_FIFO), 1);
	EQ(sched_get_priority_max(SCHED_FIFO), 99);
	EQ(sched_get_priority_min(SCHED_RR), 1);
	EQ(sched_get_priority_max(SCHED_RR), 99);
	EQ(sched_get_priority_max(SCHED_OTHER), 0);
	FAILS(sched_get_priority_min(77), EINVAL);
	FAILS(sched_get_priority_max(-1), EINVAL);
	EQ(sched_yield(), 0);
}

static void of_self(void)
{
	struct sched_param p = { .sched_priority = 10 };
	struct timespec ts;

	EQ(sched_getscheduler(0), SCHED_OTHER);
	EQ(sched_setscheduler(0, SCHED_FIFO, &p), SCHED_OTHER);
	EQ(sched_getscheduler(getpid()), SCHED_FIFO);
	p.sched_priority = 11;
	EQ(sched_setparam(0, &p), 0);
	p.sched_priority = 0;
	EQ(sched_getparam(0, &p), 0);
	EQ(p.sched_priority, 11);
	EQ(sched_rr_get_interval(0, &ts), 0);
	EQ(ts.tv_sec * 1000000000 + ts.tv_nsec, 0);
	EQ(sched_setscheduler(0, SCHED_RR, &p), SCHED_FIFO);
	EQ(sched_rr_get_interval(0, &ts), 0);
	EQ(ts.tv_sec * 1000000000 + ts.tv_nsec, 100000000);
	p.sched_priority = 0;
	FAILS(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	p.sched_priority = 100;
	FAILS(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	FAILS(sched_setparam(0, &p), EINVAL);
	p.sched_priority = 1;
	FAILS(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	FAILS(sched_setscheduler(0, 77, &p), EINVAL);
	FAILS(sched_setscheduler(-1, SCHED_FIFO, &p), EINVAL);
	FAILS(sched_setscheduler(12345, SCHED_FIFO, &p), ESRCH);
	FAILS(sched_getscheduler(12345), ESRCH);
	FAILS(sched_getscheduler(-1), EINVAL);
	FAILS(sched_getparam(12345, &p), ESRCH);
	FAILS(sched_setparam(12345, &p), ESRCH);
	FAILS(sched_rr_get_interval(12345, &ts), ESRCH);
	EQ(sched_getscheduler(0), SCHED_RR); /* nothing of what was refused is applied */
	p.sched_priority = 0;
	EQ(sched_setscheduler(0, SCHED_OTHER, &p), SCHED_RR);
}

static void *wait_to_go(void *arg)
{
	tid_of_thread = gettid();
	sem_wait(&go);
	return arg;
}

static void of_another(void)
{
	struct sched_param p = { .sched_priority = 7 };
	int policy;
	pthread_t t;

	EQ(pthread_create(&t, NULL, wait_to_go, NULL), 0);
	wait_for(&tid_of_thread);
	EQ(pthread_setschedparam(t, SCHED_FIFO, &p), 0);
	EQ(sched_getscheduler(tid_of_thread), SCHED_FIFO);
	EQ(pthread_setschedprio(t, 9), 0);
	EQ(pthread_getschedparam(t, &policy, &p), 0);
	EQ(policy, SCHED_FIFO);
	EQ(p.sched_priority, 9);
	EQ(pthread_setschedprio(t, 100), EINVAL);
	EQ(pthread_setschedparam(t, 77, &p), EINVAL);
	EQ(pthread_setschedparam(t, SCHED_OTHER, &p), EINVAL);
	EQ(pthread_getschedparam(t, &policy, &p), 0);
	EQ(p.sched_priority, 9);
	p.sched_priority = 0;
	EQ(sched_setscheduler(tid_of_thread, SCHED_BATCH, &p), SCHED_FIFO);
	EQ(sched_getscheduler(tid_of_thread), SCHED_BATCH);
	sem_post(&go);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_setschedparam(t, SCHED_OTHER, &p), ESRCH);
	EQ(pthread_getschedparam(t, &policy, &p), ESRCH);
	EQ(pthread_setschedprio(t, 1), ESRCH);
	FAILS(sched_getscheduler(tid_of_thread), ESRCH);
}

static void attributes(void)
{
	struct sched_attr a = { .size = sizeof(a) }, was;

	EQ(sched_getattr(0, &was, sizeof(was), 0), 0);
	EQ(was.size, sizeof(was));
	EQ(was.sched_policy, SCHED_OTHER);
	CHECK(was.sched_runtime > 0);
	a.sched_policy = SCHED_OTHER;
	a.sched_nice = 5;
	a.sched_runtime = 200000;
	EQ(sched_setattr(0, &a, 0), 0);
	EQ(sched_getattr(0, &a, sizeof(a), 0), 0);
	EQ(a.sched_nice, 5);
	EQ(a.sched_runtime, 200000);
	a.sched_nice = 20;
	FAILS(sched_setattr(0, &a, 0), EINVAL);
	a.sched_nice = 5;
	a.sched_runtime = 1;
	FAILS(sched_setattr(0, &a, 0), EINVAL);
	FAILS(sched_setattr(0, &was, 1), EINVAL);
	FAILS(sched_setattr(0, NULL, 0), EINVAL);
	FAILS(sched_setattr(12345, &was, 0), ESRCH);
	FAILS(sched_getattr(0, &a, 8, 0), EINVAL);
	FAILS(sched_getattr(0, &a, sizeof(a), 1), EINVAL);
	a = was;
	a.size = 4096;
	FAILS(sched_setattr(0, &a, 0), E2BIG);
	EQ(a.size, SCHED_ATTR_SIZE_VER0);
	EQ(sched_setattr(0, &was, 0), 0);
}

static void affinity(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t all, one, got;
	unsigned cpu = 99, node = 99;

	EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	EQ(CPU_COUNT(&all), cpus);
	for (long i = 0; i < cpus; i++) {
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		EQ(sched_setaffinity(0, sizeof(one), &one), 0);
		EQ(sched_getcpu(), i);
		EQ(sched_getaffinity(0, sizeof(got), &got), 0);
		CHECK(CPU_EQUAL(&one, &got));
	}
	EQ(getcpu(&cpu, &node), 0);
	EQ(cpu, cpus - 1);
	EQ(node, 0);
	CPU_ZERO(&one);
	FAILS(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	CPU_SET(500, &one);
	EQ(pthread_setaffinity_np(pthread_self(), sizeof(one), &one), EINVAL);
	FAILS(sched_setaffinity(12345, sizeof(all), &all), ESRCH);
	FAILS(sched_getaffinity(12345, sizeof(all), &all), ESRCH);
	FAILS(sched_getaffinity(0, 1, &got), EINVAL);
	EQ(pthread_setaffinity_np(pthread_self(), sizeof(all), &all), 0);
	EQ(pthread_getaffinity_np(pthread_self(), sizeof(got), &got), 0);
	CHECK(CPU_EQUAL(&all, &got));
}

/* ---- the order within a priority, on one CPU ------------------------------------------------- */

static char order[8];
static volatile int ordered;

static void *note(void *arg)
{
	order[ordered++] = (char)(long)arg;
	return NULL;
}

static pthread_t create(int priority, char c)
{
	struct sched_param p = { .sched_priority = priority };
	pthread_attr_t attr;
	cpu_set_t zero;
	pthread_t t;

	CPU_ZERO(&zero);
	CPU_SET(0, &zero);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
	EQ(pthread_attr_setschedpolicy(&attr, SCHED_FIFO), 0);
	EQ(pthread_attr_setschedparam(&attr, &p), 0);
	EQ(pthread_attr_setaffinity_np(&attr, sizeof(zero), &zero), 0);
	EQ(pthread_create(&t, &attr, note, (void *)(long)c), 0);
	EQ(pthread_attr_destroy(&attr), 0);
	return t;
}

/* a and b wait at 20, c at @from; it is given @to; they run. */
static void changed(int from, int to, int prio, const char *expected)
{
	struct sched_param p = { .sched_priority = to };
	pthread_t t[3] = { create(20, 'a'), create(from, 'c'), create(20, 'b') };

	if (prio)
		EQ(pthread_setschedprio(t[1], to), 0);
	else
		EQ(pthread_setschedparam(t[1], SCHED_FIFO, &p), 0);
	EQ(ordered, 0);
	for (int i = 0; i < 3; i++)
		EQ(pthread_join(t[i], NULL), 0);
	order[ordered] = 0;
	EQ(strcmp(order, expected), 0);
	ordered = 0;
}

static void order_of_equals(void)
{
	struct sched_param p = { .sched_priority = 50 };
	cpu_set_t zero, all;
	pthread_t t;

	CPU_ZERO(&zero);
	CPU_SET(0, &zero);
	EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	EQ(sched_setaffinity(0, sizeof(zero), &zero), 0);
	EQ(sched_setscheduler(0, SCHED_FIFO, &p), SCHED_OTHER);
	changed(10, 20, 0, "abc");
	changed(10, 20, 1, "abc");
	changed(30, 20, 0, "abc");
	changed(30, 20, 1, "cab");
	changed(20, 20, 0, "abc");
	changed(20, 20, 1, "acb");
	/* the caller: sched_setparam() puts it behind an equal, pthread_setschedprio() does not */
	t = create(40, 'x');
	EQ(pthread_setschedprio(pthread_self(), 40), 0);
	EQ(ordered, 0);
	p.sched_priority = 40;
	EQ(sched_setparam(0, &p), 0);
	EQ(ordered, 1);
	EQ(pthread_join(t, NULL), 0);
	p.sched_priority = 0;
	EQ(sched_setscheduler(0, SCHED_OTHER, &p), SCHED_FIFO);
	EQ(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	sem_init(&go, 0, 0);
	limits();
	of_self();
	of_another();
	attributes();
	affinity();
	order_of_equals();
	return test_end();
}
