/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that go and come on 2..4 virtual CPUs, each scenario with many seeds, against what threads do
 * meanwhile: wake each other, sleep, change their affinity, are created and exit, arm and cancel
 * timers, and take CPUs off themselves. Half of the stops end in firmware, half in a CPU that waits.
 * host_check.c looks at the scheduler's invariants all the while (nothing is on a CPU that is off);
 * a failure names the seed that repeats it.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/hotplug.h"
#include "core/sync.h"
#include "core/timer.h"
#include "sched/sched.h"
#include "tests/host/host_seeds.h"

#define SEEDS   150
#define WORKERS 8
#define ROUNDS  12 /* CPUs taken off or on in a run */

#define US NSEC_PER_USEC

static struct thread *threads[WORKERS];
static uint32_t stop;
static uint32_t progress[WORKERS];
static bool all_alike;

static void run(void (*first)(void *), unsigned from)
{
	struct scenario s = { .first = first, .cpus_from = from, .cpus_to = 4, .seeds = SEEDS };

	run_seeds(&s);
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void draw_mask(struct cpumask *mask)
{
	cpumask_clear(mask);
	for (unsigned i = 0; i < cpu_count; i++)
		if (draw(2))
			cpumask_set(mask, i);
}

/* Any policy; pinned to one CPU, or where its creator may run. */
static struct thread *make(void *(*entry)(void *), uintptr_t arg)
{
	struct cpumask mask = { 0 };
	int policy = all_alike ? SCHED_OTHER : (int)draw(3);
	struct thread_attr attr = { .name = "worker", .policy = (uint8_t)policy };
	struct thread *t;
	int err;

	if (policy == SCHED_OTHER)
		attr.nice = (int8_t)((int)draw(11) - 5);
	else
		attr.priority = (uint8_t)(1 + draw(3));
	if (!all_alike && draw(2)) {
		cpumask_set(&mask, (unsigned)draw(cpu_count));
		attr.affinity = &mask;
	}
	err = thread_create(&t, &attr, entry, (void *)arg);
	if (!err)
		return t;
	CHECK(err == -EINVAL && attr.affinity);
	attr.affinity = NULL; /* that CPU is off */
	CHECK(!thread_create(&t, &attr, entry, (void *)arg));
	return t;
}

/*
 * Half of the runs have fair threads only, free to run anywhere, and then no CPU may idle while one
 * of them waits. Of the others that is not asked: a real-time thread that wakes on its own CPU may
 * miss one that becomes idle just then, and of two that wait a pinned one may be the one that a CPU
 * is asked to take.
 */
static void make_all(void *(*entry)(void *), bool alike)
{
	all_alike = alike;
	check_conservation = all_alike;
	for (unsigned i = 0; i < WORKERS; i++)
		threads[i] = make(entry, i);
}

static void join_all(void)
{
	atomic_store_release(&stop, 1u);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK(!thread_join(threads[i], NULL));
}

/* Takes a CPU off or on and checks what came of it. */
static void change_one(void)
{
	unsigned cpu = (unsigned)draw(cpu_count);
	bool was_online = cpumask_test(&cpu_online_mask, cpu);
	bool last = was_online && cpumask_count(&cpu_online_mask) == 1;

	if (draw(2)) {
		CHECK(cpu_offline(cpu) == (last ? -EBUSY : 0));
		CHECK(cpumask_test(&cpu_online_mask, cpu) == last);
		CHECK(last || arch_cpu_stopped(cpu_at(cpu)) || cpu_at(cpu)->online == CPU_PARKED);
	} else {
		CHECK(!cpu_online(cpu));
		CHECK(cpumask_test(&cpu_online_mask, cpu) && cpu_at(cpu)->online == CPU_ONLINE);
	}
}

/* Everybody gets on, however often CPUs changed. */
static void everybody_progresses(void)
{
	uint32_t seen[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++)
		seen[i] = atomic_load_relaxed(&progress[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned tries = 0; atomic_load_relaxed(&progress[i]) == seen[i]; tries++) {
			CHECK(tries < 5000);
			sleep_for(20 * US);
		}
}

static void change_many(void)
{
	CHECK(!sched_set_policy(thread_current(), SCHED_FIFO, 10, 0));
	for (unsigned i = 0; i < ROUNDS; i++) {
		change_one();
		if (draw(2))
			sleep_for(draw(30) * US);
	}
	everybody_progresses();
}

/* ---- against waking -------------------------------------------------------------------------- */

static struct semaphore ring[WORKERS];

static void *pass_on(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	while (!atomic_load_acquire(&stop)) {
		/* each time-out that does not come is a timer cancelled, mostly from another CPU */
		while (semaphore_wait_until(&ring[i], time_now_ns() + draw(100) * US))
			;
		atomic_store_relaxed(&progress[i], progress[i] + 1);
		if (draw(4) == 0)
			sleep_for(draw(20) * US);
		if (draw(4) == 0)
			host_compute(draw(5) * US);
		semaphore_post(&ring[(i + 1) % WORKERS]);
	}
	semaphore_post(&ring[(i + 1) % WORKERS]);
	return NULL;
}

static void wake_first(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WORKERS; i++)
		semaphore_init(&ring[i], i % 3 == 0);
	make_all(pass_on, draw(2));
	change_many();
	join_all();
}

static void wakes(void **state)
{
	(void)state;
	run(wake_first, 2);
}

/* ---- against those that run and wait for the CPU --------------------------------------------- */

static void *hog(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	while (!atomic_load_acquire(&stop)) {
		uint64_t ns = 1 + draw(30 * US);

		host_compute(ns);
		atomic_store_relaxed(&progress[i], progress[i] + 1);
		/* real-time threads leave fair ones something of the last CPU */
		if (thread_current()->sched.policy != SCHED_OTHER)
			sleep_for(2 * WORKERS * ns);
		else if (draw(3) == 0)
			sleep_for(draw(60) * US);
	}
	return NULL;
}

static void hogs_first(void *arg)
{
	(void)arg;
	make_all(hog, draw(2));
	change_many();
	join_all();
}

static void hogs(void **state)
{
	(void)state;
	run(hogs_first, 2);
}

/* ---- against affinity ------------------------------------------------------------------------ */

static uint32_t ended;

static void *move_about(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	while (!atomic_load_acquire(&stop)) {
		struct cpumask mask;
		int err;

		draw_mask(&mask);
		err = thread_set_affinity(draw(2) ? thread_current() : threads[draw(WORKERS)],
					  &mask);
		CHECK(!err || err == -EINVAL);
		atomic_store_relaxed(&progress[i], progress[i] + 1);
		host_compute(draw(5) * US);
		if (draw(2))
			sleep_for(draw(20) * US);
	}
	atomic_fetch_add_relaxed(&ended, 1u);
	while (atomic_load_relaxed(&ended) < WORKERS) /* somebody may be at us still */
		sleep_for(10 * US);
	return NULL;
}

static void affinity_first(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WORKERS; i++)
		threads[i] = thread_current();
	make_all(move_about, false);
	change_many();
	join_all();
}

static void affinity(void **state)
{
	(void)state;
	run(affinity_first, 2);
}

/* ---- against creation and exit --------------------------------------------------------------- */

static uint32_t born, died;

static void *live_shortly(void *arg)
{
	host_compute(draw(5) * US);
	atomic_fetch_add_relaxed(&died, 1u);
	return arg;
}

static void *beget(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	while (!atomic_load_acquire(&stop)) {
		struct thread *t = make(live_shortly, 0);

		atomic_fetch_add_relaxed(&born, 1u);
		if (draw(2))
			sleep_for(draw(10) * US);
		if (draw(2))
			CHECK(!thread_detach(t));
		else
			CHECK(!thread_join(t, NULL));
		atomic_store_relaxed(&progress[i], progress[i] + 1);
	}
	return NULL;
}

static void exit_first(void *arg)
{
	(void)arg;
	make_all(beget, draw(2));
	change_many();
	join_all();
	for (unsigned tries = 0; atomic_load_relaxed(&died) < born; tries++) {
		CHECK(tries < 1000);
		sleep_for(50 * US);
	}
}

static void creation_and_exit(void **state)
{
	(void)state;
	run(exit_first, 2);
}

/* ---- against timers -------------------------------------------------------------------------- */

static struct tick {
	struct timer timer;
	uint64_t due_ns;
	uint32_t fired;     /* [a] */
	uint32_t cancelled; /* [a] */
	uint32_t armed;     /* [a] */
} ticks[WORKERS];

static void tick_fn(struct timer *timer)
{
	struct tick *tick = container_of(timer, struct tick, timer);

	CHECK(time_now_ns() >= tick->due_ns);
	atomic_fetch_add_relaxed(&tick->fired, 1u);
}

/* Arms its own timer, lets somebody else cancel it now and then, and counts: once each time. */
static void *arm_and_wait(void *arg)
{
	uintptr_t i = (uintptr_t)arg;
	struct tick *tick = &ticks[i];

	while (!atomic_load_acquire(&stop)) {
		unsigned long flags = arch_irq_save();

		tick->due_ns = time_now_ns() + draw(100) * US;
		timer_add(&tick->timer, tick->due_ns);
		atomic_fetch_add_relaxed(&tick->armed, 1u);
		arch_irq_restore(flags);
		for (unsigned tries = 0;
		     atomic_load_relaxed(&tick->fired) + atomic_load_relaxed(&tick->cancelled) <
		     tick->armed;
		     tries++) {
			CHECK(tries < 1000);
			sleep_for(draw(40) * US);
		}
		CHECK(tick->fired + tick->cancelled == tick->armed);
		atomic_store_relaxed(&progress[i], progress[i] + 1);
	}
	return NULL;
}

static void *cancel_some(void *arg)
{
	(void)arg;
	while (!atomic_load_acquire(&stop)) {
		struct tick *tick = &ticks[draw(WORKERS)];
		unsigned long flags = arch_irq_save();

		if (timer_cancel(&tick->timer))
			atomic_fetch_add_relaxed(&tick->cancelled, 1u);
		arch_irq_restore(flags);
		sleep_for(draw(6) * US);
	}
	return NULL;
}

static void timers_first(void *arg)
{
	struct thread *cancellers[3];

	(void)arg;
	for (unsigned i = 0; i < WORKERS; i++)
		timer_init(&ticks[i].timer, tick_fn);
	make_all(arm_and_wait, draw(2));
	for (unsigned i = 0; i < ARRAY_SIZE(cancellers); i++)
		cancellers[i] = make(cancel_some, 0);
	change_many();
	join_all();
	for (unsigned i = 0; i < ARRAY_SIZE(cancellers); i++)
		CHECK(!thread_join(cancellers[i], NULL));
}

static void timers(void **state)
{
	(void)state;
	run(timers_first, 2);
}

/* ---- against each other ---------------------------------------------------------------------- */

/* Nobody can say what the others did in between, but it is one of these, and the machine is whole. */
static void *change_too(void *arg)
{
	uintptr_t i = (uintptr_t)arg;

	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned cpu = (unsigned)draw(cpu_count);
		int err = draw(2) ? cpu_offline(cpu) : cpu_online(cpu);

		CHECK(!err || err == -EBUSY);
		CHECK(!cpumask_empty(&cpu_online_mask));
		atomic_store_relaxed(&progress[i], progress[i] + 1);
		sleep_for(draw(200) * US);
	}
	return NULL;
}

static void each_other_first(void *arg)
{
	(void)arg;
	make_all(change_too, draw(2));
	join_all();
	for (unsigned i = 0; i < cpu_count; i++)
		CHECK(!cpu_online(i));
	CHECK(cpumask_count(&cpu_online_mask) == cpu_count);
}

static void each_other(void **state)
{
	(void)state;
	run(each_other_first, 2);
}

/* ---- what it says ---------------------------------------------------------------------------- */

static void *wait_pinned(void *arg)
{
	semaphore_wait(arg);
	return NULL;
}

static struct thread *make_pinned(unsigned cpu, struct semaphore *s)
{
	struct cpumask mask = { 0 };
	struct thread_attr attr = { .name = "pinned", .affinity = &mask };
	struct thread *t;

	cpumask_set(&mask, cpu);
	CHECK(!thread_create(&t, &attr, wait_pinned, s));
	return t;
}

/* From the CPU it runs on, one by one; the last is refused and nothing of it is changed. */
static void contract_first(void *arg)
{
	struct semaphore s;
	struct cpumask one = { 0 };
	struct thread *pinned;
	unsigned off = 0;

	(void)arg;
	semaphore_init(&s, 0);
	pinned = make_pinned(1, &s);
	sleep_for(50 * US);
	CHECK(cpu_offline(cpu_count) == -EINVAL && cpu_online(cpu_count) == -EINVAL);
	CHECK(!cpu_online(0) && cpumask_count(&cpu_online_mask) == cpu_count);
	CHECK(!cpu_offline(1) && !cpu_offline(1));
	CHECK(!cpumask_test(&pinned->affinity, 1));
	CHECK(cpumask_count(&pinned->affinity) == cpu_count - 1);
	cpumask_set(&one, 1);
	CHECK(thread_set_affinity(pinned, &one) == -EINVAL);
	CHECK(!cpu_online(1));
	CHECK(!cpumask_test(&pinned->affinity, 1)); /* the old mask does not come back */
	CHECK(!thread_set_affinity(pinned, &one));
	while (off + 1 < cpu_count) {
		unsigned self = thread_current()->sched.cpu->index;

		CHECK(!cpu_offline(self));
		CHECK(thread_current()->sched.cpu->index != self);
		off++;
	}
	CHECK(cpu_offline(thread_current()->sched.cpu->index) == -EBUSY);
	CHECK(cpumask_count(&cpu_online_mask) == 1);
	semaphore_post(&s);
	CHECK(!thread_join(pinned, NULL));
}

static void contract(void **state)
{
	(void)state;
	run(contract_first, 2);
}

static void *deaf(void *arg)
{
	unsigned long flags = arch_irq_save();

	host_compute(11 * NSEC_PER_SEC);
	arch_irq_restore(flags);
	return arg;
}

/* One that takes no interrupt stays what it was, and goes when it is asked again. */
static void deaf_first(void *arg)
{
	struct cpumask one = { 0 };
	struct thread_attr attr = { .name = "deaf", .affinity = &one };
	struct thread *t;

	(void)arg;
	check_conservation = false;
	cpumask_set(&one, 0);
	CHECK(!thread_set_affinity(thread_current(), &one));
	cpumask_clear(&one);
	cpumask_set(&one, 1);
	CHECK(!thread_create(&t, &attr, deaf, NULL));
	sleep_for(100 * US);
	CHECK(cpu_offline(1) == -ETIMEDOUT);
	CHECK(cpumask_test(&cpu_online_mask, 1) && cpu_at(1)->online == CPU_ONLINE);
	CHECK(!thread_join(t, NULL) && !cpu_leaving);
	CHECK(!cpu_offline(1) && !cpu_online(1));
	CHECK(!thread_set_affinity(thread_current(), &one));
	CHECK(thread_current()->sched.cpu == cpu_at(1));
}

static void a_deaf_cpu_stays(void **state)
{
	struct scenario s = { .first = deaf_first,
			      .cpus_from = 2,
			      .cpus_to = 3,
			      .seeds = 1,
			      .steps_max = 100000000 };

	(void)state;
	run_seeds(&s);
}

/* Once back it is found by those that wait. */
static void balance_first(void *arg)
{
	struct cpumask used;
	uint64_t end_ns;

	(void)arg;
	for (unsigned round = 0; round < 2; round++) {
		unsigned cpu = (unsigned)draw(cpu_count);

		CHECK(!cpu_offline(cpu));
		CHECK(!cpu_online(cpu));
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		struct thread_attr attr = { .name = "hog", .affinity = &cpu_online_mask };

		CHECK(!thread_create(&threads[i], &attr, hog, (void *)(uintptr_t)i));
	}
	end_ns = time_now_ns() + 1000 * US;
	do {
		CHECK(time_now_ns() < end_ns);
		sleep_for(20 * US);
		cpumask_clear(&used);
		for (unsigned i = 0; i < cpu_count; i++)
			if (cpu_at(i)->rq.curr != cpu_at(i)->rq.idle)
				cpumask_set(&used, i);
	} while (cpumask_count(&used) < cpu_count);
	join_all();
}

static void balanced_afterwards(void **state)
{
	(void)state;
	run(balance_first, 2);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(contract),
		cmocka_unit_test(wakes),
		cmocka_unit_test(hogs),
		cmocka_unit_test(affinity),
		cmocka_unit_test(creation_and_exit),
		cmocka_unit_test(timers),
		cmocka_unit_test(each_other),
		cmocka_unit_test(balanced_afterwards),
		cmocka_unit_test(a_deaf_cpu_stays),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
