/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Misuse of threads, their attributes, keys, cancellation and scheduling. Each attribute that is
 * out of range is named in the log (test_misuse.py looks).
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <threads.h>
#include <unistd.h>

#include "misuse.h"

#define MANY 1000

static pthread_t gone; /* of a thread that has been joined */

static void *nothing(void *arg)
{
	return arg;
}

static void *until_cancelled(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int nothing_c11(void *arg)
{
	(void)arg;
	return 0;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void attribute_values(void)
{
	struct sched_param param = { .sched_priority = 100 };
	static char stack[PTHREAD_STACK_MIN];
	pthread_attr_t a;

	pthread_attr_init(&a);
	guard(&a, sizeof(a));
	ROW(pthread_attr_setdetachstate, (&a, 7), EINVAL);
	ROW(pthread_attr_setinheritsched, (&a, 7), EINVAL);
	ROW(pthread_attr_setscope, (&a, 7), EINVAL);
	ROW(pthread_attr_setscope, (&a, PTHREAD_SCOPE_PROCESS), ENOTSUP);
	ROW(pthread_attr_setschedpolicy, (&a, 77), EINVAL);
	ROW(pthread_attr_setschedparam, (&a, &param), EINVAL);
	param.sched_priority = -1;
	ROW(pthread_attr_setschedparam, (&a, &param), EINVAL);
	ROW(pthread_attr_setstacksize, (&a, 1), EINVAL);
	ROW(pthread_attr_setstacksize, (&a, SIZE_MAX), EINVAL);
	ROW(pthread_attr_setstack, (&a, stack, 1), EINVAL);
	ROW(pthread_attr_setstack, (&a, NULL, sizeof(stack)), EINVAL);
	ROW(pthread_attr_setguardsize, (&a, SIZE_MAX), EINVAL);
	guard(NULL, 0);
	pthread_attr_destroy(&a);
}

/* What has been destroyed is refused by each, and no result is written. */
static void attributes_destroyed(void)
{
	struct sched_param param = { 0 };
	pthread_attr_t a;
	size_t bytes;
	int value;
	void *stack;
	cpu_set_t set;
	pthread_t t = 77;

	pthread_attr_init(&a);
	pthread_attr_destroy(&a);
	guard(&a, sizeof(a));
	ROW(pthread_attr_destroy, (&a), EINVAL);
	ROW(pthread_attr_setdetachstate, (&a, PTHREAD_CREATE_DETACHED), EINVAL);
	ROW(pthread_attr_setinheritsched, (&a, PTHREAD_EXPLICIT_SCHED), EINVAL);
	ROW(pthread_attr_setscope, (&a, PTHREAD_SCOPE_SYSTEM), EINVAL);
	ROW(pthread_attr_setschedpolicy, (&a, SCHED_FIFO), EINVAL);
	ROW(pthread_attr_setschedparam, (&a, &param), EINVAL);
	ROW(pthread_attr_setstacksize, (&a, 65536), EINVAL);
	ROW(pthread_attr_setstack, (&a, &a, 65536), EINVAL);
	ROW(pthread_attr_setstackaddr, (&a, &a), EINVAL);
	ROW(pthread_attr_setguardsize, (&a, 4096), EINVAL);
	ROW(pthread_attr_setaffinity_np, (&a, sizeof(set), &set), EINVAL);
	guard(&value, sizeof(value));
	ROW(pthread_attr_getdetachstate, (&a, &value), EINVAL);
	ROW(pthread_attr_getinheritsched, (&a, &value), EINVAL);
	ROW(pthread_attr_getscope, (&a, &value), EINVAL);
	ROW(pthread_attr_getschedpolicy, (&a, &value), EINVAL);
	guard(&param, sizeof(param));
	ROW(pthread_attr_getschedparam, (&a, &param), EINVAL);
	guard(&bytes, sizeof(bytes));
	ROW(pthread_attr_getstacksize, (&a, &bytes), EINVAL);
	ROW(pthread_attr_getguardsize, (&a, &bytes), EINVAL);
	ROW(pthread_attr_getstack, (&a, &stack, &bytes), EINVAL);
	guard(&stack, sizeof(stack));
	ROW(pthread_attr_getstackaddr, (&a, &stack), EINVAL);
	guard(&set, sizeof(set));
	ROW(pthread_attr_getaffinity_np, (&a, sizeof(set), &set), EINVAL);
	guard(&t, sizeof(t));
	ROW(pthread_create, (&t, &a, nothing, NULL), EINVAL);
	pthread_attr_init(&a);
	guard(&set, sizeof(set));
	ROW(pthread_attr_getaffinity_np, (&a, 1, &set), EINVAL);
	guard(NULL, 0);
}

/* What goes together is seen when the thread is made; nothing of it is left. */
static void create_refused(void)
{
	struct sched_param param = { 0 };
	pthread_attr_t a;
	pthread_t t = 77;
	cpu_set_t set;

	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&a, SCHED_FIFO);
	guard(&t, sizeof(t));
	ROW(pthread_create, (&t, &a, nothing, NULL), EINVAL); /* FIFO has no priority 0 */
	pthread_attr_setschedpolicy(&a, SCHED_OTHER);
	param.sched_priority = 1;
	pthread_attr_setschedparam(&a, &param);
	ROW(pthread_create, (&t, &a, nothing, NULL), EINVAL);
	param.sched_priority = 0;
	pthread_attr_setschedparam(&a, &param);
	CPU_ZERO(&set);
	CPU_SET(1000, &set);
	pthread_attr_setaffinity_np(&a, sizeof(set), &set);
	ROW(pthread_create, (&t, &a, nothing, NULL), EINVAL);
	guard(NULL, 0);
	pthread_attr_destroy(&a);
}

/* ---- the life of a thread -------------------------------------------------------------------- */

static void life(void)
{
	struct timespec past = { 0, 0 }, soon = in_ms(CLOCK_REALTIME, 10);
	pthread_attr_t a;
	pthread_t self = pthread_self(), t, detached;
	void *result = &a;
	char name[16];
	clockid_t clock_id = 77;
	int id = 77;

	guard(&result, sizeof(result));
	ROW(pthread_join, (self, &result), EDEADLK);
	ROW(pthread_join, (gone, &result), ESRCH);
	ROW(pthread_tryjoin_np, (gone, &result), ESRCH);
	ROW(pthread_tryjoin_np, (self, &result), EDEADLK);
	pthread_create(&t, NULL, until_cancelled, NULL);
	ROW(pthread_tryjoin_np, (t, &result), EBUSY);
	ROW(pthread_timedjoin_np, (t, &result, &past), ETIMEDOUT);
	ROW(pthread_timedjoin_np, (t, &result, &soon), ETIMEDOUT);
	ROW(pthread_timedjoin_np, (t, &result, &bad_time), EINVAL);
	ROW(pthread_clockjoin_np, (t, &result, 77, &past), EINVAL);
	ROW(pthread_clockjoin_np, (t, &result, CLOCK_MONOTONIC, &bad_time), EINVAL);
	guard(NULL, 0);
	ROW(thrd_join, (gone, &id), thrd_error);
	ROW(thrd_detach, (gone), thrd_error);
	EQ(id, 77);
	ROW(pthread_detach, (gone), ESRCH);
	ROW(pthread_cancel, (gone), ESRCH);
	ROW(pthread_getattr_np, (gone, &a), ESRCH);
	ROW(pthread_setname_np, (gone, "x"), ESRCH);
	ROW(pthread_setname_np, (self, "sixteen letters "), ERANGE);
	pthread_setname_np(self, "short");
	guard(name, sizeof(name));
	ROW(pthread_getname_np, (self, name, 2), ERANGE);
	ROW(pthread_getname_np, (gone, name, sizeof(name)), ESRCH);
	guard(&clock_id, sizeof(clock_id));
	ROW(pthread_getcpuclockid, (gone, &clock_id), ESRCH);
	ROW(clock_getcpuclockid, (77, &clock_id), ESRCH);
	guard(NULL, 0);
	pthread_create(&detached, NULL, until_cancelled, NULL);
	pthread_detach(detached);
	ROW(pthread_detach, (detached), EINVAL);
	ROW(pthread_join, (detached, NULL), EINVAL);
	ROW(pthread_timedjoin_np, (detached, NULL, &soon), EINVAL);
	pthread_cancel(detached);
	pthread_cancel(t);
	EQ(pthread_join(t, &result), 0); /* all that was refused left it joinable */
	CHECK(result == PTHREAD_CANCELED);
	ROW(pthread_setconcurrency, (-1), EINVAL);
	EQ(pthread_getconcurrency(), 0);
	ROW(pthread_setcancelstate, (7, &id), EINVAL);
	ROW(pthread_setcanceltype, (7, &id), EINVAL);
	EQ(id, 77);
}

struct block {
	struct block *next;
};

/* All memory but a little; the blocks are to be freed. */
static struct block *eat_memory(void)
{
	struct block *all = NULL;

	for (size_t bytes = 64 << 20; bytes >= 64 << 10; bytes /= 2)
		for (struct block *b; (b = malloc(bytes)); all = b)
			b->next = all;
	return all;
}

/* More than there is memory for; what could not be made has left nothing behind. */
static void no_more_threads(void)
{
	static pthread_t all[MANY];
	struct block *eaten = eat_memory(), *next;
	int n = 0, err = 0;

	while (n < MANY && !(err = pthread_create(&all[n], NULL, until_cancelled, NULL)))
		n++;
	EQ(err, EAGAIN);
	ROW(pthread_create, (&all[0] + n, NULL, nothing, NULL), EAGAIN);
	ROW(thrd_create, (&all[0] + n, nothing_c11, NULL), thrd_nomem);
	for (int i = 0; i < n; i++)
		pthread_cancel(all[i]);
	for (int i = 0; i < n; i++)
		pthread_join(all[i], NULL);
	for (; eaten; eaten = next) {
		next = eaten->next;
		free(eaten);
	}
	EQ(pthread_create(&all[0], NULL, nothing, NULL), 0);
	EQ(pthread_join(all[0], NULL), 0);
	printf("%d threads in what was left\n", n);
}

/* ---- keys and once --------------------------------------------------------------------------- */

static void keys(void)
{
	pthread_key_t all[PTHREAD_KEYS_MAX], one = 7777;
	pthread_once_t once = 77;
	int n = 0;

	while (n < PTHREAD_KEYS_MAX && !pthread_key_create(&all[n], NULL))
		n++;
	CHECK(n > 0);
	guard(&one, sizeof(one));
	ROW(pthread_key_create, (&one, NULL), EAGAIN);
	ROW(tss_create, (&one, NULL), thrd_error);
	while (n)
		pthread_key_delete(all[--n]);
	guard(&once, sizeof(once));
	ROW(pthread_key_delete, (all[0]), EINVAL);
	ROW(pthread_key_delete, (PTHREAD_KEYS_MAX), EINVAL);
	ROW(pthread_setspecific, (all[0], &n), EINVAL);
	ROW(pthread_setspecific, (PTHREAD_KEYS_MAX, &n), EINVAL);
	ROW_VALUE(pthread_getspecific, (all[0]), 0, 0);
	ROW_VALUE(pthread_getspecific, (PTHREAD_KEYS_MAX), 0, 0);
	ROW(tss_set, (PTHREAD_KEYS_MAX, &n), thrd_error);
	ROW_VALUE(tss_get, (PTHREAD_KEYS_MAX), 0, 0);
	ROW(pthread_once, (&once, NULL), EINVAL);
	guard(NULL, 0);
}

/* ---- scheduling ------------------------------------------------------------------------------ */

/* Nothing of a change that is refused is taken over. */
static void still_fair(int nice)
{
	struct sched_param param;
	struct sched_attr attr;
	int policy;

	EQ(pthread_getschedparam(pthread_self(), &policy, &param), 0);
	EQ(policy, SCHED_OTHER);
	EQ(param.sched_priority, 0);
	EQ(sched_getattr(0, &attr, sizeof(attr), 0), 0);
	EQ(attr.sched_nice, nice);
}

static void scheduling(void)
{
	struct sched_param param = { .sched_priority = 100 };
	struct sched_attr attr = { .size = sizeof(attr),
				   .sched_policy = SCHED_OTHER,
				   .sched_nice = 5 };
	pthread_t self = pthread_self();
	int policy = 77;

	EQ(sched_setattr(0, &attr, 0), 0);
	ROW(pthread_setschedparam, (self, SCHED_FIFO, &param), EINVAL);
	ROW(pthread_setschedparam, (self, 77, &param), EINVAL);
	ROW(pthread_setschedparam, (gone, SCHED_FIFO, &param), ESRCH);
	ROW(pthread_setschedprio, (self, 1), EINVAL);
	ROW(pthread_setschedprio, (gone, 1), ESRCH);
	ROW_ERRNO(sched_setscheduler, (0, SCHED_FIFO, &param), EINVAL);
	ROW_ERRNO(sched_setscheduler, (0, 77, &param), EINVAL);
	ROW_ERRNO(sched_setscheduler, (-1, SCHED_FIFO, &param), EINVAL);
	ROW_ERRNO(sched_setscheduler, (99999, SCHED_FIFO, &param), ESRCH);
	ROW_ERRNO(sched_setscheduler, (0, SCHED_FIFO, NULL), EINVAL);
	ROW_ERRNO(sched_setparam, (0, &param), EINVAL);
	ROW_ERRNO(sched_setparam, (0, NULL), EINVAL);
	ROW_ERRNO(sched_setparam, (99999, &param), ESRCH);
	ROW_ERRNO(sched_setparam, (-1, &param), EINVAL);
	still_fair(5);
	guard(&param, sizeof(param));
	ROW_ERRNO(sched_getparam, (99999, &param), ESRCH);
	ROW_ERRNO(sched_getparam, (-1, &param), EINVAL);
	ROW_ERRNO(sched_getparam, (0, NULL), EINVAL);
	ROW(pthread_getschedparam, (gone, &policy, &param), ESRCH);
	EQ(policy, 77);
	guard(NULL, 0);
	ROW_ERRNO(sched_getscheduler, (99999), ESRCH);
	ROW_ERRNO(sched_getscheduler, (-1), EINVAL);
	ROW_ERRNO(sched_get_priority_max, (77), EINVAL);
	ROW_ERRNO(sched_get_priority_min, (77), EINVAL);
}

static void linux_scheduling(void)
{
	struct sched_attr attr = { .size = sizeof(attr),
				   .sched_policy = SCHED_OTHER,
				   .sched_nice = 20 };
	struct timespec interval = { 77, 77 };

	guard(&attr, sizeof(attr));
	ROW_ERRNO(sched_setattr, (0, &attr, 0), EINVAL);
	ROW_ERRNO(sched_setattr, (0, &attr, 1), EINVAL);
	ROW_ERRNO(sched_setattr, (-1, &attr, 0), EINVAL);
	ROW_ERRNO(sched_setattr, (0, NULL, 0), EINVAL);
	guard(NULL, 0);
	attr.sched_nice = 0;
	ROW_ERRNO(sched_setattr, (99999, &attr, 0), ESRCH);
	attr.sched_runtime = 1;
	ROW_ERRNO(sched_setattr, (0, &attr, 0), EINVAL);
	attr.sched_runtime = 0;
	attr.sched_flags = 1ull << 40;
	ROW_ERRNO(sched_setattr, (0, &attr, 0), EINVAL);
	attr.sched_flags = 0;
	attr.size = 7;
	ROW_ERRNO(sched_setattr, (0, &attr, 0), E2BIG);
	EQ(attr.size, sizeof(attr)); /* as Linux says it */
	attr = (struct sched_attr){ .size = sizeof(attr),
				    .sched_policy = SCHED_DEADLINE,
				    .sched_runtime = 2000000,
				    .sched_deadline = 1000000,
				    .sched_period = 1000000 };
	ROW_ERRNO(sched_setattr, (0, &attr, 0), EINVAL);
	still_fair(5);
	guard(&attr, sizeof(attr));
	ROW_ERRNO(sched_getattr, (0, &attr, 7, 0), EINVAL);
	ROW_ERRNO(sched_getattr, (0, &attr, sizeof(attr), 1), EINVAL);
	ROW_ERRNO(sched_getattr, (0, NULL, sizeof(attr), 0), EINVAL);
	ROW_ERRNO(sched_getattr, (99999, &attr, sizeof(attr), 0), ESRCH);
	guard(&interval, sizeof(interval));
	ROW_ERRNO(sched_rr_get_interval, (99999, &interval), ESRCH);
	ROW_ERRNO(sched_rr_get_interval, (-1, &interval), EINVAL);
	guard(NULL, 0);
}

static void affinity(void)
{
	cpu_set_t none, was, is;

	CPU_ZERO(&none);
	EQ(pthread_getaffinity_np(pthread_self(), sizeof(was), &was), 0);
	ROW(pthread_setaffinity_np, (pthread_self(), sizeof(none), &none), EINVAL);
	ROW(pthread_setaffinity_np, (gone, sizeof(was), &was), ESRCH);
	ROW_ERRNO(sched_setaffinity, (0, sizeof(none), &none), EINVAL);
	ROW_ERRNO(sched_setaffinity, (99999, sizeof(was), &was), ESRCH);
	EQ(pthread_getaffinity_np(pthread_self(), sizeof(is), &is), 0);
	CHECK(CPU_EQUAL(&is, &was));
	guard(&none, sizeof(none));
	ROW(pthread_getaffinity_np, (pthread_self(), 1, &none), EINVAL);
	ROW(pthread_getaffinity_np, (gone, sizeof(none), &none), ESRCH);
	ROW_ERRNO(sched_getaffinity, (0, 1, &none), EINVAL);
	ROW_ERRNO(sched_getaffinity, (99999, sizeof(none), &none), ESRCH);
	guard(NULL, 0);
}

int main(void)
{
	pthread_create(&gone, NULL, nothing, NULL);
	pthread_join(gone, NULL);
	attribute_values();
	attributes_destroyed();
	create_refused();
	life();
	no_more_threads();
	keys();
	scheduling();
	linux_scheduling();
	affinity();
	return test_end();
}
