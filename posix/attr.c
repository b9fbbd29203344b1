/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attributes of threads. A setter checks what can be checked without a thread; nothing is changed
 * when it refuses. The stack's guard is always there and is as large as the stack's slot, whatever
 * size is asked for.
 */
#include "posix/internal.h"
#include "core/console.h"
#include "core/mem/mem.h"
#include "core/string.h"

#define STACK_DEFAULT (64 * 1024 - 2048)

int px_out_of_range(const char *attribute, const char *expected)
{
	printk("posix: %s is out of range: expected %s\n", attribute, expected);
	return EINVAL;
}

static bool is_attr(const pthread_attr_t *a)
{
	return a && a->__magic == PX_MAGIC_ATTR;
}

PX_API int pthread_attr_init(pthread_attr_t *a)
{
	*a = (pthread_attr_t){
		.__magic = PX_MAGIC_ATTR,
		.__detach = PTHREAD_CREATE_JOINABLE,
		.__inherit = PTHREAD_INHERIT_SCHED,
		.__policy = SCHED_OTHER,
		.__scope = PTHREAD_SCOPE_SYSTEM,
		.__stack_bytes = STACK_DEFAULT,
		.__guard_bytes = PAGE_SIZE,
	};
	return 0;
}

PX_API int pthread_attr_destroy(pthread_attr_t *a)
{
	if (!is_attr(a))
		return EINVAL;
	a->__magic = PX_MAGIC_DEAD;
	return 0;
}

PX_API int pthread_attr_getdetachstate(const pthread_attr_t *a, int *state)
{
	if (!is_attr(a))
		return EINVAL;
	*state = a->__detach;
	return 0;
}

PX_API int pthread_attr_setdetachstate(pthread_attr_t *a, int state)
{
	if (!is_attr(a))
		return EINVAL;
	if (state != PTHREAD_CREATE_JOINABLE && state != PTHREAD_CREATE_DETACHED)
		return px_out_of_range("detachstate", "PTHREAD_CREATE_JOINABLE or _DETACHED");
	a->__detach = state;
	return 0;
}

PX_API int pthread_attr_getinheritsched(const pthread_attr_t *restrict a, int *restrict inherit)
{
	if (!is_attr(a))
		return EINVAL;
	*inherit = a->__inherit;
	return 0;
}

PX_API int pthread_attr_setinheritsched(pthread_attr_t *a, int inherit)
{
	if (!is_attr(a))
		return EINVAL;
	if (inherit != PTHREAD_INHERIT_SCHED && inherit != PTHREAD_EXPLICIT_SCHED)
		return px_out_of_range("inheritsched",
				       "PTHREAD_INHERIT_SCHED or PTHREAD_EXPLICIT_SCHED");
	a->__inherit = inherit;
	return 0;
}

PX_API int pthread_attr_getscope(const pthread_attr_t *restrict a, int *restrict scope)
{
	if (!is_attr(a))
		return EINVAL;
	*scope = a->__scope;
	return 0;
}

/* Every thread competes with all others. */
PX_API int pthread_attr_setscope(pthread_attr_t *a, int scope)
{
	if (!is_attr(a))
		return EINVAL;
	if (scope != PTHREAD_SCOPE_SYSTEM && scope != PTHREAD_SCOPE_PROCESS)
		return px_out_of_range("scope", "PTHREAD_SCOPE_SYSTEM");
	return scope == PTHREAD_SCOPE_SYSTEM ? 0 : ENOTSUP;
}

PX_API int pthread_attr_getguardsize(const pthread_attr_t *restrict a, size_t *restrict bytes)
{
	if (!is_attr(a))
		return EINVAL;
	*bytes = a->__guard_bytes;
	return 0;
}

PX_API int pthread_attr_setguardsize(pthread_attr_t *a, size_t bytes)
{
	if (!is_attr(a))
		return EINVAL;
	if (bytes > STACK_SLOT_MAX)
		return px_out_of_range("guardsize", "1 MiB at most");
	a->__guard_bytes = bytes;
	return 0;
}

PX_API int pthread_attr_getschedparam(const pthread_attr_t *restrict a,
				      struct sched_param *restrict param)
{
	if (!is_attr(a))
		return EINVAL;
	*param = a->__param;
	return 0;
}

/* Which priorities fit is known when the policy is: pthread_create() looks at both. */
PX_API int pthread_attr_setschedparam(pthread_attr_t *restrict a,
				      const struct sched_param *restrict param)
{
	if (!is_attr(a))
		return EINVAL;
	if (param->sched_priority < 0 || param->sched_priority > 99)
		return px_out_of_range("sched_priority", "0..99");
	a->__param = *param;
	return 0;
}

PX_API int pthread_attr_getschedpolicy(const pthread_attr_t *restrict a, int *restrict policy)
{
	if (!is_attr(a))
		return EINVAL;
	*policy = a->__policy;
	return 0;
}

PX_API int pthread_attr_setschedpolicy(pthread_attr_t *a, int policy)
{
	if (!is_attr(a))
		return EINVAL;
	if (sched_get_priority_max(policy) < 0)
		return px_out_of_range("schedpolicy", "OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5");
	a->__policy = policy;
	return policy == SCHED_SPORADIC ? px_sporadic_use() : 0;
}

/* ---- stack ----------------------------------------------------------------------------------- */

PX_API int pthread_attr_getstack(const pthread_attr_t *restrict a, void **restrict stack,
				 size_t *restrict bytes)
{
	if (!is_attr(a))
		return EINVAL;
	*stack = a->__stack;
	*bytes = a->__stack_bytes;
	return 0;
}

/* Memory of malloc() will do: the stack begins at the last aligned address in it. */
PX_API int pthread_attr_setstack(pthread_attr_t *a, void *stack, size_t bytes)
{
	if (!is_attr(a))
		return EINVAL;
	if (bytes < PTHREAD_STACK_MIN || !stack)
		return px_out_of_range("stack", "memory of PTHREAD_STACK_MIN bytes or more");
	a->__stack = stack;
	a->__stack_bytes = bytes;
	return 0;
}

PX_API int pthread_attr_getstackaddr(const pthread_attr_t *restrict a, void **restrict stack)
{
	if (!is_attr(a))
		return EINVAL;
	*stack = a->__stack;
	return 0;
}

PX_API int pthread_attr_setstackaddr(pthread_attr_t *a, void *stack)
{
	if (!is_attr(a))
		return EINVAL;
	a->__stack = stack;
	return 0;
}

PX_API int pthread_attr_getstacksize(const pthread_attr_t *restrict a, size_t *restrict bytes)
{
	if (!is_attr(a))
		return EINVAL;
	*bytes = a->__stack_bytes;
	return 0;
}

/* The largest slot has to hold what lies above the stack as well. */
PX_API int pthread_attr_setstacksize(pthread_attr_t *a, size_t bytes)
{
	if (!is_attr(a))
		return EINVAL;
	if (bytes < PTHREAD_STACK_MIN || bytes > STACK_SLOT_MAX - PAGE_SIZE)
		return px_out_of_range("stacksize", "PTHREAD_STACK_MIN to 1 MiB");
	a->__stack_bytes = bytes;
	return 0;
}

/* ---- affinity -------------------------------------------------------------------------------- */

PX_API int pthread_attr_getaffinity_np(const pthread_attr_t *a, size_t bytes, cpu_set_t *set)
{
	if (!is_attr(a) || bytes < sizeof(struct cpumask))
		return EINVAL;
	memset(set, a->__has_affinity ? 0 : 0xff, bytes);
	if (a->__has_affinity)
		memcpy(set, &a->__affinity, MIN(bytes, sizeof(a->__affinity)));
	return 0;
}

PX_API int pthread_attr_setaffinity_np(pthread_attr_t *a, size_t bytes, const cpu_set_t *set)
{
	if (!is_attr(a))
		return EINVAL;
	a->__has_affinity = set && bytes;
	memset(&a->__affinity, 0, sizeof(a->__affinity));
	if (a->__has_affinity)
		memcpy(&a->__affinity, set, MIN(bytes, sizeof(a->__affinity)));
	return 0;
}

PX_API int pthread_getattr_np(pthread_t id, pthread_attr_t *a)
{
	struct pthread *t = px_pin(id);
	struct sched_param param;
	int policy;

	if (!t)
		return ESRCH;
	pthread_attr_init(a);
	a->__detach = t->detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE;
	/* What was asked for: a slot may have more. */
	a->__stack_bytes = t->stack_bytes ? t->stack_bytes :
					    (size_t)((char *)t->core - (char *)t->core->stack);
	a->__stack = t->user_stack ? t->user_stack : (char *)t->core - a->__stack_bytes;
	a->__guard_bytes = t->guard_bytes;
	px_unpin(t);
	pthread_getaffinity_np(id, sizeof(a->__affinity), &a->__affinity);
	a->__has_affinity = true;
	if (!pthread_getschedparam(id, &policy, &param)) {
		a->__policy = policy;
		a->__param = param;
	}
	return 0;
}
