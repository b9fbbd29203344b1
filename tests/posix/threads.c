/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads: creating, joining, detaching, ids, results, stacks, names, once, keys. */
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static sem_t go, done;

static void *give_back(void *arg)
{
	return arg;
}

static void *wait_to_go(void *arg)
{
	sem_wait(&go);
	sem_post(&done);
	return arg;
}

static void joining(void)
{
	pthread_t t, u;
	void *result;
	struct timespec until;

	EQ(pthread_create(&t, NULL, give_back, (void *)17), 0);
	EQ(pthread_join(t, &result), 0);
	EQ((intptr_t)result, 17);
	EQ(pthread_join(t, NULL), ESRCH);
	EQ(pthread_detach(t), ESRCH);
	EQ(pthread_join(pthread_self(), NULL), EDEADLK);
	EQ(pthread_create(&t, NULL, wait_to_go, (void *)18), 0);
	EQ(pthread_tryjoin_np(t, &result), EBUSY);
	until = in_ms(CLOCK_REALTIME, 20);
	EQ(pthread_timedjoin_np(t, &result, &until), ETIMEDOUT);
	EQ(pthread_clockjoin_np(t, &result, CLOCK_MONOTONIC, &bad_time), EINVAL);
	EQ(pthread_create(&u, NULL, give_back, NULL), 0);
	CHECK(!pthread_equal(t, u) && pthread_equal(t, t));
	EQ(pthread_join(u, NULL), 0);
	sem_post(&go);
	sem_wait(&done);
	EQ(pthread_join(t, &result), 0);
	EQ((intptr_t)result, 18);
}

static void *join_self(void *arg)
{
	*(int *)arg = pthread_join(pthread_self(), NULL);
	return NULL;
}

static void detaching(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int err = 0;

	EQ(pthread_create(&t, NULL, wait_to_go, NULL), 0);
	EQ(pthread_detach(t), 0);
	EQ(pthread_detach(t), EINVAL);
	EQ(pthread_join(t, NULL), EINVAL);
	sem_post(&go);
	sem_wait(&done);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
	EQ(pthread_create(&t, &attr, wait_to_go, NULL), 0);
	EQ(pthread_join(t, NULL), EINVAL);
	sem_post(&go);
	sem_wait(&done);
	EQ(pthread_attr_destroy(&attr), 0);
	EQ(pthread_create(&t, &attr, give_back, NULL), EINVAL);
	EQ(pthread_create(&t, NULL, join_self, &err), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(err, EDEADLK);
}

/* Ids are not used again, although records are. */
static void many(void)
{
	pthread_t first = 0, t;

	for (int i = 0; i < 500; i++) {
		EQ(pthread_create(&t, NULL, give_back, NULL), 0);
		CHECK(t != first);
		if (!i)
			first = t;
		EQ(pthread_join(t, NULL), 0);
	}
	EQ(pthread_join(first, NULL), ESRCH);
	EQ(pthread_cancel(first), ESRCH);
	EQ(pthread_kill(first, 0), ESRCH);
}

static void *where(void *arg)
{
	char here;

	*(char **)arg = &here;
	return pthread_self() ? arg : NULL;
}

static void stacks(void)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	pthread_attr_t attr;
	char *at = NULL;
	pthread_t t;

	pthread_attr_init(&attr);
	EQ(pthread_attr_setstack(&attr, stack, sizeof(stack)), 0);
	EQ(pthread_create(&t, &attr, where, &at), 0);
	EQ(pthread_join(t, NULL), 0);
	CHECK(at > stack && at < stack + sizeof(stack));
	EQ(pthread_attr_setstack(&attr, stack, PTHREAD_STACK_MIN - 16), EINVAL);
	/* Of whatever address and size. */
	EQ(pthread_attr_setstack(&attr, stack + 1, PTHREAD_STACK_MIN + 7), 0);
	EQ(pthread_create(&t, &attr, where, &at), 0);
	EQ(pthread_join(t, NULL), 0);
	CHECK(at > stack && at < stack + PTHREAD_STACK_MIN + 8);
	pthread_attr_init(&attr);
	EQ(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN - 1), EINVAL);
	EQ(pthread_attr_setstacksize(&attr, 512 * 1024), 0);
	EQ(pthread_create(&t, &attr, where, &at), 0);
	EQ(pthread_join(t, NULL), 0);
}

static void *size_of_stack(void *arg)
{
	pthread_attr_t attr;
	void *stack;

	EQ(pthread_getattr_np(pthread_self(), &attr), 0);
	EQ(pthread_attr_getstack(&attr, &stack, arg), 0);
	return NULL;
}

/* As large as was asked for. */
static void stack_size(void)
{
	pthread_attr_t attr;
	size_t bytes = 0;
	pthread_t t;

	pthread_attr_init(&attr);
	EQ(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN), 0);
	EQ(pthread_create(&t, &attr, size_of_stack, &bytes), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(bytes, PTHREAD_STACK_MIN);
}

static void *attributes_of_self(void *arg)
{
	pthread_attr_t attr;
	void *stack;
	size_t bytes;
	int value;
	char here;

	(void)arg;
	EQ(pthread_getattr_np(pthread_self(), &attr), 0);
	EQ(pthread_attr_getstack(&attr, &stack, &bytes), 0);
	CHECK((char *)stack < &here && &here < (char *)stack + bytes);
	CHECK(bytes >= 48 * 1024);
	EQ(pthread_attr_getdetachstate(&attr, &value), 0);
	EQ(value, PTHREAD_CREATE_JOINABLE);
	return NULL;
}

static void names(void)
{
	char name[16] = "";
	pthread_t t;

	EQ(pthread_create(&t, NULL, attributes_of_self, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_setname_np(pthread_self(), "a fifteen bytes"), 0);
	EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	EQ(strcmp(name, "a fifteen bytes"), 0);
	EQ(pthread_setname_np(pthread_self(), "sixteen bytes ..."), ERANGE);
	EQ(pthread_getname_np(pthread_self(), name, 4), ERANGE);
	EQ(pthread_setname_np(t, "gone"), ESRCH);
	CHECK(gettid() > 0 && gettid() == getpid());
	EQ(pthread_setconcurrency(3), 0);
	EQ(pthread_getconcurrency(), 3);
	EQ(pthread_setconcurrency(-1), EINVAL);
	EQ(pthread_atfork(NULL, NULL, NULL), 0);
}

/* ---- once ------------------------------------------------------------------------------------ */

static pthread_once_t once = PTHREAD_ONCE_INIT, cancelled_once = PTHREAD_ONCE_INIT;
static int once_calls;

static void count_once(void)
{
	sleep_ms(5);
	once_calls++;
}

static void *call_once_here(void *arg)
{
	EQ(pthread_once(&once, count_once), 0);
	EQ(once_calls, 1);
	return arg;
}

static void wait_in_once(void)
{
	sem_post(&done);
	sem_wait(&go);
}

static void *call_cancelled_once(void *arg)
{
	pthread_once(&cancelled_once, wait_in_once);
	return arg;
}

static void once_only(void)
{
	pthread_t t[4];
	void *result;

	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, call_once_here, NULL), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(pthread_create(&t[0], NULL, call_cancelled_once, NULL), 0);
	sem_wait(&done);
	EQ(pthread_cancel(t[0]), 0);
	EQ(pthread_join(t[0], &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(pthread_once(&cancelled_once, count_once), 0); /* as if it had never been called */
	EQ(once_calls, 2);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static pthread_key_t key, again_key;
static int destroyed, again_left;

static void count_destroyed(void *value)
{
	EQ((intptr_t)value, 5);
	EQ(pthread_getspecific(key) == NULL, 1);
	destroyed++;
}

static void set_again(void *value)
{
	again_left--;
	pthread_setspecific(again_key, value);
}

static void *use_keys(void *arg)
{
	EQ(pthread_getspecific(key) == NULL, 1);
	EQ(pthread_setspecific(key, (void *)5), 0);
	EQ((intptr_t)pthread_getspecific(key), 5);
	EQ(pthread_setspecific(again_key, (void *)6), 0);
	pthread_exit(arg);
}

static __thread int per_thread = 3;

static void *own_variable(void *arg)
{
	EQ(per_thread, 3);
	per_thread = 4;
	return arg;
}

static void keys(void)
{
	pthread_key_t all[PTHREAD_KEYS_MAX + 1];
	pthread_t t;
	int n = 0;

	EQ(pthread_key_create(&key, count_destroyed), 0);
	EQ(pthread_key_create(&again_key, set_again), 0);
	again_left = 100;
	EQ(pthread_create(&t, NULL, use_keys, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(destroyed, 1);
	EQ(again_left, 100 - PTHREAD_DESTRUCTOR_ITERATIONS);
	EQ(pthread_key_delete(again_key), 0);
	EQ(pthread_key_delete(again_key), EINVAL);
	EQ(pthread_setspecific(again_key, &t), EINVAL);
	EQ(pthread_setspecific(key, (void *)1), 0);
	EQ(pthread_key_delete(key), 0);
	while (n <= PTHREAD_KEYS_MAX && !pthread_key_create(&all[n], NULL))
		n++;
	EQ(n, PTHREAD_KEYS_MAX);
	EQ(pthread_key_create(&all[n], NULL), EAGAIN);
	CHECK(pthread_getspecific(all[0]) == NULL); /* not the value of the key that was deleted */
	while (n--)
		EQ(pthread_key_delete(all[n]), 0);
	EQ(pthread_key_delete(100000), EINVAL);
	EQ(pthread_create(&t, NULL, own_variable, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(per_thread, 3);
}

int main(void)
{
	sem_init(&go, 0, 0);
	sem_init(&done, 0, 0);
	joining();
	detaching();
	many();
	stacks();
	stack_size();
	names();
	once_only();
	keys();
	return test_end();
}
