/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every policy that is built in, one after the other, beside threads of all classes: how it ends,
 * whether everybody goes on, and what a FIFO and a deadline thread see of it.
 *
 * `make run APP=tests/crimes POLICY=tests/policies/bad_callbacks.bpf.c,... BOOT="policy=none" ICOUNT=1`;
 * a number: rounds for each (1). For each policy one line,
 *
 *   crime bad_loop: ended 1024 enqueue() used up its 10 us
 *   crime bad_init: refused -12
 *   crime bad_kicks: lives
 *
 * and one with the largest wake-up latencies, in ns: without it, from before it is loaded until it
 * is gone, afterwards; and the longest time from its fault until a thread runs under EEVDF.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cpu.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"
#include "sched/deadline.h"
#include "sched/ext/ext.h"
#include "sched/sched.h"

#define BUSY      4
#define SLEEPERS  2
#define THREADS   (BUSY + SLEEPERS)
#define SAMPLERS  2 /* FIFO, deadline */
#define PERIOD_NS (200 * NSEC_PER_USEC)
#define PHASE_NS  (5 * NSEC_PER_MSEC)
/* Longer than the time-out of one that forgets, and, in real time, than a budget. */
#define LIVES_NS (150 * NSEC_PER_MSEC + 2 * ext_budget_us * NSEC_PER_USEC)

static uint64_t progress[THREADS];    /* [a] */
static uint64_t latency_ns[SAMPLERS]; /* [a] the largest since it was set to 0 */
static uint64_t fair_ns;              /* [a] first look under EEVDF of a thread; 0: none yet */
static uint64_t armed_ns;             /* [a] since when fair_ns is to be noted; 0: it is not */

static void went_on(unsigned i)
{
	atomic_store_relaxed(&progress[i], atomic_load_relaxed(&progress[i]) + 1);
}

static void note_fair(void)
{
	uint64_t none = 0, since_ns = atomic_load_relaxed(&armed_ns);

	if (since_ns && atomic_load_relaxed(&ext.exit_ns) > since_ns &&
	    thread_current()->sched.rank == RANK_FAIR && !atomic_load_relaxed(&fair_ns))
		atomic_cas_acq_rel(&fair_ns, &none, time_now_ns());
}

static void *busy(void *arg)
{
	for (;;) {
		for (volatile unsigned i = 0; i < 200; i++)
			note_fair();
		went_on((unsigned)(uintptr_t)arg);
	}
	return NULL;
}

static void *sleeper(void *arg)
{
	for (;;) {
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
		went_on((unsigned)(uintptr_t)arg);
	}
	return NULL;
}

static void *sampler(void *arg)
{
	uint64_t *largest = &latency_ns[(uintptr_t)arg], at_ns, late_ns;
	const struct sched_attr deadline = { .size = sizeof(deadline),
					     .sched_policy = SCHED_DEADLINE,
					     .sched_runtime = PERIOD_NS / 4,
					     .sched_deadline = PERIOD_NS,
					     .sched_period = PERIOD_NS };

	if (arg && (sched_deadline_use() || sched_set_attr(thread_current(), &deadline)))
		printf("the deadline thread is refused\n");
	/* not at the same time: the two would wait for each other */
	at_ns = time_now_ns() + (arg ? PERIOD_NS / 2 : 0);
	for (;;) {
		/* each time at another place of what the others do */
		do
			at_ns += PERIOD_NS + 7 * NSEC_PER_USEC;
		while (at_ns <= time_now_ns());
		thread_sleep_until(at_ns);
		late_ns = time_now_ns() - at_ns;
		if (late_ns > atomic_load_relaxed(largest))
			atomic_store_relaxed(largest, late_ns);
	}
	return NULL;
}

static int start_all(void)
{
	struct cpumask first = { .bits = { 1 } };
	int err = 0;

	for (uintptr_t i = 0; i < THREADS && !err; i++) {
		struct thread_attr attr = { .name = i < BUSY ? "busy" : "sleeper",
					    .affinity = i == 1 ? &first : NULL };

		err = thread_create(NULL, &attr, i < BUSY ? busy : sleeper, (void *)i);
	}
	for (uintptr_t i = 0; i < SAMPLERS && !err; i++) {
		struct thread_attr attr = { .name = i ? "deadline" : "fifo",
					    .policy = SCHED_FIFO,
					    .priority = 98 };

		err = thread_create(NULL, &attr, sampler, (void *)i);
	}
	return err;
}

/* Everybody did something since; the one that did not within two seconds is named. */
static int all_go_on(const char *after)
{
	uint64_t before[THREADS], end_ns = time_now_ns() + 2 * NSEC_PER_SEC;

	for (unsigned i = 0; i < THREADS; i++)
		before[i] = atomic_load_relaxed(&progress[i]);
	for (unsigned i = 0; i < THREADS; i++)
		while (atomic_load_relaxed(&progress[i]) == before[i]) {
			if (time_now_ns() > end_ns)
				return printf("after %s: thread %u does nothing\n", after, i), 1;
			thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
		}
	return 0;
}

static void take_largest(uint64_t into[SAMPLERS])
{
	for (unsigned i = 0; i < SAMPLERS; i++) {
		into[i] = MAX(into[i], atomic_load_relaxed(&latency_ns[i]));
		atomic_store_relaxed(&latency_ns[i], 0ull);
	}
}

static void wait_gone(void)
{
	uint64_t end_ns = time_now_ns() + LIVES_NS;

	while (atomic_load_acquire(&ext.ops) && time_now_ns() < end_ns)
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
}

struct seen {
	uint64_t before[SAMPLERS], during[SAMPLERS], after[SAMPLERS], fallback_ns;
};

static void one_round(struct sched_ext_ops *ops, struct seen *s, bool say)
{
	int err;

	take_largest(s->during); /* not of what printing took */
	for (unsigned i = 0; i < SAMPLERS; i++)
		s->during[i] = say ? 0 : s->during[i];
	thread_sleep_until(time_now_ns() + PHASE_NS);
	take_largest(s->before);
	atomic_store_relaxed(&fair_ns, 0ull);
	atomic_store_relaxed(&armed_ns, time_now_ns());
	err = ext_load(ops);
	if (err && say)
		printf("crime %s: refused %d\n", ops->name, err);
	if (!err)
		wait_gone();
	if (!err && !ext_unload()) {
		if (say)
			printf("crime %s: lives\n", ops->name);
	} else if (!err && say) {
		printf("crime %s: ended %d %s\n", ops->name, (int)ext.info.kind, ext.reason_msg);
	}
	atomic_store_relaxed(&armed_ns, 0ull);
	take_largest(s->during);
	if (!err && atomic_load_relaxed(&fair_ns) > ext.exit_ns)
		s->fallback_ns = MAX(s->fallback_ns, atomic_load_relaxed(&fair_ns) - ext.exit_ns);
	thread_sleep_until(time_now_ns() + PHASE_NS);
	take_largest(s->after);
}

static int try_policy(struct sched_ext_ops *ops, unsigned long rounds)
{
	struct seen s = { 0 };

	for (unsigned long i = 0; i < rounds; i++) {
		one_round(ops, &s, !i);
		if (all_go_on(ops->name))
			return 1;
	}
	printf("latency %s: fifo %" PRIu64 " %" PRIu64 " %" PRIu64 " deadline %" PRIu64 " %" PRIu64
	       " %" PRIu64 " fallback %" PRIu64 "\n",
	       ops->name, s.before[0], s.during[0], s.after[0], s.before[1], s.during[1],
	       s.after[1], s.fallback_ns);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	int err = sched_set_policy(thread_current(), SCHED_FIFO, 50, 0);

	if (err || start_all())
		return 1;
	for (unsigned i = 0; ext_policy_at(i) && !err; i++)
		err = try_policy(ext_policy_at(i), rounds);
	if (!err)
		printf("everybody goes on\n");
	return err;
}
