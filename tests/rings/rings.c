/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy whose decisions a thread makes, in numbers; the first of those that are built in.
 *
 *   gap=N         N yields of 8 threads on one CPU: what lies between the return of one thread's yield
 *                 and the one before, where the verdict was there already; in cycles. Under EEVDF, too
 *   bound=N       N verdicts about threads that compute, sleep and block on each other, while a
 *                 real-time thread keeps everybody from a CPU now and then: how old a decision gets
 *   busy=N        8 threads that compute for N seconds; how much each of them did
 *   throughput=N  N messages from 4 senders to 4 receivers, under EEVDF and under the policy
 *
 * `make run APP=tests/rings POLICY=thread BOOT="policy=none" ARGS="gap=10000"`
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "sched/ext/ext.h"
#include "sched/ext/thread_sched.h"
#include "sched/sched.h"

#define CROWD 8

static struct thread *threads[CROWD];
static uint32_t stop; /* [a] */

static bool stopped(void)
{
	return atomic_load_relaxed(&stop);
}

static int start_all(void *(*fn)(void *), unsigned n)
{
	int err = 0;

	atomic_store_relaxed(&stop, 0u);
	for (uintptr_t i = 0; i < n && !err; i++) {
		struct thread_attr attr = { .name = "crowd" };

		err = thread_create(&threads[i], &attr, fn, (void *)i);
	}
	return err;
}

static void join_all(unsigned n)
{
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++)
		thread_join(threads[i], NULL);
}

/* ---- gap ------------------------------------------------------------------------------------- */

#define GAPS_MAX 100000u
static uint32_t gaps[GAPS_MAX];
static unsigned nr_gaps, gaps_wanted;
static uint64_t stopped_at, activations;

static uint64_t activations_now(void)
{
	struct thread_sched_counters c;

	thread_sched_counters(&c);
	return c.activations;
}

/* One CPU: who returns from its yield is the next of whoever wrote stopped_at. */
static void *yielder(void *unused)
{
	(void)unused;
	while (!stopped()) {
		uint64_t now, woken;

		sched_yield_current();
		now = arch_cycles();
		woken = activations_now();
		if (stopped_at && woken == activations && nr_gaps < gaps_wanted)
			gaps[nr_gaps++] = (uint32_t)(now - stopped_at);
		activations = woken;
		stopped_at = arch_cycles();
	}
	stopped_at = 0;
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* With @ops, or under EEVDF. */
static int gap(struct sched_ext_ops *ops, unsigned n)
{
	uint64_t sum = 0;

	nr_gaps = 0;
	gaps_wanted = MIN(n, GAPS_MAX);
	if (start_all(yielder, CROWD))
		return 1;
	while (nr_gaps < gaps_wanted)
		thread_sleep_until(time_now_ns() + 50 * NSEC_PER_MSEC);
	join_all(CROWD);
	qsort(gaps, nr_gaps, sizeof(*gaps), by_size);
	for (unsigned i = 0; i < nr_gaps; i++)
		sum += gaps[i];
	printf("gap: under %s, %u times: min %u avg %u p99 %u max %u cycles\n",
	       ops ? ops->name : "EEVDF", nr_gaps, (unsigned)gaps[0], (unsigned)(sum / nr_gaps),
	       (unsigned)gaps[nr_gaps * 99ull / 100], (unsigned)gaps[nr_gaps - 1]);
	return 0;
}

/* ---- bound ----------------------------------------------------------------------------------- */

static struct semaphore ball[2];

static void compute(unsigned n)
{
	for (volatile unsigned i = 0; i < n; i++)
		;
}

static void *worker(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	while (!stopped()) {
		compute(100 + 37 * me);
		if (me < 4)
			sched_yield_current();
		else if (me < 6)
			thread_sleep_until(time_now_ns() + 20 * NSEC_PER_USEC);
		else if (!semaphore_wait_until(&ball[me - 6], time_now_ns() + NSEC_PER_MSEC))
			semaphore_post(&ball[7 - me]);
	}
	return NULL;
}

/* Longer than the bound: the scheduling thread cannot decide in time, if this is its CPU. */
static void *noise(void *unused)
{
	while (!stopped()) {
		uint64_t until_ns = time_now_ns() + 3 * NSEC_PER_MSEC;

		while (time_now_ns() < until_ns)
			;
		thread_sleep_until(until_ns + 20 * NSEC_PER_MSEC);
	}
	return unused;
}

static int bound(uint64_t n)
{
	struct thread_attr attr = { .name = "noise", .policy = SCHED_FIFO, .priority = 40 };
	struct thread_sched_counters c;
	struct thread *t;

	semaphore_init(&ball[0], 1);
	semaphore_init(&ball[1], 0);
	if (start_all(worker, CROWD) || thread_create(&t, &attr, noise, NULL))
		return 1;
	do {
		thread_sleep_until(time_now_ns() + 20 * NSEC_PER_MSEC);
		thread_sched_counters(&c);
	} while (c.verdicts < n && !ext.exit_kind && ext.ops);
	join_all(CROWD);
	thread_join(t, NULL);
	thread_sched_report();
	printf("bound: %llu verdicts, %llu promoted, %llu late, oldest %llu ns\n",
	       (unsigned long long)c.verdicts, (unsigned long long)c.promoted,
	       (unsigned long long)c.late, (unsigned long long)c.age_max_ns);
	return c.verdicts < n || c.late;
}

/* ---- busy ------------------------------------------------------------------------------------ */

static uint64_t done[CROWD];

static void *computes(void *arg)
{
	while (!stopped()) {
		compute(1000);
		done[(uintptr_t)arg]++;
	}
	return NULL;
}

static int busy(unsigned seconds)
{
	struct thread_sched_counters c;
	uint64_t least = UINT64_MAX, most = 0, until_ns;

	if (start_all(computes, CROWD))
		return 1;
	until_ns = time_now_ns() + seconds * NSEC_PER_SEC;
	while (time_now_ns() < until_ns && ext.ops)
		thread_sleep_until(time_now_ns() + 50 * NSEC_PER_MSEC);
	for (unsigned i = 0; i < CROWD; i++) {
		least = MIN(least, done[i]);
		most = MAX(most, done[i]);
	}
	join_all(CROWD);
	thread_sched_counters(&c);
	printf("busy: %llu verdicts, %llu promoted, %llu late, oldest %llu us, least %llu most %llu\n",
	       (unsigned long long)c.verdicts, (unsigned long long)c.promoted,
	       (unsigned long long)c.late, (unsigned long long)(c.age_max_ns / 1000),
	       (unsigned long long)least, (unsigned long long)most);
	return 0;
}

/* ---- throughput ------------------------------------------------------------------------------ */

#define PIPES 4
#define DEPTH 16
static struct pipe {
	struct semaphore room, there;
	uint32_t at[DEPTH], in, out;
	uint64_t sum;
} pipes[PIPES];
static unsigned messages;

static void *messenger(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct pipe *p = &pipes[me % PIPES];

	for (unsigned i = 0; i < messages / PIPES; i++) {
		if (me < PIPES) {
			semaphore_wait(&p->room);
			p->at[p->in++ % DEPTH] = i;
			semaphore_post(&p->there);
		} else {
			semaphore_wait(&p->there);
			p->sum += p->at[p->out++ % DEPTH];
			semaphore_post(&p->room);
		}
	}
	return NULL;
}

static uint64_t send_all(void)
{
	uint64_t begin_ns;

	memset(pipes, 0, sizeof(pipes));
	for (unsigned i = 0; i < PIPES; i++) {
		semaphore_init(&pipes[i].room, DEPTH);
		semaphore_init(&pipes[i].there, 0);
	}
	begin_ns = time_now_ns();
	if (start_all(messenger, 2 * PIPES))
		return 0;
	join_all(2 * PIPES);
	for (unsigned i = 0; i < PIPES; i++) {
		uint64_t n = messages / PIPES;

		if (pipes[i].sum != n * (n - 1) / 2)
			return 0;
	}
	return time_now_ns() - begin_ns;
}

static int throughput(struct sched_ext_ops *ops, unsigned n)
{
	uint64_t eevdf_ns, policy_ns;

	messages = n;
	eevdf_ns = send_all();
	if (ext_load(ops))
		return 1;
	policy_ns = send_all();
	if (!eevdf_ns || !policy_ns)
		return printf("throughput: messages were lost\n"), 1;
	printf("throughput: %llu messages/s under EEVDF, %llu under %s\n",
	       (unsigned long long)(n * NSEC_PER_SEC / eevdf_ns),
	       (unsigned long long)(n * NSEC_PER_SEC / policy_ns), ops->name);
	return 0;
}

static int command(struct sched_ext_ops *ops, const char *word)
{
	const char *value = strchr(word, '=');
	unsigned n = value ? (unsigned)strtoul(value + 1, NULL, 10) : 0;
	int err;

	if (!n)
		return printf("%s: gap=N, bound=N, busy=N or throughput=N expected\n", word), 2;
	if (!strncmp(word, "throughput=", 11)) {
		err = throughput(ops, n);
	} else {
		if (!strncmp(word, "gap=", 4) && gap(NULL, n))
			return 1;
		err = ext_load(ops);
		if (!err && !strncmp(word, "gap=", 4))
			err = gap(ops, n);
		else if (!err && !strncmp(word, "busy=", 5))
			err = busy(n);
		else if (!err)
			err = bound(n);
	}
	if (ext_unload() && !err)
		err = 1;
	if (!err && ext.info.kind != SCX_EXIT_UNREG)
		err = printf("ended with kind %d\n", (int)ext.info.kind);
	return err;
}

int main(int argc, char **argv)
{
	int err = sched_set_policy(thread_current(), SCHED_FIFO, 50, 0);

	if (!ext_policy_at(0))
		return printf("no policy is built in: POLICY=thread\n"), 2;
	for (int i = 1; i < argc && !err; i++)
		err = command(ext_policy_at(0), argv[i]);
	return err;
}
