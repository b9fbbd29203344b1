/* SPDX-License-Identifier: BSD-2-Clause */
/* Read-write locks, barriers, spinlocks. */
#include <unistd.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#include "test.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t ready, release;
static char order[8];
static volatile int order_n;

static void *read_and_wait(void *arg)
{
	EQ(pthread_rwlock_rdlock(&lock), 0);
	sem_post(&ready);
	sem_wait(&release);
	EQ(pthread_rwlock_unlock(&lock), 0);
	return arg;
}

static void *write_and_wait(void *arg)
{
	EQ(pthread_rwlock_wrlock(&lock), 0);
	sem_post(&ready);
	sem_wait(&release);
	EQ(pthread_rwlock_unlock(&lock), 0);
	return arg;
}

static void held(void *(*holder)(void *), int may_read)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 15), mono;
	pthread_t t;

	EQ(pthread_create(&t, NULL, holder, NULL), 0);
	sem_wait(&ready);
	EQ(pthread_rwlock_tryrdlock(&lock), may_read ? 0 : EBUSY);
	if (may_read)
		EQ(pthread_rwlock_unlock(&lock), 0);
	else
		EQ(pthread_rwlock_timedrdlock(&lock, &at), ETIMEDOUT);
	EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
	EQ(pthread_rwlock_timedwrlock(&lock, &at), ETIMEDOUT);
	mono = in_ms(CLOCK_MONOTONIC, 5);
	EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &mono), ETIMEDOUT);
	EQ(pthread_rwlock_timedwrlock(&lock, &bad_time), EINVAL);
	EQ(pthread_rwlock_unlock(&lock), EPERM);
	EQ(pthread_rwlock_destroy(&lock), EBUSY);
	sem_post(&release);
	EQ(pthread_join(t, NULL), 0);
}

static void errors(void)
{
	pthread_rwlockattr_t a;
	pthread_rwlock_t l;
	int value;

	EQ(pthread_rwlock_unlock(&lock), EPERM);
	EQ(pthread_rwlock_wrlock(&lock), 0);
	EQ(pthread_rwlock_wrlock(&lock), EDEADLK);
	EQ(pthread_rwlock_rdlock(&lock), EDEADLK);
	EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
	EQ(pthread_rwlock_tryrdlock(&lock), EBUSY);
	EQ(pthread_rwlock_unlock(&lock), 0);
	EQ(pthread_rwlockattr_init(&a), 0);
	EQ(pthread_rwlockattr_getpshared(&a, &value), 0);
	EQ(value, PTHREAD_PROCESS_PRIVATE);
	EQ(pthread_rwlockattr_setpshared(&a, 9), EINVAL);
	EQ(pthread_rwlock_init(&l, &a), 0);
	EQ(pthread_rwlockattr_destroy(&a), 0);
	EQ(pthread_rwlockattr_destroy(&a), EINVAL);
	EQ(pthread_rwlock_destroy(&l), 0);
	EQ(pthread_rwlock_rdlock(&l), EINVAL);
	EQ(pthread_rwlock_wrlock(&l), EINVAL);
	EQ(pthread_rwlock_unlock(&l), EINVAL);
	EQ(pthread_rwlock_destroy(&l), EINVAL);
	EQ(pthread_rwlock_init(&l, &a), EINVAL);
}

static void *write_in_order(void *arg)
{
	EQ(pthread_rwlock_wrlock(&lock), 0);
	order[order_n++] = 'w';
	EQ(pthread_rwlock_unlock(&lock), 0);
	return arg;
}

static void *read_in_order(void *arg)
{
	EQ(pthread_rwlock_rdlock(&lock), 0);
	order[order_n++] = 'r';
	EQ(pthread_rwlock_unlock(&lock), 0);
	return arg;
}

/* A writer that waits goes before a reader that comes later, but a reader may read again. */
static void writer_first(void)
{
	pthread_t w, r;

	EQ(pthread_rwlock_rdlock(&lock), 0);
	EQ(pthread_create(&w, NULL, write_in_order, NULL), 0);
	sleep_ms(20);
	EQ(pthread_create(&r, NULL, read_in_order, NULL), 0);
	sleep_ms(20);
	EQ(order_n, 0);
	EQ(pthread_rwlock_rdlock(&lock), 0);
	EQ(pthread_rwlock_unlock(&lock), 0);
	EQ(pthread_rwlock_unlock(&lock), 0);
	EQ(pthread_join(w, NULL), 0);
	EQ(pthread_join(r, NULL), 0);
	EQ(strcmp(order, "wr"), 0);
}

/* Handlers run while a thread waits for a lock or at a barrier, and it goes on waiting. */
static volatile int handled, got_it;

static void count_signal(int signo)
{
	(void)signo;
	handled++;
}

static void *wait_to_write(void *arg)
{
	EQ(pthread_rwlock_wrlock(&lock), 0);
	got_it = 1;
	EQ(pthread_rwlock_unlock(&lock), 0);
	return arg;
}

static pthread_barrier_t two;

static void *wait_for_two(void *arg)
{
	pthread_barrier_wait(&two);
	got_it = 2;
	return arg;
}

static void disturb(pthread_t t, int not_yet)
{
	sleep_ms(15);
	handled = 0;
	EQ(pthread_kill(t, SIGUSR1), 0);
	wait_for(&handled);
	sleep_ms(5);
	EQ(got_it, not_yet);
}

static void signals(void)
{
	pthread_t t;

	CHECK(signal(SIGUSR1, count_signal) != SIG_ERR);
	EQ(pthread_rwlock_rdlock(&lock), 0);
	EQ(pthread_create(&t, NULL, wait_to_write, NULL), 0);
	disturb(t, 0);
	EQ(pthread_rwlock_unlock(&lock), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(got_it, 1);
	EQ(pthread_barrier_init(&two, NULL, 2), 0);
	EQ(pthread_create(&t, NULL, wait_for_two, NULL), 0);
	disturb(t, 1);
	pthread_barrier_wait(&two);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_barrier_destroy(&two), 0);
}

/* ---- barriers -------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;
static int serial, inside;

static void *rounds(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int err;

		__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
		err = pthread_barrier_wait(&barrier);
		CHECK(__atomic_load_n(&inside, __ATOMIC_SEQ_CST) >= 4 * (i + 1));
		if (err == PTHREAD_BARRIER_SERIAL_THREAD)
			__atomic_fetch_add(&serial, 1, __ATOMIC_SEQ_CST);
		else
			CHECK(err == 0);
	}
	return arg;
}

static void *wait_once(void *arg)
{
	pthread_barrier_wait(&barrier);
	return arg;
}

static void barriers(void)
{
	pthread_barrierattr_t a;
	pthread_t t[4];
	int value;

	EQ(pthread_barrier_init(&barrier, NULL, 0), EINVAL);
	EQ(pthread_barrier_init(&barrier, NULL, 4), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, rounds, NULL), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(serial, 50);
	EQ(pthread_barrier_destroy(&barrier), 0);
	EQ(pthread_barrier_destroy(&barrier), EINVAL);
	EQ(pthread_barrier_wait(&barrier), EINVAL);
	EQ(pthread_barrierattr_init(&a), 0);
	EQ(pthread_barrierattr_getpshared(&a, &value), 0);
	EQ(pthread_barrierattr_setpshared(&a, 9), EINVAL);
	EQ(pthread_barrier_init(&barrier, &a, 2), 0);
	EQ(pthread_barrierattr_destroy(&a), 0);
	EQ(pthread_create(&t[0], NULL, wait_once, NULL), 0);
	sleep_ms(10);
	EQ(pthread_barrier_destroy(&barrier), EBUSY);
	value = pthread_barrier_wait(&barrier);
	CHECK(value == 0 || value == PTHREAD_BARRIER_SERIAL_THREAD);
	EQ(pthread_barrier_destroy(&barrier), 0); /* at once, with the other one on its way out */
	EQ(pthread_join(t[0], NULL), 0);
	EQ(pthread_barrier_init(&barrier, &a, 2), EINVAL);
}

/* ---- spinlocks ------------------------------------------------------------------------------- */

static pthread_spinlock_t spin;
static long sum;

static void *spin_and_add(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		pthread_spin_lock(&spin);
		sum++;
		pthread_spin_unlock(&spin);
	}
	EQ(pthread_spin_unlock(&spin), EPERM);
	return arg;
}

static void spinlocks(void)
{
	pthread_t t[3];

	EQ(pthread_spin_init(&spin, 9), EINVAL);
	EQ(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE), 0);
	for (int i = 0; i < 3; i++)
		EQ(pthread_create(&t[i], NULL, spin_and_add, NULL), 0);
	for (int i = 0; i < 3; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(sum, 3000);
	EQ(pthread_spin_trylock(&spin), 0);
	EQ(pthread_spin_trylock(&spin), EBUSY);
	EQ(pthread_spin_lock(&spin), EDEADLK);
	EQ(pthread_spin_destroy(&spin), EBUSY);
	EQ(pthread_spin_unlock(&spin), 0);
	EQ(pthread_spin_unlock(&spin), EPERM);
	EQ(pthread_spin_destroy(&spin), 0);
	EQ(pthread_spin_lock(&spin), EINVAL);
	EQ(pthread_spin_trylock(&spin), EINVAL);
	EQ(pthread_spin_unlock(&spin), EINVAL);
	EQ(pthread_spin_destroy(&spin), EINVAL);
}

static pthread_rwlock_t contended = PTHREAD_RWLOCK_INITIALIZER;
static char sequence[8];
static int turns;

static void *write_in_turn(void *arg)
{
	pthread_rwlock_wrlock(&contended);
	sequence[turns++] = *(char *)arg;
	pthread_rwlock_unlock(&contended);
	return NULL;
}

static void *read_in_turn(void *arg)
{
	pthread_rwlock_rdlock(&contended);
	sequence[turns++] = *(char *)arg;
	pthread_rwlock_unlock(&contended);
	return NULL;
}

static pthread_t with_priority(int priority, void *(*entry)(void *), const char *arg)
{
	struct sched_param param = { .sched_priority = priority };
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	EQ(pthread_create(&t, &attr, entry, (void *)arg), 0);
	usleep(20000);
	return t;
}

/* By priority, writers before readers of the same one, in whatever sequence they came. */
static void by_priority(void)
{
	struct sched_param param = { .sched_priority = 20 }, fair = { .sched_priority = 0 };
	pthread_t t[4];

	EQ(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param), 0);
	EQ(pthread_rwlock_wrlock(&contended), 0);
	t[0] = with_priority(10, write_in_turn, "d");
	t[1] = with_priority(12, read_in_turn, "b");
	t[2] = with_priority(12, write_in_turn, "a");
	t[3] = with_priority(11, read_in_turn, "c");
	EQ(turns, 0);
	EQ(pthread_rwlock_unlock(&contended), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	CHECK(!strcmp(sequence, "abcd") || (printf("sequence: %s\n", sequence), 0));
	EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &fair), 0);
	EQ(pthread_rwlock_destroy(&contended), 0);
}

int main(void)
{
	by_priority();
	sem_init(&ready, 0, 0);
	sem_init(&release, 0, 0);
	held(read_and_wait, 1);
	held(write_and_wait, 0);
	errors();
	writer_first();
	signals();
	barriers();
	spinlocks();
	return test_end();
}
