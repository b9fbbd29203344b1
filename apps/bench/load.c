/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Row fifo_under_load_max: the latest of a thousand wake-ups of a FIFO thread by the timer, from the
 * first tick at or after the deadline to its first instruction, on CPU 0 with a hundred busy fair
 * threads, a thread that changes their attributes without a pause worth the name, and a thousand
 * timers that each wake a fair thread. All at random from a fixed seed.
 */
#include "bench.h"

#include "core/sync.h"
#include "core/time.h"

#define HOGS           100u
#define TIMERS         1000u
#define WAKEUPS        1000u
#define WARM_UP        50u
#define PRIORITY       90u
#define STORM_PRIORITY 20u
#define STORM_GAP_NS   (30 * NSEC_PER_USEC)

static struct thread *hogs[HOGS];
static struct timer timers[TIMERS];
static struct semaphore woken = SEMAPHORE_INIT(0);
static struct timeline counter_line;
static uint64_t random_state = 2463534242ull, timer_random = 88172645463325252ull, latest;
static bool over;

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static bool is_over(void)
{
	return atomic_load_relaxed(&over);
}

static void *be_busy(void *arg)
{
	while (!is_over())
		;
	return arg;
}

static void *be_woken(void *arg)
{
	while (!is_over())
		semaphore_wait(&woken);
	return arg;
}

static void *change_attributes(void *arg)
{
	while (!is_over()) {
		for (unsigned i = 0; i < 16; i++) {
			uint64_t r = random_next(&random_state);
			struct sched_attr a = { .size = sizeof(a), .sched_policy = SCHED_OTHER };

			a.sched_nice = (int)(r % 40) - 20;
			a.sched_runtime = SCHED_SLICE_MIN_NS * (1 + (r >> 8) % 50);
			if ((r >> 16) % 16 == 0)
				a.sched_policy = SCHED_IDLE;
			(void)sched_set_attr(hogs[(r >> 24) % HOGS], &a);
		}
		thread_sleep_until(time_now_ns() + STORM_GAP_NS);
	}
	return arg;
}

/* Every 5 to 13 ms, so one about every 9 us. */
static void expired(struct timer *t)
{
	semaphore_post(&woken);
	if (!is_over())
		timer_add(t, time_now_ns() + 5 * NSEC_PER_MSEC +
				     (random_next(&timer_random) & 0x7fffff));
}

static void start_timers(void)
{
	for (unsigned i = 0; i < TIMERS; i++) {
		unsigned long flags = arch_irq_save();

		timer_init(&timers[i], expired);
		timer_add(&timers[i], time_now_ns() + (random_next(&timer_random) & 0x7fffff));
		arch_irq_restore(flags);
	}
}

static void *sleep_and_look(void *arg)
{
	for (unsigned i = 0; i < WARM_UP + WAKEUPS; i++) {
		uint64_t deadline_ns =
			time_now_ns() + 20 * NSEC_PER_USEC + (random_next(&random_state) & 0x3ffff);
		uint64_t pending, cycles;

		thread_sleep_until(deadline_ns);
		cycles = arch_cycles();
		pending = timeline_cycles(&counter_line, ns_to_cycles(deadline_ns));
		if (i >= WARM_UP)
			latest = MAX(latest, cycles - pending + 1 - counter_overhead);
	}
	return arg;
}

static void *calibrate(void *arg)
{
	timeline_init(&counter_line, counter_now, time_base.hz);
	return arg;
}

void rows_load(void)
{
	struct thread *storm, *wakee;

	thread_end(thread_on(0, PRIORITY, 0, calibrate, NULL));
	for (unsigned i = 0; i < HOGS; i++)
		hogs[i] = thread_on(0, 0, (int)(i % 40) - 20, be_busy, NULL);
	wakee = thread_on(0, 0, 0, be_woken, NULL);
	storm = thread_on(0, STORM_PRIORITY, 0, change_attributes, NULL);
	start_timers();
	thread_end(thread_on(0, PRIORITY, 0, sleep_and_look, NULL));
	atomic_store_relaxed(&over, true);
	thread_end(storm);
	for (unsigned i = 0; i < HOGS; i++)
		thread_end(hogs[i]);
	for (unsigned i = 0; i < TIMERS; i++)
		timer_cancel_wait(&timers[i]);
	semaphore_post(&woken);
	thread_end(wakee);
	row_send_value("fifo_under_load_max", latest, "instructions");
}
