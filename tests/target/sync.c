/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutex, semaphore, condition variable: results, order, time-outs, use from interrupts, and sums
 * that come out exact when several CPUs fight.
 */
#include "tests/target/test.h"

static struct log events;
static uint32_t counter;

/* ---- mutex ----------------------------------------------------------------------------------- */

static struct mutex mutex = MUTEX_INIT;

static void *lock_log_unlock(void *arg)
{
	CHECK_EQ(mutex_lock(&mutex), 0);
	log_add(&events, (char)(uintptr_t)arg);
	CHECK_EQ(mutex_unlock(&mutex), 0);
	return NULL;
}

TEST(mutex_goes_to_the_best_waiter)
{
	struct thread *t[4];

	events = (struct log){ 0 };
	become(0, SCHED_FIFO, 10);
	mutex_lock(&mutex);
	t[0] = spawn(0, SCHED_FIFO, 20, lock_log_unlock, (void *)'l');
	t[1] = spawn(0, SCHED_FIFO, 30, lock_log_unlock, (void *)'m');
	t[2] = spawn(0, SCHED_FIFO, 40, lock_log_unlock, (void *)'h');
	t[3] = spawn(0, SCHED_FIFO, 40, lock_log_unlock, (void *)'i');
	CHECK_TEXT(events.text, "");
	mutex_unlock(&mutex);
	for (unsigned i = 0; i < 4; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "himl");
}

TEST(mutex_handed_over_cannot_be_snatched)
{
	struct thread *t;

	events = (struct log){ 0 };
	become(0, SCHED_FIFO, 20);
	mutex_lock(&mutex);
	t = spawn(0, SCHED_FIFO, 10, lock_log_unlock, (void *)'w');
	wait_until_blocked(t);
	mutex_unlock(&mutex);
	CHECK_EQ(mutex_trylock(&mutex), -EBUSY);
	mutex_lock(&mutex);
	log_add(&events, '1');
	mutex_unlock(&mutex);
	join(t);
	CHECK_TEXT(events.text, "w1");
}

/*
 * Low owns the mutex, high waits for it, and middle would keep low from running for ever: low runs
 * as high until it unlocks.
 */
static void *unlock_when_told(void *arg)
{
	CHECK_EQ(mutex_lock(&mutex), 0);
	semaphore_post(arg);
	spin_us(2000);
	log_add(&events, 'u');
	CHECK_EQ(mutex_unlock(&mutex), 0);
	log_add(&events, 'l');
	return NULL;
}

static void *work_in_the_middle(void *arg)
{
	spin_us(3000);
	log_add(&events, 'm');
	return arg;
}

static void inherit(int policy, int priority)
{
	struct semaphore locked = SEMAPHORE_INIT(0);
	struct thread *t[3];

	events = (struct log){ 0 };
	become(0, SCHED_FIFO, 50);
	t[0] = spawn(0, policy, priority, unlock_when_told, &locked);
	semaphore_wait(&locked);
	t[1] = spawn(0, SCHED_FIFO, 20, work_in_the_middle, NULL);
	t[2] = spawn(0, SCHED_FIFO, 30, lock_log_unlock, (void *)'h');
	for (unsigned i = 0; i < 3; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "uhml");
}

TEST(mutex_owner_inherits_priority)
{
	inherit(SCHED_FIFO, 10);
	inherit(SCHED_RR, 10);
	inherit(SCHED_OTHER, 0);
}

static struct semaphore inside = SEMAPHORE_INIT(0);

static void *lock_with_ceiling(void *arg)
{
	CHECK_EQ(mutex_lock(arg), 0);
	semaphore_post(&inside);
	spin_us(1000);
	log_add(&events, 'u');
	CHECK_EQ(mutex_unlock(arg), 0);
	log_add(&events, 'l');
	return NULL;
}

TEST(mutex_ceiling_keeps_others_out)
{
	struct mutex m;
	struct thread *t[2];

	events = (struct log){ 0 };
	become(0, SCHED_FIFO, 50);
	CHECK_EQ(mutex_init_with(&m, 0, 40), 0);
	CHECK_EQ(mutex_lock(&m), -EINVAL);
	t[0] = spawn(0, SCHED_FIFO, 10, lock_with_ceiling, &m);
	semaphore_wait(&inside);
	t[1] = spawn(0, SCHED_FIFO, 30, work_in_the_middle, NULL);
	join(t[0]);
	join(t[1]);
	CHECK_TEXT(events.text, "uml");
}

static void *try_all(void *arg)
{
	uint64_t start_ns = time_now_ns();

	(void)arg;
	CHECK_EQ(mutex_trylock(&mutex), -EBUSY);
	CHECK_EQ(mutex_lock_until(&mutex, 0), -ETIMEDOUT);
	CHECK_EQ(mutex_lock_until(&mutex, start_ns + 3 * NSEC_PER_MSEC), -ETIMEDOUT);
	CHECK_GE(time_now_ns() - start_ns, 3 * NSEC_PER_MSEC);
	CHECK_EQ(mutex_unlock(&mutex), -EPERM);
	return NULL;
}

TEST(mutex_errors)
{
	CHECK_EQ(mutex_unlock(&mutex), -EPERM);
	CHECK_EQ(mutex_lock(&mutex), 0);
	CHECK_EQ(mutex_lock(&mutex), -EDEADLK);
	CHECK_EQ(mutex_lock_until(&mutex, time_now_ns() + 1000), -EDEADLK);
	CHECK_EQ(mutex_trylock(&mutex), -EBUSY);
	join(spawn(ANY_CPU, SCHED_OTHER, 0, try_all, NULL));
	/* The time-outs left the waiters bit behind: nobody waits, and all goes on. */
	CHECK_EQ(mutex_unlock(&mutex), 0);
	CHECK_EQ(mutex_trylock(&mutex), 0);
	CHECK_EQ(mutex_unlock(&mutex), 0);
	CHECK_EQ(mutex.owner, 0);
}

static void *lock_in_time(void *arg)
{
	int err = mutex_lock_until(&mutex, time_now_ns() + 20 * NSEC_PER_SEC);

	(void)arg;
	if (!err)
		mutex_unlock(&mutex);
	return (void *)(intptr_t)err;
}

TEST(mutex_lock_until_gets_it_in_time)
{
	struct thread *t;

	mutex_lock(&mutex);
	t = spawn(ANY_CPU, SCHED_OTHER, 0, lock_in_time, NULL);
	wait_until_blocked(t);
	mutex_unlock(&mutex);
	CHECK_EQ((intptr_t)join(t), 0);
}

/*
 * An emulated CPU that waits in the queue of a spinlock may not be running on the host when its
 * turn comes: fewer rounds for more CPUs.
 */
static unsigned fight_rounds;
static volatile uint64_t plain_sum; /* under mutex */

/*
 * Time-outs for fair threads only: real-time ones that come back all the time would leave nothing
 * to a fair owner.
 */
static void *fight(void *arg)
{
	bool may_time_out = (uintptr_t)arg % 3;
	uint64_t random = 1 + (uintptr_t)arg;

	for (unsigned i = 0; i < fight_rounds; i++) {
		if (may_time_out && random_below(&random, 8) == 0)
			while (mutex_lock_until(&mutex,
						time_now_ns() + random_below(&random, 200000)))
				;
		else
			CHECK_EQ(mutex_lock(&mutex), 0);
		plain_sum = plain_sum + 1;
		if (random_below(&random, 64) == 0)
			sched_yield_current();
		CHECK_EQ(mutex_unlock(&mutex), 0);
	}
	return NULL;
}

TEST(mutex_sum_is_exact_under_contention)
{
	static struct thread *t[16];

	plain_sum = 0;
	fight_rounds = test_cpus() <= 2 ? 300 : test_cpus() <= 4 ? 50 : 8;
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		t[i] = spawn(ANY_CPU, i % 3 ? SCHED_OTHER : SCHED_RR, i % 3 ? 0 : 5, fight,
			     (void *)(uintptr_t)i);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		join(t[i]);
	CHECK_EQ(plain_sum, ARRAY_SIZE(t) * fight_rounds);
	CHECK_EQ(mutex.owner, 0);
}

/* ---- spinlock -------------------------------------------------------------------------------- */

static struct spinlock spinlock = SPINLOCK_INIT(LOCK_WAIT);

/*
 * Strict turns are slow where an emulator has fewer CPUs than this machine: each may have to wait
 * for the host's scheduler. 64 virtual CPUs on two passed the lock on 28 times a second, each time
 * in the right order, in one run of ten, and in milliseconds altogether in the others.
 */
static void *spin_fight(void *arg)
{
	unsigned rounds = *(unsigned *)arg;

	for (unsigned i = 0; i < rounds; i++) {
		unsigned long flags = spin_lock_irqsave(&spinlock);

		if (!spin_held(&spinlock))
			CHECK(spin_held(&spinlock));
		plain_sum = plain_sum + 1;
		spin_unlock_irqrestore(&spinlock, flags);
	}
	return NULL;
}

TEST(spinlock_sum_is_exact_across_cpus)
{
	static struct thread *t[ARCH_CPU_MAX];
	unsigned n = test_cpus(), rounds = n > 16 ? 10 : 300;

	if (test_time_is_virtual() || n == 1)
		rounds = 10000;
	plain_sum = 0;
	for (unsigned i = 0; i < n; i++)
		t[i] = spawn((int)i, SCHED_OTHER, 0, spin_fight, &rounds);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
	CHECK_EQ(plain_sum, n * rounds);
	CHECK_EQ(spinlock.word, 0);
}

/* ---- semaphore ------------------------------------------------------------------------------- */

TEST(semaphore_counts)
{
	struct semaphore s;
	uint64_t start_ns;

	semaphore_init(&s, 2);
	CHECK_EQ(semaphore_trywait(&s), 0);
	semaphore_wait(&s);
	CHECK_EQ(semaphore_trywait(&s), -EAGAIN);
	start_ns = time_now_ns();
	CHECK_EQ(semaphore_wait_until(&s, start_ns + 2 * NSEC_PER_MSEC), -ETIMEDOUT);
	CHECK_GE(time_now_ns() - start_ns, 2 * NSEC_PER_MSEC);
	CHECK_EQ(semaphore_wait_until(&s, 0), -ETIMEDOUT);
	CHECK_EQ(semaphore_post(&s), 0);
	CHECK_EQ(semaphore_post(&s), 0);
	CHECK_EQ(semaphore_wait_until(&s, 0), 0);
	CHECK_EQ(semaphore_trywait(&s), 0);
	CHECK_EQ(semaphore_trywait(&s), -EAGAIN);
	semaphore_init(&s, SEMAPHORE_MAX);
	CHECK_EQ(semaphore_post(&s), -EOVERFLOW);
	CHECK_EQ(semaphore_trywait(&s), 0);
	CHECK_EQ(semaphore_post(&s), 0);
	CHECK_EQ(semaphore_post(&s), -EOVERFLOW);
}

static struct semaphore semaphore;

static void *wait_and_log(void *arg)
{
	semaphore_wait(&semaphore);
	log_add(&events, (char)(uintptr_t)arg);
	return NULL;
}

TEST(semaphore_wakes_best_first_then_in_order)
{
	static const int priority[5] = { 20, 40, 20, 40, 30 };
	struct thread *t[5];

	events = (struct log){ 0 };
	semaphore_init(&semaphore, 0);
	become(0, SCHED_FIFO, 10);
	for (unsigned i = 0; i < 5; i++)
		t[i] = spawn(0, SCHED_FIFO, priority[i], wait_and_log,
			     (void *)(uintptr_t)('a' + i));
	for (unsigned i = 0; i < 5; i++)
		semaphore_post(&semaphore);
	for (unsigned i = 0; i < 5; i++)
		join(t[i]);
	CHECK_TEXT(events.text, "bdeac");
}

struct posting_timer {
	struct timer timer;
	uint32_t left;
};

static void post_and_rearm(struct timer *timer)
{
	struct posting_timer *p = container_of(timer, struct posting_timer, timer);

	semaphore_post(&semaphore);
	if (--p->left)
		timer_add(timer, timer->expires_ns + 50 * NSEC_PER_USEC);
}

TEST(semaphore_posted_from_interrupts)
{
	struct posting_timer p = { .left = 200 };
	unsigned long flags;

	semaphore_init(&semaphore, 0);
	timer_init(&p.timer, post_and_rearm);
	flags = arch_irq_save();
	timer_add(&p.timer, time_now_ns() + 50 * NSEC_PER_USEC);
	arch_irq_restore(flags);
	for (unsigned i = 0; i < 200; i++)
		CHECK_EQ(semaphore_wait_until(&semaphore, time_now_ns() + 20 * NSEC_PER_SEC), 0);
	CHECK_EQ(semaphore_trywait(&semaphore), -EAGAIN);
	timer_cancel_wait(&p.timer);
}

/* Time-out and post at the same moment: whichever wins, no unit is lost and none is made. */
TEST(semaphore_time_out_races_with_post)
{
	struct posting_timer p = { .left = 300 };
	uint32_t got = 0, timed_out = 0;
	unsigned long flags;

	semaphore_init(&semaphore, 0);
	timer_init(&p.timer, post_and_rearm);
	flags = arch_irq_save();
	timer_add(&p.timer, time_now_ns() + 50 * NSEC_PER_USEC);
	arch_irq_restore(flags);
	while (atomic_load_relaxed(&p.left)) {
		if (semaphore_wait_until(&semaphore, time_now_ns() + 50 * NSEC_PER_USEC))
			timed_out++;
		else
			got++;
	}
	timer_cancel_wait(&p.timer);
	while (!semaphore_trywait(&semaphore))
		got++;
	CHECK_EQ(got, 300);
	CHECK_EQ(atomic_load_relaxed(&semaphore.count) <= 0, true);
}

#define RING_ROUNDS 400

static struct semaphore ring[8];
static uint32_t ring_n, ring_token;

static void *pass_token(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	for (unsigned round = 0; round < RING_ROUNDS; round++) {
		semaphore_wait(&ring[i]);
		CHECK_EQ(ring_token % ring_n, i);
		ring_token++;
		semaphore_post(&ring[(i + 1) % ring_n]);
	}
	return NULL;
}

static void run_ring(bool pinned, int policy)
{
	struct thread *t[8];

	ring_n = pinned ? MIN(test_cpus(), 8u) : 8;
	ring_token = 0;
	for (unsigned i = 0; i < ring_n; i++)
		semaphore_init(&ring[i], 0);
	for (unsigned i = 0; i < ring_n; i++)
		t[i] = spawn(pinned ? (int)i : ANY_CPU, policy, policy == SCHED_OTHER ? 0 : 20,
			     pass_token, (void *)(uintptr_t)i);
	semaphore_post(&ring[0]);
	for (unsigned i = 0; i < ring_n; i++)
		join(t[i]);
	CHECK_EQ(ring_token, ring_n * RING_ROUNDS);
	CHECK_EQ(semaphore_trywait(&ring[0]), 0);
}

TEST(semaphore_ring_across_cpus)
{
	run_ring(true, SCHED_FIFO);
	run_ring(true, SCHED_OTHER);
}

TEST(semaphore_ring_of_free_threads)
{
	run_ring(false, SCHED_OTHER);
	run_ring(false, SCHED_RR);
}

/* ---- condition ------------------------------------------------------------------------------- */

static struct condition condition = CONDITION_INIT;
static uint32_t generation;

static void *wait_generation(void *arg)
{
	uint32_t seen;

	mutex_lock(&mutex);
	seen = generation;
	atomic_fetch_add_acq_rel(&counter, 1u);
	while (generation == seen)
		CHECK_EQ(condition_wait(&condition, &mutex), 0);
	log_add(&events, (char)(uintptr_t)arg);
	mutex_unlock(&mutex);
	return NULL;
}

static void wait_for_count(uint32_t n)
{
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;

	while (atomic_load_acquire(&counter) < n) {
		REQUIRE(time_now_ns() < end_ns);
		sleep_us(100);
	}
}

TEST(condition_signal_wakes_one)
{
	struct thread *t[2];

	events = (struct log){ 0 };
	counter = 0;
	for (unsigned i = 0; i < 2; i++)
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, wait_generation,
			     (void *)(uintptr_t)('a' + i));
	wait_for_count(2);
	wait_until_blocked(t[0]);
	wait_until_blocked(t[1]);
	mutex_lock(&mutex);
	generation++;
	mutex_unlock(&mutex);
	condition_signal(&condition);
	wait_for_flag(&events.n);
	sleep_us(2000);
	CHECK_EQ(atomic_load_acquire(&events.n), 1);
	condition_signal(&condition);
	join(t[0]);
	join(t[1]);
	CHECK_EQ(events.n, 2);
	condition_signal(&condition); /* nobody waits: nothing happens */
}

TEST(condition_broadcast_wakes_twenty)
{
	struct thread *t[20];

	for (unsigned round = 0; round < 20; round++) {
		events = (struct log){ 0 };
		counter = 0;
		for (unsigned i = 0; i < 20; i++)
			t[i] = spawn(ANY_CPU, i % 2 ? SCHED_OTHER : SCHED_FIFO,
				     i % 2 ? 0 : (int)i + 1, wait_generation,
				     (void *)(uintptr_t)('a' + i));
		wait_for_count(20);
		mutex_lock(&mutex);
		generation++;
		if (round % 2)
			condition_broadcast(&condition);
		mutex_unlock(&mutex);
		if (!(round % 2))
			condition_broadcast(&condition);
		for (unsigned i = 0; i < 20; i++)
			join(t[i]);
		CHECK_EQ(events.n, 20);
		CHECK_EQ(condition.waiting, 0);
	}
}

TEST(condition_time_out_and_errors)
{
	uint64_t start_ns = time_now_ns();

	CHECK_EQ(condition_wait_until(&condition, &mutex, start_ns), -EPERM);
	mutex_lock(&mutex);
	CHECK_EQ(condition_wait_until(&condition, &mutex, start_ns + 3 * NSEC_PER_MSEC),
		 -ETIMEDOUT);
	CHECK_GE(time_now_ns() - start_ns, 3 * NSEC_PER_MSEC);
	CHECK_EQ(mutex_unlock(&mutex), 0); /* it is ours again */
	CHECK_EQ(condition.waiting, 0);
}

/* A bounded buffer of 4 with two conditions: items are neither lost nor doubled. */
#define ITEMS 500

static struct condition not_empty = CONDITION_INIT, not_full = CONDITION_INIT;
static unsigned buffered;
static uint64_t produced, consumed;

static void *produce(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ITEMS; i++) {
		mutex_lock(&mutex);
		while (buffered == 4)
			condition_wait(&not_full, &mutex);
		buffered++;
		produced++;
		mutex_unlock(&mutex);
		condition_signal(&not_empty);
	}
	return NULL;
}

static void *consume(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < ITEMS; i++) {
		mutex_lock(&mutex);
		while (!buffered)
			condition_wait_until(&not_empty, &mutex,
					     time_now_ns() + 30 * NSEC_PER_USEC);
		buffered--;
		consumed++;
		mutex_unlock(&mutex);
		condition_signal(&not_full);
	}
	return NULL;
}

TEST(condition_bounded_buffer)
{
	struct thread *t[6];

	produced = consumed = buffered = 0;
	for (unsigned i = 0; i < 6; i++)
		t[i] = spawn(ANY_CPU, SCHED_OTHER, 0, i % 2 ? produce : consume, NULL);
	for (unsigned i = 0; i < 6; i++)
		join(t[i]);
	CHECK_EQ(produced, 3 * ITEMS);
	CHECK_EQ(consumed, 3 * ITEMS);
	CHECK_EQ(buffered, 0);
}
