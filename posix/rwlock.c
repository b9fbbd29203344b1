/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-write locks: a monitor of the core's mutex and condition variables.
 *
 * Who goes first: a reader waits while a writer of the same or a higher rank waits, so writers are
 * not starved. A thread that holds a read lock of any kind is let in nevertheless: behind a writer
 * that waits for it, it would wait for ever. Waiting is no cancellation point; handlers run,
 * and then it goes on.
 */
#include "posix/internal.h"

struct px_rwlock {
	uint32_t magic;
	uint32_t readers; /* [m] that hold it */
	struct mutex mutex;
	struct condition may_read, may_write;
	struct thread *writer;    /* [m] that holds it */
	uint32_t writers_waiting; /* [m] */
};

_Static_assert(sizeof(struct px_rwlock) <= sizeof(pthread_rwlock_t), "grow pthread_rwlock_t");

#define READERS_MAX UINT32_MAX

static void rwlock_set_up(void *word)
{
	struct px_rwlock *l = word;

	l->readers = 0;
	mutex_init(&l->mutex);
	condition_init(&l->may_read);
	condition_init(&l->may_write);
	l->writer = NULL;
	l->writers_waiting = 0;
	atomic_store_release(&l->magic, PX_MAGIC_RWLOCK);
}

static struct px_rwlock *rwlock_of(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = (struct px_rwlock *)lock;

	return px_object_ready(&l->magic, PX_MAGIC_RWLOCK, ~0u, rwlock_set_up) ? l : NULL;
}

PX_API int pthread_rwlock_init(pthread_rwlock_t *restrict lock,
			       const pthread_rwlockattr_t *restrict attr)
{
	if (attr && attr->__magic != PX_MAGIC_RWATTR)
		return EINVAL;
	rwlock_set_up(lock);
	return 0;
}

PX_API int pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);
	bool busy;

	if (!l)
		return EINVAL;
	mutex_lock(&l->mutex);
	busy = l->readers || l->writer || l->writers_waiting;
	if (!busy)
		atomic_store_release(&l->magic, PX_MAGIC_DEAD);
	mutex_unlock(&l->mutex);
	return busy ? EBUSY : 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* With the mutex held. A writer's rank is that which it began to wait with. */
static bool writer_goes_first(struct px_rwlock *l)
{
	uint16_t mine = atomic_peek_relaxed(&thread_current()->sched.rank);
	unsigned long flags = spin_lock_irqsave(&l->may_write.waiters.lock);
	struct waiter *w = wait_first(&l->may_write.waiters);
	bool first = w && w->rank >= mine;

	spin_unlock_irqrestore(&l->may_write.waiters.lock, flags);
	return first;
}

static bool may_read_now(struct px_rwlock *l, const struct pthread *self)
{
	return !l->writer && (self->read_locks || !writer_goes_first(l));
}

static int read_lock(struct px_rwlock *l, struct pthread *self, bool wait, uint64_t until_ns)
{
	int err = 0;

	mutex_lock(&l->mutex);
	if (l->writer == thread_current())
		err = wait ? -EDEADLK : -EBUSY;
	else if (!wait && !may_read_now(l, self))
		err = -EBUSY;
	while (!err && !may_read_now(l, self))
		err = px_condition_wait_on(self, &l->may_read, &l->mutex, until_ns);
	if (!err && l->readers == READERS_MAX)
		err = -EAGAIN;
	if (!err) {
		l->readers++;
		self->read_locks++;
	}
	mutex_unlock(&l->mutex);
	return -err;
}

PX_API int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? read_lock(l, px_self(), true, UINT64_MAX) : EINVAL;
}

PX_API int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? read_lock(l, px_self(), false, 0) : EINVAL;
}

PX_API int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict lock, clockid_t clock_id,
				      const struct timespec *restrict at)
{
	struct px_rwlock *l = rwlock_of(lock);
	uint64_t until_ns;
	int err;

	if (!l)
		return EINVAL;
	err = read_lock(l, px_self(), false, 0);
	if (err != EBUSY)
		return err;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? err : read_lock(l, px_self(), true, until_ns);
}

PX_API int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock,
				      const struct timespec *restrict at)
{
	return pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, at);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A writer that gives up may have kept readers out. */
static int write_wait(struct px_rwlock *l, uint64_t until_ns)
{
	int err = 0;

	l->writers_waiting++;
	while (!err && (l->writer || l->readers))
		err = px_condition_wait_on(px_self(), &l->may_write, &l->mutex, until_ns);
	l->writers_waiting--;
	if (err && !l->writer)
		condition_broadcast(&l->may_read);
	return err;
}

static int write_lock(struct px_rwlock *l, bool wait, uint64_t until_ns)
{
	int err = 0;

	mutex_lock(&l->mutex);
	if (l->writer == thread_current())
		err = wait ? -EDEADLK : -EBUSY;
	else if (!wait && (l->writer || l->readers))
		err = -EBUSY;
	if (!err)
		err = write_wait(l, until_ns);
	if (!err)
		l->writer = thread_current();
	mutex_unlock(&l->mutex);
	return -err;
}

PX_API int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? write_lock(l, true, UINT64_MAX) : EINVAL;
}

PX_API int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? write_lock(l, false, 0) : EINVAL;
}

PX_API int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict lock, clockid_t clock_id,
				      const struct timespec *restrict at)
{
	struct px_rwlock *l = rwlock_of(lock);
	uint64_t until_ns;
	int err;

	if (!l)
		return EINVAL;
	err = write_lock(l, false, 0);
	if (err != EBUSY)
		return err;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? err : write_lock(l, true, until_ns);
}

PX_API int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock,
				      const struct timespec *restrict at)
{
	return pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, at);
}

/* ---- both ------------------------------------------------------------------------------------ */

PX_API int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);
	struct pthread *self = px_self();
	int err = 0;

	if (!l)
		return EINVAL;
	mutex_lock(&l->mutex);
	if (l->writer == thread_current()) {
		l->writer = NULL;
	} else if (l->readers && !l->writer && self->read_locks) {
		l->readers--;
		self->read_locks--;
	} else {
		err = EPERM;
	}
	if (!err && !l->readers) {
		condition_signal(&l->may_write);
		condition_broadcast(&l->may_read);
	}
	mutex_unlock(&l->mutex);
	return err;
}
