/* SPDX-License-Identifier: BSD-2-Clause */
/* Attributes of threads: defaults, each setter with what it refuses, and that they take effect. */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static void defaults(void)
{
	pthread_attr_t a;
	struct sched_param param;
	size_t bytes;
	int value;

	EQ(pthread_attr_init(&a), 0);
	EQ(pthread_attr_getdetachstate(&a, &value), 0);
	EQ(value, PTHREAD_CREATE_JOINABLE);
	EQ(pthread_attr_getinheritsched(&a, &value), 0);
	EQ(value, PTHREAD_INHERIT_SCHED);
	EQ(pthread_attr_getschedpolicy(&a, &value), 0);
	EQ(value, SCHED_OTHER);
	EQ(pthread_attr_getschedparam(&a, &param), 0);
	EQ(param.sched_priority, 0);
	EQ(pthread_attr_getscope(&a, &value), 0);
	EQ(value, PTHREAD_SCOPE_SYSTEM);
	EQ(pthread_attr_getstacksize(&a, &bytes), 0);
	CHECK(bytes >= PTHREAD_STACK_MIN);
	EQ(pthread_attr_getguardsize(&a, &bytes), 0);
	CHECK(bytes > 0);
	EQ(pthread_attr_destroy(&a), 0);
}

static void refused(void)
{
	pthread_attr_t a;
	struct sched_param param = { .sched_priority = 100 };
	int value;

	pthread_attr_init(&a);
	EQ(pthread_attr_setdetachstate(&a, 7), EINVAL);
	EQ(pthread_attr_setinheritsched(&a, 7), EINVAL);
	EQ(pthread_attr_setschedpolicy(&a, 77), EINVAL);
	EQ(pthread_attr_setschedparam(&a, &param), EINVAL);
	EQ(pthread_attr_setscope(&a, 7), EINVAL);
	EQ(pthread_attr_setscope(&a, PTHREAD_SCOPE_PROCESS), ENOTSUP);
	EQ(pthread_attr_setstacksize(&a, 1), EINVAL);
	EQ(pthread_attr_setstacksize(&a, (size_t)1 << 40), EINVAL);
	EQ(pthread_attr_setguardsize(&a, 8192), 0);
	pthread_attr_destroy(&a);
	EQ(pthread_attr_getdetachstate(&a, &value), EINVAL);
	EQ(pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED), EINVAL);
	EQ(pthread_attr_destroy(&a), EINVAL);
}

static int seen_policy, seen_priority;

static void *look(void *arg)
{
	struct sched_param param;

	EQ(pthread_getschedparam(pthread_self(), &seen_policy, &param), 0);
	seen_priority = param.sched_priority;
	return arg;
}

static void run_with(const pthread_attr_t *a, int policy, int priority)
{
	pthread_t t;

	EQ(pthread_create(&t, a, look, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(seen_policy, policy);
	EQ(seen_priority, priority);
}

static void scheduling(void)
{
	pthread_attr_t a;
	struct sched_param param = { .sched_priority = 20 };
	pthread_t t;

	pthread_attr_init(&a);
	EQ(pthread_attr_setschedpolicy(&a, SCHED_FIFO), 0);
	EQ(pthread_attr_setschedparam(&a, &param), 0);
	run_with(&a, SCHED_OTHER, 0); /* inherited */
	EQ(pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED), 0);
	run_with(&a, SCHED_FIFO, 20);
	EQ(pthread_attr_setschedpolicy(&a, SCHED_RR), 0);
	run_with(&a, SCHED_RR, 20);
	EQ(pthread_setschedparam(pthread_self(), SCHED_RR, &param), 0);
	run_with(NULL, SCHED_RR, 20); /* inherited again */
	param.sched_priority = 0;
	EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param), 0);
	EQ(pthread_attr_setschedparam(&a, &param), 0);
	EQ(pthread_create(&t, &a, look, NULL), EINVAL); /* RR has no priority 0 */
}

static void *affinity_of_self(void *arg)
{
	cpu_set_t set;

	EQ(pthread_getaffinity_np(pthread_self(), sizeof(set), &set), 0);
	EQ(CPU_COUNT(&set), 1);
	EQ(CPU_ISSET(0, &set), 1);
	EQ(sched_getcpu(), 0);
	return arg;
}

static void affinity(void)
{
	pthread_attr_t a;
	cpu_set_t set, got;
	pthread_t t;

	pthread_attr_init(&a);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	EQ(pthread_attr_setaffinity_np(&a, sizeof(set), &set), 0);
	EQ(pthread_attr_getaffinity_np(&a, sizeof(got), &got), 0);
	CHECK(CPU_EQUAL(&set, &got));
	EQ(pthread_create(&t, &a, affinity_of_self, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	CPU_ZERO(&set);
	CPU_SET(1000, &set);
	EQ(pthread_attr_setaffinity_np(&a, sizeof(set), &set), 0);
	EQ(pthread_create(&t, &a, affinity_of_self, NULL), EINVAL);
	EQ(pthread_attr_getaffinity_np(&a, 1, &got), EINVAL);
}

int main(void)
{
	defaults();
	refused();
	scheduling();
	affinity();
	return test_end();
}
