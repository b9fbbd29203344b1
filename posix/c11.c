/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C11 threads, by POSIX's. A plain mutex of C11 is one that checks for errors here, so locking it
 * twice is thrd_error and does not hang.
 */
#include <threads.h>

#include "posix/internal.h"

static int answer(int err)
{
	switch (err) {
	case 0:
		return thrd_success;
	case EBUSY:
		return thrd_busy;
	case ETIMEDOUT:
		return thrd_timedout;
	case ENOMEM:
	case EAGAIN:
		return thrd_nomem;
	}
	return thrd_error;
}

PX_API void call_once(once_flag *flag, void (*routine)(void))
{
	pthread_once(flag, routine);
}

/* ---- mutexes --------------------------------------------------------------------------------- */

PX_API int mtx_init(mtx_t *m, int type)
{
	pthread_mutexattr_t attr;

	if (type & ~(mtx_plain | mtx_recursive | mtx_timed))
		return thrd_error;
	pthread_mutexattr_init(&attr);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	return answer(pthread_mutex_init(m, &attr));
}

PX_API void mtx_destroy(mtx_t *m)
{
	pthread_mutex_destroy(m);
}

PX_API int mtx_lock(mtx_t *m)
{
	return answer(pthread_mutex_lock(m));
}

PX_API int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict at)
{
	return answer(pthread_mutex_timedlock(m, at));
}

PX_API int mtx_trylock(mtx_t *m)
{
	return answer(pthread_mutex_trylock(m));
}

PX_API int mtx_unlock(mtx_t *m)
{
	return answer(pthread_mutex_unlock(m));
}

/* ---- condition variables --------------------------------------------------------------------- */

PX_API int cnd_init(cnd_t *c)
{
	return answer(pthread_cond_init(c, NULL));
}

PX_API void cnd_destroy(cnd_t *c)
{
	pthread_cond_destroy(c);
}

PX_API int cnd_signal(cnd_t *c)
{
	return answer(pthread_cond_signal(c));
}

PX_API int cnd_broadcast(cnd_t *c)
{
	return answer(pthread_cond_broadcast(c));
}

PX_API int cnd_wait(cnd_t *c, mtx_t *m)
{
	return answer(pthread_cond_wait(c, m));
}

PX_API int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict at)
{
	return answer(pthread_cond_timedwait(c, m, at));
}

/* ---- threads --------------------------------------------------------------------------------- */

/* A C11 thread returns an int, a POSIX one a pointer of at least that size. */
PX_API int thrd_create(thrd_t *t, thrd_start_t entry, void *arg)
{
	return answer(pthread_create(t, NULL, (void *(*)(void *))(void (*)(void))entry, arg));
}

PX_API thrd_t thrd_current(void)
{
	return pthread_self();
}

PX_API int thrd_detach(thrd_t t)
{
	return answer(pthread_detach(t));
}

PX_API int thrd_equal(thrd_t a, thrd_t b)
{
	return pthread_equal(a, b);
}

PX_API _Noreturn void thrd_exit(int result)
{
	pthread_exit((void *)(intptr_t)result);
}

PX_API int thrd_join(thrd_t t, int *result)
{
	void *value;
	int err = pthread_join(t, &value);

	if (!err && result)
		*result = (int)(intptr_t)value;
	return answer(err);
}

PX_API int thrd_sleep(const struct timespec *ts, struct timespec *left)
{
	int err = clock_nanosleep(CLOCK_MONOTONIC, 0, ts, left);

	return err == EINTR ? -1 : err ? -2 : 0;
}

PX_API void thrd_yield(void)
{
	sched_yield();
}

/* ---- thread-specific storage ----------------------------------------------------------------- */

PX_API int tss_create(tss_t *key, tss_dtor_t destructor)
{
	return pthread_key_create(key, destructor) ? thrd_error : thrd_success;
}

PX_API void tss_delete(tss_t key)
{
	pthread_key_delete(key);
}

PX_API void *tss_get(tss_t key)
{
	return pthread_getspecific(key);
}

PX_API int tss_set(tss_t key, void *value)
{
	return answer(pthread_setspecific(key, value));
}
