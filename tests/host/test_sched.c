/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler, threads, waiting and timers on 1..4 virtual CPUs, or more, each scenario with many seeds:
 * order of FIFO threads, preemption, quanta, fair shares against a fluid model, lag through sleep,
 * races of wake-ups with time-outs, join and detach, creation while memory is refused, affinity,
 * policies, hooks, timers across CPUs. host_check.c looks at the scheduler's invariants all the
 * while; a failure names the seed that repeats it.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing -Wl,--wrap=page_alloc_zero,--wrap=stack_alloc
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/mem/mem.h"
#include "core/sync.h"
#include "core/timer.h"
#include "sched/sched.h"
#include "tests/host/host_seeds.h"

#define SEEDS   100
#define WORKERS 16 /* threads in a scenario */

#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

static struct thread *threads[WORKERS];
static uint64_t number[WORKERS];

/* ---- making threads -------------------------------------------------------------------------- */

static struct thread *make_on(const struct cpumask *mask, int policy, int level,
			      void *(*entry)(void *), uintptr_t arg)
{
	struct thread_attr attr = { .name = "worker", .affinity = mask, .policy = (uint8_t)policy };
	struct thread *t = NULL;

	if (policy == SCHED_OTHER)
		attr.nice = (int8_t)level;
	else
		attr.priority = (uint8_t)level;
	CHECK(!thread_create(&t, &attr, entry, (void *)arg));
	return t;
}

static struct thread *make(unsigned cpu, int policy, int level, void *(*entry)(void *),
			   uintptr_t arg)
{
	struct cpumask mask = { 0 };

	cpumask_set(&mask, cpu);
	return make_on(&mask, policy, level, entry, arg);
}

static struct thread *make_anywhere(int policy, int level, void *(*entry)(void *), uintptr_t arg)
{
	return make_on(&cpu_online_mask, policy, level, entry, arg);
}

/* Any policy, any priority. */
static struct thread *make_any(void *(*entry)(void *), uintptr_t arg)
{
	int policy = (int)draw(3);

	return make_anywhere(policy, policy == SCHED_OTHER ? (int)draw(40) - 20 : 1 + (int)draw(3),
			     entry, arg);
}

static void become(int policy, int level)
{
	CHECK(!sched_set_policy(thread_current(), policy, policy ? level : 0, policy ? 0 : level));
}

static void pin_self(unsigned cpu)
{
	struct cpumask mask = { 0 };

	cpumask_set(&mask, cpu);
	CHECK(!thread_set_affinity(thread_current(), &mask));
}

static void join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void sleep_for(uint64_t ns)
{
	thread_sleep_until(time_now_ns() + ns);
}

static void run(void (*first)(void *), unsigned from, unsigned to, unsigned seeds)
{
	struct scenario s = { .first = first, .cpus_from = from, .cpus_to = to, .seeds = seeds };

	run_seeds(&s);
}

static bool yields;

/*
 * Half of the seeds of a scenario let its threads yield. A yield may leave a thread waiting behind
 * one that is pinned here, with another CPU idle: work conservation is promised for wake-ups,
 * preemption, ends of slices and changes of attributes.
 */
static void choose_yields(void)
{
	yields = draw(2);
	check_conservation = !yields;
}

static void yield_or_compute(uint64_t ns)
{
	if (yields)
		sched_yield_current();
	else
		host_compute(ns);
}

/* ---- order ----------------------------------------------------------------------------------- */

static unsigned order[256], ordered;

static void *note_and_yield(void *arg)
{
	for (int i = 0; i < 3; i++) {
		order[ordered++] = (unsigned)(uintptr_t)arg;
		sched_yield_current();
	}
	return NULL;
}

/* Equal priorities go in the order of creation, and each yield goes to the end of the line. */
static void fifo_order_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(8);

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make(0, draw(2) ? SCHED_FIFO : SCHED_RR, 10, note_and_yield, i);
	CHECK(!ordered);
	become(SCHED_FIFO, 5);
	CHECK(ordered == 3 * n);
	for (unsigned i = 0; i < ordered; i++)
		CHECK(order[i] == i % n);
	join_all(n);
}

static void fifo_order(void **state)
{
	(void)state;
	run(fifo_order_first, 1, 2, SEEDS / 2);
}

static struct semaphore gate;

static void *note_at_gate(void *arg)
{
	semaphore_wait(&gate);
	order[ordered++] = (unsigned)(uintptr_t)arg;
	return NULL;
}

/* A semaphore wakes the best rank first, and within a rank whoever came first. */
static void wake_order_first(void *arg)
{
	unsigned n = 3 + (unsigned)draw(8), level[WORKERS], best = 0;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 90);
	semaphore_init(&gate, 0);
	for (unsigned i = 0; i < n; i++) {
		level[i] = 1 + (unsigned)draw(3);
		threads[i] = make(0, SCHED_FIFO, (int)level[i] + 90, note_at_gate, i);
	}
	for (unsigned i = 0; i < n; i++)
		semaphore_post(&gate);
	CHECK(ordered == n);
	for (unsigned l = 3; l; l--)
		for (unsigned i = 0; i < n; i++)
			if (level[i] == l)
				CHECK(order[best++] == i);
	join_all(n);
}

static void wake_order(void **state)
{
	(void)state;
	run(wake_order_first, 1, 2, SEEDS / 2);
}

static void *run_and_note(void *arg)
{
	host_compute(2 * MS);
	order[ordered++] = (unsigned)(uintptr_t)arg;
	return NULL;
}

/*
 * A thread that was preempted goes on before its equals: on the way by the class table (round
 * robin) and on the fast one (FIFO).
 */
static void preempted_first(void *arg)
{
	int policy = draw(2) ? SCHED_FIFO : SCHED_RR;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < 3; i++)
		threads[i] = make(0, policy, 10, run_and_note, i);
	for (unsigned i = 0; i < 20; i++) {
		sleep_for(1 + draw(MS));
		host_compute(draw(100 * US));
	}
	join_all(3);
	CHECK(ordered == 3 && order[0] == 0 && order[1] == 1 && order[2] == 2);
}

static void preempted_goes_on_first(void **state)
{
	(void)state;
	run(preempted_first, 1, 2, SEEDS / 4);
}

static uint64_t woken_ns;

static void *wake_late(void *arg)
{
	uint64_t until_ns = (uintptr_t)arg;

	thread_sleep_until(until_ns);
	woken_ns = time_now_ns();
	CHECK(woken_ns >= until_ns);
	CHECK(woken_ns - until_ns < 5 * US);
	host_compute(2 * MS);
	CHECK(time_now_ns() - woken_ns < 2 * MS + 5 * US);
	return NULL;
}

static void *hog(void *arg)
{
	host_compute((uintptr_t)arg);
	return NULL;
}

static void *post_upwards(void *arg)
{
	(void)arg;
	CHECK(!ordered);
	semaphore_post(&gate);
	CHECK(ordered == 1);
	return NULL;
}

/* Whoever has the higher priority runs within microseconds of its wake-up. */
static void timer_first(void *arg)
{
	unsigned cpu = (unsigned)draw(cpu_count);

	(void)arg;
	become(SCHED_FIFO, 60);
	threads[0] = make(cpu, SCHED_FIFO, 50, wake_late, time_now_ns() + 5 * MS);
	threads[1] = make(cpu, draw(2) ? SCHED_FIFO : SCHED_RR, 40, hog, 10 * MS);
	threads[2] = make(cpu, SCHED_OTHER, -20, hog, 10 * MS);
	join_all(3);
}

/* And a post to it does not return before. */
static void post_first(void *arg)
{
	unsigned cpu = (unsigned)draw(cpu_count);

	(void)arg;
	become(SCHED_FIFO, 60);
	semaphore_init(&gate, 0);
	threads[0] = make(cpu, SCHED_FIFO, 30, note_at_gate, 0);
	sleep_for(MS);
	threads[1] = make(cpu, draw(2) ? SCHED_FIFO : SCHED_RR, 1 + (int)draw(29), post_upwards, 0);
	join_all(2);
}

static void preemption_by_post(void **state)
{
	(void)state;
	run(post_first, 1, 4, SEEDS / 4);
}

static void preemption_by_timer(void **state)
{
	(void)state;
	run(timer_first, 1, 4, SEEDS / 4);
}

/* ---- quanta and shares: what runs on CPU 0 is noted at every event --------------------------- */

static struct thread *noted;
static bool noted_rr;
static unsigned noted_ends;
static uint64_t noted_since_ns;
static unsigned noted_runs;

/*
 * A stretch of one thread is over when another one is found: it was a whole quantum, but for what
 * the interrupt and the switch took.
 */
static void note_quantum(bool quiet)
{
	struct thread *curr = cpu_count ? cpu_at(0)->rq.curr : NULL;

	if (!quiet || !curr || curr == noted)
		return;
	if (noted_rr && curr->sched.policy == SCHED_RR && ordered == noted_ends) {
		uint64_t ns = host_now_ns - noted_since_ns;

		CHECK(ns > RR_QUANTUM_NS - 2 * US && ns < RR_QUANTUM_NS + 2 * US);
		noted_runs++;
	}
	noted = curr;
	noted_ends = ordered;
	noted_rr = curr->sched.policy == SCHED_RR;
	noted_since_ns = host_now_ns;
}

static void *hog_and_end(void *arg)
{
	host_compute((uintptr_t)arg);
	ordered++;
	return NULL;
}

static void quantum_first(void *arg)
{
	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < 3; i++)
		threads[i] = make(0, SCHED_RR, 10, hog_and_end, 5 * RR_QUANTUM_NS + 30 * MS);
	join_all(3);
	CHECK(noted_runs >= 12);
}

static void rr_quantum(void **state)
{
	struct scenario s = { .first = quantum_first,
			      .cpus_from = 1,
			      .cpus_to = 2,
			      .seeds = 20,
			      .observe = note_quantum };

	(void)state;
	run_seeds(&s);
}

/*
 * The fluid model: at every instant the runnable threads share the CPU by weight. EEVDF is within
 * one slice of it, at every instant and for ever (Stoica and Abdel-Wahab, theorem 2), here plus
 * what interrupts and switches take.
 */
static double fluid_ns[WORKERS];
static unsigned fluid_n;
static uint64_t fluid_last_ns;
static bool fluid_on;

static void check_fluid(bool quiet)
{
	double weights = 0, passed = (double)(host_now_ns - fluid_last_ns);

	if (!fluid_on || !quiet)
		return;
	for (unsigned i = 0; i < fluid_n; i++)
		weights += threads[i]->sched.fair.weight;
	for (unsigned i = 0; i < fluid_n; i++) {
		struct runqueue *rq = &cpu_at(0)->rq;
		uint64_t had_ns = threads[i]->sched.runtime_ns +
				  (rq->curr == threads[i] ? host_now_ns - rq->since_ns : 0);
		double lag_ns;

		fluid_ns[i] += passed * threads[i]->sched.fair.weight / weights;
		lag_ns = fluid_ns[i] - (double)(had_ns - number[i]);
		CHECK(lag_ns < (double)FAIR_SLICE_NS + 60e3 &&
		      lag_ns > -(double)FAIR_SLICE_NS - 60e3);
	}
	fluid_last_ns = host_now_ns;
}

static const double nice_reference[3] = { 1.0, 0.32768, 3.0517578125 }; /* 1.25^-5 and 1.25^5 */

static void *hog_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		host_compute(NSEC_PER_SEC);
	return NULL;
}

static void shares_first(void *arg)
{
	int nice[WORKERS];
	unsigned n = 2 + (unsigned)draw(6);
	double sum = 0;
	uint64_t start_ns;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 90);
	for (unsigned i = 0; i < n; i++) {
		unsigned kind = (unsigned)draw(3);

		nice[i] = kind == 1 ? 5 : kind == 2 ? -5 : 0;
		sum += nice_reference[kind];
		fluid_ns[i] = nice_reference[kind];
		threads[i] = make(0, SCHED_OTHER, nice[i], hog_for_ever, i);
	}
	for (unsigned i = 0; i < n; i++)
		number[i] = thread_runtime_ns(threads[i]);
	start_ns = time_now_ns();
	sleep_for(2 * NSEC_PER_SEC);
	for (unsigned i = 0; i < n; i++) {
		double expected = (double)(time_now_ns() - start_ns) * fluid_ns[i] / sum;
		double got = (double)(thread_runtime_ns(threads[i]) - number[i]);

		CHECK(got > expected * 0.99 - 3.1e6 && got < expected * 1.01 + 3.1e6);
	}
}

static void fair_shares(void **state)
{
	(void)state;
	run(shares_first, 1, 2, 15);
}

static void fluid_first(void *arg)
{
	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 90);
	fluid_n = 2 + (unsigned)draw(7);
	for (unsigned i = 0; i < fluid_n; i++)
		threads[i] = make(0, SCHED_OTHER, (int)draw(40) - 20, hog_for_ever, i);
	fluid_last_ns = host_now_ns;
	fluid_on = true;
	sleep_for(NSEC_PER_SEC);
}

static void fair_against_the_fluid_model(void **state)
{
	struct scenario s = { .first = fluid_first,
			      .cpus_from = 1,
			      .cpus_to = 2,
			      .seeds = 20,
			      .observe = check_fluid };

	(void)state;
	run_seeds(&s);
}

#define NAP_NS (20 * US)

static uint64_t naps_ns;

/* Runs for less than a slice, sleeps for almost nothing, again and again. */
static void *nap_often(void *arg)
{
	uint64_t burst_ns = (uintptr_t)arg;

	for (;;) {
		host_compute(burst_ns);
		sleep_for(NAP_NS);
		naps_ns += NAP_NS;
	}
	return NULL;
}

/*
 * Lag lasts through sleep: naps neither gain nor lose CPU time, so the napper and a hog have half
 * each, less a slice and what the naps took (nothing while the napper owes: it stays in the sums
 * then). With short bursts the napper only keeps up because it comes back owed; the hog because it
 * is owed after a long one.
 */
static void lag_first(void *arg)
{
	uint64_t napper_ns, hog_ns, half_ns;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 90);
	threads[0] = make(0, SCHED_OTHER, 0, nap_often, 200 * US + draw(2500 * US));
	threads[1] = make(0, SCHED_OTHER, 0, hog_for_ever, 0);
	sleep_for(2 * NSEC_PER_SEC);
	napper_ns = thread_runtime_ns(threads[0]);
	hog_ns = thread_runtime_ns(threads[1]);
	/* of the time when both want to run; 1 % for interrupts and switches */
	half_ns = NSEC_PER_SEC - naps_ns / 2;
	CHECK(napper_ns < NSEC_PER_SEC + FAIR_SLICE_NS);
	CHECK(napper_ns > half_ns - FAIR_SLICE_NS - 20 * MS);
	CHECK(hog_ns < half_ns + naps_ns + FAIR_SLICE_NS + 20 * MS);
}

static void lag_through_sleep(void **state)
{
	(void)state;
	run(lag_first, 1, 2, 20);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static struct semaphore sem;
static uint32_t posted, taken, working;

static void *use_semaphore(void *arg)
{
	for (unsigned i = 0; i < 12; i++) {
		switch (draw(5)) {
		case 0:
			semaphore_post(&sem);
			posted++;
			break;
		case 1:
			taken += !semaphore_trywait(&sem);
			break;
		case 2:
			taken += !semaphore_wait_until(&sem, time_now_ns() + draw(3 * US));
			break;
		case 3:
			taken += !semaphore_wait_until(&sem, time_now_ns() + draw(30 * US));
			break;
		default:
			draw(2) ? host_compute(draw(10 * US)) : yield_or_compute(US);
		}
	}
	working--;
	return arg;
}

static void *wait_for_one(void *arg)
{
	semaphore_wait(&sem);
	taken++;
	working--;
	return arg;
}

/*
 * Posts meet time-outs: every unit posted is taken once or is left at the end, and nobody sleeps on
 * a unit.
 */
static void semaphore_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(6);

	(void)arg;
	choose_yields();
	become(SCHED_FIFO, 50);
	semaphore_init(&sem, 0);
	working = n;
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_any(draw(4) ? use_semaphore : wait_for_one, i);
	while (working) {
		sleep_for(10 * US);
		semaphore_post(&sem);
		posted++;
	}
	join_all(n);
	while (!semaphore_trywait(&sem))
		taken++;
	CHECK(posted == taken);
	CHECK(wait_queue_empty(&sem.waiters));
}

static void semaphores(void **state)
{
	(void)state;
	run(semaphore_first, 1, 4, SEEDS);
}

static struct mutex mutex;
static struct thread *inside;
static unsigned locked;

static void *use_mutex(void *arg)
{
	for (unsigned i = 0; i < 10; i++) {
		int err = draw(3) ? mutex_lock(&mutex) :
			  draw(2) ? mutex_trylock(&mutex) :
				    mutex_lock_until(&mutex, time_now_ns() + draw(5 * US));

		if (err) {
			CHECK(err == -EBUSY || err == -ETIMEDOUT);
			CHECK(mutex_unlock(&mutex) == -EPERM);
			continue;
		}
		CHECK(!inside);
		inside = thread_current();
		CHECK(mutex_lock(&mutex) == -EDEADLK);
		draw(2) ? host_compute(draw(2 * US)) : yield_or_compute(US);
		CHECK(inside == thread_current());
		inside = NULL;
		locked++;
		CHECK(!mutex_unlock(&mutex));
	}
	return arg;
}

static void mutex_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(6);

	(void)arg;
	choose_yields();
	mutex_init(&mutex);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_any(use_mutex, i);
	join_all(n);
	CHECK(locked && wait_queue_empty(&mutex.waiters) && !mutex_trylock(&mutex));
}

static void mutexes(void **state)
{
	(void)state;
	run(mutex_first, 1, 4, SEEDS);
}

#define ROOM  3
#define ITEMS 12

static struct condition not_empty, not_full;
static unsigned buffer[ROOM], in_buffer, sent, received;

static void wait_or_time_out(struct condition *c)
{
	int err = draw(2) ? condition_wait(c, &mutex) :
			    condition_wait_until(c, &mutex, time_now_ns() + draw(20 * US));

	CHECK(!err || err == -ETIMEDOUT);
	CHECK(mutex_trylock(&mutex) == -EBUSY && mutex_lock(&mutex) == -EDEADLK);
}

static void *produce(void *arg)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		CHECK(!mutex_lock(&mutex));
		while (in_buffer == ROOM)
			wait_or_time_out(&not_full);
		buffer[in_buffer++] = sent++;
		draw(2) ? condition_signal(&not_empty) : condition_broadcast(&not_empty);
		CHECK(!mutex_unlock(&mutex));
	}
	return arg;
}

static void *consume(void *arg)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		CHECK(!mutex_lock(&mutex));
		while (!in_buffer)
			wait_or_time_out(&not_empty);
		CHECK(buffer[0] == received);
		received++;
		memmove(buffer, buffer + 1, --in_buffer * sizeof(buffer[0]));
		CHECK(!mutex_unlock(&mutex));
		draw(2) ? condition_signal(&not_full) : condition_broadcast(&not_full);
	}
	return arg;
}

/* A bounded buffer: a lost wake-up is a deadlock, which the machine reports. */
static void condition_first(void *arg)
{
	unsigned n = 1 + (unsigned)draw(4);

	(void)arg;
	mutex_init(&mutex);
	condition_init(&not_empty);
	condition_init(&not_full);
	for (unsigned i = 0; i < n; i++) {
		threads[2 * i] = make_any(produce, i);
		threads[2 * i + 1] = make_any(consume, i);
	}
	join_all(2 * n);
	CHECK(received == n * ITEMS && !in_buffer && !not_empty.waiting && !not_full.waiting);
}

static void conditions(void **state)
{
	(void)state;
	run(condition_first, 1, 4, SEEDS);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void *live_briefly(void *arg)
{
	if (draw(2))
		host_compute(draw(3 * US));
	if (draw(3) == 0)
		sleep_for(draw(5 * US));
	if (draw(2))
		thread_exit(arg);
	return arg;
}

/* Threads that end before, while and after somebody joins or detaches them. */
static void life_first(void *arg)
{
	unsigned before = thread_count();

	(void)arg;
	for (unsigned round = 0; round < 6; round++) {
		unsigned n = 1 + (unsigned)draw(WORKERS);

		for (unsigned i = 0; i < n; i++)
			threads[i] = make_any(live_briefly, i + 1);
		for (unsigned i = 0; i < n; i++) {
			void *result = NULL;

			if (draw(2))
				host_compute(draw(4 * US));
			if (draw(3) == 0) {
				CHECK(!thread_detach(threads[i]));
				continue;
			}
			CHECK(thread_join(thread_current(), NULL) == -EDEADLK);
			CHECK(!thread_join(threads[i], &result));
			CHECK(result == (void *)(uintptr_t)(i + 1));
		}
	}
	sleep_for(10 * MS);
	for (unsigned i = 0; i < WORKERS * 6; i++)
		CHECK(!thread_join(make_any(live_briefly, 0), NULL));
	CHECK(thread_count() == before);
}

static void join_detach_exit(void **state)
{
	(void)state;
	run(life_first, 1, 4, SEEDS);
}

/* ---- creation while memory is refused -------------------------------------------------------- */

#define CREATORS 4
#define CHILDREN 90 /* each: together more than one page of the table of ids holds */

static bool memory_is_short;
static uint32_t refused;

static bool refuses(void)
{
	bool yes = memory_is_short && draw(3);

	refused += yes;
	return yes;
}

void *__real_page_alloc_zero(unsigned order);
void *__wrap_page_alloc_zero(unsigned order);
/* Takes its time, as clearing a page does. */
void *__wrap_page_alloc_zero(unsigned order)
{
	if (memory_is_short)
		host_compute(draw(2 * US));
	return refuses() ? NULL : __real_page_alloc_zero(order);
}

void *__real_stack_alloc(size_t bytes, bool *cached);
void *__wrap_stack_alloc(size_t bytes, bool *cached);
void *__wrap_stack_alloc(size_t bytes, bool *cached)
{
	return refuses() ? NULL : __real_stack_alloc(bytes, cached);
}

static struct thread *children[CREATORS][CHILDREN];

static void *wait_at_gate(void *arg)
{
	semaphore_wait(&gate);
	return arg;
}

static void *create_children(void *arg)
{
	const struct thread_attr attr = { .affinity = &cpu_online_mask };
	unsigned made = 0;

	while (made < CHILDREN) {
		struct thread **t = &children[(uintptr_t)arg][made];
		int err = thread_create(t, &attr, wait_at_gate, t);

		CHECK(!err || err == -EAGAIN);
		made += !err;
		host_compute(draw(US));
	}
	return arg;
}

static void check_ids(unsigned creators)
{
	static bool seen[(CREATORS + 1) * (CHILDREN + 1)];

	for (unsigned i = 0; i < creators * CHILDREN; i++) {
		int32_t tid = thread_tid(children[i / CHILDREN][i % CHILDREN]);

		CHECK(tid > 0 && tid < (int32_t)ARRAY_SIZE(seen) && !seen[tid]);
		seen[tid] = true;
	}
}

/*
 * Two of three requests fail: a creator is told so and nothing is left behind, neither of a thread nor of a page for
 * the table of ids, which several CPUs may find full at once.
 */
static void short_memory_first(void *arg)
{
	unsigned before = thread_count(), n = 3 + (unsigned)draw(CREATORS - 2);
	size_t free_bytes;

	(void)arg;
	become(SCHED_FIFO, 50);
	semaphore_init(&gate, 0);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_anywhere(SCHED_OTHER, 0, create_children, i);
	free_bytes = page_free_bytes();
	memory_is_short = true;
	join_all(n);
	memory_is_short = false;
	CHECK(refused && thread_count() == before + n * CHILDREN);
	CHECK(free_bytes - page_free_bytes() == PAGE_SIZE);
	check_ids(n);
	for (unsigned i = 0; i < n * CHILDREN; i++)
		semaphore_post(&gate);
	for (unsigned i = 0; i < n * CHILDREN; i++)
		CHECK(!thread_join(children[i / CHILDREN][i % CHILDREN], NULL));
	CHECK(thread_count() == before);
}

static void creation_without_memory(void **state)
{
	(void)state;
	run(short_memory_first, 1, 4, SEEDS / 10);
}

/* ---- affinity, policies, hooks: changed while the threads do all sorts of things ------------- */

static bool stop;

static void *busy(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		switch (draw(6)) {
		case 0:
			sleep_for(draw(20 * US));
			break;
		case 1:
			semaphore_wait_until(&sem, time_now_ns() + draw(20 * US));
			break;
		case 2:
			semaphore_post(&sem);
			break;
		case 3:
			yield_or_compute(US);
			break;
		default:
			host_compute(draw(20 * US));
		}
		number[(uintptr_t)arg]++;
	}
	return arg;
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

/*
 * Besides what host_check.c sees at every quiet moment: who sets its own mask runs inside it when
 * the call returns.
 */
static void affinity_first(void *arg)
{
	unsigned n = 1 + (unsigned)draw(7);
	struct cpumask mask;

	(void)arg;
	choose_yields();
	become(SCHED_FIFO, 50);
	semaphore_init(&sem, 0);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_any(busy, i);
	for (unsigned i = 0; i < 40; i++) {
		struct thread *t = draw(4) ? threads[draw(n)] : thread_current();

		draw_mask(&mask);
		CHECK(!thread_set_affinity(t, &mask));
		if (t == thread_current()) {
			unsigned long flags = arch_irq_save();

			CHECK(cpumask_test(&mask, arch_cpu_self()->index));
			arch_irq_restore(flags);
		}
		if (draw(2))
			sleep_for(draw(30 * US));
	}
	cpumask_clear(&mask);
	CHECK(thread_set_affinity(threads[0], &mask) == -EINVAL);
	cpumask_set(&mask, cpu_count);
	CHECK(thread_set_affinity(threads[0], &mask) == -EINVAL);
	for (unsigned i = 0; i < n; i++)
		thread_set_affinity(threads[i], &cpu_online_mask);
	stop = true;
	join_all(n);
}

static void affinity(void **state)
{
	(void)state;
	run(affinity_first, 1, 5, 2 * SEEDS);
}

static void *doze(void *arg)
{
	while (!atomic_load_relaxed(&stop))
		sleep_for(draw(2 * US));
	return arg;
}

static void *move_others(void *arg)
{
	struct cpumask mask;

	for (unsigned i = 0; i < 60; i++) {
		draw_mask(&mask);
		CHECK(!thread_set_affinity(threads[draw((uintptr_t)arg)], &mask));
		host_compute(draw(US));
	}
	return arg;
}

/* Their affinity changes while they are between two CPUs: the one they do not come to stays idle. */
static void moved_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(3);

	(void)arg;
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_any(doze, i);
	threads[n] = make_anywhere(SCHED_FIFO, 50, move_others, n);
	threads[n + 1] = make_anywhere(SCHED_FIFO, 50, move_others, n);
	CHECK(!thread_join(threads[n], NULL) && !thread_join(threads[n + 1], NULL));
	stop = true;
	join_all(n);
}

static void affinity_on_the_way(void **state)
{
	(void)state;
	run(moved_first, 3, 6, SEEDS / 2);
}

static void policy_first(void *arg)
{
	unsigned n = 2 + (unsigned)draw(6);

	(void)arg;
	choose_yields();
	become(SCHED_FIFO, 50);
	semaphore_init(&sem, 0);
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_any(busy, i);
	for (unsigned i = 0; i < 40; i++) {
		int policy = (int)draw(3);
		struct thread *t = threads[draw(n)];
		struct cpumask mask;

		if (draw(4) == 0) {
			draw_mask(&mask);
			CHECK(!thread_set_affinity(t, &mask));
		}
		CHECK(!sched_set_policy(t, policy, policy ? 1 + (int)draw(60) : 0,
					policy ? 0 : (int)draw(40) - 20));
		if (draw(2))
			sleep_for(draw(30 * US));
	}
	CHECK(sched_set_policy(threads[0], SCHED_FIFO, 0, 0) == -EINVAL);
	CHECK(sched_set_policy(threads[0], SCHED_OTHER, 0, 20) == -EINVAL);
	stop = true;
	join_all(n);
}

static void policies(void **state)
{
	(void)state;
	run(policy_first, 1, 4, SEEDS);
}

static uint32_t hooks_run;

static void count_hook(struct thread *t)
{
	CHECK(t == thread_current() && arch_irq_enabled());
	hooks_run++;
	if (draw(2))
		host_compute(draw(2 * US));
}

/*
 * Each hook that was taken runs once, in its own thread, soon: also in one that computes for long,
 * or waits for its turn behind such a one.
 */
static void hooks_first(void *arg)
{
	unsigned n = 1 + (unsigned)draw(6);
	uint32_t set = 0;

	(void)arg;
	choose_yields();
	become(SCHED_FIFO, 70);
	semaphore_init(&sem, 0);
	for (unsigned i = 0; i < n; i++)
		threads[i] = draw(3) ? make_any(busy, i) : make_any(hog, 400 * US);
	for (unsigned i = 0; i < 30; i++) {
		struct thread *t = threads[draw(n)];
		int err;

		if (t->exited)
			continue;
		err = thread_set_hook(t, count_hook);
		CHECK(!err || err == -EBUSY);
		set += !err;
		if (draw(2))
			sleep_for(draw(30 * US));
	}
	stop = true;
	sleep_for(20 * MS);
	for (unsigned i = 0; i < n; i++)
		CHECK(threads[i]->exited || !threads[i]->hook);
	join_all(n);
	CHECK(hooks_run <= set && hooks_run + n >= set);
}

static void hooks(void **state)
{
	(void)state;
	run(hooks_first, 1, 4, SEEDS);
}

static uint64_t hooked_ns;

static void note_hook(struct thread *t)
{
	(void)t;
	hooked_ns = host_now_ns;
}

static void hook_of_a_hog_first(void *arg)
{
	uint64_t set_ns;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 70);
	threads[0] = make(cpu_count - 1, draw(2) ? SCHED_FIFO : SCHED_OTHER, 10, hog, 50 * MS);
	sleep_for(MS);
	set_ns = host_now_ns;
	CHECK(!thread_set_hook(threads[0], note_hook));
	CHECK(thread_set_hook(threads[0], note_hook) == -EBUSY || hooked_ns);
	sleep_for(10 * US);
	CHECK(hooked_ns && hooked_ns - set_ns < 15 * US);
	join_all(1);
}

static void hook_of_a_hog(void **state)
{
	(void)state;
	run(hook_of_a_hog_first, 1, 2, SEEDS / 4);
}

/* ---- load: nothing but the checks of host_check.c -------------------------------------------- */

/* Above the FIFO workers: enough of them keep a CPU busy for good. */
static void load_first(void *arg)
{
	unsigned n = 1 + (unsigned)draw(WORKERS);

	(void)arg;
	choose_yields();
	become(SCHED_FIFO, 50);
	semaphore_init(&sem, 0);
	for (unsigned i = 0; i < n; i++) {
		struct cpumask mask;

		draw_mask(&mask);
		threads[i] = make_on(draw(2) ? &mask : &cpu_online_mask,
				     draw(2) ? SCHED_OTHER : SCHED_FIFO, 5, busy, i);
	}
	sleep_for(MS);
	stop = true;
	join_all(n);
}

static void work_conservation(void **state)
{
	(void)state;
	run(load_first, 1, 8, SEEDS);
}

static void *wake_with_others(void *arg)
{
	pin_self(0);
	CHECK(!thread_set_affinity(thread_current(), &cpu_online_mask));
	thread_sleep_until(*(uint64_t *)arg);
	host_compute(50 * US);
	return NULL;
}

/*
 * One interrupt wakes several, each better than the pinned thread that it interrupts: one takes its
 * CPU, the others go to CPUs that are idle.
 */
static void woken_together_first(void *arg)
{
	uint64_t at_ns = time_now_ns() + 500 * US;
	unsigned n = 2 + (unsigned)draw(cpu_count);

	(void)arg;
	become(SCHED_FIFO, 50);
	threads[0] = make(0, SCHED_OTHER, 0, hog, 2 * MS);
	for (unsigned i = 1; i <= n; i++)
		threads[i] = make_anywhere(SCHED_FIFO, 5, wake_with_others, (uintptr_t)&at_ns);
	join_all(n + 1);
}

static void woken_together(void **state)
{
	(void)state;
	run(woken_together_first, 2, 4, SEEDS / 5);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static struct tick {
	struct timer timer;
	uint64_t due_ns;
	uint32_t fired, running;
} ticks[WORKERS];

static void tick_fn(struct timer *timer)
{
	struct tick *t = container_of(timer, struct tick, timer);

	CHECK(!arch_irq_enabled() && !timer->armed);
	CHECK(host_now_ns >= t->due_ns && host_now_ns - t->due_ns < 200 * US);
	t->running = 1;
	atomic_fetch_add_relaxed(&t->fired, 1u);
	atomic_load_relaxed(&t->fired);
	t->running = 0;
}

static void *arm_and_cancel(void *arg)
{
	struct tick *t = &ticks[(uintptr_t)arg];

	for (unsigned i = 0; i < 10; i++) {
		unsigned long flags = arch_irq_save();
		uint32_t fired = t->fired;
		bool cancelled;

		timer_init(&t->timer, tick_fn);
		t->due_ns = host_now_ns + draw(10 * US);
		timer_add(&t->timer, t->due_ns);
		arch_irq_restore(flags);
		draw(2) ? host_compute(draw(12 * US)) : sleep_for(draw(12 * US));
		if (draw(2)) {
			flags = arch_irq_save();
			cancelled = timer_cancel(&t->timer);
			arch_irq_restore(flags);
			while (!cancelled && atomic_load_relaxed(&t->fired) == fired)
				arch_cpu_relax();
			timer_cancel_wait(&t->timer);
			CHECK(t->fired == fired + !cancelled);
		} else {
			timer_cancel_wait(&t->timer);
			CHECK(t->fired <= fired + 1);
		}
		CHECK(!t->timer.armed && !t->running);
	}
	return arg;
}

/*
 * Armed on one CPU, cancelled on whichever the thread is then: each fires once, on time, or was
 * cancelled; afterwards its function does not run.
 */
static void timers_first(void *arg)
{
	unsigned n = 1 + (unsigned)draw(8);

	(void)arg;
	for (unsigned i = 0; i < n; i++)
		threads[i] = make_anywhere(SCHED_OTHER, 0, arm_and_cancel, i);
	join_all(n);
}

static void timers_across_cpus(void **state)
{
	(void)state;
	run(timers_first, 1, 4, SEEDS);
}

static struct {
	struct timer timer;
	struct spinlock lock;
	bool over, gone; /* lock; nobody may look any more */
	uint32_t fired;
} beat;

static void beat_again(uint64_t ns)
{
	unsigned long flags = spin_lock_irqsave(&beat.lock);

	if (!beat.over && !beat.timer.armed)
		timer_add(&beat.timer, host_now_ns + ns);
	spin_unlock_irqrestore(&beat.lock, flags);
}

static void beat_fn(struct timer *timer)
{
	(void)timer;
	atomic_fetch_add_relaxed(&beat.fired, 1u);
	beat_again(draw(2 * US));
	for (unsigned i = (unsigned)draw(20); i; i--)
		arch_cpu_relax();
	CHECK(!beat.gone);
}

/* Its function and another thread arm it again and again, on whichever CPU they are. */
static void stop_first(void *arg)
{
	unsigned long flags;

	(void)arg;
	beat.over = beat.gone = false;
	beat.fired = 0;
	spin_init(&beat.lock, LOCK_EXT);
	timer_init(&beat.timer, beat_fn);
	for (unsigned i = 0; i < 5; i++) {
		beat_again(draw(5 * US));
		pin_self((unsigned)draw(cpu_count));
		host_compute(draw(5 * US));
	}
	flags = spin_lock_irqsave(&beat.lock);
	beat.over = true;
	spin_unlock_irqrestore(&beat.lock, flags);
	timer_stop(&beat.timer);
	beat.gone = true;
	CHECK(!beat.timer.armed);
	sleep_for(20 * US);
}

static void a_timer_that_goes_on_is_stopped(void **state)
{
	(void)state;
	run(stop_first, 1, 4, SEEDS);
}

static void *sleep_and_note(void *arg)
{
	thread_sleep_until((uintptr_t)arg);
	CHECK(time_now_ns() >= (uintptr_t)arg);
	ordered++;
	return NULL;
}

/* More timers due at once than one interrupt may run. */
static void many_timers_first(void *arg)
{
	uint64_t until_ns = time_now_ns() + MS;

	(void)arg;
	become(SCHED_FIFO, 50);
	for (unsigned i = 0; i < WORKERS; i++)
		threads[i] = make(cpu_count - 1, SCHED_FIFO, 10, sleep_and_note, until_ns);
	sleep_for(2 * MS);
	CHECK(ordered == WORKERS);
	join_all(WORKERS);
}

static void many_timers_at_once(void **state)
{
	(void)state;
	run(many_timers_first, 1, 2, SEEDS / 4);
}

/*
 * In the window the timer's functions run, but nobody is switched to before the interrupts are
 * enabled again.
 */
static void window_first(void *arg)
{
	unsigned long flags, state;

	(void)arg;
	pin_self(0);
	become(SCHED_FIFO, 10);
	threads[0] = make(0, SCHED_FIFO, 50, sleep_and_note, time_now_ns() + 20 * US);
	flags = arch_irq_save();
	host_compute(30 * US);
	CHECK(threads[0]->sched.state == THREAD_BLOCKED);
	state = arch_timer_window_open();
	host_compute(0);
	arch_sync_point();
	CHECK(threads[0]->sched.state == THREAD_RUNNABLE && !ordered);
	arch_timer_window_close(state);
	CHECK(!ordered);
	arch_irq_restore(flags);
	if (!ordered)
		sched_reschedule_self(arch_irq_save());
	CHECK(ordered == 1);
	join_all(1);
}

static void timer_window(void **state)
{
	(void)state;
	run(window_first, 1, 2, SEEDS / 4);
}

/* ---- the machine itself ---------------------------------------------------------------------- */

static uint64_t *shared; /* with the children */

static void repeat_first(void *arg)
{
	semaphore_first(arg);
	shared[host_nr_cpus] = shared[host_nr_cpus] ?
				       shared[host_nr_cpus] - (host_steps() ^ host_now_ns) :
				       host_steps() ^ host_now_ns;
}

/* The same seed takes the same way: the same number of steps, the same time. */
static void a_seed_repeats(void **state)
{
	(void)state;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	run(repeat_first, 1, 4, 1);
	for (unsigned i = 1; i <= 4; i++)
		assert_true(shared[i]);
	run(repeat_first, 1, 4, 1);
	for (unsigned i = 1; i <= 4; i++)
		assert_true(!shared[i]);
	munmap(shared, 4096);
}

static void deadlock_first(void *arg)
{
	(void)arg;
	semaphore_init(&sem, 0);
	semaphore_wait(&sem);
}

static void a_deadlock_is_found(void **state)
{
	struct scenario s = {
		.first = deadlock_first, .cpus_from = 1, .cpus_to = 4, .seeds = 2, .expect = 134
	};

	(void)state;
	run_seeds(&s);
}

static void livelock_first(void *arg)
{
	(void)arg;
	for (;;)
		arch_cpu_relax();
}

static void a_livelock_is_found(void **state)
{
	struct scenario s = { .first = livelock_first,
			      .cpus_from = 1,
			      .cpus_to = 2,
			      .seeds = 2,
			      .expect = 134,
			      .steps_max = 100000 };

	(void)state;
	run_seeds(&s);
}

static void assert_first(void *arg)
{
	(void)arg;
	ASSERT(!"this one fails");
}

static void an_assertion_ends_with_134(void **state)
{
	struct scenario s = {
		.first = assert_first, .cpus_from = 1, .cpus_to = 2, .seeds = 2, .expect = 134
	};

	(void)state;
	run_seeds(&s);
}

/* An argument is a pattern: only the tests that match it are run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fifo_order),
		cmocka_unit_test(wake_order),
		cmocka_unit_test(preempted_goes_on_first),
		cmocka_unit_test(preemption_by_post),
		cmocka_unit_test(preemption_by_timer),
		cmocka_unit_test(rr_quantum),
		cmocka_unit_test(fair_shares),
		cmocka_unit_test(fair_against_the_fluid_model),
		cmocka_unit_test(lag_through_sleep),
		cmocka_unit_test(semaphores),
		cmocka_unit_test(mutexes),
		cmocka_unit_test(conditions),
		cmocka_unit_test(join_detach_exit),
		cmocka_unit_test(creation_without_memory),
		cmocka_unit_test(affinity),
		cmocka_unit_test(affinity_on_the_way),
		cmocka_unit_test(policies),
		cmocka_unit_test(hooks),
		cmocka_unit_test(hook_of_a_hog),
		cmocka_unit_test(work_conservation),
		cmocka_unit_test(woken_together),
		cmocka_unit_test(timers_across_cpus),
		cmocka_unit_test(a_timer_that_goes_on_is_stopped),
		cmocka_unit_test(many_timers_at_once),
		cmocka_unit_test(timer_window),
		cmocka_unit_test(a_seed_repeats),
		cmocka_unit_test(a_deadlock_is_found),
		cmocka_unit_test(a_livelock_is_found),
		cmocka_unit_test(an_assertion_ends_with_134),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
