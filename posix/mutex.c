/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutexes: a thin layer over the core's, which has inheritance, ceilings and robustness, and checks
 * for errors by itself (-EDEADLK for its owner, -EPERM for others). What is here is the types:
 * RECURSIVE counts, and NORMAL deadlocks when it is locked twice, as POSIX wants, in a sleep that
 * signals interrupt.
 *
 * A mutex that is statically initialized is set up when it is first used. Waiting is in mutex_wait.c.
 */
#include "posix/mutex.h"

#define TYPE_MASK 3u

static void mutex_set_up(void *word)
{
	struct px_mutex *m = word;
	uint32_t type = m->magic & TYPE_MASK;

	m->depth = 0;
	mutex_init_with(&m->mutex, MUTEX_NO_INHERIT, 0);
	atomic_store_release(&m->magic, PX_MAGIC_MUTEX | type);
}

static __noinline struct px_mutex *mutex_first_use(pthread_mutex_t *mutex)
{
	struct px_mutex *m = (struct px_mutex *)mutex;

	return px_object_ready(&m->magic, PX_MAGIC_MUTEX, ~TYPE_MASK, mutex_set_up) ? m : NULL;
}

static inline bool is_ready(const struct px_mutex *m)
{
	return likely((atomic_load_acquire(&m->magic) & ~TYPE_MASK) == PX_MAGIC_MUTEX);
}

static inline struct px_mutex *mutex_of(pthread_mutex_t *mutex)
{
	struct px_mutex *m = (struct px_mutex *)mutex;

	return is_ready(m) ? m : mutex_first_use(mutex);
}

struct px_mutex *px_mutex(pthread_mutex_t *mutex)
{
	return mutex_of(mutex);
}

static unsigned type_of(const struct px_mutex *m)
{
	return m->magic & TYPE_MASK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static unsigned options_of(const pthread_mutexattr_t *a)
{
	return (a->__protocol == PTHREAD_PRIO_INHERIT ? 0 : MUTEX_NO_INHERIT) |
	       (a->__robust == PTHREAD_MUTEX_ROBUST ? MUTEX_ROBUST : 0);
}

PX_API int pthread_mutex_init(pthread_mutex_t *restrict mutex,
			      const pthread_mutexattr_t *restrict attr)
{
	struct px_mutex *m = (struct px_mutex *)mutex;
	bool protect = attr && attr->__protocol == PTHREAD_PRIO_PROTECT;

	if (attr && attr->__magic != PX_MAGIC_MUTEXATTR)
		return EINVAL;
	m->magic = attr ? (uint32_t)attr->__type : PTHREAD_MUTEX_DEFAULT;
	mutex_set_up(m);
	if (!attr)
		return 0;
	return -mutex_init_with(&m->mutex, options_of(attr),
				protect ? (unsigned)attr->__ceiling : 0);
}

PX_API int pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	struct px_mutex *m = mutex_of(mutex);

	if (!m)
		return EINVAL;
	if (mutex_owner(&m->mutex))
		return EBUSY;
	atomic_store_release(&m->magic, PX_MAGIC_DEAD);
	return 0;
}

/* ---- lock and unlock ------------------------------------------------------------------------- */

/* The caller owns it already. */
static __noinline int lock_again(struct px_mutex *m, uint64_t until_ns)
{
	struct pthread *self = px_self();

	if (type_of(m) == PTHREAD_MUTEX_RECURSIVE) {
		if (m->depth == UINT32_MAX)
			return EAGAIN;
		m->depth++;
		return 0;
	}
	if (type_of(m) == PTHREAD_MUTEX_ERRORCHECK)
		return EDEADLK;
	while (px_sleep(self, until_ns, PX_EVENT_SIGNAL) == -EINTR)
		px_interrupted(self, false);
	return ETIMEDOUT;
}

/* Who takes it from an owner that ended takes it once. */
__noinline int px_mutex_locked(struct px_mutex *m, int result, uint64_t until_ns)
{
	if (result == -EDEADLK)
		return lock_again(m, until_ns);
	if (result == -EOWNERDEAD)
		m->depth = 0;
	return -result;
}

static inline int locked(struct px_mutex *m, int result, uint64_t until_ns)
{
	return likely(!result) ? 0 : px_mutex_locked(m, result, until_ns);
}

/* It could not be had at once, for the reason @result. */
static __noinline int lock_slow(struct px_mutex *m, int result)
{
	if (result == -EBUSY)
		result = px_mutex_wait(&m->mutex, UINT64_MAX);
	return locked(m, result, UINT64_MAX);
}

/* It is not free, or not set up. */
static __noinline int lock_first(pthread_mutex_t *mutex)
{
	struct px_mutex *m = mutex_of(mutex);

	return m ? lock_slow(m, mutex_trylock(&m->mutex)) : EINVAL;
}

PX_API int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	struct px_mutex *m = (struct px_mutex *)mutex;
	struct thread *self = thread_current();
	uintptr_t owner = 0;

	/* As the core takes a free one, here, so that nothing is saved for a call. */
	if (unlikely(!is_ready(m)) ||
	    unlikely(!atomic_cas_acquire(&m->mutex.owner, &owner, (uintptr_t)self)))
		return lock_first(mutex);
	self->mutexes_held++;
	return 0;
}

PX_API int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	struct px_mutex *m = mutex_of(mutex);
	int result;

	if (!m)
		return EINVAL;
	result = mutex_trylock(&m->mutex);
	if (result == -EBUSY && type_of(m) == PTHREAD_MUTEX_RECURSIVE && mutex_is_mine(&m->mutex))
		return lock_again(m, 0);
	return result == -EDEADLK ? EBUSY : locked(m, result, 0);
}

/* The time is looked at only if the mutex cannot be had at once. */
PX_API int pthread_mutex_clocklock(pthread_mutex_t *restrict mutex, clockid_t clock_id,
				   const struct timespec *restrict at)
{
	struct px_mutex *m = mutex_of(mutex);
	uint64_t until_ns;
	int err;

	if (!m)
		return EINVAL;
	err = pthread_mutex_trylock(mutex);
	if (err != EBUSY)
		return err;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? err : locked(m, px_mutex_wait(&m->mutex, until_ns), until_ns);
}

PX_API int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex,
				   const struct timespec *restrict at)
{
	return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, at);
}

/* Not by the fast path. */
static __noinline int unlock_slow(pthread_mutex_t *mutex)
{
	struct px_mutex *m = (struct px_mutex *)mutex;

	if (!is_ready(m))
		return mutex_first_use(mutex) ? EPERM : EINVAL; /* nobody has locked it yet */
	if (!m->depth)
		return -mutex_unlock(&m->mutex);
	if (!mutex_is_mine(&m->mutex))
		return EPERM;
	m->depth--;
	return 0;
}

PX_API int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	struct px_mutex *m = (struct px_mutex *)mutex;
	struct thread *self = thread_current();
	uintptr_t owner = (uintptr_t)self;

	if (unlikely(!is_ready(m)) || unlikely(m->depth) ||
	    unlikely(!atomic_cas_release(&m->mutex.owner, &owner, (uintptr_t)0)))
		return unlock_slow(mutex);
	self->mutexes_held--;
	return 0;
}

/* ---- robustness and ceilings ----------------------------------------------------------------- */

PX_API int pthread_mutex_consistent(pthread_mutex_t *mutex)
{
	struct px_mutex *m = mutex_of(mutex);

	return m ? -mutex_consistent(&m->mutex) : EINVAL;
}

PX_API int pthread_mutex_getprioceiling(const pthread_mutex_t *restrict mutex,
					int *restrict ceiling)
{
	struct px_mutex *m = mutex_of((pthread_mutex_t *)(uintptr_t)mutex);

	if (!m || !m->mutex.ceiling)
		return EINVAL;
	*ceiling = m->mutex.ceiling;
	return 0;
}

/* Changed by its owner, or by one whose own priority is above the old ceiling. */
PX_API int pthread_mutex_setprioceiling(pthread_mutex_t *restrict mutex, int ceiling,
					int *restrict old)
{
	struct px_mutex *m = mutex_of(mutex);
	int err = 0, before;
	bool lock;

	if (!m || !m->mutex.ceiling || ceiling < 1 || ceiling > 99)
		return EINVAL;
	lock = !mutex_is_mine(&m->mutex);
	if (lock)
		err = pthread_mutex_lock(mutex);
	if (err && err != EINVAL)
		return err;
	before = m->mutex.ceiling;
	(void)mutex_set_ceiling(&m->mutex, (unsigned)ceiling);
	if (old)
		*old = before;
	return lock && !err ? pthread_mutex_unlock(mutex) : 0;
}
