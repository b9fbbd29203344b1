/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of threads: create, join, detach, exit, ids, names, TLS, hooks, and what happens when
 * memory runs out.
 */
#include "core/mem/mem.h"
#include "tests/target/test.h"

static void *give_back(void *arg)
{
	return arg;
}

static void *wait_for_semaphore(void *arg)
{
	semaphore_wait(arg);
	return arg;
}

/* ---- join, detach, exit ---------------------------------------------------------------------- */

static void *exit_early(void *arg)
{
	thread_exit(arg);
}

TEST(join_gets_the_result)
{
	int x;

	CHECK(join(spawn(ANY_CPU, SCHED_OTHER, 0, give_back, &x)) == &x);
	CHECK(join(spawn(ANY_CPU, SCHED_OTHER, 0, exit_early, &x)) == &x);
	CHECK_EQ(thread_join(spawn(ANY_CPU, SCHED_OTHER, 0, give_back, &x), NULL), 0);
}

/*
 * On one CPU the order is fixed: a higher thread has exited before join is called, a lower one only
 * begins when join blocks.
 */
TEST(join_before_and_after_exit)
{
	struct thread *t;
	int x;

	become(0, SCHED_FIFO, 20);
	t = spawn(0, SCHED_FIFO, 30, give_back, &x);
	CHECK_EQ(t->exited, true);
	CHECK(join(t) == &x);
	t = spawn(0, SCHED_FIFO, 10, give_back, &x);
	CHECK_EQ(t->exited, false);
	CHECK(join(t) == &x);
}

TEST(detach_before_and_after_exit)
{
	unsigned before = thread_count();
	struct thread *t;

	become(0, SCHED_FIFO, 20);
	t = spawn(0, SCHED_FIFO, 30, give_back, NULL);
	CHECK_EQ(t->exited, true);
	CHECK_EQ(thread_detach(t), 0);
	CHECK_EQ(thread_count(), before);
	t = spawn(0, SCHED_FIFO, 10, give_back, NULL);
	CHECK_EQ(thread_detach(t), 0);
	CHECK_EQ(thread_detach(t), -EINVAL);
	CHECK_EQ(thread_join(t, NULL), -EINVAL);
	sleep_us(1000);
}

static void *join_other(void *arg)
{
	return (void *)(intptr_t)thread_join(arg, NULL);
}

TEST(join_errors)
{
	static struct semaphore s; /* outlives the test: the detached thread may come late */
	struct thread_attr attr = { .detached = true };
	struct thread *t, *joiner;

	semaphore_init(&s, 0);
	CHECK_EQ(thread_join(thread_current(), NULL), -EDEADLK);
	t = spawn(ANY_CPU, SCHED_OTHER, 0, wait_for_semaphore, &s);
	joiner = spawn(ANY_CPU, SCHED_OTHER, 0, join_other, t);
	wait_until_blocked(joiner);
	CHECK_EQ(thread_join(t, NULL), -EINVAL);
	CHECK_EQ(thread_detach(t), -EINVAL);
	semaphore_post(&s);
	CHECK_EQ((intptr_t)join(joiner), 0);
	CHECK_EQ(thread_create(&t, &attr, wait_for_semaphore, &s), 0);
	CHECK_EQ(thread_join(t, NULL), -EINVAL);
	CHECK_EQ(thread_detach(t), -EINVAL);
	semaphore_post(&s);
}

/* ---- creation -------------------------------------------------------------------------------- */

TEST(create_refuses_bad_attributes)
{
	static const struct thread_attr bad[] = {
		{ .policy = SCHED_FIFO },
		{ .policy = SCHED_FIFO, .priority = 100 },
		{ .policy = SCHED_RR, .priority = 200 },
		{ .policy = SCHED_OTHER, .priority = 1 },
		{ .policy = SCHED_OTHER, .nice = 20 },
		{ .policy = SCHED_OTHER, .nice = -21 },
		{ .policy = 4 },
		{ .policy = SCHED_FIFO, .priority = 1, .slice_ns = SCHED_SLICE_MIN_NS },
		{ .slice_ns = SCHED_SLICE_MIN_NS - 1 },
		{ .slice_ns = SCHED_SLICE_MAX_NS + 1 },
		{ .policy = 255 },
	};
	struct cpumask none, absent = { 0 };
	struct thread_attr attr = { .affinity = &none };
	unsigned before = thread_count();
	struct thread *t;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(thread_create(&t, &bad[i], give_back, NULL), -EINVAL);
	cpumask_clear(&none);
	CHECK_EQ(thread_create(&t, &attr, give_back, NULL), -EINVAL);
	if (test_cpus() < ARCH_CPU_MAX) {
		cpumask_set(&absent, test_cpus());
		attr.affinity = &absent;
		CHECK_EQ(thread_create(&t, &attr, give_back, NULL), -EINVAL);
		CHECK_EQ(thread_set_affinity(thread_current(), &absent), -EINVAL);
	}
	attr = (struct thread_attr){ .stack_bytes = 16ul << 20 };
	CHECK_EQ(thread_create(&t, &attr, give_back, NULL), -EINVAL);
	attr = (struct thread_attr){ .stack_bytes = ~0ul };
	CHECK_EQ(thread_create(&t, &attr, give_back, NULL), -EINVAL);
	CHECK_EQ(thread_count(), before);
}

static void *use_stack(void *arg)
{
	volatile char block[400 * 1024];

	(void)arg;
	for (size_t i = 0; i < sizeof(block); i += 512)
		block[i] = (char)i;
	return (void *)(uintptr_t)block[512];
}

TEST(large_stacks)
{
	struct thread_attr attr = { .stack_bytes = 500 * 1024 };
	struct thread *t;

	for (unsigned i = 0; i < 3; i++) {
		REQUIRE(!thread_create(&t, &attr, use_stack, NULL));
		join(t);
	}
}

/* Takes all pages, remembers them in a chain through the pages themselves. */
static void **eat_pages(void)
{
	void **chain = NULL, **page;

	while ((page = page_alloc(0))) {
		*page = chain;
		chain = page;
	}
	return chain;
}

static void free_pages(void **chain)
{
	while (chain) {
		void **next = *chain;

		page_free(chain, 0);
		chain = next;
	}
}

#define HOARD 400

TEST(create_without_memory_fails_and_recovers)
{
	static struct thread *t[HOARD];
	struct semaphore s = SEMAPHORE_INIT(0);
	struct thread_attr attr = { .stack_bytes = 8192 };
	unsigned n = 0, before = thread_count();
	void **chain = eat_pages();
	int err = 0;

	CHECK_EQ(page_free_bytes(), 0);
	/* Cached stacks can still be had; then it must fail, each time anew. */
	while (n < HOARD && !(err = thread_create(&t[n], &attr, wait_for_semaphore, &s)))
		n++;
	CHECK_EQ(err, -EAGAIN);
	for (unsigned i = 0; i < 20; i++)
		CHECK_EQ(thread_create(&t[HOARD - 1], &attr, wait_for_semaphore, &s), -EAGAIN);
	CHECK_EQ(thread_count(), before + n);
	free_pages(chain);
	if (n < HOARD) {
		CHECK_EQ(thread_create(&t[n], &attr, wait_for_semaphore, &s), 0);
		n++;
	}
	for (unsigned i = 0; i < n; i++)
		semaphore_post(&s);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
	CHECK_EQ(thread_count(), before);
}

TEST(ten_thousand_threads_leave_memory_unchanged)
{
	size_t before;

	/* All on one CPU, whose cache of stacks fills first. */
	become(0, SCHED_OTHER, 0);
	for (unsigned i = 0; i < 500; i++)
		join(spawn(0, SCHED_OTHER, 0, give_back, NULL));
	before = page_free_bytes();
	for (unsigned i = 0; i < 10000; i++)
		if ((uintptr_t)join(spawn(0, SCHED_OTHER, 0, give_back, (void *)(uintptr_t)i)) != i)
			CHECK_EQ(i, -1);
	CHECK_EQ(page_free_bytes(), before);
}

static uint32_t ran;

static void *count_run(void *arg)
{
	atomic_fetch_add_acq_rel(&ran, 1u);
	return arg;
}

TEST(detached_threads_are_freed)
{
	struct thread_attr attr = { .detached = true };
	uint64_t end_ns = time_now_ns() + 60 * NSEC_PER_SEC;
	uint32_t made = 0;

	ran = 0;
	while (made < 3000 && time_now_ns() < end_ns) {
		if (thread_create(NULL, &attr, count_run, NULL))
			sched_yield_current();
		else
			made++;
		/* No more than a few at a time, so that freed ones come back into use. */
		while (made - atomic_load_relaxed(&ran) > 16)
			sched_yield_current();
	}
	CHECK_EQ(made, 3000);
	while (atomic_load_acquire(&ran) < made && time_now_ns() < end_ns)
		sleep_us(100);
	CHECK_EQ(ran, made);
}

/* ---- ids and names --------------------------------------------------------------------------- */

TEST(tids_are_unique_positive_and_reused)
{
	static struct thread *t[200];
	struct semaphore s = SEMAPHORE_INIT(0);
	int32_t highest = 0;

	for (unsigned i = 0; i < 200; i++) {
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, wait_for_semaphore, &s);
		CHECK_GE(thread_tid(t[i]), 1);
		highest = MAX(highest, thread_tid(t[i]));
		for (unsigned j = 0; j < i; j++)
			if (thread_tid(t[i]) == thread_tid(t[j]))
				CHECK_EQ(i, j);
	}
	for (unsigned i = 0; i < 200; i++)
		semaphore_post(&s);
	for (unsigned i = 0; i < 200; i++)
		join(t[i]);
	for (unsigned i = 0; i < 200; i++) {
		struct thread *one = spawn(ANY_CPU, SCHED_OTHER, 0, give_back, NULL);

		CHECK_LE(thread_tid(one), highest);
		join(one);
	}
}

TEST(tid_has_a_new_generation_each_time)
{
	struct thread *t = spawn(ANY_CPU, SCHED_OTHER, 0, give_back, NULL);
	uint32_t first = t->generation;
	int32_t tid = thread_tid(t);

	join(t);
	for (unsigned i = 0; i < 50; i++) {
		t = spawn(ANY_CPU, SCHED_OTHER, 0, give_back, NULL);
		if (thread_tid(t) == tid)
			CHECK_GE(t->generation, first + 1);
		join(t);
	}
}

TEST(names)
{
	struct thread_attr attr = { .name = "a name that is much too long" };
	struct thread *t;

	CHECK_EQ(thread_set_name(thread_current(), "fifteen letters"), 0);
	CHECK_TEXT(thread_current()->name, "fifteen letters");
	CHECK_EQ(thread_set_name(thread_current(), "sixteen letters."), -ERANGE);
	CHECK_TEXT(thread_current()->name, "fifteen letters");
	CHECK_EQ(thread_set_name(thread_current(), ""), 0);
	CHECK_TEXT(thread_current()->name, "");
	REQUIRE(!thread_create(&t, &attr, give_back, NULL));
	CHECK_TEXT(t->name, "a name that is ");
	join(t);
	t = spawn(ANY_CPU, SCHED_OTHER, 0, give_back, NULL);
	CHECK_TEXT(t->name, "thread");
	join(t);
}

/* ---- thread-local storage -------------------------------------------------------------------- */

static _Thread_local uint64_t tls_set = 0x1122334455667788;
static _Thread_local uint64_t tls_zero;
static _Thread_local char tls_block[40] __aligned_to(16) = "initial text";

static void *use_tls(void *arg)
{
	uint64_t self = (uintptr_t)arg;

	CHECK_EQ(tls_set, 0x1122334455667788);
	CHECK_EQ(tls_zero, 0);
	CHECK_TEXT(tls_block, "initial text");
	CHECK_EQ((uintptr_t)tls_block % 16, 0);
	tls_set = self;
	tls_zero = ~self;
	memset(tls_block, (int)self, sizeof(tls_block));
	for (unsigned i = 0; i < 200; i++) {
		sched_yield_current();
		if (tls_set != self || tls_zero != ~self || tls_block[39] != (char)self)
			CHECK_EQ(tls_set, self);
		if (i % 50 == 0)
			sleep_us(100);
	}
	return NULL;
}

/* Twice: the second time on stacks whose last users left other values. */
TEST(tls_is_a_threads_own)
{
	struct thread *t[10];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 10; i++)
			t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, use_tls, (void *)(uintptr_t)(i + 1));
		for (unsigned i = 0; i < 10; i++)
			join(t[i]);
	}
}

static void *see_self(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 300; i++) {
		struct thread *self = thread_current();

		sched_yield_current();
		CHECK(thread_current() == self);
	}
	return thread_current();
}

TEST(current_thread_is_right_while_moving)
{
	struct thread *t[12];

	for (unsigned i = 0; i < 12; i++)
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, see_self, NULL);
	for (unsigned i = 0; i < 12; i++)
		CHECK(join(t[i]) == t[i]);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static struct thread *hooked;
static uint32_t hook_calls;

static void hook(struct thread *t)
{
	CHECK(t == thread_current());
	CHECK(arch_irq_enabled());
	hooked = t;
	atomic_fetch_add_acq_rel(&hook_calls, 1u);
}

static uint32_t spinning;

static void *spin_until_hooked(void *arg)
{
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

	(void)arg;
	atomic_store_release(&spinning, 1u);
	while (!atomic_load_acquire(&hook_calls) && time_now_ns() < end_ns)
		arch_cpu_relax();
	return NULL;
}

static void hook_reset(void)
{
	hook_calls = 0;
	spinning = 0;
	hooked = NULL;
}

TEST(hook_of_a_running_thread)
{
	struct thread *t;

	NEEDS_CPUS(2);
	hook_reset();
	become(0, SCHED_OTHER, 0);
	t = spawn(1, SCHED_OTHER, 0, spin_until_hooked, NULL);
	wait_for_flag(&spinning);
	CHECK_EQ(thread_set_hook(t, hook), 0);
	join(t);
	CHECK_EQ(hook_calls, 1);
	CHECK(hooked == t);
}

TEST(hook_of_a_queued_thread)
{
	struct thread *t[2];

	hook_reset();
	become(0, SCHED_FIFO, 20);
	t[0] = spawn(0, SCHED_FIFO, 10, spin_until_hooked, NULL);
	t[1] = spawn(0, SCHED_OTHER, 0, spin_until_hooked, NULL);
	CHECK_EQ(thread_set_hook(t[0], hook), 0);
	CHECK_EQ(thread_set_hook(t[0], hook), -EBUSY);
	CHECK_EQ(hook_calls, 0);
	join(t[0]);
	CHECK_EQ(hook_calls, 1);
	CHECK(hooked == t[0]);
	hook_reset();
	CHECK_EQ(thread_set_hook(t[1], hook), 0);
	join(t[1]);
	CHECK_EQ(hook_calls, 1);
	CHECK(hooked == t[1]);
}

TEST(hook_of_a_blocked_thread)
{
	struct semaphore s = SEMAPHORE_INIT(0);
	struct thread *t;

	hook_reset();
	become(0, SCHED_FIFO, 20);
	t = spawn(0, SCHED_FIFO, 30, wait_for_semaphore, &s);
	CHECK_EQ(thread_set_hook(t, hook), 0);
	sleep_us(1000);
	CHECK_EQ(hook_calls, 0);
	semaphore_post(&s);
	CHECK_EQ(hook_calls, 1);
	CHECK(join(t) == &s);
	CHECK_EQ(hook_calls, 1);
}

/* Long enough to be seen asleep although the host may stop QEMU for a while. */
static void *sleep_a_little(void *arg)
{
	sleep_us(test_time_is_virtual() ? 2000 : 300000);
	return arg;
}

TEST(hook_of_a_sleeping_thread)
{
	struct thread *t;

	hook_reset();
	t = spawn(ANY_CPU, SCHED_OTHER, 0, sleep_a_little, NULL);
	wait_until_blocked(t);
	CHECK_EQ(thread_set_hook(t, hook), 0);
	join(t);
	CHECK_EQ(hook_calls, 1);
}

/* A hook may block, and may set the next one. */
static void hook_that_sleeps(struct thread *t)
{
	sleep_us(500);
	CHECK_EQ(thread_set_hook(t, hook), 0);
}

TEST(hook_may_block)
{
	hook_reset();
	CHECK_EQ(thread_set_hook(thread_current(), hook_that_sleeps), 0);
	for (unsigned i = 0; i < 50 && !atomic_load_acquire(&hook_calls); i++)
		sleep_us(200);
	CHECK_EQ(hook_calls, 1);
}

#define HOOKS_IN_A_ROW 1000u

static void hook_that_sets_the_next(struct thread *t)
{
	if (atomic_fetch_add_acq_rel(&hook_calls, 1u) + 1 < HOOKS_IN_A_ROW)
		CHECK_EQ(thread_set_hook(t, hook_that_sets_the_next), 0);
}

static void *set_many_hooks(void *arg)
{
	uint64_t end_ns = time_now_ns() + NSEC_PER_SEC;

	CHECK_EQ(thread_set_hook(thread_current(), hook_that_sets_the_next), 0);
	while (atomic_load_acquire(&hook_calls) < HOOKS_IN_A_ROW && time_now_ns() < end_ns)
		arch_cpu_relax();
	return arg;
}

/* Each interrupts the one before: the smallest stack has no room for that many frames. */
TEST(hooks_do_not_pile_up_on_the_stack)
{
	struct thread_attr attr = { .stack_bytes = ARCH_STACK_MIN_BYTES };
	struct thread *t;

	hook_reset();
	CHECK_EQ(thread_create(&t, &attr, set_many_hooks, NULL), 0);
	CHECK_EQ(thread_join(t, NULL), 0);
	CHECK_EQ(hook_calls, HOOKS_IN_A_ROW);
}
