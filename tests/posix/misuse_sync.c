/* SPDX-License-Identifier: BSD-2-Clause */
/* Misuse of mutexes, condition variables, read-write locks, barriers, spinlocks and semaphores. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <threads.h>

#include "misuse.h"

static pthread_mutex_t held, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t waited = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t written, read_by_one;
static pthread_spinlock_t spun;
static pthread_barrier_t entered;
static sem_t empty, quit;
static mtx_t plain;
static volatile int ready;
static const struct timespec past = { 0, 0 };

/* A thread that has one of each, and waits for the rest until it is let go. */
static void *holder(void *arg)
{
	pthread_mutex_lock(&held);
	pthread_rwlock_wrlock(&written);
	pthread_rwlock_rdlock(&read_by_one);
	pthread_spin_lock(&spun);
	mtx_lock(&plain);
	ready++;
	while (sem_wait(&quit))
		;
	mtx_unlock(&plain);
	pthread_spin_unlock(&spun);
	pthread_rwlock_unlock(&read_by_one);
	pthread_rwlock_unlock(&written);
	pthread_mutex_unlock(&held);
	return arg;
}

static void *cond_waiter(void *arg)
{
	pthread_mutex_lock(&other);
	ready++;
	pthread_cond_wait(&waited, &other);
	pthread_mutex_unlock(&other);
	return arg;
}

static void *sem_waiter(void *arg)
{
	ready++;
	sem_wait(&empty);
	return arg;
}

static void *barrier_waiter(void *arg)
{
	ready++;
	pthread_barrier_wait(&entered);
	return arg;
}

static void wait_ready(int n)
{
	while (ready < n)
		sleep_ms(1);
	sleep_ms(5); /* it waits by then */
}

/* ---- what another thread has or waits for ---------------------------------------------------- */

static void held_mutex(void)
{
	ROW(pthread_mutex_trylock, (&held), EBUSY);
	ROW(pthread_mutex_timedlock, (&held, &past), ETIMEDOUT);
	ROW(pthread_mutex_timedlock, (&held, &bad_time), EINVAL);
	ROW(pthread_mutex_clocklock, (&held, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	ROW(pthread_mutex_clocklock, (&held, 77, &past), EINVAL);
	ROW(pthread_mutex_unlock, (&held), EPERM);
	ROW(pthread_mutex_destroy, (&held), EBUSY);
	ROW(pthread_cond_wait, (&waited, &held), EPERM);
	ROW(pthread_cond_timedwait, (&waited, &held, &past), EPERM);
	ROW(pthread_cond_clockwait, (&waited, &held, CLOCK_MONOTONIC, &past), EPERM);
	ROW(mtx_trylock, (&plain), thrd_busy);
	ROW(mtx_timedlock, (&plain, &past), thrd_timedout);
	ROW(mtx_unlock, (&plain), thrd_error);
	ROW(cnd_wait, (&waited, &held), thrd_error);
	ROW(cnd_timedwait, (&waited, &held, &past), thrd_error);
}

static void held_locks(void)
{
	ROW(pthread_rwlock_tryrdlock, (&written), EBUSY);
	ROW(pthread_rwlock_trywrlock, (&written), EBUSY);
	ROW(pthread_rwlock_trywrlock, (&read_by_one), EBUSY);
	ROW(pthread_rwlock_timedrdlock, (&written, &past), ETIMEDOUT);
	ROW(pthread_rwlock_timedwrlock, (&written, &past), ETIMEDOUT);
	ROW(pthread_rwlock_timedwrlock, (&read_by_one, &past), ETIMEDOUT);
	ROW(pthread_rwlock_timedrdlock, (&written, &bad_time), EINVAL);
	ROW(pthread_rwlock_timedwrlock, (&written, &bad_time), EINVAL);
	ROW(pthread_rwlock_clockrdlock, (&written, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	ROW(pthread_rwlock_clockwrlock, (&written, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	ROW(pthread_rwlock_clockrdlock, (&written, 77, &past), EINVAL);
	ROW(pthread_rwlock_clockwrlock, (&written, 77, &past), EINVAL);
	ROW(pthread_rwlock_unlock, (&written), EPERM);
	ROW(pthread_rwlock_unlock, (&read_by_one), EPERM);
	ROW(pthread_rwlock_destroy, (&written), EBUSY);
	ROW(pthread_rwlock_destroy, (&read_by_one), EBUSY);
	ROW(pthread_spin_trylock, (&spun), EBUSY);
	ROW(pthread_spin_unlock, (&spun), EPERM);
	ROW(pthread_spin_destroy, (&spun), EBUSY);
}

static void held_by_another(void)
{
	pthread_t t;

	ready = 0;
	pthread_mutex_init(&held, NULL);
	pthread_rwlock_init(&written, NULL);
	pthread_rwlock_init(&read_by_one, NULL);
	pthread_spin_init(&spun, 0);
	mtx_init(&plain, mtx_plain | mtx_timed);
	sem_init(&quit, 0, 0);
	pthread_create(&t, NULL, holder, NULL);
	wait_ready(1);
	held_mutex();
	held_locks();
	sem_post(&quit);
	EQ(pthread_join(t, NULL), 0);
	/* All that was refused left them as they were. */
	EQ(pthread_mutex_lock(&held), 0);
	EQ(pthread_mutex_unlock(&held), 0);
	EQ(pthread_rwlock_wrlock(&read_by_one), 0);
	EQ(pthread_rwlock_unlock(&read_by_one), 0);
	EQ(pthread_mutex_destroy(&held), 0);
	EQ(pthread_rwlock_destroy(&written), 0);
	EQ(pthread_rwlock_destroy(&read_by_one), 0);
	EQ(pthread_spin_destroy(&spun), 0);
}

static void waited_for(void)
{
	pthread_mutex_t third = PTHREAD_MUTEX_INITIALIZER;
	pthread_t c, s, b;

	ready = 0;
	sem_init(&empty, 0, 0);
	pthread_barrier_init(&entered, NULL, 2);
	pthread_create(&c, NULL, cond_waiter, NULL);
	pthread_create(&s, NULL, sem_waiter, NULL);
	pthread_create(&b, NULL, barrier_waiter, NULL);
	wait_ready(3);
	ROW(pthread_cond_destroy, (&waited), EBUSY);
	ROW_ERRNO(sem_destroy, (&empty), EBUSY);
	ROW(pthread_barrier_destroy, (&entered), EBUSY);
	pthread_mutex_lock(&third);
	ROW(pthread_cond_wait, (&waited, &third), EINVAL); /* others wait with another mutex */
	ROW(pthread_mutex_unlock, (&third), 0);            /* and it is locked still */
	pthread_cond_signal(&waited);
	sem_post(&empty);
	pthread_barrier_wait(&entered);
	EQ(pthread_join(c, NULL), 0);
	EQ(pthread_join(s, NULL), 0);
	EQ(pthread_join(b, NULL), 0);
	EQ(pthread_cond_destroy(&waited), 0);
	EQ(sem_destroy(&empty), 0);
	EQ(pthread_barrier_destroy(&entered), 0);
}

/* ---- what the caller has --------------------------------------------------------------------- */

static void own(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	pthread_rwlock_t w = PTHREAD_RWLOCK_INITIALIZER;
	pthread_spinlock_t s;
	mtx_t plain_one;

	ROW(pthread_mutex_unlock, (&m), EPERM);
	pthread_mutex_lock(&m);
	guard(&m, sizeof(m));
	ROW(pthread_mutex_lock, (&m), EDEADLK);
	ROW(pthread_mutex_trylock, (&m), EBUSY);
	ROW(pthread_mutex_destroy, (&m), EBUSY);
	ROW(pthread_mutex_consistent, (&m), EINVAL);
	ROW(pthread_cond_timedwait, (&c, &m, &bad_time), EINVAL);
	ROW(pthread_cond_clockwait, (&c, &m, 77, &past), EINVAL);
	guard(NULL, 0);
	ROW(pthread_cond_timedwait, (&c, &m, &past), ETIMEDOUT);
	ROW(pthread_mutex_unlock, (&m), 0);
	ROW(pthread_rwlock_unlock, (&w), EPERM);
	pthread_rwlock_wrlock(&w);
	ROW(pthread_rwlock_wrlock, (&w), EDEADLK);
	ROW(pthread_rwlock_rdlock, (&w), EDEADLK);
	pthread_rwlock_unlock(&w);
	ROW(pthread_rwlock_unlock, (&w), EPERM);
	pthread_spin_init(&s, 0);
	ROW(pthread_spin_unlock, (&s), EPERM);
	pthread_spin_lock(&s);
	ROW(pthread_spin_lock, (&s), EDEADLK);
	ROW(pthread_spin_trylock, (&s), EBUSY);
	pthread_spin_unlock(&s);
	EQ(mtx_init(&plain_one, mtx_plain), thrd_success);
	EQ(mtx_lock(&plain_one), thrd_success);
	ROW(mtx_lock, (&plain_one), thrd_error);
	EQ(mtx_unlock(&plain_one), thrd_success);
	ROW(mtx_init, (&plain_one, 0x7000), thrd_error);
}

/* ---- robustness and ceilings ----------------------------------------------------------------- */

static void *dies_with_it(void *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

static void robust(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&m, &a);
	pthread_create(&t, NULL, dies_with_it, &m);
	pthread_join(t, NULL);
	ROW(pthread_mutex_lock, (&m), EOWNERDEAD);
	pthread_mutex_unlock(&m); /* which gives it up for good */
	ROW(pthread_mutex_lock, (&m), ENOTRECOVERABLE);
	ROW(pthread_mutex_trylock, (&m), ENOTRECOVERABLE);
	ROW(pthread_mutex_timedlock, (&m, &past), ENOTRECOVERABLE);
	ROW(pthread_mutex_consistent, (&m), EINVAL);
	ROW(pthread_mutex_destroy, (&m), 0);
}

static void ceiling(void)
{
	struct sched_param param = { .sched_priority = 20 };
	pthread_mutexattr_t a;
	pthread_mutex_t m, without = PTHREAD_MUTEX_INITIALIZER;
	int old = 77, is;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_PROTECT);
	pthread_mutexattr_setprioceiling(&a, 10);
	pthread_mutex_init(&m, &a);
	guard(&old, sizeof(old));
	ROW(pthread_mutex_setprioceiling, (&m, 100, &old), EINVAL);
	ROW(pthread_mutex_setprioceiling, (&m, 0, &old), EINVAL);
	ROW(pthread_mutex_setprioceiling, (&without, 10, &old), EINVAL);
	ROW(pthread_mutex_getprioceiling, (&without, &old), EINVAL);
	guard(NULL, 0);
	EQ(pthread_mutex_getprioceiling(&m, &is), 0);
	EQ(is, 10);
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
	ROW(pthread_mutex_lock, (&m), EINVAL); /* the caller is above the ceiling */
	ROW(pthread_mutex_trylock, (&m), EINVAL);
	ROW(pthread_mutex_timedlock, (&m, &past), EINVAL);
	param.sched_priority = 0;
	pthread_setschedparam(pthread_self(), SCHED_OTHER, &param);
	ROW(pthread_mutex_destroy, (&m), 0);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void mutex_attributes(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	int value = 77;

	pthread_mutexattr_init(&a);
	guard(&a, sizeof(a));
	ROW(pthread_mutexattr_settype, (&a, 77), EINVAL);
	ROW(pthread_mutexattr_setprotocol, (&a, 77), EINVAL);
	ROW(pthread_mutexattr_setprioceiling, (&a, 0), EINVAL);
	ROW(pthread_mutexattr_setprioceiling, (&a, 100), EINVAL);
	ROW(pthread_mutexattr_setrobust, (&a, 77), EINVAL);
	ROW(pthread_mutexattr_setpshared, (&a, 77), EINVAL);
	guard(NULL, 0);
	pthread_mutexattr_destroy(&a);
	guard(&a, sizeof(a));
	ROW(pthread_mutexattr_destroy, (&a), EINVAL);
	ROW(pthread_mutexattr_settype, (&a, PTHREAD_MUTEX_NORMAL), EINVAL);
	ROW(pthread_mutexattr_setprotocol, (&a, PTHREAD_PRIO_NONE), EINVAL);
	ROW(pthread_mutexattr_setprioceiling, (&a, 10), EINVAL);
	ROW(pthread_mutexattr_setrobust, (&a, PTHREAD_MUTEX_ROBUST), EINVAL);
	ROW(pthread_mutexattr_setpshared, (&a, PTHREAD_PROCESS_PRIVATE), EINVAL);
	guard(&value, sizeof(value));
	ROW(pthread_mutexattr_gettype, (&a, &value), EINVAL);
	ROW(pthread_mutexattr_getprotocol, (&a, &value), EINVAL);
	ROW(pthread_mutexattr_getprioceiling, (&a, &value), EINVAL);
	ROW(pthread_mutexattr_getrobust, (&a, &value), EINVAL);
	ROW(pthread_mutexattr_getpshared, (&a, &value), EINVAL);
	guard(&m, sizeof(m));
	ROW(pthread_mutex_init, (&m, &a), EINVAL);
	guard(NULL, 0);
}

static void other_attributes(void)
{
	pthread_condattr_t c;
	pthread_rwlockattr_t w;
	pthread_barrierattr_t b;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
	pthread_barrier_t barrier;
	clockid_t clock_id = 77;
	int value = 77;

	memset(&barrier, 0, sizeof(barrier));
	pthread_condattr_init(&c);
	pthread_rwlockattr_init(&w);
	pthread_barrierattr_init(&b);
	guard(&c, sizeof(c));
	ROW(pthread_condattr_setclock, (&c, 77), EINVAL);
	ROW(pthread_condattr_setclock, (&c, CLOCK_THREAD_CPUTIME_ID), EINVAL);
	ROW(pthread_condattr_setpshared, (&c, 77), EINVAL);
	guard(&w, sizeof(w));
	ROW(pthread_rwlockattr_setpshared, (&w, 77), EINVAL);
	guard(&b, sizeof(b));
	ROW(pthread_barrierattr_setpshared, (&b, 77), EINVAL);
	guard(NULL, 0);
	pthread_condattr_destroy(&c);
	pthread_rwlockattr_destroy(&w);
	pthread_barrierattr_destroy(&b);
	ROW(pthread_condattr_destroy, (&c), EINVAL);
	ROW(pthread_condattr_setclock, (&c, CLOCK_MONOTONIC), EINVAL);
	ROW(pthread_condattr_setpshared, (&c, 0), EINVAL);
	ROW(pthread_rwlockattr_destroy, (&w), EINVAL);
	ROW(pthread_rwlockattr_setpshared, (&w, 0), EINVAL);
	ROW(pthread_barrierattr_destroy, (&b), EINVAL);
	ROW(pthread_barrierattr_setpshared, (&b, 0), EINVAL);
	guard(&value, sizeof(value));
	ROW(pthread_condattr_getpshared, (&c, &value), EINVAL);
	ROW(pthread_rwlockattr_getpshared, (&w, &value), EINVAL);
	ROW(pthread_barrierattr_getpshared, (&b, &value), EINVAL);
	guard(&clock_id, sizeof(clock_id));
	ROW(pthread_condattr_getclock, (&c, &clock_id), EINVAL);
	guard(&cond, sizeof(cond));
	ROW(pthread_cond_init, (&cond, &c), EINVAL);
	guard(&lock, sizeof(lock));
	ROW(pthread_rwlock_init, (&lock, &w), EINVAL);
	guard(&barrier, sizeof(barrier));
	ROW(pthread_barrier_init, (&barrier, &b, 2), EINVAL);
	ROW(pthread_barrier_init, (&barrier, NULL, 0), EINVAL);
	guard(NULL, 0);
}

/* ---- what is no object ----------------------------------------------------------------------- */

#define JUNK(type, name) \
	type name;       \
	memset(&name, 0x5a, sizeof(name))

static void junk_mutex_and_cond(void)
{
	pthread_mutex_t good = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	int value;

	JUNK(pthread_mutex_t, m);
	JUNK(pthread_cond_t, c);
	guard(&m, sizeof(m));
	ROW(pthread_mutex_lock, (&m), EINVAL);
	ROW(pthread_mutex_trylock, (&m), EINVAL);
	ROW(pthread_mutex_timedlock, (&m, &past), EINVAL);
	ROW(pthread_mutex_clocklock, (&m, CLOCK_MONOTONIC, &past), EINVAL);
	ROW(pthread_mutex_unlock, (&m), EINVAL);
	ROW(pthread_mutex_destroy, (&m), EINVAL);
	ROW(pthread_mutex_consistent, (&m), EINVAL);
	ROW(pthread_mutex_getprioceiling, (&m, &value), EINVAL);
	ROW(pthread_mutex_setprioceiling, (&m, 10, &value), EINVAL);
	ROW(pthread_cond_wait, (&cond, &m), EINVAL);
	pthread_mutex_lock(&good);
	guard(&c, sizeof(c));
	ROW(pthread_cond_wait, (&c, &good), EINVAL);
	ROW(pthread_cond_timedwait, (&c, &good, &past), EINVAL);
	ROW(pthread_cond_clockwait, (&c, &good, CLOCK_MONOTONIC, &past), EINVAL);
	ROW(pthread_cond_signal, (&c), EINVAL);
	ROW(pthread_cond_broadcast, (&c), EINVAL);
	ROW(pthread_cond_destroy, (&c), EINVAL);
	ROW(cnd_signal, (&c), thrd_error);
	ROW(cnd_broadcast, (&c), thrd_error);
	guard(NULL, 0);
	pthread_mutex_unlock(&good);
	pthread_mutex_destroy(&good);
	ROW(pthread_mutex_lock, (&good), EINVAL);
	ROW(pthread_mutex_unlock, (&good), EINVAL);
	ROW(pthread_mutex_destroy, (&good), EINVAL);
	pthread_cond_destroy(&cond);
	ROW(pthread_cond_signal, (&cond), EINVAL);
	ROW(pthread_cond_destroy, (&cond), EINVAL);
}

static void junk_locks(void)
{
	JUNK(pthread_rwlock_t, w);
	JUNK(pthread_barrier_t, b);
	JUNK(pthread_spinlock_t, s);
	guard(&w, sizeof(w));
	ROW(pthread_rwlock_rdlock, (&w), EINVAL);
	ROW(pthread_rwlock_tryrdlock, (&w), EINVAL);
	ROW(pthread_rwlock_timedrdlock, (&w, &past), EINVAL);
	ROW(pthread_rwlock_clockrdlock, (&w, CLOCK_MONOTONIC, &past), EINVAL);
	ROW(pthread_rwlock_wrlock, (&w), EINVAL);
	ROW(pthread_rwlock_trywrlock, (&w), EINVAL);
	ROW(pthread_rwlock_timedwrlock, (&w, &past), EINVAL);
	ROW(pthread_rwlock_clockwrlock, (&w, CLOCK_MONOTONIC, &past), EINVAL);
	ROW(pthread_rwlock_unlock, (&w), EINVAL);
	ROW(pthread_rwlock_destroy, (&w), EINVAL);
	guard(&b, sizeof(b));
	ROW(pthread_barrier_wait, (&b), EINVAL);
	ROW(pthread_barrier_destroy, (&b), EINVAL);
	guard(&s, sizeof(s));
	ROW(pthread_spin_lock, (&s), EINVAL);
	ROW(pthread_spin_trylock, (&s), EINVAL);
	ROW(pthread_spin_unlock, (&s), EINVAL);
	ROW(pthread_spin_destroy, (&s), EINVAL);
	ROW(pthread_spin_init, (&s, 77), EINVAL);
	guard(NULL, 0);
	pthread_barrier_init(&b, NULL, 1);
	pthread_barrier_destroy(&b);
	ROW(pthread_barrier_wait, (&b), EINVAL);
	ROW(pthread_barrier_destroy, (&b), EINVAL);
	pthread_rwlock_init(&w, NULL);
	pthread_rwlock_destroy(&w);
	ROW(pthread_rwlock_rdlock, (&w), EINVAL);
	ROW(pthread_rwlock_destroy, (&w), EINVAL);
}

/* ---- semaphores ------------------------------------------------------------------------------ */

static void semaphores(void)
{
	int value = 77;
	sem_t s;

	JUNK(sem_t, junk);
	guard(&junk, sizeof(junk));
	ROW_ERRNO(sem_wait, (&junk), EINVAL);
	ROW_ERRNO(sem_trywait, (&junk), EINVAL);
	ROW_ERRNO(sem_timedwait, (&junk, &past), EINVAL);
	ROW_ERRNO(sem_clockwait, (&junk, CLOCK_MONOTONIC, &past), EINVAL);
	ROW_ERRNO(sem_post, (&junk), EINVAL);
	ROW_ERRNO(sem_getvalue, (&junk, &value), EINVAL);
	ROW_ERRNO(sem_destroy, (&junk), EINVAL);
	ROW_ERRNO(sem_close, (&junk), EINVAL);
	ROW_ERRNO(sem_init, (&junk, 0, (unsigned)SEM_VALUE_MAX + 1u), EINVAL);
	EQ(value, 77);
	sem_init(&s, 0, 0);
	guard(&s, sizeof(s));
	ROW_ERRNO(sem_trywait, (&s), EAGAIN);
	ROW_ERRNO(sem_timedwait, (&s, &bad_time), EINVAL);
	ROW_ERRNO(sem_clockwait, (&s, 77, &past), EINVAL);
	ROW_ERRNO(sem_close, (&s), EINVAL); /* it has no name */
	guard(NULL, 0);
	ROW_ERRNO(sem_timedwait, (&s, &past), ETIMEDOUT);
	ROW_ERRNO(sem_clockwait, (&s, CLOCK_MONOTONIC, &past), ETIMEDOUT);
	sem_destroy(&s);
	sem_init(&s, 0, SEM_VALUE_MAX);
	guard(&s, sizeof(s));
	ROW_ERRNO(sem_post, (&s), EOVERFLOW);
	guard(NULL, 0);
	sem_destroy(&s);
	ROW_ERRNO(sem_post, (&s), EINVAL);
	ROW_ERRNO(sem_destroy, (&s), EINVAL);
}

static void named(void)
{
	char name[NAME_MAX + 3];
	sem_t *s;

	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = 0;
	ROW_VALUE(sem_open, (name, O_CREAT, 0600, 0), SEM_FAILED, ENAMETOOLONG);
	ROW_ERRNO(sem_unlink, (name), ENAMETOOLONG);
	ROW_VALUE(sem_open, ("/a/b", O_CREAT, 0600, 0), SEM_FAILED, EINVAL);
	ROW_VALUE(sem_open, ("/", O_CREAT, 0600, 0), SEM_FAILED, EINVAL);
	ROW_VALUE(sem_open, ("/none", 0), SEM_FAILED, ENOENT);
	ROW_VALUE(sem_open, ("/huge", O_CREAT, 0600, 0xffffffffu), SEM_FAILED, EINVAL);
	ROW_ERRNO(sem_unlink, ("/huge"), ENOENT); /* so it is not there */
	s = sem_open("/one", O_CREAT, 0600, 1);
	CHECK(s != SEM_FAILED);
	ROW_VALUE(sem_open, ("/one", O_CREAT | O_EXCL, 0600, 0), SEM_FAILED, EEXIST);
	EQ(sem_unlink("/one"), 0);
	ROW_ERRNO(sem_unlink, ("/one"), ENOENT);
	EQ(sem_close(s), 0);
	ROW_ERRNO(sem_close, (s), EINVAL);
}

int main(void)
{
	held_by_another();
	waited_for();
	own();
	robust();
	ceiling();
	mutex_attributes();
	other_attributes();
	junk_mutex_and_cond();
	junk_locks();
	semaphores();
	named();
	return test_end();
}
