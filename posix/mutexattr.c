/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes of mutexes, condition variables, read-write locks and barriers. There is one process, so
 * whoever shares memory shares what is in it, and PROCESS_SHARED means nothing.
 */
#include "posix/internal.h"

/* Of a field that may be 0 or 1. */
static int choice(const char *attribute, int *field, int value)
{
	if (value != 0 && value != 1)
		return px_out_of_range(attribute, "0 or 1");
	*field = value;
	return 0;
}

/* ---- mutexes --------------------------------------------------------------------------------- */

static bool is_mutexattr(const pthread_mutexattr_t *a)
{
	return a && a->__magic == PX_MAGIC_MUTEXATTR;
}

PX_API int pthread_mutexattr_init(pthread_mutexattr_t *a)
{
	*a = (pthread_mutexattr_t){
		.__magic = PX_MAGIC_MUTEXATTR,
		.__type = PTHREAD_MUTEX_DEFAULT,
		.__ceiling = 99,
	};
	return 0;
}

PX_API int pthread_mutexattr_destroy(pthread_mutexattr_t *a)
{
	if (!is_mutexattr(a))
		return EINVAL;
	a->__magic = PX_MAGIC_DEAD;
	return 0;
}

static int get(const pthread_mutexattr_t *a, const int *field, int *value)
{
	if (!is_mutexattr(a))
		return EINVAL;
	*value = *field;
	return 0;
}

PX_API int pthread_mutexattr_gettype(const pthread_mutexattr_t *restrict a, int *restrict type)
{
	return get(a, &a->__type, type);
}

PX_API int pthread_mutexattr_settype(pthread_mutexattr_t *a, int type)
{
	if (!is_mutexattr(a))
		return EINVAL;
	if (type < PTHREAD_MUTEX_ERRORCHECK || type > PTHREAD_MUTEX_NORMAL)
		return px_out_of_range("type",
				       "PTHREAD_MUTEX_NORMAL, _ERRORCHECK, _RECURSIVE or _DEFAULT");
	a->__type = type;
	return 0;
}

PX_API int pthread_mutexattr_getprotocol(const pthread_mutexattr_t *restrict a,
					 int *restrict protocol)
{
	return get(a, &a->__protocol, protocol);
}

PX_API int pthread_mutexattr_setprotocol(pthread_mutexattr_t *a, int protocol)
{
	if (!is_mutexattr(a))
		return EINVAL;
	if (protocol < PTHREAD_PRIO_NONE || protocol > PTHREAD_PRIO_PROTECT)
		return px_out_of_range("protocol", "PTHREAD_PRIO_NONE, _INHERIT or _PROTECT");
	a->__protocol = protocol;
	return 0;
}

PX_API int pthread_mutexattr_getprioceiling(const pthread_mutexattr_t *restrict a,
					    int *restrict ceiling)
{
	return get(a, &a->__ceiling, ceiling);
}

PX_API int pthread_mutexattr_setprioceiling(pthread_mutexattr_t *a, int ceiling)
{
	if (!is_mutexattr(a))
		return EINVAL;
	if (ceiling < 1 || ceiling > 99)
		return px_out_of_range("prioceiling", "1..99");
	a->__ceiling = ceiling;
	return 0;
}

PX_API int pthread_mutexattr_getrobust(const pthread_mutexattr_t *restrict a, int *restrict robust)
{
	return get(a, &a->__robust, robust);
}

PX_API int pthread_mutexattr_setrobust(pthread_mutexattr_t *a, int robust)
{
	if (!is_mutexattr(a))
		return EINVAL;
	return choice("robust", &a->__robust, robust);
}

PX_API int pthread_mutexattr_getpshared(const pthread_mutexattr_t *restrict a,
					int *restrict pshared)
{
	return get(a, &a->__pshared, pshared);
}

PX_API int pthread_mutexattr_setpshared(pthread_mutexattr_t *a, int pshared)
{
	return is_mutexattr(a) ? choice("pshared", &a->__pshared, pshared) : EINVAL;
}

/* ---- condition variables --------------------------------------------------------------------- */

static bool is_condattr(const pthread_condattr_t *a)
{
	return a && a->__magic == PX_MAGIC_CONDATTR;
}

PX_API int pthread_condattr_init(pthread_condattr_t *a)
{
	*a = (pthread_condattr_t){ .__magic = PX_MAGIC_CONDATTR, .__clock = CLOCK_REALTIME };
	return 0;
}

PX_API int pthread_condattr_destroy(pthread_condattr_t *a)
{
	if (!is_condattr(a))
		return EINVAL;
	a->__magic = PX_MAGIC_DEAD;
	return 0;
}

PX_API int pthread_condattr_getclock(const pthread_condattr_t *restrict a,
				     clockid_t *restrict clock_id)
{
	if (!is_condattr(a))
		return EINVAL;
	*clock_id = a->__clock;
	return 0;
}

PX_API int pthread_condattr_setclock(pthread_condattr_t *a, clockid_t clock_id)
{
	if (!is_condattr(a))
		return EINVAL;
	if (clock_id != CLOCK_REALTIME && clock_id != CLOCK_MONOTONIC)
		return px_out_of_range("clock", "CLOCK_REALTIME or CLOCK_MONOTONIC");
	a->__clock = clock_id;
	return 0;
}

PX_API int pthread_condattr_getpshared(const pthread_condattr_t *restrict a, int *restrict pshared)
{
	if (!is_condattr(a))
		return EINVAL;
	*pshared = a->__pshared;
	return 0;
}

PX_API int pthread_condattr_setpshared(pthread_condattr_t *a, int pshared)
{
	return is_condattr(a) ? choice("pshared", &a->__pshared, pshared) : EINVAL;
}

/* ---- read-write locks ------------------------------------------------------------------------ */

static bool is_rwlockattr(const pthread_rwlockattr_t *a)
{
	return a && a->__magic == PX_MAGIC_RWATTR;
}

PX_API int pthread_rwlockattr_init(pthread_rwlockattr_t *a)
{
	*a = (pthread_rwlockattr_t){ .__magic = PX_MAGIC_RWATTR };
	return 0;
}

PX_API int pthread_rwlockattr_destroy(pthread_rwlockattr_t *a)
{
	if (!is_rwlockattr(a))
		return EINVAL;
	a->__magic = PX_MAGIC_DEAD;
	return 0;
}

PX_API int pthread_rwlockattr_getpshared(const pthread_rwlockattr_t *restrict a,
					 int *restrict pshared)
{
	if (!is_rwlockattr(a))
		return EINVAL;
	*pshared = a->__pshared;
	return 0;
}

PX_API int pthread_rwlockattr_setpshared(pthread_rwlockattr_t *a, int pshared)
{
	return is_rwlockattr(a) ? choice("pshared", &a->__pshared, pshared) : EINVAL;
}

/* ---- barriers -------------------------------------------------------------------------------- */

static bool is_barrierattr(const pthread_barrierattr_t *a)
{
	return a && a->__magic == PX_MAGIC_BARATTR;
}

PX_API int pthread_barrierattr_init(pthread_barrierattr_t *a)
{
	*a = (pthread_barrierattr_t){ .__magic = PX_MAGIC_BARATTR };
	return 0;
}

PX_API int pthread_barrierattr_destroy(pthread_barrierattr_t *a)
{
	if (!is_barrierattr(a))
		return EINVAL;
	a->__magic = PX_MAGIC_DEAD;
	return 0;
}

PX_API int pthread_barrierattr_getpshared(const pthread_barrierattr_t *restrict a,
					  int *restrict pshared)
{
	if (!is_barrierattr(a))
		return EINVAL;
	*pshared = a->__pshared;
	return 0;
}

PX_API int pthread_barrierattr_setpshared(pthread_barrierattr_t *a, int pshared)
{
	return is_barrierattr(a) ? choice("pshared", &a->__pshared, pshared) : EINVAL;
}
