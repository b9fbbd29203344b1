/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real time: who runs on several virtual CPUs, and the order within a level. host_check.c sees at
 * every quiet moment that no real-time thread waits while a CPU where it may run runs a worse one.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/sync.h"
#include "sched/sched.h"
#include "sched/server.h"
#include "tests/host/host_seeds.h"

#define WORKERS 24
#define US      NSEC_PER_USEC
#define MS      NSEC_PER_MSEC

static struct thread *threads[WORKERS];
static struct mutex mutexes[2];
static struct semaphore sem;
static bool stop;

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	struct scenario s = { .first = first, .cpus_from = from, .cpus_to = to, .seeds = seeds };

	run_seeds(&s);
}

static struct thread *make(int policy, int level, const struct cpumask *mask,
			   void *(*entry)(void *), uintptr_t arg)
{
	struct thread_attr attr = { .name = "worker", .affinity = mask, .policy = (uint8_t)policy };
	struct thread *t = NULL;

	attr.priority = (uint8_t)(policy == SCHED_OTHER ? 0 : level);
	CHECK(!thread_create(&t, &attr, entry, (void *)arg));
	return t;
}

static void become(int policy, int level)
{
	CHECK(!sched_set_policy(thread_current(), policy, level, 0));
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void draw_mask(struct cpumask *mask)
{
	do {
		cpumask_clear(mask);
		for (unsigned i = 0; i < cpu_count; i++)
			if (draw(2))
				cpumask_set(mask, i);
	} while (cpumask_empty(mask));
}

/* ---- several CPUs ---------------------------------------------------------------------------- */

static void change_somebody(unsigned n)
{
	struct thread *t = threads[draw(n)];
	struct cpumask mask;

	switch (draw(3)) {
	case 0:
		draw_mask(&mask);
		CHECK(!thread_set_affinity(t, &mask));
		break;
	case 1:
		CHECK(!sched_set_policy(t, SCHED_OTHER, 0, 0));
		break;
	default:
		CHECK(!sched_set_policy(t, draw(2) ? SCHED_FIFO : SCHED_RR, 1 + (int)draw(40), 0));
	}
}

static void *work(void *arg)
{
	struct mutex *m = &mutexes[draw(2)];

	while (!atomic_load_relaxed(&stop)) {
		switch (draw(5)) {
		case 0:
			sleep_for(draw(20 * US));
			break;
		case 1:
			mutex_lock(m);
			host_compute(draw(10 * US));
			mutex_unlock(m);
			break;
		case 2:
			semaphore_post(&sem);
			break;
		case 3:
			semaphore_wait_until(&sem, time_now_ns() + draw(30 * US));
			break;
		default:
			host_compute(draw(20 * US));
		}
	}
	return arg;
}

/* Sleeps, loans, wake-ups, changes of priority, class and affinity, all at once. */
static void storm_first(void *arg)
{
	unsigned n = cpu_count + 1 + (unsigned)draw(WORKERS - cpu_count - 1);

	(void)arg;
	semaphore_init(&sem, 0);
	mutex_init(&mutexes[0]);
	mutex_init(&mutexes[1]);
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make((int)draw(3), 1 + (int)draw(60), NULL, work, i);
	for (unsigned i = 0; i < 60; i++) {
		change_somebody(n);
		sleep_for(draw(30 * US));
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_set_affinity(threads[i], &cpu_online_mask));
	stop = true;
	join_all(n);
}

static void storm(void **state)
{
	(void)state;
	run(storm_first, 2, 5, 60);
	run(storm_first, 8, 8, 30);
}

static void *hog(void *arg)
{
	host_compute((uintptr_t)arg);
	return NULL;
}

static bool runs(const struct thread *t)
{
	return t->sched.cpu->rq.curr == t;
}

/* Without any other event, the best run within microseconds: of changes, and of those that end. */
static void best_first(void *arg)
{
	unsigned n = 2 * cpu_count, best;

	(void)arg;
	become(SCHED_FIFO, 99);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make(SCHED_FIFO, 10 + (int)i, NULL, hog, 50 * MS);
	for (unsigned i = 0; i < 20; i++) {
		unsigned above = 0;
		int level = 1 + (int)draw(90);

		best = (unsigned)draw(n);
		CHECK(!sched_set_policy(threads[best], SCHED_FIFO, level, 0));
		sleep_for(100 * US);
		host_compute(10 *
			     US); /* on a CPU of its own: one thread fewer of the others runs */
		for (unsigned j = 0; j < n; j++)
			above += j != best && threads[j]->sched.priority >= level;
		CHECK(above + 1 >= cpu_count || runs(threads[best]));
	}
	for (unsigned i = 0; i < n; i++)
		CHECK(!sched_set_policy(threads[i], SCHED_FIFO, 10, 0));
	join_all(n);
}

static void the_best_run(void **state)
{
	(void)state;
	run(best_first, 2, 6, 20);
}

static void *wait_once(void *arg)
{
	semaphore_wait(arg);
	return NULL;
}

static struct thread *make_at(unsigned cpu, int policy, int level, void *(*entry)(void *),
			      uintptr_t arg)
{
	struct cpumask mask = { 0 };

	cpumask_set(&mask, cpu);
	return make(policy, level, &mask, entry, arg);
}

static bool go;

static void *post_when_told(void *arg)
{
	while (!atomic_load_acquire(&go))
		arch_cpu_relax();
	semaphore_post(arg);
	host_compute(MS);
	return NULL;
}

/*
 * A thread at 26 is about to displace this fair one, so one at 22 stays behind a better one on the
 * other CPU. Then the first becomes fair, too, before it has run: the other one comes here.
 */
static void worse_first(void *arg)
{
	static struct semaphore second;
	struct cpumask here = { 0 };
	unsigned long flags;

	(void)arg;
	cpumask_set(&here, 0);
	CHECK(!thread_set_affinity(thread_current(), &here));
	semaphore_init(&sem, 0);
	semaphore_init(&second, 0);
	threads[0] = make_at(0, SCHED_FIFO, 26, wait_once, (uintptr_t)&sem);
	threads[1] = make_at(1, SCHED_FIFO, 22, wait_once, (uintptr_t)&second);
	sleep_for(100 * US);
	CHECK(!thread_set_affinity(threads[1], &cpu_online_mask));
	threads[2] = make_at(1, SCHED_FIFO, 60, post_when_told, (uintptr_t)&second);
	flags = arch_irq_save();
	semaphore_post(&sem);
	atomic_store_release(&go, true);
	for (unsigned i = 0; i < 500; i++) /* until the other CPU has offered it, and is done */
		arch_cpu_relax();
	CHECK(cpu_at(1)->rq.rt.offered == 22);
	CHECK(!sched_set_policy(threads[0], SCHED_OTHER, 0, 0));
	arch_irq_restore(flags);
	host_compute(20 * US);
	CHECK(threads[1]->exited && !threads[2]->exited);
	join_all(3);
}

static void who_was_to_run_is_made_worse(void **state)
{
	(void)state;
	run(worse_first, 2, 2, 6);
}

/* ---- the order within a level, by POSIX, on one CPU ------------------------------------------ */

static char order[16];
static unsigned ordered;

static void *note(void *arg)
{
	order[ordered++] = (char)(uintptr_t)arg;
	return NULL;
}

enum rule { SET_POLICY, SET_PRIORITY };

static void set(struct thread *t, enum rule rule, int level)
{
	if (rule == SET_POLICY)
		CHECK(!sched_set_policy(t, SCHED_FIFO, level, 0));
	else
		CHECK(!sched_set_priority(t, level));
}

/* a and b wait at 20, c at @from: it is given @to, and then they run. */
static void waiting(enum rule rule, int from, int to, const char *expected)
{
	memset(order, 0, sizeof(order));
	ordered = 0;
	for (unsigned i = 0; i < 2; i++)
		threads[i] = make(SCHED_FIFO, 20, NULL, note, 'a' + i);
	threads[2] = make(SCHED_FIFO, from, NULL, note, 'c');
	/* the same once more, before the others */
	threads[3] = make(SCHED_FIFO, 20, NULL, note, 'd');
	set(threads[2], rule, to);
	join_all(4);
	CHECK(!strcmp(order, expected));
}

static void waiting_first(void *arg)
{
	(void)arg;
	become(SCHED_FIFO, 50);
	waiting(SET_POLICY, 10, 20, "abdc");   /* raised: behind its equals */
	waiting(SET_PRIORITY, 10, 20, "abdc"); /* the same */
	waiting(SET_POLICY, 30, 20, "abdc");   /* lowered: behind, too */
	waiting(SET_PRIORITY, 30, 20, "cabd"); /* but not so by pthread_setschedprio() */
	waiting(SET_POLICY, 20, 20, "abdc");   /* unchanged: behind */
	waiting(SET_PRIORITY, 20, 20, "abcd"); /* nothing happens */
	CHECK(sched_set_priority(thread_current(), 100) == -EINVAL);
	CHECK(sched_set_priority(thread_current(), 0) == -EINVAL);
	CHECK(thread_current()->sched.own_priority == 50);
}

static void order_of_waiting(void **state)
{
	(void)state;
	run(waiting_first, 1, 1, 4);
}

/* This thread runs at @from, a and b wait at 20: does it go before them when it is given @to? */
static void running(enum rule rule, int policy, int from, int to, const char *expected)
{
	memset(order, 0, sizeof(order));
	ordered = 0;
	become(policy, 50);
	for (unsigned i = 0; i < 2; i++)
		threads[i] = make(SCHED_FIFO, 20, NULL, note, 'a' + i);
	if (from != 50)
		CHECK(!sched_set_priority(thread_current(), from));
	CHECK(!ordered);
	if (rule == SET_POLICY)
		CHECK(!sched_set_policy(thread_current(), policy, to, 0));
	else
		CHECK(!sched_set_priority(thread_current(), to));
	note((void *)(uintptr_t)'m');
	become(SCHED_FIFO, 1);
	join_all(2);
	CHECK(!strcmp(order, expected));
}

static void running_first(void *arg)
{
	(void)arg;
	for (int policy = SCHED_FIFO; policy <= SCHED_RR; policy++) {
		running(SET_POLICY, policy, 50, 20, "abm");
		running(SET_PRIORITY, policy, 50, 20, "mab");
		running(SET_POLICY, policy, 20, 20, "abm");
		running(SET_PRIORITY, policy, 20, 20, "mab");
		running(SET_PRIORITY, policy, 20, 19, "abm");
		running(SET_POLICY, policy, 20, 21, "mab");
	}
	/* and once only: preempted later, it stays before its equals */
	become(SCHED_FIFO, 20);
	CHECK(!(thread_current()->sched.unusual & SCHED_TAIL));
}

static void order_of_running(void **state)
{
	(void)state;
	run(running_first, 1, 1, 4);
}

static void *hold(void *arg)
{
	mutex_lock(&mutexes[0]);
	semaphore_post(&sem);
	host_compute(5 * MS);
	mutex_unlock(&mutexes[0]);
	return note(arg);
}

static void *want(void *arg)
{
	mutex_lock(&mutexes[0]);
	mutex_unlock(&mutexes[0]);
	return note(arg);
}

/*
 * One that has borrowed a rank keeps its place when its own priority changes below it: it is before
 * x, which came to the same level later, and goes on with its own when the loan ends.
 */
static void borrowed_first(void *arg)
{
	(void)arg;
	become(SCHED_FIFO, 50);
	mutex_init(&mutexes[0]);
	semaphore_init(&sem, 0);
	threads[0] = make(SCHED_FIFO, 10, NULL, hold, 'h');
	semaphore_wait(&sem);
	become(SCHED_FIFO, 70);
	threads[1] = make(SCHED_FIFO, 60, NULL, want, 'w');
	sleep_for(MS);
	threads[2] = make(SCHED_FIFO, 60, NULL, note, 'x');
	CHECK(threads[0]->sched.rank == RANK_RT + 60);
	CHECK(!sched_set_policy(threads[0], SCHED_RR, 12, 0));
	CHECK(threads[0]->sched.rank == RANK_RT + 60);
	sleep_for(MS);
	CHECK(!ordered);
	join_all(3);
	CHECK(!strcmp(order, "xwh"));
}

static void order_of_borrowed(void **state)
{
	(void)state;
	run(borrowed_first, 1, 1, 10);
}

/* ---- the quantum ----------------------------------------------------------------------------- */

static uint64_t first_turn_ns;

static void *rr_hog(void *arg)
{
	uint64_t start_ns = time_now_ns();

	host_compute((uintptr_t)arg);
	if (!first_turn_ns)
		first_turn_ns = time_now_ns() - start_ns;
	return NULL;
}

static uint64_t used_ns(unsigned i)
{
	return thread_runtime_ns(threads[i]);
}

static void is_near(uint64_t ns, uint64_t expected_ns)
{
	CHECK(ns + 10 * US > expected_ns && ns < expected_ns + 10 * US);
}

/*
 * A quantum is 100 ms of its own time, whatever interrupts it; a priority that is lowered leaves
 * what is left of it, a new one begins with a new place at the tail.
 */
static void quantum_first(void *arg)
{
	uint64_t start_ns;

	(void)arg;
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < 2; i++)
		threads[i] = make(SCHED_RR, 30, NULL, rr_hog, 400 * MS);
	start_ns = time_now_ns();
	sleep_for(40 * MS);
	host_compute(70 * MS); /* not of its quantum */
	sleep_for(55 * MS);
	is_near(used_ns(0), 95 * MS);
	sleep_for(10 * MS);
	is_near(used_ns(0), 100 * MS);
	is_near(used_ns(1), 5 * MS);
	/* lowered below the other, and both once more: 95 ms are left to the second */
	CHECK(!sched_set_priority(threads[0], 20));
	CHECK(!sched_set_priority(threads[1], 20));
	sleep_for(94 * MS);
	is_near(used_ns(0), 100 * MS);
	sleep_for(10 * MS);
	is_near(used_ns(1), 100 * MS);
	is_near(used_ns(0), 109 * MS);
	/* to FIFO: no quantum any more, and behind its equal as it is given a policy */
	CHECK(!sched_set_policy(threads[0], SCHED_FIFO, 20, 0));
	sleep_for(150 * MS);
	is_near(used_ns(1), 200 * MS);
	is_near(used_ns(0), 159 * MS);
	sleep_for(100 * MS);
	is_near(used_ns(0), 259 * MS);
	/* and back: a whole quantum from now on, but the other one is first */
	CHECK(!sched_set_policy(threads[0], SCHED_RR, 20, 0));
	sleep_for(100 * MS + 50 * MS);
	is_near(used_ns(1), 300 * MS);
	is_near(used_ns(0), 309 * MS);
	join_all(2);
	CHECK(time_now_ns() - start_ns > 800 * MS);
}

static void quantum_is_exact(void **state)
{
	(void)state;
	run(quantum_first, 1, 1, 3);
}

/* ---- the fair class's server ----------------------------------------------------------------- */

static void use_server(uint64_t budget_us, uint64_t period_us)
{
	CHECK(!fair_server_set(budget_us, period_us));
}

static void between(uint64_t ns, uint64_t low_ns, uint64_t high_ns)
{
	CHECK(ns >= low_ns && ns <= high_ns);
}

/*
 * On each CPU a FIFO hog, and fair threads behind it: they get their budget in every period, at
 * its end, and share it.
 */
static void server_first(void *arg)
{
	uint64_t budget_ns = (1 + draw(30)) * MS, period_ns = budget_ns + (20 + draw(200)) * MS;
	unsigned n = 1 + (unsigned)draw(3), k = 0;
	uint64_t before_ns[WORKERS], got_ns = 0;

	(void)arg;
	use_server(budget_ns / US, period_ns / US);
	become(SCHED_FIFO, 99);
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		threads[k++] =
			make_at(cpu, draw(2) ? SCHED_FIFO : SCHED_RR, 50, hog, 12 * period_ns);
		for (unsigned i = 0; i < n; i++)
			threads[k++] = make_at(cpu, SCHED_OTHER, 0, hog, 12 * budget_ns / n);
	}
	sleep_for(2 * period_ns);
	for (unsigned i = 0; i < k; i++)
		before_ns[i] = used_ns(i);
	sleep_for(6 * period_ns);
	for (unsigned i = 0; i < k; i++) {
		if (i % (n + 1)) {
			got_ns += used_ns(i) - before_ns[i];
			CHECK(used_ns(i) > before_ns[i]);
		}
		if (i % (n + 1) == n) {
			between(got_ns, 6 * budget_ns - 200 * US, 6 * budget_ns + 200 * US);
			got_ns = 0;
		}
	}
	join_all(k);
}

static void server_keeps_fair_alive(void **state)
{
	(void)state;
	run(server_first, 1, 3, 8);
}

/* Real time is disturbed at the last moment only, and not at all if fair threads get enough. */
static void deferred_first(void *arg)
{
	uint64_t start_ns = time_now_ns();

	(void)arg;
	become(SCHED_FIFO, 99);
	threads[0] = make_at(0, SCHED_FIFO, 50, hog, 2500 * MS);
	threads[1] = make_at(0, SCHED_OTHER, 0, hog, 60 * MS);
	sleep_for(948 * MS);
	CHECK(used_ns(1) == 0);
	sleep_for(4 * MS); /* this thread waits, too, while they are served */
	between(time_now_ns() - start_ns, 1000 * MS - 20 * US, 1000 * MS + 20 * US);
	between(used_ns(1), 50 * MS - 20 * US, 50 * MS + 20 * US);
	sleep_for(940 * MS);
	between(used_ns(1), 50 * MS - 20 * US, 50 * MS + 20 * US);
	join_all(2);
}

static void server_is_deferred(void **state)
{
	(void)state;
	run(deferred_first, 1, 1, 3);
}

static uint64_t longest_ns;

/* Busy for 80 ms of every 100: fair threads have 20 % by themselves. */
static void *busy_four_fifths(void *arg)
{
	uint64_t next_ns = time_now_ns();

	for (unsigned i = 0; i < (uintptr_t)arg; i++) {
		uint64_t start_ns = time_now_ns();

		host_compute(80 * MS);
		longest_ns = MAX(longest_ns, time_now_ns() - start_ns);
		next_ns += 100 * MS;
		thread_sleep_until(next_ns);
	}
	return NULL;
}

static void undisturbed_first(void *arg)
{
	bool off = draw(2);

	(void)arg;
	if (off)
		use_server(0, 1000000);
	become(SCHED_FIFO, 99);
	threads[0] = make_at(0, SCHED_FIFO, 50, busy_four_fifths, 40);
	threads[1] = make_at(0, SCHED_OTHER, 0, hog, 700 * MS);
	join_all(2);
	CHECK(longest_ns < 80 * MS + 10 * US);
	/* off: nothing for it, however long */
	use_server(0, 1000000);
	threads[0] = make_at(0, SCHED_FIFO, 50, hog, 5000 * MS);
	threads[1] = make_at(0, SCHED_OTHER, 0, hog, MS);
	sleep_for(4900 * MS);
	CHECK(used_ns(1) == 0);
	join_all(2);
	CHECK(fair_server_set(10, 5) == -EINVAL && fair_server_set(1, 999) == -EINVAL);
	CHECK(fair_server_set(1, 60000001) == -EINVAL && fair_server_period_us == 1000000);
}

static void server_disturbs_nobody(void **state)
{
	(void)state;
	run(undisturbed_first, 1, 1, 4);
}

/* Real-time threads that wake while fair ones are served wait; the fair ones get all of it. */
static void *pulse(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		host_compute(draw(300 * US));
		sleep_for(draw(300 * US));
	}
	return arg;
}

static void pulses_first(void *arg)
{
	(void)arg;
	use_server(20000, 100000);
	become(SCHED_FIFO, 99);
	threads[0] = make_at(0, SCHED_FIFO, 50, hog, 800 * MS);
	threads[1] = make_at(0, SCHED_FIFO, 60, pulse, 0);
	threads[2] = make_at(0, SCHED_OTHER, 0, hog, 400 * MS);
	sleep_for(900 * MS);
	between(used_ns(2), 170 * MS, 185 * MS);
	stop = true;
	join_all(3);
}

static void server_against_wakeups(void **state)
{
	(void)state;
	run(pulses_first, 1, 2, 6);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(storm),
		cmocka_unit_test(the_best_run),
		cmocka_unit_test(who_was_to_run_is_made_worse),
		cmocka_unit_test(order_of_waiting),
		cmocka_unit_test(order_of_running),
		cmocka_unit_test(order_of_borrowed),
		cmocka_unit_test(quantum_is_exact),
		cmocka_unit_test(server_keeps_fair_alive),
		cmocka_unit_test(server_is_deferred),
		cmocka_unit_test(server_disturbs_nobody),
		cmocka_unit_test(server_against_wakeups),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
