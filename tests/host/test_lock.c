/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spinlocks on 2..8 virtual CPUs: one holder at a time, granted in order of arrival, pairs without
 * deadlock, the owner known; and the rank checker, which must end the run when locks are taken in
 * the wrong order, with interrupts on, or released by somebody else.
 *
 * Sources: tests/host/host_seeds.c tests/host/host_check.c HOST_KERNEL
 * Flags: -Iarch/host -DLOCK_DEBUG=1 -fno-strict-aliasing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/thread.h"
#include "core/time.h"
#include "tests/host/host_seeds.h"

#define WORKERS 8

static struct spinlock lock = SPINLOCK_INIT(LOCK_IRQ);
static struct spinlock first = SPINLOCK_INIT(LOCK_RUNQUEUE), second = SPINLOCK_INIT(LOCK_RUNQUEUE);
static struct thread *threads[WORKERS];
static unsigned inside, entered, queued;
static uint32_t arrivals;

static void start_on_each(void *(*entry)(void *))
{
	for (unsigned i = 0; i < cpu_count; i++) {
		struct cpumask mask = { 0 };
		struct thread_attr attr = { .affinity = &mask,
					    .policy = SCHED_FIFO,
					    .priority = 10 };

		cpumask_set(&mask, i);
		CHECK(!thread_create(&threads[i], &attr, entry, (void *)(uintptr_t)i));
	}
	for (unsigned i = 0; i < cpu_count; i++)
		CHECK(!thread_join(threads[i], NULL));
}

static void hold(unsigned steps)
{
	CHECK(!inside);
	inside = 1;
	while (steps--)
		arch_sync_point();
	CHECK(inside == 1);
	inside = 0;
}

static void *take_often(void *arg)
{
	for (unsigned i = 0; i < 40; i++) {
		unsigned long flags = spin_lock_irqsave(&lock);

		CHECK(spin_held(&lock));
		hold((unsigned)draw(6));
		entered++;
		spin_unlock_irqrestore(&lock, flags);
		if (draw(2))
			host_compute(draw(200));
	}
	return arg;
}

static void exclusion_first(void *arg)
{
	(void)arg;
	start_on_each(take_often);
	CHECK(entered == 40 * cpu_count && !lock.word);
}

static void one_holder_at_a_time(void **state)
{
	struct scenario s = { .first = exclusion_first, .cpus_from = 2, .cpus_to = 8, .seeds = 30 };

	(void)state;
	run_seeds(&s);
}

/*
 * The tail of the word says who arrived last: each one waits until the one before it is in the
 * queue.
 */
static void *arrive_in_turn(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;
	unsigned long flags = arch_irq_save();

	if (self == 0) {
		spin_lock(&lock);
		atomic_store_release(&arrivals, 1u);
		while (atomic_load_acquire(&lock.tail) != cpu_count)
			arch_cpu_relax();
	} else {
		while (self == 1 ? !atomic_load_acquire(&arrivals) :
				   atomic_load_acquire(&lock.tail) != self)
			arch_cpu_relax();
		spin_lock(&lock);
	}
	CHECK(queued++ == self);
	hold((unsigned)draw(6));
	spin_unlock(&lock);
	arch_irq_restore(flags);
	return NULL;
}

static void order_first(void *arg)
{
	(void)arg;
	start_on_each(arrive_in_turn);
	CHECK(queued == cpu_count && !lock.word);
}

static void granted_in_order_of_arrival(void **state)
{
	struct scenario s = { .first = order_first, .cpus_from = 3, .cpus_to = 8, .seeds = 30 };

	(void)state;
	run_seeds(&s);
}

static void *take_pairs(void *arg)
{
	bool turned = (uintptr_t)arg % 2;

	for (unsigned i = 0; i < 30; i++) {
		unsigned long flags = arch_irq_save();

		spin_lock_pair(turned ? &second : &first, turned ? &first : &second);
		hold((unsigned)draw(4));
		spin_unlock(&first);
		spin_unlock(&second);
		arch_irq_restore(flags);
	}
	return NULL;
}

static void pairs_first(void *arg)
{
	(void)arg;
	start_on_each(take_pairs);
}

static void pairs_do_not_deadlock(void **state)
{
	struct scenario s = { .first = pairs_first, .cpus_from = 2, .cpus_to = 4, .seeds = 30 };

	(void)state;
	run_seeds(&s);
}

static void wrong_order_first(void *arg)
{
	(void)arg;
	arch_irq_disable();
	spin_lock(&lock);
	spin_lock(&first);
}

static void same_rank_first(void *arg)
{
	struct spinlock other = SPINLOCK_INIT(LOCK_IRQ);

	(void)arg;
	arch_irq_disable();
	spin_lock(&lock);
	spin_lock(&other);
}

static void irqs_on_first(void *arg)
{
	(void)arg;
	spin_lock(&lock);
}

static void not_held_first(void *arg)
{
	(void)arg;
	arch_irq_disable();
	spin_unlock(&lock);
}

static void taken_twice_first(void *arg)
{
	(void)arg;
	arch_irq_disable();
	spin_lock(&lock);
	spin_lock(&lock);
}

static void misuse_is_found(void **state)
{
	static void (*const misuses[])(void *) = { wrong_order_first, same_rank_first,
						   irqs_on_first, not_held_first,
						   taken_twice_first };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(misuses); i++) {
		struct scenario s = {
			.first = misuses[i], .cpus_from = 1, .cpus_to = 2, .seeds = 1, .expect = 134
		};

		run_seeds(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_holder_at_a_time),
		cmocka_unit_test(granted_in_order_of_arrival),
		cmocka_unit_test(pairs_do_not_deadlock),
		cmocka_unit_test(misuse_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
