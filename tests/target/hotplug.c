/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that go off and come back while threads run: nobody is lost, timers fire, and the CPU that is
 * back is used at once. Each test leaves all CPUs online.
 */
#include "core/hotplug.h"
#include "tests/target/test.h"

#define LOAD_MAX 24

static uint32_t stop;

static bool is_online(unsigned cpu)
{
	return cpumask_test(&cpu_online_mask, cpu);
}

/* ---- a load that shows whether everybody gets on --------------------------------------------- */

static struct {
	struct thread *t[LOAD_MAX];
	uint32_t steps[LOAD_MAX]; /* [a] */
	unsigned n;
} load;

static void step(uintptr_t i)
{
	atomic_store_relaxed(&load.steps[i], load.steps[i] + 1);
}

/*
 * Long sleeps: an emulated CPU whose host is busy must have time for others between two of a
 * real-time thread.
 */
static void *sleeper(void *arg)
{
	while (!atomic_load_relaxed(&stop)) {
		step((uintptr_t)arg);
		sleep_us(5000);
	}
	return NULL;
}

static void *hog(void *arg)
{
	while (!atomic_load_relaxed(&stop))
		step((uintptr_t)arg);
	return NULL;
}

static struct semaphore ball[2];

static void *player(void *arg)
{
	uintptr_t i = (uintptr_t)arg, side = i & 1;

	while (!atomic_load_relaxed(&stop)) {
		semaphore_wait(&ball[side]);
		step(i);
		if (side)
			sleep_us(2000);
		semaphore_post(&ball[!side]);
	}
	semaphore_post(&ball[!side]);
	return NULL;
}

static void load_add(int cpu, int policy, int priority, void *(*entry)(void *))
{
	load.steps[load.n] = 0;
	load.t[load.n] = spawn(cpu, policy, priority, entry, (void *)(uintptr_t)load.n);
	load.n++;
}

/*
 * Two that play ping-pong, on CPUs 0 and 1; on each of the first CPUs two sleepers; and hogs: few,
 * since an emulated CPU that waits for its host's makes every change wait; and free to go, since
 * each idle CPU that finds a pinned one waiting queues up for the lock of that CPU.
 */
static void load_start(unsigned hogs)
{
	unsigned pinned = MIN(test_cpus(), 4u);

	stop = 0;
	load.n = 0;
	semaphore_init(&ball[0], 1);
	semaphore_init(&ball[1], 0);
	load_add(0, SCHED_FIFO, 20, player);
	load_add(1, SCHED_OTHER, 0, player);
	for (unsigned i = 0; i < pinned; i++) {
		load_add((int)i, SCHED_OTHER, 0, sleeper);
		load_add((int)i, SCHED_FIFO, 10, sleeper);
	}
	load_add(ANY_CPU, SCHED_RR, 5, sleeper);
	for (unsigned i = 0; i < hogs; i++)
		load_add(ANY_CPU, SCHED_OTHER, 0, hog);
}

/* Sleeps as long as they do: this thread is above all of them. */
static void everybody_gets_on(void)
{
	uint32_t seen[LOAD_MAX];
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

	for (unsigned i = 0; i < load.n; i++)
		seen[i] = atomic_load_relaxed(&load.steps[i]);
	for (unsigned i = 0; i < load.n; i++) {
		while (atomic_load_relaxed(&load.steps[i]) == seen[i] && time_now_ns() < end_ns)
			sleep_us(5000);
		CHECK(atomic_load_relaxed(&load.steps[i]) != seen[i]);
	}
}

static void load_end(void)
{
	everybody_gets_on();
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < load.n; i++)
		join(load.t[i]);
}

static void take_off(unsigned cpu)
{
	CHECK_EQ(cpu_offline(cpu), 0);
	CHECK(!is_online(cpu));
	CHECK(cpu_at(cpu)->rq.curr == cpu_at(cpu)->rq.idle && !cpu_at(cpu)->rq.nr_ready);
	CHECK(timer_first_ns(&cpu_at(cpu)->timers) == UINT64_MAX);
}

static void bring_back(unsigned cpu)
{
	CHECK_EQ(cpu_online(cpu), 0);
	CHECK(is_online(cpu));
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(hotplug_of_each_cpu_under_load)
{
	unsigned n = test_cpus();

	NEEDS_CPUS(2);
	become(ANY_CPU, SCHED_FIFO, 50);
	load_start(1);
	for (unsigned cpu = 0; cpu < n; cpu++) {
		take_off(cpu);
		everybody_gets_on();
		bring_back(cpu);
	}
	load_end();
}

/* Firmware says that it is off, or it is one that firmware cannot stop. */
TEST(hotplug_stops_the_cpu)
{
	unsigned last = test_cpus() - 1;

	NEEDS_CPUS(2);
	take_off(last);
	CHECK(arch_cpu_stopped(cpu_at(last)) || cpu_at(last)->online == CPU_PARKED);
	CHECK_EQ(cpu_offline(last), 0);
	bring_back(last);
	CHECK(!arch_cpu_stopped(cpu_at(last)));
	CHECK_EQ(cpu_online(last), 0);
}

/* From the CPU on which the caller is, down to one, which is refused. */
TEST(hotplug_refuses_the_last_cpu)
{
	unsigned n = test_cpus();

	for (unsigned left = n; left > 1; left--) {
		unsigned self = current_cpu();

		take_off(self);
		CHECK(current_cpu() != self);
	}
	CHECK_EQ(cpu_offline(current_cpu()), -EBUSY);
	CHECK_EQ(test_cpus(), 1);
	CHECK_EQ(cpu_offline(cpu_count), -EINVAL);
	CHECK_EQ(cpu_online(cpu_count), -EINVAL);
	for (unsigned i = 0; i < n; i++)
		bring_back(i);
	CHECK_EQ(test_cpus(), n);
}

/* With the boot argument cpus=: what was never started comes up later as well. */
TEST(hotplug_starts_what_boot_left_off)
{
	unsigned n = test_cpus();

	SKIP_UNLESS(n < cpu_count, "needs a CPU that boot left off");
	for (unsigned cpu = 0; cpu < cpu_count; cpu++)
		bring_back(cpu);
	CHECK_EQ(test_cpus(), cpu_count);
	for (unsigned cpu = n; cpu < cpu_count; cpu++)
		take_off(cpu);
	CHECK_EQ(test_cpus(), n);
}

static void *note_cpu(void *arg)
{
	semaphore_wait(arg);
	return (void *)(uintptr_t)(current_cpu() + 1);
}

/* The console's line of it is looked for by tests/qemu/test_hotplug.py. */
TEST(hotplug_widens_the_mask_of_pinned_threads)
{
	struct semaphore s = SEMAPHORE_INIT(0);
	struct cpumask one = one_cpu(1);
	struct thread *t;

	NEEDS_CPUS(2);
	t = spawn(1, SCHED_OTHER, 0, note_cpu, &s);
	REQUIRE(!thread_set_name(t, "pinned"));
	wait_until_blocked(t);
	take_off(1);
	CHECK_EQ(thread_set_affinity(thread_current(), &one), -EINVAL);
	CHECK_EQ(thread_create(NULL, &(struct thread_attr){ .affinity = &one }, note_cpu, &s),
		 -EINVAL);
	CHECK_EQ(cpumask_count(&t->affinity), test_cpus());
	semaphore_post(&s);
	CHECK((uintptr_t)join(t) != 1 + 1);
	bring_back(1);
	CHECK_EQ(thread_set_affinity(thread_current(), &one), 0);
}

static uint32_t ticks;

static void tick(struct timer *timer)
{
	(void)timer;
	atomic_fetch_add_relaxed(&ticks, 1u);
}

static struct timer *armed_on(unsigned cpu, struct timer *timers, unsigned n, uint64_t ns)
{
	become((int)cpu, SCHED_FIFO, 50);
	for (unsigned i = 0; i < n; i++) {
		unsigned long flags = arch_irq_save();

		timer_init(&timers[i], tick);
		timer_add(&timers[i], time_now_ns() + ns + i * 10 * NSEC_PER_USEC);
		arch_irq_restore(flags);
	}
	return timers;
}

/* Timers of a CPU that is off fire elsewhere, each once; those that were cancelled do not. */
TEST(hotplug_keeps_timers)
{
	static struct timer timers[40];
	unsigned cpu = test_cpus() - 1, cancelled = 0;
	uint64_t end_ns;

	NEEDS_CPUS(2);
	atomic_store_relaxed(&ticks, 0u);
	armed_on(cpu, timers, ARRAY_SIZE(timers), 100 * NSEC_PER_MSEC);
	become(0, SCHED_FIFO, 50);
	take_off(cpu);
	for (unsigned i = 0; i < ARRAY_SIZE(timers); i += 4) {
		unsigned long flags = arch_irq_save();

		cancelled += timer_cancel(&timers[i]);
		arch_irq_restore(flags);
	}
	end_ns = time_now_ns() + 10 * NSEC_PER_SEC;
	while (atomic_load_relaxed(&ticks) + cancelled < ARRAY_SIZE(timers) &&
	       time_now_ns() < end_ns)
		sleep_us(1000);
	sleep_us(5000);
	CHECK_EQ(atomic_load_relaxed(&ticks) + cancelled, ARRAY_SIZE(timers));
	for (unsigned i = 0; i < ARRAY_SIZE(timers); i++)
		timer_cancel_wait(&timers[i]);
	bring_back(cpu);
}

static unsigned cpus_used(struct thread *const *t, unsigned n)
{
	struct cpumask used;

	cpumask_clear(&used);
	for (unsigned i = 0; i < n; i++)
		cpumask_set(&used, atomic_load_relaxed(&t[i]->sched.cpu)->index);
	return cpumask_count(&used);
}

/*
 * After each CPU was off and on again, twice as many hogs as CPUs are on all of them: no CPU was
 * forgotten.
 */
TEST(hotplug_and_then_every_cpu_is_used)
{
	static struct thread *t[2 * ARCH_CPU_MAX];
	unsigned n = test_cpus();

	NEEDS_CPUS(2);
	become(ANY_CPU, SCHED_FIFO, 50);
	for (unsigned cpu = 0; cpu < n; cpu++) {
		unsigned spread = 0;

		take_off(cpu);
		bring_back(cpu);
		stop = 0;
		for (unsigned i = 0; i < 2 * n; i++)
			t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, hog,
				     (void *)(uintptr_t)(i % LOAD_MAX));
		for (unsigned tries = 0; tries < 1000 && spread < n; tries++) {
			sleep_us(2000);
			spread = cpus_used(t, 2 * n);
		}
		CHECK_EQ(spread, n);
		atomic_store_relaxed(&stop, 1u);
		for (unsigned i = 0; i < 2 * n; i++)
			join(t[i]);
	}
}

/* Hogs that wait on the CPUs that are left go to the one that is back. */
TEST(hotplug_cpu_that_is_back_pulls)
{
	static struct thread *t[ARCH_CPU_MAX];
	struct cpumask all = cpu_online_mask;
	unsigned n = test_cpus(), spread = 0;

	NEEDS_CPUS(2);
	become(0, SCHED_FIFO, 50);
	take_off(n - 1);
	stop = 0;
	for (unsigned i = 0; i < n; i++) {
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, hog, (void *)(uintptr_t)(i % LOAD_MAX));
		CHECK_EQ(thread_set_affinity(t[i], &all), 0);
	}
	bring_back(n - 1);
	for (unsigned tries = 0; tries < 1000 && spread < n; tries++) {
		sleep_us(2000);
		spread = cpus_used(t, n);
	}
	CHECK_EQ(spread, n);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
}

/* Ten times at least: on a host that is busy with other things a time takes a second. */
TEST(hotplug_a_hundred_times_at_random)
{
	uint64_t end_ns = time_now_ns() + 6 * NSEC_PER_SEC;
	uint64_t seed = 0x9e3779b97f4a7c15;
	unsigned n = test_cpus();

	NEEDS_CPUS(2);
	become(ANY_CPU, SCHED_FIFO, 50);
	load_start(0);
	for (unsigned i = 0; i < 100 && (i < 10 || time_now_ns() < end_ns); i++) {
		unsigned cpu = random_below(&seed, n), second = random_below(&seed, n);
		bool two = second != cpu && test_cpus() > 2 && random_below(&seed, 2);

		take_off(cpu);
		if (two)
			take_off(second);
		sleep_us(random_below(&seed, 500));
		bring_back(cpu);
		if (two)
			bring_back(second);
	}
	CHECK_EQ(test_cpus(), n);
	load_end();
}

static void *change_too(void *arg)
{
	uint64_t seed = 1 + (uintptr_t)arg;

	for (unsigned i = 0; i < 20; i++) {
		unsigned cpu = random_below(&seed, cpu_count);
		int err = random_below(&seed, 2) ? cpu_offline(cpu) : cpu_online(cpu);

		CHECK(!err || err == -EBUSY);
		sleep_us(random_below(&seed, 200));
	}
	return NULL;
}

/* Several ask at once: one is served, the others are told so. */
TEST(hotplug_one_at_a_time)
{
	struct thread *t[4];
	unsigned n = test_cpus();

	NEEDS_CPUS(2);
	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, change_too, (void *)i);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		join(t[i]);
	for (unsigned i = 0; i < n; i++)
		bring_back(i);
	CHECK_EQ(test_cpus(), n);
}
