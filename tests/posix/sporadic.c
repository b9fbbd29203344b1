/* SPDX-License-Identifier: BSD-2-Clause */
/* SCHED_SPORADIC: options, what is refused, by each call that takes it, and the budget in each period. */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define MS 1000000ll

static struct sched_param param(int high, int low, long budget_ns, long period_ns, int max)
{
	return (struct sched_param){
		.sched_priority = high,
		.sched_ss_low_priority = low,
		.sched_ss_init_budget = { .tv_sec = 0, .tv_nsec = budget_ns },
		.sched_ss_repl_period = { .tv_sec = 0, .tv_nsec = period_ns },
		.sched_ss_max_repl = max,
	};
}

static void options(void)
{
	EQ(_POSIX_SPORADIC_SERVER, 200809L);
	EQ(_POSIX_THREAD_SPORADIC_SERVER, 200809L);
	EQ(sysconf(_SC_SPORADIC_SERVER), _POSIX_SPORADIC_SERVER);
	EQ(sysconf(_SC_THREAD_SPORADIC_SERVER), _POSIX_THREAD_SPORADIC_SERVER);
	EQ(sysconf(_SC_SS_REPL_MAX), SS_REPL_MAX);
	CHECK(SS_REPL_MAX >= _POSIX_SS_REPL_MAX);
	EQ(sched_get_priority_min(SCHED_SPORADIC), 1);
	EQ(sched_get_priority_max(SCHED_SPORADIC), 99);
}

static void refuse(struct sched_param p)
{
	FAILS(sched_setscheduler(0, SCHED_SPORADIC, &p), EINVAL);
	EQ(pthread_setschedparam(pthread_self(), SCHED_SPORADIC, &p), EINVAL);
}

static void refusals(void)
{
	struct sched_param p = param(50, 10, 2 * MS, 10 * MS, 4);

	refuse(param(0, 0, 2 * MS, 10 * MS, 4));
	refuse(param(100, 10, 2 * MS, 10 * MS, 4));
	refuse(param(50, 0, 2 * MS, 10 * MS, 4));
	refuse(param(50, 51, 2 * MS, 10 * MS, 4));
	refuse(param(50, 10, 11 * MS, 10 * MS, 4));
	refuse(param(50, 10, 0, 10 * MS, 4));
	refuse(param(50, 10, -1, 10 * MS, 4));
	refuse(param(50, 10, 2 * MS, 1000000000, 4));
	refuse(param(50, 10, 2 * MS, 10 * MS, 0));
	refuse(param(50, 10, 2 * MS, 10 * MS, -1));
	refuse(param(50, 10, 2 * MS, 10 * MS, SS_REPL_MAX + 1));
	EQ(sched_getscheduler(0), SCHED_OTHER);
	FAILS(sched_setscheduler(12345, SCHED_SPORADIC, &p), ESRCH);
}

static void expect(const struct sched_param *p, int high, int max)
{
	EQ(p->sched_priority, high);
	EQ(p->sched_ss_low_priority, 10);
	EQ(p->sched_ss_init_budget.tv_sec, 0);
	EQ(p->sched_ss_init_budget.tv_nsec, 2 * MS);
	EQ(p->sched_ss_repl_period.tv_sec, 0);
	EQ(p->sched_ss_repl_period.tv_nsec, 10 * MS);
	EQ(p->sched_ss_max_repl, max);
}

static void by_each_call(void)
{
	struct sched_param p = param(50, 10, 2 * MS, 10 * MS, 4), got;
	struct sched_attr a;
	struct timespec ts;
	int policy;

	EQ(sched_setscheduler(0, SCHED_SPORADIC, &p), SCHED_OTHER);
	EQ(sched_getscheduler(0), SCHED_SPORADIC);
	memset(&got, 0, sizeof(got));
	EQ(sched_getparam(0, &got), 0);
	expect(&got, 50, 4);
	p.sched_ss_max_repl = 7;
	EQ(sched_setparam(0, &p), 0);
	memset(&got, 0, sizeof(got));
	EQ(pthread_getschedparam(pthread_self(), &policy, &got), 0);
	EQ(policy, SCHED_SPORADIC);
	expect(&got, 50, 7);
	EQ(pthread_setschedprio(pthread_self(), 60), 0);
	EQ(pthread_setschedprio(pthread_self(), 9), EINVAL); /* below its low one */
	EQ(sched_getparam(0, &got), 0);
	expect(&got, 60, 7);
	EQ(sched_rr_get_interval(0, &ts), 0);
	EQ(sched_getattr(0, &a, sizeof(a), 0), 0);
	EQ(a.sched_policy, SCHED_SPORADIC);
	EQ(a.sched_runtime, 2 * MS);
	EQ(a.sched_period, 10 * MS);
	EQ(a.sched_priority, 60);
	EQ(a.sched_nice, 10);
	EQ(a.sched_flags, 7);
	a.sched_flags = 3;
	EQ(sched_setattr(0, &a, 0), 0);
	EQ(sched_getparam(0, &got), 0);
	expect(&got, 60, 3);
	p.sched_priority = 0;
	EQ(sched_setscheduler(0, SCHED_OTHER, &p), SCHED_SPORADIC);
	EQ(sched_getscheduler(0), SCHED_OTHER);
}

static void *tell(void *arg)
{
	struct sched_param *p = arg;
	int policy;

	EQ(pthread_getschedparam(pthread_self(), &policy, p), 0);
	EQ(policy, SCHED_SPORADIC);
	return NULL;
}

static void *make_another(void *arg)
{
	pthread_t t;

	EQ(pthread_create(&t, NULL, tell, arg), 0);
	EQ(pthread_join(t, NULL), 0);
	return NULL;
}

static void by_attributes(void)
{
	struct sched_param p = param(50, 10, 2 * MS, 10 * MS, 4), got;
	pthread_attr_t attr;
	pthread_t t;
	int policy;

	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
	EQ(pthread_attr_setschedpolicy(&attr, SCHED_SPORADIC), 0);
	EQ(pthread_attr_getschedpolicy(&attr, &policy), 0);
	EQ(policy, SCHED_SPORADIC);
	EQ(pthread_attr_setschedparam(&attr, &p), 0);
	EQ(pthread_attr_getschedparam(&attr, &got), 0);
	expect(&got, 50, 4);
	memset(&got, 0, sizeof(got));
	EQ(pthread_create(&t, &attr, tell, &got), 0);
	EQ(pthread_join(t, NULL), 0);
	expect(&got, 50, 4);
	/* who is made by one is one */
	memset(&got, 0, sizeof(got));
	EQ(pthread_create(&t, &attr, make_another, &got), 0);
	EQ(pthread_join(t, NULL), 0);
	expect(&got, 50, 4);
	p.sched_ss_init_budget.tv_nsec = 11 * MS;
	EQ(pthread_attr_setschedparam(&attr, &p), 0);
	EQ(pthread_create(&t, &attr, tell, &got), EINVAL);
	EQ(pthread_attr_destroy(&attr), 0);
}

static volatile int stop;

static void *spin(void *arg)
{
	while (!stop)
		;
	return arg;
}

static long long ns_between(struct timespec from, struct timespec to)
{
	return (to.tv_sec - from.tv_sec) * 1000000000ll + to.tv_nsec - from.tv_nsec;
}

static long long used(clockid_t id)
{
	return ns_between((struct timespec){ 0 }, now(id));
}

/*
 * One CPU: the thread never stops, this one is above its low priority and below its high one, and spins,
 * too. In 100 ms it has 20 ms, 2 in each 10, and this one the rest.
 */
static void budget(void)
{
	struct sched_param p = param(50, 10, 2 * MS, 10 * MS, 4), self = { .sched_priority = 30 };
	struct timespec end;
	pthread_attr_t attr;
	long long before, ran;
	cpu_set_t one, old;
	clockid_t id;
	pthread_t t;

	EQ(sched_getaffinity(0, sizeof(old), &old), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
	EQ(pthread_attr_setschedpolicy(&attr, SCHED_SPORADIC), 0);
	EQ(pthread_attr_setschedparam(&attr, &p), 0);
	EQ(sched_setscheduler(0, SCHED_FIFO, &self), SCHED_OTHER);
	EQ(pthread_create(&t, &attr, spin, NULL), 0);
	EQ(pthread_getcpuclockid(t, &id), 0);
	before = used(id);
	end = in_ms(CLOCK_MONOTONIC, 100);
	while (ns_between(now(CLOCK_MONOTONIC), end) > 0)
		;
	ran = used(id) - before;
	CHECK(ran >= 18 * MS && ran <= 22 * MS);
	stop = 1;
	EQ(pthread_join(t, NULL), 0);
	self.sched_priority = 0;
	EQ(sched_setscheduler(0, SCHED_OTHER, &self), SCHED_FIFO);
	EQ(sched_setaffinity(0, sizeof(old), &old), 0);
}

int main(void)
{
	options();
	refusals();
	by_each_call();
	by_attributes();
	budget();
	return test_end();
}
