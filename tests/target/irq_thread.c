/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt threads, with the alarm device: set to a time that has passed it interrupts at once, so
 * that a handler which sets it again makes a storm. Where there is none, only the errors are tested.
 */
#include "core/alarm.h"
#include "core/irq.h"
#include "core/irq_thread.h"
#include "tests/target/test.h"

#define ALARMS    20u
#define STORM_NS  (60 * NSEC_PER_MSEC)
#define BUDGET_NS (100 * NSEC_PER_USEC)
#define PERIOD_NS (1 * NSEC_PER_MSEC)

static const struct alarm *alarm_device;
static struct irq_thread irq_thread;
static struct semaphore handled;
static struct thread *handled_by;
static uint32_t calls, over;

/* The alarm's interrupt may be one that each CPU has for itself: all is on CPU 0. */
static struct cpumask cpu_0;

static struct irq_thread_attr attributes(uint64_t budget_ns, uint64_t period_ns)
{
	cpumask_set(&cpu_0, 0);
	return (struct irq_thread_attr){
		.thread = { .name = "alarm",
			    .affinity = &cpu_0,
			    .policy = SCHED_FIFO,
			    .priority = 50 },
		.budget_ns = budget_ns,
		.period_ns = period_ns,
		.irq_cpu = IRQ_THREAD_ANY_CPU,
	};
}

static void prepare(void)
{
	alarm_device = alarm_find();
	semaphore_init(&handled, 0);
	calls = 0;
	atomic_store_relaxed(&over, 0u);
	cpumask_set(&cpu_0, 0);
	REQUIRE(!thread_set_affinity(thread_current(), &cpu_0));
}

/* @us from now; 0: it is due already. */
static void set_alarm(uint64_t us)
{
	uint64_t cycles;

	alarm_device->set(alarm_device->now(&cycles) + us * alarm_device->hz / 1000000);
}

static void take_back(void *arg)
{
	CHECK_EQ((uintptr_t)arg, 17);
	CHECK(arch_irq_enabled());
	handled_by = thread_current();
	calls++;
	alarm_device->ack();
	semaphore_post(&handled);
}

/* The device asks again at once: its line falls and rises. */
static void ask_again(void *arg)
{
	(void)arg;
	calls++;
	alarm_device->ack();
	if (!atomic_load_relaxed(&over))
		set_alarm(0);
}

TEST(irq_thread_does_the_work_of_an_interrupt)
{
	struct irq_thread_attr attr = attributes(0, 0);
	struct irq_thread_stats stats;

	prepare();
	if (!alarm_device)
		return;
	REQUIRE(!irq_thread_create(&irq_thread, alarm_device->hwirq, &attr, take_back, (void *)17));
	for (unsigned i = 0; i < ALARMS; i++) {
		set_alarm(i % 3 * 100);
		CHECK_EQ(semaphore_wait_until(&handled, time_now_ns() + NSEC_PER_SEC), 0);
	}
	irq_thread_stats(&irq_thread, &stats);
	CHECK_EQ(calls, ALARMS);
	CHECK_EQ(stats.interrupts, ALARMS);
	CHECK_EQ(stats.storms, 0);
	CHECK(handled_by == irq_thread.thread && handled_by != thread_current());
	irq_thread_destroy(&irq_thread);
	set_alarm(0); /* nobody's */
	sleep_us(1000);
	CHECK_EQ(calls, ALARMS);
	alarm_device->ack();
}

TEST(irq_thread_storm_has_its_budget_and_no_more)
{
	struct irq_thread_attr attr = attributes(BUDGET_NS, PERIOD_NS);
	struct irq_thread_stats stats;
	uint64_t begin_ns, own_ns, all_ns, mine_ns;

	prepare();
	if (!alarm_device)
		return;
	REQUIRE(!irq_thread_create(&irq_thread, alarm_device->hwirq, &attr, ask_again, NULL));
	begin_ns = time_now_ns();
	own_ns = thread_runtime_ns(thread_current());
	set_alarm(0);
	while (time_now_ns() - begin_ns < STORM_NS)
		;
	all_ns = time_now_ns() - begin_ns;
	mine_ns = thread_runtime_ns(thread_current()) - own_ns;
	atomic_store_relaxed(&over, 1u);
	sleep_us(3 * PERIOD_NS / NSEC_PER_USEC);
	irq_thread_stats(&irq_thread, &stats);
	irq_thread_destroy(&irq_thread);
	printk("  %u calls, %u storms, %u us of %u us used, the longest %u ns\n", calls,
	       (unsigned)stats.storms, (unsigned)(stats.used_ns / 1000), (unsigned)(all_ns / 1000),
	       (unsigned)stats.longest_ns);
	CHECK(calls >= 1 && stats.storms >= 1);
	if (test_time_is_virtual()) { /* else one call may use up what many periods have */
		CHECK(calls > 10 * STORM_NS / PERIOD_NS);
		CHECK(stats.storms >= STORM_NS / PERIOD_NS);
	}
	CHECK(stats.storms <= STORM_NS / PERIOD_NS + 4);
	CHECK(stats.used_ns <= (all_ns / PERIOD_NS + 5) * BUDGET_NS + stats.longest_ns);
	/* Nobody else is on this CPU but what interrupts cost: timers, and the storm's. */
	CHECK_TIMED_GE(mine_ns, all_ns - all_ns / 4);
}

TEST(irq_thread_errors_are_clear_and_leave_nothing)
{
	struct irq_thread_attr attr = attributes(0, 0);
	struct irq_thread other;
	unsigned before = thread_count();

	prepare();
	attr.budget_ns = IRQ_THREAD_BUDGET_MIN_NS;
	CHECK_EQ(irq_thread_create(&other, 5, &attr, ask_again, NULL), -EINVAL); /* no period */
	attr.period_ns = PERIOD_NS;
	attr.budget_ns = PERIOD_NS + 1;
	CHECK_EQ(irq_thread_create(&other, 5, &attr, ask_again, NULL), -EINVAL);
	attr = attributes(0, 0);
	attr.irq_cpu = (int)cpu_count;
	CHECK_EQ(irq_thread_create(&other, 5, &attr, ask_again, NULL), -EINVAL);
	attr = attributes(0, 0);
	attr.thread.detached = true;
	CHECK_EQ(irq_thread_create(&other, 5, &attr, ask_again, NULL), -EINVAL);
	attr = attributes(0, 0);
	CHECK_EQ(irq_thread_create(&other, IRQ_MAX, &attr, ask_again, NULL), -EINVAL);
	CHECK_EQ(irq_thread_create(&other, 5, &attr, NULL, NULL), -EINVAL);
	attr.thread.priority = 100;
	CHECK_EQ(irq_thread_create(&other, 5, &attr, ask_again, NULL), -EINVAL);
	if (!alarm_device)
		return;
	attr = attributes(0, 0);
	REQUIRE(!irq_thread_create(&irq_thread, alarm_device->hwirq, &attr, take_back, (void *)17));
	CHECK_EQ(irq_thread_create(&other, alarm_device->hwirq, &attr, take_back, NULL), -EBUSY);
	irq_thread_destroy(&irq_thread);
	CHECK_EQ(thread_count(), before);
}
