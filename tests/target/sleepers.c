/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As many sleeping threads as memory holds: with the argument sleepers=N, N of them; else a
 * thousand. The host gives the machine 1 GiB for 100,000.
 */
#include <stdlib.h>

#include "core/mem/mem.h"
#include "sched/ext/ext.h"
#include "tests/target/test.h"

#define DEFAULT_SLEEPERS 1000

static struct semaphore gate;
static uint32_t awake;

static void *sleep_at_the_gate(void *arg)
{
	semaphore_wait(&gate);
	atomic_fetch_add_relaxed(&awake, 1u);
	return arg;
}

static struct thread **make_sleepers(unsigned n, unsigned order)
{
	struct thread_attr attr = { .name = "sleeper",
				    .stack_bytes = ARCH_STACK_MIN_BYTES,
				    .affinity = &cpu_online_mask };
	struct thread **t = page_alloc(order);

	REQUIRE(t);
	for (unsigned i = 0; i < n; i++) {
		int err = thread_create(&t[i], &attr, sleep_at_the_gate, (void *)(uintptr_t)i);

		if (err)
			test_failed(__FILE__, __LINE__, "thread %u of %u: error %d, %u KiB free", i,
				    n, err, (unsigned)(page_free_bytes() >> 10));
		REQUIRE(!err);
	}
	return t;
}

TEST(sleeping_threads_are_cheap)
{
	const char *text = test_argument("sleepers");
	unsigned n = text ? (unsigned)atoi(text) : DEFAULT_SLEEPERS, order = 0;
	size_t before = page_free_bytes(), used;
	struct thread **t;

	while ((PAGE_SIZE << order) < n * sizeof(*t))
		order++;
	semaphore_init(&gate, 0);
	awake = 0;
	t = make_sleepers(n, order);
	used = before - page_free_bytes();
	CHECK_EQ(thread_count(), n + 2 + ext_is_installed());
	printk("  %u threads in %u KiB, %u bytes each\n", n, (unsigned)(used >> 10),
	       (unsigned)(used / n));
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(semaphore_post(&gate), 0);
	for (unsigned i = 0; i < n; i++) {
		void *result = NULL;

		if (thread_join(t[i], &result) || (uintptr_t)result != i)
			CHECK_EQ((uintptr_t)result, i);
	}
	CHECK_EQ(awake, n);
	page_free(t, order);
}
